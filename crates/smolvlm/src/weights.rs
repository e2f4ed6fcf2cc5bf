//! Weights in and out: Hugging Face's safetensors, one file or shards.
//!
//! Files are read by the `tensors` crate. Which tensors there have to be, `params.rs` says.

use std::collections::{BTreeSet, HashMap};

use tensors::{ModelFiles, Precision, SINGLE, TensorView, open, values};

use crate::error::{Result, SmolVlmError};
use crate::model::Idefics3;
use crate::params::{manifest, walk};

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
    Ok(outcome?)
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
        tensors.push((name, (shape, values)));
    }
    Ok(tensors::write(SINGLE, tensors, precision)?)
}
