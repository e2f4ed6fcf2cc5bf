//! A run's numbers: `metrics.jsonl`, one object a line, and TensorBoard's event files beside it.
//!
//! ```text
//! let mut metrics = Metrics::open(run, step)?;           // step: the checkpoint that the run goes on from
//! metrics.write(&json!({"step": 7, "reward": 0.5}))?;    // both places
//! ```
//!
//! Names are TRL's where it has them. Objects inside objects become names with slashes for TensorBoard
//! (`{"eval": {"iou": ..}}` is `eval/iou`); what is no number stays in the JSON line.
//!
//! A run that was killed has written lines beyond its last checkpoint, and will write those steps again.
//! [`Metrics::open`] takes them out of `metrics.jsonl`, and a half line with them; TensorBoard is told by a
//! session start, after which it forgets them too. So a resumed run's numbers are those of an
//! uninterrupted one.

mod events;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::write;

/// Name of the JSON lines in a run's folder.
pub const FILE: &str = "metrics.jsonl";
/// Folder of the event files in a run's folder: what `tensorboard --logdir` is given.
pub const EVENTS: &str = "tensorboard";

/// Where a run's numbers go.
pub struct Metrics {
    run: PathBuf,
    lines: File,
    /// Made with the first line, so that a finished run that is started again leaves no empty file.
    events: Option<File>,
    /// The step that the run goes on from.
    first: u64,
}

impl Metrics {
    /// Opens the numbers of the run in a folder, which goes on from `step` (0: from its start).
    /// Lines of later steps are taken out.
    ///
    /// # Errors
    /// A folder that cannot be written; a line that is no JSON in the middle of the file.
    pub fn open(run: &Path, step: u64) -> Result<Self> {
        let path = run.join(FILE);
        forget_after(&path, step)?;
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("{}: cannot be opened", path.display()))?;
        Ok(Self {
            run: run.to_path_buf(),
            lines,
            events: None,
            first: step,
        })
    }

    /// Writes one object, which has a `step`, to both places. Nothing is held back: a kill right after
    /// loses nothing.
    ///
    /// # Errors
    /// An object without a step; a disk that is full.
    pub fn write(&mut self, line: &Value) -> Result<()> {
        let Some(step) = line["step"].as_u64() else {
            bail!("metrics: no step in {line}");
        };
        self.lines
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("{FILE}: cannot be written (is the disk full?)"))?;
        let values = numbers(line);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = now.map_or(0.0, |d| d.as_secs_f64());
        let mut bytes = Vec::new();
        if self.events.is_none() {
            let (file, number) = self.event_file(time)?;
            self.events = Some(file);
            bytes.extend(events::record(&events::version(time)));
            if number > 0 {
                // From its start a run may measure step 0 again.
                let again = if self.first == 0 { 0 } else { self.first + 1 };
                bytes.extend(events::record(&events::start(time, again)));
            }
        }
        bytes.extend(events::record(&events::scalars(time, step, &values)));
        if let Some(file) = &mut self.events {
            file.write_all(&bytes)
                .with_context(|| format!("{EVENTS}: cannot be written (is the disk full?)"))?;
        }
        Ok(())
    }

    /// A new file, and how many there were before. Its name sorts behind theirs: TensorBoard reads them
    /// in this order.
    fn event_file(&self, time: f64) -> Result<(File, usize)> {
        let folder = self.run.join(EVENTS);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot be made", folder.display()))?;
        let number = std::fs::read_dir(&folder)?.count();
        let path = folder.join(format!(
            "events.out.tfevents.{time:010.0}.cropvlm.{number:06}"
        ));
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok((file, number))
    }
}

/// Whether a run's folder holds what was measured at a step. A kill may have come between checkpoint and measuring.
pub fn measured(run: &Path, step: u64) -> bool {
    let text = std::fs::read_to_string(run.join(FILE)).unwrap_or_default();
    let measured = |line: Value| {
        let mut names = line.as_object().into_iter().flat_map(|line| line.keys());
        line["step"].as_u64() == Some(step) && names.any(|name| name.starts_with("eval/"))
    };
    let mut lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.any(measured)
}

