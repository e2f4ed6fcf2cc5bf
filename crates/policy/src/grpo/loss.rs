//! The loss of one group, on tensors: what is minimised, and what is reported of it.
//!
//! Of a rollout's token with log-probability `logp`, advantage `A`, and `old` the one it had when it was drawn (none
//! on-policy: then `old = logp`, held fixed):
//!
//! ```text
//! ratio = exp(logp - old)                                  (of a sequence: of the mean over its tokens)
//! term  = -min(ratio A, clip(ratio, 1 - epsilon, 1 + epsilon_high) A) + beta (exp(d) - d - 1)
//! d     = ref_logp - logp                                  (k3, Schulman's estimator of the KL)
//! ```
//!
//! Where rollouts were drawn with other kernels, the first part counts [`Correction`]'s weight times.
//!
//! How the terms of completion tokens become one number is the difference of the [`LossType`]s; `cispo` and `sapo` have
//! another first part.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};

use super::{CISPO_HIGH, Correction, GrpoSettings, ImportanceLevel, LossType};
use crate::{PolicyError, Result};

/// The loss of a group and what is reported of it.
#[derive(Debug)]
pub struct GrpoLoss {
    /// What is minimised, `[1]`, of this group alone; in a batch times [`LossType::accumulated`].
    pub loss: Tensor<1>,
    /// k3 of every token, `[G, T]`, detached, 0 beyond a completion; `None` without a reference.
    pub kl: Option<Tensor<2>>,
    /// 1 for every completion token whose ratio was clipped, `[G, T]`, else 0; `None` on-policy.
    pub clipped: Option<Tensor<2>>,
}

/// The numbers that the loss of a group is computed from.
#[derive(Debug, Clone)]
pub struct GroupLogprobs {
    /// Of the policy, differentiable, `[G, T]`, in nats, all three at one temperature.
    pub policy: Tensor<2>,
    /// Of the policy that drew the rollouts, `[G, T]`; `None` where that is the present one.
    pub old: Option<Tensor<2>>,
    /// Of the reference model, `[G, T]`; may be absent where `beta` is 0.
    pub reference: Option<Tensor<2>>,
    /// 1 for a token of the completion, 0 beyond its end, `[G, T]`.
    pub mask: Tensor<2>,
    /// 1 for a token whose policy term counts, `[G, T]`; `None`: all of the mask.
    pub keep: Option<Tensor<2>>,
    /// Of each whole completion when it was drawn, as its sampler computed it, in nats, G of them; only a correction needs
    /// them.
    pub sampled: Vec<f64>,
}

/// The loss of one group.
///
/// `advantages` has one entry a row. What is divided by the tokens of a whole batch ([`LossType::Dapo`]) is not divided yet.
///
/// # Errors
/// Shapes that do not fit each other, no rollout, `beta` without a reference: each named.
pub fn loss(
    settings: &GrpoSettings,
    logprobs: GroupLogprobs,
    advantages: &[f64],
) -> Result<GrpoLoss> {
    check(&logprobs, advantages)?;
    let GroupLogprobs {
        policy,
        old,
        reference,
        mask,
        keep,
        sampled,
    } = logprobs;
    let [g, t] = policy.dims();
    let device = policy.device();
    // Constants of the step, whichever device they come from.
    let fixed = |x: Tensor<2>| x.without_autodiff();
    let mask = fixed(mask); // [G, T]
    let advantage: Vec<f32> = advantages.iter().map(|a| *a as f32).collect();
    let advantage = Tensor::<2>::from_data(TensorData::new(advantage, [g, 1]), &device); // [G, 1]

    // A token beyond the end counts nothing, whatever stands there (even infinity times 0).
    let beyond = mask.clone().equal_elem(0.0);
    let policy = policy.mask_fill(beyond.clone(), 0.0); // [G, T]
    let on_policy = old.is_none();
    let old = match old {
        None => policy.clone().detach(),
        Some(old) => fixed(old).mask_fill(beyond.clone(), 0.0),
    };
    let correction = match settings.importance_sampling_correction {
        None => None,
        Some(how) => Some(correction(
            how,
            settings.importance_sampling_cap,
            (old.clone() * mask.clone()).sum_dim(1),
            &sampled,
        )?),
    };
    let change = policy.clone() - old; // [G, T]
    let ratio = match settings.importance_sampling_level {
        ImportanceLevel::Token => change.exp(),
        ImportanceLevel::Sequence => {
            let tokens = mask.clone().sum_dim(1).clamp_min(1.0); // [G, 1]
            let mean = (change * mask.clone()).sum_dim(1) / tokens;
            mean.exp().expand([g, t])
        }
    };
    let (mut terms, clipped) = objective(settings, ratio, policy.clone(), advantage); // [G, T]
    if let Some(keep) = keep {
        terms = terms * fixed(keep);
    }
    if let Some(weight) = correction {
        terms = terms * weight.expand([g, t]);
    }
    let clipped = clipped
        .filter(|_| !on_policy)
        .map(|clipped| clipped * mask.clone());
    let mut kl = None;
    if let Some(reference) = reference {
        let d = fixed(reference).mask_fill(beyond, 0.0) - policy;
        let k3 = d.clone().exp() - d - 1.0; // [G, T]
        terms = terms + k3.clone().mul_scalar(settings.beta);
        kl = Some(k3.detach() * mask.clone());
    } else if settings.beta != 0.0 {
        return Err(wrong("has no ref_logprobs, but beta is above 0"));
    }
    let loss = reduce(settings, terms * mask.clone(), mask)?;
    Ok(GrpoLoss { loss, kl, clipped })
}

