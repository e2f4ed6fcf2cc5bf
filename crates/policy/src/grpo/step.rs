//! One step on one group: log-probabilities → loss → gradient, the same for whoever trains.

use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use grounding::reward::{DEVIATION_FLOOR, Scale, advantages, deviation};
use serde::{Deserialize, Serialize};

use super::{GroupLogprobs, GrpoSettings, ScaleRewards, loss};
use crate::map::readback::values;
use crate::map::{Features, MapPolicy};
use crate::{Encoded, Logprobs, Policy, PolicyError, Result, Rollout};

/// What a step needs of a policy.
pub trait Learner {
    /// A picture as this policy has encoded it.
    type Encoded;

    /// Log-probabilities of every token of a group at a temperature, see [`Policy::token_logprobs`].
    ///
    /// # Errors
    /// As [`Policy::token_logprobs`].
    fn token_logprobs(
        &self,
        encoded: &Self::Encoded,
        question: &str,
        rollouts: &[Rollout],
        temperature: f64,
    ) -> Result<Logprobs>;

    /// The gradients of the trainable weights.
    fn gradients(&self, gradients: &mut Gradients) -> GradientsParams;
}

impl Learner for Policy {
    type Encoded = Encoded;

    fn token_logprobs(
        &self,
        encoded: &Encoded,
        question: &str,
        rollouts: &[Rollout],
        temperature: f64,
    ) -> Result<Logprobs> {
        Self::token_logprobs(self, encoded, question, rollouts, temperature)
    }

    fn gradients(&self, gradients: &mut Gradients) -> GradientsParams {
        Self::gradients(self, gradients)
    }
}

impl Learner for MapPolicy {
    type Encoded = Features;

    fn token_logprobs(
        &self,
        encoded: &Features,
        question: &str,
        rollouts: &[Rollout],
        temperature: f64,
    ) -> Result<Logprobs> {
        Self::token_logprobs(self, encoded, question, rollouts, temperature)
    }

    fn gradients(&self, gradients: &mut Gradients) -> GradientsParams {
        GradientsParams::from_module(gradients, self.net())
    }
}

/// What was drawn for a question, by how much each was better than the others, and the log-probabilities that stay as they
/// were while the weights move.
#[derive(Debug, Clone)]
pub struct Group {
    /// What was asked.
    pub question: String,
    /// What was drawn.
    pub rollouts: Vec<Rollout>,
    /// By how much each reward was above the mean of the group.
    pub advantages: Vec<f64>,
    /// Whether advantages wait for the deviation of their batch.
    unscaled: bool,
    /// Log-probabilities when drawn, [G, T]; `None` on-policy.
    old: Option<Tensor<2>>,
    /// Log-probabilities of the reference model, [G, T]; `None` until measured.
    reference: Option<Tensor<2>>,
}

impl Group {
    /// A group and its rewards. Where the batch scales advantages, [`Group::scale_by`] has to follow.
    ///
    /// # Errors
    /// Rewards that are not one finite number a rollout.
    pub fn new(
        question: &str,
        rollouts: Vec<Rollout>,
        rewards: &[f64],
        settings: &GrpoSettings,
    ) -> Result<Self> {
        if rewards.len() != rollouts.len() || rewards.iter().any(|r| !r.is_finite()) {
            return Err(PolicyError::Rollouts(
                "has not one finite reward for each rollout".into(),
            ));
        }
        Ok(Self {
            question: question.to_string(),
            rollouts,
            advantages: match settings.scale() {
                ScaleRewards::Group => advantages(rewards, Scale::Deviation),
                ScaleRewards::Batch | ScaleRewards::None => advantages(rewards, Scale::None),
            },
            unscaled: settings.scale() == ScaleRewards::Batch,
            old: None,
            reference: None,
        })
    }

    /// Divides the advantages by the deviation of the rewards of the whole batch, where the settings say so.
    pub fn scale_by(&mut self, rewards: &[f64]) {
        if std::mem::take(&mut self.unscaled) {
            let by = deviation(rewards) + DEVIATION_FLOOR;
            self.advantages
                .iter_mut()
                .for_each(|advantage| *advantage /= by);
        }
    }

