//! SmolVLM (the Idefics3 architecture): image processor, tokenizer, vision tower, connector, decoder, generation, weights in
//! and out. Any size, from `config.json`; native and in the browser from one code.
//!
//! The network is here twice, held to the same numbers by tests: [`infer`], for use, on kernels of our own (the processor's
//! and, with the feature `gpu`, a graphics card's) with weights that stay packed; and, behind the feature `burn`, [`SmolVlm`],
//! for training and adapters.
//!
//! ```
//! use picture::RgbImage;
//! use rand::SeedableRng;
//! use smolvlm::{Sampling, infer, tiny};
//!
//! # pollster::block_on(async {
//! # let mut files = tiny::files();
//! # let weights = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/model.safetensors"));
//! # files.insert("model.safetensors", weights.to_vec());
//! // let files = ModelFiles::from_dir("SmolVLM-256M-Instruct".as_ref())?;
//! let model = infer::Model::load(&files)?;
//! let picture = RgbImage::new(64, 48);
//! let pictures = model.pictures(&[&picture], None)?;
//! let scene = model.read_pictures(&pictures, &model.encode(&pictures).await?).await?;
//! let prompt = model.ask(&scene, &grounding::prompt::policy_prompt("Total?", Default::default())).await?;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let grammar = model.grammar()?;
//! let boxes = model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng).await?;
//! println!("{} with a chance of {}", boxes[0].bbox.completion(), boxes[0].logprob.exp());
//! # Ok::<(), smolvlm::SmolVlmError>(()) }).unwrap();
//! ```

mod checklist;
mod completions;
mod config;
mod error;
mod grammar;
mod image;
pub mod infer;
mod positions;
mod prompt;
mod quant;
pub mod tiny;

#[cfg(feature = "burn")]
mod adapter;
#[cfg(feature = "burn")]
mod cast;
#[cfg(feature = "burn")]
mod decoder;
#[cfg(feature = "burn")]
mod generate;
#[cfg(feature = "burn")]
mod likelihood;
#[cfg(feature = "burn")]
mod model;
#[cfg(feature = "burn")]
mod pack;
#[cfg(feature = "burn")]
mod params;
#[cfg(feature = "burn")]
mod peft;
#[cfg(feature = "burn")]
mod precision;
#[cfg(feature = "burn")]
mod projection;
#[cfg(feature = "burn")]
mod rows;
#[cfg(feature = "burn")]
mod smolvlm;
#[cfg(feature = "burn")]
mod vision;
#[cfg(feature = "burn")]
mod weights;

pub use completions::{BoxCompletion, Completion, Sampling};
pub use config::{Config, MODEL_TYPES, TextConfig, VisionConfig, is_packed};
pub use error::{Result, SmolVlmError};
pub use grammar::{ALPHABET, BoxGrammar, BoxState, Chosen};
pub use image::{ImageProcessor, Pictures, Tiles};
pub use prompt::Prompts;
pub use quant::Quant;
pub use tensors::{BlockType, ModelFiles, Precision};

#[cfg(feature = "burn")]
pub use {
    adapter::LoraConfig,
    decoder::KvCache,
    generate::read,
    likelihood::{BoxLogProbs, TokenLogProbs},
    model::Idefics3,
    pack::{pack, pack_as, packing},
    peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS},
    projection::{Factors, Projection},
    rows::Grid,
    smolvlm::{Prompt, Scene, SmolVlm, settle},
    weights::Filling,
};
