//! The configuration of `cropvlm sft`. Every default stands here; unknown keys are refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use policy::{LoraConfig, MapConfig};
use serde::{Deserialize, Serialize};

use super::answer::AnswerConfig;
use crate::data::{MAX_BAD, check_max_bad};
use crate::device::Frozen;
use crate::train::{OptimizerConfig, read_settings};

/// Everything that a run depends on, beside the data's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SftConfig {
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// What is taught: boxes or answer.
    pub task: Task,
    /// Optimizer steps.
    pub steps: u64,
    /// Minutes after which the run ends, whatever is left of `steps`; the learning rate then falls by the clock where that
    /// is ahead of the steps. For a graphics card that is lent: such a run cannot be repeated bit for bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Pages a step (task `boxes`, as the next two).
    pub pages: usize,
    /// Questions a page and step; 0 with `reading`: the map policy learns nothing but to read.
    pub questions: usize,
    /// Whether the map policy learns to read the printed lines of its pages.
    pub reading: bool,
    /// Text policy: weight of what its vision tower learns beside the words, the cells that hold the evidence. 0, as in
    /// the paper: nothing.
    pub dense: f64,
    /// Batches a step, whose gradients are added up: as many pages more, on a graphics card in no more memory, on a processor
    /// computed side by side, a core each.
    pub accumulation: u64,
    /// Whether cheap intermediate results are computed again on the way back instead of kept.
    pub gradient_checkpointing: bool,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.jsonl.
    pub log_every: u64,
    /// Longest edge at which pages are kept in memory, pixels.
    pub cache_edge: u32,
    /// Most pixels of a canvas that follows the print of its pages, as pictures are seen by a map policy whose configuration has
    /// `print`. 0: every canvas has the policy's `canvas_pixels`.
    pub print_pixels: usize,
    /// Share of the samples that may have missing or broken pictures: they are skipped and named; more of them end the run.
    pub max_bad: f64,
    /// A model folder to start from, in place of random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Residual blocks of the map policy of `init` at strides 8, 16 and 32, in place of its own: at least as many. The
    /// new ones begin by changing nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<[usize; 3]>,
    /// Pixels of the canvas that the map policy of `init` is trained on and keeps, in place of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canvas_pixels: Option<usize>,
    /// A table of words for the map policy of `init` (`models/words/words.safetensors`): what words mean is drawn for the decoder. It
    /// begins by changing nothing; a policy that has one keeps its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<PathBuf>,
    /// Share of the questions, of 0 to 1, whose answer is not on the page, so that no cell is evidence: those that the data have
    /// (neither boxes nor answers), and questions about other pages' quoted keys (map policy).
    pub absent: f64,
    /// Learning rate and the like.
    pub optimizer: OptimizerConfig,
    /// Shape of the network.
    pub model: MapConfig,
    /// Numbers of the weights under an adapter.
    pub frozen: Frozen,
    /// A LoRA adapter to train in place of all weights (text policy).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<LoraConfig>,
    /// How a reader is trained (task `answer`).
    pub answer: AnswerConfig,
    /// A data set to measure at every checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
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

impl Default for SftConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            task: Task::Boxes,
            steps: 1000,
            minutes: None,
            pages: 4,
            questions: 4,
            reading: false,
            dense: 0.0,
            absent: 0.0,
            accumulation: 1,
            gradient_checkpointing: false,
            checkpoint_every: 100,
            log_every: 10,
            cache_edge: 1280,
            print_pixels: 0,
            max_bad: MAX_BAD,
            init: None,
            blocks: None,
            canvas_pixels: None,
            words: None,
            optimizer: OptimizerConfig::default(),
            model: MapConfig::default(),
            frozen: Frozen::default(),
            adapter: None,
            answer: AnswerConfig::default(),
            eval: None,
            data: Vec::new(),
        }
    }
}

/// One source of pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Questions: JSON lines, parquet or a folder (`cropvlm data --help`).
    pub samples: PathBuf,
    /// Printed lines, JSON lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<PathBuf>,
    /// How often a page of this source is drawn, relative to the other sources.
    pub weight: f64,
    /// Share of the questions that are made from the printed lines ("to the right of", "below").
    pub derive: f64,
    /// Share of these that name a label in other words of nearly the same meaning in place of quoting it; needs a policy with a
    /// table of words.
    pub reword: f64,
    /// Percent of the picture: every edge of a true box is moved outwards by a uniform number up to
    /// this, once, as the boxes of a coarse search are (paper, Appendix E). For studying what GRPO
    /// makes of a rough start.
    pub noise: f64,
}

