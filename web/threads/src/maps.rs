//! Maps on their way between a module with threads and its caller.

use js_sys::{Array, Float32Array};
use kernels::Maps;
use wasm_bindgen::{JsCast, JsValue};

/// Maps as JavaScript: height, width, channels, values.
pub fn part(maps: &Maps) -> Array {
    let sides = [maps.height, maps.width, maps.channels];
    let part: Array = sides.iter().map(|n| JsValue::from(*n as u32)).collect();
    part.push(&Float32Array::from(maps.values.as_slice()));
    part
}

/// Maps that came by [`part`]; `None` where they are none.
pub fn read(part: JsValue) -> Option<Maps> {
    let part: Array = part.dyn_into().ok()?;
    let side = |i| part.get(i).as_f64().map(|n| n as usize);
    let (height, width, channels) = (side(0)?, side(1)?, side(2)?);
    let values = part.get(3).dyn_into::<Float32Array>().ok()?.to_vec();
    let whole = values.len() == height * width * channels;
    whole.then(|| Maps::from_values(height, width, channels, values))
}
