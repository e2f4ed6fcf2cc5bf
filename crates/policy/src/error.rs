//! What can go wrong with a policy, each in a sentence that says what to do.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Nothing was asked.
    #[error("the question is empty: type what you want to know about the picture")]
    EmptyQuestion,
    /// `config.json` names a model that is not known here.
    #[error(
        "config.json: model_type is \"{0}\"; a cropping policy is \"cropvlm_map\", \"idefics3\" or \"smolvlm\""
    )]
    UnknownModel(String),
    /// A picture was encoded by one kind of policy and asked of the other.
    #[error("the picture was encoded by another policy: encode it again with this one")]
    WrongPicture,
    /// A group of rollouts that cannot be measured.
    #[error("the group of rollouts {0}")]
    Rollouts(String),
    /// A temperature at which nothing can be drawn.
    #[error("the temperature is {0}: it has to be a number above 0")]
    Temperature(f64),
    /// Something that the map policy does not have.
    #[error("{0}: the map policy has no adapter; only a text policy (idefics3) takes one")]
    NoAdapter(String),
    /// A configuration value that cannot be.
    #[error("config.json: {0}")]
    Config(String),
    /// The device did not deliver.
    #[error("the device failed while computing: {0}")]
    Device(String),
    /// From the model folder.
    #[error(transparent)]
    Folder(#[from] tensors::TensorError),
    /// From the map policy's plain side.
    #[error(transparent)]
    Map(#[from] mapnet::MapError),
    /// From SmolVLM.
    #[error(transparent)]
    SmolVlm(#[from] smolvlm::SmolVlmError),
}
