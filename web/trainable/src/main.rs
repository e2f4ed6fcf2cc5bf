//! What needs burn: WebGPU, and the lesson's gradients, in a module of its own.
//!
//! Of its own, because it is thirty times as large as what a proposal of the map policy needs. The worker
//! (`web/worker/src/second.rs`) loads it beside itself when it is asked for one of the two, and calls it as a library:
//! it hears no messages and knows no pictures by number. [`model`] is a policy on a device, [`pupil`] a map policy in its lesson.

mod model;
mod pupil;

use cropvlm_web::protocol::FromWorker;
use js_sys::Array;
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

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
    // A panic ends the worker: the page is told why and starts another one.
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("unknown").to_owned();
        let serializer = serde_wasm_bindgen::Serializer::new();
        if let Ok(message) = (FromWorker::Broken { why }).serialize(&serializer) {
            let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
            let parts = Array::of2(&message, &JsValue::UNDEFINED);
            scope.post_message(&parts).ok();
        }
    }));
}
