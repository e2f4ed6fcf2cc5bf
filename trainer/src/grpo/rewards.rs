//! What each rollout of a group is worth: reward functions by name, each with a weight, added up.
//!
//! A bad completion is data: it is scored, with a crop of 2 x 2 pixels, and rewarded little. A broken
//! reward (NaN, an answer that is not there) is a bug: the run stops and names the sample.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use grounding::answers::{anls, vqa_accuracy};
use grounding::prompt::target_answer;
use grounding::reward::grounding::{GroundingReward, grounding_reward};
use grounding::{Case, NormBox, Sample, validity_reward};
use picture::RgbImage;
use policy::Rollout;

use super::config::{GrpoConfig, Metric, RewardKind};
use crate::reader::{FullImage, LetterReader, Reader, Reading, RewardModel};

/// Answers that TextVQA has for a question; the reference tells its metric from that.
const HUMAN_ANSWERS: usize = 10;

/// The rewards of one rollout.
#[derive(Debug, Clone, Default)]
pub struct Reward {
    /// Each by name, unweighted: likelihood (nats), accuracy, validity, and so on.
    pub parts: BTreeMap<&'static str, f64>,
    /// Their weighted sum.
    pub total: f64,
}

/// One way to say what rollouts are worth.
trait RewardFunction: Send + Sync {
    /// What it is called in configurations, metrics and rollouts.jsonl.
    fn name(&self) -> &'static str;

    /// Whether a sample has what it needs.
    ///
    /// # Errors
    /// What is missing.
    fn check(&self, _: &Sample) -> Result<()> {
        Ok(())
    }

    /// What each rollout is worth; `None` where that cannot be said (a reader that is not there).
    ///
    /// # Errors
    /// A reader that fails, a sample that lacks what is needed.
    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>>;
}

/// The function of a kind.
fn function(kind: RewardKind, config: &GrpoConfig) -> Box<dyn RewardFunction> {
    match kind {
        RewardKind::Likelihood => Box::new(Likelihood { case: config.case }),
        RewardKind::Accuracy => Box::new(Accuracy {
            metric: config.rewards.metric,
            longest: config.reward_model.max_tokens,
        }),
        RewardKind::Validity => Box::new(Validity),
        RewardKind::Coverage | RewardKind::Iou | RewardKind::Distance | RewardKind::Grounding => {
            Box::new(Grounding(kind))
        }
    }
}

/// A group as its rewards see it. What several of them read is read once.
struct Drawn<'a> {
    sample: &'a Sample,
    picture: &'a RgbImage,
    rollouts: &'a [(Option<NormBox>, &'a str)],
    reader: Option<&'a Reader>,
    /// Boxes, equal ones (frequent once a policy is sure) once.
    boxes: Vec<Option<NormBox>>,
    /// Which of them each rollout has.
    places: Vec<usize>,
    full: OnceCell<FullImage<'a>>,
    readings: OnceCell<Vec<Reading>>,
}

impl<'a> Drawn<'a> {
    fn new(
        sample: &'a Sample,
        picture: &'a RgbImage,
        rollouts: &'a [(Option<NormBox>, &'a str)],
        reader: Option<&'a Reader>,
    ) -> Self {
        let mut boxes: Vec<Option<NormBox>> = Vec::new();
        let places = rollouts.iter().map(|(bbox, _)| {
            boxes.iter().position(|b| b == bbox).unwrap_or_else(|| {
                boxes.push(*bbox);
                boxes.len() - 1
            })
        });
        let places = places.collect();
        Self {
            sample,
            picture,
            rollouts,
            reader,
            boxes,
            places,
            full: OnceCell::new(),
            readings: OnceCell::new(),
        }
    }

    /// Values of the boxes, as those of the rollouts that have them.
    fn spread(&self, values: &[f64]) -> Option<Vec<f64>> {
        self.places
            .iter()
            .map(|place| values.get(*place).copied())
            .collect()
    }

    /// The full image as a VLM has read it.
    fn full(&self, reader: &RewardModel) -> Result<&FullImage<'a>> {
        if self.full.get().is_none() {
            let full = reader.look(self.picture)?;
            return Ok(self.full.get_or_init(|| full));
        }
        self.full.get().context("the full image was not read")
    }

    /// What letters make of each crop.
    fn readings(&self, reader: &LetterReader) -> Result<&[Reading]> {
        if self.readings.get().is_none() {
            let answer = self.sample.answers.first().context("it has no answer")?;
            let found = reader.read(self.picture, &self.boxes, answer)?;
            return Ok(self.readings.get_or_init(|| found));
        }
        let found = self.readings.get();
        found.map(Vec::as_slice).context("the crops were not read")
    }
}