/// Every number of an object under its path, the step aside. Infinities and NaN, which JSON writes as
/// null, are no numbers.
pub fn numbers(line: &Value) -> Vec<(String, f64)> {
    fn walk(name: &str, value: &Value, found: &mut Vec<(String, f64)>) {
        match value {
            Value::Number(number) => found.extend(number.as_f64().map(|v| (name.to_owned(), v))),
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = match name {
                        "" => field.clone(),
                        _ => format!("{name}/{field}"),
                    };
                    walk(&name, value, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", line, &mut found);
    found.retain(|(name, _)| name != "step");
    found
}

/// The same object with every name behind `prefix/` and nothing nested, for evaluations.
pub fn prefixed(prefix: &str, report: &Value, step: u64) -> Value {
    let mut line = serde_json::json!({ "step": step });
    for (name, value) in numbers(report) {
        line[format!("{prefix}/{name}")] = value.into();
    }
    line
}

/// Takes lines of later steps, and a last line that was cut off, out of a file.
fn forget_after(path: &Path, step: u64) -> Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let mut kept = String::with_capacity(text.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let value: Value = match serde_json::from_str(line) {
            Ok(value) if line.ends_with('\n') => value,
            _ if !line.ends_with('\n') => continue, // the kill came in the middle of it
            _ => bail!("{}, line {}: no JSON", path.display(), number + 1),
        };
        if value["step"].as_u64().is_none_or(|at| at <= step) {
            kept.push_str(line);
        }
    }
    if kept.len() == text.len() {
        return Ok(());
    }
    write::file(path, kept.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(run: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(run.join(FILE)).expect("metrics");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("json"))
            .collect()
    }

    #[test]
    fn a_resumed_run_has_the_lines_of_an_uninterrupted_one() {
        let run = tempfile::tempdir().expect("folder");
        let mut metrics = Metrics::open(run.path(), 0).expect("opens");
        for step in 1..=5 {
            metrics
                .write(&json!({"step": step, "loss": 1.0 / step as f64}))
                .expect("writes");
        }
        metrics
            .write(&json!({"step": 3, "eval/iou": 0.5}))
            .expect("writes");
        drop(metrics);
        // Killed in the middle of a line; the last checkpoint is that of step 3.
        let mut file = OpenOptions::new()
            .append(true)
            .open(run.path().join(FILE))
            .expect("opens");
        file.write_all(b"{\"step\": 6, \"lo").expect("writes");
        let mut metrics = Metrics::open(run.path(), 3).expect("opens");
        metrics
            .write(&json!({"step": 4, "loss": 9.0}))
            .expect("writes");
        let steps: Vec<u64> = lines(run.path())
            .iter()
            .filter_map(|l| l["step"].as_u64())
            .collect();
        assert_eq!(steps, [1, 2, 3, 3, 4]);
        assert_eq!(lines(run.path())[4]["loss"], 9.0);
        // One event file a start, in order; the second one says from where.
        let mut files: Vec<_> = std::fs::read_dir(run.path().join(EVENTS))
            .expect("folder")
            .map(|entry| entry.expect("entry").path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 2);
        assert!(
            files[1].to_string_lossy().ends_with(".cropvlm.000001"),
            "{files:?}"
        );
        let second = std::fs::read(&files[1]).expect("events");
        let start = events::start(1.0, 4);
        // Behind the wall time, of 9 bytes, the record is the same.
        assert!(second.windows(start.len() - 9).any(|w| w == &start[9..]));
    }

    #[test]
    fn a_run_that_has_nothing_to_add_leaves_no_file() {
        let run = tempfile::tempdir().expect("folder");
        Metrics::open(run.path(), 7).expect("opens");
        assert!(!run.path().join(EVENTS).exists());
    }

    #[test]
    fn a_broken_line_and_a_missing_step_are_named() {
        let run = tempfile::tempdir().expect("folder");
        std::fs::write(run.path().join(FILE), "{\"step\": 1}\nnonsense\n").expect("written");
        let error = Metrics::open(run.path(), 5).err().expect("refused");
        assert!(error.to_string().contains("line 2"), "{error}");
        std::fs::remove_file(run.path().join(FILE)).expect("removed");
        let mut metrics = Metrics::open(run.path(), 0).expect("opens");
        assert!(metrics.write(&json!({"loss": 1.0})).is_err());
    }

    #[test]
    fn numbers_are_found_at_any_depth() {
        let line = json!({
            "step": 3, "loss": 0.5, "note": "x", "bad": null,
            "eval": {"n": 2, "kinds": {"total": {"iou": 0.25}}},
        });
        let mut found = numbers(&line);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("eval/kinds/total/iou", 0.25),
            ("eval/n", 2.0),
            ("loss", 0.5),
        ];
        assert_eq!(found, expected.map(|(name, v)| (name.to_owned(), v)));
        assert_eq!(
            prefixed("eval", &json!({"iou": 0.5, "baseline": {"iou": 0.25}}), 4),
            json!({"step": 4, "eval/iou": 0.5, "eval/baseline/iou": 0.25})
        );
    }
}
