//! Checkpoints that a kill at any moment leaves whole.
//!
//! A checkpoint is written to a folder of its own and then renamed into place, so there is always
//! one complete checkpoint, the old or the new.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use policy::Policy;
use policy::map::weights;
use serde::{Deserialize, Serialize};

use super::optimizer::AdamW;

/// Replaces a folder by what `write` puts into a new one: at any moment there is a whole one, the
/// old or the new, at `folder` or (between two renames) beside it with the ending `old`.
///
/// # Errors
/// Those of `write` and of the disk; the old folder stays.
pub fn replace_folder(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let (new, old) = (folder.with_extension("new"), folder.with_extension("old"));
    if new.exists() {
        std::fs::remove_dir_all(&new)?;
    }
    std::fs::create_dir_all(&new)?;
    if let Err(error) = write(&new) {
        // What a full disk holds of it is in the way of everything else.
        let _ = std::fs::remove_dir_all(&new);
        return Err(error);
    }
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    if folder.exists() {
        std::fs::rename(folder, &old)?;
    }
    std::fs::rename(&new, folder)?;
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct State {
    step: u64,
    optimizer_steps: u64,
}

/// Where a run keeps its checkpoint.
pub struct Checkpoint {
    folder: PathBuf,
}

impl Checkpoint {
    /// The checkpoint of a run's folder.
    pub fn new(run: &Path) -> Self {
        Self {
            folder: run.join("checkpoint"),
        }
    }

    /// Writes weights, optimizer and step.
    ///
    /// # Errors
    /// A disk that is full or cannot be written; the old checkpoint stays.
    pub fn save(&self, step: u64, policy: &Policy, optimizer: &AdamW) -> Result<()> {
        let write = |new: &Path| -> Result<()> {
            let file = |name: &str, bytes: Vec<u8>| -> Result<()> {
                let path = new.join(name);
                let mut file = std::fs::File::create(&path)?;
                std::io::Write::write_all(&mut file, &bytes)?;
                Ok(file.sync_all()?)
            };
            file(
                "weights.safetensors",
                weights::write(policy.weights()?, false)?,
            )?;
            file(
                "optimizer.safetensors",
                weights::write(optimizer.tensors()?, false)?,
            )?;
            let state = State {
                step,
                optimizer_steps: optimizer.steps,
            };
            file("state.json", serde_json::to_vec_pretty(&state)?)
        };
        replace_folder(&self.folder, write).with_context(|| {
            format!(
                "{}: the checkpoint of step {step} cannot be written (is the disk full?); the one before it is kept",
                self.folder.display()
            )
        })
    }

    /// Puts the checkpoint, if there is one, into the policy and returns the step to go on with.
    ///
    /// # Errors
    /// A checkpoint of another network, or a damaged one.
    pub fn load(&self, policy: Policy, optimizer: &mut AdamW) -> Result<(Policy, u64)> {
        // Between two renames only the old one is there.
        let old = self.folder.with_extension("old");
        if !self.folder.exists() && old.exists() {
            std::fs::rename(&old, &self.folder)?;
        }
        if !self.folder.exists() {
            return Ok((policy, 0));
        }
        let context = || format!("checkpoint {}", self.folder.display());
        let read = |name: &str| {
            std::fs::read(self.folder.join(name))
                .with_context(|| format!("{}: cannot be read", self.folder.join(name).display()))
        };
        let state: State = serde_json::from_slice(&read("state.json")?).with_context(context)?;
        let weights = weights::read(&read("weights.safetensors")?).with_context(context)?;
        let policy = policy.with_weights(weights).with_context(context)?;
        let tensors = weights::read(&read("optimizer.safetensors")?).with_context(context)?;
        optimizer.restore(state.optimizer_steps, tensors, &policy.device().inner());
        Ok((policy, state.step))
    }
}
