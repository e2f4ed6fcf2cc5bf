//! `--model DIR --adapter PEFT_DIR`: what every command that uses a model takes; and what to do where there is no such
//! folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
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
        let mut policy = Policy::load(&files(&self.model)?, device)
            .with_context(|| format!("model folder {}", self.model.display()))?;
        if let Some(dir) = &self.adapter {
            policy
                .load_adapter(&files(dir)?)
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
        let mut model = SmolVlm::load(&files(&self.model)?, device)
            .with_context(|| format!("model folder {}", self.model.display()))?;
        if let Some(dir) = &self.adapter {
            model
                .load_adapter(&files(dir)?)
                .with_context(|| format!("adapter folder {}", dir.display()))?;
        }
        Ok(model)
    }
}

/// The files of a model folder.
///
/// # Errors
/// As [`there`]; a file that cannot be read, by name.
pub fn files(dir: &Path) -> Result<ModelFiles> {
    there(dir)?;
    Ok(ModelFiles::from_dir(dir)?)
}

/// Checks that a model's folder is there.
///
/// # Errors
/// There is none. A name of the Hugging Face hub is no folder: `cropvlm pull` makes one of it.
pub fn there(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let shown = dir.display();
    if dir.exists() {
        bail!("{shown}: is a file, where the folder that holds a model is meant");
    }
    let Some(name) = hub_name(dir) else {
        bail!(
            "{shown}: there is no such folder. A model is a folder with a config.json, such as models/default"
        );
    };
    let folder = name.rsplit('/').next().unwrap_or(&name);
    if folder != dir.as_os_str() && Path::new(folder).is_dir() {
        bail!("{shown}: there is no such folder here, but there is {folder}: name that one");
    }
    bail!(
        "{shown}: there is no such folder. If the model of this name on the Hugging Face hub is meant, get it first: \
         `cropvlm pull {name} --include \"*.json\" --include \"*.safetensors\"`, and then name the folder {folder}"
    )
}

/// Who publishes the models that are called by a name without its owner.
const OWNER: &str = "HuggingFaceTB";

/// Owner and name on the hub, where a path that is no folder looks like them: `owner/name`, the address of its page, or
/// the bare name of a SmolVLM.
fn hub_name(dir: &Path) -> Option<String> {
    let text = dir.to_str()?;
    let text = ["https://huggingface.co/", "https://hf.co/"]
        .iter()
        .find_map(|page| text.strip_prefix(page))
        .unwrap_or(text)
        .trim_end_matches('/');
    let plain = |part: &str| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(letter)
    };
    match text.split_once('/') {
        // `runs/first/model` and the like are folders here, and so is what lies beside what is there.
        Some((owner, name)) => {
            let known = plain(owner) && plain(name) && !Path::new(owner).exists();
            known.then(|| text.to_owned())
        }
        None if plain(text) && text.starts_with("SmolVLM") => {
            let instruct = if text.ends_with("B") || text.ends_with("M") {
                "-Instruct" // the published ones are called so
            } else {
                ""
            };
            Some(format!("{OWNER}/{text}{instruct}"))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_told_from_folders() {
        let name = |text: &str| hub_name(Path::new(text));
        let smol = Some("HuggingFaceTB/SmolVLM-500M-Instruct".to_owned());
        for text in [
            "HuggingFaceTB/SmolVLM-500M-Instruct",
            "https://huggingface.co/HuggingFaceTB/SmolVLM-500M-Instruct/",
            "SmolVLM-500M-Instruct",
            "SmolVLM-500M",
        ] {
            assert_eq!(name(text), smol, "{text}");
        }
        // `src/` is there, where this test runs: a typing error, no owner.
        for text in [
            "runs/first/model",
            "./mine/model",
            "absent",
            "/tmp/model",
            "src/first",
            "../x/y",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
