//! The map policy: image + question → evidence map → distribution over boxes.
//!
//! The paper's open question 1 asks whether a small network that is no language model can do the
//! cropping. This one is convolutional: an encoder reads the picture once into feature maps, a
//! byte-level encoder reads the question, and a light decoder draws, for each question, a logit
//! and four edge distributions into every cell of a coarse grid. The box distribution is an exact
//! mixture over the cells ([`mapnet::BoxDistribution`]), so sampling and log-probabilities need no approximation
//! and GRPO can train it like the text policy.
//!
//! What needs no gradients lies in the `mapnet` crate: the shape, canvases, reading, hints, the distribution. Here is the
//! network as burn has it, which learns.
//!
//! Files: [`net`] picture encoder and decoder, [`question`] text encoder, [`batch`] several pictures and questions as tensors,
//! [`weights`] in and out, [`loss`] what SFT minimises, [`reading`] the part of it that teaches to read, [`legible`] a reward
//! by reading, [`live`] GRPO on one picture, `fast` the same network without gradients.

pub mod batch;
mod conv;
mod fast;
pub mod legible;
pub mod live;
pub mod loss;
pub mod net;
pub mod question;
pub(crate) mod readback;
pub mod reading;
pub mod targets;
pub mod weights;

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use grounding::NormBox;
use mapnet::manifest::{LETTERS_NAME, VECTORS_NAME, is_table};
use mapnet::proposal::{Clock, timed};
use mapnet::upright::{Upright, encode_turned, encode_upright};
pub use mapnet::{BoxDistribution, MODEL_TYPE, MapConfig, Turn};
use mapnet::{MapModel, Words, canvas};
use picture::RgbImage;
use rand::Rng;

use crate::{
    Logprobs, PolicyError, Proposal, Result, Rollout, SampleOptions, Timings, check_temperature,
};
pub use net::{Features, MapNet};
pub use tensors::ModelFiles;
use tensors::{Precision, SINGLE, Values};

/// A map policy: configuration, network and the device that it runs on.
#[derive(Clone)]
pub struct MapPolicy {
    /// The shape of the network and how boxes are read off.
    pub config: MapConfig,
    /// Where it runs.
    pub device: Device,
    /// The weights.
    net: MapNet,
    /// The table of words among the weights, ready for use.
    words: Option<Arc<Words>>,
    /// A copy of the weights for looking and proposing on a CPU. Never older than `net`: [`MapPolicy::change`].
    fast: Option<Arc<MapModel>>,
}

impl MapPolicy {
    /// A policy with random weights, the start of training. The same seed gives the same weights.
    ///
    /// # Errors
    /// A configuration that cannot be.
    pub fn random(config: &MapConfig, seed: u64, device: &Device) -> Result<Self> {
        config.check()?;
        device.seed(seed);
        let net = MapNet::new(config, device);
        // Parameters are drawn when first touched; touch them now, in order, under this seed.
        weights::settle(&net);
        Ok(Self {
            words: table(config, &net)?,
            net,
            config: config.clone(),
            device: device.clone(),
            fast: None,
        })
    }

