//! The configuration of `cropvlm grpo`. Every default stands here, and is the paper's; unknown keys are
//! refused.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use grounding::Case;
use policy::grpo::{Correction, GrpoSettings, ImportanceLevel, LossType, ScaleRewards};
use policy::{LoraConfig, SampleOptions};
use serde::{Deserialize, Serialize};

pub use super::reward_config::{Metric, RewardConfig, RewardKind};
use crate::data::{MAX_BAD, check_max_bad};
use crate::device::Frozen;
use crate::reader::ApiConfig;
use crate::train::OptimizerConfig;

/// Everything that a run depends on, beside the bytes of models and data. Relative paths start from
/// the folder that the command is called in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpoConfig {
    /// Seed of the order of prompts and of every rollout.
    pub seed: u64,
    /// Model folder to start from: the SFT policy.
    pub policy: PathBuf,
    /// PEFT folder of an adapter that SFT trained; it is merged into the policy before training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_adapter: Option<PathBuf>,
    /// Longest edge that the policy gets to see, pixels; left out: the model's own (one tile).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_edge: Option<u32>,
    /// Steps; left out: `epochs` over the prompts. A step is one batch of groups, and
    /// `num_iterations` updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Passes over the prompts.
    pub epochs: f64,
    /// Groups a step (one prompt each), whose gradients are added up.
    pub accumulation: usize,
    /// Whether cheap intermediate results are computed again on the way back instead of kept.
    pub gradient_checkpointing: bool,
    /// Numbers of weights that are not trained: those under an adapter, and the reward model's.
    pub frozen: Frozen,
    /// Rollouts a prompt, G.
    pub num_generations: usize,
    /// Tokens of a completion at most.
    pub max_completion_length: usize,
    /// LFPC's information gap: policy and reward model see a prompt's full image at its `full_edge`
    /// (`cropvlm data gap`), while crops are cut from the original. Held-out prompts that have one, too.
    pub information_gap: bool,
    /// Temperature at which rollouts are drawn.
    pub temperature: f64,
    /// Temperature at which their log-probabilities are taken, the reference's too; left out: that of
    /// sampling, so that the gradient is that of the policy that draws, and k3 unbiased (as in TRL). 1:
    /// as the paper's reference code has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob_temperature: Option<f64>,
    /// Whether the text policy writes freely, as in the paper, so that invalid boxes are possible and
    /// validity has to be rewarded. The map policy knows valid boxes only.
    pub unconstrained: bool,
    /// How token terms become one loss: dr_grpo, grpo, bnpo, dapo, cispo, sapo.
    pub loss_type: LossType,
    /// What advantages are divided by: the deviation of the rewards of a group, of the batch (a step's groups), or none;
    /// left out: none for dr_grpo, else group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_rewards: Option<ScaleRewards>,
    /// Weight of the divergence from the policy that the run starts from.
    pub beta: f64,
    /// How far a ratio of probabilities may move before it is clipped (`num_iterations` above 1).
    pub epsilon: f64,
    /// The same upwards, where that is another; of cispo the largest ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// What the ratio is taken of: token, or sequence (GSPO).
    pub importance_sampling_level: ImportanceLevel,
    /// Whether completions that were cut off at `max_completion_length` are left out of the loss.
    pub mask_truncated_completions: bool,
    /// Share of a group's tokens, those of highest entropy, that the policy's term counts; 1: all.
    pub top_entropy_quantile: f64,
    /// Steepness of sapo's gate for advantages above 0.
    pub sapo_temperature_pos: f64,
    /// Steepness of sapo's gate for the others.
    pub sapo_temperature_neg: f64,
    /// Updates a batch of rollouts.
    pub num_iterations: usize,
    /// Groups kept to be gone over again in place of groups whose rewards are all equal; 0: none.
    pub replay_buffer_size: usize,
    /// How completions count whose sampler computes otherwise than the gradient: sequence_truncate, sequence_mask; left
    /// out: once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_sampling_correction: Option<Correction>,
    /// The largest weight of that correction.
    pub importance_sampling_cap: f64,
    /// Letters of questions and answers: capitalize (as the reference does) or keep.
    pub case: Case,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.jsonl.
    pub log_every: u64,
    /// Steps between groups written to rollouts.jsonl; 0 writes none.
    pub log_rollouts_every: u64,
    /// Share of the prompts that may be unusable (a picture missing or broken, no answer): they are skipped and named;
    /// more of them end the run.
    pub max_bad: f64,
    /// Learning rate and the like.
    pub optimizer: OptimizerConfig,
    /// A fresh adapter; left out: all weights are trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<LoraConfig>,
    /// What is rewarded.
    pub rewards: RewardConfig,
    /// Who reads.
    pub reward_model: ReaderConfig,
    /// Held-out prompts.
    pub eval: EvalConfig,
    /// Prompts.
    pub data: Vec<DataConfig>,
}

