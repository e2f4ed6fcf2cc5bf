//! The network on a graphics card, by WGSL kernels of our own: natively through Vulkan, Metal or DirectX 12, in a browser
//! through its WebGPU, which compiles the WGSL itself.
//!
//! The weights are uploaded once; a picture is one submission, of which only what a question needs comes back. Each
//! kernel has a file of WGSL and one of Rust beside it, and a test that holds it to its twin on the processor. No
//! workgroup has more than 256 invocations or 16 KB of memory, and no feature of a card is needed, so that whatever
//! speaks WebGPU can run them. Numbers are f32; where a card has f16 and [`check`] finds it precise enough, convolutions multiply in that.
//!
//! Maps lie as on the processor, channels last, but without a frame, and with their channels filled up to a multiple
//! of eight ([`maps::GpuMaps`]).
//!
//! Files: `native` and `browser`, one face of which a build has one, find an adapter; [`device`] the card and how results
//! come back, [`run`] one submission, `maps`; the kernels `stem` (convolution
//! of a grey picture), `conv` (all others), `norm`, `film`, `grow`, `beside`, `log_softmax`; `encoder` and `decoder`, the
//! network; apart from those, [`packed`], what a transformer needs.

#[cfg_attr(target_arch = "wasm32", path = "browser.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
mod adapter;
mod beside;
mod check;
mod conv;
mod decoder;
mod device;
mod encoder;
mod film;
mod grow;
mod log_softmax;
mod maps;
mod norm;
pub mod packed;
mod run;
mod stem;
#[cfg(test)]
mod tests;

pub use check::check;
pub use decoder::GpuDecoder;
pub use device::{Gpu, GpuError};
pub use encoder::GpuEncoder;
