//! The text policy: Idefics3 (SmolVLM) writing the box, as in the CropVLM paper.
//!
//! Departure from the paper: by default the model chooses only among tokens that can still lead to
//! a valid box (`smolvlm`'s grammar). The policy is then a distribution over valid boxes, the one
//! that [`TextPolicy::sample`] draws from, [`TextPolicy::log_probs`] measures (at temperature 1) and a proposal's
//! `logprob` reports: probabilities of the allowed tokens renormalised at every choice, forced
//! tokens counted 1. Unconstrained proposals are for measuring what the model has learned of the
//! form; their `logprob` is that of all their tokens, closing token included, under the free model.

mod dense;
mod watch;

use burn::tensor::{Device, Tensor, TensorData};
use grounding::prompt::policy_prompt;
use grounding::{Case, NormBox, parse_completion};
use picture::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smolvlm::{BoxGrammar, Precision, Prompt, Sampling, Scene, SmolVlm, settle};
use web_time::Instant;

use crate::{
    Logprobs, ModelFiles, PolicyError, Proposal, ProposeOptions, Result, Rollout, SampleOptions,
    Timings, Written, check_temperature,
};

pub use watch::{Attention, generic_attention, relative_attention};

/// Tokens of a completion at most, as in the paper (a box has 17 to 20).
pub const MAX_TOKENS: usize = 32;

/// A cropping policy that writes.
pub struct TextPolicy {
    model: SmolVlm,
    grammar: BoxGrammar,
    case: Case,
}

/// A picture that the decoder has read, good for any number of questions.
pub struct TextEncoded {
    scene: Scene,
    timings: Timings,
}

impl TextEncoded {
    /// The same without its history of gradients.
    pub fn without_gradients(&self) -> Self {
        Self {
            scene: self.scene.without_gradients(),
            timings: self.timings,
        }
    }
}

