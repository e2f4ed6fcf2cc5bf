//! The rewards that there are, a function each: what a group's rollouts are worth by it, unweighted.
//!
//! What several of them read (the full image, answers, letters) is read once a group: [`Drawn`].

use std::cell::OnceCell;

use anyhow::{Context, Result, bail};
use grounding::answers::{anls, vqa_accuracy};
use grounding::prompt::target_answer;
use grounding::reward::grounding::{GroundingReward, grounding_reward};
use grounding::{Case, NormBox, Sample, validity_reward};
use picture::RgbImage;

use super::config::{GrpoConfig, Metric, RewardKind};
use crate::reader::{ApiReader, FullImage, LetterReader, Reader, Reading, RewardModel};

/// Answers that TextVQA has for a question; the reference tells its metric from that.
const HUMAN_ANSWERS: usize = 10;

/// One way to say what rollouts are worth.
pub trait RewardFunction: Send + Sync {
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
pub fn function(kind: RewardKind, config: &GrpoConfig) -> Box<dyn RewardFunction> {
    match kind {
        RewardKind::Likelihood => Box::new(Likelihood { case: config.case }),
        RewardKind::Accuracy => Box::new(Accuracy {
            metric: config.rewards.metric,
            longest: config.reward_model.max_tokens,
        }),
        RewardKind::ToolBonus => Box::new(ToolBonus(Accuracy {
            metric: config.rewards.metric,
            longest: config.reward_model.max_tokens,
        })),
        RewardKind::Validity => Box::new(Validity),
        RewardKind::Format => Box::new(Format),
        RewardKind::Coverage | RewardKind::Iou | RewardKind::Distance | RewardKind::Grounding => {
            Box::new(Grounding(kind))
        }
    }
}

/// A group as its rewards see it. What several of them read is read once.
pub struct Drawn<'a> {
    sample: &'a Sample,
    /// The full image as it is shown.
    shown: &'a RgbImage,
    /// The picture that crops are cut from.
    picture: &'a RgbImage,
    rollouts: &'a [(Option<NormBox>, &'a str)],
    reader: Option<&'a Reader>,
    api: Option<&'a ApiReader>,
    /// Boxes, equal ones (frequent once a policy is sure) once.
    boxes: Vec<Option<NormBox>>,
    /// Which of them each rollout has.
    places: Vec<usize>,
    full: OnceCell<FullImage<'a>>,
    /// Scores of the reader's own answers, box by box.
    scores: OnceCell<Vec<f64>>,
    readings: OnceCell<Vec<Reading>>,
}

impl<'a> Drawn<'a> {
    /// Of one prompt: the full image as it is shown, the picture that crops are cut from, boxes with their texts.
    pub fn new(
        sample: &'a Sample,
        (shown, picture): (&'a RgbImage, &'a RgbImage),
        rollouts: &'a [(Option<NormBox>, &'a str)],
        (reader, api): (Option<&'a Reader>, Option<&'a ApiReader>),
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
            shown,
            picture,
            rollouts,
            reader,
            api,
            boxes,
            places,
            full: OnceCell::new(),
            scores: OnceCell::new(),
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
            let full = reader.encode_as(self.shown, self.picture)?;
            return Ok(self.full.get_or_init(|| full));
        }
        self.full.get().context("the full image was not read")
    }

    /// What letters make of each crop.
    fn readings(&self, reader: &LetterReader) -> Result<&[Reading]> {
        if self.readings.get().is_none() {
            let answer = self.sample.answers.first().context("it has no answer")?;
            let found = reader.read(self.shown, self.picture, &self.boxes, answer)?;
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

impl Accuracy {
    /// Of every box by what is answered (a refusal is worth 0); answered once, whoever asks.
    fn scores<'d>(
        &self,
        drawn: &'d Drawn,
        answers: impl FnOnce() -> Result<Vec<Option<String>>>,
    ) -> Result<&'d [f64]> {
        if drawn.scores.get().is_none() {
            let truths = &drawn.sample.answers;
            let score =
                |answer: Option<String>| answer.map_or(0.0, |a| score(self.metric, &a, truths));
            let scores = answers()?.into_iter().map(score).collect();
            return Ok(drawn.scores.get_or_init(|| scores));
        }
        let found = drawn.scores.get();
        found.map(Vec::as_slice).context("nothing was answered")
    }
}

impl RewardFunction for Accuracy {
    fn name(&self) -> &'static str {
        RewardKind::Accuracy.name()
    }

    fn check(&self, sample: &Sample) -> Result<()> {
        check_answer(self.name(), sample)
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let pictures = (drawn.shown, drawn.picture);
        let values: Vec<f64> = match (drawn.api, drawn.reader) {
            (Some(api), _) => {
                let answers = || api.answer(pictures, &drawn.boxes, drawn.sample);
                self.scores(drawn, answers)?.to_vec()
            }
            (None, None) => return Ok(None),
            (None, Some(Reader::Letters(reader))) => {
                let read = drawn.readings(reader)?.iter();
                read.map(|r| f64::from(u8::from(r.read))).collect()
            }
            (None, Some(Reader::Vlm(reader))) => {
                let answers = || {
                    let (full, question) = (drawn.full(reader)?, &drawn.sample.question);
                    let found = reader.answer(full, &drawn.boxes, question, self.longest)?;
                    Ok(found.into_iter().map(Some).collect())
                };
                self.scores(drawn, answers)?.to_vec()
            }
        };
        Ok(drawn.spread(&values))
    }
}

/// Accuracy where there is a box: correct and with a crop (LFPC's tool bonus). As much as the answer is right, where the
/// paper has right or wrong.
struct ToolBonus(Accuracy);

impl RewardFunction for ToolBonus {
    fn name(&self) -> &'static str {
        RewardKind::ToolBonus.name()
    }

    fn check(&self, sample: &Sample) -> Result<()> {
        check_answer(self.name(), sample)
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let Some(accuracy) = self.0.of(drawn)? else {
            return Ok(None);
        };
        let each = accuracy.iter().zip(drawn.rollouts);
        let worth = each.map(|(score, (bbox, _))| match bbox {
            Some(_) => *score,
            None => 0.0,
        });
        Ok(Some(worth.collect()))
    }
}

/// Form: 1 for a legal completion, else 0 (LFPC's format reward).
struct Format;

impl RewardFunction for Format {
    fn name(&self) -> &'static str {
        RewardKind::Format.name()
    }

    fn of(&self, drawn: &Drawn) -> Result<Option<Vec<f64>>> {
        let texts = drawn.rollouts.iter();
        let legal = texts.map(|(_, text)| f64::from(u8::from(validity_reward(text) > 0.0)));
        Ok(Some(legal.collect()))
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
