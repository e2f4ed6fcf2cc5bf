//! The text policy for use, on the processor's own kernels: no gradients, no adapter, weights as they are packed.

use grounding::prompt::policy_prompt;
use grounding::{Case, parse_completion};
use picture::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use smolvlm::infer::{Model, Scene};
use smolvlm::{BoxGrammar, Sampling};
use web_time::Instant;

use super::{MAX_TOKENS, ms};
use crate::{ModelFiles, Proposal, ProposeOptions, Result, Timings, check_question};

/// A text policy that proposes and is not trained; the same boxes as [`crate::TextPolicy`]'s.
pub struct TextProposer {
    model: Model,
    grammar: BoxGrammar,
    case: Case,
}

/// A picture that the decoder has read, good for any number of questions.
pub struct TextEncoded {
    scene: Scene,
    timings: Timings,
}

impl TextProposer {
    /// Reads a Hugging Face folder of an Idefics3 model, or one of packed weights.
    ///
    /// # Errors
    /// As [`crate::TextPolicy::load`].
    pub fn load(files: &ModelFiles) -> Result<Self> {
        let model = Model::load(files)?;
        Ok(Self {
            grammar: model.grammar()?,
            model,
            case: Case::default(),
        })
    }

    /// Encodes a picture and lets the decoder read it. `longest_edge` in pixels; `None` makes one tile of it.
    ///
    /// # Errors
    /// A longest edge of 0 or of more than 6 tiles.
    pub fn look(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<TextEncoded> {
        let start = Instant::now();
        let longest_edge = longest_edge.map(|edge| edge as usize);
        let pictures = self.model.pictures(&[picture], longest_edge)?;
        let image = ms(start);

        let start = Instant::now();
        let tokens = self.model.encode(&pictures); // [image tokens, hidden]
        let vision = ms(start);

        let start = Instant::now();
        let scene = self.model.read_pictures(&pictures, &tokens)?;
        let timings = Timings {
            image,
            vision,
            prefill: ms(start),
            ..Timings::default()
        };
        Ok(TextEncoded { scene, timings })
    }

    /// Proposes the box that the model writes when it takes the likeliest token each time.
    ///
    /// # Errors
    /// An empty question, one too long for the model; weights that compute no numbers.
    pub fn propose(
        &self,
        seen: &TextEncoded,
        question: &str,
        options: &ProposeOptions,
    ) -> Result<Proposal> {
        check_question(question)?;
        let start = Instant::now();
        let text = policy_prompt(question, self.case);
        let prompt = self.model.ask(&seen.scene, &text)?;
        let prefill = seen.timings.prefill + ms(start);

        let start = Instant::now();
        // Never drawn from: the choice is greedy.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let greedy = Sampling::Greedy;
        let (bbox, completion, logprob) = if options.unconstrained {
            let model = &self.model;
            let written = model.generate(&prompt, 1, MAX_TOKENS, greedy, &mut rng)?;
            let written = &written[0];
            let text = written.text.trim().to_string();
            (parse_completion(&text).ok(), text, written.logprob)
        } else {
            let model = &self.model;
            let written = model.generate_boxes(&self.grammar, &prompt, 1, greedy, &mut rng)?;
            let bbox = written[0].bbox;
            (Some(bbox), bbox.completion(), written[0].logprob)
        };
        Ok(Proposal {
            valid: bbox.is_some(),
            bbox,
            completion,
            logprob: f64::from(logprob),
            timings: Timings {
                prefill,
                decode: ms(start),
                ..seen.timings
            },
            evidence: None,
            confidence: None,
            rotation: 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use pollster::block_on;
    use smolvlm::{Precision, SmolVlm, tiny};

    use super::*;
    use crate::TextPolicy;

    #[test]
    fn it_proposes_what_the_policy_proposes() {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let policy = TextPolicy::new(model).expect("policy");
        let files = block_on(policy.files(Precision::F32)).expect("files");
        let proposer = TextProposer::load(&files).expect("proposer");
        let picture = RgbImage::from_fn(60, 80, |x, y| [x as u8 * 3, y as u8 * 2, 90].into());
        for edge in [None, Some(48)] {
            let seen = block_on(policy.look(&picture, edge)).expect("seen");
            let encoded = proposer.look(&picture, edge).expect("encoded");
            for unconstrained in [false, true] {
                let options = ProposeOptions { unconstrained };
                let wanted = block_on(policy.propose(&seen, "Who sold it?", &options));
                let wanted = wanted.expect("proposal");
                let found = proposer.propose(&encoded, "Who sold it?", &options);
                let found = found.expect("proposal");
                assert_eq!(found.completion, wanted.completion);
                assert_eq!((found.bbox, found.valid), (wanted.bbox, wanted.valid));
                assert!((found.logprob - wanted.logprob).abs() < 1e-3);
                assert!(found.timings.vision > 0.0 && found.timings.prefill > 0.0);
            }
            let empty = proposer.propose(&encoded, " ", &ProposeOptions::default());
            assert!(matches!(empty, Err(crate::PolicyError::EmptyQuestion)));
        }
    }
}
