//! A reader without words: a map policy's letters, frozen, that say how well an answer can be read.
//!
//! The paper's reward asks a VLM for the likelihood of the answer given full image and crop. Where no
//! VLM is at hand that can read documents, this one asks the same of a network that reads characters:
//! the answer is looked for in the full image and in the crop, each shrunk to what the reader gets to
//! see, and the better place counts. It needs no box, only the answer, and rewards crops that are small
//! enough to be legible and large enough to hold the answer. What it cannot do: tell the total from the
//! same number elsewhere on the page.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use grounding::NormBox;
use picture::RgbImage;
use policy::map::legible::{NOWHERE, READ, legibility};
use policy::{MapPolicy, ModelFiles};
use pollster::block_on;

use super::crop;

/// Longest edge that the reader sees of full image and crop, pixels, where nothing else is said:
/// that of one tile of SmolVLM.
const LONGEST_EDGE: u32 = 512;

/// The letters of a map policy.
pub struct LetterReader {
    policy: MapPolicy,
    longest_edge: u32,
    full_image: bool,
}

/// How well an answer was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// By how much the answer is less likely than the best reading of its place, nats; at most 0.
    pub nats: f64,
    /// Whether it counts as read.
    pub read: bool,
}

impl LetterReader {
    /// Loads a map policy's folder.
    ///
    /// # Errors
    /// A folder that holds none, or a broken one.
    pub fn load(dir: &Path, device: &Device, longest_edge: Option<usize>) -> Result<Self> {
        let policy = MapPolicy::load(&ModelFiles::from_dir(dir)?, device)
            .with_context(|| format!("reward model {}", dir.display()))?;
        Ok(Self {
            policy,
            longest_edge: longest_edge.map_or(LONGEST_EDGE, |edge| edge as u32),
            full_image: true,
        })
    }

    /// Whether the answer is looked for in the full image, too.
    pub fn with_full_image(mut self, shown: bool) -> Self {
        self.full_image = shown;
        self
    }

    fn score(&self, picture: &RgbImage, answer: &str) -> Result<f32> {
        Ok(block_on(legibility(
            &self.policy,
            picture,
            self.longest_edge,
            answer,
        ))?)
    }

    /// Whether an answer can be read in a picture by itself.
    ///
    /// # Errors
    /// A failed device.
    pub fn reads(&self, picture: &RgbImage, answer: &str) -> Result<bool> {
        Ok(self.score(picture, answer)? >= READ)
    }

    /// Reads one answer given the full image, as it is shown, and each crop of the picture in turn; no crop adds nothing.
    ///
    /// # Errors
    /// A failed device.
    pub fn read(
        &self,
        shown: &RgbImage,
        picture: &RgbImage,
        boxes: &[Option<NormBox>],
        answer: &str,
    ) -> Result<Vec<Reading>> {
        let full = if self.full_image {
            self.score(shown, answer)?
        } else {
            NOWHERE
        };
        let characters = answer.chars().filter(|c| !c.is_whitespace()).count();
        let read = |bbox: &Option<NormBox>| {
            let part = match bbox {
                Some(_) => self.score(&crop(picture, *bbox), answer)?,
                None => NOWHERE,
            };
            let best = part.max(full);
            Ok(Reading {
                nats: f64::from(best) * characters as f64,
                read: best >= READ,
            })
        };
        boxes.iter().map(read).collect()
    }
}
