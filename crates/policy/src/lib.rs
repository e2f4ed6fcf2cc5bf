//! Cropping policies behind one interface.
//!
//! A *policy* looks at a picture and a question and proposes the one box that helps to answer it.
//! Two kinds exist and nobody outside this crate asks which one it holds: the [`MapPolicy`], a
//! small network that draws an evidence map and from it a distribution over boxes, and the
//! [`TextPolicy`], SmolVLM writing the box as text as in the CropVLM paper. Both choose among the
//! same boxes (whole percents, see [`grounding::NormBox`]), so SFT, GRPO, evaluation and the page
//! need four verbs only: encode, propose, sample, log-probability.
//!
//! ```
//! use burn::tensor::Device;
//! use policy::{MapConfig, MapPolicy, Policy, ProposeOptions};
//!
//! # pollster::block_on(async {
//! let policy = Policy::Map(MapPolicy::random(&MapConfig::tiny(), 7, &Device::flex())?);
//! let picture = picture::RgbImage::from_pixel(90, 120, image::Rgb([200, 190, 180]));
//! let encoded = policy.encode(&picture, None).await?; // once a picture
//! let proposal = policy.propose(&encoded, "What is the total?", &ProposeOptions::default()).await?;
//! println!("{} at log p {:.2}", proposal.completion, proposal.logprob);
//! assert!(proposal.valid);
//! # Ok::<(), policy::PolicyError>(()) }).unwrap();
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))] // a panic is how a test fails

mod error;
pub mod grpo;
pub mod map;
mod text;
mod train;

use burn::tensor::{Device, Tensor};
use grounding::NormBox;
use picture::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use error::PolicyError;
pub use map::{MapConfig, MapPolicy};
pub use mapnet::{EvidenceMap, Proposal, Timings};
pub use smolvlm::{Filling, LoraConfig, Tiles};
pub use tensors::ModelFiles;
pub use text::{Attention, TextPolicy, generic_attention, relative_attention};
pub use train::{Canvas, Tracking};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, PolicyError>;

/// A cropping policy of either kind.
#[allow(clippy::large_enum_variant)] // a program holds one or two
pub enum Policy {
    /// Evidence map → distribution over boxes.
    Map(MapPolicy),
    /// Idefics3 writing the box.
    Text(TextPolicy),
}

/// A picture as a policy has encoded it, good for any number of questions.
#[allow(clippy::large_enum_variant)] // a program holds one or two
pub enum Encoded {
    /// Feature maps of the map policy.
    Map(map::Features),
    /// Image features of the text policy.
    Text(text::TextEncoded),
}

/// What a policy can do: for who has to know that, and not of which kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Side of the tiles that it gets pictures in, pixels; `None` where the canvas follows from the picture.
    pub tile: Option<u32>,
    /// It writes: boxes as text, answers; and it can carry a LoRA adapter.
    pub writes: bool,
    /// It has a table of what words mean.
    pub has_words: bool,
    /// It can be taught that a question's answer is not in the picture.
    pub learns_absence: bool,
    /// The cells that hold the evidence can be taught beside what it writes; elsewhere they are what is taught.
    pub dense_beside_text: bool,
}

/// How a proposal is made.
#[derive(Debug, Clone, Default)]
pub struct ProposeOptions {
    /// Lets the text policy write freely, so that an invalid box becomes possible. The map policy
    /// knows valid boxes only and ignores this.
    pub unconstrained: bool,
}

/// A token of a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// As text.
    pub text: String,
    /// Its chance among the tokens that were allowed; `None` where it was the only one.
    pub chance: Option<f32>,
}

/// How a group is drawn.
#[derive(Debug, Clone)]
pub struct SampleOptions {
    /// Rollouts of the group.
    pub n: usize,
    /// What logits are divided by; above 0.
    pub temperature: f64,
    /// Lets the text policy write freely, so that invalid boxes become possible. The map policy
    /// knows valid boxes only and ignores this.
    pub unconstrained: bool,
    /// Tokens of an unconstrained completion at most.
    pub max_tokens: usize,
}

