//! Weights that stay on this device: large files, kept in the browser's cache storage piece by piece as they come (`kept.js`). One whose
//! connection breaks goes on where it broke, at once, or at the next visit.
//!
//! A file that is kept is used where the host has the same one still, by its length and whatever else the host tells (`ETag`,
//! `Last-Modified`), and where no host answers. Where nothing may be kept (storage blocked, no room), it comes from the host each
//! time. The page says how much is kept, and removes it (`web/src/page/models.rs`).

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

#[wasm_bindgen(module = "/src/kept.js")]
extern "C" {
    #[wasm_bindgen(js_name = fetchKept)]
    fn fetch_js(url: &str, progress: &Closure<dyn FnMut(f64, JsValue)>) -> Promise;
    #[wasm_bindgen(js_name = forgetKept)]
    fn forget_js(folder: &str) -> Promise;
}

/// A file from what is kept, or from its host, and kept from now on. `on_progress` gets the bytes that came so far and those in all,
/// where the host says. The reply, and whether `on_progress` has heard of its bytes.
///
/// # Errors
/// No reply.
pub async fn fetch(
    url: &str,
    mut on_progress: impl FnMut(f64, Option<f64>) + 'static,
) -> Result<(Response, bool), JsValue> {
    let on_progress = Closure::<dyn FnMut(f64, JsValue)>::new(move |received, total: JsValue| {
        on_progress(received, total.as_f64());
    });
    let pair: Array = JsFuture::from(fetch_js(url, &on_progress))
        .await?
        .unchecked_into();
    Ok((pair.get(0).dyn_into()?, pair.get(1).is_truthy()))
}

/// Drops what is kept of a folder: it turned out broken.
pub async fn forget(folder: &str) {
    JsFuture::from(forget_js(folder)).await.ok();
}
