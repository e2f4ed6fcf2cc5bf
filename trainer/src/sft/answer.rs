//! Training a reader: full image, a crop, the question, and the answer that it is to give. The loss is
//! -log p of the answer's tokens, closing token included.
//!
//! What reads in the end as reward model, or as the model that a crop is made for, has to know crops of
//! every quality: around the true box, tight or wide, and now and then anywhere or the whole picture,
//! where there is nothing to be read and the honest answer is a guess.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use burn::tensor::{Tensor, TensorData};
use grounding::prompt::{answer_prompt, target_answer};
use grounding::{Case, NormBox, Sample};
use picture::RgbImage;
use policy::Policy;
use policy::map::loss::Loss;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use smolvlm::{ImageProcessor, Pictures};

use super::config::SftConfig;
use crate::data::{DataSet, PictureSource, Skipped};
use crate::reader::{RewardModel, crop};

/// How a reader is trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerConfig {
    /// Questions a step.
    pub batch: usize,
    /// Sides of a crop are those of the true box times 1 up to this.
    pub grow: f64,
    /// Above 1: crops near the true box come more often than wide ones (the factor is
    /// 1 + (grow - 1) u^skew, u uniform).
    pub skew: f64,
    /// Share of crops anywhere on the picture.
    pub anywhere: f64,
    /// Share of crops that are the whole picture.
    pub whole: f64,
    /// Longest edge of full image and crop, pixels; left out: one tile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_edge: Option<usize>,
    /// Letters of question and answer: capitalize or keep.
    pub case: Case,
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            batch: 16,
            grow: 3.0,
            skew: 2.0,
            anywhere: 0.1,
            whole: 0.05,
            longest_edge: None,
            case: Case::Capitalize,
        }
    }
}

/// One question to be answered.
struct Item {
    sample: Sample,
    boxes: Vec<NormBox>,
    source: PictureSource,
    target: String,
}

/// Every question of every source.
pub struct Answers {
    sources: Vec<(f64, Vec<Item>)>,
    images: ImageProcessor,
    /// Pictures that were read, as long as there is room.
    cache: Mutex<HashMap<String, Arc<RgbImage>>>,
    /// Questions whose pictures cannot be used.
    skipped: Skipped,
}

/// Pixels of pictures that are kept in memory: half a gigabyte.
const ROOM: usize = 170_000_000;

/// The batch of a step.
pub struct AnswerBatch {
    /// Full image and crop of every question, in this order.
    pictures: Pictures,
    questions: Vec<String>,
    targets: Vec<String>,
}

impl Answers {
    /// Reads the sources of a configuration.
    ///
    /// # Errors
    /// Files that cannot be read; a policy that writes no text; no question with an answer.
    pub fn open(config: &SftConfig, policy: &Policy) -> Result<Self> {
        let Policy::Text(text) = policy else {
            bail!(
                "task \"answer\" trains a model that writes: set init to a Hugging Face folder \
                 of an Idefics3 model (without weights, they start at random)"
            );
        };
        let mut sources = Vec::new();
        let mut unusable = Vec::new();
        for source in &config.data {
            let mut items = Vec::new();
            let mut set = DataSet::open_usable(&source.samples, None, None)?;
            let left_out = set.unusable.drain(..);
            unusable.extend(left_out.map(|error| (error.to_string(), error)));
            for (at, sample) in set.samples.iter().enumerate() {
                let Some(target) = target_answer(&sample.answers, config.answer.case) else {
                    continue;
                };
                let found = match set.source(&sample.image) {
                    Ok(found) => found,
                    Err(error) => {
                        unusable.push((sample.image.clone(), error.context(set.place(at))));
                        continue;
                    }
                };
                items.push(Item {
                    source: found,
                    boxes: sample.evidence(),
                    target,
                    sample: sample.clone(),
                });
            }
            if !items.is_empty() {
                sources.push((source.weight, items));
            }
        }
        if sources.is_empty() {
            bail!("the data holds no question with an answer");
        }
        let questions: usize = sources.iter().map(|(_, items)| items.len()).sum();
        let skipped = Skipped::new(questions + unusable.len(), config.max_bad);
        for (name, error) in &unusable {
            skipped.skip(name, error)?;
        }
        Ok(Self {
            sources,
            images: text.model().images().clone(),
            cache: Mutex::default(),
            skipped,
        })
    }

