//! The one error type of this crate: each variant names the item, what was expected and what
//! was found, so that a broken model folder is explained in one sentence.

use thiserror::Error;

/// What can go wrong between a model folder and a proposal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SmolVlmError {
    /// The model folder, a file of it, or a tensor's number type cannot be read.
    #[error(transparent)]
    Folder(#[from] tensors::TensorError),
    /// A setting of a file is outside what this crate implements.
    #[error("{file}: {item} is {actual}, but {expected}")]
    Unsupported {
        /// Name of the file.
        file: String,
        /// The setting.
        item: String,
        /// What would be understood.
        expected: String,
        /// What stands there.
        actual: String,
    },
    /// Tensors that the manifest asks for are not in the file.
    #[error("{file}: tensor {name} is missing (expected shape {expected:?}){more}")]
    MissingTensor {
        /// Weight file.
        file: String,
        /// Key of the first missing tensor.
        name: String,
        /// Its shape according to `config.json`.
        expected: Vec<usize>,
        /// " and N more" or nothing.
        more: String,
    },
    /// The file holds tensors that the model has no place for.
    #[error("{file}: tensor {name} (shape {actual:?}) has no place in the model of {by}{more}")]
    ExtraTensor {
        /// Weight file.
        file: String,
        /// Key of the first extra tensor.
        name: String,
        /// Its shape in the file.
        actual: Vec<usize>,
        /// The file that says which tensors there are.
        by: &'static str,
        /// " and N more" or nothing.
        more: String,
    },
    /// A tensor has another shape than `config.json` asks for.
    #[error("{file}: tensor {name} has shape {actual:?}, expected {expected:?} by {by}")]
    TensorShape {
        /// Weight file.
        file: String,
        /// Key of the tensor.
        name: String,
        /// Shape according to `by`.
        expected: Vec<usize>,
        /// Shape in the file.
        actual: Vec<usize>,
        /// The file that says which shape it has.
        by: &'static str,
    },
    /// The tokenizer failed.
    #[error("tokenizer.json: {message}")]
    Tokenizer {
        /// What the tokenizer said.
        message: String,
    },
    /// Numbers that the model computed and that are none.
    #[error(
        "the model computed {value} among the {item}: its weights do not work, or the device failed"
    )]
    Computed {
        /// What was computed.
        item: String,
        /// NaN or infinity.
        value: f32,
    },
    /// The prompt does not fit the model.
    #[error(
        "the prompt has {actual} tokens, the model takes at most {expected}: shorten the question or lower the longest edge"
    )]
    PromptTooLong {
        /// `max_position_embeddings`, less the tokens reserved for the completion.
        expected: usize,
        /// Tokens of the prompt.
        actual: usize,
    },
    /// An argument of a call makes no sense.
    #[error("{item}: expected {expected}, got {actual}")]
    Argument {
        /// Name of the argument.
        item: String,
        /// What would be accepted.
        expected: String,
        /// What was given.
        actual: String,
    },
    /// A graphics card that was not found, computes something else than the processor, or failed.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Card(#[from] kernels::gpu::GpuError),
    /// A value could not be read back from the device.
    #[error("cannot read {item} back from the device: {message}")]
    Readback {
        /// What was read.
        item: String,
        /// What the device said.
        message: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, SmolVlmError>;
