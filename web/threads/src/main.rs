//! The encoder on several CPU threads: a small wasm module of its own, built with atomics and shared memory.
//!
//! Of its own, because WebGPU (wgpu) cannot be built with atomics, and because a page that is not cross-origin isolated
//! may not share memory: there the caller's own code computes, on one thread. The caller (the page's worker, the npm package; both
//! by `cropvlm_threads::encoder`) loads this module beside itself and starts the threads, and [`LoadedEncoder::encode`] returns when all of them have
//! done their part. The kernels are the same, and so are the results, to the bit.
//!
//! The exported functions are called from one thread only, the caller's; the others run rayon's jobs.

use cropvlm_threads as _;
use js_sys::{Array, Float32Array, Uint32Array};
use kernels::{Encoder, Tensors};
use wasm_bindgen::prelude::*;

/// Nothing: threads come through here, too.
fn main() {}

/// A model's encoder.
#[wasm_bindgen]
pub struct LoadedEncoder(Encoder);

/// Builds an encoder from `[name, shape, values]` triples.
///
/// # Errors
/// What is wrong with the weights.
#[wasm_bindgen]
pub fn load(weights: &Array) -> Result<LoadedEncoder, JsError> {
    let tensor = |triple: JsValue| {
        let triple: Array = triple.unchecked_into();
        let name = triple.get(0).as_string().unwrap_or_default();
        let shape: Uint32Array = triple.get(1).unchecked_into();
        let values: Float32Array = triple.get(2).unchecked_into();
        let shape = shape.to_vec().into_iter().map(|n| n as usize).collect();
        (name, (shape, values.to_vec()))
    };
    let tensors: Tensors = weights.iter().map(tensor).collect();
    Ok(LoadedEncoder(Encoder::of(&tensors)?))
}

#[wasm_bindgen]
impl LoadedEncoder {
    /// Encodes a canvas, row by row: seven `[height, width, channels, values]`, in the order of `Encoded::parts`.
    ///
    /// # Errors
    /// A canvas of another size.
    pub fn encode(&self, pixels: Vec<f32>, height: usize, width: usize) -> Result<Array, JsError> {
        if pixels.len() != height * width || !height.is_multiple_of(32) || !width.is_multiple_of(32)
        {
            return Err(JsError::new("a canvas of another size"));
        }
        let encoded = self.0.encode(pixels, [height, width]);
        let part = |maps: &kernels::Maps| {
            let sides = [maps.height, maps.width, maps.channels];
            let part: Array = sides.iter().map(|n| JsValue::from(*n as u32)).collect();
            part.push(&Float32Array::from(maps.values.as_slice()));
            part
        };
        Ok(encoded.parts().into_iter().map(part).collect())
    }
}
