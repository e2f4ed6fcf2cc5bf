//! What can be wrong with a model folder, each in a sentence that names the file.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// A file or folder could not be read or written.
    #[error("{path}: cannot be read: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model folder lacks a file that is needed.
    #[error("the model folder has no {file} (it has: {present})")]
    MissingFile {
        /// Name of the file, without the folder.
        file: String,
        /// Names of the files that are there.
        present: String,
    },
    /// A JSON file could not be understood.
    #[error("{file}: {message}")]
    Json {
        /// Name of the file.
        file: String,
        /// What the parser said, with line and column.
        message: String,
    },
    /// A weight file is no safetensors file, or a truncated one.
    #[error("{file}: not a readable safetensors file: {message}; fetch it again")]
    Safetensors {
        /// Weight file.
        file: String,
        /// What the reader said.
        message: String,
    },
    /// A tensor's number type cannot be read.
    #[error("{file}: tensor {name} has type {actual}, expected {expected}")]
    TensorType {
        /// Weight file.
        file: String,
        /// Key of the tensor.
        name: String,
        /// Type in the file.
        actual: String,
        /// Types that are read.
        expected: &'static str,
    },
    /// A weight that is no number.
    #[error(
        "{file}: tensor {name} holds {value}: the file is damaged, or a training run diverged; get it again"
    )]
    NoNumber {
        /// Weight file.
        file: String,
        /// Key of the tensor.
        name: String,
        /// NaN or infinity.
        value: f32,
    },
    /// A value that blocks with f16 scales cannot hold.
    #[error("tensor {name} holds {value}: too large for q8 and q4, keep the weights as f32")]
    TooLarge {
        /// Key of the tensor.
        name: String,
        /// Its largest magnitude.
        value: f32,
    },
    /// A weight file is another than the index was written for.
    #[error(
        "{file}: its SHA-256 is {actual}, the index says {expected}: the file is damaged or another model's; get it again"
    )]
    Hash {
        /// Weight file.
        file: String,
        /// Hash in the index.
        expected: String,
        /// Hash of the bytes.
        actual: String,
    },
    /// Tensors are missing, unknown or of another shape than the configuration says.
    #[error("{file}: {problem}")]
    Tensors {
        /// Weight file.
        file: String,
        /// Which tensors, what was expected and what is there.
        problem: String,
    },
}