impl Default for SampleOptions {
    /// The paper's: six rollouts at temperature 0.8, at most 32 tokens. Constrained, unlike there.
    fn default() -> Self {
        Self {
            n: 6,
            temperature: 0.8,
            unconstrained: false,
            max_tokens: text::MAX_TOKENS,
        }
    }
}

/// One rollout of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The box in percent; `None` for an invalid completion.
    pub bbox: Option<NormBox>,
    /// The box as text, or what the text policy wrote instead.
    pub completion: String,
    /// Natural logarithm of its probability under the distribution that it was drawn from, the
    /// temperature of sampling included (see [`Policy::token_logprobs`]).
    pub logprob: f64,
    /// Tokens of the completion; empty for the map policy, whose one token is the box.
    pub ids: Vec<u32>,
    /// Whether only tokens that lead to a valid box were to choose from.
    pub constrained: bool,
    /// Whether it was cut off by the longest length, its closing token missing.
    pub truncated: bool,
}

/// Log-probabilities of the tokens of a group's completions, T of them in the longest.
#[derive(Debug, Clone)]
pub struct Logprobs {
    /// Of each token, [G, T], in nats; 0 where the mask is 0.
    pub logprobs: Tensor<2>,
    /// Completion mask [G, T]: 1 for a token that counts, 0 elsewhere.
    pub mask: Tensor<2>,
    /// Entropy of what each token was chosen from, [G, T], in nats, without history; `None` for the map policy.
    pub entropies: Option<Tensor<2>>,
}

impl Encoded {
    /// The same without its history of gradients: for rollouts.
    pub fn without_gradients(&self) -> Self {
        match self {
            Self::Map(encoded) => Self::Map(encoded.without_gradients()),
            Self::Text(encoded) => Self::Text(encoded.without_gradients()),
        }
    }
}

impl Policy {
    /// What it can do.
    pub fn abilities(&self) -> Abilities {
        match self {
            Self::Map(policy) => Abilities {
                tile: None,
                writes: false,
                has_words: policy.config.words > 0,
                learns_absence: true,
                dense_beside_text: false,
            },
            Self::Text(policy) => Abilities {
                tile: Some(policy.tile() as u32),
                writes: true,
                has_words: false,
                learns_absence: false,
                dense_beside_text: true,
            },
        }
    }

