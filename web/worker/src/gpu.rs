//! What the browser says about WebGPU: whether there is an adapter, and when a device is lost.
//!
//! The engine asks for its device through wgpu and does not tell when the browser takes it away again. The browser does:
//! `requestDevice` is wrapped once, before anybody calls it, and every device's `lost` promise is heard.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(inline_js = "
export async function adapterName() {
  try {
    const adapter = await self.navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) return undefined;
    const info = adapter.info ?? {};
    return info.description || info.architecture || info.vendor || 'unknown';
  } catch {
    return undefined;
  }
}
export function hearLost(lost) {
  const prototype = self.GPUAdapter?.prototype;
  if (!prototype) return;
  const original = prototype.requestDevice;
  prototype.requestDevice = async function (descriptor) {
    const device = await original.call(this, descriptor);
    device.lost.then((info) => lost(info.message || info.reason || 'unknown'));
    return device;
  };
}
")]
extern "C" {
    #[wasm_bindgen(js_name = adapterName)]
    async fn adapter_name_js() -> JsValue;
    #[wasm_bindgen(js_name = hearLost)]
    fn hear_lost_js(lost: &Closure<dyn FnMut(String)>);
}

/// The adapter's name, or `None` where there is no WebGPU.
pub async fn adapter_name() -> Option<String> {
    adapter_name_js().await.as_string()
}

/// Calls `lost` with the reason when a device that is requested from now on goes away.
pub fn hear_lost(lost: impl FnMut(String) + 'static) {
    let closure = Closure::new(lost);
    hear_lost_js(&closure);
    closure.forget(); // the devices may outlive anything here
}
