//! Modules on several threads, where the page may share memory between them; the map policy's encoder (`web/threads`) as one.
//!
//! Everything that can go wrong there (no such module, no memory, a thread that does not start) is an error here, and
//! the worker's own code, on one thread, takes over.

use js_sys::{Array, Float32Array, Uint32Array};
use kernels::{Encoded, Encoder, Maps};
use tensors::{ModelFiles, SINGLE};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::post::said;

/// More threads than this are not started: the network is too small to keep them busy.
const MOST: u32 = 8;

/// The encoder's module.
const ENCODER: &str = "threads/threads.js";

/// Milliseconds that the threads have to start.
const PATIENCE: u32 = 5_000;

#[wasm_bindgen(inline_js = "
export function possibleThreads() {
  return self.crossOriginIsolated ? self.navigator.hardwareConcurrency ?? 1 : 1;
}
const started = {};
export async function startThreads(name, count, patience) {
  // A module has one pool, and keeps it.
  if (started[name]) return started[name];
  const here = new URL('.', self.location.href);
  const address = new URL(name, here).href;
  const threads = await import(address);
  const { memory } = await threads.default();
  const workers = [];
  const one = () => new Promise((resolve, reject) => {
    const worker = new Worker(new URL('threads.js', here), { type: 'module' });
    workers.push(worker);
    worker.onmessage = resolve;
    worker.onerror = (event) => reject(new Error(event.message || 'a thread did not start'));
    worker.postMessage({ address, module: threads.default.__wbindgen_wasm_module, memory });
  });
  let clock;
  const late = new Promise((_, reject) => {
    clock = setTimeout(() => reject(new Error('the threads did not start in time')), patience);
  });
  try {
    await Promise.race([Promise.all(Array.from({ length: count - 1 }, one)), late]);
    threads.start_pool(count);
    return (started[name] = threads);
  } catch (error) {
    for (const worker of workers) worker.terminate();
    throw error;
  } finally {
    clearTimeout(clock);
  }
}
")]
extern "C" {
    #[wasm_bindgen(js_name = possibleThreads)]
    fn possible_js() -> u32;
    #[wasm_bindgen(js_name = startThreads, catch)]
    async fn start_js(name: &str, count: u32, patience: u32) -> Result<JsValue, JsValue>;

    type Module;
    #[wasm_bindgen(method, catch)]
    fn load(this: &Module, weights: &Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn encode(
        this: &Module,
        pixels: &Float32Array,
        height: usize,
        width: usize,
    ) -> Result<Array, JsValue>;
}

/// Threads that a module may have here, `most` at most: one where memory may not be shared.
pub fn possible(most: Option<u32>) -> u32 {
    possible_js().min(most.unwrap_or(MOST)).min(MOST)
}

/// Starts a module that is built with shared memory, on so many threads, this one among them.
///
/// # Errors
/// Why it could not be done.
pub async fn start(name: &str, count: u32) -> Result<JsValue, String> {
    start_js(name, count, PATIENCE).await.map_err(said)
}

/// A map policy's encoder on several threads.
pub struct Threads {
    module: Module,
    /// Threads that compute.
    pub count: u32,
}

impl Threads {
    /// Starts the threads and gives them the encoder; `None` where there would be only one.
    ///
    /// # Errors
    /// Why it could not be done.
    pub async fn start(files: &ModelFiles, most: Option<u32>) -> Result<Option<Self>, String> {
        let count = possible(most);
        if count < 2 {
            return Ok(None);
        }
        let module: Module = start(ENCODER, count).await?.unchecked_into();
        let weights = files
            .get(SINGLE)
            .and_then(|file| tensors::read(SINGLE, file));
        let weights = weights.map_err(|error| error.to_string())?;
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
        module.load(&triples).map_err(said)?;
        Ok(Some(Self { module, count }))
    }

    /// Encodes a canvas, as `kernels::Encoder` does.
    ///
    /// # Errors
    /// What the module says; it is not to be used any more.
    pub fn encode(&self, pixels: &[f32], [height, width]: [usize; 2]) -> Result<Encoded, String> {
        let pixels = Float32Array::from(pixels);
        let parts = self.module.encode(&pixels, height, width).map_err(said)?;
        let parts: Option<Vec<Maps>> = parts.iter().map(maps).collect();
        let parts: [Maps; 7] = parts
            .and_then(|parts| parts.try_into().ok())
            .ok_or("the threads sent something else than maps")?;
        Ok(Encoded::from_parts(parts))
    }
}

/// One of the parts that the module sends.
fn maps(part: JsValue) -> Option<Maps> {
    let part: Array = part.dyn_into().ok()?;
    let side = |i| part.get(i).as_f64().map(|n| n as usize);
    let (height, width, channels) = (side(0)?, side(1)?, side(2)?);
    let values = part.get(3).dyn_into::<Float32Array>().ok()?.to_vec();
    let whole = values.len() == height * width * channels;
    whole.then(|| Maps::from_values(height, width, channels, values))
}
