//! GRPO on one picture and one question, step by step: small enough for a browser, and the real thing.
//!
//! ```text
//! draw G boxes -> reward each -> advantages -> gradient of the loss -> one step -> draw again
//! ```
//!
//! The encoder stays as it is, so that a picture is encoded once; the decoder's weights move. Loss and
//! log-probabilities are those of training ([`crate::grpo::step()`]).

use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use grounding::NormBox;
use grounding::reward;
use picture::RgbImage;
use rand::Rng;

use super::legible::legibility;
use super::readback::values;
use super::{Features, MapNet, MapPolicy};
use crate::grpo::{Group, GrpoSettings, step};
use crate::{ModelFiles, Result, Rollout, SampleOptions};

/// Advantages that are nowhere larger than this, nats a character, say nothing: the reader's rewards differ by as much
/// for boxes that people would call the same. On such a group (the shipped model's boxes for the total of the page's
/// receipt) one step of the page's lesson takes the mean reward from -0.04 to -1.4.
pub const NEAR_ZERO: f64 = 0.05;

/// Whether a group has nothing to learn from: all its advantages are near zero. A step on it would not be none: Adam
/// goes on where the steps before pointed, so that the policy would move without a reason.
///
/// ```
/// use policy::map::live::says_nothing;
/// assert!(says_nothing(&[0.0004, -0.0004]) && says_nothing(&[]));
/// assert!(!says_nothing(&[0.2, -0.1, -0.1]));
/// ```
pub fn says_nothing(advantages: &[f64]) -> bool {
    advantages
        .iter()
        .all(|advantage| advantage.abs() <= NEAR_ZERO)
}

