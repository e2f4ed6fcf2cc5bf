//! Weights in and out: Hugging Face's safetensors, one file or shards.
//!
//! One walk over the network ([`walk`]) names every parameter as the checkpoint does; manifest,
//! loading, saving and random initialisation all follow it, so they cannot disagree. The
//! `safetensors` crate is used directly instead of burn-store, because a broken folder has to be
//! explained by name, shape and file, and because the bytes come from memory (the browser has no
//! path). burn keeps a linear weight as [in, out], the checkpoint as [out, in]; it is turned in
//! memory, because the CPU multiplies one row by a turned view 15 times slower (measured).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::Param;
use burn::nn::{LayerNorm, Linear, RmsNorm};
use burn::tensor::{DType, ExecutionError, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::error::{Result, SmolVlmError};
use crate::files::ModelFiles;
use crate::model::Idefics3;

/// The one weight file of a small model.
pub(crate) const SINGLE: &str = "model.safetensors";
/// The list of shards of a large one.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// A parameter and how the checkpoint stores it.
pub(crate) enum Slot<'a> {
    /// Linear weight; [in, out] here, [out, in] in the checkpoint.
    Linear(&'a mut Param<Tensor<2>>),
    /// Embedding table, stored as it is.
    Table(&'a mut Param<Tensor<2>>),
    /// Scale of a norm: ones where nothing was learned.
    Scale(&'a mut Param<Tensor<1>>),
    /// Bias or shift: zeros where nothing was learned.
    Bias(&'a mut Param<Tensor<1>>),
    /// Convolution kernel [out, in, height, width].
    Kernel(&'a mut Param<Tensor<4>>),
}

impl Slot<'_> {
    /// Shape in the checkpoint.
    fn shape(&self) -> Vec<usize> {
        match self {
            Slot::Linear(param) => {
                let [from, to] = param.lazy_shape().dims();
                vec![to, from]
            }
            Slot::Table(param) => param.lazy_shape().to_vec(),
            Slot::Scale(param) | Slot::Bias(param) => param.lazy_shape().to_vec(),
            Slot::Kernel(param) => param.lazy_shape().to_vec(),
        }
    }

    /// Puts values in, in the checkpoint's layout.
    fn set(self, values: Vec<f32>) {
        fn put<const D: usize>(param: &mut Param<Tensor<D>>, values: Vec<f32>) {
            let shape: [usize; D] = param.lazy_shape().dims();
            let data = TensorData::new(values, shape);
            let tensor = Tensor::<D>::from_data(data, (&param.lazy_device(), DType::F32));
            let id = param.id;
            *param = param.clone().transform_for_load(tensor, id);
        }
        match self {
            Slot::Linear(param) => {
                let [from, to] = param.lazy_shape().dims();
                put(param, turned(&values, to, from));
            }
            Slot::Table(param) => put(param, values),
            Slot::Scale(param) | Slot::Bias(param) => put(param, values),
            Slot::Kernel(param) => put(param, values),
        }
    }

    /// The effective values (adapters merged), in the checkpoint's layout.
    fn data(
        &self,
    ) -> impl Future<Output = std::result::Result<TensorData, ExecutionError>> + use<> {
        let flat: Tensor<1> = match self {
            Slot::Linear(param) => param.val().transpose().flatten(0, 1),
            Slot::Table(param) => param.val().flatten(0, 1),
            Slot::Scale(param) | Slot::Bias(param) => param.val(),
            Slot::Kernel(param) => param.val().flatten(0, 3),
        };
        flat.into_data_async()
    }
}

/// A matrix of `rows` x `columns` turned over its diagonal, in blocks that stay in the cache.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row in (0..rows).step_by(BLOCK) {
        for column in (0..columns).step_by(BLOCK) {
            for r in row..(row + BLOCK).min(rows) {
                for c in column..(column + BLOCK).min(columns) {
                    out[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    out
}

/// Visits every parameter under its name in the checkpoint.
pub(crate) fn walk(net: &mut Idefics3, mut visit: impl FnMut(String, Slot)) {
    let visit: &mut dyn FnMut(String, Slot) = &mut visit;
    let vision = &mut net.vision_model;
    let root = "model.vision_model";
    let patches = format!("{root}.embeddings.patch_embedding");
    visit(
        format!("{patches}.weight"),
        Slot::Kernel(&mut vision.patch_embedding.weight),
    );
    if let Some(bias) = &mut vision.patch_embedding.bias {
        visit(format!("{patches}.bias"), Slot::Bias(bias));
    }
    visit(
        format!("{root}.embeddings.position_embedding.weight"),
        Slot::Table(&mut vision.position_embedding.weight),
    );
    for (i, layer) in vision.layers.iter_mut().enumerate() {
        let at = format!("{root}.encoder.layers.{i}");
        let attention = &mut layer.self_attn;
        linear(
            visit,
            format!("{at}.self_attn.q_proj"),
            &mut attention.q_proj,
        );
        linear(
            visit,
            format!("{at}.self_attn.k_proj"),
            &mut attention.k_proj,
        );
        linear(
            visit,
            format!("{at}.self_attn.v_proj"),
            &mut attention.v_proj,
        );
        linear(
            visit,
            format!("{at}.self_attn.out_proj"),
            &mut attention.out_proj,
        );
        layer_norm(visit, format!("{at}.layer_norm1"), &mut layer.layer_norm1);
        linear(visit, format!("{at}.mlp.fc1"), &mut layer.fc1);
        linear(visit, format!("{at}.mlp.fc2"), &mut layer.fc2);
        layer_norm(visit, format!("{at}.layer_norm2"), &mut layer.layer_norm2);
    }
    layer_norm(
        visit,
        format!("{root}.post_layernorm"),
        &mut vision.post_layernorm,
    );

    linear(
        visit,
        "model.connector.modality_projection.proj".to_string(),
        &mut net.connector.proj,
    );

    let text = &mut net.text_model;
    let root = "model.text_model";
    visit(
        format!("{root}.embed_tokens.weight"),
        Slot::Table(&mut text.embed_tokens.weight),
    );
    for (i, layer) in text.layers.iter_mut().enumerate() {
        let at = format!("{root}.layers.{i}");
        let attention = &mut layer.self_attn;
        rms_norm(
            visit,
            format!("{at}.input_layernorm"),
            &mut layer.input_layernorm,
        );
        linear(
            visit,
            format!("{at}.self_attn.q_proj"),
            &mut attention.q_proj,
        );
        linear(
            visit,
            format!("{at}.self_attn.k_proj"),
            &mut attention.k_proj,
        );
        linear(
            visit,
            format!("{at}.self_attn.v_proj"),
            &mut attention.v_proj,
        );
        linear(
            visit,
            format!("{at}.self_attn.o_proj"),
            &mut attention.o_proj,
        );
        let norm = &mut layer.post_attention_layernorm;
        rms_norm(visit, format!("{at}.post_attention_layernorm"), norm);
        linear(visit, format!("{at}.mlp.gate_proj"), &mut layer.gate_proj);
        linear(visit, format!("{at}.mlp.up_proj"), &mut layer.up_proj);
        linear(visit, format!("{at}.mlp.down_proj"), &mut layer.down_proj);
    }
    rms_norm(visit, format!("{root}.norm"), &mut text.norm);
    if let Some(head) = &mut net.lm_head {
        linear(visit, "lm_head".to_string(), head);
    }
}

fn linear(visit: &mut dyn FnMut(String, Slot), name: String, layer: &mut Linear) {
    visit(format!("{name}.weight"), Slot::Linear(&mut layer.weight));
    if let Some(bias) = &mut layer.bias {
        visit(format!("{name}.bias"), Slot::Bias(bias));
    }
}

fn layer_norm(visit: &mut dyn FnMut(String, Slot), name: String, norm: &mut LayerNorm) {
    visit(format!("{name}.weight"), Slot::Scale(&mut norm.gamma));
    if let Some(beta) = &mut norm.beta {
        visit(format!("{name}.bias"), Slot::Bias(beta));
    }
}

fn rms_norm(visit: &mut dyn FnMut(String, Slot), name: String, norm: &mut RmsNorm) {
    visit(format!("{name}.weight"), Slot::Scale(&mut norm.gamma));
}

/// Name and shape of every tensor that a checkpoint of this network has to hold.
pub(crate) fn manifest(net: &Idefics3) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    walk(&mut net.clone(), |name, slot| {
        list.push((name, slot.shape()))
    });
    list
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The weight files of a folder, opened.
fn open(files: &ModelFiles) -> Result<Vec<(String, SafeTensors<'_>)>> {
    let names: BTreeSet<String> = if files.contains(SINGLE) || !files.contains(INDEX) {
        BTreeSet::from([SINGLE.to_string()])
    } else {
        files
            .json::<Index>(INDEX)?
            .weight_map
            .into_values()
            .collect()
    };
    names
        .into_iter()
        .map(|name| match SafeTensors::deserialize(files.get(&name)?) {
            Ok(tensors) => Ok((name, tensors)),
            Err(error) => Err(SmolVlmError::Safetensors {
                file: name,
                message: error.to_string(),
            }),
        })
        .collect()
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and {n} more"),
    }
}

/// Fills the network from a folder's weight files.
///
/// # Errors
/// Missing, extra and misshapen tensors and unknown number types, by name and file.
pub(crate) fn load(net: &mut Idefics3, files: &ModelFiles) -> Result<()> {
    let opened = open(files)?;
    let mut found: HashMap<&str, (&str, TensorView)> = HashMap::new();
    for (file, tensors) in &opened {
        for (name, tensor) in tensors.iter() {
            found.insert(name, (file, tensor));
        }
    }
    let all_files = || {
        let names: Vec<&str> = opened.iter().map(|(file, _)| file.as_str()).collect();
        names.join(", ")
    };

    let wanted = manifest(net);
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(name, _)| !found.contains_key(name.as_str()))
        .collect();
    if let Some((name, shape)) = missing.first() {
        return Err(SmolVlmError::MissingTensor {
            file: all_files(),
            name: name.clone(),
            expected: shape.clone(),
            more: more(missing.len() - 1),
        });
    }
    for (name, expected) in &wanted {
        let (file, tensor) = &found[name.as_str()];
        if tensor.shape() != expected {
            return Err(SmolVlmError::TensorShape {
                file: file.to_string(),
                name: name.clone(),
                expected: expected.clone(),
                actual: tensor.shape().to_vec(),
            });
        }
    }
    refuse_extra(&found, &wanted)?;

    let mut outcome = Ok(());
    walk(net, |name, slot| {
        if outcome.is_ok() {
            let (file, tensor) = &found[name.as_str()];
            match values(file, &name, tensor) {
                Ok(values) => slot.set(values),
                Err(error) => outcome = Err(error),
            }
        }
    });
    outcome
}

/// Refuses tensors that the network has no place for, but for two that are no weights of their
/// own: rotary tables of old checkpoints, and the output layer beside a tied table, if equal.
fn refuse_extra(
    found: &HashMap<&str, (&str, TensorView)>,
    wanted: &[(String, Vec<usize>)],
) -> Result<()> {
    let known: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let tied_copy = |name: &str| {
        name == "lm_head.weight"
            && found
                .get("model.text_model.embed_tokens.weight")
                .is_some_and(|(_, table)| table.data() == found[name].1.data())
    };
    let mut extra: Vec<&str> = found
        .keys()
        .copied()
        .filter(|name| !known.contains(name))
        .filter(|name| !name.ends_with("rotary_emb.inv_freq") && !tied_copy(name))
        .collect();
    extra.sort_unstable();
    match extra.first() {
        None => Ok(()),
        Some(name) => Err(SmolVlmError::ExtraTensor {
            file: found[name].0.to_string(),
            name: name.to_string(),
            actual: found[name].1.shape().to_vec(),
            more: more(extra.len() - 1),
        }),
    }
}

/// A tensor's values as f32.
fn values(file: &str, name: &str, tensor: &TensorView) -> Result<Vec<f32>> {
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(each(bytes, f32::from_le_bytes)),
        Dtype::F16 => Ok(each(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Ok(each(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        other => Err(SmolVlmError::TensorType {
            file: file.to_string(),
            name: name.to_string(),
            actual: format!("{other:?}"),
        }),
    }
}

/// Little-endian numbers of `N` bytes, turned into f32.
fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&bytes| number(bytes)).collect()
}

/// Number type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits: what the network computes with.
    #[default]
    F32,
    /// 16 bits, 10 of them fraction.
    F16,
    /// 16 bits, f32's range, 7 bits of fraction: what Hugging Face's SmolVLM is stored in.
    BF16,
}

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
            Precision::BF16 => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::F16 => values
                .iter()
                .flat_map(|&v| f16::from_f32(v).to_le_bytes())
                .collect(),
            Precision::BF16 => values
                .iter()
                .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
                .collect(),
        }
    }
}

/// The network's weights as the bytes of a `model.safetensors` that transformers loads.
pub(crate) async fn save(net: &Idefics3, precision: Precision) -> Result<Vec<u8>> {
    let mut pending = Vec::new();
    walk(&mut net.clone(), |name, slot| {
        pending.push((name, slot.shape(), slot.data()));
    });
    let mut tensors = Vec::with_capacity(pending.len());
    for (name, shape, data) in pending {
        let readback = |message: String| SmolVlmError::Readback {
            item: name.clone(),
            message,
        };
        let data = data.await.map_err(|error| readback(error.to_string()))?;
        let values: Vec<f32> = data
            .convert::<f32>()
            .try_into_vec()
            .map_err(|error| readback(format!("{error:?}")))?;
        tensors.push((name, shape, precision.bytes(&values)));
    }
    let failed = |error: safetensors::SafeTensorError| SmolVlmError::Safetensors {
        file: SINGLE.to_string(),
        message: error.to_string(),
    };
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            Ok((
                name,
                TensorView::new(precision.dtype(), shape.clone(), bytes)?,
            ))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(failed)?;
    // transformers refuses a file without the format.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(failed)
}

/// Fills the network with random weights: norms 1, biases 0, all others uniform with the standard
/// deviation `std`. The same seed gives the same weights on every device.
pub(crate) fn randomize(net: &mut Idefics3, seed: u64, std: f32) {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let edge = std * 3f32.sqrt();
    walk(net, |_, slot| {
        let count = slot.shape().iter().product();
        let values = match &slot {
            Slot::Scale(_) => vec![1.0; count],
            Slot::Bias(_) => vec![0.0; count],
            _ => (0..count).map(|_| rng.random_range(-edge..edge)).collect(),
        };
        slot.set(values);
    });
}
