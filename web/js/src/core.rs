//! The engine for JavaScript.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cropvlm_threads::net::{Module, ThreadedNet};
use engine::{
    Answer, Backend, Device, EncodeOptions, Encoded, Engine, EngineError, Event, Host,
    ProposeOptions,
};
use grounding::{NormBox, PixelBox};
use kernels::Maps;
use mapnet::MapError;
use serde_json::{Value, json};
use tensors::{ModelFiles, SINGLE};
use wasm_bindgen::prelude::*;

use crate::error;
use crate::pictures::Picture;

#[wasm_bindgen]
extern "C" {
    /// Who calls: hears stages, lets messages in, says when to stop.
    pub type Caller;
    #[wasm_bindgen(method)]
    fn hear(this: &Caller, stage: &str, round: u32);
    #[wasm_bindgen(method)]
    fn cancelled(this: &Caller) -> bool;
    #[wasm_bindgen(method)]
    async fn pause(this: &Caller);
}

impl Host for Caller {
    fn hear(&self, event: Event) {
        Caller::hear(self, event.stage.name(), event.round);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled()
    }

    async fn pause(&self) {
        Caller::pause(self).await;
    }
}

/// A loaded model.
#[wasm_bindgen]
pub struct Core {
    engine: Engine,
    /// Its network on several threads; gone once it has failed.
    threads: RefCell<Option<Rc<ThreadedNet>>>,
    /// How many they are.
    count: Cell<u32>,
}

/// An encoded picture.
#[wasm_bindgen]
pub struct Page(Encoded);

#[wasm_bindgen]
impl Core {
    /// Loads a model from its two files. `device`: `auto`, `cpu` or `webgpu`.
    pub async fn load(
        config: Vec<u8>,
        weights: Vec<u8>,
        device: String,
        caller: Caller,
    ) -> Result<Core, JsValue> {
        let files = ModelFiles::from_memory([
            ("config.json".to_owned(), config),
            (SINGLE.to_owned(), weights),
        ]);
        let device = match device.as_str() {
            "cpu" => Device::Cpu,
            "webgpu" => Device::Gpu,
            _ => Device::Auto,
        };
        let engine = Engine::load(&files, device, &caller).await;
        Ok(Core {
            engine: engine.map_err(|e| said(&e))?,
            threads: RefCell::default(),
            count: Cell::new(1),
        })
    }

    /// Has everything computed by a module that runs on `count` threads, its pool started, from now on. `weights`: the model's file.
    ///
    /// # Errors
    /// What the module says.
    pub fn set_threads(
        &self,
        module: &Module,
        weights: Vec<u8>,
        count: u32,
    ) -> Result<(), JsValue> {
        let files = ModelFiles::from_memory([(SINGLE.to_owned(), weights)]);
        let net = ThreadedNet::load(module, &files)?;
        self.threads.replace(Some(Rc::new(net)));
        self.count.set(count);
        Ok(())
    }

    /// Where it computes, as JSON.
    pub fn backend(&self) -> String {
        let backend = self.engine.backend();
        json!({
            "backend": name(backend),
            "adapter": backend.adapter,
            "isFallback": backend.is_fallback,
            "reason": backend.reason.to_string(),
            "threads": self.count.get(),
        })
        .to_string()
    }

    /// Encodes a picture, or a part of it: `within` is empty, or x1, y1, x2, y2 in percent.
    pub async fn encode(
        &self,
        picture: &Picture,
        within: Vec<f32>,
        caller: Caller,
    ) -> Result<Page, JsValue> {
        let options = EncodeOptions {
            longest_edge: None,
            within: part(&within)?,
        };
        if let Some(encoded) = self.by_threads(picture, &options, &caller).await? {
            return Ok(Page(encoded));
        }
        let encode = async || {
            self.engine
                .encode(picture.pixels(), &options, &caller)
                .await
        };
        self.kept(encode).await.map(Page)
    }

