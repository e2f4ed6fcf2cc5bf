//! Model folders without weights whose shape is SmolVLM-256M's, so that speed can be measured without
//! a download. The tokenizer is the tiny preset's: it writes a question in about three times as many
//! tokens as the real one, which is a small part of the step.

use anyhow::Result;
use serde_json::{Value, json};
use smolvlm::{ModelFiles, tiny};

/// The folder of SmolVLM-256M's shape (its `config.json`, published with the checkpoint).
pub fn smolvlm_256m() -> Result<ModelFiles> {
    let mut files = tiny::files();
    edit(&mut files, "config.json", |config| {
        config["scale_factor"] = json!(4);
        config["text_config"] = json!({
            "model_type": "llama", "vocab_size": 49280, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100_000,
            "hidden_act": "silu", "pad_token_id": 2,
        });
        config["vision_config"] = json!({
            "model_type": "idefics3_vision", "hidden_size": 768, "intermediate_size": 3072,
            "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 512, "patch_size": 16,
            "layer_norm_eps": 1e-6,
        });
    })?;
    edit(&mut files, "preprocessor_config.json", |config| {
        config["max_image_size"] = json!({"longest_edge": 512});
        config["size"] = json!({"longest_edge": 2048});
    })?;
    edit(&mut files, "processor_config.json", |config| {
        config["image_seq_len"] = json!(64);
    })?;
    Ok(files)
}

fn edit(files: &mut ModelFiles, name: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut content: Value = files.json(name)?;
    change(&mut content);
    files.insert(name, serde_json::to_vec(&content)?);
    Ok(())
}
