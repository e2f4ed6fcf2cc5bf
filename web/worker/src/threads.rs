//! Modules on several threads, where the page may share memory between them; the map policy's network (`web/threads`) as one.
//!
//! Everything that can go wrong there (no such module, no memory, a thread that does not start) is an error here, and
//! the worker's own code, on one thread, takes over.

use cropvlm_threads::net::{Module, ThreadedNet};
use kernels::{Features, Maps};
use tensors::ModelFiles;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::error::{Result, WorkerError, said};

/// More threads than this are not started: the network is too small to keep them busy.
const MOST: u32 = 8;

/// The network's module.
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
  // Compiled once, for all threads, while it comes.
  const compiled = WebAssembly.compileStreaming(fetch(address.replace(/\\.js$/, '_bg.wasm')));
  const [threads, module] = await Promise.all([import(address), compiled]);
  const { memory } = await threads.default({ module_or_path: module });
  const workers = [];
  const one = () => new Promise((resolve, reject) => {
    const worker = new Worker(new URL('threads.js', here), { type: 'module' });
    workers.push(worker);
    worker.onmessage = resolve;
    worker.onerror = (event) => reject(new Error(event.message || 'a thread did not start'));
    worker.postMessage({ address, module, memory });
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
    async fn start_js(
        name: &str,
        count: u32,
        patience: u32,
    ) -> std::result::Result<JsValue, JsValue>;
}

/// Threads that a module may have here, `most` at most: one where memory may not be shared.
pub fn possible(most: Option<u32>) -> u32 {
    possible_js().min(most.unwrap_or(MOST)).min(MOST)
}

/// Starts a module that is built with shared memory, on so many threads, this one among them.
///
/// # Errors
/// Why it could not be done.
pub async fn start(name: &str, count: u32) -> Result<JsValue> {
    let started = start_js(name, count, PATIENCE).await;
    started.map_err(|why| WorkerError::NoThreads(said(why)))
}

/// A map policy's network on several threads.
pub struct Threads {
    net: ThreadedNet,
    /// Threads that compute.
    pub count: u32,
}

impl Threads {
    /// Starts the threads and gives them the network; `None` where there would be only one.
    ///
    /// # Errors
    /// Why it could not be done.
    pub async fn start(files: &ModelFiles, most: Option<u32>) -> Result<Option<Self>> {
        let count = possible(most);
        if count < 2 {
            return Ok(None);
        }
        let module: Module = start(ENCODER, count).await?.unchecked_into();
        let net = ThreadedNet::load(&module, files)?;
        Ok(Some(Self { net, count }))
    }

    /// Encodes a canvas, as `kernels::Encoder` does.
    ///
    /// # Errors
    /// What the module says; it is not to be used any more.
    pub fn encode(&self, pixels: &[f32], size: [usize; 2]) -> Result<Features> {
        Ok(self.net.encode(pixels, size)?)
    }

    /// Decodes a question, as `kernels::Decoder` does.
    ///
    /// # Errors
    /// As [`Threads::encode`].
    pub fn decode(&self, levels: &[Maps; 3], hints: &[f32], steer: &[f32]) -> Result<Vec<f32>> {
        Ok(self.net.decode(levels, hints, steer)?)
    }
}
