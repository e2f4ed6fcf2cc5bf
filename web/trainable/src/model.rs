//! A policy of either kind on a device: what the worker's runner calls.

use burn::tensor::Device;
use cropvlm_web::exchange::{edges, files, pixels, value};
use cropvlm_web::protocol::{Attention, Evidence, Tiles, Writing};
use js_sys::{Array, Float32Array, Function};
use picture::RgbImage;
use policy::{Filling, ModelFiles, Policy, ProposeOptions, SampleOptions, TextPolicy, Written};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wasm_bindgen::prelude::*;

/// A policy on a device.
#[wasm_bindgen]
pub struct Model(Policy);

/// A text policy whose weight files arrive one after the other.
#[wasm_bindgen]
pub struct Loader {
    filling: Option<Filling>,
    /// What has come of a file.
    coming: Vec<u8>,
}

#[wasm_bindgen]
impl Loader {
    /// Begins with a text policy's folder without weights, `[name, bytes]` pairs.
    ///
    /// # Errors
    /// No device; files that are missing, broken or do not fit, by name.
    pub async fn start(pairs: Array, webgpu: bool) -> Result<Loader, JsError> {
        let device = device(webgpu).await?;
        let files = ModelFiles::from_memory(files(&pairs));
        Ok(Loader {
            filling: Some(Filling::new(&files, &device)?),
            coming: Vec::new(),
        })
    }

    /// Takes what came next of a weight file.
    ///
    /// # Errors
    /// None: a file is read when it is whole.
    pub fn push(&mut self, _name: &str, bytes: Vec<u8>) -> Result<(), JsError> {
        self.coming.extend(bytes);
        Ok(())
    }

    /// All of a weight file came; blocks become f32.
    ///
    /// # Errors
    /// A file that is another one than the list of shards says, or does not fit, by name.
    pub fn end(&mut self, name: &str) -> Result<(), JsError> {
        let filling = self.filling.as_mut().ok_or(JsError::new(FINISHED))?;
        Ok(filling.add(name, &std::mem::take(&mut self.coming))?)
    }

    /// The policy, all of its weights there.
    ///
    /// # Errors
    /// Tensors that are missing, by name.
    pub fn finish(&mut self) -> Result<Model, JsError> {
        let filling = self.filling.take().ok_or(JsError::new(FINISHED))?;
        Ok(Model(Policy::Text(TextPolicy::new(filling.finish()?)?)))
    }
}

/// A call out of turn.
const FINISHED: &str = "this model is loaded already";

async fn device(webgpu: bool) -> Result<Device, JsError> {
    Ok(match webgpu {
        true => Device::wgpu_options().init_async().await?,
        false => Device::flex(),
    })
}

/// A picture as a policy has encoded it.
#[wasm_bindgen]
pub struct Encoded(policy::Encoded);

/// A picture as a text policy gets it.
#[wasm_bindgen]
pub struct Strip {
    pixels: Vec<u8>,
    tiles: Tiles,
}

#[wasm_bindgen]
impl Model {
    /// Loads a model folder, `[name, bytes]` pairs, on WebGPU or the CPU.
    ///
    /// # Errors
    /// No device; files that are missing, broken or do not fit, by name.
    pub async fn load(pairs: Array, webgpu: bool) -> Result<Model, JsError> {
        let device = device(webgpu).await?;
        let files = ModelFiles::from_memory(files(&pairs));
        Ok(Model(Policy::load(&files, &device)?))
    }

    /// Side of a text policy's tile, pixels; a map policy has none.
    pub fn tile(&self) -> Option<u32> {
        self.0.abilities().tile
    }

    /// Encodes a picture the way up in which it can be read. `tiles` along the longest edge are for a text policy.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn encode(&self, rgb: Vec<u8>, width: u32, tiles: u32) -> Result<Encoded, JsError> {
        let picture = pixels(rgb, width)?;
        let encoded = self.0.encode_upright(&picture, self.longest_edge(tiles));
        Ok(Encoded(encoded.await?))
    }

    /// Proposes a box: the proposal, and what a text policy read and wrote for it, or nothing. `on_token` gets the latter,
    /// as far as it is, token by token.
    ///
    /// # Errors
    /// A question that is too long; a device that failed.
    pub async fn propose(
        &self,
        encoded: &Encoded,
        question: String,
        on_token: Function,
    ) -> Result<JsValue, JsError> {
        let options = ProposeOptions::default();
        let (Policy::Text(policy), policy::Encoded::Text(encoded)) = (&self.0, &encoded.0) else {
            let proposal = self.0.propose(&encoded.0, &question, &options).await?;
            return value(&(proposal, None::<Writing>));
        };
        let mut writing = Writing {
            prompt: policy.prompt(encoded, &question)?,
            tokens: Vec::new(),
        };
        let on_token = |token: Written| {
            writing.tokens.push((token.text, token.chance));
            if let Ok(so_far) = value(&writing) {
                on_token.call1(&JsValue::UNDEFINED, &so_far).ok();
            }
        };
        let proposed = policy.propose_streamed(encoded, &question, &options, on_token);
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
        // Shares of the draws are then the policy's own chances.
        let options = SampleOptions {
            n,
            temperature: 1.0,
            ..SampleOptions::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let drawn = self.0.sample(&encoded.0, &question, &options, &mut rng);
        Ok(edges(drawn.await?.into_iter().filter_map(|r| r.bbox)))
    }

    /// Where a text policy looks; nothing for a map policy.
    ///
    /// # Errors
    /// As [`Model::propose`].
    pub async fn attend(&self, encoded: &Encoded, question: String) -> Result<JsValue, JsError> {
        let (Policy::Text(policy), policy::Encoded::Text(encoded)) = (&self.0, &encoded.0) else {
            return value(&None::<Attention>);
        };
        let found = policy.attention(encoded, &question).await?;
        let attention = Attention {
            map: Evidence::of(found.map.width, found.map.height, &found.map.values),
            bbox: found.bbox,
        };
        value(&Some(attention))
    }

    /// The picture as a text policy gets it; nothing for a map policy.
    ///
    /// # Errors
    /// A longest edge that the model does not take.
    pub fn strip(&self, rgb: Vec<u8>, width: u32, tiles: u32) -> Result<Option<Strip>, JsError> {
        let Policy::Text(policy) = &self.0 else {
            return Ok(None);
        };
        let cut = policy.tiles(&pixels(rgb, width)?, self.longest_edge(tiles))?;
        Ok(Some(Strip {
            tiles: Tiles {
                tiles_per_edge: tiles,
                side: policy.tile() as u32,
                rows: cut.rows as u32,
                columns: cut.columns as u32,
                tokens: cut.tokens as u32,
            },
            pixels: cut
                .images
                .into_iter()
                .flat_map(RgbImage::into_raw)
                .collect(),
        }))
    }

    /// The longest edge of pictures, pixels; a map policy's is its own.
    fn longest_edge(&self, tiles: u32) -> Option<u32> {
        self.tile().map(|tile| tiles.max(1) * tile)
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
