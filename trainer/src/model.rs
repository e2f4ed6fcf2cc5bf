//! `--model DIR --adapter PEFT_DIR`: what every command that uses a model takes.

use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::{ModelFiles, Policy};
use smolvlm::SmolVlm;

use crate::reader::require_text_model;

/// A model folder, and an adapter to put on it.
#[derive(clap::Args, Debug, Clone)]
pub struct ModelArgs {
    /// Model folder: models/default, or any Hugging Face folder of an Idefics3 model (SmolVLM)
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// LoRA adapter to put on a text model: a PEFT folder (adapter_config.json and
    /// adapter_model.safetensors)
    #[arg(long, value_name = "PEFT_DIR")]
    pub adapter: Option<PathBuf>,
}

impl ModelArgs {
    /// The policy, its adapter on.
    ///
    /// # Errors
    /// A folder that cannot be read or does not fit, by name.
    pub fn policy(&self, device: &Device) -> Result<Policy> {
        let mut policy = Policy::load(&ModelFiles::from_dir(&self.model)?, device)
            .with_context(|| format!("model folder {}", self.model.display()))?;
        if let Some(dir) = &self.adapter {
            ModelFiles::from_dir(dir)
                .map_err(policy::PolicyError::from)
                .and_then(|files| policy.load_adapter(&files))
                .with_context(|| format!("adapter folder {}", dir.display()))?;
        }
        Ok(policy)
    }

    /// The text model for `command`, its adapter on.
    ///
    /// # Errors
    /// A folder of another kind of model; one that cannot be read or does not fit, by name.
    pub fn text_model(&self, command: &str, device: &Device) -> Result<SmolVlm> {
        require_text_model(&self.model, command)?;
        let mut model = SmolVlm::load(&ModelFiles::from_dir(&self.model)?, device)
            .with_context(|| format!("model folder {}", self.model.display()))?;
        if let Some(dir) = &self.adapter {
            ModelFiles::from_dir(dir)
                .and_then(|files| model.load_adapter(&files))
                .with_context(|| format!("adapter folder {}", dir.display()))?;
        }
        Ok(model)
    }
}
