//! The network with its weights: picture → features → maps → box.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use grounding::NormBox;
use kernels::{Decoder, Encoded, Encoder, Features, Maps, Tensors};
use picture::RgbImage;
use tensors::{ModelFiles, SINGLE, Values};

use crate::char_logits::HALVES;
use crate::manifest::{LETTERS_NAME, VECTORS_NAME, manifest};
use crate::proposal::{Clock, timed};
use crate::question::QuestionReader;
use crate::upright::{Upright, encode_upright};
use crate::words::Words;
use crate::{
    BoxDistribution, MapConfig, Proposal, Result, TextIndex, Timings, Turn, canvas, finite, hints,
};

/// A map model: configuration and weights, in the order of the kernels.
#[derive(Debug)]
pub struct MapModel {
    config: MapConfig,
    /// What the network is made of.
    weights: Tensors,
    /// Its weights in the order of the kernels, once something is computed here: where threads of another module or a card
    /// compute, they are never needed.
    network: OnceLock<(Encoder, Decoder)>,
    questions: QuestionReader,
    words: Option<Words>,
}

/// What the model knows of a picture, good for any number of questions.
#[derive(Debug, Clone)]
pub struct ImageFeatures {
    /// The three strides in the decoder's channels, before a question steers them.
    levels: Arc<[Maps; 3]>,
    /// What was read.
    text: Arc<TextIndex>,
    /// How the picture was turned before it was encoded; boxes are given on the picture as it lies.
    pub turn: Turn,
    /// How long encoding took.
    pub timings: Timings,
}

impl MapModel {
    /// Reads `config.json` and `model.safetensors` (f32, f16, bf16 or int8 with scales).
    ///
    /// # Errors
    /// Missing, extra or misshapen tensors, by name; broken files.
    pub fn load(files: &ModelFiles) -> Result<Self> {
        let config: MapConfig = files.json("config.json")?;
        Self::of(config, tensors::read(SINGLE, files.get(SINGLE)?)?)
    }

    /// From weights by name.
    ///
    /// # Errors
    /// A configuration that cannot be; missing, extra or misshapen tensors, by name.
    pub fn of(config: MapConfig, weights: HashMap<String, Values>) -> Result<Self> {
        config.check()?;
        tensors::fit(SINGLE, &weights, &manifest(&config))?;
        let mut weights: Tensors = weights.into_iter().collect();
        let questions = QuestionReader::of(&weights, &config)?;
        let words = match config.words {
            0 => None,
            _ => Some(words_of(&weights)?),
        };
        weights.retain(|name| Encoder::wants(name) || Decoder::wants(name));
        Ok(Self {
            config,
            weights,
            network: OnceLock::new(),
            questions,
            words,
        })
    }

    /// Encoder and decoder, in the order of the kernels.
    fn network(&self) -> &(Encoder, Decoder) {
        self.network.get_or_init(|| {
            let network = Encoder::of(&self.weights).and_then(|encoder| {
                let decoder = Decoder::of(&self.weights)?;
                Ok((encoder, decoder))
            });
            network.expect("names and shapes were held to the manifest")
        })
    }

    /// A model whose weights are all zero: for trying things out.
    ///
    /// # Errors
    /// A configuration that cannot be.
    pub fn blank(config: &MapConfig) -> Result<Self> {
        let zeros = manifest(config).into_iter().map(|(name, shape)| {
            let n = shape.iter().product();
            (name, (shape, vec![0.0; n]))
        });
        Self::of(config.clone(), zeros.collect())
    }

    /// The shape of the network and how boxes are read off.
    pub fn config(&self) -> &MapConfig {
        &self.config
    }

    /// The table of words, where the model has one.
    pub fn words(&self) -> Option<&Words> {
        self.words.as_ref()
    }

    /// The network before a question.
    pub fn encoder(&self) -> &Encoder {
        &self.network().0
    }

    /// The network for a question.
    pub fn decoder(&self) -> &Decoder {
        &self.network().1
    }

