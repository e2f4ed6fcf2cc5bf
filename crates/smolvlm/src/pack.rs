//! A model folder into one whose weights stay packed: q8 or q4 blocks in shards with hashes, an adapter merged.
//!
//! Weights go through one tensor at a time: from the folder's files, plus the adapter's product, into blocks, into the shard
//! that is being written. The network is never made.
//!
//! Where errors matter more, weights stay more precise ([`Quant::block_type`]); norms and biases are f32. q4's search weights the
//! squared errors: what a layer after a norm reads has about the size of that norm's scale, channel by channel, so an error in
//! a channel's column counts by the square of it. That needs no pictures to measure activations with.

use std::collections::HashMap;

use burn::tensor::Device;
use serde_json::{Value, json};
use tensors::{Entry, ModelFiles, Packed, SHARD, TensorError, Weights, write_shards};

use crate::adapter::LoraConfig;
use crate::config::QUANT_METHOD;
use crate::error::{Result, SmolVlmError};
use crate::params::manifest;
use crate::peft::{factor_key, read_adapter};
use crate::quant::Quant;
use crate::weights::Filling;

const CONFIG: &str = "config.json";
/// Share of the mean square that every column's importance is given: a channel of scale 0 is no reason for any error.
const LEAST: f32 = 1e-3;

/// The tensors of a folder's model and how `quant` keeps them; the folder needs no weights. For knowing sizes before anything
/// is written.
///
/// # Errors
/// As [`crate::SmolVlm::load`], weights aside.
pub fn packing(files: &ModelFiles, quant: Quant) -> Result<Vec<Entry>> {
    let model = crate::SmolVlm::blank(files, &Device::flex())?;
    let tied = model.config().tie_word_embeddings;
    let entry = |(name, shape): (String, Vec<usize>)| Entry {
        kind: quant.block_type(&name, tied).fitting(&shape),
        name,
        shape,
    };
    Ok(model.manifest().into_iter().map(entry).collect())
}

/// Packs a folder, with an adapter's product added to the weights. `put` gets every file of the new folder: shards, their index,
/// configuration, tokenizer and processor. Such a folder is loaded as any other.
///
/// # Errors
/// As [`crate::SmolVlm::load`] and [`crate::SmolVlm::load_adapter`]; those of `put`; weights too large for blocks.
pub fn pack<E: From<SmolVlmError> + From<TensorError>>(
    files: &ModelFiles,
    adapter: Option<&ModelFiles>,
    quant: Quant,
    put: impl FnMut(&str, Vec<u8>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let entries = packing(files, quant)?;
    pack_as(files, adapter, &entries, quant.bits(), put)
}

/// As [`pack`], with block types of one's own choice. `bits` is what the configuration says of them.
///
/// # Errors
/// As [`pack`].
pub fn pack_as<E: From<SmolVlmError> + From<TensorError>>(
    files: &ModelFiles,
    adapter: Option<&ModelFiles>,
    entries: &[Entry],
    bits: u32,
    mut put: impl FnMut(&str, Vec<u8>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let weights = Weights::open(files)?;
    let mut filling = Filling::new(files, &Device::flex())?;
    for file in weights.files() {
        filling.check_file(file)?;
    }
    let mut model = filling.finish()?;
    let mut adapter = match adapter {
        Some(files) => Some(read_adapter(&mut model.net, files)?),
        None => None,
    };
    let norms = Norms {
        weights: &weights,
        names: manifest(&model.net)
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
    };
    let pack = |entry: &Entry| -> std::result::Result<Packed<'static>, E> {
        let mut values = weights.values(&entry.name)?;
        if let Some((config, factors)) = &mut adapter {
            merge(&mut values, &entry.name, config, factors);
        }
        let importance = norms.importance(&entry.name)?;
        let (name, shape) = (&entry.name, &entry.shape);
        Ok(Packed::pack(name, entry.kind, shape, &values, &importance)?)
    };
    write_shards(entries, SHARD, pack, &mut put)?;
    let mut rest = model.files().clone();
    set_quantization(&mut rest, Some(bits))?;
    for name in rest.names() {
        put(name, rest.get(name)?.to_vec())?;
    }
    Ok(())
}

/// Adds a module's product of factors to its weight [out, in]: `scale * B A`, B [out, r] and A [r, in].
fn merge(
    weight: &mut [f32],
    name: &str,
    config: &LoraConfig,
    factors: &mut HashMap<String, Vec<f32>>,
) {
    let module = name.strip_suffix(".weight").unwrap_or_default();
    let mut factor = |letter| factors.remove(&factor_key(module, letter));
    let (Some(a), Some(b)) = (factor("A"), factor("B")) else {
        return;
    };
    let columns = a.len() / config.r;
    let scale = config.scale() as f32;
    let rows = weight.chunks_exact_mut(columns);
    for (row, b) in rows.zip(b.chunks_exact(config.r)) {
        for (b, a) in b.iter().zip(a.chunks_exact(columns)) {
            let factor = scale * b;
            for (weight, a) in row.iter_mut().zip(a) {
                *weight += factor * a;
            }
        }
    }
}

/// The norms whose output a layer reads.
struct Norms<'a> {
    weights: &'a Weights<'a>,
    names: std::collections::BTreeSet<String>,
}

