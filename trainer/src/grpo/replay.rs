//! Groups worth going over again, in place of groups that teach nothing because all their rewards are equal.
//!
//! As TRL's `GRPOWithReplayBufferTrainer` (`replay_buffer_size`; the idea is DAPO's dynamic sampling without drawing again):
//! kept are the groups of the highest score, the sum of |advantage| times the deviation of the rewards; one is drawn with a
//! chance proportional to its score, at most once a step. Its ratios are taken to the log-probabilities that it had when it
//! was drawn, and are clipped like those of any further iteration.
//!
//! Pictures are not kept, they are read again. The buffer is part of the checkpoint, and its dice follow from the seed and
//! the number of the group that is replaced, so that a run which was stopped goes on as if it had not been.

use anyhow::{Context, Result};
use grounding::Sample;
use policy::grpo::Kept;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::prompts::{Prompt, dice};

/// The file of the buffer in a checkpoint.
pub const FILE: &str = "replay.json";
/// Rollouts take the streams of the random numbers from 0 on, orders from the other end; replays take the middle.
const STREAM: u64 = 1 << 63;

/// A group that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The prompt's sample.
    id: String,
    /// What it is worth to go over it again; above 0.
    score: f32,
    /// Rollouts, advantages, log-probabilities.
    pub group: Kept,
}

impl Entry {
    /// A group of a sample with the deviation of its rewards.
    pub fn new(sample: &Sample, group: Kept, deviation: f64) -> Self {
        let sum: f64 = group.advantages.iter().map(|a| f64::from(a.abs())).sum();
        Self {
            id: sample.id.clone(),
            score: (sum * deviation) as f32,
            group,
        }
    }

    /// The prompt that it belongs to, if the run still has it.
    pub fn prompt<'a>(&self, prompts: &'a [Prompt]) -> Option<&'a Prompt> {
        let fits = |s: &Sample| s.id == self.id && s.question == self.group.question;
        prompts.iter().find(|prompt| fits(&prompt.sample))
    }
}

/// The buffer.
#[derive(Debug, Default, PartialEq)]
pub struct Replay {
    size: usize,
    entries: Vec<Entry>,
}

impl Replay {
    /// A buffer of so many groups with what a checkpoint holds of it.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn open(size: usize, bytes: Option<&[u8]>) -> Result<Self> {
        let mut replay = Self {
            size,
            entries: Vec::new(),
        };
        if let Some(bytes) = bytes {
            let entries: Vec<Entry> = serde_json::from_slice(bytes)
                .with_context(|| format!("the checkpoint's {FILE} is damaged"))?;
            for entry in entries {
                replay.add(entry);
            }
        }
        Ok(replay)
    }

    /// For a checkpoint.
    ///
    /// # Errors
    /// Numbers that are none.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self.entries)?)
    }

    /// Keeps a group; a full buffer drops the one of the lowest score.
    pub fn add(&mut self, entry: Entry) {
        if !(entry.score > 0.0 && entry.score.is_finite()) {
            return;
        }
        self.entries.push(entry);
        if self.entries.len() > self.size {
            let scores = self.entries.iter().map(|entry| entry.score).enumerate();
            let lowest = scores.min_by(|(_, a), (_, b)| a.total_cmp(b));
            if let Some((at, _)) = lowest {
                self.entries.remove(at);
            }
        }
    }

    /// Draws a group in place of the `number`-th of a run, other than those of `taken`, to which it is added.
    pub fn draw(&self, seed: u64, number: u64, taken: &mut Vec<usize>) -> Option<&Entry> {
        let mut rng: ChaCha8Rng = dice(seed, STREAM | number);
        let free = |at: &usize| !taken.contains(at);
        let left: Vec<usize> = (0..self.entries.len()).filter(free).collect();
        let score = |at: usize| f64::from(self.entries[at].score);
        let sum: f64 = left.iter().map(|at| score(*at)).sum();
        let mut place = rng.random::<f64>() * sum;
        let at = left.iter().copied().find(|at| {
            place -= score(*at);
            place < 0.0
        });
        let at = at.or(left.last().copied())?;
        taken.push(at);
        self.entries.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, score: f32) -> Entry {
        Entry {
            id: id.to_string(),
            score,
            group: Kept {
                question: "Q?".to_string(),
                rollouts: Vec::new(),
                advantages: vec![0.1, -0.1],
                old: vec![-1.0 / 3.0],
            },
        }
    }

    fn ids(replay: &Replay) -> Vec<&str> {
        replay.entries.iter().map(|e| e.id.as_str()).collect()
    }

    #[test]
    fn the_best_groups_are_kept_and_come_back_from_a_checkpoint() {
        let mut replay = Replay::open(2, None).expect("a buffer");
        for (id, score) in [
            ("a", 1.0),
            ("level", 0.0),
            ("b", 0.1),
            ("c", 0.7),
            ("d", 0.6),
        ] {
            replay.add(entry(id, score));
        }
        assert_eq!(ids(&replay), ["a", "c"]);
        let bytes = replay.bytes().expect("bytes");
        assert_eq!(Replay::open(2, Some(&bytes)).expect("a buffer"), replay);
        // A smaller buffer takes what fits.
        assert_eq!(
            ids(&Replay::open(1, Some(&bytes)).expect("a buffer")),
            ["a"]
        );
        let error = Replay::open(2, Some(b"[{")).expect_err("damage");
        assert!(error.to_string().contains(FILE), "{error}");
    }

    #[test]
    fn groups_are_drawn_by_score_and_once_a_step() {
        let mut replay = Replay::open(3, None).expect("a buffer");
        for (id, score) in [("a", 1.0), ("b", 2.0), ("c", 7.0)] {
            replay.add(entry(id, score));
        }
        let mut first = [0usize; 3];
        for number in 0..1000 {
            let mut taken = Vec::new();
            for _ in 0..3 {
                assert!(replay.draw(5, number, &mut taken).is_some());
            }
            assert!(
                replay.draw(5, number, &mut taken).is_none(),
                "all are taken"
            );
            first[taken[0]] += 1;
            taken.sort_unstable();
            assert_eq!(taken, [0, 1, 2]);
        }
        // Shares of 0.1, 0.2, 0.7; five deviations are about 0.07.
        for (count, share) in first.iter().zip([100.0, 200.0, 700.0]) {
            assert!((*count as f64 - share).abs() < 70.0, "{first:?}");
        }
    }
}