/// The reward model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReaderConfig {
    /// Hugging Face folder of an Idefics3 model; or a map policy's folder, whose letters then read.
    pub path: PathBuf,
    /// A provider's model in its place, asked over the network: for accuracy and tool_bonus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiConfig>,
    /// Longest edge that it gets to see of full image and crop, pixels; left out: one tile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_edge: Option<usize>,
    /// Whether it sees the full image before the crop, as in the paper; false: the crop alone (ablation).
    /// Held-out prompts are measured in the same way.
    pub full_image: bool,
    /// Tokens of its answer at most (accuracy).
    pub max_tokens: usize,
}

/// What is measured while training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Held-out prompts: JSON lines, parquet or a folder; left out: nothing is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<PathBuf>,
    /// Folder that their pictures' paths start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Only the first so many; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Steps between measurements; the start and the end are always measured.
    pub every: u64,
}

/// One source of prompts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Questions with answers: JSON lines, parquet or a folder (`cropvlm data --help`).
    pub samples: PathBuf,
    /// Folder that their pictures' paths start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Only the first so many; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Default for GrpoConfig {
    fn default() -> Self {
        let settings = GrpoSettings::default();
        Self {
            seed: 0,
            policy: PathBuf::new(),
            policy_adapter: None,
            longest_edge: None,
            steps: None,
            epochs: 1.0,
            accumulation: 16,
            gradient_checkpointing: false,
            frozen: Frozen::Auto,
            num_generations: settings.num_generations,
            max_completion_length: settings.max_completion_length,
            information_gap: false,
            temperature: SampleOptions::default().temperature,
            logprob_temperature: None,
            unconstrained: true,
            loss_type: settings.loss_type,
            beta: settings.beta,
            epsilon: settings.epsilon,
            epsilon_high: settings.epsilon_high,
            importance_sampling_level: settings.importance_sampling_level,
            mask_truncated_completions: settings.mask_truncated_completions,
            scale_rewards: settings.scale_rewards,
            top_entropy_quantile: settings.top_entropy_quantile,
            sapo_temperature_pos: settings.sapo_temperature_pos,
            sapo_temperature_neg: settings.sapo_temperature_neg,
            num_iterations: 1,
            replay_buffer_size: 0,
            importance_sampling_correction: settings.importance_sampling_correction,
            importance_sampling_cap: settings.importance_sampling_cap,
            case: Case::Capitalize,
            checkpoint_every: 50,
            log_every: 1,
            log_rollouts_every: 10,
            max_bad: MAX_BAD,
            // Betas, epsilon and decay are PyTorch's and the reference's.
            optimizer: OptimizerConfig {
                lr: 5e-6,
                warmup: 0.03,
                floor: 0.0,
                betas: [0.9, 0.999],
                epsilon: 1e-8,
                weight_decay: 0.0,
                grad_clip: 0.1,
                average: 0.0,
            },
            adapter: None,
            rewards: RewardConfig::default(),
            reward_model: ReaderConfig::default(),
            eval: EvalConfig::default(),
            data: Vec::new(),
        }
    }
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            api: None,
            longest_edge: None,
            full_image: true,
            max_tokens: 32,
        }
    }
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            samples: None,
            root: None,
            limit: None,
            every: 50,
        }
    }
}

impl GrpoConfig {
    /// What the loss depends on.
    pub fn settings(&self) -> GrpoSettings {
        GrpoSettings {
            beta: self.beta,
            epsilon: self.epsilon,
            epsilon_high: self.epsilon_high,
            importance_sampling_level: self.importance_sampling_level,
            mask_truncated_completions: self.mask_truncated_completions,
            scale_rewards: self.scale_rewards,
            top_entropy_quantile: self.top_entropy_quantile,
            sapo_temperature_pos: self.sapo_temperature_pos,
            sapo_temperature_neg: self.sapo_temperature_neg,
            importance_sampling_correction: self.importance_sampling_correction,
            importance_sampling_cap: self.importance_sampling_cap,
            num_generations: self.num_generations,
            max_completion_length: self.max_completion_length,
            loss_type: self.loss_type,
            logprob_temperature: self.logprob_temperature.unwrap_or(self.temperature),
        }
    }

    /// Steps of a run over so many prompts.
    pub fn steps(&self, prompts: usize) -> u64 {
        let whole = (self.epochs * prompts as f64 / self.accumulation as f64).floor() as u64;
        self.steps.unwrap_or(whole.max(1))
    }

