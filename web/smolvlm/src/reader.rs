//! The reader: answers about pictures, token by token.

use cropvlm_web::exchange::pixels;
use engine::Draft;
use js_sys::{Array, Uint8Array};
use picture::RgbImage;
use wasm_bindgen::prelude::*;

use crate::model::Model;

/// An answer that is being written.
#[wasm_bindgen]
pub struct Answer {
    draft: Draft,
    prompt_tokens: u32,
    tokens: u32,
    done: bool,
    log_prob: Option<f64>,
}

#[wasm_bindgen]
impl Model {
    /// Reads pictures, `[rgb, width]` pairs, each with so many tiles along its longest edge, and a text, to answer it with at most
    /// `max_tokens` tokens; how likely it finds the answer `weighed`, where there is one.
    ///
    /// # Errors
    /// Pictures and text that are too long for the model.
    pub async fn read(
        &self,
        pictures: Array,
        tiles: u32,
        text: String,
        max_tokens: usize,
        weighed: Option<String>,
    ) -> Result<Answer, JsError> {
        let mut images: Vec<RgbImage> = Vec::new();
        for pair in pictures.iter() {
            let pair: Array = pair.unchecked_into();
            let rgb: Uint8Array = pair.get(0).unchecked_into();
            let width = pair.get(1).as_f64().unwrap_or_default() as u32;
            images.push(pixels(rgb.to_vec(), width)?);
        }
        let images: Vec<&RgbImage> = images.iter().collect();
        let prompt = self
            .0
            .read(&images, self.longest_edge(tiles), &text)
            .await?;
        let log_prob = match weighed {
            Some(answer) => Some(self.0.log_prob(&prompt, &answer).await?),
            None => None,
        };
        Ok(Answer {
            log_prob,
            draft: self.0.draft(&prompt, max_tokens)?,
            prompt_tokens: prompt.tokens() as u32,
            tokens: 0,
            done: false,
        })
    }

    /// Writes one more token of an answer; the text so far.
    ///
    /// # Errors
    /// Weights that compute no numbers.
    pub async fn write(&self, answer: &mut Answer) -> Result<String, JsError> {
        if !answer.done {
            answer.done = !self.0.write_on(&mut answer.draft).await?;
            answer.tokens += 1;
        }
        Ok(self.0.drafted(&answer.draft)?)
    }
}

#[wasm_bindgen]
impl Answer {
    /// Whether all is written.
    pub fn done(&self) -> bool {
        self.done
    }

    /// Tokens of pictures and text.
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }

    /// Natural logarithm of the chance of the answer that was to be weighed.
    pub fn log_prob(&self) -> Option<f64> {
        self.log_prob
    }

    /// Tokens written.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }
}
