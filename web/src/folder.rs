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
}
