//! Modules that are loaded beside this one when something is asked for that needs them, and are called as libraries in this
//! very thread: `web/smolvlm` (a text policy or a reader, on the processor or on WebGPU) and `web/trainable` (burn: the lesson).
//!
//! What they compute is awaited here; pixels and weights are copied into their memory.

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

use crate::error::{Result, WorkerError, said};
use crate::fetch::{Folder, Told};
use crate::{post, threads};

/// The module that needs burn.
const TRAINABLE: &str = "trainable/trainable.js";
/// SmolVLM on one thread, or on WebGPU.
const SMOLVLM: &str = "smolvlm/smolvlm.js";
/// SmolVLM on several.
const SMOLVLM_THREADS: &str = "smolvlm-threads/smolvlm.js";

#[wasm_bindgen(inline_js = "
let tries = 0;
const modules = {};
export async function loadSecond(name) {
  if (modules[name]) return modules[name];
  const here = new URL(self.location.href);
  const address = new URL(name, here);
  // A page of one build never runs a module of another (xtask/src/copy.rs).
  address.search = here.search;
  // Browsers remember that a script did not come: the next try goes to another address.
  if (tries++) address.searchParams.set('try', tries);
  const loaded = await import(address.href);
  await loaded.default();
  return (modules[name] = loaded);
}
")]
extern "C" {
    #[wasm_bindgen(js_name = loadSecond, catch)]
    async fn load_js(name: &str) -> std::result::Result<JsValue, JsValue>;

    type Module;
    #[wasm_bindgen(method, getter = Loader)]
    fn loaders(this: &Module) -> Loaders;
    #[wasm_bindgen(method, getter = Learner)]
    fn learner_class(this: &Module) -> LearnerClass;

    /// The class of [`LoaderJs`].
    type Loaders;
    #[wasm_bindgen(method, catch, js_name = start)]
    async fn start_loading(
        this: &Loaders,
        files: Array,
        webgpu: bool,
    ) -> std::result::Result<JsValue, JsValue>;

    type LoaderJs;
    #[wasm_bindgen(method, catch)]
    fn push(this: &LoaderJs, name: &str, bytes: &Uint8Array) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn end(this: &LoaderJs, name: &str) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn finish(this: &LoaderJs) -> std::result::Result<JsValue, JsValue>;

    type ModelJs;
    #[wasm_bindgen(method)]
    fn tile(this: &ModelJs) -> Option<u32>;
    #[wasm_bindgen(method, catch)]
    async fn encode(
        this: &ModelJs,
        rgb: Uint8Array,
        width: u32,
        tiles: u32,
    ) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn propose(
        this: &ModelJs,
        encoded: &JsValue,
        question: &str,
        on_token: &JsValue,
    ) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn sample(
        this: &ModelJs,
        encoded: &JsValue,
        question: &str,
        n: usize,
    ) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn attend(
        this: &ModelJs,
        encoded: &JsValue,
        question: &str,
    ) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn read(
        this: &ModelJs,
        pictures: Array,
        tiles: u32,
        text: &str,
        max_tokens: usize,
        weighed: Option<String>,
    ) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn write(this: &ModelJs, answer: &AnswerJs) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn strip(
        this: &ModelJs,
        rgb: Uint8Array,
        width: u32,
        tiles: u32,
    ) -> std::result::Result<Option<StripJs>, JsValue>;

    /// An answer that is being written.
    type AnswerJs;
    #[wasm_bindgen(method)]
    fn done(this: &AnswerJs) -> bool;
    #[wasm_bindgen(method, js_name = prompt_tokens)]
    fn prompt_tokens(this: &AnswerJs) -> u32;
    #[wasm_bindgen(method)]
    fn tokens(this: &AnswerJs) -> u32;
    #[wasm_bindgen(method, js_name = log_prob)]
    fn log_prob(this: &AnswerJs) -> Option<f64>;

    type StripJs;
    #[wasm_bindgen(method)]
    fn pixels(this: &StripJs) -> Uint8Array;
    #[wasm_bindgen(method, catch)]
    fn tiles(this: &StripJs) -> std::result::Result<JsValue, JsValue>;

    /// The class of [`LearnerJs`].
    type LearnerClass;
    #[wasm_bindgen(method, catch)]
    async fn start(
        this: &LearnerClass,
        files: Array,
        rgb: Uint8Array,
        width: u32,
    ) -> std::result::Result<JsValue, JsValue>;

    type LearnerJs;
    #[wasm_bindgen(method)]
    fn learns(this: &LearnerJs, question: &str, answer: &str) -> bool;
    #[wasm_bindgen(method)]
    fn begin(this: &LearnerJs, question: &str, answer: &str);
    #[wasm_bindgen(method)]
    fn has_group(this: &LearnerJs) -> bool;
    #[wasm_bindgen(method, catch)]
    async fn draw(this: &LearnerJs, settings: JsValue) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn read(
        this: &LearnerJs,
        rgb: Uint8Array,
        width: u32,
    ) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method)]
    fn reward(this: &LearnerJs, reward: f64);
    #[wasm_bindgen(method, catch)]
    async fn step(this: &LearnerJs, settings: JsValue) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn tell(
        this: &LearnerJs,
        skipped: bool,
        step: &JsValue,
    ) -> std::result::Result<JsValue, JsValue>;

    /// Anything of the module's that has memory of it.
    type Owned;
    #[wasm_bindgen(method, catch)]
    fn free(this: &Owned) -> std::result::Result<(), JsValue>;
}