/// A policy that learns on one picture.
pub struct Live {
    policy: MapPolicy,
    /// The weights at the start, with gradients: what [`Live::forget`] brings back.
    first: MapNet,
    /// The same without: what KL is measured against, and whose letters read.
    reference: MapPolicy,
    /// The picture, encoded once. No gradient flows into it: the encoder is no part of the lesson.
    encoded: Features,
    optimizer: ModuleOptimizer,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveStep {
    /// Mean reward of the group.
    pub mean: f64,
    /// Reward less mean, and divided by the deviation where the loss type says so.
    pub advantages: Vec<f64>,
    /// What was minimised.
    pub loss: f64,
    /// Mean k3 divergence from the policy at the start, before the step; 0 where `beta` is 0.
    pub kl: f64,
    /// Log-probabilities of the group's boxes before the step, nats, at the temperature of the settings.
    pub before: Vec<f64>,
    /// The same after it.
    pub after: Vec<f64>,
}

impl Live {
    /// Loads a map policy and encodes the picture.
    ///
    /// # Errors
    /// As [`MapPolicy::load`]; a failed device.
    pub async fn start(
        files: &ModelFiles,
        device: &Device,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<Self> {
        let policy = MapPolicy::load(files, &device.clone().autodiff())?;
        let mut reference = policy.without_gradients();
        reference.prepare()?; // it reads all the crops
        Ok(Self {
            encoded: reference.encode(picture, longest_edge).await?,
            first: policy.net().clone(),
            optimizer: AdamConfig::new().init(),
            policy,
            reference,
        })
    }

    /// Takes the weights of the start again; nothing of what was learned stays.
    pub fn forget(&mut self) {
        self.policy.change(|_| self.first.clone());
        self.optimizer = AdamConfig::new().init();
    }

    /// Draws a group from the policy as it is now.
    ///
    /// # Errors
    /// A failed device.
    pub async fn draw(
        &self,
        question: &str,
        options: &SampleOptions,
        rng: &mut impl Rng,
    ) -> Result<Vec<Rollout>> {
        let policy = self.policy.without_gradients();
        policy.sample(&self.encoded, question, options, rng).await
    }

    /// The likeliest box of the policy as it is now.
    ///
    /// # Errors
    /// A failed device.
    pub async fn best(&self, question: &str) -> Result<Option<NormBox>> {
        let policy = self.policy.without_gradients();
        Ok(policy.propose(&self.encoded, question).await?.bbox)
    }

    /// The reward for a crop: how well a text can be read in it, see [`legibility`].
    ///
    /// # Errors
    /// A failed device.
    pub async fn read(&self, crop: &RgbImage, longest_edge: u32, text: &str) -> Result<f32> {
        legibility(&self.reference, crop, longest_edge, text).await
    }

    /// One policy-gradient step on a group and its rewards; none, and nothing changes, where the group
    /// [says nothing](says_nothing).
    ///
    /// # Errors
    /// Rewards that are not one number a rollout, a failed device.
    pub async fn step(
        &mut self,
        question: &str,
        rollouts: &[Rollout],
        rewards: &[f64],
        settings: &GrpoSettings,
        learning_rate: f64,
    ) -> Result<Option<LiveStep>> {
        let mut group = Group::new(question, rollouts.to_vec(), rewards, settings)?;
        group.scale_by(rewards); // no other group is in its batch
        if says_nothing(&group.advantages) {
            return Ok(None);
        }
        if settings.beta > 0.0 {
            group.refer_to(&self.reference, &self.encoded, settings)?;
        }
        // A box is one token.
        let weight = settings.loss_type.accumulated(1, rollouts.len() as f64);
        let found = step(&self.policy, &self.encoded, &group, settings, weight).await?;
        let before = numbers(found.logprobs).await?;
        let gradients = found.gradients;
        let optimizer = &mut self.optimizer;
        self.policy
            .change(|net| optimizer.step(learning_rate, net, gradients));
        let moved = self.policy.without_gradients();
        let temperature = settings.logprob_temperature;
        let after = moved.token_logprobs(&self.encoded, question, rollouts, temperature)?;
        Ok(Some(LiveStep {
            mean: reward::mean(rewards),
            advantages: group.advantages,
            loss: found.loss,
            kl: found.kl,
            before,
            after: numbers(after.logprobs).await?,
        }))
    }
}

/// Numbers from the device.
async fn numbers<const D: usize>(value: Tensor<D>) -> Result<Vec<f64>> {
    let values = values(value.detach()).await?;
    Ok(values.into_iter().map(f64::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MapConfig;
    use rand::SeedableRng;

    #[test]
    fn a_step_makes_rewarded_boxes_likelier() {
        pollster::block_on(async {
            let device = Device::flex();
            let policy = MapPolicy::random(&MapConfig::tiny(), 3, &device).expect("a policy");
            let files = policy.files(false).expect("files");
            let picture = RgbImage::from_fn(96, 128, |x, y| {
                image::Rgb([if (x / 8 + y / 8) % 2 == 0 { 30 } else { 220 }; 3])
            });
            let mut live = Live::start(&files, &device, &picture, None)
                .await
                .expect("a start");
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
            let options = SampleOptions::default();
            let group = live
                .draw("What is it?", &options, &mut rng)
                .await
                .expect("a group");
            let rewards: Vec<f64> = (0..group.len())
                .map(|i| f64::from(u8::from(i == 0)))
                .collect();
            let settings = GrpoSettings {
                max_completion_length: 1,
                ..GrpoSettings::default()
            };
            let step = live
                .step("What is it?", &group, &rewards, &settings, 1e-4)
                .await
                .expect("a step")
                .expect("something to learn");
            assert!(step.after[0] > step.before[0], "{step:?}");
            assert!(
                step.kl.abs() < 1e-6,
                "nothing has moved before the first step: {step:?}"
            );
            let again = live
                .step("What is it?", &group, &rewards, &settings, 1e-4)
                .await
                .expect("a step")
                .expect("something to learn");
            assert!(
                again.kl > 0.0 && again.after[0] > step.after[0],
                "{again:?}"
            );
            // Equal rewards: Adam would go on by itself.
            let equal = vec![-0.3; group.len()];
            let none = live
                .step("What is it?", &group, &equal, &settings, 1e-4)
                .await
                .expect("encodes");
            assert_eq!(none, None);
            let rested = live
                .step("What is it?", &group, &rewards, &settings, 1e-4)
                .await
                .expect("a step")
                .expect("something to learn");
            let far = |a: &[f64], b: &[f64]| (a[0] - b[0]).abs();
            let (still, moved) = (
                far(&rested.before, &again.after),
                far(&rested.before, &again.before),
            );
            assert!(
                still < 0.01 * moved,
                "it has moved meanwhile: {still} {moved}"
            );
            let wrong = live
                .step("What is it?", &group, &[1.0], &settings, 1e-4)
                .await;
            assert!(wrong.is_err());
            live.forget();
            let anew = live
                .step("What is it?", &group, &rewards, &settings, 1e-4)
                .await
                .expect("a step")
                .expect("something to learn");
            assert_eq!((anew.before, anew.after), (step.before, step.after));
        });
    }
}
