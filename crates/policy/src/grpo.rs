//! Group relative policy optimisation: one step on one group, for trainer, benchmark, debug command and the page's lesson.
//!
//! ```text
//! look -> rollouts -> rewards -> advantages -+
//!    \--> logprobs (differentiable) --------+-> loss -> gradient
//! reference -> look -> ref_logprobs --------+
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
pub use step::{Group, Learner, Step, step};

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
}

impl LossType {
    /// Whether a group's advantages are divided by its deviation: by all but Dr. GRPO.
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
            Self::Dapo => 1.0 / tokens.max(1.0),
            _ => 1.0 / groups.max(1) as f64,
        }
    }

    /// The same where the groups are one local batch, as if they went through the network together: of rollouts and
    /// completion tokens, a group's own and all.
    pub fn in_one_batch(self, own: (usize, f64), all: (usize, f64)) -> f64 {
        match self {
            Self::Dapo => 1.0 / all.1.max(1.0),
            Self::Bnpo => own.1 / all.1.max(1.0),
            Self::DrGrpo | Self::Grpo => own.0 as f64 / all.0.max(1) as f64,
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
            num_generations: 6,
            max_completion_length: 32,
            loss_type: LossType::DrGrpo,
            logprob_temperature: SampleOptions::default().temperature,
        }
    }
}
