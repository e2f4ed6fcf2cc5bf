//! Who proposes boxes for `propose` and `eval`: the engine for a map policy, on the processor as in the page and the npm
//! package, or on a graphics card by our own kernels; a text policy likewise, its weights as they are packed; a policy on burn
//! for everything else: CUDA, adapters, and on the processor text policies that are not packed.

use anyhow::{Context, Result, bail};
#[cfg(feature = "wgpu")]
use engine::EngineError;
use engine::{Device, EncodeOptions, Encoded, Engine, Quiet, Reason, Text, TextEncoded};
use picture::RgbImage;
use policy::{ModelFiles, Policy, Proposal, ProposeOptions};
use pollster::block_on;
#[cfg(feature = "wgpu")]
use smolvlm::SmolVlmError;

use crate::device::{DeviceKind, NO_WGPU};
use crate::model::{self, ModelArgs};

/// A loaded model that proposes.
#[allow(clippy::large_enum_variant)] // a program holds one
pub enum Proposer {
    /// A map policy, on the processor or on a graphics card.
    Engine(Engine),
    /// A text policy, on the processor or on a graphics card.
    Text(Text),
    /// Any policy on a device of burn's.
    Policy(Policy, DeviceKind),
}

/// A picture as the model has encoded it.
#[allow(clippy::large_enum_variant)] // a program holds one or two
pub enum Picture {
    /// By the engine.
    Engine(Encoded),
    /// By a text policy of the engine's.
    Text(TextEncoded),
    /// By a policy.
    Policy(policy::Encoded),
}

impl Proposer {
    /// Opens a model folder, its adapter on.
    ///
    /// # Errors
    /// A folder that cannot be read or does not fit, by name; a device that is not there.
    pub fn open(args: &ModelArgs, device: DeviceKind) -> Result<Self> {
        let files = model::files(&args.model)?;
        let folder = || format!("model folder {}", args.model.display());
        match device {
            _ if args.adapter.is_some() => {}
            DeviceKind::Cpu => return Self::on_cpu(&files).with_context(folder),
            DeviceKind::Wgpu if Engine::runs(&files).unwrap_or(false) => {
                let engine = block_on(Engine::load(&files, Device::Gpu, &Quiet));
                return Self::on_card(engine.with_context(folder)?);
            }
            DeviceKind::Wgpu => return text_on_card(&files).with_context(folder),
            DeviceKind::Cuda => {}
        }
        Ok(Self::Policy(args.policy(&device.open()?)?, device))
    }

    /// An engine that computes on a graphics card, and nowhere else.
    fn on_card(engine: Engine) -> Result<Self> {
        let backend = engine.backend();
        let refused = (backend.name == "cpu").then(|| backend.reason.clone());
        match refused {
            None => Ok(Self::Engine(engine)),
            Some(Reason::NotBuilt) => bail!("{NO_WGPU}"),
            Some(reason) => bail!("{reason}; --device cpu computes without one"),
        }
    }

    /// A model folder on the processor.
    ///
    /// # Errors
    /// A folder that cannot be read or does not fit.
    pub fn on_cpu(files: &ModelFiles) -> Result<Self> {
        // A folder that cannot be read is explained by whoever loads it.
        if Engine::runs(files).unwrap_or(false) {
            let engine = block_on(Engine::load(files, Device::Cpu, &Quiet))?;
            return Ok(Self::Engine(engine));
        }
        if smolvlm::is_packed(files) {
            return Ok(Self::Text(Text::load(files)?));
        }
        let device = DeviceKind::Cpu;
        Ok(Self::Policy(Policy::load(files, &device.open()?)?, device))
    }

    /// Where it computes: `cpu`, `wgpu` or `cuda`.
    pub fn backend(&self) -> &'static str {
        match self {
            Self::Engine(engine) => engine.backend().name,
            Self::Text(text) if text.adapter().is_some() => "wgpu",
            Self::Text(_) | Self::Policy(_, DeviceKind::Cpu) => "cpu",
            Self::Policy(_, DeviceKind::Wgpu) => "wgpu",
            Self::Policy(_, DeviceKind::Cuda) => "cuda",
        }
    }

    /// Name of the graphics card, where it is known.
    pub fn adapter(&self) -> Option<&str> {
        match self {
            Self::Engine(engine) => engine.backend().adapter.as_deref(),
            Self::Text(text) => text.adapter().map(|(name, _)| name),
            Self::Policy(..) => None,
        }
    }

    /// Whether the graphics card is a software one: the processor, imitating a card.
    pub fn is_software(&self) -> bool {
        match self {
            Self::Engine(engine) => engine.backend().is_fallback,
            Self::Text(text) => text.adapter().is_some_and(|(_, is_software)| is_software),
            Self::Policy(..) => false,
        }
    }

    /// Encodes a picture, once for all questions about it.
    ///
    /// # Errors
    /// A device that failed.
    pub fn encode(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<Picture> {
        Ok(match self {
            Self::Engine(engine) => {
                let options = EncodeOptions {
                    longest_edge,
                    within: None,
                };
                Picture::Engine(block_on(engine.encode(picture, &options, &Quiet))?)
            }
            Self::Text(text) => Picture::Text(block_on(text.encode(picture, longest_edge))?),
            Self::Policy(policy, _) => {
                Picture::Policy(block_on(policy.encode_upright(picture, longest_edge))?)
            }
        })
    }

    /// Proposes a box for a question about an encoded picture.
    ///
    /// # Errors
    /// An empty question, a device that failed.
    pub fn propose(
        &self,
        picture: &Picture,
        question: &str,
        options: &ProposeOptions,
    ) -> Result<Proposal> {
        match (self, picture) {
            (Self::Engine(engine), Picture::Engine(encoded)) => {
                let plain = engine::ProposeOptions {
                    top_k: 0,
                    ..engine::ProposeOptions::default()
                };
                let answer = block_on(engine.propose(encoded, question, &plain, &Quiet))?;
                Ok(answer.proposal)
            }
            (Self::Text(text), Picture::Text(encoded)) if options.unconstrained => {
                Ok(block_on(text.propose_freely(encoded, question))?)
            }
            (Self::Text(text), Picture::Text(encoded)) => {
                Ok(block_on(text.propose(encoded, question, |_| ()))?)
            }
            (Self::Policy(policy, _), Picture::Policy(encoded)) => {
                Ok(block_on(policy.propose(encoded, question, options))?)
            }
            _ => bail!("the picture was encoded by another model"),
        }
    }
}

