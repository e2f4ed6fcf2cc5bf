//! The prompts of a run and the order they come in.
//!
//! Prompt k of a run follows from the seed and k alone: pass after pass over all prompts, each pass in
//! an order of its own. So a run resumed at any step meets the prompts it would have met.

use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use grounding::Sample;
use picture::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::DataConfig;
use crate::data::{DataSet, PictureSource, Skipped, shrunk};

/// A question with the place of its picture.
pub struct Prompt {
    /// Question, answers, true boxes where there are any.
    pub sample: Sample,
    /// The picture.
    pub source: PictureSource,
}

impl Prompt {
    /// Reads the picture.
    ///
    /// # Errors
    /// A picture that cannot be read, with the sample's name.
    pub fn picture(&self) -> Result<RgbImage> {
        let found = self.source.picture();
        found.with_context(|| self.name())
    }

    /// The full image at its `full_edge`, smaller than the original; `None` where it is the original itself.
    pub fn shrunk(&self, picture: &RgbImage) -> Option<RgbImage> {
        shrunk(picture, self.sample.full_edge?)
    }

    /// Whether an information gap can be made.
    ///
    /// # Errors
    /// One is wanted, and nobody has found out how small the full image may be.
    pub fn check_gap(&self, wanted: bool) -> Result<()> {
        if wanted && self.sample.full_edge.is_none() {
            bail!(
                "{}: it has no full_edge, which information_gap needs; `cropvlm data gap` writes it",
                self.name()
            );
        }
        Ok(())
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        format!("sample \"{}\"", self.sample.id)
    }

    /// Where the picture is: the path of its file, or its row of a parquet file.
    pub fn place(&self) -> String {
        self.source.place()
    }
}

/// Prompts, and those that cannot be used, by name and reason.
#[derive(Default)]
pub struct Prompts {
    /// In the order of the files.
    pub all: Vec<Prompt>,
    unusable: Vec<(String, Error)>,
}

impl Prompts {
    /// All prompts of some sources.
    ///
    /// # Errors
    /// Files that are not there or not understood.
    pub fn open(sources: &[DataConfig]) -> Result<Self> {
        let mut prompts = Self::default();
        for source in sources {
            prompts.read(&source.samples, source.root.as_deref(), source.limit)?;
        }
        Ok(prompts)
    }

    /// Adds the prompts of one file.
    ///
    /// # Errors
    /// A file that is not there or not understood.
    pub fn read(&mut self, file: &Path, root: Option<&Path>, limit: Option<usize>) -> Result<()> {
        let mut set = DataSet::open_usable(file, root, limit)?;
        let left_out = set.unusable.drain(..);
        self.unusable
            .extend(left_out.map(|error| (error.to_string(), error)));
        for (at, sample) in set.samples.iter().enumerate() {
            match set.source(&sample.image) {
                Ok(source) => self.all.push(Prompt {
                    source,
                    sample: sample.clone(),
                }),
                Err(error) => {
                    let name = format!("sample \"{}\"", sample.id);
                    let error = error.context(name.clone()).context(set.place(at));
                    self.unusable.push((name, error));
                }
            }
        }
        Ok(())
    }

    /// The prompts that pass a check, and what was skipped.
    ///
    /// # Errors
    /// Too many that do not.
    pub fn usable(
        self,
        max_bad: f64,
        check: impl Fn(&Prompt) -> Result<()>,
    ) -> Result<(Vec<Prompt>, Skipped)> {
        let skipped = Skipped::new(self.all.len() + self.unusable.len(), max_bad);
        for (name, error) in &self.unusable {
            skipped.skip(name, error)?;
        }
        let mut usable = Vec::with_capacity(self.all.len());
        for prompt in self.all {
            match check(&prompt) {
                Ok(()) => usable.push(prompt),
                Err(error) => skipped.skip(&prompt.name(), &error)?,
            }
        }
        Ok((usable, skipped))
    }
}

/// The k-th prompt of a run with its picture; where that cannot be read, the next one of the files whose can.
///
/// # Errors
/// Too many pictures that cannot be read.
pub fn draw<'a>(
    prompts: &'a [Prompt],
    order: &mut Order,
    k: u64,
    skipped: &Skipped,
) -> Result<(&'a Prompt, RgbImage)> {
    let mut at = order.at(k);
    loop {
        let prompt = &prompts[at];
        match prompt.picture() {
            Ok(picture) => return Ok((prompt, picture)),
            Err(error) => skipped.skip(&prompt.name(), &error)?,
        }
        at = (at + 1) % prompts.len();
    }
}

/// Which prompt comes when.
pub struct Order {
    seed: u64,
    prompts: usize,
    /// The pass whose order is held.
    pass: u64,
    order: Vec<usize>,
}

impl Order {
    /// The order of a run over so many prompts (at least one).
    pub fn new(seed: u64, prompts: usize) -> Self {
        let mut order = Self {
            seed,
            prompts: prompts.max(1),
            pass: 0,
            order: Vec::new(),
        };
        order.shuffle(0);
        order
    }

    fn shuffle(&mut self, pass: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // Rollouts take the streams from 0 on: orders take theirs from the other end.
        rng.set_stream(u64::MAX - pass);
        self.pass = pass;
        self.order = (0..self.prompts).collect();
        for i in (1..self.prompts).rev() {
            self.order.swap(i, rng.random_range(0..=i));
        }
    }

    /// Index of the k-th prompt.
    pub fn at(&mut self, k: u64) -> usize {
        let pass = k / self.prompts as u64;
        if pass != self.pass {
            self.shuffle(pass);
        }
        self.order[(k % self.prompts as u64) as usize]
    }
}

/// The random numbers of the k-th group.
pub fn dice(seed: u64, k: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(k);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_meets_every_prompt_once_in_an_order_of_its_own() {
        let mut order = Order::new(3, 7);
        let first: Vec<usize> = (0..7).map(|k| order.at(k)).collect();
        let second: Vec<usize> = (7..14).map(|k| order.at(k)).collect();
        assert_ne!(first, second);
        for pass in [&first, &second] {
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..7).collect::<Vec<_>>());
        }
        // From the middle, as a resumed run meets them.
        let mut resumed = Order::new(3, 7);
        assert_eq!(resumed.at(9), second[2]);
        assert_eq!(resumed.at(2), first[2]);
    }
}
