//! What needs burn: WebGPU, and the lesson's gradients, in a module of its own.
//!
//! Of its own, because it is thirty times as large as what a proposal of the map policy needs. The worker
//! (`web/worker/src/second.rs`) loads it beside itself when it is asked for one of the two, and calls it as a library:
//! it hears no messages and knows no pictures by number. [`model`] is a policy on a device, [`learner`] a map policy in its lesson.

mod learner;
mod model;

use cropvlm_web::exchange::hear_panics;

/// Runs the constructors of the crates below (burn's compiler of kernels registers some 5,000 things in this way), once.
///
/// A linker that sees nobody call them takes the module for a command that is run once and ends, and lets *every* call
/// into it begin with all of them: each number that JavaScript hands over, each callback.
#[allow(unsafe_code)]
fn construct() {
    unsafe extern "C" {
        // The linker makes this function; it takes nothing and gives nothing back.
        safe fn __wasm_call_ctors();
    }
    __wasm_call_ctors();
}

fn main() {
    construct();
    hear_panics();
}