    /// Measures what the divergence is taken from: a policy without gradients, and the picture as it sees it.
    ///
    /// # Errors
    /// As [`Policy::token_logprobs`].
    pub fn refer_to<L: Learner>(
        &mut self,
        reference: &L,
        encoded: &L::Encoded,
        settings: &GrpoSettings,
    ) -> Result<()> {
        let temperature = settings.logprob_temperature;
        let found =
            reference.token_logprobs(encoded, &self.question, &self.rollouts, temperature)?;
        self.reference = Some(found.logprobs.without_autodiff()); // [G, T]
        Ok(())
    }

    /// The reference's log-probabilities, [G, T]; `None` until measured.
    pub fn reference(&self) -> Option<&Tensor<2>> {
        self.reference.as_ref()
    }

    /// Keeps log-probabilities [G, T] as those that the group was drawn with: ratios are taken to them from now on.
    pub fn drawn_with(&mut self, logprobs: Tensor<2>) {
        self.old = Some(logprobs.without_autodiff());
    }

    /// Whether [`Group::drawn_with`] was said.
    pub fn is_off_policy(&self) -> bool {
        self.old.is_some()
    }

    /// What has to be kept of it to go over it in a later step, see [`Kept::group`]; `None` before [`Group::drawn_with`].
    ///
    /// # Errors
    /// A failed device.
    pub async fn keep(&self) -> Result<Option<Kept>> {
        let Some(old) = &self.old else {
            return Ok(None);
        };
        Ok(Some(Kept {
            question: self.question.clone(),
            rollouts: self.rollouts.iter().map(in_f32).collect(),
            advantages: self.advantages.iter().map(|a| *a as f32).collect(),
            old: values(old.clone()).await?,
        }))
    }
}

/// A rollout whose log-probability is an f32.
fn in_f32(rollout: &Rollout) -> Rollout {
    Rollout {
        logprob: f64::from(rollout.logprob as f32),
        ..rollout.clone()
    }
}

/// A group for a later step: numbers only, whatever the device. They are f32, so that JSON gives them back to the bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What was asked.
    pub question: String,
    /// What was drawn.
    pub rollouts: Vec<Rollout>,
    /// By how much each was better than the others.
    pub advantages: Vec<f32>,
    /// Log-probabilities when drawn, [G, T], row by row.
    pub old: Vec<f32>,
}

impl Kept {
    /// The group as it was, off-policy from now on; its reference is to be measured again.
    ///
    /// # Errors
    /// Numbers that do not fit each other.
    pub fn group(&self, device: &Device) -> Result<Group> {
        let g = self.rollouts.len();
        if g == 0 || self.advantages.len() != g || !self.old.len().is_multiple_of(g) {
            return Err(PolicyError::Rollouts(format!(
                "was kept with {g} rollouts, {} advantages and {} log-probabilities",
                self.advantages.len(),
                self.old.len()
            )));
        }
        let old = TensorData::new(self.old.clone(), [g, self.old.len() / g]);
        Ok(Group {
            question: self.question.clone(),
            rollouts: self.rollouts.clone(),
            advantages: self.advantages.iter().map(|a| f64::from(*a)).collect(),
            unscaled: false,
            old: Some(Tensor::from_data(old, device)),
            reference: None,
        })
    }
}

/// What a step found; nothing is updated yet.
#[derive(Debug)]
pub struct Step {
    /// The loss, times the weight that was asked for.
    pub loss: f64,
    /// Mean k3 over completion tokens; 0 without a reference.
    pub kl: f64,
    /// Share of completion tokens whose ratio was clipped; 0 on-policy.
    pub clipped: f64,
    /// Mean of -logprob over completion tokens.
    pub entropy: f64,
    /// Completion tokens.
    pub tokens: f64,
    /// Log-probabilities of the policy, [G, T], without history.
    pub logprobs: Tensor<2>,
    /// k3 of every token, [G, T]; `None` without a reference.
    pub k3: Option<Tensor<2>>,
    /// The gradient of the loss.
    pub gradients: GradientsParams,
}