    /// Questions that were skipped.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Number of questions.
    pub fn questions(&self) -> usize {
        self.sources.iter().map(|(_, items)| items.len()).sum()
    }

    fn picture(&self, source: &PictureSource) -> Result<Arc<RgbImage>> {
        let name = source.to_string();
        let mut cache = match self.cache.lock() {
            Ok(cache) => cache,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(picture) = cache.get(&name) {
            return Ok(picture.clone());
        }
        let picture = Arc::new(source.picture()?);
        let held: usize = cache.values().map(|p| p.len() / 3).sum();
        if held + picture.len() / 3 < ROOM {
            cache.insert(name, picture.clone());
        }
        Ok(picture)
    }

    /// The batch of a step; the same for the same seed and step.
    ///
    /// # Errors
    /// Too many pictures that cannot be read.
    pub fn make(&self, config: &SftConfig, step: u64) -> Result<AnswerBatch> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(step);
        let total: f64 = self.sources.iter().map(|(weight, _)| weight).sum();
        let mut pictures = Vec::new();
        let (mut questions, mut targets) = (Vec::new(), Vec::new());
        while questions.len() < config.answer.batch {
            let mut u = rng.random_range(0.0..total);
            let mut items = &self.sources[0].1;
            for (weight, candidates) in &self.sources {
                items = candidates;
                if u < *weight {
                    break;
                }
                u -= weight;
            }
            let item = &items[rng.random_range(0..items.len())];
            let picture = match self.picture(&item.source) {
                Ok(picture) => picture,
                Err(error) => {
                    self.skipped.skip(&item.source.place(), &error)?;
                    continue;
                }
            };
            let bbox = draw(&config.answer, &item.boxes, &mut rng);
            let cut = crop(&picture, Some(bbox));
            pictures.push(picture.as_ref().clone());
            pictures.push(cut);
            questions.push(item.sample.question.clone());
            targets.push(item.target.clone());
        }
        let edge = config.answer.longest_edge.unwrap_or(self.images.tile());
        let pictures: Vec<&RgbImage> = pictures.iter().collect();
        Ok(AnswerBatch {
            pictures: self.images.process(&pictures, edge)?,
            questions,
            targets,
        })
    }
}

/// A crop to learn from: around one of the true boxes, anywhere, or the whole picture.
fn draw(config: &AnswerConfig, truths: &[NormBox], rng: &mut ChaCha8Rng) -> NormBox {
    let u: f64 = rng.random();
    if u < config.whole || truths.is_empty() {
        return NormBox::FULL;
    }
    if u < config.whole + config.anywhere {
        let mut span = || {
            let size: f32 = rng.random_range(5.0..60.0);
            let start: f32 = rng.random_range(0.0..100.0 - size);
            (start, start + size)
        };
        let ((x1, x2), (y1, y2)) = (span(), span());
        return NormBox { x1, y1, x2, y2 };
    }
    let truth = truths[rng.random_range(0..truths.len())];
    let mut span = |low: f32, high: f32| {
        let u: f64 = rng.random();
        let factor = 1.0 + (config.grow - 1.0) * u.powf(config.skew);
        let more = (high - low) * (factor as f32 - 1.0);
        let before: f32 = rng.random();
        let (start, end) = (low - more * before, high + more * (1.0 - before));
        // What hangs over the edge is cut off.
        (start.max(0.0), end.min(100.0))
    };
    let ((x1, x2), (y1, y2)) = (span(truth.x1, truth.x2), span(truth.y1, truth.y2));
    NormBox { x1, y1, x2, y2 }
}

impl AnswerBatch {
    /// What is asked.
    pub fn questions(&self) -> &[String] {
        &self.questions
    }

