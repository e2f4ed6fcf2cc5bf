//! What crosses between the worker and the modules that it calls as libraries: files, pixels, boxes, serialized values.

use grounding::NormBox;
use js_sys::{Array, Float32Array, JsString, Uint8Array};
use picture::RgbImage;
use serde::Serialize;
use wasm_bindgen::{JsCast, JsError, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

use crate::protocol::FromWorker;

/// From now on a panic of a module that is called as a library ends the worker: the page is told why and starts another one.
pub fn hear_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("unknown").to_owned();
        if let Ok(message) = value(&FromWorker::Broken { why }) {
            let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
            let parts = Array::of2(&message, &JsValue::UNDEFINED);
            scope.post_message(&parts).ok();
        }
    }));
}

/// The files of a model folder from `[name, bytes]` pairs.
pub fn files(pairs: &Array) -> impl Iterator<Item = (String, Vec<u8>)> {
    pairs.iter().map(|pair| {
        let pair: Array = pair.unchecked_into();
        let name: JsString = pair.get(0).unchecked_into();
        let bytes: Uint8Array = pair.get(1).unchecked_into();
        (String::from(name), bytes.to_vec())
    })
}

/// RGB pixels, row by row.
///
/// # Errors
/// Pixels that make no whole rows.
pub fn pixels(values: Vec<u8>, width: u32) -> Result<RgbImage, JsError> {
    let height = values.len() / 3 / width.max(1) as usize;
    let whole = height * width as usize * 3 == values.len();
    let image = RgbImage::from_raw(width, height as u32, values);
    image
        .filter(|_| whole)
        .ok_or_else(|| JsError::new("the pixels make no whole rows"))
}

/// Edges of boxes, percent, four by four.
pub fn edges(boxes: impl IntoIterator<Item = NormBox>) -> Float32Array {
    let edges: Vec<f32> = boxes.into_iter().flat_map(NormBox::to_array).collect();
    Float32Array::from(edges.as_slice())
}

/// A value as JavaScript has it.
///
/// # Errors
/// A value that JavaScript does not have.
pub fn value(value: &impl Serialize) -> Result<JsValue, JsError> {
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::new())?)
}