impl TextPolicy {
    /// Reads a Hugging Face folder of an Idefics3 model.
    ///
    /// # Errors
    /// A missing or broken file, tensors that do not fit, a tokenizer that does not write digits
    /// one by one, by name.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self> {
        Self::new(SmolVlm::load(files, device)?)
    }

    /// Takes a model that is there already.
    ///
    /// # Errors
    /// A tokenizer that does not write digits one by one.
    pub fn new(model: SmolVlm) -> Result<Self> {
        Ok(Self {
            grammar: model.grammar()?,
            model,
            case: Case::default(),
        })
    }

    /// The files of a model folder, as transformers loads them; an adapter is merged into it.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub async fn files(&self, precision: Precision) -> Result<ModelFiles> {
        let merged = self.model.clone().merge_adapter();
        Ok(merged.save(precision).await?)
    }

    /// The model that writes.
    pub fn model(&self) -> &SmolVlm {
        &self.model
    }

    /// The model that writes, to train it.
    pub fn model_mut(&mut self) -> &mut SmolVlm {
        &mut self.model
    }

    /// Whether questions are capitalised as the reference does (the default) or kept.
    pub fn set_case(&mut self, case: Case) {
        self.case = case;
    }

    /// Encodes a picture and lets the decoder read it. `longest_edge` in pixels; `None` makes one
    /// tile of it.
    ///
    /// # Errors
    /// A longest edge of 0 or of more than 6 tiles; a failed device.
    pub async fn encode(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<TextEncoded> {
        Ok(self.encode_with_tokens(picture, longest_edge).await?.0)
    }

    /// As [`TextPolicy::encode`], with the image tokens, `[cells, hidden]`.
    pub(crate) async fn encode_with_tokens(
        &self,
        picture: &RgbImage,
        longest_edge: Option<u32>,
    ) -> Result<(TextEncoded, Tensor<2>)> {
        let start = Instant::now();
        let longest_edge = longest_edge.map(|edge| edge as usize);
        let pictures = self.model.pictures(&[picture], longest_edge)?;
        let image = ms(start);

        let start = Instant::now();
        let tokens = self.model.encode(&pictures); // [image tokens, hidden]
        settle(&tokens).await?;
        let vision = ms(start);

        let start = Instant::now();
        let scene = self.model.read_pictures(&pictures, &tokens)?;
        scene.settle().await?;
        let timings = Timings {
            image,
            vision,
            prefill: ms(start),
            ..Timings::default()
        };
        Ok((TextEncoded { scene, timings }, tokens))
    }

    fn ask(&self, encoded: &TextEncoded, question: &str) -> Result<Prompt> {
        let text = policy_prompt(question, self.case);
        Ok(self.model.ask(&encoded.scene, &text)?)
    }

    /// Proposes the box that the model writes when it takes the likeliest token each time.
    ///
    /// # Errors
    /// A question too long for the model; a failed device.
    pub async fn propose(
        &self,
        encoded: &TextEncoded,
        question: &str,
        options: &ProposeOptions,
    ) -> Result<Proposal> {
        self.propose_streamed(encoded, question, options, |_| ())
            .await
    }

    /// As [`TextPolicy::propose`]; `on_token` gets every token of a constrained proposal as soon as it is decided.
    ///
    /// # Errors
    /// As [`TextPolicy::propose`].
    pub async fn propose_streamed(
        &self,
        encoded: &TextEncoded,
        question: &str,
        options: &ProposeOptions,
        mut on_token: impl FnMut(Written),
    ) -> Result<Proposal> {
        let start = Instant::now();
        let prompt = self.ask(encoded, question)?;
        prompt.settle().await?;
        let prefill = encoded.timings.prefill + ms(start);

        let start = Instant::now();
        // Never drawn from: the choice is greedy.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (bbox, completion, logprob) = if options.unconstrained {
            let model = &self.model;
            let written = model.generate(&prompt, 1, MAX_TOKENS, Sampling::Greedy, &mut rng);
            let written = written.await?.remove(0);
            let text = written.text.trim().to_string();
            (parse_completion(&text).ok(), text, written.logprob)
        } else {
            let mut failed = None;
            let tell = |_: usize, new: &[(u32, Option<f32>)]| {
                for (id, chance) in new {
                    match self.model.prompts().decode(&[*id]) {
                        Ok(text) => {
                            let chance = *chance;
                            on_token(Written { text, chance });
                        }
                        Err(error) => failed = Some(error),
                    }
                }
            };
            let greedy = Sampling::Greedy;
            let boxes = self.model.generate_boxes_streamed(
                &self.grammar,
                &prompt,
                1,
                greedy,
                &mut rng,
                tell,
            );
            let written = boxes.await?.remove(0);
            if let Some(error) = failed {
                return Err(error.into());
            }
            let bbox = written.bbox;
            (Some(bbox), bbox.completion(), written.logprob)
        };
        Ok(Proposal {
            valid: bbox.is_some(),
            bbox,
            completion,
            logprob: f64::from(logprob),
            timings: Timings {
                prefill,
                decode: ms(start),
                ..encoded.timings
            },
            evidence: None,
            confidence: None,
            present: None,
            rotation: 0.0,
        })
    }

    /// Draws one group; picture and question are read once.
    ///
    /// # Errors
    /// No rollout asked for or a temperature that is not above 0; a question too long for the
    /// model; a failed device.
    pub async fn sample(
        &self,
        encoded: &TextEncoded,
        question: &str,
        options: &SampleOptions,
        rng: &mut impl Rng,
    ) -> Result<Vec<Rollout>> {
        let temperature = check_temperature(options.temperature)?;
        let prompt = self.ask(encoded, question)?;
        let sampling = Sampling::Temperature(temperature as f32);
        if options.unconstrained {
            let (n, longest) = (options.n, options.max_tokens);
            let rows = self.model.generate(&prompt, n, longest, sampling, rng);
            let rows = rows.await?.into_iter().map(|row| {
                let completion = row.text.trim().to_string();
                Rollout {
                    bbox: parse_completion(&completion).ok(),
                    completion,
                    logprob: f64::from(row.logprob),
                    ids: row.ids,
                    constrained: false,
                    truncated: !row.finished,
                }
            });
            return Ok(rows.collect());
        }
        let boxes = self.boxes(&prompt, options.n, sampling, rng).await?;
        let rows = boxes.into_iter().map(|row| Rollout {
            bbox: Some(row.bbox),
            completion: row.bbox.completion(),
            logprob: f64::from(row.logprob),
            ids: self.grammar.spell(row.bbox).0,
            constrained: true,
            truncated: false,
        });
        Ok(rows.collect())
    }

    /// A free rollout whose text is given: its tokens are those of a space, the text and
    /// `<end_of_utterance>`.
    ///
    /// # Errors
    /// A tokenizer that fails.
    pub fn rollout(&self, completion: &str) -> Result<Rollout> {
        Ok(Rollout {
            bbox: parse_completion(completion).ok(),
            completion: completion.to_string(),
            logprob: f64::NAN,
            ids: self.model.prompts().completion(completion)?,
            constrained: false,
            truncated: false,
        })
    }

    /// Log-probabilities of every token of a group at a temperature, see
    /// [`crate::Policy::token_logprobs`].
    ///
    /// # Errors
    /// No rollout, constrained and free ones in one group; a question too long for the model; a
    /// temperature that is not above 0.
    pub fn token_logprobs(
        &self,
        encoded: &TextEncoded,
        question: &str,
        rollouts: &[Rollout],
        temperature: f64,
    ) -> Result<Logprobs> {
        check_temperature(temperature)?;
        let wrong = |why: &str| Err(PolicyError::Rollouts(why.to_string()));
        let Some(first) = rollouts.first() else {
            return wrong("is empty");
        };
        if rollouts
            .iter()
            .any(|row| row.constrained != first.constrained)
        {
            return wrong("mixes constrained and free completions: draw them alike");
        }
        let prompt = self.ask(encoded, question)?;
        let (logprobs, entropies, counts) = if first.constrained {
            let boxes: Option<Vec<NormBox>> = rollouts.iter().map(|row| row.bbox).collect();
            let Some(boxes) = boxes else {
                return wrong("holds a constrained completion without a box");
            };
            let found =
                self.model
                    .box_token_log_probs(&self.grammar, &prompt, &boxes, temperature)?;
            (found.values, found.entropies, found.chosen)
        } else {
            let rows: Vec<Vec<u32>> = rollouts.iter().map(|row| row.ids.clone()).collect();
            let found = self.model.token_log_probs_at(&prompt, &rows, temperature)?; // [G, T]
            let [_, t] = found.values.dims();
            let counts = rows
                .iter()
                .map(|row| (0..t).map(|i| i < row.len()).collect());
            (found.values, found.entropies, counts.collect())
        };
        let mask: Vec<f32> = counts
            .into_iter()
            .flatten()
            .map(|counts| if counts { 1.0 } else { 0.0 })
            .collect();
        let mask = TensorData::new(mask, logprobs.dims());
        let mask = Tensor::from_data(mask, &logprobs.device()); // [G, T]
        Ok(Logprobs {
            logprobs,
            mask,
            entropies: Some(entropies),
        })
    }

    /// The same weights without gradients, dropout off: for rollouts.
    pub fn without_gradients(&self) -> Self {
        self.with_model(self.model.without_gradients())
    }

    /// The model that KL is measured against, without gradients: the adapter off, or, where
    /// everything is trained, a copy of the present weights.
    pub fn reference(&self) -> Self {
        self.with_model(self.model.without_adapter().without_gradients())
    }

    /// Grammar and case of this policy around another model of the same folder.
    pub fn with_model(&self, model: SmolVlm) -> Self {
        Self {
            model,
            grammar: self.grammar.clone(),
            case: self.case,
        }
    }

    async fn boxes(
        &self,
        prompt: &Prompt,
        n: usize,
        sampling: Sampling,
        rng: &mut impl Rng,
    ) -> Result<Vec<smolvlm::BoxCompletion>> {
        let boxes = self
            .model
            .generate_boxes(&self.grammar, prompt, n, sampling, rng);
        Ok(boxes.await?)
    }

    /// Differentiable log-probabilities of boxes (whole percents), `[N]`.
    ///
    /// # Errors
    /// No box; a question too long for the model.
    pub async fn log_probs(
        &self,
        encoded: &TextEncoded,
        question: &str,
        boxes: &[NormBox],
    ) -> Result<Tensor<1>> {
        let prompt = self.ask(encoded, question)?;
        Ok(self.model.box_log_probs(&self.grammar, &prompt, boxes)?)
    }
}