/// A text policy on a graphics card, and nowhere else.
#[cfg(feature = "wgpu")]
fn text_on_card(files: &ModelFiles) -> Result<Proposer> {
    match block_on(Text::load_on_card(files)) {
        Err(refused @ EngineError::Text(SmolVlmError::Card(_))) => {
            bail!("{refused}; --device cpu computes without one")
        }
        text => Ok(Proposer::Text(text?)),
    }
}

#[cfg(not(feature = "wgpu"))]
fn text_on_card(_: &ModelFiles) -> Result<Proposer> {
    bail!("{NO_WGPU}")
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use policy::{SampleOptions, TextPolicy, Written};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use smolvlm::{Precision, SmolVlm, tiny};

    use super::*;

    const QUESTION: &str = "Who sold it?";

    /// A policy of random weights on burn, the same one on the engine, and a picture.
    fn both() -> (TextPolicy, Text, RgbImage) {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let policy = TextPolicy::new(model).expect("policy");
        let files = block_on(policy.files(Precision::F32)).expect("files");
        let text = Text::load(&files).expect("text");
        let picture = RgbImage::from_fn(60, 80, |x, y| [x as u8 * 3, y as u8 * 2, 90].into());
        (policy, text, picture)
    }

    #[test]
    fn the_engine_proposes_what_the_policy_proposes() {
        let (policy, text, picture) = both();
        for edge in [None, Some(48)] {
            let trainable = block_on(policy.encode(&picture, edge)).expect("encodes");
            let encoded = block_on(text.encode(&picture, edge)).expect("encoded");
            let asked = policy.prompt(&trainable, QUESTION).expect("prompt");
            assert_eq!(text.prompt(&encoded, QUESTION).expect("prompt"), asked);
            for unconstrained in [false, true] {
                let options = ProposeOptions { unconstrained };
                let wanted = block_on(policy.propose(&trainable, QUESTION, &options));
                let wanted = wanted.expect("proposal");
                let found = match unconstrained {
                    true => block_on(text.propose_freely(&encoded, QUESTION)),
                    false => block_on(text.propose(&encoded, QUESTION, |_| ())),
                };
                let found = found.expect("proposal");
                assert_eq!(found.completion, wanted.completion);
                assert_eq!((found.bbox, found.valid), (wanted.bbox, wanted.valid));
                assert!((found.logprob - wanted.logprob).abs() < 1e-3);
                assert!(found.timings.vision > 0.0 && found.timings.prefill > 0.0);
            }
            let empty = block_on(text.propose(&encoded, " ", |_| ()));
            assert!(matches!(empty, Err(engine::EngineError::EmptyQuestion)));
        }
    }

    #[test]
    fn the_engine_streams_draws_and_attends_as_the_policy_does() {
        let (policy, text, picture) = both();
        let trainable = block_on(policy.encode(&picture, None)).expect("encodes");
        let encoded = block_on(text.encode(&picture, None)).expect("encoded");
        let mut wanted: Vec<Written> = Vec::new();
        let options = ProposeOptions::default();
        let streamed =
            policy.propose_streamed(&trainable, QUESTION, &options, |token| wanted.push(token));
        block_on(streamed).expect("proposal");
        let mut found = Vec::new();
        block_on(text.propose(&encoded, QUESTION, |token| found.push(token))).expect("proposal");
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found.text, wanted.text);
            assert_eq!(found.chance.is_some(), wanted.chance.is_some());
        }

        let options = SampleOptions {
            n: 4,
            temperature: 1.0,
            ..SampleOptions::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let wanted = block_on(policy.sample(&trainable, QUESTION, &options, &mut rng));
        let wanted: Option<Vec<_>> = wanted.expect("group").iter().map(|row| row.bbox).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let found = block_on(text.sample(&encoded, QUESTION, 4, &mut rng)).expect("boxes");
        assert_eq!(Some(found), wanted);

        let wanted = block_on(policy.attention(&trainable, QUESTION)).expect("attention");
        let found = block_on(text.attention(&encoded, QUESTION)).expect("attention");
        assert_eq!(found.bbox, wanted.bbox);
        for (found, wanted) in found.map.values.iter().zip(&wanted.map.values) {
            assert!((found - wanted).abs() < 1e-2, "{found} {wanted}");
        }
    }
}
