//! The network's parameters under the names of the checkpoint.
//!
//! One walk over the network ([`walk`]) names every parameter as the checkpoint does; manifest,
//! loading, saving and random weights all follow it, so they cannot disagree. burn keeps a linear
//! weight as [in, out], the checkpoint as [out, in]; it is turned in memory, because the CPU
//! multiplies one row by a turned view 15 times slower (measured).

use burn::module::Param;
use burn::nn::{LayerNorm, RmsNorm};
use burn::tensor::{DType, ExecutionError, Tensor, TensorData};

use crate::model::Idefics3;
use crate::projection::Projection;

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
    pub(crate) fn shape(&self) -> Vec<usize> {
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
    pub(crate) fn set(self, values: Vec<f32>) {
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

    /// The values, in the checkpoint's layout.
    pub(crate) fn data(
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
pub(crate) fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
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

/// Visits every parameter under its name in the checkpoint; adapters are not part of it.
pub(crate) fn walk(net: &mut Idefics3, mut visit: impl FnMut(String, Slot)) {
    parts(net, &mut |name, part| match part {
        Part::Slot(slot) => visit(name, slot),
        Part::Projection(layer) => {
            visit(format!("{name}.weight"), Slot::Linear(&mut layer.weight));
            if let Some(bias) = &mut layer.bias {
                visit(format!("{name}.bias"), Slot::Bias(bias));
            }
        }
    });
}

/// Visits every layer that can carry an adapter under its module's name in transformers.
pub(crate) fn walk_projections(net: &mut Idefics3, mut visit: impl FnMut(&str, &mut Projection)) {
    parts(net, &mut |name, part| {
        if let Part::Projection(layer) = part {
            visit(&name, layer);
        }
    });
}

/// What the walk meets: a parameter, or a layer that can carry an adapter.
enum Part<'a> {
    Slot(Slot<'a>),
    Projection(&'a mut Projection),
}

type Visit<'a> = &'a mut dyn FnMut(String, Part);

fn parts(net: &mut Idefics3, visit: Visit) {
    let vision = &mut net.vision_model;
    let root = "model.vision_model";
    let patches = format!("{root}.embeddings.patch_embedding");
    visit(
        format!("{patches}.weight"),
        Part::Slot(Slot::Kernel(&mut vision.patch_embedding.weight)),
    );
    if let Some(bias) = &mut vision.patch_embedding.bias {
        visit(format!("{patches}.bias"), Part::Slot(Slot::Bias(bias)));
    }
    visit(
        format!("{root}.embeddings.position_embedding.weight"),
        Part::Slot(Slot::Table(&mut vision.position_embedding.weight)),
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
        Part::Slot(Slot::Table(&mut text.embed_tokens.weight)),
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
        let weight = Slot::Linear(&mut head.weight);
        visit("lm_head.weight".to_string(), Part::Slot(weight));
    }
}

fn linear(visit: Visit, name: String, layer: &mut Projection) {
    visit(name, Part::Projection(layer));
}

fn layer_norm(visit: Visit, name: String, norm: &mut LayerNorm) {
    visit(
        format!("{name}.weight"),
        Part::Slot(Slot::Scale(&mut norm.gamma)),
    );
    if let Some(beta) = &mut norm.beta {
        visit(format!("{name}.bias"), Part::Slot(Slot::Bias(beta)));
    }
}

fn rms_norm(visit: Visit, name: String, norm: &mut RmsNorm) {
    visit(
        format!("{name}.weight"),
        Part::Slot(Slot::Scale(&mut norm.gamma)),
    );
}

/// Name and shape of every tensor that a checkpoint of this network has to hold.
pub(crate) fn manifest(net: &Idefics3) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    walk(&mut net.clone(), |name, slot| {
        list.push((name, slot.shape()))
    });
    list
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
