//! What the page, the npm package, Node and `cropvlm propose` call: load → choose device → encode → propose.
//!
//! ```text
//! Engine::load(files) → encode(picture) → propose(question), as often as wished
//! ```
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
mod error;
mod host;

pub use answer::{Answer, EncodeOptions, Encoded, Other, ProposeOptions};
pub use error::EngineError;
pub use host::{Event, Host, Quiet, Stage};
use mapnet::{MODEL_TYPE, MapModel};
use tensors::ModelFiles;

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
    /// A graphics card by WebGPU, Vulkan, Metal or DirectX; the processor where there is none.
    Gpu,
}

/// Where the network runs, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `cpu`.
    pub name: &'static str,
    /// Name of the graphics card.
    pub adapter: Option<String>,
    /// Whether another device was asked for.
    pub is_fallback: bool,
    /// Why this one, in a word or two.
    pub reason: &'static str,
}

/// A loaded map model on a device.
#[derive(Debug)]
pub struct Engine {
    model: MapModel,
    backend: Backend,
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
    /// # Errors
    /// A folder of another kind of model; files that are missing, broken or do not fit, by name; cancelled.
    pub async fn load(files: &ModelFiles, device: Device, host: &impl Host) -> Result<Self> {
        host::step(host, Stage::Load).await?;
        let kind = model_type(files)?;
        if kind != MODEL_TYPE {
            return Err(EngineError::OtherModel(kind));
        }
        let model = MapModel::load(files)?;
        host::step(host, Stage::Ready).await?;
        Ok(Self {
            model,
            backend: Backend::of(device),
        })
    }

    /// Where the network runs.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The model.
    pub fn model(&self) -> &MapModel {
        &self.model
    }
}

impl Backend {
    /// The processor, which is the only device so far.
    fn of(device: Device) -> Self {
        let (is_fallback, reason) = match device {
            Device::Auto => (false, "fastest"),
            Device::Cpu => (false, "asked for"),
            Device::Gpu => (true, "no graphics card is used by this build"),
        };
        Self {
            name: "cpu",
            adapter: None,
            is_fallback,
            reason,
        }
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
