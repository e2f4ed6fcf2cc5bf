//! What can go wrong with a map model, each in a sentence that says what to do.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// A configuration value that cannot be.
    #[error("config.json: {0}")]
    Config(String),
    /// A model folder that cannot be read, or whose tensors do not fit.
    #[error(transparent)]
    Folder(#[from] tensors::TensorError),
    /// Weights that the kernels have no place for.
    #[error("model.safetensors: {0}")]
    Kernel(#[from] kernels::KernelError),
    /// The network computed NaN or infinity.
    #[error("the device failed while computing: the maps hold NaN or infinity")]
    NotFinite,
    /// The encoder of somebody else failed, such as one on several threads.
    #[error("the device failed while computing: {0}")]
    Device(String),
    /// The graphics card failed.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] kernels::gpu::GpuError),
}
