//! What can go wrong in the worker. Which kind it is decides what happens next; what it says is a sentence for a person, and travels
//! to the page as such.

use std::fmt;

use cropvlm_web::text;
use engine::EngineError;
use picture::PictureError;
use tensors::TensorError;
use wasm_bindgen::{JsCast, JsValue};

/// Result of this module.
pub type Result<T> = std::result::Result<T, WorkerError>;

/// What went wrong.
#[derive(Clone, Debug)]
pub enum WorkerError {
    /// A newer picture or question took this one's place.
    Superseded,
    /// The person stopped it.
    Stopped,
    /// A file of a model folder did not come.
    NotFetched {
        /// Its name.
        file: String,
        /// Why, in a few words.
        reason: String,
    },
    /// A model folder is none, or its files do not fit each other.
    Folder(String),
    /// The folder holds another kind of model.
    OtherModel(String),
    /// No network could be built of it.
    NotLoaded(Box<WorkerError>),
    /// Another module of this page did not come.
    NoModule(String),
    /// Threads that could not be started.
    NoThreads(String),
    /// The browser has no WebGPU.
    NoWebGpu,
    /// A device, or a module that computes on it, failed or refused.
    Device(String),
    /// The picture cannot be read, cut or encoded.
    Picture(String),
    /// The model gave no box.
    NoBox,
    /// The model has no attention to show.
    NoAttention,
    /// The model cannot be taught here.
    NoLesson,
    /// SmolVLM is to reward a lesson, and is not loaded.
    NoJudge,
    /// The folder cannot answer.
    NoReader,
    /// A fault of this page.
    Broken,
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Superseded => text::SUPERSEDED,
            Self::Stopped => text::STOPPED,
            Self::NoBox => text::NO_BOX,
            Self::NoAttention => text::NO_ATTENTION,
            Self::NoLesson => text::learn::NO_LESSON,
            Self::NoJudge => text::learn::NO_JUDGE,
            Self::NoReader => text::NO_READER,
            Self::NoWebGpu => "this browser offers no WebGPU",
            Self::Broken => text::BROKEN,
            Self::Folder(words)
            | Self::NoThreads(words)
            | Self::Device(words)
            | Self::Picture(words) => words,
            Self::NotFetched { file, reason } => {
                return f.write_str(&text::model_not_fetched(file, reason));
            }
            Self::OtherModel(kind) => return f.write_str(&text::other_model(kind)),
            Self::NotLoaded(why) => {
                return f.write_str(&text::model_not_loaded(&why.to_string()));
            }
            Self::NoModule(reason) => return f.write_str(&text::no_module(reason)),
        };
        f.write_str(words)
    }
}

impl std::error::Error for WorkerError {}

impl From<EngineError> for WorkerError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Cancelled => Self::Stopped,
            EngineError::OtherModel(kind) => Self::OtherModel(kind),
            EngineError::Folder(error) => error.into(),
            EngineError::Picture(error) => error.into(),
            other => Self::Device(other.to_string()),
        }
    }
}

impl From<TensorError> for WorkerError {
    fn from(error: TensorError) -> Self {
        Self::Folder(error.to_string())
    }
}

impl From<PictureError> for WorkerError {
    fn from(error: PictureError) -> Self {
        Self::Picture(error.to_string())
    }
}

/// What another module throws, or the browser.
impl From<JsValue> for WorkerError {
    fn from(error: JsValue) -> Self {
        Self::Device(said(error))
    }
}

/// What two modules hand each other does not fit.
impl From<serde_wasm_bindgen::Error> for WorkerError {
    fn from(error: serde_wasm_bindgen::Error) -> Self {
        Self::Device(error.to_string())
    }
}

/// What a JavaScript error says.
pub fn said(error: JsValue) -> String {
    match error.dyn_into::<js_sys::Error>() {
        Ok(error) => error.message().into(),
        Err(other) => other
            .as_string()
            .unwrap_or_else(|| "no reason was given".into()),
    }
}