fn check_answer(name: &str, sample: &Sample) -> Result<()> {
    if sample.answers.iter().all(|a| a.trim().is_empty()) {
        bail!("it has no answer, which {name} needs");
    }
    Ok(())
}

/// log p(answer) of the reader, in nats.
struct Likelihood {
    case: Case,
}

impl RewardFunction for Likelihood {
    fn name(&self) -> &'static str {
        RewardKind::Likelihood.name()
    }

    fn check(&self, sample: &Sample) -> Result<()> {
        check_answer(self.name(), sample)
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let values: Vec<f64> = match drawn.reader {
            None => return Ok(None),
            Some(Reader::Letters(reader)) => {
                drawn.readings(reader)?.iter().map(|r| r.nats).collect()
            }
            Some(Reader::Vlm(reader)) => {
                let target = target_answer(&drawn.sample.answers, self.case);
                let target = target.context("it has no answer")?;
                let (full, question) = (drawn.full(reader)?, &drawn.sample.question);
                let scores = reader.score(full, &drawn.boxes, question, &target)?;
                let sum = |score: Vec<f32>| score.iter().map(|p| f64::from(*p)).sum();
                scores.into_iter().map(sum).collect()
            }
        };
        Ok(drawn.spread(&values))
    }
}

/// Score of the reader's own answer.
struct Accuracy {
    metric: Metric,
    longest: usize,
}

impl RewardFunction for Accuracy {
    fn name(&self) -> &'static str {
        RewardKind::Accuracy.name()
    }

    fn check(&self, sample: &Sample) -> Result<()> {
        check_answer(self.name(), sample)
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let values: Vec<f64> = match drawn.reader {
            None => return Ok(None),
            Some(Reader::Letters(reader)) => {
                let read = drawn.readings(reader)?.iter();
                read.map(|r| f64::from(u8::from(r.read))).collect()
            }
            Some(Reader::Vlm(reader)) => {
                let (full, sample) = (drawn.full(reader)?, drawn.sample);
                let answers = reader.answer(full, &drawn.boxes, &sample.question, self.longest)?;
                let score = |answer: String| score(self.metric, &answer, &sample.answers);
                answers.into_iter().map(score).collect()
            }
        };
        Ok(drawn.spread(&values))
    }
}

/// Form: 1 for a valid box, 0.25 for `Not needed.`, else 0.
struct Validity;

impl RewardFunction for Validity {
    fn name(&self) -> &'static str {
        RewardKind::Validity.name()
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let texts = drawn.rollouts.iter();
        let worth = texts.map(|(_, text)| f64::from(validity_reward(text)));
        Ok(Some(worth.collect()))
    }
}

/// One of the parts of LFPC's grounding reward, or their sum; a completion without a box gets 0.
struct Grounding(RewardKind);

impl RewardFunction for Grounding {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn check(&self, sample: &Sample) -> Result<()> {
        if sample.nested_evidence()?.is_empty() {
            bail!("it has no true box, which {} needs", self.name());
        }
        Ok(())
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let places = drawn.sample.nested_evidence()?;
        if places.is_empty() {
            return Ok(None);
        }
        // Of several places that answer the question, the one that a box is best for.
        let sum = |found: &GroundingReward| found.iou + found.distance;
        let best = |bbox: NormBox| {
            let found = places.iter().map(|nested| grounding_reward(bbox, nested));
            found
                .max_by(|a, b| sum(a).total_cmp(&sum(b)))
                .unwrap_or_default()
        };
        let worth = drawn.rollouts.iter().map(|(bbox, _)| {
            let found = bbox.map(best).unwrap_or_default();
            match self.0 {
                RewardKind::Coverage => found.coverage,
                RewardKind::Iou => found.iou,
                RewardKind::Distance => found.distance,
                _ => sum(&found),
            }
        });
        Ok(Some(worth.collect()))
    }
}

/// Computes rewards.
pub struct Rewards<'a> {
    functions: Vec<(RewardKind, Box<dyn RewardFunction>, f64)>,
    reader: Option<&'a Reader>,
}

impl<'a> Rewards<'a> {
    /// Rewards of a configuration; the reader may be absent where no reward needs it.
    pub fn new(config: &GrpoConfig, reader: Option<&'a Reader>) -> Self {
        let all = RewardKind::ALL.into_iter();
        Self {
            functions: all
                .map(|kind| (kind, function(kind, config), config.rewards.weight(kind)))
                .collect(),
            reader,
        }
    }

