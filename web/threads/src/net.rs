//! The network's module as its caller sees it: weights go in once, then canvases and questions; maps come out.

use js_sys::{Array, Float32Array, Uint32Array};
use kernels::{Features, Maps};
use tensors::{ModelFiles, SINGLE};
use wasm_bindgen::prelude::*;

use crate::maps::{part, read};

#[wasm_bindgen]
extern "C" {
    /// The module, its pool started.
    pub type Module;
    #[wasm_bindgen(method, catch)]
    fn load(this: &Module, weights: &Array) -> Result<Loaded, JsValue>;

    /// A model's network in it.
    type Loaded;
    #[wasm_bindgen(method, catch)]
    fn encode(
        this: &Loaded,
        pixels: &Float32Array,
        height: usize,
        width: usize,
    ) -> Result<Array, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn decode(
        this: &Loaded,
        levels: &Array,
        hints: &Float32Array,
        steer: &Float32Array,
    ) -> Result<Float32Array, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn free(this: &Loaded) -> Result<(), JsValue>;
}

/// A map policy's encoder and decoder on several threads. Their memory in the module is given back when this is dropped.
pub struct ThreadedNet(Loaded);

impl ThreadedNet {
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
            // What words mean is the caller's business.
            .filter(|(name, _)| !name.starts_with("words."))
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
    pub fn encode(&self, pixels: &[f32], [height, width]: [usize; 2]) -> Result<Features, JsValue> {
        let pixels = Float32Array::from(pixels);
        let parts = self.0.encode(&pixels, height, width)?;
        let parts: Option<Vec<Maps>> = parts.iter().map(read).collect();
        let parts: [Maps; 4] = parts
            .and_then(|parts| parts.try_into().ok())
            .ok_or("the threads sent something else than maps")?;
        Ok(Features::from_parts(parts))
    }

    /// Decodes a question, as `kernels::Decoder` does, to the bit: `[maps, h, w/2]`.
    ///
    /// # Errors
    /// As [`ThreadedNet::encode`].
    pub fn decode(
        &self,
        levels: &[Maps; 3],
        hints: &[f32],
        steer: &[f32],
    ) -> Result<Vec<f32>, JsValue> {
        let levels: Array = levels.iter().map(part).collect();
        let (hints, steer) = (Float32Array::from(hints), Float32Array::from(steer));
        Ok(self.0.decode(&levels, &hints, &steer)?.to_vec())
    }
}

impl Drop for ThreadedNet {
    fn drop(&mut self) {
        // A module that broke has nothing to give back.
        self.0.free().ok();
    }
}
