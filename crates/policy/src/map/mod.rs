//! The map policy: image + question → evidence map → distribution over boxes.
//!
//! The paper's open question 1 asks whether a small network that is no language model can do the
//! cropping. This one is convolutional: an encoder reads the picture once into feature maps, a
//! byte-level encoder reads the question, and a light decoder draws, for each question, a logit
//! and four edge distributions into every cell of a coarse grid. The box distribution is an exact
//! mixture over the cells ([`boxes`]), so sampling and log-probabilities need no approximation
//! and GRPO can train it like the text policy.
//!
//! Files: [`config`] the shape, [`net`] picture encoder and decoder, [`question`] text encoder,
//! [`letters`] reading, [`hints`] where a question's texts stand, [`boxes`] the distribution, [`input`] picture → canvas, [`weights`] in and out (quantized),
//! [`loss`] what SFT minimises, [`reading`] the part of it that teaches to read, [`legible`] a reward by
//! reading, [`live`] GRPO on one picture, [`upright`] which way up a picture is, `tilt` a part of it.

pub mod boxes;
pub mod config;
mod conv;
mod fast;
pub mod find;
pub mod hints;
pub mod input;
pub mod legible;
pub mod letters;
pub mod live;
pub mod loss;
pub mod net;
pub mod question;
mod readback;
pub mod reading;
mod tilt;
pub mod upright;
pub mod weights;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use grounding::NormBox;
pub use kernels::Encoded;
use picture::{GrayImage, RgbImage};
use rand::Rng;

use crate::{
    EvidenceMap, Logprobs, PolicyError, Proposal, Result, Rollout, SampleOptions, Timings,
};
pub use boxes::BoxDistribution;
pub use config::MapConfig;
pub use net::{Features, MapNet};
pub use smolvlm::ModelFiles;
pub use upright::Turn;

/// `model_type` of a map policy's `config.json`.
pub const MODEL_TYPE: &str = "cropvlm_map";

/// A map policy: configuration, network and the device that it runs on.
#[derive(Clone)]
pub struct MapPolicy {
    /// The shape of the network and how boxes are read off.
    pub config: MapConfig,
    /// Where it runs.
    pub device: Device,
    /// The weights.
    net: MapNet,
    /// A copy of the weights for looking and proposing on a CPU. Never older than `net`: [`MapPolicy::change`].
    fast: Option<Arc<fast::Net>>,
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
        let net = weights::load(
            MapNet::new(&config, device),
            files.get("model.safetensors")?,
        )?;
        let mut policy = Self {
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

    /// Gets the weights, as they are now, ready for looking and proposing fast; on a CPU without gradients, elsewhere
    /// it does nothing. A loaded policy is prepared.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn prepare(&mut self) -> Result<()> {
        if fast::serves(&self.device) {
            self.fast = Some(Arc::new(fast::Net::of(&self.net)?));
        }
        Ok(())
    }

