//! A model whose weights arrive byte by byte.

use cropvlm_web::exchange::{files, hear_panics};
use engine::{Quant, TextFilling, is_packed};
use js_sys::Array;
use tensors::ModelFiles;
use wasm_bindgen::prelude::*;

use crate::model::Model;

/// A call out of turn.
const FINISHED: &str = "this model is loaded already";

/// A text policy whose weight files arrive.
#[wasm_bindgen]
pub struct Loader(Option<TextFilling>);

#[wasm_bindgen]
impl Loader {
    /// Begins with a model folder without weights, `[name, bytes]` pairs. Weights that are not packed become q8 as they come.
    ///
    /// # Errors
    /// Files that are missing, broken or do not fit, by name.
    pub async fn start(pairs: Array) -> Result<Loader, JsError> {
        hear_panics();
        let files = ModelFiles::from_memory(files(&pairs));
        let quant = (!is_packed(&files)).then_some(Quant::Q8);
        Ok(Loader(Some(TextFilling::new(&files, quant)?)))
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