    /// Whether a sample can be rewarded: to be asked before a run, not in the middle of it.
    ///
    /// # Errors
    /// A sample without what a reward of the configuration needs: an answer, a true box.
    pub fn check(config: &GrpoConfig, sample: &Sample) -> Result<()> {
        for kind in RewardKind::ALL {
            if config.rewards.weight(kind) != 0.0 {
                function(kind, config)
                    .check(sample)
                    .with_context(|| format!("sample \"{}\"", sample.id))?;
            }
        }
        Ok(())
    }

    /// Rewards of rollouts, in their order. `all` computes also those of weight 0 that can be given (for
    /// measuring).
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
        let drawn = Drawn::new(sample, picture, rollouts, self.reader);
        let letters = matches!(self.reader, Some(Reader::Letters(_)));
        for (kind, function, weight) in &self.functions {
            // Validity costs nothing, and letters give both of theirs from one reading.
            let free = match kind {
                RewardKind::Validity => true,
                RewardKind::Likelihood | RewardKind::Accuracy => all || letters,
                // Box metrics say as much.
                _ => false,
            };
            if *weight == 0.0 && !free {
                continue;
            }
            let Some(values) = function.of(&drawn)? else {
                continue;
            };
            let name = function.name();
            for (reward, value) in rewards.iter_mut().zip(values) {
                if !value.is_finite() {
                    bail!("{name} is {value}; the last good checkpoint is kept");
                }
                reward.parts.insert(name, value);
                reward.total += weight * value;
            }
        }
        Ok(rewards)
    }
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

    /// Weights that need no reader.
    fn config(rewards: &str) -> GrpoConfig {
        toml::from_str(rewards).expect("a configuration")
    }

    fn sample(nested: &str) -> Sample {
        let line = format!(
            "{{\"id\": \"a\", \"image\": \"a.png\", \"question\": \"Q?\", \"width\": 100, \"height\": 100{nested}}}"
        );
        serde_json::from_str(&line).expect("a sample")
    }

    #[test]
    fn grounding_is_rewarded_by_name_and_weight() {
        let listed = "[[rewards]]\nkind = \"iou\"\nweight = 2.0\n[[rewards]]\nkind = \"distance\"\n\
                      [[rewards]]\nkind = \"coverage\"\nweight = 0.5\n[[rewards]]\nkind = \"grounding\"\nweight = 10.0";
        let config = config(listed);
        let sample = sample(", \"nested\": [[10, 20, 30, 40], [0, 0, 50, 50]]");
        Rewards::check(&config, &sample).expect("it has boxes");
        let bbox: NormBox = "12,20,32,40".parse().expect("a box");
        let rollouts = [(Some(bbox), "[12, 20, 32, 40]."), (None, "Hm.")];
        let rewards = Rewards::new(&config, None);
        let found = rewards.of(&sample, &RgbImage::new(9, 9), &rollouts, false);
        let found = found.expect("rewards");
        let iou = 360.0 / 440.0;
        let expected = [
            ("coverage", 0.9),
            ("distance", 0.99),
            ("grounding", iou + 0.99),
            ("iou", iou),
            ("validity", 1.0),
        ];
        assert_eq!(found[0].parts.len(), expected.len());
        for ((name, value), (expected_name, expected)) in found[0].parts.iter().zip(expected) {
            assert_eq!(*name, expected_name);
            assert!((value - expected).abs() < 1e-9, "{name}: {value}");
        }
        let total = 2.0 * iou + 0.99 + 0.45 + 10.0 * (iou + 0.99);
        assert!((found[0].total - total).abs() < 1e-9, "{found:?}");
        // No box is worth nothing.
        assert_eq!(found[1].total, 0.0);
    }

    #[test]
    fn a_sample_without_what_a_reward_needs_is_named() {
        let error = |rewards: &str, nested: &str| {
            let found = Rewards::check(&config(rewards), &sample(nested));
            format!("{:#}", found.expect_err("an error"))
        };
        let bare = error("[[rewards]]\nkind = \"grounding\"", "");
        assert!(
            bare.contains("sample \"a\": it has no true box, which grounding needs"),
            "{bare}"
        );
        let bare = error("[[rewards]]\nkind = \"likelihood\"", "");
        assert!(
            bare.contains("sample \"a\": it has no answer, which likelihood needs"),
            "{bare}"
        );
        let wrong = ", \"nested\": [[0, 0, 50, 50], [10, 20, 30, 40]]";
        let wrong = error("[[rewards]]\nkind = \"iou\"", wrong);
        assert!(wrong.contains("does not lie inside"), "{wrong}");
        Rewards::check(&config("[[rewards]]\nkind = \"validity\""), &sample(""))
            .expect("it needs nothing");
    }
}
