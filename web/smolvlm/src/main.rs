//! SmolVLM without burn, in a module of its own: the text policy, and the reader that answers.
//!
//! Of its own, because the map policy needs none of it. The worker (`web/worker/src/second.rs`) loads it beside itself when a
//! folder holds a text policy, or when the page is to answer by itself, and calls it as a library. [`loader`] takes weights as
//! they arrive, [`model`] proposes, [`reader`] answers. It is built twice: with WebGPU on one thread, and with shared memory and several
//! threads, for pages that may share memory.

mod loader;
mod model;
mod reader;

#[cfg(feature = "threads")]
use cropvlm_threads as _;

/// Runs in every thread that joins; the hook is set by whoever loads a model.
fn main() {}
