//! A model whose weights arrive byte by byte.

use cropvlm_web::exchange::{files, hear_panics};
use engine::{Quant, TextFilling, is_packed};
use js_sys::Array;
use tensors::ModelFiles;
use wasm_bindgen::prelude::*;

use crate::model::Model;

/// A call out of turn.
const FINISHED: &str = "this model is loaded already";

/// A model whose weights go to a graphics card.
#[cfg(feature = "webgpu")]
async fn on_card(files: &ModelFiles, quant: Option<Quant>) -> Result<TextFilling, JsError> {
    Ok(TextFilling::on_card(files, quant).await?)
}

#[cfg(not(feature = "webgpu"))]
#[allow(clippy::unused_async)] // as with WebGPU
async fn on_card(_: &ModelFiles, _: Option<Quant>) -> Result<TextFilling, JsError> {
    Err(JsError::new("this module has threads and no WebGPU"))
}

/// A text policy whose weight files arrive.
#[wasm_bindgen]
pub struct Loader(Option<TextFilling>);

#[wasm_bindgen]
impl Loader {
    /// Begins with a model folder without weights, `[name, bytes]` pairs, for the processor or for WebGPU. Weights that are not
    /// packed become q8 as they come.
    ///
    /// # Errors
    /// Files that are missing, broken or do not fit, by name; no WebGPU, or one that computes something else than the processor.
    pub async fn start(pairs: Array, webgpu: bool) -> Result<Loader, JsError> {
        hear_panics();
        let files = ModelFiles::from_memory(files(&pairs));
        let quant = (!is_packed(&files)).then_some(Quant::Q8);
        let filling = match webgpu {
            true => on_card(&files, quant).await?,
            false => TextFilling::new(&files, quant)?,
        };
        Ok(Loader(Some(filling)))
    }

    /// Takes what came next of a weight file.
    ///
    /// # Errors
    /// Bytes that are no weights; misshapen tensors, by name and file.
    pub fn push(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), JsError> {
        let filling = self.0.as_mut().ok_or(JsError::new(FINISHED))?;
        Ok(filling.push(name, &bytes)?)
    }

    /// All of a weight file came.
    ///
    /// # Errors
    /// A file that is cut, or is another one than the list of shards says.
    pub fn end(&mut self, name: &str) -> Result<(), JsError> {
        let filling = self.0.as_mut().ok_or(JsError::new(FINISHED))?;
        Ok(filling.end(name)?)
    }

    /// The policy, all of its weights there.
    ///
    /// # Errors
    /// Tensors that are missing, by name.
    pub fn finish(&mut self) -> Result<Model, JsError> {
        let filling = self.0.take().ok_or(JsError::new(FINISHED))?;
        Ok(Model::new(filling.finish()?))
    }
}
