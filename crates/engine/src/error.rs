//! What can go wrong, each with a code that a program can match.

use mapnet::MapError;
use picture::PictureError;
#[cfg(feature = "text")]
use smolvlm::SmolVlmError;
use tensors::TensorError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The host said to stop.
    #[error("cancelled")]
    Cancelled,
    /// Nothing was asked.
    #[error("the question is empty: type what you want to know about the picture")]
    EmptyQuestion,
    /// An option that cannot be.
    #[error("{name} is {found}: {wanted}")]
    Option {
        /// Which one.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// Bytes that are no picture, or one that is too large.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A folder that holds another kind of model.
    #[error("config.json: model_type is \"{0}\"; this engine runs \"cropvlm_map\"")]
    OtherModel(String),
    /// A folder that cannot be read, or whose files do not fit each other.
    #[error(transparent)]
    Folder(#[from] TensorError),
    /// The network.
    #[error(transparent)]
    Model(MapError),
    /// The device did not deliver.
    #[error(transparent)]
    Device(MapError),
    /// SmolVLM: a folder that does not fit, a prompt that is too long.
    #[cfg(feature = "text")]
    #[error(transparent)]
    Text(#[from] SmolVlmError),
}

impl From<MapError> for EngineError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Folder(error) => Self::Folder(error),
            MapError::NotFinite | MapError::Device(_) => Self::Device(error),
            #[cfg(feature = "gpu")]
            MapError::Gpu(_) => Self::Device(error),
            other => Self::Model(other),
        }
    }
}

impl EngineError {
    /// A code that does not change with the wording.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => "aborted",
            Self::EmptyQuestion => "empty-question",
            Self::Option { .. } => "bad-option",
            Self::Picture(
                PictureError::TooManyPixels { .. } | PictureError::SideTooLong { .. },
            ) => "image-too-large",
            Self::Picture(_) => "bad-image",
            Self::OtherModel(_) | Self::Folder(_) | Self::Model(_) => "bad-model",
            Self::Device(_) => "device-failed",
            #[cfg(feature = "text")]
            Self::Text(SmolVlmError::PromptTooLong { .. } | SmolVlmError::Argument { .. }) => {
                "bad-option"
            }
            #[cfg(all(feature = "text", feature = "gpu"))]
            Self::Text(SmolVlmError::Card(_)) => "device-failed",
            #[cfg(feature = "text")]
            Self::Text(_) => "bad-model",
        }
    }
}
