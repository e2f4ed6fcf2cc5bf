//! SmolVLM (the Idefics3 architecture) in burn: image processor, tokenizer, vision tower,
//! connector, decoder, generation, weights in and out. Any size, from `config.json`; native and
//! in the browser from one code.
//!
//! ```
//! # use burn::tensor::Device;
//! # use smolvlm::{Sampling, SmolVlm, tiny};
//! use picture::RgbImage;
//! use rand::SeedableRng;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { pollster::block_on(async {
//! let model = SmolVlm::random(&tiny::files(), 1, &Device::flex())?;
//! let picture = RgbImage::new(64, 48);
//! let pictures = model.pictures(&[&picture], None)?;
//! let scene = model.read_pictures(&pictures, &model.encode(&pictures))?;
//! let prompt = model.ask(&scene, &grounding::prompt::policy_prompt("Total?", Default::default()))?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let grammar = model.grammar()?;
//! let boxes = model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng).await?;
//! println!("{} with a chance of {}", boxes[0].bbox.completion(), boxes[0].logprob.exp());
//! # Ok(()) }) }
//! ```

mod adapter;
mod config;
mod decoder;
mod error;
mod generate;
mod grammar;
mod image;
mod likelihood;
mod model;
mod pack;
mod params;
mod peft;
mod precision;
mod projection;
mod prompt;
mod smolvlm;
pub mod tiny;
mod vision;
mod weights;

pub use adapter::LoraConfig;
pub use config::{Config, MODEL_TYPES, TextConfig, VisionConfig};
pub use decoder::KvCache;
pub use error::{Result, SmolVlmError};
pub use generate::{BoxCompletion, Completion, Sampling, read};
pub use grammar::{ALPHABET, BoxGrammar, BoxState, Chosen};
pub use image::{ImageProcessor, Pictures};
pub use likelihood::{BoxLogProbs, TokenLogProbs};
pub use model::Idefics3;
pub use pack::{Quant, pack, pack_as, packing};
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS};
pub use projection::{Factors, Projection};
pub use prompt::Prompts;
pub use smolvlm::{Prompt, Scene, SmolVlm, settle};
pub use tensors::{BlockType, ModelFiles, Precision};
pub use weights::Filling;
