//! SmolVLM (the Idefics3 architecture) in burn: image processor, tokenizer, model, generation,
//! weights in and out.

mod error;
mod files;

pub use error::{Result, SmolVlmError};
pub use files::ModelFiles;