/// A module, once it is here.
pub struct Second(Module);

/// A policy on a device, in the module's memory.
pub struct Model(Handle<ModelJs>);

/// A picture that such a policy has encoded.
pub struct Encoded(Handle<JsValue>);

/// An answer that such a policy, as a reader, is writing.
pub struct Answer(Handle<AnswerJs>);

/// A map policy in its lesson, in the module's memory.
pub struct Learner(Handle<LearnerJs>);

impl Second {
    /// The module that needs burn; once it is here, it stays.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn trainable() -> Result<Self> {
        Self::load(TRAINABLE).await
    }

    /// SmolVLM for WebGPU.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn smolvlm_on_webgpu() -> Result<Self> {
        Self::load(SMOLVLM).await
    }

    /// SmolVLM on the processor, and on how many threads: several, up to `most`, where this page may share memory.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn smolvlm(most: Option<u32>) -> Result<(Self, u32)> {
        let count = threads::possible(most);
        if count > 1 {
            match threads::start(SMOLVLM_THREADS, count).await {
                Ok(module) => return Ok((Self(module.unchecked_into()), count)),
                Err(why) => post::warn(&text::no_threads(&why.to_string())),
            }
        }
        Ok((Self::load(SMOLVLM).await?, 1))
    }

    async fn load(name: &str) -> Result<Self> {
        let module = load_js(name).await;
        let module = module.map_err(|why| WorkerError::NoModule(said(why)))?;
        Ok(Self(module.unchecked_into()))
    }

    /// A text policy from a model folder, on WebGPU or the processor, its weights fetched as they are taken.
    ///
    /// # Errors
    /// What is wrong with the folder or the device.
    pub async fn text_policy(&self, folder: &Folder, webgpu: bool, told: Told) -> Result<Model> {
        let model = self.filled(folder, webgpu, told).await;
        // What is broken is not kept; what did not come whole goes on where it broke. Where WebGPU failed, the processor finds out.
        if model
            .as_ref()
            .is_err_and(|why| !webgpu && !matches!(why, WorkerError::NotFetched { .. }))
        {
            folder.forget().await;
        }
        model
    }

    async fn filled(&self, folder: &Folder, webgpu: bool, told: Told) -> Result<Model> {
        let files = pairs(&folder.files)?;
        let loader = self.0.loaders().start_loading(files, webgpu).await;
        let loader: Handle<LoaderJs> = Handle(loader?.unchecked_into());
        let take = |name: &str, chunk: Option<&Uint8Array>| {
            let taken = match chunk {
                Some(bytes) => loader.0.push(name, bytes),
                None => loader.0.end(name),
            };
            Ok(taken?)
        };
        folder.each_weight_file(told, take).await?;
        let model = loader.0.finish()?;
        Ok(Model(Handle(model.unchecked_into())))
    }

    /// A lesson on a picture.
    ///
    /// # Errors
    /// What is wrong with the folder; a device that failed.
    pub async fn learner(&self, files: &ModelFiles, picture: &RgbImage) -> Result<Learner> {
        let (rgb, width) = rgb(picture);
        let learner = self
            .0
            .learner_class()
            .start(pairs(files)?, rgb, width)
            .await;
        Ok(Learner(Handle(learner?.unchecked_into())))
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
    pub async fn encode(&self, picture: &RgbImage, tiles: u32) -> Result<Encoded> {
        let (rgb, width) = rgb(picture);
        let encoded = self.0.0.encode(rgb, width, tiles).await;
        Ok(Encoded(Handle(encoded?)))
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
    ) -> Result<(Proposal, Option<Writing>)> {
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
        value(proposed?)
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
    ) -> Result<Vec<NormBox>> {
        let drawn = self.0.0.sample(&encoded.0.0, question, n).await;
        Ok(boxes(drawn?))
    }

    /// Where a text policy looks; nothing for a map policy.
    ///
    /// # Errors
    /// As [`Model::propose`].
    pub async fn attend(&self, encoded: &Encoded, question: &str) -> Result<Option<Attention>> {
        let found = self.0.0.attend(&encoded.0.0, question).await;
        value(found?)
    }

    /// Lets SmolVLM read pictures and a prompt, to answer with at most `max_tokens` tokens, and to weigh a given answer.
    ///
    /// # Errors
    /// Pictures and prompt that are too long for the model.
    pub async fn read(
        &self,
        pictures: &[RgbImage],
        tiles: u32,
        prompt: &str,
        max_tokens: usize,
        weighed: Option<String>,
    ) -> Result<Answer> {
        let pairs = pictures.iter().map(|picture| {
            let (rgb, width) = rgb(picture);
            Array::of2(&rgb, &width.into())
        });
        let read = self
            .0
            .0
            .read(pairs.collect(), tiles, prompt, max_tokens, weighed);
        let answer = read.await?;
        Ok(Answer(Handle(answer.unchecked_into())))
    }

    /// Writes one more token of an answer; the text so far.
    ///
    /// # Errors
    /// Weights that compute no numbers.
    pub async fn write(&self, answer: &Answer) -> Result<String> {
        let written = self.0.0.write(&answer.0.0).await;
        value(written?)
    }

    /// The picture as a text policy gets it, its tiles in a strip; nothing for a map policy.
    ///
    /// # Errors
    /// More tiles than the model takes.
    pub fn strip(&self, picture: &RgbImage, tiles: u32) -> Result<Option<(RgbImage, Tiles)>> {
        let (rgb, width) = rgb(picture);
        let Some(strip) = self.0.0.strip(rgb, width, tiles)? else {
            return Ok(None);
        };
        let strip = Handle(strip);
        let tiles: Tiles = value(strip.0.tiles()?)?;
        let values = strip.0.pixels().to_vec();
        let pixels = RgbImage::from_raw(tiles.side, tiles.side * tiles.count(), values);
        let pixels = pixels.ok_or(WorkerError::Broken)?;
        Ok(Some((pixels, tiles)))
    }
}