/// Loss and gradient of one group; the loss counts `weight` times ([`super::LossType::accumulated`]).
///
/// # Errors
/// As [`Policy::token_logprobs`] and [`loss()`]; a failed device.
pub async fn step<L: Learner>(
    policy: &L,
    encoded: &L::Encoded,
    group: &Group,
    settings: &GrpoSettings,
    weight: f64,
) -> Result<Step> {
    if group.unscaled {
        let why = "has advantages that wait for the rewards of their batch";
        return Err(PolicyError::Rollouts(why.into()));
    }
    let temperature = settings.logprob_temperature;
    let measured = policy.token_logprobs(encoded, &group.question, &group.rollouts, temperature)?;
    let Logprobs {
        logprobs,
        mask,
        entropies,
    } = measured;
    let mask = match settings.mask_truncated_completions {
        true => without_truncated(mask, &group.rollouts),
        false => mask,
    };
    let keep = match settings.top_entropy_quantile {
        quantile if quantile < 1.0 => Some(keep(entropies, &mask, quantile).await?),
        _ => None,
    };
    let present = logprobs.clone().without_autodiff(); // [G, T]
    let plain = mask.clone().without_autodiff();
    let terms = GroupLogprobs {
        policy: logprobs,
        old: group.old.clone(),
        reference: group.reference.clone(),
        mask,
        keep,
        sampled: group.rollouts.iter().map(|r| r.logprob).collect(),
    };
    let found = loss(settings, terms, &group.advantages)?;
    let total = found.loss.mul_scalar(weight);
    // One transfer of all that is told.
    let sum = |x: Tensor<2>| x.without_autodiff().sum();
    let none = || Tensor::zeros([1], &present.device());
    let told = Tensor::cat(
        vec![
            total.clone().without_autodiff(),
            plain.clone().sum(),
            sum(-present.clone() * plain),
            found.kl.clone().map_or_else(none, sum),
            found.clipped.map_or_else(none, sum),
        ],
        0,
    );
    let told: Vec<f64> = values(told).await?.into_iter().map(f64::from).collect();
    let [loss, tokens, entropy, kl, clipped] = told[..] else {
        return Err(PolicyError::Device(format!("{} numbers of 5", told.len())));
    };
    let mut gradients = total.backward();
    let mean = |sum: f64| sum / tokens.max(1.0);
    Ok(Step {
        loss,
        kl: mean(kl),
        clipped: mean(clipped),
        entropy: mean(entropy),
        tokens,
        logprobs: present,
        k3: found.kl.map(Tensor::without_autodiff),
        gradients: policy.gradients(&mut gradients),
    })
}

/// The mask [G, T] without the rows of completions that were cut off.
fn without_truncated(mask: Tensor<2>, rollouts: &[Rollout]) -> Tensor<2> {
    let counts = rollouts.iter().map(|r| if r.truncated { 0.0 } else { 1.0 });
    let counts: Vec<f32> = counts.collect();
    let counts = TensorData::new(counts, [rollouts.len(), 1]);
    mask.clone() * Tensor::from_data(counts, &mask.device())
}

/// 1 for the tokens of highest entropy, [G, T].
async fn keep(entropies: Option<Tensor<2>>, mask: &Tensor<2>, quantile: f64) -> Result<Tensor<2>> {
    let Some(entropies) = entropies else {
        let why =
            "has no entropies, which top_entropy_quantile needs: a map policy's box is one token";
        return Err(PolicyError::Rollouts(why.into()));
    };
    let (dims, device) = (entropies.dims(), entropies.device());
    let counts = values(mask.clone().without_autodiff()).await?;
    let kept = highest(&values(entropies).await?, &counts, quantile);
    Ok(Tensor::from_data(TensorData::new(kept, dims), &device))
}

/// 1 for every masked token whose entropy is at least the `1 - share` quantile of all masked ones (linear between two, as
/// `torch.quantile`), else 0.
pub fn highest(entropies: &[f32], mask: &[f32], share: f64) -> Vec<f32> {
    let masked = entropies.iter().zip(mask).filter(|(_, m)| **m > 0.0);
    let mut sorted: Vec<f32> = masked.map(|(entropy, _)| *entropy).collect();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (1.0 - share).clamp(0.0, 1.0) * last as f64;
    let place = |at: f64| sorted.get(at as usize).copied().map_or(0.0, f64::from);
    let (low, high) = (place(at.floor()), place(at.ceil()));
    let bound = low + (high - low) * at.fract();
    let pairs = entropies.iter().zip(mask);
    let kept = pairs.map(|(entropy, m)| *m > 0.0 && f64::from(*entropy) >= bound);
    kept.map(|kept| if kept { 1.0 } else { 0.0 }).collect()
}
