//! What a transformer needs to answer on a processor, its weights as they are packed: q8 and q4 blocks, f16, bf16, f32.
//!
//! Read `lanes` (vectors chosen at run time), `activations` (16-bit integers with a scale for 32 of them), `product` (the
//! inner loop), [`Linear`] (a layer's weights), [`products()`] (how its work is shared among threads), [`attend`] and [`Segment`]
//! (attention without a matrix of scores, over keys and values that many prompts may share), `elements` (norms,
//! activations, positions).
//!
//! ```
//! use kernels::packed::{Activations, Job, Linear, Then, products};
//!
//! // Two outputs from three inputs; a row of q8 with its scale.
//! let layer = Linear::q8([2, 3], &[1, 2, 3, 4, 5, 6], &[0.5, 1.0], None);
//! let mut out = [0.0; 2];
//! let x = Activations::new(&[1.0, 0.0, 2.0], 3);
//! products(&x, &mut [Job::new(&layer, &mut out, Then::Set)]);
//! assert!((out[0] - 3.5).abs() < 1e-3 && (out[1] - 16.0).abs() < 1e-3);
//! ```

mod activations;
mod attention;
mod elements;
mod lanes;
mod linear;
mod product;
mod products;
#[cfg(target_feature = "simd128")]
mod simd128;
#[cfg(test)]
mod tests;

pub use activations::Activations;
pub use attention::{Heads, Segment, attend, attention_of_last};
pub use elements::{gelu_tanh, layer_norm, rms_norm, rotate, rotations, silu, swiglu};
pub use lanes::Instructions;
pub use linear::{HalfKind, Linear};
pub use products::{Job, Then, products};

/// Weights that share a scale, as in `tensors`.
pub const BLOCK: usize = 32;
/// Pairs of a block.
const PAIRS: usize = BLOCK / 2;
/// Outputs of a panel.
const WIDTH: usize = 16;
