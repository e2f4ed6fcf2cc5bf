//! Which files a model folder has to have, as its `config.json` says.

use serde::Deserialize;

/// `model_type` of text policies.
const TEXT: [&str; 2] = ["idefics3", "smolvlm"];
/// `model_type` of map policies.
const MAP: &str = "cropvlm_map";
/// `quantization_config.quant_method` of weights in blocks that are read here (`cropvlm export --quant`).
const BLOCKS: &str = "cropvlm";
/// The one weight file of a small model.
pub const SINGLE: &str = "model.safetensors";
/// The list of shards of a large one.
pub const INDEX: &str = "model.safetensors.index.json";

/// Where a folder's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// In one file.
    Single,
    /// In one file, or, where that is not there, in shards.
    SingleOrShards,
    /// In shards.
    Shards,
}

/// The files of a folder beside `config.json` and the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Those that must be there.
    pub must: &'static [&'static str],
    /// Those that may.
    pub may: &'static [&'static str],
    /// Where the weights are.
    pub weights: Weights,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    model_type: String,
    quantization_config: Option<Quantization>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Quantization {
    quant_method: String,
}

/// What is no JSON is reported by the loader, which knows the file's meaning.
fn read(config: &[u8]) -> Config {
    serde_json::from_slice(config).unwrap_or_default()
}

/// Whether a folder with this `config.json` holds a text policy.
pub fn is_text(config: &[u8]) -> bool {
    TEXT.contains(&read(config).model_type.as_str())
}

/// The files of a folder with this `config.json`.
///
/// # Errors
/// A sentence for a person, where the model is of another kind or its weights are quantized in a way that is not read here:
/// before any of them is fetched.
pub fn wanted(config: &[u8]) -> Result<Wanted, String> {
    let config = read(config);
    let kind = config.model_type.as_str();
    if !(TEXT.contains(&kind) || kind == MAP || kind.is_empty()) {
        return Err(crate::text::other_model(kind));
    }
    if !TEXT.contains(&kind) {
        return Ok(Wanted {
            must: &[],
            may: &[],
            weights: Weights::Single,
        });
    }
    let weights = match config.quantization_config {
        None => Weights::SingleOrShards,
        Some(Quantization { quant_method }) if quant_method == BLOCKS => Weights::Shards,
        Some(Quantization { quant_method }) => {
            return Err(crate::text::other_quantization(&quant_method));
        }
    };
    Ok(Wanted {
        must: &["tokenizer.json", "preprocessor_config.json"],
        may: &[
            "processor_config.json",
            "chat_template.json",
            "generation_config.json",
        ],
        weights,
    })
}

/// Whether a folder with this `config.json` holds weights in blocks (`cropvlm export --quant`).
fn is_packed(config: &[u8]) -> bool {
    let method = read(config).quantization_config;
    method.is_some_and(|method| method.quant_method == BLOCKS)
}

/// What a text policy takes beside its weights, bytes: code, a picture's tiles and their attention, the browser's tab. Measured with
/// SmolVLM-256M: 580 MB with 275 MB of q8 weights (LOG.md).
const BESIDE: f64 = 300e6;

/// Bytes of q8 weights for a byte of bf16 weights: blocks of 32 numbers with a scale of 2 bytes.
const PACKED: f64 = 34.0 / 64.0;

/// Most memory that a module of WebAssembly may have, bytes (`xtask/src/smolvlm.rs`).
const MODULE: f64 = 2e9;

/// Refuses a text policy that this device has no room for, before its weights are fetched. `bytes` are those of its weight files,
/// `device` the device's memory in GiB where the browser tells it; a page can count on half of that.
///
/// # Errors
/// A sentence for a person.
pub fn fits(config: &[u8], bytes: f64, device: Option<f64>) -> Result<(), String> {
    let share = if is_packed(config) { 1.0 } else { PACKED };
    let wanted = bytes * share + BESIDE;
    let room = device.map_or(MODULE, |gib| MODULE.min(gib / 2.0 * f64::from(1 << 30)));
    match wanted <= room {
        true => Ok(()),
        false => Err(crate::text::too_large(wanted, room)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(config: &str) -> Weights {
        wanted(config.as_bytes()).unwrap().weights
    }

    #[test]
    fn packed_weights_come_in_shards_and_others_as_they_lie() {
        assert_eq!(weights(r#"{"model_type": "cropvlm_map"}"#), Weights::Single);
        assert_eq!(
            weights(r#"{"model_type": "idefics3"}"#),
            Weights::SingleOrShards
        );
        let packed = r#"{"model_type": "smolvlm", "quantization_config": {"quant_method": "cropvlm", "bits": 4}}"#;
        assert_eq!(weights(packed), Weights::Shards);
        assert!(is_text(packed.as_bytes()));
        // What is no JSON, or names no kind, is the loader's to explain.
        for odd in ["<!doctype html>", "{}"] {
            assert_eq!(weights(odd), Weights::Single);
            assert!(!is_text(odd.as_bytes()));
        }
    }

    #[test]
    fn what_is_not_read_here_is_refused_before_weights_are_fetched() {
        let said = wanted(br#"{"model_type": "llava"}"#).unwrap_err();
        assert!(said.contains(r#"model_type is "llava""#), "{said}");
        let config = r#"{"model_type": "idefics3", "quantization_config": {"quant_method": "bitsandbytes"}}"#;
        let said = wanted(config.as_bytes()).unwrap_err();
        assert!(
            said.contains("bitsandbytes") && said.contains("cropvlm export --quant"),
            "{said}"
        );
    }

    #[test]
    fn what_a_device_has_no_room_for_is_refused_with_both_sizes() {
        let plain = br#"{"model_type": "idefics3"}"#;
        let packed =
            br#"{"model_type": "idefics3", "quantization_config": {"quant_method": "cropvlm"}}"#;
        // SmolVLM-256M, as the hub has it and packed to q8.
        for (config, bytes) in [(&plain[..], 513e6), (&packed[..], 275e6)] {
            assert_eq!(fits(config, bytes, None), Ok(()));
            assert_eq!(fits(config, bytes, Some(2.0)), Ok(()));
            let said = fits(config, bytes, Some(1.0)).unwrap_err();
            assert!(said.contains("0.6 GB") && said.contains("0.5 GB"), "{said}");
        }
        // A model of 8 billion weights fits into no module.
        assert!(fits(plain, 16e9, Some(8.0)).unwrap_err().contains("8.8 GB"));
    }
}