    /// Encodes a picture the way up in which it can be read ([`crate::upright`]), on this thread's pool. `longest_edge` caps
    /// the longest side that the network gets to see, pixels.
    ///
    /// # Errors
    /// Maps that are no numbers.
    pub async fn encode(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<ImageFeatures> {
        let encode = async |values: Vec<f32>, size| -> Result<Encoded> {
            Ok(self.encoder().encode(values, size))
        };
        self.encode_by(picture, longest_edge, encode).await
    }

    /// As [`MapModel::encode`], with an encoder from elsewhere, such as one on several threads or a graphics card: it gets a
    /// canvas, values row by row, and its height and width.
    ///
    /// # Errors
    /// As [`MapModel::encode`]; the encoder's own.
    pub async fn encode_by<F: Into<Features>, E: From<crate::MapError>>(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
        mut encode: impl AsyncFnMut(Vec<f32>, [usize; 2]) -> std::result::Result<F, E>,
    ) -> std::result::Result<ImageFeatures, E> {
        let mut clock = Timings::default();
        let grey = timed(&mut clock.image, || canvas::grey(picture));
        let mut encode = async |values: Vec<f32>, size: [usize; 2]| -> std::result::Result<_, E> {
            Ok(split(encode(values, size).await?.into())?)
        };
        let upright = encode_upright(&self.config, &grey, longest_edge, &mut clock, &mut encode);
        let upright = upright.await?;
        Ok(index(upright, clock))
    }

    /// How a question steers the decoder: scales and shifts of its four places, one after the other.
    pub fn steering(&self, question: &str) -> Vec<f32> {
        self.questions.steering(question, self.words.as_ref())
    }

    /// What the decoder gets of a question about what was read: hints, and how it is steered.
    fn inputs(&self, text: &TextIndex, question: &str) -> (Vec<f32>, Vec<f32>) {
        let hints = hints::of_question(text, self.words.as_ref(), question);
        (hints, self.steering(question))
    }

    /// Maps of one question, `[MAPS, h, w]`: a logit and edge parameters a cell.
    ///
    /// # Errors
    /// Maps that are no numbers.
    pub fn maps(&self, levels: &[Maps; 3], text: &TextIndex, question: &str) -> Result<Vec<f32>> {
        let (hints, steer) = self.inputs(text, question);
        let maps = self.decoder().decode(levels, &hints, &steer);
        finite(&maps)?;
        Ok(maps)
    }

    /// The distribution over boxes that a question gets from maps of a picture.
    ///
    /// # Errors
    /// Maps that are no numbers.
    pub fn distribution_of(
        &self,
        levels: &[Maps; 3],
        text: &TextIndex,
        question: &str,
    ) -> Result<BoxDistribution> {
        let maps = self.maps(levels, text, question)?;
        Ok(of_maps(&maps, levels))
    }

    /// The distribution over boxes that a question gets, on the picture as it was turned ([`ImageFeatures::turn`]).
    ///
    /// # Errors
    /// Maps that are no numbers.
    pub fn distribution(
        &self,
        features: &ImageFeatures,
        question: &str,
    ) -> Result<BoxDistribution> {
        self.distribution_of(&features.levels, &features.text, question)
    }

    /// Proposes the box whose chance to hold the evidence is worth its area.
    ///
    /// # Errors
    /// Maps that are no numbers.
    pub fn propose(&self, features: &ImageFeatures, question: &str) -> Result<Proposal> {
        let start = Clock::start();
        let (hints, steer) = self.inputs(&features.text, question);
        let maps = self.decoder().decode(&features.levels, &hints, &steer);
        let found = self.found(features, question, &hints, &maps, start)?;
        Ok(found.0)
    }

    /// As [`MapModel::propose`], its box on the turned picture, and the distribution that the box was read off, with a decoder
    /// from elsewhere, such as a graphics card's: it gets the maps of
    /// [`Features::levels`], a question's hints and how it steers the network, and gives maps ([`Decoder::decode`]).
    ///
    /// # Errors
    /// As [`MapModel::propose`]; the decoder's own.
    pub async fn propose_by<E: From<crate::MapError>>(
        &self,
        features: &ImageFeatures,
        question: &str,
        decode: impl AsyncFnOnce(&[Maps; 3], &[f32], &[f32]) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<(Proposal, NormBox, BoxDistribution), E> {
        let start = Clock::start();
        let (hints, steer) = self.inputs(&features.text, question);
        let maps = decode(&features.levels, &hints, &steer).await?;
        Ok(self.found(features, question, &hints, &maps, start)?)
    }

    /// What a question's hints and maps come to: the proposal, its box on the turned picture, and the distribution. `start` is when
    /// the question came.
    fn found(
        &self,
        features: &ImageFeatures,
        question: &str,
        hints: &[f32],
        maps: &[f32],
        start: Clock,
    ) -> Result<(Proposal, NormBox, BoxDistribution)> {
        finite(maps)?;
        let distribution = of_maps(maps, &features.levels);
        let timings = Timings {
            prefill: start.ms(),
            ..features.timings
        };
        let (mut proposal, drawn) =
            Proposal::with_drawn(&distribution, &self.config, &features.turn, timings);
        proposal.present = self.config.presence.map(|presence| {
            let support = hints::Support::of(hints, question, self.words.is_some());
            presence.of(distribution.peak(), support)
        });
        Ok((proposal, drawn, distribution))
    }
}

/// The distribution over boxes that maps mean.
fn of_maps(maps: &[f32], [fine, ..]: &[Maps; 3]) -> BoxDistribution {
    // Cells of the decoder are twice as wide as high.
    BoxDistribution::new(maps, fine.width / 2, fine.height)
}

impl ImageFeatures {
    /// What was read on the picture.
    pub fn text(&self) -> &TextIndex {
        &self.text
    }
}

/// The table of words among weights.
fn words_of(weights: &Tensors) -> Result<Words> {
    let vectors = weights.values(VECTORS_NAME)?.to_vec();
    Ok(Words::new(weights.values(LETTERS_NAME)?, vectors))
}

/// The decoder's maps, and height and width of the grid of characters with their logits.
type Read = ([Maps; 3], [usize; 2]);

/// What is kept of an encoded canvas, and its char logits, which have to be numbers.
fn split(features: Features) -> Result<(Read, Vec<f32>)> {
    let characters = features.characters;
    finite(&characters.values)?;
    let size = [characters.height, characters.width * HALVES];
    Ok(((features.levels, size), characters.values))
}

/// The end of encoding: what was read is made ready for questions.
fn index(upright: Upright<Read>, mut clock: Timings) -> ImageFeatures {
    let (levels, [rows, columns]) = upright.encoded;
    let text = timed(&mut clock.vision, || {
        TextIndex::new(&upright.char_logits, rows, columns)
    });
    ImageFeatures {
        levels: Arc::new(levels),
        text: Arc::new(text),
        turn: upright.turn,
        timings: clock,
    }
}
