//! Weights in and out: Hugging Face's safetensors, one file or shards.
//!
//! The `safetensors` crate is used directly instead of burn-store, because a broken folder has to
//! be explained by name, shape and file, and because the bytes come from memory (the browser has no
//! path). Which tensors there have to be, `params.rs` says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::error::{Result, SmolVlmError};
use crate::files::ModelFiles;
use crate::model::Idefics3;
use crate::params::{manifest, walk};

/// The one weight file of a small model.
pub(crate) const SINGLE: &str = "model.safetensors";
/// The list of shards of a large one.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

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

pub(crate) fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and {n} more"),
    }
}

/// Fills the network from a folder's weight files.
///
/// # Errors
/// Missing, extra and misshapen tensors, unknown number types and values that are no numbers, by name and file.
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
                by: "config.json",
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
            by: "config.json",
            more: more(extra.len() - 1),
        }),
    }
}

/// A tensor's values as f32.
///
/// # Errors
/// A number type that is not loaded, a value that is no number, by name.
pub(crate) fn values(file: &str, name: &str, tensor: &TensorView) -> Result<Vec<f32>> {
    let bytes = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        other => {
            return Err(SmolVlmError::TensorType {
                file: file.to_string(),
                name: name.to_string(),
                actual: format!("{other:?}"),
            });
        }
    };
    match values.iter().copied().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(value) => Err(SmolVlmError::Weight {
            file: file.to_string(),
            name: name.to_string(),
            value,
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