    /// Whether rewards need the reward model.
    pub fn needs_reader(&self) -> bool {
        let rewards = &self.rewards;
        rewards.likelihood != 0.0 || rewards.accuracy != 0.0 || rewards.tool_bonus != 0.0
    }

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// The first such value, by key.
    pub fn check(&self) -> Result<()> {
        if self.policy.as_os_str().is_empty() {
            bail!("policy: name the model folder to start from");
        }
        let folder = !self.reward_model.path.as_os_str().is_empty();
        match &self.reward_model.api {
            None if self.needs_reader() && !folder => bail!(
                "reward_model.path: name the folder of the model that reads, or a provider's model at [reward_model.api]"
            ),
            None => {}
            Some(_) if folder => bail!(
                "reward_model: there are a path and an api; one of them reads, take the other out"
            ),
            Some(_) if self.rewards.likelihood != 0.0 => bail!(
                "rewards.likelihood: a provider does not say how likely a given answer is; set it to 0 and \
                 rewards.accuracy to 1"
            ),
            Some(api) => api.check().context("reward_model.api")?,
        }
        if self.data.is_empty() {
            bail!("[[data]]: name the prompts to train on");
        }
        if self.data.iter().any(|d| d.samples.as_os_str().is_empty()) {
            bail!("[[data]]: samples: name the prompts to train on");
        }
        self.optimizer.check()?;
        check_max_bad(self.max_bad)?;
        if self.num_generations < 2 {
            bail!("num_generations: a group needs at least 2 rollouts to be compared");
        }
        let positive = [
            ("accumulation", self.accumulation as f64),
            ("max_completion_length", self.max_completion_length as f64),
            ("temperature", self.temperature),
            (
                "logprob_temperature",
                self.logprob_temperature.unwrap_or(self.temperature),
            ),
            ("num_iterations", self.num_iterations as f64),
            ("epochs", self.epochs),
            ("epsilon", self.epsilon),
            ("epsilon_high", self.epsilon_high.unwrap_or(self.epsilon)),
            ("top_entropy_quantile", self.top_entropy_quantile),
            ("sapo_temperature_pos", self.sapo_temperature_pos),
            ("sapo_temperature_neg", self.sapo_temperature_neg),
            ("importance_sampling_cap", self.importance_sampling_cap),
            (
                "reward_model.max_tokens",
                self.reward_model.max_tokens as f64,
            ),
            ("checkpoint_every", self.checkpoint_every as f64),
            ("log_every", self.log_every as f64),
            ("eval.every", self.eval.every as f64),
            ("steps", self.steps.unwrap_or(1) as f64),
        ];
        for (key, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                bail!("{key}: expected a number above 0, found {value}");
            }
        }
        let weights = RewardKind::ALL.map(|kind| (kind.name(), self.rewards.weight(kind)));
        for (key, weight) in weights {
            if !weight.is_finite() {
                bail!("rewards.{key}: expected a number, found {weight}");
            }
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            bail!("[rewards]: all weights are 0");
        }
        if self.top_entropy_quantile > 1.0 {
            bail!(
                "top_entropy_quantile: expected a share of the tokens, at most 1, found {}",
                self.top_entropy_quantile
            );
        }
        if !(self.beta >= 0.0 && self.beta.is_finite()) {
            bail!("beta: expected 0 or more, found {}", self.beta);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::read_settings;

    fn committed(name: &str) -> GrpoConfig {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let config: GrpoConfig = read_settings(&folder.join(name), &[]).expect(name);
        config.check().expect(name);
        config
    }

    /// What the commented file says is what holds without it.
    #[test]
    fn the_papers_configuration_is_the_defaults() {
        let paper = committed("grpo.toml");
        let adapter = paper.adapter.clone().expect("an adapter");
        assert_eq!((adapter.r, adapter.lora_alpha), (128, 256.0));
        let defaults = GrpoConfig {
            policy: paper.policy.clone(),
            data: paper.data.clone(),
            adapter: paper.adapter.clone(),
            reward_model: ReaderConfig {
                path: paper.reward_model.path.clone(),
                ..GrpoConfig::default().reward_model
            },
            eval: EvalConfig {
                samples: paper.eval.samples.clone(),
                limit: paper.eval.limit,
                ..GrpoConfig::default().eval
            },
            ..GrpoConfig::default()
        };
        let text = |config: &GrpoConfig| toml::to_string(config).expect("toml");
        assert_eq!(text(&paper), text(&defaults));
    }

    #[test]
    fn the_smoke_configuration_is_one() {
        assert!(committed("smoke.toml").needs_reader());
    }
}
