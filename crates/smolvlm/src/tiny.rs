//! A tiny preset of the real model for tests: every part is there, each as small as it can be
//! (170 thousand parameters, tiles of 24 pixels, 9 image tokens a tile, a vocabulary of about
//! 400). Head width and hidden size do not fit each other and the patch grid is no power of two,
//! on purpose: those are the cases in which mistakes show.
//!
//! The files are written by `goldens/make.py`, which also makes transformers compute with them.

use serde_json::{Value, json};
use tensors::ModelFiles;

use crate::error::Result;

/// The preset's folder without weights, for [`crate::SmolVlm::random`].
pub fn files() -> ModelFiles {
    let files: [(&str, &[u8]); 5] = [
        ("config.json", include_bytes!("../tiny/config.json")),
        (
            "preprocessor_config.json",
            include_bytes!("../tiny/preprocessor_config.json"),
        ),
        (
            "processor_config.json",
            include_bytes!("../tiny/processor_config.json"),
        ),
        (
            "chat_template.json",
            include_bytes!("../tiny/chat_template.json"),
        ),
        ("tokenizer.json", include_bytes!("../tiny/tokenizer.json")),
    ];
    ModelFiles::from_memory(files.map(|(name, bytes)| (name.to_string(), bytes.to_vec())))
}

/// A folder of SmolVLM-256M's shape (its `config.json`, published with the checkpoint), without weights, so that speed and
/// sizes can be measured without a download. The tokenizer is the tiny preset's: it writes a question in about three times
/// as many tokens as the real one, which is a small part of the work.
///
/// # Errors
/// None: the preset's files are there.
pub fn smolvlm_256m() -> Result<ModelFiles> {
    let mut files = files();
    let mut edit = |name: &str, changes: Value| -> Result<()> {
        let mut content: Value = files.json(name)?;
        if let (Some(content), Value::Object(changes)) = (content.as_object_mut(), changes) {
            content.extend(changes);
        }
        files.insert(name, content.to_string().into_bytes());
        Ok(())
    };
    let text = json!({
        "model_type": "llama", "vocab_size": 49280, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100_000,
        "hidden_act": "silu", "pad_token_id": 2,
    });
    let vision = json!({
        "model_type": "idefics3_vision", "hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 512, "patch_size": 16,
        "layer_norm_eps": 1e-6,
    });
    let config = json!({"scale_factor": 4, "text_config": text, "vision_config": vision});
    edit("config.json", config)?;
    let edges = json!({"max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048}});
    edit("preprocessor_config.json", edges)?;
    edit("processor_config.json", json!({"image_seq_len": 64}))?;
    Ok(files)
}
