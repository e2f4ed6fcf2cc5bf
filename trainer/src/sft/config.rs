//! The configuration of `cropvlm sft`; unknown keys are refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use policy::{LoraConfig, MapConfig};
use serde::{Deserialize, Serialize};

/// Everything that a run depends on, beside the data's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftConfig {
    /// Seed of weights, order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Pages a step.
    pub pages: usize,
    /// Questions a page and step.
    pub questions: usize,
    /// Printed lines a page and step, for learning to read.
    pub lines: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.jsonl.
    #[serde(default = "ten")]
    pub log_every: u64,
    /// Longest edge at which pages are kept in memory, pixels.
    #[serde(default = "cache_edge")]
    pub cache_edge: u32,
    /// A model folder to start from, in place of random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Learning rate and the like.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Shape of the network.
    #[serde(default)]
    pub model: MapConfig,
    /// A LoRA adapter to train in place of all weights (text policy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<LoraConfig>,
    /// A data set to measure at every checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<EvalConfig>,
    /// Where pages come from.
    pub data: Vec<DataConfig>,
}

fn ten() -> u64 {
    10
}

fn cache_edge() -> u32 {
    1280
}

/// One source of pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Questions, JSON lines.
    pub samples: PathBuf,
    /// Printed lines, JSON lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<PathBuf>,
    /// How often a page of this source is drawn, relative to the other sources.
    pub weight: f64,
    /// Share of the questions that are made from the printed lines ("to the right of", "below").
    #[serde(default)]
    pub derive: f64,
}

/// What is measured at every checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Questions, JSON lines.
    pub data: PathBuf,
    /// Only the first so many.
    #[serde(default = "all")]
    pub limit: usize,
}

fn all() -> usize {
    1_000_000
}

/// AdamW with warm-up and a cosine that ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Highest learning rate.
    pub lr: f64,
    /// Share of the steps in which it rises from 0.
    pub warmup: f64,
    /// Share of the highest rate at which the cosine ends.
    pub floor: f64,
    /// Decay of first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, of matrices and kernels only.
    pub weight_decay: f64,
    /// Global gradient norm above which gradients are shrunk.
    pub grad_clip: f64,
    /// Decay of the averaged weights, which are what is measured and exported.
    pub average: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            warmup: 0.03,
            floor: 0.02,
            betas: [0.9, 0.98],
            epsilon: 1e-8,
            weight_decay: 0.02,
            grad_clip: 5.0,
            average: 0.998,
        }
    }
}

impl OptimizerConfig {
    /// Learning rate of a step, 0-based.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        let at = (step as f64 + 1.0) / steps as f64;
        if at < self.warmup {
            return self.lr * at / self.warmup;
        }
        let part = (at - self.warmup) / (1.0 - self.warmup);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos());
        self.lr * (self.floor + (1.0 - self.floor) * cosine)
    }
}

impl SftConfig {
    /// Reads and checks a file. Relative paths in it start from the working folder.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, values that cannot be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        let config: Self = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        config.model.check()?;
        for (name, value) in [
            ("steps", config.steps),
            ("checkpoint_every", config.checkpoint_every),
            ("log_every", config.log_every),
        ] {
            if value == 0 {
                bail!("{}: {name} has to be above 0", path.display());
            }
        }
        if config.pages == 0 || config.questions == 0 {
            bail!("{}: pages and questions have to be above 0", path.display());
        }
        if config.data.is_empty() || config.data.iter().all(|d| d.weight <= 0.0) {
            bail!("{}: no [[data]] with a weight above 0", path.display());
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_ends_at_its_floor() {
        let o = OptimizerConfig::default();
        assert!(o.rate(0, 1000) < o.rate(20, 1000));
        assert!((o.rate(29, 1000) / o.lr - 1.0).abs() < 1e-6);
        assert!((o.rate(999, 1000) / (o.lr * o.floor) - 1.0).abs() < 1e-9);
        assert!((o.rate(5000, 1000) / (o.lr * o.floor) - 1.0).abs() < 1e-9);
    }
}
