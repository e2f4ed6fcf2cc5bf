//! What a run's folder says: `config.toml`, `metrics.jsonl`, `rollouts.jsonl`.
//!
//! Runs are read while they go on: a last line that is half written is left out. Evaluations of older
//! runs, whose names lack `eval/`, are known by what they hold.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grounding::NormBox;
use serde::Deserialize;
use serde_json::Value;

use crate::metrics;

const ROLLOUTS: &str = "rollouts.jsonl";
const CONFIG: &str = "config.toml";

/// One number over the run: step and value.
pub type Series = Vec<(u64, f64)>;

/// A run.
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// The folder's name.
    pub name: String,
    /// The resolved configuration, as it stands there.
    pub config: Option<String>,
    /// Every number, by name.
    pub series: BTreeMap<String, Series>,
    /// Groups of rollouts, evenly over the run.
    pub groups: Vec<Group>,
    /// Groups that the run has in all.
    pub groups_in_all: usize,
}

/// The rollouts of one prompt.
#[derive(Debug, Clone, Deserialize)]
pub struct Group {
    /// Step, from 1.
    pub step: u64,
    /// The question's id.
    #[serde(default)]
    pub id: String,
    /// The picture's path.
    pub image: String,
    /// What was asked.
    pub question: String,
    /// The answer that the reward is about.
    #[serde(default)]
    pub answer: String,
    /// Where the evidence stands, where that is known.
    #[serde(default)]
    pub true_boxes: Vec<NormBox>,
    /// What the policy proposed.
    pub rollouts: Vec<Rollout>,
}

/// One proposal and what it was worth.
#[derive(Debug, Clone, Deserialize)]
pub struct Rollout {
    /// The box; none for an invalid completion.
    #[serde(rename = "box", default)]
    pub bbox: Option<NormBox>,
    /// What the policy wrote.
    #[serde(default)]
    pub completion: String,
    /// Rewards by name.
    #[serde(default)]
    pub rewards: BTreeMap<String, Option<f64>>,
    /// Their weighted sum.
    pub reward: Option<f64>,
    /// The reward beside the group's mean.
    pub advantage: Option<f64>,
    /// Log-probability under the policy that wrote it.
    #[serde(default)]
    pub logprob: Option<f64>,
}

impl Run {
    /// Reads a run, with at most `groups` groups of rollouts.
    ///
    /// # Errors
    /// A folder that is no run; a line that is not what it should be, with its number.
    pub fn open(folder: &Path, groups: usize) -> Result<Self> {
        if !folder.is_dir() {
            bail!(
                "{}: no such folder; a run is the folder that `sft --out` or `grpo --out` wrote",
                folder.display()
            );
        }
        let here = |name: &str| folder.join(name).is_file();
        if !here(metrics::FILE) && !here(ROLLOUTS) {
            bail!(
                "{}: this is no run: it holds neither {} nor {ROLLOUTS}; name the folder that `sft --out` \
                 or `grpo --out` wrote",
                folder.display(),
                metrics::FILE
            );
        }
        let mut run = Self {
            folder: folder.to_path_buf(),
            name: name_of(folder),
            config: std::fs::read_to_string(folder.join(CONFIG)).ok(),
            series: BTreeMap::new(),
            groups: Vec::new(),
            groups_in_all: 0,
        };
        if here(metrics::FILE) {
            each_line(&folder.join(metrics::FILE), |_, line| {
                run.take_metrics(line)
            })?;
        }
        if here(ROLLOUTS) {
            run.take_rollouts(&folder.join(ROLLOUTS), groups)?;
        }
        if run.series.is_empty() && run.groups_in_all == 0 {
            bail!(
                "{}: the run has no numbers yet; wait for its first steps",
                folder.display()
            );
        }
        Ok(run)
    }

    fn take_metrics(&mut self, line: &str) -> Result<()> {
        let value: Value = serde_json::from_str(line)?;
        let step = value["step"].as_u64().context("no step")?;
        let old_evaluation = value.get("full_recall").is_some() && value.get("loss").is_none();
        for (name, number) in metrics::numbers(&value) {
            let name = if old_evaluation {
                format!("eval/{name}")
            } else {
                name
            };
            let series = self.series.entry(name).or_default();
            // A run that was resumed by an older version wrote some steps twice: the later ones count.
            while series.last().is_some_and(|&(last, _)| last >= step) {
                series.pop();
            }
            series.push((step, number));
        }
        Ok(())
    }

    /// Reads the file twice, since it may hold thousands of groups: to count, then to take some.
    fn take_rollouts(&mut self, path: &Path, wanted: usize) -> Result<()> {
        let mut in_all = 0;
        each_line(path, |_, _| {
            in_all += 1;
            Ok(())
        })?;
        let places = spread(in_all, wanted);
        let mut places = places.iter().peekable();
        each_line(path, |at, line| {
            if places.next_if(|&&place| place == at).is_some() {
                self.groups.push(serde_json::from_str(line)?);
            }
            Ok(())
        })?;
        self.groups_in_all = in_all;
        Ok(())
    }

    /// The value of a key of the configuration's first level, or of any table in it.
    pub fn setting(&self, key: &str) -> Option<String> {
        let table: toml::Table = self.config.as_ref()?.parse().ok()?;
        let found = table.get(key).or_else(|| {
            let mut tables = table.values().filter_map(toml::Value::as_table);
            tables.find_map(|inner| inner.get(key))
        })?;
        Some(match found {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// What a comment `# KEY VALUE` of the configuration says.
    pub fn comment(&self, key: &str) -> Option<String> {
        let lines = self.config.as_ref()?.lines();
        let mut comments = lines.filter_map(|line| line.strip_prefix("# ")?.split_once(' '));
        comments
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim().to_owned())
    }

    /// The last step that anything is known of.
    pub fn last_step(&self) -> u64 {
        let numbers = self.series.values().filter_map(|s| s.last().map(|p| p.0));
        numbers
            .chain(self.groups.iter().map(|g| g.step))
            .max()
            .unwrap_or(0)
    }
}

/// `n` of `all` places, evenly, first and last included.
pub fn spread(all: usize, n: usize) -> Vec<usize> {
    match (all, n) {
        (_, 0) | (0, _) => Vec::new(),
        (all, n) if n >= all => (0..all).collect(),
        (all, 1) => vec![all - 1],
        (all, n) => (0..n).map(|i| i * (all - 1) / (n - 1)).collect(),
    }
}

fn name_of(folder: &Path) -> String {
    let whole = folder
        .canonicalize()
        .unwrap_or_else(|_| folder.to_path_buf());
    whole.file_name().map_or_else(
        || "run".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Calls `take` with the number and text of every whole line that is not empty. The last one may be half
/// written, and is left out then.
fn each_line(path: &Path, mut take: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
    let context = || format!("{}: cannot be read", path.display());
    let mut reader = BufReader::new(std::fs::File::open(path).with_context(context)?);
    let (mut line, mut number, mut taken) = (String::new(), 0, 0);
    loop {
        line.clear();
        if reader.read_line(&mut line).with_context(context)? == 0 {
            return Ok(());
        }
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        match take(taken, &line) {
            Ok(()) => taken += 1,
            Err(_) if !line.ends_with('\n') => return Ok(()),
            Err(error) => {
                return Err(error.context(format!(
                    "{}, line {number}: not what a run writes",
                    path.display()
                )));
            }
        }
    }
}
