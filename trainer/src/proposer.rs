//! Who proposes boxes for `propose` and `eval`: the engine for a map policy, on the processor as in the page and the npm
//! package, or on a graphics card by our own kernels; a text policy on the processor's kernels, its weights as they are packed;
//! a policy on burn for everything else.

use anyhow::{Context, Result, bail};
use engine::{Device, EncodeOptions, Encoded, Engine, Quiet, Reason};
use picture::RgbImage;
use policy::{ModelFiles, Policy, Proposal, ProposeOptions, Seen, TextEncoded, TextProposer};
use pollster::block_on;

use crate::device::{DeviceKind, NO_WGPU};
use crate::model::{self, ModelArgs};

/// A loaded model that proposes.
#[allow(clippy::large_enum_variant)] // a program holds one
pub enum Proposer {
    /// A map policy, on the processor or on a graphics card.
    Engine(Engine),
    /// A text policy on the processor.
    Text(TextProposer),
    /// Any policy on a device of burn's.
    Policy(Policy, DeviceKind),
}

/// A picture as the model has encoded it.
#[allow(clippy::large_enum_variant)] // a program holds one or two
pub enum Picture {
    /// By the engine.
    Engine(Encoded),
    /// By a text policy on the processor.
    Text(TextEncoded),
    /// By a policy.
    Policy(Seen),
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
            DeviceKind::Wgpu | DeviceKind::Cuda => {}
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
            return Ok(Self::Text(TextProposer::load(files)?));
        }
        let device = DeviceKind::Cpu;
        Ok(Self::Policy(Policy::load(files, &device.open()?)?, device))
    }

    /// Where it computes: `cpu`, `wgpu` or `cuda`.
    pub fn backend(&self) -> &'static str {
        match self {
            Self::Engine(engine) => engine.backend().name,
            Self::Text(_) | Self::Policy(_, DeviceKind::Cpu) => "cpu",
            Self::Policy(_, DeviceKind::Wgpu) => "wgpu",
            Self::Policy(_, DeviceKind::Cuda) => "cuda",
        }
    }

    /// Name of the graphics card, where it is known.
    pub fn adapter(&self) -> Option<&str> {
        match self {
            Self::Engine(engine) => engine.backend().adapter.as_deref(),
            Self::Text(_) | Self::Policy(..) => None,
        }
    }

    /// Whether the graphics card is a software one: the processor, imitating a card.
    pub fn is_software(&self) -> bool {
        match self {
            Self::Engine(engine) => engine.backend().is_fallback,
            Self::Text(_) | Self::Policy(..) => false,
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
            Self::Text(policy) => Picture::Text(policy.look(picture, longest_edge)?),
            Self::Policy(policy, _) => {
                Picture::Policy(block_on(policy.look_upright(picture, longest_edge))?)
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
            (Self::Text(policy), Picture::Text(seen)) => {
                Ok(policy.propose(seen, question, options)?)
            }
            (Self::Policy(policy, _), Picture::Policy(seen)) => {
                Ok(block_on(policy.propose(seen, question, options))?)
            }
            _ => bail!("the picture was encoded by another model"),
        }
    }
}
