//! The text policy: what the worker's runner calls.

use cropvlm_web::exchange::{edges, pixels, value};
use cropvlm_web::protocol::{Attention, Evidence, Tiles, Writing};
use engine::{Text, TextEncoded};
use js_sys::{Float32Array, Function};
use picture::RgbImage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wasm_bindgen::prelude::*;

/// A text policy, and a reader.
#[wasm_bindgen]
pub struct Model(pub(crate) Text);

/// A picture as a policy has encoded it.
#[wasm_bindgen]
pub struct Encoded(TextEncoded);

/// A picture as a text policy gets it.
#[wasm_bindgen]
pub struct Strip {
    pixels: Vec<u8>,
    tiles: Tiles,
}

impl Model {
    pub(crate) fn new(text: Text) -> Self {
        Self(text)
    }

    /// The longest edge of pictures, pixels.
    pub(crate) fn longest_edge(&self, tiles: u32) -> Option<u32> {
        Some(tiles.max(1) * self.0.tile() as u32)
    }
}

#[wasm_bindgen]
impl Model {
    /// Side of a tile, pixels.
    pub fn tile(&self) -> Option<u32> {
        Some(self.0.tile() as u32)
    }

    /// Encodes a picture with so many tiles along the longest edge.
    ///
    /// # Errors
    /// More tiles than the model takes.
    pub async fn encode(&self, rgb: Vec<u8>, width: u32, tiles: u32) -> Result<Encoded, JsError> {
        let picture = pixels(rgb, width)?;
        let encoded = self.0.encode(&picture, self.longest_edge(tiles));
        Ok(Encoded(encoded.await?))
    }

    /// Proposes a box: the proposal, and what the policy read and wrote for it. `on_token` gets the latter, as far as it is,
    /// token by token.
    ///
    /// # Errors
    /// A question that is too long; weights that compute no numbers.
    pub async fn propose(
        &self,
        encoded: &Encoded,
        question: String,
        on_token: Function,
    ) -> Result<JsValue, JsError> {
        let mut writing = Writing {
            prompt: self.0.prompt(&encoded.0, &question)?,
            tokens: Vec::new(),
        };
        let proposed = self.0.propose(&encoded.0, &question, |token| {
            writing.tokens.push((token.text, token.chance));
            if let Ok(so_far) = value(&writing) {
                on_token.call1(&JsValue::UNDEFINED, &so_far).ok();
            }
        });
        let proposal = proposed.await?;
        value(&(proposal, Some(writing)))
    }

    /// Draws boxes at temperature 1, always the same ones for a question; their edges, percent.
    ///
    /// # Errors
    /// As [`Model::propose`].
    pub async fn sample(
        &self,
        encoded: &Encoded,
        question: String,
        n: usize,
    ) -> Result<Float32Array, JsError> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let drawn = self.0.sample(&encoded.0, &question, n, &mut rng);
        Ok(edges(drawn.await?))
    }

    /// Where the policy looks.
    ///
    /// # Errors
    /// As [`Model::propose`].
    pub async fn attend(&self, encoded: &Encoded, question: String) -> Result<JsValue, JsError> {
        let found = self.0.attention(&encoded.0, &question).await?;
        let attention = Attention {
            map: Evidence::of(found.map.width, found.map.height, &found.map.values),
            bbox: found.bbox,
        };
        value(&Some(attention))
    }

    /// The picture as the policy gets it.
    ///
    /// # Errors
    /// More tiles than the model takes.
    pub fn strip(&self, rgb: Vec<u8>, width: u32, tiles: u32) -> Result<Option<Strip>, JsError> {
        let edge = self.longest_edge(tiles);
        let Some(cut) = self.0.tiles(&pixels(rgb, width)?, edge)? else {
            return Ok(None);
        };
        let images = cut.images.into_iter();
        Ok(Some(Strip {
            tiles: Tiles {
                tiles_per_edge: tiles,
                side: self.0.tile() as u32,
                rows: cut.rows as u32,
                columns: cut.columns as u32,
                tokens: cut.tokens as u32,
            },
            pixels: images.flat_map(RgbImage::into_raw).collect(),
        }))
    }
}

#[wasm_bindgen]
impl Strip {
    /// Its tiles one under the other, RGB, the global image last.
    pub fn pixels(&self) -> Vec<u8> {
        self.pixels.clone()
    }

    /// How they lie in the picture.
    ///
    /// # Errors
    /// None.
    pub fn tiles(&self) -> Result<JsValue, JsError> {
        value(&self.tiles)
    }
}
