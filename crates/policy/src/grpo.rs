//! Group relative policy optimisation: one step on one group, for trainer, benchmark, debug command and the page's lesson.
//!
//! ```text
//! encode -> rollouts -> rewards -> advantages -+
//!    \--> logprobs (differentiable) --------+-> loss -> gradient
//! reference -> encode -> ref_logprobs ------+
//! ```
//!
//! [`Group`] is what was drawn and what it was worth, [`step()`] computes loss and gradient of one group, [`loss()`] is
//! the formula alone. Several groups make a batch: their gradients are added up, each times
//! [`LossType::accumulated`]. Names and formulas are TRL's (`GRPOTrainer` and `GRPOConfig` of TRL 1.10).

mod loss;
mod step;

use grounding::reward::Scale;
use serde::{Deserialize, Serialize};

use crate::SampleOptions;
pub use loss::{GroupLogprobs, GrpoLoss, loss};
pub use step::{Group, Kept, Learner, Step, step};

/// How token terms become one loss; `T` is the maximum completion length, `G` the group's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// Sum / (G T): long completions are neither favoured nor punished (Dr. GRPO, arXiv 2503.20783; the default).
    #[default]
    DrGrpo,
    /// Mean over rollouts of each one's mean over tokens (DeepSeekMath, arXiv 2402.03300).
    Grpo,
    /// Sum / completion tokens of the local batch, as TRL's `bnpo`. The local batch is what TRL's
    /// `per_device_train_batch_size` holds; here, as in the paper's setting, one group. Groups that are accumulated
    /// count alike, however many tokens each has.
    Bnpo,
    /// Sum / completion tokens of the whole accumulated batch (DAPO, arXiv 2503.14476).
    Dapo,
    /// As `dapo`, of `-clip(ratio, max = epsilon_high) A logp`, the clipped ratio held fixed: no token's gradient is cut off
    /// (CISPO of MiniMax-M1, arXiv 2506.13585).
    Cispo,
    /// As `grpo`, of `-4 / t sigmoid(t (ratio - 1)) A`: a soft gate in place of clipping, t being `sapo_temperature_pos`
    /// for A above 0, else `sapo_temperature_neg` (SAPO, arXiv 2511.20347).
    Sapo,
}

/// What the ratio of new to old probability is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportanceLevel {
    /// Every token.
    #[default]
    Token,
    /// A whole completion: the exponential of the mean of its tokens' log-ratios (GSPO, arXiv 2507.18071).
    Sequence,
}

/// How a completion counts whose rollout was drawn with other kernels, or other numbers, than its gradient is taken with.
/// Both take `w = exp(sum of old logprobs - log-probability under which it was drawn)` of the whole completion, as TRL's
/// `vllm_importance_sampling_mode` of the same names; w is at most [`GrpoSettings::importance_sampling_cap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// The policy's terms count `min(w, cap)` times (truncated importance sampling: Yao et al.
    /// 2025, "Your efficient RL framework secretly brings you off-policy RL training").
    SequenceTruncate,
    /// They count w times, and nothing where w is above the cap.
    SequenceMask,
}

/// What a group's advantages are divided by (plus [`grounding::reward::DEVIATION_FLOOR`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleRewards {
    /// The deviation of the group's rewards.
    Group,
    /// The deviation of all rewards of the batch ("Tricks or Traps?", arXiv 2508.08221).
    Batch,
    /// Nothing (Dr. GRPO).
    None,
}

/// The largest ratio of `cispo` where `epsilon_high` is not said: what ScaleRL (arXiv 2510.13786) recommends.
pub const CISPO_HIGH: f64 = 5.0;

impl LossType {
    /// Whether a group's advantages are divided by its deviation where nothing else is said: by all but Dr. GRPO.
    pub fn scale(self) -> Scale {
        match self {
            Self::DrGrpo => Scale::None,
            _ => Scale::Deviation,
        }
    }

