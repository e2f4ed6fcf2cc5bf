//! What a rollout is worth, and by how much more than the others of its group.
//!
//! Rewards are added up, each times its weight; the advantage of a rollout is its reward less the
//! mean of its group (Dr. GRPO, and the CropVLM reference's default). The older variants divide by
//! the group's deviation as well, as TRL does: [`Scale::Deviation`].

pub mod grounding;

use crate::{ParseError, parse_completion};

/// Added to the deviation before dividing, as in TRL and the reference: a group whose rewards are
/// all but equal does not get huge advantages.
pub const DEVIATION_FLOOR: f64 = 1e-4;

/// Whether advantages are divided by their group's deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Reward less mean: Dr. GRPO.
    #[default]
    None,
    /// Divided by the sample deviation (n - 1) plus [`DEVIATION_FLOOR`].
    Deviation,
}

/// The reward for form: 1 for a valid box, 0.25 for the literal `Not needed.`, 0 otherwise.
pub fn validity_reward(completion: &str) -> f32 {
    match parse_completion(completion) {
        Ok(_) => 1.0,
        Err(ParseError::NotNeeded) => 0.25,
        Err(_) => 0.0,
    }
}

/// Mean of a group's rewards; 0 for an empty group. The mean of equal rewards is that reward, to
/// the bit, so that such a group moves nothing.
pub fn mean(rewards: &[f64]) -> f64 {
    let Some(&first) = rewards.first() else {
        return 0.0;
    };
    first + rewards.iter().map(|r| r - first).sum::<f64>() / rewards.len() as f64
}

/// Sample standard deviation (n - 1) of a group's rewards; 0 for fewer than two.
pub fn deviation(rewards: &[f64]) -> f64 {
    if rewards.len() < 2 {
        return 0.0;
    }
    let mean = mean(rewards);
    let squares: f64 = rewards.iter().map(|r| (r - mean).powi(2)).sum();
    (squares / (rewards.len() - 1) as f64).sqrt()
}

/// Advantages of one group, in the order of its rewards.
///
/// ```
/// use grounding::reward::{Scale, advantages};
/// assert_eq!(advantages(&[1.0, 2.0, 6.0], Scale::None), [-2.0, -1.0, 3.0]);
/// ```
pub fn advantages(rewards: &[f64], scale: Scale) -> Vec<f64> {
    let mean = mean(rewards);
    let divisor = match scale {
        Scale::None => 1.0,
        Scale::Deviation => deviation(rewards) + DEVIATION_FLOOR,
    };
    rewards.iter().map(|r| (r - mean) / divisor).collect()
}
