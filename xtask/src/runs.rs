//! Steps of `cropvlm` that are done once: what `recipe` and `focus` make their tables of.
//!
//! A step leaves a stamp of its command, its configuration and the stamps before it; what is done in the same way is not
//! done again, and a step that was killed goes on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step::{run as run_command, step};
use crate::{program, root};

/// What was measured of a run in a folder of runs, where it was.
///
/// # Errors
/// A measurement that cannot be read.
pub fn measured(out: &str, name: &str) -> Result<Option<Value>> {
    let file = measurement(out, name);
    if !file.is_file() {
        return Ok(None);
    }
    let about = || format!("{}", file.display());
    let text = std::fs::read_to_string(&file).with_context(about)?;
    Ok(Some(serde_json::from_str(&text).with_context(about)?))
}

fn measurement(out: &str, name: &str) -> PathBuf {
    root()
        .join(out)
        .join("measured")
        .join(format!("{name}.json"))
}

/// A folder of runs.
pub struct Runs {
    out: &'static str,
    stamps: PathBuf,
}

impl Runs {
    /// Opens or makes it.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn new(out: &'static str) -> Result<Self> {
        let stamps = root().join(out).join("done");
        for folder in [stamps.clone(), root().join(out).join("measured")] {
            std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        }
        Ok(Self { out, stamps })
    }

    /// Runs a command that has not been run in this way, and returns its stamp. What an earlier way left is removed.
    ///
    /// # Errors
    /// The command's.
    pub fn once(&self, name: &str, before: &[String], line: &[String]) -> Result<String> {
        let stamp = [&before.join("\n"), &line.join(" ")]
            .map(String::as_str)
            .join("\n");
        if self.stamp(name).is_ok_and(|old| old == stamp) {
            return Ok(stamp);
        }
        // What was begun in this way and killed goes on.
        let begun = format!("{name}.begun");
        if self.stamp(&begun).is_ok_and(|old| old != stamp) {
            remove(&root().join(self.out).join(name))?;
        }
        self.leave(&begun, &stamp)?;
        step(name, || run_command(&mut call(line)))?;
        self.leave(name, &stamp)?;
        Ok(stamp)
    }

    /// The same for a command whose JSON is kept.
    ///
    /// # Errors
    /// The command's.
    pub fn measure(&self, name: &str, before: &str, line: &[String]) -> Result<()> {
        let stamp = format!("{before}\n{}", line.join(" "));
        let mark = format!("{name}.measured");
        let file = measurement(self.out, name);
        if file.is_file() && self.stamp(&mark).is_ok_and(|old| old == stamp) {
            return Ok(());
        }
        let found = step(&format!("{name}: measured"), || {
            program::json(&mut call(line))
        })?;
        std::fs::write(&file, format!("{found}\n"))
            .with_context(|| format!("{}", file.display()))?;
        self.leave(&mark, &stamp)
    }

    /// What a step was done with.
    ///
    /// # Errors
    /// One that has not been done.
    pub fn stamp(&self, name: &str) -> Result<String> {
        let file = self.stamps.join(name);
        std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))
    }

    fn leave(&self, name: &str, stamp: &str) -> Result<()> {
        let file = self.stamps.join(name);
        std::fs::write(&file, stamp).with_context(|| format!("{}", file.display()))
    }
}

/// A command's words.
pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn call(line: &[String]) -> std::process::Command {
    program::call(&line.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Removes what a step made: a run's folder, or the file of boxes with its settings.
fn remove(folder: &Path) -> Result<()> {
    for file in ["jsonl", "jsonl.settings"] {
        let file = folder.with_extension(file);
        if file.is_file() {
            std::fs::remove_file(&file).with_context(|| format!("{}", file.display()))?;
        }
    }
    if folder.is_dir() {
        std::fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    Ok(())
}

/// A share in percent.
pub fn share(value: &Value) -> Option<f64> {
    value.as_f64().map(|v| 100.0 * v)
}

/// Mean and deviation of a number, `61.0 ± 3.2`; one value alone has no deviation.
pub fn over<'a>(
    found: impl IntoIterator<Item = &'a Value>,
    number: impl Fn(&Value) -> Option<f64>,
) -> String {
    let values: Vec<f64> = found.into_iter().filter_map(number).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let digits = if mean.abs() < 10.0 { 2 } else { 1 };
    match values.len() {
        0 => String::new(),
        1 => format!("{mean:.digits$}"),
        _ => {
            let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            let deviation = (squares / (n - 1.0)).sqrt();
            format!("{mean:.digits$} ± {deviation:.digits$}")
        }
    }
}
