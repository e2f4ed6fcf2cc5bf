//! Checkpoints that a kill at any moment leaves whole, and that a run which diverged never replaces.
//!
//! A checkpoint is written beside its place and renamed into it (`write.rs`), so there is always one complete
//! checkpoint, the old or the new. What is read back is checked against the policy, file by file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use policy::Policy;
use serde::{Deserialize, Serialize};
use tensors::{Precision, Values};

use super::Diverged;
use super::optimizer::AdamW;
use crate::write;

const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

#[derive(Serialize, Deserialize)]
struct State {
    step: u64,
    optimizer_steps: u64,
    /// Tensors in the optimizer's file; not known in older checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    optimizer_tensors: Option<usize>,
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

    /// The step of the checkpoint, if there is one.
    ///
    /// # Errors
    /// A damaged `state.json`, by name.
    pub fn step(&self) -> Result<Option<u64>> {
        self.recover()?;
        match self.folder.exists() {
            true => Ok(Some(self.state()?.step)),
            false => Ok(None),
        }
    }

    /// Writes weights, optimizer and step, and further files of the run by name.
    ///
    /// # Errors
    /// [`Diverged`] where a number is NaN or infinite; a disk that is full or cannot be written. The old checkpoint
    /// stays.
    pub fn save(
        &self,
        step: u64,
        policy: &Policy,
        optimizer: &AdamW,
        further: &[(&str, Vec<u8>)],
    ) -> Result<()> {
        let (weights, moments) = (policy.weights()?, optimizer.tensors()?);
        for (name, (_, values)) in weights.iter().chain(&moments) {
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                let what = format!("step {step} made {value} of {name}: training has diverged");
                return Err(Diverged(what + " (a lower optimizer.lr helps)").into());
            }
        }
        let state = State {
            step,
            optimizer_steps: optimizer.steps,
            optimizer_tensors: Some(moments.len()),
        };
        let files = [
            (WEIGHTS, tensors::write(WEIGHTS, weights, Precision::F32)?),
            (
                OPTIMIZER,
                tensors::write(OPTIMIZER, moments, Precision::F32)?,
            ),
            (STATE, serde_json::to_vec_pretty(&state)?),
        ];
        let write = |new: &Path| -> Result<()> {
            for (name, bytes) in files.iter().chain(further) {
                std::fs::write(new.join(name), bytes)?;
            }
            Ok(())
        };
        write::folder(&self.folder, write).with_context(|| {
            format!(
                "{}: the checkpoint of step {step} cannot be written (is the disk full?); the one before it is kept",
                self.folder.display()
            )
        })
    }

    /// Puts the checkpoint, if there is one, into the policy and returns the step to go on with.
    ///
    /// # Errors
    /// A checkpoint of another network, or a damaged one, by the file.
    pub fn load(&self, policy: Policy, optimizer: &mut AdamW) -> Result<(Policy, u64)> {
        self.recover()?;
        if !self.folder.exists() {
            return Ok((policy, 0));
        }
        let state = self.state()?;
        let weights = self.tensors(WEIGHTS)?;
        let tensors = self.tensors(OPTIMIZER)?;
        let fits = fits(&state, &weights, &tensors);
        fits.with_context(|| self.damaged(OPTIMIZER))?;
        let policy = policy
            .with_weights(weights)
            .with_context(|| format!("checkpoint {}", self.folder.display()))?;
        optimizer.restore(state.optimizer_steps, tensors, &policy.device().inner());
        Ok((policy, state.step))
    }

    /// A further file of the checkpoint; `None` where it has none.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn further(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.folder.join(name).exists() {
            true => self.read(name).map(Some),
            false => Ok(None),
        }
    }

    /// Between two renames only the old one is there.
    fn recover(&self) -> Result<()> {
        write::recover(&self.folder)
    }

    fn state(&self) -> Result<State> {
        serde_json::from_slice(&self.read(STATE)?).with_context(|| self.damaged(STATE))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))
    }

    fn tensors(&self, name: &str) -> Result<HashMap<String, Values>> {
        tensors::read(name, &self.read(name)?).with_context(|| self.damaged(name))
    }

    fn damaged(&self, name: &str) -> String {
        format!(
            "{}: this file of the checkpoint is damaged; put a copy back, or begin anew in another --out",
            self.folder.join(name).display()
        )
    }
}

/// Whether an optimizer's tensors belong to these weights: none missing, none of another shape, all numbers.
fn fits(
    state: &State,
    weights: &HashMap<String, Values>,
    tensors: &HashMap<String, Values>,
) -> Result<()> {
    if tensors.is_empty() && state.optimizer_steps > 0 {
        bail!("it is empty");
    }
    if let Some(count) = state.optimizer_tensors
        && count != tensors.len()
    {
        bail!("it holds {} tensors of {count}", tensors.len());
    }
    for (name, (shape, values)) in tensors {
        let of = name.rsplit_once('.').map(|(of, _)| of);
        match of.and_then(|of| weights.get(of)) {
            None => bail!("{name} belongs to no weight"),
            Some((expected, _)) if expected != shape => {
                bail!("{name}: expected shape {expected:?}, found {shape:?}")
            }
            Some(_) => {}
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            bail!("{name} holds {value}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use policy::MapConfig;

    use super::*;
    use crate::train::OptimizerConfig;

    #[test]
    fn weights_that_are_no_numbers_never_replace_a_checkpoint() {
        let run = tempfile::tempdir().unwrap();
        let place = Checkpoint::new(run.path());
        let policy = Policy::random_map(&MapConfig::tiny(), 1, &Device::flex()).unwrap();
        let mut optimizer = AdamW::new(&OptimizerConfig::default());
        place.save(3, &policy, &optimizer, &[]).unwrap();
        let before = std::fs::read(run.path().join("checkpoint/weights.safetensors")).unwrap();
        for broken in [f32::NAN, f32::INFINITY] {
            let mut weights: HashMap<String, Values> =
                policy.weights().unwrap().into_iter().collect();
            let name = weights.keys().min().unwrap().clone();
            weights.get_mut(&name).unwrap().1[0] = broken;
            let moment = (format!("{name}.first"), weights[&name].clone());
            let second = (format!("{name}.second"), weights[&name].clone());
            optimizer.restore(4, HashMap::from([moment, second]), &Device::flex());
            let error = place.save(4, &policy, &optimizer, &[]).unwrap_err();
            assert!(error.is::<Diverged>(), "{error}");
            assert!(error.to_string().contains(&name), "{error}");
            assert_eq!(place.step().unwrap(), Some(3));
        }
        let after = std::fs::read(run.path().join("checkpoint/weights.safetensors")).unwrap();
        assert!(before == after);
    }
}
