//! One step: groups of rollouts, their rewards and advantages, the gradient of their losses.
//!
//! ```text
//! prompt -> encode (once) -> G rollouts -> rewards -> advantages -+
//!                       \---> logprobs (differentiable) ----------+-> loss -> gradient, added up
//! reference -> encode -> ref_logprobs ---------------------------+
//! ```
//!
//! From the log-probabilities on it is [`policy::grpo::step()`], as in every other place.
//!
//! A group whose rewards are all equal may be replaced by one of an earlier step (`replay.rs`).
//!
//! On-policy one encoding serves rollouts and gradient. With `num_iterations` above 1 the batch is gone
//! over again with the new weights; `old` are the log-probabilities of the first pass.

use anyhow::{Context, Result};
use grounding::reward;
use picture::RgbImage;
use policy::grpo::{self, step};
use policy::{Encoded, Policy, Rollout, SampleOptions};
use pollster::block_on;

use super::config::GrpoConfig;
use super::prompts::{Prompt, dice};
use super::rewards::{Reward, Rewards, of_rollouts};
use crate::at_once::at_once;
use crate::train::{Accumulator, finite};

/// A prompt with its picture and its number in the run.
pub struct Draw<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Its picture, from which crops are cut.
    pub picture: RgbImage,
    /// The full image, where it is shown smaller than that (the information gap).
    pub shrunk: Option<RgbImage>,
    /// Its number in the run; rollouts follow from the seed and this.
    pub number: u64,
}

impl<'a> Draw<'a> {
    /// A prompt with its picture, the full image at its `full_edge` where the configuration has an information gap.
    pub fn new(config: &GrpoConfig, prompt: &'a Prompt, picture: RgbImage, number: u64) -> Self {
        let shrunk = config.information_gap.then(|| prompt.shrunk(&picture));
        Self {
            prompt,
            shrunk: shrunk.flatten(),
            picture,
            number,
        }
    }

    /// The full image as policy and reward model see it.
    pub fn full(&self) -> &RgbImage {
        self.shrunk.as_ref().unwrap_or(&self.picture)
    }
}

/// A group after its rollouts were drawn and rewarded.
pub struct Group<'a> {
    /// What was asked.
    pub draw: Draw<'a>,
    /// What that was worth.
    pub rewards: Vec<Reward>,
    /// What was answered, and by how much better than the others.
    pub drawn: grpo::Group,
    /// A group of an earlier step that is gone over in its place (`replay.rs`).
    pub replay: Option<Box<Group<'a>>>,
}

impl Group<'_> {
    /// What each rollout was worth, all rewards added up.
    pub fn totals(&self) -> Vec<f64> {
        self.rewards.iter().map(|reward| reward.total).collect()
    }

    /// Whether all were worth the same, so that there is nothing to learn from it.
    pub fn is_level(&self) -> bool {
        reward::deviation(&self.totals()) == 0.0
    }
}

/// What the update of one group reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// The loss, not divided by the number of groups.
    pub loss: f64,
    /// Mean k3 over completion tokens.
    pub kl: f64,
    /// Share of completion tokens whose ratio was clipped.
    pub clipped: f64,
    /// Mean of -logprob over completion tokens.
    pub entropy: f64,
    /// Completion tokens.
    pub tokens: f64,
}

/// Who takes part in a step.
pub struct Trainer<'a> {
    /// Configuration.
    pub config: &'a GrpoConfig,
    /// What KL is measured against; `None` where beta is 0.
    pub reference: Option<&'a Policy>,
    /// Rewards.
    pub rewards: &'a Rewards<'a>,
}

