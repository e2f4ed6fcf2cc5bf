//! The encoder's module as its caller sees it: weights go in once, then canvases; maps come out.

use js_sys::{Array, Float32Array, Uint32Array};
use kernels::{Encoded, Encoder, Maps};
use tensors::{ModelFiles, SINGLE};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The module, its pool started.
    pub type Module;
    #[wasm_bindgen(method, catch)]
    fn load(this: &Module, weights: &Array) -> Result<Loaded, JsValue>;

    /// A model's encoder in it.
    type Loaded;
    #[wasm_bindgen(method, catch)]
    fn encode(
        this: &Loaded,
        pixels: &Float32Array,
        height: usize,
        width: usize,
    ) -> Result<Array, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn free(this: &Loaded) -> Result<(), JsValue>;
}

/// A map policy's encoder on several threads. Its memory in the module is given back when it is dropped.
pub struct ThreadedEncoder(Loaded);

impl ThreadedEncoder {
    /// Hands a model's weights to the module.
    ///
    /// # Errors
    /// Weights that cannot be read or do not fit: an error or a sentence.
    pub fn load(module: &Module, files: &ModelFiles) -> Result<Self, JsValue> {
        let weights = files
            .get(SINGLE)
            .and_then(|file| tensors::read(SINGLE, file));
        let weights = weights.map_err(|error| JsValue::from(error.to_string()))?;
        let triples: Array = weights
            .iter()
            .filter(|(name, _)| Encoder::wants(name))
            .map(|(name, (shape, values))| {
                let shape: Vec<u32> = shape.iter().map(|n| *n as u32).collect();
                Array::of3(
                    &name.into(),
                    &Uint32Array::from(shape.as_slice()),
                    &Float32Array::from(values.as_slice()),
                )
            })
            .collect();
        module.load(&triples).map(Self)
    }

    /// Encodes a canvas, `[height * width]` row by row, as `kernels::Encoder` does, to the bit.
    ///
    /// # Errors
    /// What the module says; it is not to be used any more.
    pub fn encode(&self, pixels: &[f32], [height, width]: [usize; 2]) -> Result<Encoded, JsValue> {
        let pixels = Float32Array::from(pixels);
        let parts = self.0.encode(&pixels, height, width)?;
        let parts: Option<Vec<Maps>> = parts.iter().map(maps).collect();
        let parts: [Maps; 7] = parts
            .and_then(|parts| parts.try_into().ok())
            .ok_or("the threads sent something else than maps")?;
        Ok(Encoded::from_parts(parts))
    }
}

impl Drop for ThreadedEncoder {
    fn drop(&mut self) {
        // A module that broke has nothing to give back.
        self.0.free().ok();
    }
}

/// One of the parts that the module sends: height, width, channels, values.
fn maps(part: JsValue) -> Option<Maps> {
    let part: Array = part.dyn_into().ok()?;
    let side = |i| part.get(i).as_f64().map(|n| n as usize);
    let (height, width, channels) = (side(0)?, side(1)?, side(2)?);
    let values = part.get(3).dyn_into::<Float32Array>().ok()?.to_vec();
    let whole = values.len() == height * width * channels;
    whole.then(|| Maps::from_values(height, width, channels, values))
}