impl Answer {
    /// Whether all is written.
    pub fn done(&self) -> bool {
        self.0.0.done()
    }

    /// Natural logarithm of the chance of the answer that was to be weighed.
    pub fn log_prob(&self) -> Option<f64> {
        self.0.0.log_prob()
    }

    /// Tokens of pictures and prompt, and tokens written.
    pub fn tokens(&self) -> (u32, u32) {
        (self.0.0.prompt_tokens(), self.0.0.tokens())
    }
}

impl Learner {
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
    pub async fn draw(&self, settings: &Settings) -> Result<Vec<NormBox>> {
        let drawn = self.0.0.draw(given(settings)?).await;
        Ok(boxes(drawn?))
    }

    /// Reads the crop of the group's next box.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn read(&self, crop: &RgbImage) -> Result<()> {
        let (rgb, width) = rgb(crop);
        let read = self.0.0.read(rgb, width).await;
        read?;
        Ok(())
    }

    /// The reward of the group's next box, where another reader has read its crop.
    pub fn reward(&self, reward: f64) {
        self.0.0.reward(reward);
    }

    /// One step on the present group; `None` where it has nothing to learn from.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn step(&self, settings: &Settings) -> Result<Option<Step>> {
        let step = self.0.0.step(given(settings)?).await;
        value(step?)
    }

    /// The group, the step before it (`skipped` where it was not taken), and the likeliest box.
    ///
    /// # Errors
    /// A device that failed.
    pub async fn tell(&self, skipped: bool, step: &Option<Step>) -> Result<Lesson> {
        let told = self.0.0.tell(skipped, &given(step)?).await;
        value(told?)
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
fn pairs(files: &ModelFiles) -> Result<Array> {
    let pair = |name: &str| {
        let bytes = files.get(name)?;
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
fn given(value: &impl Serialize) -> Result<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::new();
    Ok(value.serialize(&serializer)?)
}

/// A value of the module's.
fn value<T: DeserializeOwned>(value: JsValue) -> Result<T> {
    Ok(serde_wasm_bindgen::from_value(value)?)
}
