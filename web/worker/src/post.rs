//! The way back to the page, and the clock.

use cropvlm_web::protocol::FromWorker;
use js_sys::{Array, Promise, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, DedicatedWorkerGlobalScope};

/// This worker.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Posts a message.
pub fn message(message: &FromWorker) {
    post(message, &JsValue::UNDEFINED);
}

/// Posts a message with a file.
pub fn with_file(message: &FromWorker, file: &[u8], media_type: &str) {
    let options = BlobPropertyBag::new();
    options.set_type(media_type);
    let parts = Array::of1(&Uint8Array::from(file));
    match Blob::new_with_u8_array_sequence_and_options(&parts, &options) {
        Ok(blob) => post(message, &blob),
        Err(error) => web_sys::console::error_1(&error),
    }
}

fn post(message: &FromWorker, payload: &JsValue) {
    // Not a `Result` that anyone could act on: a message of ours always serializes.
    if let Ok(message) = message.serialize(&serde_wasm_bindgen::Serializer::new()) {
        scope().post_message(&Array::of2(&message, payload)).ok();
    }
}

/// Milliseconds since the worker started.
pub fn now() -> f64 {
    scope()
        .performance()
        .map(|clock| clock.now())
        .unwrap_or_default()
}

/// Lets other tasks run, messages of the page among them, for at least this many milliseconds.
pub async fn pause(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        scope()
            .set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds)
            .ok();
    });
    JsFuture::from(promise).await.ok();
}

/// Says on the console what nobody has to act on.
pub fn warn(what: &str) {
    web_sys::console::warn_1(&what.into());
}