    /// Reads a model folder; `model_type` in its `config.json` says which kind it holds.
    ///
    /// # Errors
    /// A missing or broken file, an unknown `model_type`, tensors that do not fit, by name.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: String,
        }
        let kind: Kind = files.json("config.json")?;
        match kind.model_type.as_str() {
            map::MODEL_TYPE => Ok(Self::Map(MapPolicy::load(files, device)?)),
            kind if smolvlm::MODEL_TYPES.contains(&kind) => {
                Ok(Self::Text(TextPolicy::load(files, device)?))
            }
            other => Err(PolicyError::UnknownModel(other.to_string())),
        }
    }

    /// Encodes a picture once. `longest_edge` in pixels bounds what the network gets to see;
    /// `None` takes the model's own default (one tile, for the text policy).
    ///
    /// # Errors
    /// A picture that cannot be processed, or a device that failed.
    pub async fn encode(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<Encoded> {
        Ok(match self {
            Self::Map(policy) => Encoded::Map(policy.encode(picture, longest_edge).await?),
            Self::Text(policy) => Encoded::Text(policy.encode(picture, longest_edge).await?),
        })
    }

    /// As [`Policy::encode`], the way up in which the picture can be read: a map policy finds out whether a picture is turned or
    /// tilted. For proposing; training looks at pictures as they lie.
    ///
    /// # Errors
    /// As [`Policy::encode`].
    pub async fn encode_upright(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<Encoded> {
        match self {
            Self::Map(policy) => {
                let encoded = policy.encode_upright(picture, longest_edge).await?;
                Ok(Encoded::Map(encoded))
            }
            Self::Text(_) => self.encode(picture, longest_edge).await,
        }
    }

    /// Proposes the box that helps to answer the question.
    ///
    /// # Errors
    /// An empty question, a picture encoded by a policy of the other kind, a failed device.
    pub async fn propose(
        &self,
        encoded: &Encoded,
        question: &str,
        options: &ProposeOptions,
    ) -> Result<Proposal> {
        check_question(question)?;
        match (self, encoded) {
            (Self::Map(policy), Encoded::Map(encoded)) => policy.propose(encoded, question).await,
            (Self::Text(policy), Encoded::Text(encoded)) => {
                policy.propose(encoded, question, options).await
            }
            _ => Err(PolicyError::WrongPicture),
        }
    }

    /// Draws one GRPO group: picture and question are read once. Best called on
    /// [`Policy::without_gradients`], so that no history is kept.
    ///
    /// # Errors
    /// As [`Policy::propose`]; no rollout asked for, a temperature that is not above 0.
    pub async fn sample(
        &self,
        encoded: &Encoded,
        question: &str,
        options: &SampleOptions,
        rng: &mut impl Rng,
    ) -> Result<Vec<Rollout>> {
        check_question(question)?;
        match (self, encoded) {
            (Self::Map(policy), Encoded::Map(encoded)) => {
                policy.sample(encoded, question, options, rng).await
            }
            (Self::Text(policy), Encoded::Text(encoded)) => {
                policy.sample(encoded, question, options, rng).await
            }
            _ => Err(PolicyError::WrongPicture),
        }
    }

    /// A rollout whose completion is given, as the free policy would have written it; its `logprob`
    /// is not known (NaN).
    ///
    /// # Errors
    /// A completion that the tokenizer cannot write; for the map policy, one that is no box.
    pub fn rollout(&self, completion: &str) -> Result<Rollout> {
        match self {
            Self::Map(_) => map::rollout(completion),
            Self::Text(policy) => policy.rollout(completion),
        }
    }

    /// Log-probabilities of every token of a group at a temperature, differentiable.
    ///
    /// At the temperature that the group was drawn at they are those of the distribution that it was
    /// drawn from: the text policy's logits are divided by it before the softmax (as TRL does), the
    /// map policy's logits divided and scales multiplied, each as its sampler does. Only then is a
    /// policy gradient that of what is sampled, and k3 unbiased.
    ///
    /// Text policy, unconstrained rollouts: every completion token, the closing one included, under
    /// the free model. Constrained ones: the tokens where there was a choice, renormalised over what
    /// was allowed. Map policy: one column, the box.
    ///
    /// # Errors
    /// As [`Policy::propose`]; no rollout, constrained and free ones in one group, a rollout of the
    /// other kind of policy, a temperature that is not above 0.
    pub fn token_logprobs(
        &self,
        encoded: &Encoded,
        question: &str,
        rollouts: &[Rollout],
        temperature: f64,
    ) -> Result<Logprobs> {
        check_question(question)?;
        match (self, encoded) {
            (Self::Map(policy), Encoded::Map(encoded)) => {
                policy.token_logprobs(encoded, question, rollouts, temperature)
            }
            (Self::Text(policy), Encoded::Text(encoded)) => {
                policy.token_logprobs(encoded, question, rollouts, temperature)
            }
            _ => Err(PolicyError::WrongPicture),
        }
    }

    /// Log-probabilities of given boxes at temperature 1, differentiable in the policy's weights.
    ///
    /// Shape `[N]`, in nats. Boxes are taken in whole percents.
    ///
    /// # Errors
    /// As [`Policy::propose`].
    pub async fn log_probs(
        &self,
        encoded: &Encoded,
        question: &str,
        boxes: &[NormBox],
    ) -> Result<Tensor<1>> {
        check_question(question)?;
        match (self, encoded) {
            (Self::Map(policy), Encoded::Map(encoded)) => {
                policy.log_probs(encoded, question, boxes)
            }
            (Self::Text(policy), Encoded::Text(encoded)) => {
                policy.log_probs(encoded, question, boxes).await
            }
            _ => Err(PolicyError::WrongPicture),
        }
    }
}

/// Longest question, in characters, that is read; a longer one is cut by its policy, not refused.
pub const MAX_QUESTION: usize = 10_000;

fn check_question(question: &str) -> Result<()> {
    if question.trim().is_empty() {
        return Err(PolicyError::EmptyQuestion);
    }
    Ok(())
}

fn check_temperature(temperature: f64) -> Result<f64> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(temperature);
    }
    Err(PolicyError::Temperature(temperature))
}