    /// Reads `config.json` and `model.safetensors` (f32, f16, bf16 or int8 with scales).
    ///
    /// # Errors
    /// Missing, extra or misshapen tensors, by name; broken files.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self> {
        let config: MapConfig = files.json("config.json")?;
        config.check()?;
        // Nothing is drawn: the parameters are only described until the file's values, whose shapes were compared, are
        // put in.
        let weights = tensors::read(SINGLE, files.get(SINGLE)?)?;
        let net = weights::apply(MapNet::new(&config, device), weights)?;
        let mut policy = Self {
            words: table(&config, &net)?,
            net,
            config,
            device: device.clone(),
            fast: None,
        };
        policy.prepare()?;
        Ok(policy)
    }

    /// The weights.
    pub fn net(&self) -> &MapNet {
        &self.net
    }

    /// Changes the weights. From then on burn computes, until [`MapPolicy::prepare`].
    pub fn change(&mut self, change: impl FnOnce(MapNet) -> MapNet) {
        self.net = change(self.net.clone());
        self.fast = None;
    }

    /// Replaces all weights, the table of words included.
    ///
    /// # Errors
    /// Missing, extra and misshapen tensors, all of them by name.
    pub fn replace(&mut self, tensors: HashMap<String, Values>) -> Result<()> {
        let net = weights::apply(self.net.clone(), tensors)?;
        self.words = table(&self.config, &net)?;
        self.change(|_| net);
        Ok(())
    }

    /// The model's table of words, where it has one.
    pub fn words(&self) -> Option<&Words> {
        self.words.as_deref()
    }

    /// Gets the weights, as they are now, ready for looking and proposing fast; on a CPU without gradients, elsewhere
    /// it does nothing. A loaded policy is prepared.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn prepare(&mut self) -> Result<()> {
        if fast::serves(&self.device) {
            self.fast = Some(Arc::new(fast::copy(&self.config, &self.net)?));
        }
        Ok(())
    }

    /// The files of a model folder, weights as int8 (`quantize`) or as they are.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn files(&self, quantize: bool) -> Result<ModelFiles> {
        let config = serde_json::to_string_pretty(&self.config)
            .map_err(|e| PolicyError::Config(e.to_string()))?;
        let weights = weights::collect(&self.net)?;
        let tensors = match quantize {
            true => tensors::write_q8(SINGLE, weights)?,
            false => tensors::write(SINGLE, weights, Precision::F32)?,
        };
        Ok(ModelFiles::from_memory([
            ("config.json".to_string(), (config + "\n").into_bytes()),
            (SINGLE.to_string(), tensors),
        ]))
    }

    /// Encodes a picture as it lies and reads it: what training does.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn encode(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<Features> {
        let mut clock = Timings::default();
        let grey = timed(&mut clock.image, || canvas::grey(picture));
        let turn = Turn::none(picture.width(), picture.height());
        let mut encode = async |values, size| char_logits(self.encode_here(values, size)).await;
        let level = encode_turned(
            &self.config,
            &grey,
            turn,
            longest_edge,
            &mut clock,
            &mut encode,
        );
        Ok(finish(level.await?, clock))
    }

    /// Encodes a picture the way up in which it can be read, and reads it ([`mapnet::upright`]): what a person gets. Boxes and evidence
    /// are those of the picture as it lies all the same.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn encode_upright(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<Features> {
        let mut clock = Timings::default();
        let grey = timed(&mut clock.image, || canvas::grey(picture));
        let mut encode = async |values, size| char_logits(self.encode_here(values, size)).await;
        let upright = encode_upright(&self.config, &grey, longest_edge, &mut clock, &mut encode);
        Ok(finish(upright.await?, clock))
    }

    /// Encodes a canvas on this policy's device.
    fn encode_here(&self, values: Vec<f32>, [height, width]: [usize; 2]) -> Features {
        match &self.fast {
            Some(fast) => fast::features(fast.encoder().encode(values, [height, width])),
            None => {
                let canvas = TensorData::new(values, [1, 1, height, width]);
                self.net.encode(Tensor::from_data(canvas, &self.device))
            }
        }
    }

    /// The distribution over boxes that a question gets on a picture.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn distribution(
        &self,
        encoded: &Features,
        question: &str,
    ) -> Result<BoxDistribution> {
        let (Some(fast), Some(maps)) = (&self.fast, &encoded.fast) else {
            let maps = self.maps(encoded, question); // [1, 9, h, w/2]
            let [_, _, height, width] = maps.dims();
            let values = readback::finite(maps).await?;
            return Ok(BoxDistribution::new(&values, width, height));
        };
        Ok(fast.distribution_of(maps, &encoded.text[0], question)?)
    }

    /// Raw maps of one question: logit and edge parameters a cell, `[1, 9, H/8, W/16]`.
    fn maps(&self, encoded: &Features, question: &str) -> Tensor<4> {
        let questions = [question];
        let words = self.words();
        let texts = question::encode_questions(&questions, &self.config, words, &self.device);
        self.net.decode(encoded, &[0], &questions, &texts, words)
    }

    /// Proposes the box whose chance to hold the evidence is worth its area.
    pub async fn propose(&self, encoded: &Features, question: &str) -> Result<Proposal> {
        let start = Clock::start();
        let distribution = self.distribution(encoded, question).await?;
        let timings = Timings {
            prefill: start.ms(),
            ..encoded.timings
        };
        Ok(Proposal::of(
            &distribution,
            &self.config,
            &encoded.turn,
            timings,
        ))
    }

    /// Draws boxes. Temperature divides the cell logits and widens the edge distributions.
    pub async fn sample(
        &self,
        encoded: &Features,
        question: &str,
        options: &SampleOptions,
        rng: &mut impl Rng,
    ) -> Result<Vec<Rollout>> {
        let temperature = check_temperature(options.temperature)?;
        let distribution = self.distribution(encoded, question).await?;
        Ok((0..options.n)
            .map(|_| {
                let drawn = distribution.sample(temperature, rng);
                let bbox = encoded.turn.back(drawn);
                Rollout {
                    bbox: Some(bbox),
                    completion: bbox.completion(),
                    logprob: distribution.log_prob_at(drawn, temperature),
                    ids: Vec::new(),
                    constrained: true,
                    truncated: false,
                }
            })
            .collect())
    }

    /// Log-probabilities of a group at a temperature, one column: a box is one token.
    ///
    /// # Errors
    /// No rollout, or one without a box; a temperature that is not above 0.
    pub fn token_logprobs(
        &self,
        encoded: &Features,
        question: &str,
        rollouts: &[Rollout],
        temperature: f64,
    ) -> Result<Logprobs> {
        let temperature = check_temperature(temperature)?;
        let boxes: Option<Vec<NormBox>> = rollouts.iter().map(|rollout| rollout.bbox).collect();
        let Some(boxes) = boxes.filter(|boxes| !boxes.is_empty()) else {
            let why = "has none with a box, or one without; the map policy draws boxes only";
            return Err(PolicyError::Rollouts(why.into()));
        };
        let logprobs = self.log_probs_at(encoded, question, &boxes, temperature); // [G]
        let logprobs = logprobs.reshape([boxes.len(), 1]); // [G, 1]
        let mask = logprobs.clone().detach().ones_like(); // [G, 1]
        Ok(Logprobs {
            logprobs,
            mask,
            entropies: None,
        })
    }

    /// The same weights without gradients.
    pub fn without_gradients(&self) -> Self {
        Self {
            config: self.config.clone(),
            net: self.net.valid(),
            words: self.words.clone(),
            device: self.device.clone().without_autodiff(),
            fast: None,
        }
    }

    /// Differentiable log-probabilities of boxes, `[N]`.
    pub fn log_probs(
        &self,
        encoded: &Features,
        question: &str,
        boxes: &[NormBox],
    ) -> Result<Tensor<1>> {
        Ok(self.log_probs_at(encoded, question, boxes, 1.0))
    }

    /// The same at a temperature.
    fn log_probs_at(
        &self,
        encoded: &Features,
        question: &str,
        boxes: &[NormBox],
        temperature: f64,
    ) -> Tensor<1> {
        let boxes: Vec<NormBox> = boxes.iter().map(|bbox| encoded.turn.onto(*bbox)).collect();
        loss::log_probs(self.maps(encoded, question), &boxes, temperature)
    }
}

