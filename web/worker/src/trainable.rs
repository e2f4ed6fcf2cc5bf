//! The second module (`web/trainable`): loaded beside this one when the text policy, WebGPU or the lesson is asked for.
//!
//! It is called as a library, in this very thread. What it computes is awaited here; pixels and weights are copied into its
//! memory.

use cropvlm_web::lesson::{Lesson, Settings, Step};
use cropvlm_web::protocol::{Attention, Tiles, Writing};
use cropvlm_web::text;
use grounding::NormBox;
use js_sys::{Array, Float32Array, Uint8Array};
use mapnet::Proposal;
use picture::RgbImage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tensors::ModelFiles;
use wasm_bindgen::prelude::*;

use crate::fetch::Folder;
use crate::post;

#[wasm_bindgen(inline_js = "
let tries = 0;
let module;
export async function loadTrainable() {
  if (module) return module;
  const here = new URL(self.location.href);
  const address = new URL('trainable/trainable.js', here);
  // A page of one build never runs a module of another (xtask/src/copy.rs).
  address.search = here.search;
  // Browsers remember that a script did not come: the next try goes to another address.
  if (tries++) address.searchParams.set('try', tries);
  const loaded = await import(address.href);
  await loaded.default();
  return (module = loaded);
}
")]
extern "C" {
    #[wasm_bindgen(js_name = loadTrainable, catch)]
    async fn load_js() -> Result<JsValue, JsValue>;

    type Module;
    #[wasm_bindgen(method, getter = Model)]
    fn models(this: &Module) -> Models;
    #[wasm_bindgen(method, getter = Loader)]
    fn loaders(this: &Module) -> Loaders;
    #[wasm_bindgen(method, getter = Pupil)]
    fn pupils(this: &Module) -> Pupils;

    /// The class of [`ModelJs`].
    type Models;
    #[wasm_bindgen(method, catch)]
    async fn load(this: &Models, files: Array, webgpu: bool) -> Result<JsValue, JsValue>;

    /// The class of [`LoaderJs`].
    type Loaders;
    #[wasm_bindgen(method, catch, js_name = start)]
    async fn start_loading(this: &Loaders, files: Array, webgpu: bool) -> Result<JsValue, JsValue>;

    type LoaderJs;
    #[wasm_bindgen(method, catch)]
    fn add(this: &LoaderJs, name: &str, bytes: Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn finish(this: &LoaderJs) -> Result<JsValue, JsValue>;

    type ModelJs;
    #[wasm_bindgen(method)]
    fn tile(this: &ModelJs) -> Option<u32>;
    #[wasm_bindgen(method, catch)]
    async fn encode(
        this: &ModelJs,
        rgb: Uint8Array,
        width: u32,
        tiles: u32,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn propose(
        this: &ModelJs,
        encoded: &JsValue,
        question: &str,
        on_token: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn sample(
        this: &ModelJs,
        encoded: &JsValue,
        question: &str,
        n: usize,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn attend(this: &ModelJs, encoded: &JsValue, question: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn strip(
        this: &ModelJs,
        rgb: Uint8Array,
        width: u32,
        tiles: u32,
    ) -> Result<Option<StripJs>, JsValue>;

    type StripJs;
    #[wasm_bindgen(method)]
    fn pixels(this: &StripJs) -> Uint8Array;
    #[wasm_bindgen(method, catch)]
    fn tiles(this: &StripJs) -> Result<JsValue, JsValue>;

    /// The class of [`PupilJs`].
    type Pupils;
    #[wasm_bindgen(method, catch)]
    async fn start(
        this: &Pupils,
        files: Array,
        rgb: Uint8Array,
        width: u32,
    ) -> Result<JsValue, JsValue>;

    type PupilJs;
    #[wasm_bindgen(method)]
    fn learns(this: &PupilJs, question: &str, answer: &str) -> bool;
    #[wasm_bindgen(method)]
    fn begin(this: &PupilJs, question: &str, answer: &str);
    #[wasm_bindgen(method)]
    fn has_group(this: &PupilJs) -> bool;
    #[wasm_bindgen(method, catch)]
    async fn draw(this: &PupilJs, settings: JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn read(this: &PupilJs, rgb: Uint8Array, width: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn step(this: &PupilJs, settings: JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn tell(this: &PupilJs, skipped: bool, step: &JsValue) -> Result<JsValue, JsValue>;

    /// Anything of the module's that has memory of it.
    type Owned;
    #[wasm_bindgen(method, catch)]
    fn free(this: &Owned) -> Result<(), JsValue>;
}

/// The module, once it is here.
pub struct Trainable(Module);

/// A policy on a device, in the module's memory.
pub struct Model(Handle<ModelJs>);

/// A picture that such a policy has encoded.
pub struct Encoded(Handle<JsValue>);

/// A map policy in its lesson, in the module's memory.
pub struct Pupil(Handle<PupilJs>);

impl Trainable {
    /// Loads the module; once it is here, it stays.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn load() -> Result<Self, String> {
        match load_js().await {
            Ok(module) => Ok(Self(module.unchecked_into())),
            Err(why) => Err(text::no_trainable(&post::said(why))),
        }
    }

    /// A policy from a model folder, on WebGPU or the CPU. Shards are fetched one after the other, `aloud` with progress.
    ///
    /// # Errors
    /// What is wrong with the folder or the device.
    pub async fn model(&self, folder: &Folder, webgpu: bool, aloud: bool) -> Result<Model, String> {
        let files = pairs(&folder.files)?;
        if folder.shards.is_empty() {
            let model = self.0.models().load(files, webgpu).await;
            return Ok(Model(Handle(model.map_err(post::said)?.unchecked_into())));
        }
        let loader = self.0.loaders().start_loading(files, webgpu).await;
        let loader: Handle<LoaderJs> = Handle(loader.map_err(post::said)?.unchecked_into());
        let take = |name: &str, bytes: &[u8]| {
            let added = loader.0.add(name, Uint8Array::from(bytes));
            added.map_err(post::said)
        };
        folder.each_shard(aloud, take).await?;
        let model = loader.0.finish().map_err(post::said)?;
        Ok(Model(Handle(model.unchecked_into())))
    }

    /// A lesson on a picture.
    ///
    /// # Errors
    /// What is wrong with the folder; a device that failed.
    pub async fn pupil(&self, files: &ModelFiles, picture: &RgbImage) -> Result<Pupil, String> {
        let (rgb, width) = rgb(picture);
        let pupil = self.0.pupils().start(pairs(files)?, rgb, width).await;
        Ok(Pupil(Handle(pupil.map_err(post::said)?.unchecked_into())))
    }
}

impl Model {
    /// Side of a text policy's tile, pixels; a map policy has none.
    pub fn tile(&self) -> Option<u32> {
        self.0.0.tile()
    }

    /// Encodes a picture; `tiles` along the longest edge are for a text policy.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn encode(&self, picture: &RgbImage, tiles: u32) -> Result<Encoded, String> {
        let (rgb, width) = rgb(picture);
        let encoded = self.0.0.encode(rgb, width, tiles).await;
        Ok(Encoded(Handle(encoded.map_err(post::said)?)))
    }

    /// Proposes a box, and what a text policy read and wrote for it, of which `on_token` hears token by token.
    ///
    /// # Errors
    /// A question that is too long; a device that failed.
    pub async fn propose(
        &self,
        encoded: &Encoded,
        question: &str,
        mut on_token: impl FnMut(Writing) + 'static,
    ) -> Result<(Proposal, Option<Writing>), String> {
        let on_token = Closure::<dyn FnMut(JsValue)>::new(move |so_far| {
            if let Ok(writing) = value(so_far) {
                on_token(writing);
            }
        });
        let proposed = self
            .0
            .0
            .propose(&encoded.0.0, question, on_token.as_ref())
            .await;
        value(proposed.map_err(post::said)?)
    }

    /// Draws boxes at temperature 1.
    ///
    /// # Errors
    /// As [`Model::propose`].
    pub async fn sample(
        &self,
        encoded: &Encoded,
        question: &str,
        n: usize,
    ) -> Result<Vec<NormBox>, String> {
        let drawn = self.0.0.sample(&encoded.0.0, question, n).await;
        Ok(boxes(drawn.map_err(post::said)?))
    }

    /// Where a text policy looks; nothing for a map policy.
    ///
    /// # Errors
    /// As [`Model::propose`].
    pub async fn attend(
        &self,
        encoded: &Encoded,
        question: &str,
    ) -> Result<Option<Attention>, String> {
        let found = self.0.0.attend(&encoded.0.0, question).await;
        value(found.map_err(post::said)?)
    }

    /// The picture as a text policy gets it, its tiles in a strip; nothing for a map policy.
    ///
    /// # Errors
    /// More tiles than the model takes.
    pub fn strip(
        &self,
        picture: &RgbImage,
        tiles: u32,
    ) -> Result<Option<(RgbImage, Tiles)>, String> {
        let (rgb, width) = rgb(picture);
        let Some(strip) = self.0.0.strip(rgb, width, tiles).map_err(post::said)? else {
            return Ok(None);
        };
        let strip = Handle(strip);
        let tiles: Tiles = value(strip.0.tiles().map_err(post::said)?)?;
        let values = strip.0.pixels().to_vec();
        let pixels = RgbImage::from_raw(tiles.side, tiles.side * tiles.count(), values);
        let pixels = pixels.ok_or_else(|| text::BROKEN.to_owned())?;
        Ok(Some((pixels, tiles)))
    }
}

impl Pupil {
    /// Whether this question and this answer are being learned.
    pub fn learns(&self, question: &str, answer: &str) -> bool {
        self.0.0.learns(question, answer)
    }

    /// The weights and the numbers of the start.
    pub fn begin(&self, question: &str, answer: &str) {
        self.0.0.begin(question, answer);
    }

    /// Whether there is a group, all of it read.
    pub fn has_group(&self) -> bool {
        self.0.0.has_group()
    }

    /// Draws a group.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn draw(&self, settings: &Settings) -> Result<Vec<NormBox>, String> {
        let drawn = self.0.0.draw(given(settings)?).await;
        Ok(boxes(drawn.map_err(post::said)?))
    }

    /// Reads the crop of the group's next box.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn read(&self, crop: &RgbImage) -> Result<(), String> {
        let (rgb, width) = rgb(crop);
        let read = self.0.0.read(rgb, width).await;
        read.map(|_| ()).map_err(post::said)
    }

    /// One step on the present group; `None` where it has nothing to learn from.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn step(&self, settings: &Settings) -> Result<Option<Step>, String> {
        let step = self.0.0.step(given(settings)?).await;
        value(step.map_err(post::said)?)
    }

    /// The group, the step before it (`skipped` where it was not taken), and the likeliest box.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn tell(&self, skipped: bool, step: &Option<Step>) -> Result<Lesson, String> {
        let told = self.0.0.tell(skipped, &given(step)?).await;
        value(told.map_err(post::said)?)
    }
}

/// Something in the module's memory, given back with this.
struct Handle<T: AsRef<JsValue>>(T);

impl<T: AsRef<JsValue>> Drop for Handle<T> {
    fn drop(&mut self) {
        // What is still computed with is kept by the module.
        self.0.as_ref().unchecked_ref::<Owned>().free().ok();
    }
}

/// The files of a model folder, `[name, bytes]`.
fn pairs(files: &ModelFiles) -> Result<Array, String> {
    let pair = |name: &str| {
        let bytes = files.get(name).map_err(|error| error.to_string())?;
        Ok(Array::of2(&name.into(), &Uint8Array::from(bytes)))
    };
    files.names().map(pair).collect()
}

/// Pixels, row by row, and the width.
fn rgb(picture: &RgbImage) -> (Uint8Array, u32) {
    let values = picture.as_raw().as_slice();
    (Uint8Array::from(values), picture.width())
}

/// Boxes from their edges, four by four.
fn boxes(edges: JsValue) -> Vec<NormBox> {
    let edges: Float32Array = edges.unchecked_into();
    let edges = edges.to_vec();
    let (boxes, _) = edges.as_chunks::<4>();
    let of = |&[x1, y1, x2, y2]: &[f32; 4]| NormBox { x1, y1, x2, y2 };
    boxes.iter().map(of).collect()
}

/// A value for the module.
fn given(value: &impl Serialize) -> Result<JsValue, String> {
    let serializer = serde_wasm_bindgen::Serializer::new();
    value.serialize(&serializer).map_err(|e| e.to_string())
}

/// A value of the module's.
fn value<T: DeserializeOwned>(value: JsValue) -> Result<T, String> {
    serde_wasm_bindgen::from_value(value).map_err(|error| error.to_string())
}
