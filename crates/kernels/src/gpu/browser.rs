//! Finds an adapter in a browser; its face is that of `native.rs`.
//!
//! `wgpu` takes for granted that it runs on a page or in a worker and that adapters tell of themselves; elsewhere (in Node, in
//! browsers from before 2024) it would end the program. So the browser is asked first, here.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_futures::wasm_bindgen::{JsCast, JsValue};
use wgpu::{Backends, Instance, InstanceDescriptor, PowerPreference, RequestAdapterOptions};

use super::device::{Found, GpuError};

/// The fastest adapter that the browser gives, `backends` permitting.
///
/// # Errors
/// [`GpuError::NoWebGpu`] and why.
pub(super) async fn find(backends: Backends) -> Result<Found, GpuError> {
    let none = GpuError::NoWebGpu;
    let gpu = of(&js_sys::global(), "navigator").and_then(|navigator| of(&navigator, "gpu"));
    let gpu = gpu.ok_or(none(
        "there is no WebGPU here (browsers have it on pages that are served securely)",
    ))?;
    let options = Object::new();
    // A property of a new object can always be set.
    Reflect::set(
        &options,
        &"powerPreference".into(),
        &"high-performance".into(),
    )
    .ok();
    let request = of(&gpu, "requestAdapter").and_then(|f| f.dyn_into::<Function>().ok());
    let asked = request.and_then(|request| request.call1(&gpu, &options).ok());
    let adapter = match asked.and_then(|promise| promise.dyn_into::<Promise>().ok()) {
        Some(promise) => JsFuture::from(promise).await.ok(),
        None => None,
    };
    let nothing = "the browser has WebGPU, and no graphics adapter for it";
    let adapter = adapter.filter(is_something).ok_or(none(nothing))?;
    let info = of(&adapter, "info").ok_or(none("the browser's WebGPU is older than 2024"))?;
    // What the browser tells: `google swiftshader`, `nvidia ada-lovelace`; a description where it is more open.
    let told = ["description", "vendor", "architecture"].map(|name| text(&info, name));
    let name = match told {
        [description, ..] if !description.is_empty() => description,
        [_, vendor, architecture] => [vendor, architecture].join(" ").trim().to_owned(),
    };
    let is_software = [&info, &adapter]
        .into_iter()
        .any(|holder| of(holder, "isFallbackAdapter").is_some_and(|flag| flag.is_truthy()))
        || name.to_lowercase().contains("swiftshader");
    let instance = Instance::new(InstanceDescriptor {
        backends,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let options = RequestAdapterOptions {
        power_preference: PowerPreference::HighPerformance,
        ..RequestAdapterOptions::default()
    };
    let adapter = instance.request_adapter(&options).await;
    Ok(Found {
        adapter: adapter.map_err(|_| none(nothing))?,
        name: if name.is_empty() {
            "WebGPU".to_owned()
        } else {
            name
        },
        is_software,
    })
}

/// A property that is there.
fn of(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(is_something)
}

fn is_something(value: &JsValue) -> bool {
    !value.is_undefined() && !value.is_null()
}

fn text(object: &JsValue, name: &str) -> String {
    of(object, name)
        .and_then(|value| value.as_string())
        .unwrap_or_default()
}