impl Trainer<'_> {
    /// Encodes a prompt's picture, with the history that gradients need.
    fn encode(&self, policy: &Policy, draw: &Draw) -> Result<Encoded> {
        let found = block_on(policy.encode(draw.full(), self.config.longest_edge));
        found.with_context(|| format!("sample \"{}\"", draw.prompt.sample.id))
    }

    /// Draws and rewards a group; the gradient of its loss goes into `sum`. `frozen` is the policy
    /// without gradients. Where the batch scales advantages, the group is its own batch: for several see
    /// [`Trainer::draw`].
    ///
    /// # Errors
    /// A reward or a loss that is no number, a picture or a question that the policy cannot take:
    /// with the sample's name.
    pub fn first<'d>(
        &self,
        policy: &Policy,
        frozen: &Policy,
        draw: Draw<'d>,
        sum: &mut Accumulator,
    ) -> Result<(Group<'d>, Numbers)> {
        let encoded = self.encode(policy, &draw)?;
        let mut group = self.drawn(frozen, &encoded.without_gradients(), draw)?;
        let rewards = group.totals();
        group.drawn.scale_by(&rewards);
        let numbers = self.update(policy, &encoded, &mut group, sum)?;
        Ok((group, numbers))
    }

    /// Draws rollouts of prompts and rewards them, which [`Trainer::again`] then goes over. Rewards that somebody far away
    /// gives are asked for at the same time.
    ///
    /// # Errors
    /// As [`Trainer::first`].
    pub fn draw<'d>(&self, frozen: &Policy, draws: Vec<Draw<'d>>) -> Result<Vec<Group<'d>>> {
        let rolled = draws.into_iter().map(|draw| {
            let encoded = self.encode(frozen, &draw)?;
            let rollouts = self.rollouts(frozen, &encoded, &draw)?;
            anyhow::Ok((draw, rollouts))
        });
        let rolled = rolled.collect::<Result<Vec<_>>>()?;
        let worth = |(draw, rollouts): &(Draw, Vec<Rollout>)| self.worth(draw, rollouts);
        let rewards = match self.rewards.waits() {
            true => at_once(&rolled, worth)?,
            false => rolled.iter().map(worth).collect::<Result<_>>()?,
        };
        let groups = rolled.into_iter().zip(rewards);
        groups
            .map(|((draw, rollouts), rewards)| self.group(draw, rollouts, rewards))
            .collect()
    }

    fn drawn<'d>(&self, frozen: &Policy, encoded: &Encoded, draw: Draw<'d>) -> Result<Group<'d>> {
        let rollouts = self.rollouts(frozen, encoded, &draw)?;
        let rewards = self.worth(&draw, &rollouts)?;
        self.group(draw, rollouts, rewards)
    }

    fn rollouts(&self, frozen: &Policy, encoded: &Encoded, draw: &Draw) -> Result<Vec<Rollout>> {
        let config = self.config;
        let sample = &draw.prompt.sample;
        let options = SampleOptions {
            n: config.num_generations,
            temperature: config.temperature,
            unconstrained: config.unconstrained,
            max_tokens: config.max_completion_length,
        };
        let mut rng = dice(config.seed, draw.number);
        let rollouts = frozen.sample(encoded, &sample.question, &options, &mut rng);
        block_on(rollouts).with_context(|| format!("sample \"{}\"", sample.id))
    }

    fn worth(&self, draw: &Draw, rollouts: &[Rollout]) -> Result<Vec<Reward>> {
        let (sample, drawn) = (&draw.prompt.sample, of_rollouts(rollouts));
        self.rewards
            .of(sample, draw.full(), &draw.picture, &drawn, false)
    }

    fn group<'d>(
        &self,
        draw: Draw<'d>,
        rollouts: Vec<Rollout>,
        rewards: Vec<Reward>,
    ) -> Result<Group<'d>> {
        let totals: Vec<f64> = rewards.iter().map(|r| r.total).collect();
        let question = &draw.prompt.sample.question;
        let drawn = grpo::Group::new(question, rollouts, &totals, &self.config.settings())?;
        self.referred(Group {
            draw,
            rewards,
            drawn,
            replay: None,
        })
    }

    /// A group that was kept in an earlier step.
    ///
    /// # Errors
    /// As [`Trainer::first`].
    pub fn replayed<'d>(
        &self,
        policy: &Policy,
        kept: &grpo::Kept,
        draw: Draw<'d>,
    ) -> Result<Group<'d>> {
        self.referred(Group {
            drawn: kept.group(&policy.device().inner())?,
            draw,
            rewards: Vec::new(),
            replay: None,
        })
    }

    /// With the reference's log-probabilities.
    fn referred<'d>(&self, mut group: Group<'d>) -> Result<Group<'d>> {
        if let Some(reference) = self.reference {
            let encoded = self.encode(reference, &group.draw)?;
            let settings = self.config.settings();
            group.drawn.refer_to(reference, &encoded, &settings)?;
        }
        Ok(group)
    }

    /// A further iteration over a group, with the weights as they are now.
    ///
    /// # Errors
    /// As [`Trainer::first`].
    pub fn again(
        &self,
        policy: &Policy,
        group: &mut Group,
        sum: &mut Accumulator,
    ) -> Result<Numbers> {
        if let Some(replay) = group.replay.as_deref_mut() {
            let encoded = self.encode(policy, &replay.draw)?;
            return self.update(policy, &encoded, replay, sum);
        }
        let encoded = self.encode(policy, &group.draw)?;
        self.update(policy, &encoded, group, sum)
    }

    /// Adds the gradient of a group's loss to `sum`.
    fn update(
        &self,
        policy: &Policy,
        encoded: &Encoded,
        group: &mut Group,
        sum: &mut Accumulator,
    ) -> Result<Numbers> {
        let sample = &group.draw.prompt.sample;
        let about = || format!("sample \"{}\"", sample.id);
        // What a group counts in its batch is known after the last one: `share`.
        let settings = self.config.settings();
        let found = step(policy, encoded, &group.drawn, &settings, 1.0);
        let found = block_on(found).with_context(about)?;
        let numbers = Numbers {
            loss: finite(found.loss, "the loss").with_context(about)?,
            kl: found.kl,
            clipped: found.clipped,
            entropy: found.entropy,
            tokens: found.tokens,
        };
        let config = self.config;
        let later = config.num_iterations > 1 || config.replay_buffer_size > 0;
        if later && !group.drawn.is_off_policy() {
            group.drawn.drawn_with(found.logprobs);
        }
        sum.add(policy, found.gradients);
        Ok(numbers)
    }

    /// What the sum of a batch's gradients and losses is to be multiplied with.
    pub fn share(&self, groups: usize, tokens: f64) -> f64 {
        self.config.loss_type.accumulated(groups, tokens)
    }
}

