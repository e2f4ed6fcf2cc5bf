//! The text policy and the reader: SmolVLM by kernels of our own, on the processor or a graphics card, weights as they are
//! packed.
//!
//! ```text
//! Text::load(files) → encode(picture) → propose(question), as often as wished
//!                   → read(pictures, prompt) → draft → write_on … → drafted
//! ```
//!
//! What computes is async, as in [`smolvlm::infer`]; natively any executor drives it.
//!
//! No gradients, no adapter. `filling.rs`: weights as they arrive. `attention.rs`: where it looks, and the box that follows
//! from that without any training.

mod attention;
mod filling;

use grounding::prompt::{given_answer, policy_prompt};
use grounding::{Case, NormBox, parse_completion};
use mapnet::{Proposal, Timings};
use picture::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smolvlm::infer::{Draft, Model, Prompt, Scene};
use smolvlm::{BoxGrammar, Sampling, Tiles};
use tensors::ModelFiles;
use web_time::Instant;

use crate::{EngineError, Result};

pub use attention::Attention;
pub use filling::TextFilling;

/// Tokens of a free completion at most, as in the paper (a box has 17 to 20).
const MAX_TOKENS: usize = 32;

/// A loaded SmolVLM: a text policy that proposes and is not trained, the same boxes as `policy::TextPolicy`'s, and a reader.
pub struct Text {
    model: Model,
    grammar: BoxGrammar,
    case: Case,
}

/// A picture that the decoder has read, good for any number of questions.
pub struct TextEncoded {
    scene: Scene,
    timings: Timings,
}

/// A token of a box.
#[derive(Debug, Clone, PartialEq)]
pub struct TextToken {
    /// As text.
    pub text: String,
    /// Its chance among the tokens that were allowed; `None` where it was the only one.
    pub chance: Option<f32>,
}

impl Text {
    /// Reads a Hugging Face folder of an Idefics3 model, or one of packed weights.
    ///
    /// # Errors
    /// Files that are missing, broken or do not fit, by name; a tokenizer that does not write digits one by one.
    pub fn load(files: &ModelFiles) -> Result<Self> {
        Self::new(Model::load(files)?)
    }

    /// The same on the fastest graphics card that there is, whose memory the weights go to.
    ///
    /// # Errors
    /// As [`Text::load`]; no card, one that computes something else than the processor, or one that failed.
    #[cfg(feature = "gpu")]
    pub async fn load_on_card(files: &ModelFiles) -> Result<Self> {
        Self::new(Model::load_on(files, None).await?)
    }

    /// Name of the graphics card that computes, if one does, and whether it is a software one: the processor, imitating a card.
    pub fn adapter(&self) -> Option<(&str, bool)> {
        #[cfg(feature = "gpu")]
        return self.model.card().map(|gpu| (gpu.name(), gpu.is_software()));
        #[cfg(not(feature = "gpu"))]
        None
    }

    fn new(model: Model) -> Result<Self> {
        Ok(Self {
            grammar: model.grammar()?,
            model,
            case: Case::default(),
        })
    }

    /// Side of a tile, pixels; `longest_edge` is best a multiple of it.
    pub fn tile(&self) -> usize {
        self.model.images().tile()
    }

