//! The configuration of `cropvlm sft`; unknown keys are refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use policy::{LoraConfig, MapConfig};
use serde::{Deserialize, Serialize};

use super::answer::AnswerConfig;
use crate::data::{MAX_BAD, check_max_bad};
use crate::device::Frozen;
use crate::train::{OptimizerConfig, override_all};

/// Everything that a run depends on, beside the data's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftConfig {
    /// Seed of weights, order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// What is taught: boxes or answer.
    #[serde(default)]
    pub task: Task,
    /// Optimizer steps.
    pub steps: u64,
    /// Minutes after which the run ends, whatever is left of `steps`; the learning rate then falls by the clock where that
    /// is ahead of the steps. For a graphics card that is lent: such a run cannot be repeated bit for bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Pages a step (task `boxes`, as the next two).
    #[serde(default)]
    pub pages: usize,
    /// Questions a page and step; 0 with `reading`: the map policy learns nothing but to read.
    #[serde(default)]
    pub questions: usize,
    /// Whether the map policy learns to read the printed lines of its pages.
    #[serde(default)]
    pub reading: bool,
    /// Text policy: weight of what its vision tower learns beside the words, the cells that hold the evidence. 0, as in
    /// the paper: nothing.
    #[serde(default)]
    pub dense: f64,
    /// Batches a step, whose gradients are added up: as many pages more, on a graphics card in no more memory, on a processor
    /// computed side by side, a core each.
    #[serde(default = "one")]
    pub accumulation: u64,
    /// Whether cheap intermediate results are computed again on the way back instead of kept.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.jsonl.
    #[serde(default = "ten")]
    pub log_every: u64,
    /// Longest edge at which pages are kept in memory, pixels.
    #[serde(default = "cache_edge")]
    pub cache_edge: u32,
    /// Share of the samples that may have missing or broken pictures: they are skipped and named; more of them end the run.
    #[serde(default = "max_bad")]
    pub max_bad: f64,
    /// A model folder to start from, in place of random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Residual blocks of the map policy of `init` at strides 8, 16 and 32, in place of its own: at least as many. The
    /// new ones begin by changing nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<[usize; 3]>,
    /// Pixels of the canvas that the map policy of `init` is trained on and keeps, in place of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canvas_pixels: Option<usize>,
    /// Learning rate and the like.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Shape of the network.
    #[serde(default)]
    pub model: MapConfig,
    /// Numbers of the weights under an adapter.
    #[serde(default)]
    pub frozen: Frozen,
    /// A LoRA adapter to train in place of all weights (text policy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<LoraConfig>,
    /// How a reader is trained (task `answer`).
    #[serde(default)]
    pub answer: AnswerConfig,
    /// A data set to measure at every checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<EvalConfig>,
    /// Where pages come from.
    pub data: Vec<DataConfig>,
}

/// What SFT teaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// To propose boxes: a policy.
    #[default]
    Boxes,
    /// To answer from full image and crop: a reader.
    Answer,
}

fn one() -> u64 {
    1
}

fn ten() -> u64 {
    10
}

fn max_bad() -> f64 {
    MAX_BAD
}

fn cache_edge() -> u32 {
    1280
}

/// One source of pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Questions: JSON lines, parquet or a folder (`cropvlm data --help`).
    pub samples: PathBuf,
    /// Printed lines, JSON lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<PathBuf>,
    /// How often a page of this source is drawn, relative to the other sources.
    pub weight: f64,
    /// Share of the questions that are made from the printed lines ("to the right of", "below").
    #[serde(default)]
    pub derive: f64,
    /// Percent of the picture: every edge of a true box is moved outwards by a uniform number up to
    /// this, once, as the boxes of a coarse search are (paper, Appendix E). For studying what GRPO
    /// makes of a rough start.
    #[serde(default)]
    pub noise: f64,
}

/// What is measured at every checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Questions: JSON lines, parquet or a folder (`cropvlm data --help`).
    pub data: PathBuf,
    /// Only the first so many.
    #[serde(default = "all")]
    pub limit: usize,
    /// Printed lines, JSON lines: how many of them the map policy finds by their text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<PathBuf>,
}

fn all() -> usize {
    1_000_000
}

impl SftConfig {
    /// Reads and checks a file; `overrides` are `section.key=value`. Relative paths in it start from the working
    /// folder.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, values that cannot be.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        let about = || format!("{}", path.display());
        let mut table: toml::Table = toml::from_str(&text).with_context(about)?;
        override_all(&mut table, overrides)?;
        let config: Self = toml::Value::Table(table).try_into().with_context(about)?;
        config.model.check()?;
        check_max_bad(config.max_bad).with_context(about)?;
        if config
            .minutes
            .is_some_and(|minutes| minutes.is_nan() || minutes <= 0.0)
        {
            bail!("{}: minutes has to be above 0", path.display());
        }
        for (name, value) in [
            ("steps", config.steps),
            ("accumulation", config.accumulation),
            ("checkpoint_every", config.checkpoint_every),
            ("log_every", config.log_every),
        ] {
            if value == 0 {
                bail!("{}: {name} has to be above 0", path.display());
            }
        }
        if !(config.dense >= 0.0 && config.dense.is_finite()) {
            bail!("{}: dense has to be 0 or above", path.display());
        }
        let boxes = config.task == Task::Boxes;
        if !boxes && config.dense > 0.0 {
            bail!(
                "{}: dense is for task boxes; a reader that learns to answer has no boxes to learn",
                path.display()
            );
        }
        if boxes && (config.pages == 0 || (config.questions == 0 && !config.reading)) {
            bail!(
                "{}: pages, and questions without reading, have to be above 0",
                path.display()
            );
        }
        if !boxes
            && (config.answer.batch == 0 || config.answer.grow.is_nan() || config.answer.grow < 1.0)
        {
            bail!(
                "{}: answer.batch has to be above 0 and answer.grow at least 1",
                path.display()
            );
        }
        if config.data.is_empty() || config.data.iter().all(|d| d.weight <= 0.0) {
            bail!("{}: no [[data]] with a weight above 0", path.display());
        }
        Ok(config)
    }
}
