//! The map policy for use: a picture and a question → a distribution over boxes → the box to look at.
//!
//! ```text
//! picture → canvas → encoder → image features, char logits → text index      once a picture
//! question → vector, hints → decoder → maps → distribution over boxes → box  once a question
//! ```
//!
//! The network is convolutional. Its encoder sees the picture without the question and reads: every half cell (4 x 8 px)
//! gets logits for each character. Texts that a question names are searched among them and drawn as maps; a reader of bytes
//! turns the question into a vector; a light decoder draws, for each cell, a logit and four edge distributions. It all runs
//! on [`kernels`], on a CPU, without gradients; with the feature `gpu` the network may run on a graphics card (`gpu`). `policy` holds the trainable twin, and tests hold both to the same numbers.
//!
//! Files: [`config`] the shape, [`manifest`] its tensors, [`canvas`] picture → network input, [`model`] the network,
//! [`question`] text → vector, [`char_logits`] reading, [`text_search`] finding a text, [`words`] what words mean,
//! [`hints`] what was found as maps,
//! [`boxes`] the distribution, [`others`] further places, [`upright`], [`turn`] and [`tilt`] which way up a picture is,
//! [`mod@print`] how large letters are, [`proposal`] the result.
//!
//! ```
//! use mapnet::{MapConfig, MapModel};
//!
//! # pollster::block_on(async {
//! let model = MapModel::blank(&MapConfig::tiny())?; // in earnest: MapModel::load(&files)
//! let picture = picture::RgbImage::from_pixel(90, 120, image::Rgb([200, 190, 180]));
//! let features = model.encode(&picture, None).await?; // once a picture
//! let proposal = model.propose(&features, "What is the total?")?;
//! println!("{} at log p {:.2}", proposal.completion, proposal.logprob);
//! assert!(proposal.valid);
//! # Ok::<(), mapnet::MapError>(()) }).unwrap();
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))] // a panic is how a test fails

pub mod boxes;
pub mod canvas;
pub mod char_logits;
pub mod config;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod hints;
pub mod manifest;
pub mod model;
pub mod others;
pub mod print;
pub mod proposal;
pub mod question;
pub mod text_search;
pub mod tilt;
pub mod turn;
pub mod upright;
pub mod words;

pub use boxes::BoxDistribution;
pub use config::{Calibration, Doubt, MapConfig, Odds, Presence, PrintCanvas};
pub use error::MapError;
pub use model::{ImageFeatures, MapModel};
pub use proposal::{EvidenceMap, Proposal, Timings};
pub use text_search::TextIndex;
pub use turn::Turn;
pub use words::Words;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, MapError>;

/// `model_type` of a map policy's `config.json`.
pub const MODEL_TYPE: &str = "cropvlm_map";

/// Refuses what is no number.
///
/// # Errors
/// [`MapError::NotFinite`].
pub fn finite(values: &[f32]) -> Result<()> {
    use rayon::prelude::*;
    // A whole piece at a time: no branch a value, and every core has some.
    let finite = |piece: &[f32]| piece.iter().fold(true, |all, v| all & v.is_finite());
    match values.par_chunks(1 << 16).all(finite) {
        true => Ok(()),
        false => Err(MapError::NotFinite),
    }
}
