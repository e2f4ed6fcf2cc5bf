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
use policy::map::letters::classes_of;
use policy::{MapPolicy, ModelFiles};
use pollster::block_on;

use super::crop;

/// Nats a character above which an answer counts as read.
const READ: f32 = -0.25;

/// Nats a character of an answer that is nowhere to be found.
const NOWHERE: f32 = -5.0;

/// Longest edge that the reader sees of full image and crop, pixels, where nothing else is said:
/// that of one tile of SmolVLM.
const LONGEST_EDGE: u32 = 512;

/// The letters of a map policy.
pub struct LetterReader {
    policy: MapPolicy,
    longest_edge: u32,
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
        })
    }

    /// Nats a character of a text in a picture.
    fn score(&self, picture: &RgbImage, classes: &[u8]) -> Result<f32> {
        // A crop is not blown up: letters stay of the sizes that the network has learned.
        let edge = self.longest_edge.min(picture.width().max(picture.height()));
        let seen = block_on(self.policy.look(picture, Some(edge)))?;
        let best = seen
            .letters
            .first()
            .and_then(|i| i.find(classes, 1).first().copied());
        Ok(best.map_or(NOWHERE, |place| place.score))
    }

    /// Reads one answer given the full image and each crop in turn; no crop adds nothing.
    ///
    /// # Errors
    /// A failed device.
    pub fn read(
        &self,
        picture: &RgbImage,
        boxes: &[Option<NormBox>],
        answer: &str,
    ) -> Result<Vec<Reading>> {
        let classes = classes_of(answer);
        let full = self.score(picture, &classes)?;
        let read = |bbox: &Option<NormBox>| {
            let part = match bbox {
                Some(_) => self.score(&crop(picture, *bbox), &classes)?,
                None => NOWHERE,
            };
            let best = part.max(full);
            Ok(Reading {
                nats: f64::from(best) * classes.len() as f64,
                read: best >= READ,
            })
        };
        boxes.iter().map(read).collect()
    }
}