impl Norms<'_> {
    /// How much each column of a weight counts: mean squares of what it is multiplied with, as the norm before it says. Empty
    /// where no norm comes directly before.
    fn importance(&self, name: &str) -> std::result::Result<Vec<f32>, TensorError> {
        let Some(norm) = norm_before(name) else {
            return Ok(Vec::new());
        };
        let scale = self.weights.values(&format!("{norm}.weight"))?;
        let bias = format!("{norm}.bias");
        let bias = match self.names.contains(&bias) {
            true => self.weights.values(&bias)?,
            false => vec![0.0; scale.len()],
        };
        let mut squares: Vec<f32> = scale
            .iter()
            .zip(&bias)
            .map(|(s, b)| s * s + b * b)
            .collect();
        let least = LEAST * squares.iter().sum::<f32>() / squares.len().max(1) as f32;
        squares.iter_mut().for_each(|square| *square += least);
        Ok(squares)
    }
}

/// The norm that a layer reads from.
fn norm_before(name: &str) -> Option<String> {
    if name == "lm_head.weight" {
        return Some("model.text_model.norm".to_string());
    }
    let vision = name.starts_with("model.vision_model.");
    let ends: [(&str, &str, &str); 6] = [
        (".self_attn.q_proj.weight", "layer_norm1", "input_layernorm"),
        (".self_attn.k_proj.weight", "layer_norm1", "input_layernorm"),
        (".self_attn.v_proj.weight", "layer_norm1", "input_layernorm"),
        (".mlp.fc1.weight", "layer_norm2", ""),
        (".mlp.gate_proj.weight", "", "post_attention_layernorm"),
        (".mlp.up_proj.weight", "", "post_attention_layernorm"),
    ];
    ends.iter().find_map(|(end, of_vision, of_text)| {
        let norm = if vision { of_vision } else { of_text };
        Some(format!("{}.{norm}", name.strip_suffix(end)?))
    })
}

/// Says in `config.json` that the weights are in blocks, of so many bits mostly; or that they are not.
pub(crate) fn set_quantization(files: &mut ModelFiles, bits: Option<u32>) -> Result<()> {
    const KEY: &str = "quantization_config";
    let mut config: Value = files.json(CONFIG)?;
    let Some(map) = config.as_object_mut() else {
        return Ok(());
    };
    let about = bits.map(|bits| {
        json!({
            "quant_method": QUANT_METHOD,
            "bits": bits,
            "group_size": 32,
            "sym": true,
            "layout": "NAME: I8 of the tensor's shape, or U8 with two values of 4 bits a byte (plus 8, the first in the low half); NAME.scales: F16, [rows, blocks of 32]",
        })
    });
    match about {
        Some(about) => map.insert(KEY.to_string(), about),
        None if map.contains_key(KEY) => map.remove(KEY),
        None => return Ok(()),
    };
    files.insert(CONFIG, format!("{config:#}\n").into_bytes());
    Ok(())
}
