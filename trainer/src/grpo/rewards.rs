//! What each rollout of a group is worth.
//!
//! A bad completion is data: it is scored, with a crop of 2 x 2 pixels, and rewarded little. A broken
//! reward (NaN, an answer that is not there) is a bug: the run stops and names the sample.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use grounding::answers::{anls, vqa_accuracy};
use grounding::prompt::target_answer;
use grounding::{NormBox, Sample, validity_reward};
use picture::RgbImage;
use policy::Rollout;

use super::config::{GrpoConfig, Metric};
use crate::reader::{LetterReader, Reader, RewardModel};

/// Answers that TextVQA has for a question; the reference tells its metric from that.
const HUMAN_ANSWERS: usize = 10;

/// The rewards of one rollout.
#[derive(Debug, Clone, Default)]
pub struct Reward {
    /// Each by name, unweighted: likelihood (nats), accuracy, validity.
    pub parts: BTreeMap<&'static str, f64>,
    /// Their weighted sum.
    pub total: f64,
}

/// Computes rewards.
pub struct Rewards<'a> {
    config: &'a GrpoConfig,
    reader: Option<&'a Reader>,
}

impl<'a> Rewards<'a> {
    /// Rewards of a configuration; the reader may be absent where no reward needs it.
    pub fn new(config: &'a GrpoConfig, reader: Option<&'a Reader>) -> Self {
        Self { config, reader }
    }

    /// Whether a sample can be rewarded: to be asked before a run, not in the middle of it.
    ///
    /// # Errors
    /// A sample without an answer.
    pub fn check(config: &GrpoConfig, sample: &Sample) -> Result<()> {
        let empty = sample.answers.iter().all(|a| a.trim().is_empty());
        if config.needs_reader() && empty {
            bail!(
                "sample \"{}\": it has no answer, which likelihood and accuracy need",
                sample.id
            );
        }
        Ok(())
    }

    /// Rewards of rollouts, in their order. `all` computes also those of weight 0 that the reader can
    /// give (for measuring).
    ///
    /// # Errors
    /// A reader that fails, a reward that is no number: with the sample's name.
    pub fn of(
        &self,
        sample: &Sample,
        picture: &RgbImage,
        rollouts: &[(Option<NormBox>, &str)],
        all: bool,
    ) -> Result<Vec<Reward>> {
        self.parts(sample, picture, rollouts, all)
            .and_then(|rewards| self.add_up(rewards))
            .with_context(|| format!("rewards of sample \"{}\"", sample.id))
    }

    fn parts(
        &self,
        sample: &Sample,
        picture: &RgbImage,
        rollouts: &[(Option<NormBox>, &str)],
        all: bool,
    ) -> Result<Vec<Reward>> {
        let mut rewards = vec![Reward::default(); rollouts.len()];
        for (reward, (_, completion)) in rewards.iter_mut().zip(rollouts) {
            let validity = f64::from(validity_reward(completion));
            reward.parts.insert("validity", validity);
        }
        let Some(reader) = self.reader else {
            return Ok(rewards);
        };
        // Equal boxes, frequent once a policy is sure, are read once.
        let mut boxes: Vec<Option<NormBox>> = Vec::new();
        let places: Vec<usize> = rollouts
            .iter()
            .map(|(bbox, _)| {
                boxes.iter().position(|b| b == bbox).unwrap_or_else(|| {
                    boxes.push(*bbox);
                    boxes.len() - 1
                })
            })
            .collect();
        let found = match reader {
            Reader::Vlm(reader) => self.ask(reader, sample, picture, &boxes, all)?,
            Reader::Letters(reader) => spell(reader, sample, picture, &boxes)?,
        };
        for (reward, place) in rewards.iter_mut().zip(&places) {
            reward.parts.extend(&found[*place]);
        }
        Ok(rewards)
    }

