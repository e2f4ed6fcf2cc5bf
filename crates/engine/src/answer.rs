//! From a picture and a question to the box to look at.

use grounding::{NormBox, PixelBox};
use kernels::{Features, Maps};
use mapnet::{ImageFeatures, Proposal};
use picture::RgbImage;
use rand::Rng;

use crate::host::{again, step};
use crate::{Engine, EngineError, Host, MAX_QUESTION, Result, Stage};

/// How a picture is encoded.
#[derive(Debug, Clone, Copy, Default)]
pub struct EncodeOptions {
    /// Caps the longest side that the network gets to see, pixels.
    pub longest_edge: Option<u32>,
    /// Only this part of the picture is looked at: a second, finer look. Boxes are those of the whole picture all the same.
    pub within: Option<NormBox>,
}

/// A picture as the network knows it, good for any number of questions.
#[derive(Debug, Clone)]
pub struct Encoded {
    features: ImageFeatures,
    within: Option<NormBox>,
    /// Width and height of the whole picture, pixels.
    pub size: [u32; 2],
}

/// How a box is proposed.
#[derive(Debug, Clone, Copy)]
pub struct ProposeOptions {
    /// The box is grown to so many times its area; at least 1.
    pub expand: f32,
    /// Further places that are named at most.
    pub top_k: usize,
    /// Shortest side of the crop, pixels; a smaller box is grown.
    pub min_size: u32,
}

impl Default for ProposeOptions {
    fn default() -> Self {
        Self {
            expand: 1.0,
            top_k: 3,
            min_size: 1,
        }
    }
}

/// A further place where the answer may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Other {
    /// The box, percent of the picture.
    pub bbox: NormBox,
    /// The same in pixels.
    pub pixels: PixelBox,
    /// Probability that it holds the answer.
    pub confidence: f64,
}

/// What was proposed.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The box after all options, percent of the picture.
    pub bbox: NormBox,
    /// The same in pixels; right and lower edge exclusive.
    pub pixels: PixelBox,
    /// Probability that the box holds the answer, before it was grown; calibrated where the model folder says how.
    pub confidence: f64,
    /// Probability that the picture holds the answer at all; `None` where the model folder does not say how to tell.
    pub present: Option<f64>,
    /// Whether a crop is needed at all; not known yet.
    pub needed: Option<bool>,
    /// Further places, likeliest first.
    pub others: Vec<Other>,
    /// What the model proposed, before the options: box, log-probability, evidence, timings.
    pub proposal: Proposal,
}

impl Engine {
    /// Encodes a picture, once for all questions about it.
    ///
    /// # Errors
    /// A failed device; cancelled.
    pub async fn encode(
        &self,
        picture: &RgbImage,
        options: &EncodeOptions,
        host: &impl Host,
    ) -> Result<Encoded> {
        if let Some(card) = self.card() {
            let there = async |values: Vec<f32>, size: [usize; 2]| -> Result<_> {
                Ok(card.encode(&values, size).await?)
            };
            return self.by_card(self.encode_by(picture, options, host, there).await);
        }
        let here = async |values: Vec<f32>, size: [usize; 2]| -> Result<_> {
            Ok(self.model.encoder().encode(values, size))
        };
        self.encode_by(picture, options, host, here).await
    }

    /// As [`Engine::encode`], with an encoder from elsewhere, such as one on several threads: it gets a canvas, values row
    /// by row, and its height and width.
    ///
    /// # Errors
    /// As [`Engine::encode`]; the encoder's own.
    pub async fn encode_by<F: Into<Features>>(
        &self,
        picture: &RgbImage,
        options: &EncodeOptions,
        host: &impl Host,
        mut encoder: impl AsyncFnMut(Vec<f32>, [usize; 2]) -> Result<F>,
    ) -> Result<Encoded> {
        let size: [u32; 2] = picture.dimensions().into();
        let cut = options.within.map(|part| {
            let part = part.to_pixels(size[0], size[1]);
            picture::crop(picture, part)
        });
        let mut round = 0;
        let encode = async |values: Vec<f32>, size: [usize; 2]| -> Result<_> {
            round += 1;
            again(host, Stage::Encode, round).await?;
            encoder(values, size).await
        };
        let shown = cut.as_ref().unwrap_or(picture);
        let features = self
            .model
            .encode_by(shown, options.longest_edge, encode)
            .await?;
        Ok(Encoded {
            features,
            within: options.within,
            size,
        })
    }