    /// What the loss of each group is multiplied by where so many groups, of so many completion tokens together, are
    /// accumulated into one update.
    pub fn accumulated(self, groups: usize, tokens: f64) -> f64 {
        match self {
            Self::Dapo | Self::Cispo => 1.0 / tokens.max(1.0),
            _ => 1.0 / groups.max(1) as f64,
        }
    }

    /// The same where the groups are one local batch, as if they went through the network together: of rollouts and
    /// completion tokens, a group's own and all.
    pub fn in_one_batch(self, own: (usize, f64), all: (usize, f64)) -> f64 {
        match self {
            Self::Dapo | Self::Cispo => 1.0 / all.1.max(1.0),
            Self::Bnpo => own.1 / all.1.max(1.0),
            Self::DrGrpo | Self::Grpo | Self::Sapo => own.0 as f64 / all.0.max(1) as f64,
        }
    }
}

/// What a step depends on beside the numbers; the defaults are the paper's, but for the temperature of log-probabilities,
/// which is that of [`SampleOptions`]'s rollouts, as in TRL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoSettings {
    /// Weight of the divergence from the reference model.
    pub beta: f64,
    /// How far the ratio of new to old probability may move before it is clipped.
    pub epsilon: f64,
    /// The same upwards, where that is another (DAPO's clip-higher, arXiv 2503.14476); of `cispo` the largest ratio, left
    /// out [`CISPO_HIGH`].
    pub epsilon_high: Option<f64>,
    /// What the ratio is taken of.
    pub importance_sampling_level: ImportanceLevel,
    /// Whether completions that were cut off by the longest length count nothing (DAPO's overlong filtering, arXiv
    /// 2503.14476): their tokens are masked; their rewards stay in the group's mean.
    pub mask_truncated_completions: bool,
    /// What advantages are divided by; left out: nothing for `dr_grpo`, else the group's deviation.
    pub scale_rewards: Option<ScaleRewards>,
    /// Share of a group's tokens, those of highest entropy, that the policy's term counts ("Beyond the 80/20 rule", arXiv
    /// 2506.01939); 1: all. The divergence counts all tokens.
    pub top_entropy_quantile: f64,
    /// Steepness of `sapo` for advantages above 0.
    pub sapo_temperature_pos: f64,
    /// Steepness of `sapo` for the others.
    pub sapo_temperature_neg: f64,
    /// How completions count whose sampler computes otherwise than the gradient; left out: once.
    pub importance_sampling_correction: Option<Correction>,
    /// The largest weight of that correction.
    pub importance_sampling_cap: f64,
    /// Rollouts of a prompt, G.
    pub num_generations: usize,
    /// Longest completion in tokens, T.
    pub max_completion_length: usize,
    /// How token terms become one loss.
    pub loss_type: LossType,
    /// Temperature at which log-probabilities are taken: that of sampling, so that they are those of the policy that
    /// draws. 1, whatever the rollouts were drawn at, is the paper's reference code.
    pub logprob_temperature: f64,
}

impl Default for GrpoSettings {
    fn default() -> Self {
        Self {
            beta: 0.01,
            epsilon: 0.2,
            epsilon_high: None,
            importance_sampling_level: ImportanceLevel::Token,
            mask_truncated_completions: false,
            scale_rewards: None,
            top_entropy_quantile: 1.0,
            sapo_temperature_pos: 1.0,
            sapo_temperature_neg: 1.05,
            importance_sampling_correction: None,
            importance_sampling_cap: 3.0,
            num_generations: 6,
            max_completion_length: 32,
            loss_type: LossType::DrGrpo,
            logprob_temperature: SampleOptions::default().temperature,
        }
    }
}

impl GrpoSettings {
    /// What advantages are divided by.
    pub fn scale(&self) -> ScaleRewards {
        self.scale_rewards.unwrap_or(match self.loss_type.scale() {
            Scale::None => ScaleRewards::None,
            Scale::Deviation => ScaleRewards::Group,
        })
    }
}
