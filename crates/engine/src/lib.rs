//! What the page, the npm package, Node and `cropvlm propose` call: load → choose device → encode → propose.
//!
//! ```text
//! Engine::load(files) → encode(picture) → propose(question), as often as wished
//! ```
//!
//! With the feature `text` there is [`Text`], too: SmolVLM as a policy that writes boxes, and as a reader that answers.
//!
//! There is one event type ([`Event`]), one error type with codes for programs ([`EngineError::code`]), and everything can
//! be cancelled: whoever calls hands in a [`Host`], which hears events, gives up its thread now and then, and says when to
//! stop. No globals, no threads of its own, and nothing written for people: that is the caller's.
//!
//! ```
//! use engine::{Device, EncodeOptions, Engine, ProposeOptions, Quiet};
//!
//! # pollster::block_on(async {
//! # let files = tensors::ModelFiles::from_dir(std::path::Path::new("../../models/default"))?;
//! let engine = Engine::load(&files, Device::Auto, &Quiet).await?;
//! let picture = picture::RgbImage::from_pixel(300, 400, image::Rgb([240, 238, 230]));
//! let encoded = engine.encode(&picture, &EncodeOptions::default(), &Quiet).await?;
//! let answer = engine.propose(&encoded, "What is the total?", &ProposeOptions::default(), &Quiet).await?;
//! println!("{} with a chance of {:.2}", answer.bbox, answer.confidence);
//! # Ok::<(), engine::EngineError>(()) }).unwrap();
//! ```

mod answer;
mod backend;
#[cfg_attr(not(feature = "gpu"), path = "no_card.rs")]
mod card;
mod error;
mod host;
#[cfg(feature = "text")]
mod text;

use std::sync::OnceLock;

pub use answer::{Answer, EncodeOptions, Encoded, Other, ProposeOptions};
pub use backend::{Backend, Reason};
use card::Card;
pub use error::EngineError;
pub use host::{Event, Host, Quiet, Stage};
use mapnet::{MODEL_TYPE, MapModel};
use tensors::ModelFiles;
#[cfg(feature = "text")]
pub use text::{Attention, Text, TextEncoded, TextFilling, TextToken};
/// What a [`Text`] has read, and an answer that it is writing.
#[cfg(feature = "text")]
pub use {
    smolvlm::infer::{Draft, Prompt},
    smolvlm::{Quant, Tiles, is_packed},
};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, EngineError>;

/// Longest question, in characters, that is read; a longer one is cut.
pub const MAX_QUESTION: usize = 10_000;

/// Where the network is to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Device {
    /// Wherever it is fastest.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A graphics card by Vulkan, Metal or DirectX 12, in a browser by WebGPU; the processor where there is none, or one that computes other
    /// numbers. [`Backend`] says so.
    Gpu,
}

/// A loaded map model on a device.
#[derive(Debug)]
pub struct Engine {
    model: MapModel,
    card: Option<Card>,
    backend: Backend,
    /// Set once, when the card has failed.
    without_card: OnceLock<Backend>,
}

impl Engine {
    /// Whether a model folder holds a model that this engine runs.
    ///
    /// # Errors
    /// A missing or broken `config.json`.
    pub fn runs(files: &ModelFiles) -> Result<bool> {
        Ok(model_type(files)? == MODEL_TYPE)
    }

    /// Loads a model folder (`config.json`, `model.safetensors`).
    ///
    /// A graphics card is used where it was asked for, or where it encodes a picture faster than the processor, and in
    /// either case only if it computes what the processor computes on a fixed input. [`Engine::backend`] says what came of it.
    /// A card that fails later is an error once; what comes after is computed on the processor.
    ///
    /// # Errors
    /// A folder of another kind of model; files that are missing, broken or do not fit, by name; cancelled.
    pub async fn load(files: &ModelFiles, device: Device, host: &impl Host) -> Result<Self> {
        host::step(host, Stage::Load).await?;
        let kind = model_type(files)?;
        if kind != MODEL_TYPE {
            return Err(EngineError::OtherModel(kind));
        }
        let model = MapModel::load(files)?;
        let (card, backend) = card::choose(files, &model, device, host).await?;
        host::step(host, Stage::Ready).await?;
        Ok(Self {
            model,
            card,
            backend,
            without_card: OnceLock::new(),
        })
    }

    /// Where the network runs, from now on: after a graphics card has failed, on the processor.
    pub fn backend(&self) -> &Backend {
        self.without_card.get().unwrap_or(&self.backend)
    }

    /// The graphics card, as long as it has not failed.
    fn card(&self) -> Option<&Card> {
        match self.without_card.get() {
            None => self.card.as_ref(),
            Some(_) => None,
        }
    }

    /// Notes what came of work on the graphics card: one that has failed is not used again.
    fn by_card<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(EngineError::Device(why)) = &result {
            let reason = Reason::Failed(why.to_string());
            self.without_card
                .get_or_init(|| Backend::cpu(Device::Gpu, reason));
        }
        result
    }

    /// The model.
    pub fn model(&self) -> &MapModel {
        &self.model
    }
}

/// `model_type` of a folder's `config.json`.
fn model_type(files: &ModelFiles) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Kind {
        model_type: String,
    }
    Ok(files.json::<Kind>("config.json")?.model_type)
}