/// What is minimised of every token but for the divergence, and where the ratio was clipped, `[G, T]`; advantages `[G, 1]`.
fn objective(
    settings: &GrpoSettings,
    ratio: Tensor<2>,
    policy: Tensor<2>,
    advantage: Tensor<2>,
) -> (Tensor<2>, Option<Tensor<2>>) {
    match settings.loss_type {
        LossType::Cispo => {
            let high = settings.epsilon_high.unwrap_or(CISPO_HIGH);
            let ratio = ratio.detach();
            let gains = advantage.clone().expand(ratio.dims()).greater_elem(0.0);
            let clipped = ratio.clone().greater_elem(high).bool_and(gains);
            let terms = -(ratio.clamp_max(high) * advantage) * policy;
            (terms, Some(clipped.float()))
        }
        LossType::Sapo => {
            let gains = advantage.clone().greater_elem(0.0);
            let steep = advantage.full_like(settings.sapo_temperature_neg);
            let steep = steep.mask_fill(gains, settings.sapo_temperature_pos); // [G, 1]
            let gate = sigmoid((ratio - 1.0) * steep.clone()).mul_scalar(4.0) / steep;
            (-(gate * advantage), None)
        }
        _ => {
            let high = settings.epsilon_high.unwrap_or(settings.epsilon);
            let (ratio, clipped) = clip(ratio, &advantage, settings.epsilon, high);
            (-(ratio * advantage), Some(clipped))
        }
    }
}

/// What each completion counts, `[G, 1]`, by its old log-probability `[G, 1]` and that under which it was drawn.
fn correction(how: Correction, cap: f64, old: Tensor<2>, sampled: &[f64]) -> Result<Tensor<2>> {
    let [g, _] = old.dims();
    if sampled.len() != g || sampled.iter().any(|logprob| !logprob.is_finite()) {
        return Err(wrong(
            "has no log-probability under which each completion was drawn, which importance_sampling_correction needs",
        ));
    }
    let sampled: Vec<f32> = sampled.iter().map(|logprob| *logprob as f32).collect();
    let sampled = Tensor::<2>::from_data(TensorData::new(sampled, [g, 1]), &old.device());
    let weight = (old - sampled).exp().detach(); // [G, 1]
    Ok(match how {
        Correction::SequenceTruncate => weight.clamp_max(cap),
        Correction::SequenceMask => {
            let above = weight.clone().greater_elem(cap);
            weight.mask_fill(above, 0.0)
        }
    })
}

/// The ratio, held fixed where the clipped term is the smaller one, and where that is, `[G, T]`.
///
/// Written with the choice made explicitly, so that a ratio of exactly 1 (the first of several
/// iterations) has one gradient and not the half of two.
fn clip(
    ratio: Tensor<2>,
    advantage: &Tensor<2>,
    epsilon: f64,
    epsilon_high: f64,
) -> (Tensor<2>, Tensor<2>) {
    let plain = ratio.clone().detach();
    let dims = plain.dims();
    let advantage = advantage.clone().expand(dims);
    let high = plain
        .clone()
        .greater_elem(1.0 + epsilon_high)
        .bool_and(advantage.clone().greater_elem(0.0));
    let low = plain
        .clone()
        .lower_elem(1.0 - epsilon)
        .bool_and(advantage.lower_elem(0.0));
    let clipped = high.bool_or(low);
    let bounded = plain.clamp(1.0 - epsilon, 1.0 + epsilon_high);
    let ratio = ratio.mask_where(clipped.clone(), bounded);
    (ratio, clipped.float())
}

/// Masked terms `[G, T]` to one number `[1]`.
fn reduce(settings: &GrpoSettings, terms: Tensor<2>, mask: Tensor<2>) -> Result<Tensor<1>> {
    let [g, _] = terms.dims();
    Ok(match settings.loss_type {
        LossType::DrGrpo => {
            let places = g * settings.max_completion_length;
            if places == 0 {
                return Err(wrong("has a max_completion_length of 0"));
            }
            terms.sum().div_scalar(places as f64)
        }
        LossType::Grpo | LossType::Sapo => {
            let tokens = mask.sum_dim(1).clamp_min(1.0); // [G, 1]
            (terms.sum_dim(1) / tokens).mean()
        }
        LossType::Bnpo => terms.sum() / mask.sum().clamp_min(1.0),
        LossType::Dapo | LossType::Cispo => terms.sum(),
    })
}

fn wrong(problem: impl Into<String>) -> PolicyError {
    PolicyError::Rollouts(problem.into())
}

fn check(logprobs: &GroupLogprobs, advantages: &[f64]) -> Result<()> {
    let expected = logprobs.policy.dims();
    let others = [
        ("old logprobs", logprobs.old.as_ref()),
        ("ref_logprobs", logprobs.reference.as_ref()),
        ("completion mask", Some(&logprobs.mask)),
        ("mask of entropies", logprobs.keep.as_ref()),
    ];
    for (name, tensor) in others {
        if let Some(actual) = tensor.map(Tensor::dims)
            && actual != expected
        {
            return Err(wrong(format!(
                "has {name} of shape {actual:?} for logprobs of shape {expected:?}"
            )));
        }
    }
    if advantages.len() != expected[0] || advantages.is_empty() {
        return Err(wrong(format!(
            "has {} advantages for {} rollouts",
            advantages.len(),
            expected[0]
        )));
    }
    if let Some(bad) = advantages.iter().find(|a| !a.is_finite()) {
        return Err(wrong(format!("has an advantage of {bad}")));
    }
    Ok(())
}

#[cfg(test)]
#[path = "loss_tests.rs"]
mod tests;