    /// -log p of the answers: summed over an answer's tokens, mean over questions.
    ///
    /// # Errors
    /// A policy that writes no text; a prompt too long for the model.
    pub fn loss(&self, config: &AnswerConfig, policy: &Policy) -> Result<Loss> {
        let Policy::Text(text) = policy else {
            bail!("task \"answer\" trains a model that writes");
        };
        let model = text.model();
        let images = model.encode(&self.pictures); // [image tokens of all, hidden]
        let (mut all, mut targets) = (Vec::new(), Vec::new());
        for (i, grids) in self.pictures.grids.chunks(2).enumerate() {
            let head = model.head_of(grids)?;
            let tail = answer_prompt(&self.questions[i], config.case);
            let tail = model.prompts().tail(&tail)?;
            let target = model.prompts().completion(&self.targets[i])?;
            all.push([head, tail, target.clone()].concat());
            targets.push(target);
        }
        let mut cache = model.net.text_model.empty_cache();
        let states = model.read_rows(&mut cache, &all, Some(&images))?; // [N, T, hidden]
        let log_probs = model.row_log_probs(states, &all, &targets); // [N, A]
        let [n, a] = log_probs.dims();
        let mask: Vec<f32> = targets
            .iter()
            .flat_map(|t| (0..a).map(|j| if j < t.len() { 1.0 } else { 0.0 }))
            .collect();
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [n, a]), &log_probs.device());
        let loss = -(log_probs * mask).sum().div_scalar(n as f64);
        Ok(Loss {
            total: loss.clone(),
            parts: vec![("answer", loss)],
        })
    }
}

/// How well the reader answers from a crop half again as wide and high as the true box, and from the whole
/// picture twice, which says what it knows without a crop.
///
/// # Errors
/// A picture that cannot be read, a failed device.
pub fn measure(
    config: &AnswerConfig,
    set: &DataSet,
    reader: &RewardModel,
) -> Result<serde_json::Value> {
    let (mut sums, mut n) = ([[0.0; 2]; 2], 0);
    for sample in &set.samples {
        let truths = sample.evidence();
        let (Some(truth), Some(target)) =
            (truths.first(), target_answer(&sample.answers, config.case))
        else {
            continue;
        };
        let picture = set.picture(&sample.image)?;
        let full = reader.encode(&picture)?;
        let boxes = [Some(truth.grow(2.25)), Some(NormBox::FULL)];
        let about = || format!("sample \"{}\"", sample.id);
        let scores = reader
            .score(&full, &boxes, &sample.question, &target)
            .with_context(about)?;
        let answers = reader
            .answer(&full, &boxes, &sample.question, 32)
            .with_context(about)?;
        for (i, sum) in sums.iter_mut().enumerate() {
            sum[0] += scores[i].iter().map(|v| f64::from(*v)).sum::<f64>();
            sum[1] += f64::from(u8::from(answers[i] == target));
        }
        n += 1;
    }
    let mean = |v: f64| v / f64::from(n.max(1));
    Ok(serde_json::json!({
        "n": n,
        "crop": {"likelihood": mean(sums[0][0]), "exact": mean(sums[0][1])},
        "whole": {"likelihood": mean(sums[1][0]), "exact": mean(sums[1][1])},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_hold_the_true_box_unless_they_are_drawn_anywhere() {
        let truth = NormBox::new(2.0, 40.0, 9.0, 47.0).expect("a box");
        let config = AnswerConfig {
            anywhere: 0.0,
            whole: 0.2,
            ..AnswerConfig::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drawn: Vec<NormBox> = (0..400)
            .map(|_| draw(&config, &[truth], &mut rng))
            .collect();
        let whole = drawn.iter().filter(|b| **b == NormBox::FULL).count();
        assert!((50..110).contains(&whole), "{whole} of 400");
        for bbox in &drawn {
            assert!(bbox.join(truth) == *bbox, "{bbox:?}");
            let wide = config.grow as f32 * 7.0 + 0.01;
            assert!(*bbox == NormBox::FULL || bbox.width().max(bbox.height()) <= wide);
        }
        let config = AnswerConfig {
            anywhere: 1.0,
            whole: 0.0,
            ..config
        };
        for _ in 0..400 {
            let NormBox { x1, y1, x2, y2 } = draw(&config, &[truth], &mut rng);
            assert!(NormBox::new(x1, y1, x2, y2).is_ok());
        }
    }
}