/// Means over the groups of a step, under TRL's names. `passes` has the numbers of every iteration,
/// group by group; `entropy` is the mean of -logprob of the drawn tokens (an estimate: the
/// whole distribution over a vocabulary is not read back), and of the first iteration, as `loss`.
pub fn summary(groups: &[Group], passes: &[Vec<Numbers>], share: f64) -> serde_json::Value {
    let numbers = passes.first().map_or(&[][..], Vec::as_slice);
    let count = groups.len().max(1) as f64;
    let totals: Vec<Vec<f64>> = groups.iter().map(Group::totals).collect();
    let over_groups = |f: &dyn Fn(&Vec<f64>) -> f64| totals.iter().map(f).sum::<f64>() / count;
    let rollouts: usize = totals.iter().map(Vec::len).sum();
    let tokens: f64 = numbers.iter().map(|n| n.tokens).sum();
    let over_tokens = |f: &dyn Fn(&Numbers) -> f64| {
        numbers.iter().map(|n| f(n) * n.tokens).sum::<f64>() / tokens.max(1.0)
    };
    let over_passes = |f: &dyn Fn(&Numbers) -> f64| {
        let all = passes.iter().flatten();
        all.map(|n| f(n) * n.tokens).sum::<f64>() / (tokens * passes.len() as f64).max(1.0)
    };
    let mut line = serde_json::json!({
        "reward": over_groups(&|g| reward::mean(g)),
        "reward_std": over_groups(&|g| reward::deviation(g)),
        "frac_reward_zero_std": groups.iter().filter(|g| g.is_level()).count() as f64 / count,
        "kl": over_passes(&|n| n.kl),
        "entropy": over_tokens(&|n| n.entropy),
        "clip_ratio": over_passes(&|n| n.clipped),
        "completions/mean_length": tokens / rollouts.max(1) as f64,
        "loss": numbers.iter().map(|n| n.loss).sum::<f64>() * share,
    });
    let mut sums: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    for reward in groups.iter().flat_map(|g| &g.rewards) {
        for (name, value) in &reward.parts {
            *sums.entry(name).or_default() += value;
        }
    }
    for (name, sum) in sums {
        line[format!("rewards/{name}/mean")] = (sum / rollouts.max(1) as f64).into();
    }
    line
}

/// A group as a line of rollouts.jsonl.
pub fn record(step: u64, group: &Group) -> serde_json::Value {
    let sample = &group.draw.prompt.sample;
    let drawn = &group.drawn;
    let rollouts: Vec<serde_json::Value> = drawn
        .rollouts
        .iter()
        .zip(&group.rewards)
        .zip(&drawn.advantages)
        .map(|((rollout, reward), advantage)| {
            serde_json::json!({
                "box": rollout.bbox, "completion": rollout.completion, "rewards": reward.parts,
                "reward": reward.total, "advantage": advantage, "logprob": rollout.logprob,
            })
        })
        .collect();
    let mut line = serde_json::json!({
        "step": step, "id": sample.id, "image": group.draw.prompt.place(), "question": sample.question,
        "answer": sample.answers.first(), "rollouts": rollouts,
    });
    if let Some(replay) = &group.replay {
        line["replayed"] = replay.draw.prompt.sample.id.as_str().into();
    }
    let truths = sample.evidence();
    if !truths.is_empty() {
        line["true_boxes"] = serde_json::json!(truths);
    }
    line
}
