//! The search of CropVLM's Appendix E: every box of a grid is scored by the reward model's
//! log p(answer | full image, crop, question), the best one wins, and noise widens it, so that the
//! policy does not learn the grid.
//!
//! Departure: the four sides draw their noise each for itself.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use grounding::prompt::target_answer;
use grounding::{NormBox, Sample};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Args, SearchArgs};
use crate::counting::Counting;
use crate::data::output::{self, Output};
use crate::data::{DataSet, by_picture};
use crate::reader::RewardModel;
use crate::stop::Stop;

/// Runs the search; returns the summary.
///
/// # Errors
/// A reward model or a picture that cannot be read, a failed device, an output of other settings.
pub fn run(args: &Args, set: &DataSet, stop: &Stop) -> Result<Value> {
    let settings = &args.searching;
    let Some(dir) = &settings.reader else {
        bail!("--search needs a reward model: --reader DIR");
    };
    let answered = set.samples.iter().filter(|s| !s.answers.is_empty()).count();
    if answered == 0 {
        bail!(
            "{}: none of its questions has an answer, and the search scores answers",
            args.data.display()
        );
    }
    let mut output = Output::open(&args.out, &settings_of(args, set, dir))?;
    let reader = RewardModel::load(
        dir,
        &settings.device.open()?,
        settings.case(),
        settings.longest_edge,
    )?;
    let boxes = grid(u32::from(settings.grid));
    let total = set.samples.len();
    let left_out = total - answered;
    let mut done = set
        .samples
        .iter()
        .filter(|s| output.done.contains(&s.id))
        .count();
    let counting = Counting::to(answered, "questions")
        .json(args.json)
        .from(done);
    let (start, mut scored, mut crops) = (Instant::now(), 0usize, 0usize);
    for samples in by_picture(&set.samples) {
        let samples: Vec<&Sample> = samples
            .into_iter()
            .filter(|s| !s.answers.is_empty() && !output.done.contains(&s.id))
            .collect();
        let Some(first) = samples.first() else {
            continue;
        };
        if stop.raised() {
            break;
        }
        let picture = set.picture(&first.image)?;
        let seen = Seen::new(&reader, &picture, &boxes, usize::from(settings.batch))
            .with_context(|| format!("picture {}", first.image))?;
        crops += boxes.len();
        for sample in samples {
            if stop.raised() {
                break;
            }
            let (best, score) = seen
                .best(&sample.question, &target(sample, settings)?)
                .with_context(|| format!("question {}", sample.id))?;
            scored += boxes.len();
            let grid_box = boxes[best];
            let bbox = if settings.no_noise {
                grid_box
            } else {
                widened(grid_box, settings.grid, settings.seed, &sample.id)
            };
            let more = [
                ("score", json!(score)),
                ("grid_box", output::short(grid_box.to_array())),
            ];
            output.push(&output::line(
                set,
                &args.out,
                sample,
                Some(bbox),
                "search",
                &more,
            )?)?;
            done += 1;
            counting.done(done);
        }
    }
    drop(counting);
    if stop.raised() {
        eprintln!("{done} of {answered} questions are done");
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "questions": done,
        "left_out": left_out,
        "crops_encoded": crops,
        "crops_scored": scored,
        "crops_scored_per_second": scored as f64 / seconds.max(1e-9),
    }))
}

/// What an output depends on; the data too, since ids like 0 and 1 stand in many sets. Not the limit:
/// it may grow.
fn settings_of(args: &Args, set: &DataSet, dir: &Path) -> Value {
    let settings = &args.searching;
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    json!({
        "way": "search",
        "data": set.files.iter().map(|f| whole(f)).collect::<Vec<_>>(),
        "reader": whole(dir),
        "grid": settings.grid,
        "seed": settings.seed,
        "noise": !settings.no_noise,
        "keep_case": settings.keep_case,
        "longest_edge": settings.longest_edge,
    })
}

fn target(sample: &Sample, settings: &SearchArgs) -> Result<String> {
    target_answer(&sample.answers, settings.case())
        .with_context(|| format!("question {}: it has no answer", sample.id))
}

/// A picture that the reward model has seen whole, and every crop of the grid.
struct Seen<'a> {
    reader: &'a RewardModel,
    full: crate::reader::FullImage<'a>,
    crops: Vec<crate::reader::Crops>,
}

