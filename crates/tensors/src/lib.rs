//! Model folders: names and bytes of their files, and the tensors in them.
//!
//! Everything that reads or writes weights goes through here: the command line, which has a file system, and the browser,
//! which has none. The `safetensors` crate is used directly, because a broken folder has to be explained by file, tensor
//! and shape.
//!
//! A tensor `NAME` of a small model may be stored as int8 with one f32 scale for each row of its first dimension in
//! `NAME.scale`: value = int8 * scale ([`write_q8`]). Vectors and small tensors stay f32.
//!
//! Large models are written as shards of typed blocks ([`write_shards`], [`BlockType`]): `NAME` of q8 is I8 of its shape, of q4
//! U8 with half the last dimension (the first of two values in the low half of the byte, plus 8), and `NAME.scales` is F16, one
//! scale for each 32 values of a row. The index is Hugging Face's and holds the shards' SHA-256. [`Weights`] reads such folders,
//! and those of plain numbers, tensor by tensor.
//!
//! ```
//! use tensors::{Precision, read, write};
//!
//! let weights = [("layer.weight".to_string(), (vec![2, 2], vec![1.0, 0.5, -0.25, 0.0]))];
//! let bytes = write("model.safetensors", weights.clone(), Precision::F32)?;
//! let found = read("model.safetensors", &bytes)?;
//! assert_eq!(found["layer.weight"], weights[0].1);
//! # Ok::<(), tensors::TensorError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))] // a panic is how a test fails

mod blocks;
mod error;
mod file;
mod files;
mod fit;
mod parts;
mod read;
mod search;
mod shards;
mod weights;
mod write;

pub use blocks::{BlockType, Packed};
pub use error::TensorError;
pub use file::WeightFile;
pub use files::ModelFiles;
pub use fit::fit;
pub use parts::Parts;
pub use read::{open_file, read, values};
/// A weight file's tensors as they lie in it.
pub use safetensors::{SafeTensors, tensor::TensorView};
pub use shards::{Entry, SHARD, shards, write_shards};
pub use weights::{About, Index, Weights};
pub use write::{Precision, quantize, write, write_q8};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, TensorError>;

/// Shape and values of one tensor.
pub type Values = (Vec<usize>, Vec<f32>);

/// The one weight file of a small model.
pub const SINGLE: &str = "model.safetensors";
/// The list of shards of a large one.
pub const INDEX: &str = "model.safetensors.index.json";
