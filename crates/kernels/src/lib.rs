//! The map policy's network on a CPU, for looking and proposing: no gradients, one picture at a time. What training needs
//! lies apart, in [`learn`]; the same network on a graphics card in `gpu`, behind the feature of that name; what transformers
//! need, with packed weights, in [`packed`].
//!
//! burn turns a convolution into columns and a matrix product. Four fifths of this network's multiplications are
//! 3 x 3 convolutions of stride 1, of which Winograd's algorithm needs a fourth; the rest is read in place. The same
//! plain Rust serves native programs and wasm, by threads where there are some, and computes the same bits on all.
//!
//! Nothing here knows burn, pictures or policies, so that a module of these kernels alone can be built for the
//! browser's threads (`web/threads`). Read [`gemm`] (the inner loop), [`maps`] (feature maps and what is done element by
//! element), [`conv`] and [`winograd`] (convolutions), then [`Encoder`] and [`Decoder`], the network itself.

mod conv;
mod decoder;
mod encoder;
mod gemm;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod learn;
mod maps;
pub mod packed;
mod tensors;
#[cfg(test)]
mod tests;
mod winograd;

pub use decoder::Decoder;
pub use encoder::{Encoded, Encoder, Features, HALVES};
pub use maps::Maps;
pub use tensors::{GROUPS, KernelError, Tensors};

/// The larger of two numbers, none of them NaN. `f32::max` minds NaN, for which wasm has no vectors: a page of letters
/// took 35 ms with it.
#[inline(always)]
pub fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}
