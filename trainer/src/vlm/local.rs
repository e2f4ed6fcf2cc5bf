//! A target on this machine: an Idefics3 folder, greedy answers.
//!
//! The vision tower sees a full image once, whatever is asked about it and whichever crops come beside
//! it; Idefics3 encodes each picture of a prompt by itself, so that changes no answer.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::Result;
use grounding::prompt::{answer_prompt, target_answer};
use grounding::{Case, Sample};
use picture::RgbImage;
use smolvlm::{Pictures, SmolVlmError};

use super::{Answering, Given, NoAnswer, Original, Shown, full_name};
use crate::device::DeviceKind;
use crate::stop::Stop;
use crate::text::{ImageTokens, Read, TextModel};

/// A model that answers.
pub struct Local {
    model: TextModel,
    name: String,
    case: Case,
    max_tokens: usize,
    stop: Stop,
}

/// A full image, encoded when the first question needs it.
pub struct LocalView<'a> {
    picture: &'a RgbImage,
    longest_edge: Option<usize>,
    encoded: OnceCell<Encoded>,
}

/// Rows and columns of tiles, and their image tokens.
type Encoded = (Vec<(usize, usize)>, ImageTokens);

impl From<SmolVlmError> for NoAnswer {
    fn from(error: SmolVlmError) -> Self {
        Self::Item(error.to_string())
    }
}

impl Local {
    /// Loads a model folder.
    ///
    /// # Errors
    /// A folder that cannot be loaded or holds no text model, a device that is not there.
    pub fn open(
        dir: &Path,
        device: DeviceKind,
        case: Case,
        max_tokens: usize,
        stop: Stop,
    ) -> Result<Self> {
        let model = TextModel::open_dir(dir, device, "eval --target")?;
        Ok(Self {
            model,
            name: full_name(&dir.display().to_string(), case),
            case,
            max_tokens,
            stop,
        })
    }

    /// Its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn encode(&self, picture: &RgbImage, edge: Option<usize>) -> Result<Encoded, SmolVlmError> {
        let (tiles, tokens) = self.model.encode(&[picture], edge)?;
        Ok((tiles.grids, tokens))
    }

    /// log p of the most frequent answer, closing token included.
    fn log_prob(&self, prompt: &Read, sample: &Sample) -> Result<Option<f64>, SmolVlmError> {
        let Some(target) = target_answer(&sample.answers, self.case) else {
            return Ok(None);
        };
        let ids = self.model.prompts().completion(&target)?;
        let each = self.model.log_probs(prompt, &ids)?;
        Ok(Some(each.iter().map(|&log| f64::from(log)).sum()))
    }

    fn full<'v>(&self, view: &'v LocalView<'_>) -> Result<&'v Encoded, SmolVlmError> {
        if let Some(encoded) = view.encoded.get() {
            return Ok(encoded);
        }
        let encoded = self.encode(view.picture, view.longest_edge)?;
        Ok(view.encoded.get_or_init(|| encoded))
    }
}

impl Answering for Local {
    type View<'a> = LocalView<'a>;

    fn view<'a>(
        &'a self,
        original: &'a Original<'a>,
        longest_edge: Option<u32>,
    ) -> Result<LocalView<'a>, NoAnswer> {
        Ok(LocalView {
            picture: original.pixels,
            longest_edge: longest_edge.map(|edge| edge as usize),
            encoded: OnceCell::new(),
        })
    }

    fn answer(
        &self,
        view: &LocalView<'_>,
        shown: Shown<'_>,
        sample: &Sample,
    ) -> Result<Given, NoAnswer> {
        if self.stop.raised() {
            return Err(NoAnswer::Stopped);
        }
        let crop = |crop| self.encode(crop, view.longest_edge);
        let (grids, tokens) = match shown {
            Shown::Full => self.full(view)?.clone(),
            Shown::Only(picture) => crop(picture)?,
            Shown::FullAnd(picture) => {
                let (mut grids, full) = self.full(view)?.clone();
                let (more, beside) = crop(picture)?;
                grids.extend(more);
                (grids, full.and(beside))
            }
        };
        // The decoder reads tokens and wants to know the grids; the pixels have done their work.
        let pictures = Pictures {
            values: Vec::new(),
            side: self.model.tile(),
            grids,
        };
        let text = answer_prompt(&sample.question, self.case);
        let prompt = self.model.read(&pictures, &tokens, &text)?;
        let written = self.model.answer(&prompt, self.max_tokens)?;
        Ok(Given {
            text: written.text.trim().to_owned(),
            refused: false,
            tokens: Some((prompt.tokens() as u64, written.ids.len() as u64)),
            logprob: self.log_prob(&prompt, sample)?,
        })
    }
}
