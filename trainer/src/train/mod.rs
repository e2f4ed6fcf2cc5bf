//! What every kind of training shares: optimizer, checkpoints, the run's folder, progress.
//!
//! A run's folder holds `config.toml` (resolved), `metrics.jsonl`, `checkpoint/` and `model/`.
//! Folders are replaced by renaming and journals are cut back to the checkpoint when a run is
//! resumed, so that a run killed at any moment goes on as if it had not been.

pub mod checkpoint;
mod ending;
mod gradients;
pub mod journal;
pub mod optimizer;
pub mod progress;
pub mod reduce;
mod settings;

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use policy::{ModelFiles, Policy};
use serde::Serialize;

pub use self::checkpoint::{Checkpoint, replace_folder};
pub use self::ending::ending;
pub use self::gradients::{Accumulator, by_name};
pub use self::journal::Journal;
pub use self::optimizer::{AdamW, OptimizerConfig, norm};
pub use self::progress::{Progress, duration};
pub use self::settings::{override_all, read as read_settings};

/// Makes the run's folder and writes the resolved configuration into it.
///
/// # Errors
/// A folder that cannot be written.
pub fn open_folder(out: &Path, config: &impl Serialize) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot be made", out.display()))?;
    let commit = commit().map_or(String::new(), |c| format!("# commit {c}\n"));
    let resolved = commit + &toml::to_string_pretty(config)?;
    std::fs::write(out.join("config.toml"), resolved)
        .with_context(|| format!("{}: cannot be written", out.display()))
}

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
        let folder = out.join(name);
        replace_folder(&folder, |new| Ok(files.save(new)?)).with_context(|| {
            let folder = folder.display();
            format!("{folder}: cannot be written (is the disk full?)")
        })
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

/// A number that training may go on with.
///
/// # Errors
/// NaN and infinity; `what` says whose number it is, `about` names the samples.
pub fn finite(value: f64, what: &str, about: &str) -> Result<f64> {
    if !value.is_finite() {
        bail!("{what} is {value}; the last good checkpoint is kept; {about}");
    }
    Ok(value)
}

/// Largest resident memory of this program so far, in bytes; Linux says it, others do not.
pub fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
