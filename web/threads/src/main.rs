//! The map policy's network on several CPU threads: a small wasm module of its own, built with atomics and shared memory.
//!
//! Of its own, because WebGPU (wgpu) cannot be built with atomics, and because a page that is not cross-origin isolated
//! may not share memory: there the caller's own code computes, on one thread. The caller (the page's worker, the npm package; both
//! by `cropvlm_threads::net`) loads this module beside itself and starts the threads, and a call returns when all of them have
//! done their part. The kernels are the same, and so are the results, to the bit.
//!
//! The exported functions are called from one thread only, the caller's; the others run rayon's jobs.

use cropvlm_threads::maps::{part, read};
use js_sys::{Array, Float32Array, Uint32Array};
use kernels::{Decoder, Encoder, Features, Maps, Tensors};
use wasm_bindgen::prelude::*;

/// Nothing: threads come through here, too.
fn main() {}

/// A model's network.
#[wasm_bindgen]
pub struct LoadedNet {
    encoder: Encoder,
    decoder: Decoder,
}

/// Builds a network from `[name, shape, values]` triples.
///
/// # Errors
/// What is wrong with the weights.
#[wasm_bindgen]
pub fn load(weights: &Array) -> Result<LoadedNet, JsError> {
    let tensor = |triple: JsValue| {
        let triple: Array = triple.unchecked_into();
        let name = triple.get(0).as_string().unwrap_or_default();
        let shape: Uint32Array = triple.get(1).unchecked_into();
        let values: Float32Array = triple.get(2).unchecked_into();
        let shape = shape.to_vec().into_iter().map(|n| n as usize).collect();
        (name, (shape, values.to_vec()))
    };
    let tensors: Tensors = weights.iter().map(tensor).collect();
    Ok(LoadedNet {
        encoder: Encoder::of(&tensors)?,
        decoder: Decoder::of(&tensors)?,
    })
}

#[wasm_bindgen]
impl LoadedNet {
    /// Encodes a canvas, row by row: four maps, in the order of `Features::parts`.
    ///
    /// # Errors
    /// A canvas of another size.
    pub fn encode(&self, pixels: Vec<f32>, height: usize, width: usize) -> Result<Array, JsError> {
        if pixels.len() != height * width || !height.is_multiple_of(32) || !width.is_multiple_of(32)
        {
            return Err(JsError::new("a canvas of another size"));
        }
        let features = Features::from(self.encoder.encode(pixels, [height, width]));
        Ok(features.parts().into_iter().map(part).collect())
    }

    /// Decodes a question: `[maps, h, w/2]` from the features of three strides, a question's hints `[hints, h, w]` and how it steers
    /// the network.
    ///
    /// # Errors
    /// Something else than maps, hints of another size.
    pub fn decode(
        &self,
        levels: &Array,
        hints: Vec<f32>,
        steer: Vec<f32>,
    ) -> Result<Vec<f32>, JsError> {
        let levels: Option<Vec<Maps>> = levels.iter().map(read).collect();
        let levels: Option<[Maps; 3]> = levels.and_then(|levels| levels.try_into().ok());
        let levels = levels.ok_or_else(|| JsError::new("something else than maps"))?;
        let cells = levels[0].height * levels[0].width;
        if hints.len() != self.decoder.hints() * cells || steer.len() != self.decoder.steering() {
            return Err(JsError::new("hints of another size"));
        }
        Ok(self.decoder.decode(&levels, &hints, &steer))
    }
}