/// What is measured at every checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Questions: JSON lines, parquet or a folder (`cropvlm data --help`).
    pub data: PathBuf,
    /// Only the first so many; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Printed lines, JSON lines: how many of them the map policy finds by their text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<PathBuf>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            samples: PathBuf::new(),
            lines: None,
            weight: 1.0,
            derive: 0.0,
            reword: 0.0,
            noise: 0.0,
        }
    }
}

impl SftConfig {
    /// Reads and checks a file; `overrides` are `section.key=value`, `steps` is `--steps`. Relative paths in it start from
    /// the working folder.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, values that cannot be.
    pub fn read(path: &Path, overrides: &[String], steps: Option<u64>) -> Result<Self> {
        let mut config: Self = read_settings(path, overrides)?;
        config.steps = steps.unwrap_or(config.steps);
        let about = || format!("{}", path.display());
        config.check().with_context(about)?;
        Ok(config)
    }

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// The first such value, by key.
    fn check(&self) -> Result<()> {
        self.model.check()?;
        self.optimizer.check()?;
        check_max_bad(self.max_bad)?;
        if self.minutes.is_some_and(|m| !(m > 0.0 && m.is_finite())) {
            bail!("minutes has to be above 0");
        }
        for (name, value) in [
            ("steps", self.steps),
            ("accumulation", self.accumulation),
            ("checkpoint_every", self.checkpoint_every),
            ("log_every", self.log_every),
        ] {
            if value == 0 {
                bail!("{name} has to be above 0");
            }
        }
        if !(self.dense >= 0.0 && self.dense.is_finite()) {
            bail!("dense has to be 0 or above");
        }
        if !(0.0..1.0).contains(&self.absent) {
            bail!("absent has to be at least 0 and below 1");
        }
        let boxes = self.task == Task::Boxes;
        if !boxes && self.dense > 0.0 {
            bail!("dense is for task boxes; a reader that learns to answer has no boxes to learn");
        }
        if boxes && (self.pages == 0 || (self.questions == 0 && !self.reading)) {
            bail!("pages, and questions without reading, have to be above 0");
        }
        let answer = &self.answer;
        if !boxes && (answer.batch == 0 || !(answer.grow >= 1.0 && answer.grow.is_finite())) {
            bail!("answer.batch has to be above 0 and answer.grow at least 1");
        }
        for (number, data) in (1..).zip(&self.data) {
            if data.samples.as_os_str().is_empty() {
                bail!("[[data]] number {number}: samples: name the questions to train on");
            }
            for (key, value, most) in [
                ("weight", data.weight, f64::MAX),
                ("derive", data.derive, 1.0),
                ("reword", data.reword, 1.0),
                ("noise", data.noise, 100.0),
            ] {
                if !(0.0..=most).contains(&value) {
                    let samples = data.samples.display();
                    bail!("[[data]] {samples}: {key}: {value} is outside its range");
                }
            }
        }
        if self.data.iter().all(|d| d.weight <= 0.0) {
            bail!("no [[data]] with a weight above 0");
        }
        if self
            .eval
            .as_ref()
            .is_some_and(|e| e.data.as_os_str().is_empty())
        {
            bail!("eval.data: name the data set to measure");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that names its data says all that has to be said; every committed one is valid.
    #[test]
    fn every_key_but_the_data_has_a_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short.toml");
        std::fs::write(
            &path,
            "[[data]]\nsamples = \"x.jsonl\"\n[optimizer]\nlr = 2e-3",
        )
        .unwrap();
        let config = SftConfig::read(&path, &["optimizer.floor=0.5".into()], Some(7)).unwrap();
        let optimizer = OptimizerConfig {
            lr: 2e-3,
            floor: 0.5,
            ..OptimizerConfig::default()
        };
        let expected = SftConfig {
            steps: 7,
            optimizer,
            data: vec![DataConfig {
                samples: "x.jsonl".into(),
                ..DataConfig::default()
            }],
            ..SftConfig::default()
        };
        let text = |config: &SftConfig| toml::to_string(config).unwrap();
        assert_eq!(text(&config), text(&expected));
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        for name in [
            "default.toml",
            "forms.toml",
            "print.toml",
            "read.toml",
            "screens.toml",
            "sft-text.toml",
            "smoke-policy.toml",
            "smoke-reader.toml",
            "whole.toml",
            "words.toml",
            "recipe/sft.toml",
            "recipe/sft-text.toml",
        ] {
            SftConfig::read(&configs.join(name), &[], None).expect(name);
        }
    }
}
