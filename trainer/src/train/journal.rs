//! JSON lines that a run appends to beside its metrics: rollouts.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::write;

/// A file of JSON lines, each with its `step`.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens a journal to go on after `step`, 0 to begin anew. Lines of later steps (a killed run wrote
    /// them after its last checkpoint, and they will come again) and a line cut in half are dropped.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        let what = || format!("{}: cannot be opened", path.display());
        if path.exists() {
            let text = std::fs::read_to_string(path).with_context(what)?;
            let kept = |at: u64| step > 0 && at <= step;
            let kept: String = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n') && step_of(line).is_some_and(kept))
                .collect();
            if kept.len() != text.len() {
                write::file(path, kept.as_bytes())?;
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(what)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn write(&mut self, line: &Value) -> Result<()> {
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| {
                format!(
                    "{}: cannot be written (is the disk full?)",
                    self.path.display()
                )
            })
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?["step"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_checkpoint_goes() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("rollouts.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"st").expect("file");
        let mut journal = Journal::open(&path, 2).expect("journal");
        journal
            .write(&serde_json::json!({"step": 3, "again": true}))
            .expect("line");
        let text = std::fs::read_to_string(&path).expect("text");
        assert_eq!(
            text,
            "{\"step\":1}\n{\"step\":2}\n{\"again\":true,\"step\":3}\n"
        );
    }
}