    /// Proposes a box for a question, as JSON.
    pub async fn propose(
        &self,
        page: &Page,
        question: String,
        expand: f32,
        top_k: usize,
        min_size: u32,
        caller: Caller,
    ) -> Result<String, JsValue> {
        let options = ProposeOptions {
            expand,
            top_k,
            min_size,
        };
        let answer = match self.ask_threads(page, &question, &options, &caller).await? {
            Some(answer) => answer,
            None => {
                let propose = async || {
                    self.engine
                        .propose(&page.0, &question, &options, &caller)
                        .await
                };
                self.kept(propose).await?
            }
        };
        let others: Vec<Value> = answer
            .others
            .iter()
            .map(|other| {
                json!({
                    "box": percent(other.bbox),
                    "pixels": pixels(other.pixels),
                    "confidence": other.confidence,
                })
            })
            .collect();
        let times = answer.proposal.timings;
        Ok(json!({
            "box": percent(answer.bbox),
            "pixels": pixels(answer.pixels),
            "confidence": answer.confidence,
            "present": answer.present,
            "needed": answer.needed,
            "others": others,
            "backend": name(self.engine.backend()),
            "timings": {
                "image": times.image,
                "encode": times.vision,
                "question": times.prefill,
                "box": times.decode,
            },
        })
        .to_string())
    }
}

impl Core {
    /// Encodes a picture on several threads. `None` where there is one only, and where they fail: they are not asked again.
    async fn by_threads(
        &self,
        picture: &Picture,
        options: &EncodeOptions,
        caller: &Caller,
    ) -> Result<Option<Encoded>, JsValue> {
        let threads = self.threads.borrow().clone();
        let Some(threads) = threads else {
            return Ok(None);
        };
        let encode = async |values: Vec<f32>, size| threads.encode(&values, size).map_err(broken);
        let pixels = picture.pixels();
        self.unless_broken(self.engine.encode_by(pixels, options, caller, encode).await)
    }

    /// As [`Core::by_threads`], a question.
    async fn ask_threads(
        &self,
        page: &Page,
        question: &str,
        options: &ProposeOptions,
        caller: &Caller,
    ) -> Result<Option<Answer>, JsValue> {
        let threads = self.threads.borrow().clone();
        let Some(threads) = threads else {
            return Ok(None);
        };
        let decode = async |levels: &[Maps; 3], hints: &[f32], steer: &[f32]| {
            threads.decode(levels, hints, steer).map_err(broken)
        };
        let answer = self
            .engine
            .propose_by(&page.0, question, options, caller, decode);
        self.unless_broken(answer.await)
    }

    /// What came of work on several threads; `None` where they failed, and they are gone then.
    fn unless_broken<T>(&self, result: engine::Result<T>) -> Result<Option<T>, JsValue> {
        match result {
            Err(EngineError::Device(_)) => {
                self.threads.take();
                self.count.set(1);
                Ok(None)
            }
            done => done.map(Some).map_err(|e| said(&e)),
        }
    }

    /// Does work; once more, on the processor, where the graphics card fails at it. [`Core::backend`] says so from then on.
    async fn kept<T>(&self, work: impl AsyncFn() -> engine::Result<T>) -> Result<T, JsValue> {
        let had_card = self.engine.backend().adapter.is_some();
        let mut done = work().await;
        if had_card && matches!(done, Err(EngineError::Device(_))) {
            done = work().await;
        }
        done.map_err(|e| said(&e))
    }
}

/// Threads that failed.
fn broken(_: JsValue) -> EngineError {
    EngineError::Device(MapError::Device("the threads broke".to_owned()))
}

/// Where it computes, as JavaScript calls it.
fn name(backend: &Backend) -> &'static str {
    match backend.adapter {
        Some(_) => "webgpu",
        None => "cpu",
    }
}

/// Edges in percent, at most four digits after the point.
fn percent(bbox: NormBox) -> [f64; 4] {
    bbox.to_array()
        .map(|edge| (f64::from(edge) * 1e4).round() / 1e4)
}

fn pixels(area: PixelBox) -> Value {
    json!({"x": area.x1, "y": area.y1, "width": area.width(), "height": area.height()})
}

/// A part of the picture from JavaScript's numbers.
fn part(edges: &[f32]) -> Result<Option<NormBox>, JsValue> {
    match *edges {
        [] => Ok(None),
        [x1, y1, x2, y2] => match NormBox::new(x1, y1, x2, y2) {
            Ok(part) => Ok(Some(part)),
            Err(why) => Err(error("bad-option", &format!("within: {why}"))),
        },
        _ => Err(error("bad-option", "within is not [x1, y1, x2, y2]")),
    }
}

/// The engine's error, with its code.
fn said(why: &EngineError) -> JsValue {
    error(why.code(), &why.to_string())
}