impl<'a> Seen<'a> {
    fn new(
        reader: &'a RewardModel,
        picture: &'a picture::RgbImage,
        boxes: &[NormBox],
        batch: usize,
    ) -> Result<Self> {
        let full = reader.encode(picture)?;
        let crops = boxes.chunks(batch).map(|boxes| {
            let boxes: Vec<Option<NormBox>> = boxes.iter().copied().map(Some).collect();
            reader.crops(&full, &boxes)
        });
        let crops = crops.collect::<Result<_>>()?;
        Ok(Self {
            reader,
            full,
            crops,
        })
    }

    /// The box with the highest log p(answer), of equals the first, and that log p.
    fn best(&self, question: &str, target: &str) -> Result<(usize, f64)> {
        let mut best = (0, f64::NEG_INFINITY);
        let mut number = 0;
        for crops in &self.crops {
            for each in self
                .reader
                .score_crops(&self.full, crops, question, target)?
            {
                let score: f64 = each.iter().map(|&log| f64::from(log)).sum();
                if !score.is_finite() {
                    bail!(
                        "the reward model's score of box {number} is {score}: its weights are broken"
                    );
                }
                if score > best.1 {
                    best = (number, score);
                }
                number += 1;
            }
        }
        Ok(best)
    }
}

/// All boxes whose edges lie on the lines of a grid of n x n cells: (n (n + 1) / 2)² of them.
fn grid(n: u32) -> Vec<NormBox> {
    let line = |i: u32| 100.0 * i as f32 / n as f32;
    let sides: Vec<(f32, f32)> = (0..n)
        .flat_map(|from| (from + 1..=n).map(move |to| (line(from), line(to))))
        .collect();
    sides
        .iter()
        .flat_map(|&(y1, y2)| {
            sides
                .iter()
                .map(move |&(x1, x2)| NormBox { x1, y1, x2, y2 })
        })
        .collect()
}

/// The box widened on each side by U[0, 100 / n] percent, clamped to the picture. The noise follows
/// from seed and id alone, whatever else was searched before.
fn widened(bbox: NormBox, n: u8, seed: u64, id: &str) -> NormBox {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(id.as_bytes());
    let mut rng = ChaCha8Rng::from_seed(hash.finalize().into());
    let most = 100.0 / f32::from(n);
    let mut noise = || rng.random::<f32>() * most;
    NormBox {
        x1: (bbox.x1 - noise()).max(0.0),
        y1: (bbox.y1 - noise()).max(0.0),
        x2: (bbox.x2 + noise()).min(100.0),
        y2: (bbox.y2 + noise()).min(100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_every_box_once() {
        for (n, count) in [(1, 1), (2, 9), (5, 225)] {
            let boxes = grid(n);
            assert_eq!(boxes.len(), count);
            assert!(
                boxes
                    .iter()
                    .all(|b| NormBox::new(b.x1, b.y1, b.x2, b.y2).is_ok())
            );
            let distinct: std::collections::HashSet<String> =
                boxes.iter().map(ToString::to_string).collect();
            assert_eq!(distinct.len(), count);
            assert!(boxes.contains(&NormBox::FULL));
        }
    }

    #[test]
    fn noise_widens_within_its_bounds_and_follows_from_seed_and_id() {
        let bbox = NormBox::new(40.0, 0.0, 60.0, 80.0).expect("box");
        let mut left = Vec::new();
        for i in 0..400 {
            let id = format!("question {i}");
            let wide = widened(bbox, 5, 7, &id);
            assert!(wide.contains(bbox), "{wide}");
            assert!((20.0..=40.0).contains(&wide.x1) && wide.y1 == 0.0, "{wide}");
            assert!(
                (60.0..=80.0).contains(&wide.x2) && (80.0..=100.0).contains(&wide.y2),
                "{wide}"
            );
            assert_eq!(wide, widened(bbox, 5, 7, &id));
            assert_ne!(wide, widened(bbox, 5, 8, &id));
            assert!(
                wide.x2 - 60.0 != 40.0 - wide.x1,
                "each side draws for itself"
            );
            left.push(40.0 - wide.x1);
        }
        // Uniform over [0, 20]: mean 10, its deviation 20 / sqrt(12 x 400) = 0.3.
        let mean = left.iter().sum::<f32>() / left.len() as f32;
        assert!((mean - 10.0).abs() < 1.2, "{mean}");
        assert!(left.iter().any(|&v| v < 2.0) && left.iter().any(|&v| v > 18.0));
    }
}
