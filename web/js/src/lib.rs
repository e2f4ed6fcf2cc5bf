//! The npm package's WebAssembly: what `web/js/lib` calls.
//!
//! A thin face over `picture` (files in, crops out), `engine` (encode, propose) and `vlm-api` (messages for providers).
//! Results travel as JSON, pixels as bytes; errors are JavaScript errors with a `code`. Nothing here knows whether it runs in
//! a worker, on a page or in Node.

mod core;
mod messages;
mod pictures;

use js_sys::{Error, Reflect};
use wasm_bindgen::JsValue;

/// A JavaScript error with a code.
fn error(code: &str, message: &str) -> JsValue {
    let error = Error::new(message);
    // A property of a new object can always be set.
    Reflect::set(&error, &"code".into(), &code.into()).ok();
    error.into()
}