    /// Encodes a picture and lets the decoder read it. `longest_edge` in pixels; `None` makes one tile of it.
    ///
    /// # Errors
    /// A longest edge of 0 or of more than 6 tiles.
    pub async fn encode(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<TextEncoded> {
        self.read_pictures(&[picture], longest_edge).await
    }

    async fn read_pictures(
        &self,
        pictures: &[&RgbImage],
        longest_edge: Option<u32>,
    ) -> Result<TextEncoded> {
        let start = Instant::now();
        let longest_edge = longest_edge.map(|edge| edge as usize);
        let pictures = self.model.pictures(pictures, longest_edge)?;
        let image = ms(start);

        let start = Instant::now();
        let tokens = self.model.encode(&pictures).await?; // [image tokens, hidden]
        let vision = ms(start);

        let start = Instant::now();
        let scene = self.model.read_pictures(&pictures, &tokens).await?;
        let timings = Timings {
            image,
            vision,
            prefill: ms(start),
            ..Timings::default()
        };
        Ok(TextEncoded { scene, timings })
    }

    /// Lets the decoder read pictures and a text, to answer it: [`Text::draft`].
    ///
    /// # Errors
    /// As [`Text::encode`]; a text too long for the model.
    pub async fn read(
        &self,
        pictures: &[&RgbImage],
        longest_edge: Option<u32>,
        text: &str,
    ) -> Result<Prompt> {
        let encoded = self.read_pictures(pictures, longest_edge).await?;
        Ok(self.model.ask(&encoded.scene, text).await?)
    }

    /// Begins an answer of at most `max_tokens` tokens, the likeliest each time.
    ///
    /// # Errors
    /// A limit of 0, or beyond the model's context.
    pub fn draft(&self, prompt: &Prompt, max_tokens: usize) -> Result<Draft> {
        Ok(self.model.draft(prompt, max_tokens)?)
    }

    /// Writes one more token of an answer; `false` once all is written.
    ///
    /// # Errors
    /// Weights that compute no numbers.
    pub async fn write_on(&self, draft: &mut Draft) -> Result<bool> {
        Ok(self.model.write_on(draft).await?)
    }

    /// Natural logarithm of the chance that an answer, and nothing else, is written: capitalised and closed with a full stop, as
    /// SmolVLM was taught to answer, the end counted (`cropvlm score`).
    ///
    /// # Errors
    /// An empty answer; weights that compute no numbers.
    pub async fn log_prob(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let target = given_answer(answer, self.case).ok_or_else(|| EngineError::Option {
            name: "answer",
            found: "empty".to_owned(),
            wanted: "name the answer that is to be weighed",
        })?;
        let ids = self.model.prompts().completion(&target)?;
        let each = self.model.token_log_probs(prompt, &ids).await?;
        Ok(each.into_iter().map(f64::from).sum())
    }

    /// An answer's text so far.
    ///
    /// # Errors
    /// A tokenizer that fails.
    pub fn drafted(&self, draft: &Draft) -> Result<String> {
        Ok(self.model.drafted(draft)?)
    }

    /// Reads a question about a picture.
    async fn ask(&self, encoded: &TextEncoded, question: &str) -> Result<Prompt> {
        if question.trim().is_empty() {
            return Err(EngineError::EmptyQuestion);
        }
        let text = policy_prompt(question, self.case);
        Ok(self.model.ask(&encoded.scene, &text).await?)
    }

    /// Proposes the box that the model writes when it takes the likeliest token each time; `on_token` gets every token as soon as
    /// it is decided.
    ///
    /// # Errors
    /// An empty question, one too long for the model; weights that compute no numbers.
    pub async fn propose(
        &self,
        encoded: &TextEncoded,
        question: &str,
        mut on_token: impl FnMut(TextToken),
    ) -> Result<Proposal> {
        let start = Instant::now();
        let prompt = self.ask(encoded, question).await?;
        let prefill = encoded.timings.prefill + ms(start);

        let start = Instant::now();
        let mut failed = None;
        let on_tokens = |_: usize, new: &[(u32, Option<f32>)]| {
            for &(id, chance) in new {
                match self.model.prompts().decode(&[id]) {
                    Ok(text) => on_token(TextToken { text, chance }),
                    Err(error) => failed = Some(error),
                }
            }
        };
        let model = &self.model;
        let (greedy, mut rng) = greedy();
        let written =
            model.generate_boxes_streamed(&self.grammar, &prompt, 1, greedy, &mut rng, on_tokens);
        let written = written.await?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let bbox = written[0].bbox;
        let logprob = written[0].logprob;
        let timings = Timings {
            prefill,
            decode: ms(start),
            ..encoded.timings
        };
        Ok(proposal(Some(bbox), bbox.completion(), logprob, timings))
    }

    /// What the model writes where it may write anything, and the box in it, if there is one: for measuring what it has learned
    /// of the form.
    ///
    /// # Errors
    /// As [`Text::propose`].
    pub async fn propose_freely(&self, encoded: &TextEncoded, question: &str) -> Result<Proposal> {
        let start = Instant::now();
        let prompt = self.ask(encoded, question).await?;
        let prefill = encoded.timings.prefill + ms(start);

        let start = Instant::now();
        let (greedy, mut rng) = greedy();
        let model = &self.model;
        let written = model.generate(&prompt, 1, MAX_TOKENS, greedy, &mut rng);
        let written = written.await?;
        let text = written[0].text.trim().to_owned();
        let timings = Timings {
            prefill,
            decode: ms(start),
            ..encoded.timings
        };
        let bbox = parse_completion(&text).ok();
        Ok(proposal(bbox, text, written[0].logprob, timings))
    }

    /// Draws boxes from the distribution over valid boxes, at temperature 1.
    ///
    /// # Errors
    /// As [`Text::propose`]; `n` = 0.
    pub async fn sample(
        &self,
        encoded: &TextEncoded,
        question: &str,
        n: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<NormBox>> {
        let prompt = self.ask(encoded, question).await?;
        let sampling = Sampling::Temperature(1.0);
        let model = &self.model;
        let drawn = model.generate_boxes(&self.grammar, &prompt, n, sampling, rng);
        Ok(drawn.await?.into_iter().map(|row| row.bbox).collect())
    }

    /// A picture as the network gets it, with the `longest_edge` of [`Text::encode`].
    ///
    /// # Errors
    /// As [`Text::encode`].
    pub fn tiles(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<Option<Tiles>> {
        let longest_edge = longest_edge.map(|edge| edge as usize);
        let pictures = self.model.pictures(&[picture], longest_edge)?;
        let tokens = self.model.prompts().tokens_per_tile();
        Ok(self.model.images().view(&pictures, tokens))
    }

    /// The prompt as the decoder reads it, special tokens included, image tokens counted.
    ///
    /// # Errors
    /// A tokenizer that fails.
    pub fn prompt(&self, encoded: &TextEncoded, question: &str) -> Result<String> {
        let text = policy_prompt(question, self.case);
        let prompts = self.model.prompts();
        Ok(prompts.show_prompt(encoded.scene.ids(), &text)?)
    }
}

/// The likeliest token each time. The generator is never drawn from.
fn greedy() -> (Sampling, ChaCha8Rng) {
    (Sampling::Greedy, ChaCha8Rng::seed_from_u64(0))
}

fn proposal(bbox: Option<NormBox>, completion: String, logprob: f32, timings: Timings) -> Proposal {
    Proposal {
        valid: bbox.is_some(),
        bbox,
        completion,
        logprob: f64::from(logprob),
        timings,
        evidence: None,
        confidence: None,
        present: None,
        rotation: 0.0,
    }
}

/// Milliseconds since a start.
fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