    /// What a VLM makes of each crop.
    fn ask(
        &self,
        reader: &RewardModel,
        sample: &Sample,
        picture: &RgbImage,
        boxes: &[Option<NormBox>],
        all: bool,
    ) -> Result<Vec<BTreeMap<&'static str, f64>>> {
        let mut found = vec![BTreeMap::new(); boxes.len()];
        let full = reader.look(picture)?;
        let config = &self.config.rewards;
        if all || config.likelihood != 0.0 {
            let target =
                target_answer(&sample.answers, self.config.case).context("it has no answer")?;
            let scores = reader.score(&full, boxes, &sample.question, &target)?;
            for (parts, score) in found.iter_mut().zip(scores) {
                let sum = score.iter().map(|p| f64::from(*p)).sum();
                parts.insert("likelihood", sum);
            }
        }
        if all || config.accuracy != 0.0 {
            let longest = self.config.reward_model.max_tokens;
            let answers = reader.answer(&full, boxes, &sample.question, longest)?;
            for (parts, answer) in found.iter_mut().zip(answers) {
                let score = score(config.metric, &answer, &sample.answers);
                parts.insert("accuracy", score);
            }
        }
        Ok(found)
    }

    fn add_up(&self, mut rewards: Vec<Reward>) -> Result<Vec<Reward>> {
        let config = &self.config.rewards;
        let weights = [
            ("likelihood", config.likelihood),
            ("accuracy", config.accuracy),
            ("validity", config.validity),
        ];
        for reward in &mut rewards {
            for (name, weight) in weights {
                let Some(value) = reward.parts.get(name) else {
                    continue;
                };
                if !value.is_finite() {
                    bail!("{name} is {value}; the last good checkpoint is kept");
                }
                reward.total += weight * value;
            }
        }
        Ok(rewards)
    }
}

/// What letters make of each crop: both rewards come from one reading.
fn spell(
    reader: &LetterReader,
    sample: &Sample,
    picture: &RgbImage,
    boxes: &[Option<NormBox>],
) -> Result<Vec<BTreeMap<&'static str, f64>>> {
    let answer = sample.answers.first().context("it has no answer")?;
    let readings = reader.read(picture, boxes, answer)?;
    let parts = |r: crate::reader::Reading| {
        BTreeMap::from([
            ("likelihood", r.nats),
            ("accuracy", f64::from(u8::from(r.read))),
        ])
    };
    Ok(readings.into_iter().map(parts).collect())
}

/// Score of an answer, 0 to 1. The full stop that the reader was taught to write does not count.
pub fn score(metric: Metric, answer: &str, truths: &[String]) -> f64 {
    let answer = answer.trim();
    let answer = answer.strip_suffix('.').unwrap_or(answer);
    let vqa = match metric {
        Metric::VqaAccuracy => true,
        Metric::Anls => false,
        Metric::Auto => truths.len() == HUMAN_ANSWERS,
    };
    if vqa {
        vqa_accuracy(answer, truths)
    } else {
        anls(answer, truths)
    }
}

/// Box and text of rollouts, as [`Rewards::of`] takes them.
pub fn of_rollouts(rollouts: &[Rollout]) -> Vec<(Option<NormBox>, &str)> {
    rollouts
        .iter()
        .map(|r| (r.bbox, r.completion.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_follows_the_number_of_answers() {
        let ten: Vec<String> = (0..10)
            .map(|i| if i < 2 { "two" } else { "three" }.to_string())
            .collect();
        // Two of ten people: leave-one-out gives (2 x 1/3 + 8 x 2/3) / 10.
        let found = score(Metric::Auto, "Two.", &ten);
        assert!((found - 0.6).abs() < 1e-9, "{found}");
        let one = ["coca cola".to_string()];
        assert_eq!(score(Metric::Auto, " Coca cola. ", &one), 1.0);
        let near = score(Metric::Auto, "Coca colo", &one);
        assert!((near - 8.0 / 9.0).abs() < 1e-9, "{near}");
        assert_eq!(score(Metric::VqaAccuracy, "Coca colo", &one), 0.0);
    }
}