    /// Shape and values of the encoder's weights, by name: what [`kernels::Encoder`] is made of.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn encoder_weights(&self) -> Result<Vec<(String, weights::Values)>> {
        let mut weights = weights::collect(&self.net)?;
        weights.retain(|(name, _)| kernels::Encoder::wants(name));
        Ok(weights)
    }

    /// The files of a model folder, weights as int8 (`quantize`) or as they are.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn files(&self, quantize: bool) -> Result<ModelFiles> {
        let config = serde_json::to_string_pretty(&self.config)
            .map_err(|e| PolicyError::Config(e.to_string()))?;
        let tensors = weights::save(&self.net, quantize)?;
        Ok(ModelFiles::from_memory([
            ("config.json".to_string(), (config + "\n").into_bytes()),
            ("model.safetensors".to_string(), tensors),
        ]))
    }

    /// Encodes a picture as it lies and reads it: what training does.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn look(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<Features> {
        let mut clock = Timings::default();
        let grey = timed(&mut clock.image, || input::grey(picture));
        let turn = Turn::none(picture.width(), picture.height());
        let pixels = input::pixels_of(&self.config, &turn, longest_edge);
        let seen = self.encode(&grey, turn, pixels, &mut clock, &mut |values, size| {
            self.encode_here(values, size)
        })?;
        self.finish(seen, clock).await
    }

    /// Encodes a picture the way up in which it can be read, and reads it ([`upright`]): what a person gets. Boxes and evidence
    /// are those of the picture as it lies all the same.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn look_upright(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<Features> {
        let encode = |values, size| self.encode_here(values, size);
        self.look_turning(picture, longest_edge, encode).await
    }

    /// As [`MapPolicy::look_upright`], with an encoder from elsewhere, such as one on several threads: it gets a canvas, values
    /// row by row, and its height and width.
    ///
    /// # Errors
    /// As [`MapPolicy::look`]; the encoder's own.
    pub async fn look_by(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
        mut encode: impl FnMut(Vec<f32>, [usize; 2]) -> Result<Encoded>,
    ) -> Result<Features> {
        let encode = |values, size| encode(values, size).map(fast::features);
        self.look_turning(picture, longest_edge, encode).await
    }

    /// Encodes a canvas on this policy's device.
    fn encode_here(&self, values: Vec<f32>, [height, width]: [usize; 2]) -> Result<Features> {
        Ok(match &self.fast {
            Some(fast) => fast::features(fast.encoder.encode(values, [height, width])),
            None => {
                let canvas = TensorData::new(values, [1, 1, height, width]);
                self.net.encode(Tensor::from_data(canvas, &self.device))
            }
        })
    }

    /// Encodes a grey picture under a turn, on about so many pixels.
    fn encode(
        &self,
        grey: &GrayImage,
        turn: Turn,
        pixels: usize,
        clock: &mut Timings,
        encode: &mut impl FnMut(Vec<f32>, [usize; 2]) -> Result<Features>,
    ) -> Result<Features> {
        let [width, height] = turn.size().map(|side| side.round() as u32);
        let [width, height] = input::canvas_size(pixels, width, height);
        let values = timed(&mut clock.image, || {
            let canvas = turn.draw(grey, width, height);
            input::normalised(canvas.as_raw()).collect()
        });
        let size = [height as usize, width as usize];
        let mut features = timed(&mut clock.vision, || encode(values, size))?;
        features.turn = turn;
        Ok(features)
    }

    /// The end of looking: what was read is made ready for questions.
    async fn finish(&self, features: Features, mut clock: Timings) -> Result<Features> {
        let start = Clock::start();
        let mut features = features.read().await?;
        clock.vision += start.ms();
        features.timings = clock;
        Ok(features)
    }

    /// Tries the turns that the picture's profile and what can be read of it suggest, and keeps the one that reads best.
    async fn look_turning(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
        mut encode: impl FnMut(Vec<f32>, [usize; 2]) -> Result<Features>,
    ) -> Result<Features> {
        let mut clock = Timings::default();
        let grey = timed(&mut clock.image, || input::grey(picture));
        let level = Turn::none(picture.width(), picture.height());
        let all = input::pixels_of(&self.config, &level, longest_edge);
        let mut seen = self.encode(&grey, level, all, &mut clock, &mut encode)?;
        let as_it_lies = seen.surely_read().await?;
        let tilt = timed(&mut clock.image, || tilt::tilt(&grey));
        // A turn is tried where the picture's profile speaks for it, or for want of anything that reads well.
        let mut tries: Vec<Turn> = Vec::new();
        tries.extend(tilt.map(|tilt| Turn { tilt, ..level }));
        if !as_it_lies.is_well() {
            tries.extend([1, 2, 3].map(|quarters| Turn { quarters, ..level }));
        }
        let mut letters = 0;
        for turn in tries {
            let pixels = input::pixels_of(&self.config, &turn, longest_edge);
            let other = self.encode(&grey, turn, pixels, &mut clock, &mut encode)?;
            let read = other.surely_read().await?;
            // Of those that beat the picture as it lies, the one with most letters: on its head, print beats print on its side.
            if read.beats(as_it_lies, &turn) && read.letters > letters {
                (seen, letters) = (other, read.letters);
            }
        }
        self.finish(seen, clock).await
    }

    /// The distribution over boxes that a question gets on a picture.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn distribution(&self, seen: &Features, question: &str) -> Result<BoxDistribution> {
        let (Some(fast), Some(maps)) = (&self.fast, &seen.fast) else {
            let maps = self.maps(seen, question); // [1, 9, h, w/2]
            let [_, _, height, width] = maps.dims();
            let values = readback::finite(maps).await?;
            return Ok(BoxDistribution::new(&values, width, height));
        };
        let texts = question::encode_questions(&[question], &self.config, &self.device);
        let steer = readback::finite(self.net.steering(&texts)).await?;
        let hints = hints::of_question(&seen.letters[0], question);
        let values = fast.decoder.decode(maps, &hints, &steer); // [9, h, w/2]
        readback::check(&values)?;
        let [_, _, height, width] = seen.fine.dims();
        Ok(BoxDistribution::new(&values, width / 2, height))
    }

    /// Raw maps of one question: logit and edge parameters a cell, `[1, 9, H/8, W/16]`.
    fn maps(&self, seen: &Features, question: &str) -> Tensor<4> {
        let questions = [question];
        let texts = question::encode_questions(&questions, &self.config, &self.device);
        self.net.decode(seen, &[0], &questions, &texts)
    }

    /// Proposes the box whose chance to hold the evidence is worth its area.
    pub async fn propose(&self, seen: &Features, question: &str) -> Result<Proposal> {
        let start = Clock::start();
        let distribution = self.distribution(seen, question).await?;
        let prefill = start.ms();
        let start = Clock::start();
        let (bbox, confidence) =
            distribution.proposed(self.config.coverage, self.config.area_price);
        let logprob = distribution.log_prob(bbox);
        let bbox = seen.turn.back(bbox);
        let evidence = seen.turn.evidence_back(EvidenceMap {
            width: distribution.width,
            height: distribution.height,
            values: distribution.evidence(),
        });
        Ok(Proposal {
            bbox: Some(bbox),
            completion: bbox.completion(),
            logprob,
            valid: true,
            timings: Timings {
                prefill,
                decode: start.ms(),
                ..seen.timings
            },
            evidence: Some(evidence),
            confidence: Some(confidence),
            rotation: seen.turn.degrees(),
        })
    }

    /// Draws boxes. Temperature divides the cell logits and widens the edge distributions.
    pub async fn sample(
        &self,
        seen: &Features,
        question: &str,
        options: &SampleOptions,
        rng: &mut impl Rng,
    ) -> Result<Vec<Rollout>> {
        let distribution = self.distribution(seen, question).await?;
        Ok((0..options.n)
            .map(|_| {
                let drawn = distribution.sample(options.temperature, rng);
                let bbox = seen.turn.back(drawn);
                Rollout {
                    bbox: Some(bbox),
                    completion: bbox.completion(),
                    logprob: distribution.log_prob(drawn),
                    ids: Vec::new(),
                    constrained: true,
                }
            })
            .collect())
    }

    /// Log-probabilities of a group, one column: a box is one token.
    ///
    /// # Errors
    /// No rollout, or one without a box.
    pub fn token_logprobs(
        &self,
        seen: &Features,
        question: &str,
        rollouts: &[Rollout],
    ) -> Result<Logprobs> {
        let boxes: Option<Vec<NormBox>> = rollouts.iter().map(|rollout| rollout.bbox).collect();
        let Some(boxes) = boxes.filter(|boxes| !boxes.is_empty()) else {
            let why = "has none with a box, or one without; the map policy draws boxes only";
            return Err(PolicyError::Rollouts(why.into()));
        };
        let logprobs = self.log_probs(seen, question, &boxes)?; // [G]
        let logprobs = logprobs.reshape([boxes.len(), 1]); // [G, 1]
        let mask = logprobs.clone().detach().ones_like(); // [G, 1]
        Ok(Logprobs { logprobs, mask })
    }

    /// The same weights without gradients.
    pub fn without_gradients(&self) -> Self {
        Self {
            config: self.config.clone(),
            net: self.net.valid(),
            device: self.device.clone().without_autodiff(),
            fast: None,
        }
    }

    /// Differentiable log-probabilities of boxes, `[N]`.
    pub fn log_probs(
        &self,
        seen: &Features,
        question: &str,
        boxes: &[NormBox],
    ) -> Result<Tensor<1>> {
        let boxes: Vec<NormBox> = boxes.iter().map(|bbox| seen.turn.onto(*bbox)).collect();
        Ok(loss::log_probs(self.maps(seen, question), &boxes))
    }
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
    })
}

/// Does some work and adds the milliseconds that it took.
fn timed<T>(clock: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Clock::start();
    let result = work();
    *clock += start.ms();
    result
}

/// Milliseconds since a start; the page's clock where there is no `Instant` (wasm32).
struct Clock(web_time::Instant);

impl Clock {
    fn start() -> Self {
        Self(web_time::Instant::now())
    }

    fn ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e3
    }
}