    /// Proposes the box to look at for a question.
    ///
    /// # Errors
    /// An empty question, an option that cannot be, a failed device; cancelled.
    pub async fn propose(
        &self,
        encoded: &Encoded,
        question: &str,
        options: &ProposeOptions,
        host: &impl Host,
    ) -> Result<Answer> {
        if let Some(card) = self.card() {
            let there = async |levels: &[Maps; 3], hints: &[f32], steer: &[f32]| -> Result<_> {
                Ok(card.decode(levels, hints, steer).await?)
            };
            let found = self.propose_by(encoded, question, options, host, there);
            return self.by_card(found.await);
        }
        let here = async |levels: &[Maps; 3], hints: &[f32], steer: &[f32]| -> Result<_> {
            Ok(self.model.decoder().decode(levels, hints, steer))
        };
        self.propose_by(encoded, question, options, host, here)
            .await
    }

    /// As [`Engine::propose`], with a decoder from elsewhere, such as one on several threads: it gets the features' three levels, a
    /// question's hints and how it steers the network, and gives maps ([`kernels::Decoder::decode`]).
    ///
    /// # Errors
    /// As [`Engine::propose`]; the decoder's own.
    pub async fn propose_by(
        &self,
        encoded: &Encoded,
        question: &str,
        options: &ProposeOptions,
        host: &impl Host,
        decoder: impl AsyncFnOnce(&[Maps; 3], &[f32], &[f32]) -> Result<Vec<f32>>,
    ) -> Result<Answer> {
        options.check()?;
        let question = cut(question)?;
        step(host, Stage::Propose).await?;
        let found = self.model.propose_by(&encoded.features, question, decoder);
        let (proposal, best, distribution) = found.await?;
        let config = self.model.config();
        let turn = encoded.features.turn;
        let place = |bbox: NormBox| encoded.place(turn.back(bbox), options);
        let others = distribution.others(best, config.coverage, config.area_price, options.top_k);
        let bbox = place(best);
        Ok(Answer {
            bbox,
            pixels: encoded.pixels(bbox),
            confidence: proposal.confidence.unwrap_or_default(),
            present: proposal.present,
            needed: None,
            others: others
                .into_iter()
                .map(|(drawn, held)| {
                    let bbox = place(drawn);
                    Other {
                        bbox,
                        pixels: encoded.pixels(bbox),
                        confidence: config.calibrated(held),
                    }
                })
                .collect(),
            proposal,
        })
    }

    /// Draws boxes from the distribution that the proposed one is read off, computed on the processor: where the model sees evidence, and how often.
    ///
    /// # Errors
    /// An empty question; a failed device.
    pub fn sample(
        &self,
        encoded: &Encoded,
        question: &str,
        n: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<NormBox>> {
        let question = cut(question)?;
        let distribution = self.model.distribution(&encoded.features, question)?;
        let turn = encoded.features.turn;
        let boxes = (0..n).map(|_| turn.back(distribution.sample(1.0, rng)));
        Ok(boxes.map(|bbox| encoded.on_whole(bbox)).collect())
    }
}

impl ProposeOptions {
    fn check(&self) -> Result<()> {
        if self.expand >= 1.0 && self.expand.is_finite() {
            return Ok(());
        }
        Err(EngineError::Option {
            name: "expand",
            found: self.expand.to_string(),
            wanted: "a number of at least 1",
        })
    }
}

impl Encoded {
    /// A box of the part that was looked at, on the whole picture.
    fn on_whole(&self, bbox: NormBox) -> NormBox {
        match self.within {
            Some(part) => bbox.out_of(part),
            None => bbox,
        }
    }

    /// As [`Encoded::on_whole`], grown as the options say.
    fn place(&self, bbox: NormBox, options: &ProposeOptions) -> NormBox {
        let bbox = self.on_whole(bbox).grow(options.expand);
        let [width, height] = self.size;
        bbox.at_least(options.min_size, width, height)
    }

    fn pixels(&self, bbox: NormBox) -> PixelBox {
        bbox.to_pixels(self.size[0], self.size[1])
    }
}

/// A question, as far as it is read.
fn cut(question: &str) -> Result<&str> {
    if question.trim().is_empty() {
        return Err(EngineError::EmptyQuestion);
    }
    let end = question.char_indices().nth(MAX_QUESTION);
    Ok(&question[..end.map_or(question.len(), |(at, _)| at)])
}
