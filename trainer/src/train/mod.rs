//! What every kind of training shares: optimizer, checkpoints, the run's folder, progress.
//!
//! A run's folder holds `config.toml` (resolved), `metrics.jsonl`, `checkpoint/` and `model/`, and
//! `changes.jsonl` where it went on with another configuration (`folder.rs`).
//! Folders are replaced by renaming and journals are cut back to the checkpoint when a run is
//! resumed, so that a run killed at any moment goes on as if it had not been.

pub mod checkpoint;
mod ending;
mod folder;
mod gradients;
pub mod journal;
pub mod optimizer;
pub mod progress;
pub mod reduce;
mod settings;

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::{ModelFiles, Policy};

use crate::write;

pub use self::checkpoint::Checkpoint;
pub use self::ending::ending;
pub use self::folder::RunFolder;
pub use self::gradients::{Accumulator, by_name};
pub use self::journal::Journal;
pub use self::optimizer::{AdamW, OptimizerConfig, norm};
pub use self::progress::{Progress, duration};
pub use self::settings::read as read_settings;

/// The commit that the working folder is at, where it is a git checkout. Read from the files: `git`
/// need not be there.
fn commit() -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let root = here.ancestors().find(|dir| dir.join(".git").is_dir())?;
    let git = root.join(".git");
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_string());
    };
    let loose = std::fs::read_to_string(git.join(name)).ok();
    let packed = || {
        let all = std::fs::read_to_string(git.join("packed-refs")).ok()?;
        let line = all.lines().find(|line| line.ends_with(name))?;
        line.split(' ').next().map(str::to_string)
    };
    loose.map(|c| c.trim().to_string()).or_else(packed)
}

/// Writes `model/`, the folder that every command loads (an adapter merged into it), and `adapter/`, a
/// PEFT folder, where there is an adapter.
///
/// # Errors
/// A device that does not deliver, a disk that is full; the old folders stay.
pub fn save_model(out: &Path, policy: &Policy) -> Result<()> {
    let save = |name: &str, files: ModelFiles| {
        write::folder(&out.join(name), |new| Ok(files.save(new)?)).context("is the disk full?")
    };
    save("model", pollster::block_on(policy.files())?)?;
    match pollster::block_on(policy.adapter_files())? {
        Some(files) => save("adapter", files),
        None => Ok(()),
    }
}

/// The device with gradients; with `checkpointing`, elementwise results are computed again on the way
/// back instead of kept (burn's balanced strategy).
pub fn training_device(device: Device, checkpointing: bool) -> Device {
    let device = device.autodiff();
    match checkpointing {
        true => device.gradient_checkpointing(),
        false => device,
    }
}

/// The policy whose weights are measured and exported: the optimizer's average, where it keeps one.
///
/// # Errors
/// A device that does not deliver.
pub fn averaged(policy: &Policy, optimizer: &AdamW) -> Result<Policy> {
    let frozen = policy.without_gradients();
    match optimizer.averaged(policy)? {
        Some(weights) => Ok(frozen.with_weights(weights)?),
        None => Ok(frozen),
    }
}

/// Training that has come to NaN or infinity. What it holds then is not worth keeping.
#[derive(Debug)]
pub struct Diverged(String);

impl std::fmt::Display for Diverged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(what) = self;
        write!(f, "{what}; the last good checkpoint is kept")
    }
}

impl std::error::Error for Diverged {}

/// A number that training may go on with; `what` says whose number it is.
///
/// # Errors
/// [`Diverged`] on NaN and infinity.
pub fn finite(value: f64, what: &str) -> Result<f64> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Diverged(format!("{what} is {value}")).into()),
    }
}

/// Saves the steps since the last checkpoint before a run ends with an error, unless it is that training diverged.
/// The error is given back, with what was saved.
pub fn save_before(
    error: anyhow::Error,
    place: &Checkpoint,
    step: u64,
    policy: &Policy,
    optimizer: &AdamW,
    further: &[(&str, Vec<u8>)],
) -> anyhow::Error {
    let diverged = error.chain().any(|cause| cause.is::<Diverged>());
    if diverged || place.step().ok().flatten().unwrap_or(0) >= step {
        return error;
    }
    match place.save(step, policy, optimizer, further) {
        Ok(()) => error.context(format!(
            "ended by an error after step {step}, which is saved; the same command goes on from there"
        )),
        Err(lost) => error.context(format!("{lost:#}")),
    }
}

/// Largest resident memory of this program so far, in bytes; Linux says it, others do not.
pub fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use policy::MapConfig;

    use super::*;

    /// A disk that fails in a step is one thing; a policy that is no good any more is another.
    #[test]
    fn an_error_saves_first_but_a_run_that_diverged_does_not() {
        let run = tempfile::tempdir().unwrap();
        let place = Checkpoint::new(run.path());
        let policy = Policy::random_map(&MapConfig::tiny(), 1, &Device::flex()).unwrap();
        let optimizer = AdamW::new(&OptimizerConfig::default());
        let diverged = finite(f64::NAN, "the loss").unwrap_err().context("step 8");
        let error = save_before(diverged, &place, 7, &policy, &optimizer, &[]);
        assert!(
            format!("{error:#}").contains("the loss is NaN"),
            "{error:#}"
        );
        assert_eq!(place.step().unwrap(), None);
        let broken = anyhow::anyhow!("page 3 cannot be read");
        let error = save_before(broken, &place, 7, &policy, &optimizer, &[]);
        let text = format!("{error:#}");
        assert!(
            text.contains("page 3") && text.contains("after step 7, which is saved"),
            "{text}"
        );
        assert_eq!(place.step().unwrap(), Some(7));
    }
}
