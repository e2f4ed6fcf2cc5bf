//! Model folders: names and bytes of their files, and the tensors in them.
//!
//! Everything that reads or writes weights goes through here: the command line, which has a file system, and the browser,
//! which has none. The `safetensors` crate is used directly, because a broken folder has to be explained by file, tensor
//! and shape.
//!
//! A tensor `NAME` may be stored as int8 with one f32 scale for each row of its first dimension in `NAME.scale`:
//! value = int8 * scale ([`write_q8`]). Vectors and small tensors stay f32.
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

mod error;
mod files;
mod fit;
mod read;
mod write;

pub use error::TensorError;
pub use files::ModelFiles;
pub use fit::fit;
pub use read::{open, open_file, read, values};
/// A weight file's tensors as they lie in it.
pub use safetensors::{SafeTensors, tensor::TensorView};
pub use write::{Precision, quantize, write, write_q8};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, TensorError>;

/// Shape and values of one tensor.
pub type Values = (Vec<usize>, Vec<f32>);

/// The one weight file of a small model.
pub const SINGLE: &str = "model.safetensors";
/// The list of shards of a large one.
pub const INDEX: &str = "model.safetensors.index.json";
