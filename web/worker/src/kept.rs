//! Weights that stay on this device: large files, kept in the browser's cache storage once they came whole.
//!
//! A file that is kept is used where the host has the same one still, by its length and whatever else the host tells (`ETag`,
//! `Last-Modified`), and where no host answers. Where nothing may be kept (storage blocked, no room), it comes from the host each
//! time. The page says how much is kept, and removes it (`web/src/page/models.rs`).

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

#[wasm_bindgen(inline_js = "
const NAME = 'cropvlm-models';
async function storage() {
  try { return await caches.open(NAME); } catch { return undefined; }
}
// Whether the host still has what is kept.
async function current(known, url) {
  let now;
  try { now = await fetch(url, { method: 'HEAD', cache: 'no-cache' }); } catch { return true; }
  if (!now.ok) return false;
  return ['etag', 'last-modified', 'content-length'].every((name) => {
    const [one, other] = [known.headers.get(name), now.headers.get(name)];
    return one === null || other === null || one === other;
  });
}
// The reply, and whether `progress` has heard of its bytes.
export async function fetchKept(url, progress) {
  const kept = await storage();
  const known = await kept?.match(url);
  if (known) {
    if (await current(known, url)) return [known, false];
    await kept.delete(url);
  }
  const response = await fetch(url);
  if (!kept || !response.ok || !response.body) return [response, false];
  const total = Number(response.headers.get('content-length')) || undefined;
  let received = 0;
  const counted = new TransformStream({
    transform(chunk, to) {
      received += chunk.byteLength;
      progress(received, total);
      to.enqueue(chunk);
    },
  });
  try {
    await kept.put(url, new Response(response.body.pipeThrough(counted), { headers: response.headers }));
    const whole = await kept.match(url);
    if (whole) return [whole, true];
  } catch {
    // No room, or the connection broke.
    await kept.delete(url).catch(() => {});
  }
  return [await fetch(url), false];
}
export async function forgetKept(folder) {
  const kept = await storage();
  for (const request of (await kept?.keys()) ?? []) if (request.url.startsWith(folder)) await kept.delete(request);
}
")]
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