/// Milliseconds since a start.
fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use pollster::block_on;
    use smolvlm::tiny;

    use super::*;
    use crate::Policy;

    const QUESTION: &str = "What is the total?";

    fn policy() -> Policy {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        Policy::Text(TextPolicy::new(model).expect("policy"))
    }

    #[test]
    fn constrained_proposals_are_valid_and_carry_their_chance() {
        let policy = policy();
        let picture = RgbImage::new(50, 70);
        let encoded = block_on(policy.encode(&picture, None)).expect("encodes");
        let options = ProposeOptions::default();
        let found = block_on(policy.propose(&encoded, QUESTION, &options)).expect("proposal");
        let bbox = found.bbox.expect("a box");
        assert!(found.valid && parse_completion(&found.completion) == Ok(bbox));
        let log_probs = block_on(policy.log_probs(&encoded, QUESTION, &[bbox])).expect("log_probs");
        let data = block_on(log_probs.into_data_async()).expect("data");
        let expected: Vec<f32> = data.try_into_vec().expect("f32");
        assert!((found.logprob - f64::from(expected[0])).abs() < 1e-3);
        assert!(found.timings.vision > 0.0 && found.timings.prefill > 0.0);
        let (Policy::Text(policy), crate::Encoded::Text(encoded)) = (&policy, &encoded) else {
            panic!("a text policy");
        };
        let mut tokens = Vec::new();
        let on_token = |token: Written| tokens.push(token);
        let streamed = policy.propose_streamed(encoded, QUESTION, &options, on_token);
        assert_eq!(block_on(streamed).expect("proposal").bbox, found.bbox);
        // What is written begins with the space after "Assistant:".
        let text: String = tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(text, format!(" {}", found.completion));
        let product: f32 = tokens.iter().filter_map(|token| token.chance).product();
        assert!((f64::from(product.ln()) - found.logprob).abs() < 1e-3);
    }

    #[test]
    fn unconstrained_proposals_of_random_weights_are_no_boxes() {
        let policy = policy();
        let encoded = block_on(policy.encode(&RgbImage::new(9, 9), Some(48))).expect("encodes");
        let options = ProposeOptions {
            unconstrained: true,
        };
        let found = block_on(policy.propose(&encoded, QUESTION, &options)).expect("proposal");
        assert!(!found.valid && found.bbox.is_none() && found.logprob < 0.0);
    }

    #[test]
    fn a_group_is_drawn_and_repeats_with_its_seed() {
        let policy = policy();
        let encoded = block_on(policy.encode(&RgbImage::new(9, 9), None)).expect("encodes");
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let options = SampleOptions::default();
            let group = block_on(policy.sample(&encoded, QUESTION, &options, &mut rng));
            let group = group.expect("group");
            group
                .into_iter()
                .map(|row| row.completion)
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_folder_loads_by_its_model_type() {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let text = TextPolicy::new(model).expect("policy");
        let files = block_on(text.files(Precision::F32)).expect("files");
        let policy = Policy::load(&files, &Device::flex()).expect("policy");
        assert!(matches!(policy, Policy::Text(_)));
        let encoded = block_on(policy.encode(&RgbImage::new(9, 9), None)).expect("encodes");
        let empty = block_on(policy.propose(&encoded, "  ", &ProposeOptions::default()));
        assert!(matches!(empty, Err(PolicyError::EmptyQuestion)));
    }
}
