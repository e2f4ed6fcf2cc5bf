//! SmolVLM on the processor, without burn, in a module of its own: the text policy, and the reader that answers.
//!
//! Of its own, because the map policy needs none of it. The worker (`web/worker/src/second.rs`) loads it beside itself when a
//! folder holds a text policy, or when the page is to answer by itself, and calls it as a library. [`loader`] takes weights as
//! they arrive, [`model`] proposes, [`reader`] answers. It is built twice: as it stands, and with shared memory and several
//! threads, for pages that may share memory.

mod loader;
mod model;
mod reader;

#[cfg(feature = "threads")]
use cropvlm_threads as _;
use cropvlm_web::protocol::FromWorker;
use js_sys::Array;
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

/// Runs in every thread that joins; the hook is set by whoever loads a model.
fn main() {}

/// A panic ends the worker: the page is told why and starts another one.
fn hear_panics() {
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