/// The table of words among a network's weights, where the configuration says that it has one.
fn table(config: &MapConfig, net: &MapNet) -> Result<Option<Arc<Words>>> {
    if config.words == 0 {
        return Ok(None);
    }
    let tensors = weights::collect_where(net, is_table)?;
    let mut tensors: HashMap<String, Values> = tensors.into_iter().collect();
    let mut values = |name: &str| {
        tensors
            .remove(name)
            .map_or(Vec::new(), |(_, values)| values)
    };
    let letters = values(LETTERS_NAME);
    let vectors = values(VECTORS_NAME);
    Ok(Some(Arc::new(Words::new(&letters, vectors))))
}

/// A rollout whose box is given as text.
pub(crate) fn rollout(completion: &str) -> Result<Rollout> {
    let bbox = grounding::parse_completion(completion).map_err(|_| {
        PolicyError::Rollouts(format!(
            "holds \"{completion}\", which is no box; the map policy draws boxes only"
        ))
    })?;
    Ok(Rollout {
        bbox: Some(bbox),
        completion: completion.to_string(),
        logprob: f64::NAN,
        ids: Vec::new(),
        constrained: true,
        truncated: false,
    })
}

/// Features, and their logits of characters back from the device.
async fn char_logits(features: Features) -> Result<(Features, Vec<f32>)> {
    let values = readback::finite(features.characters.clone().detach()).await?;
    Ok((features, values))
}

/// The end of looking: what was read is made ready for questions.
fn finish(upright: Upright<Features>, mut clock: Timings) -> Features {
    let mut features = timed(&mut clock.vision, || {
        upright.encoded.index(&upright.char_logits)
    });
    features.turn = upright.turn;
    features.timings = clock;
    features
}
