//! The link to the worker: starting it, posting to it, and starting it anew when it breaks.

use cropvlm_web::protocol::{FromWorker, ToWorker};
use js_sys::{Array, Function};
use serde::Serialize;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, ErrorEvent, Event, MessageEvent, Worker, WorkerOptions, WorkerType};

/// trunk's loader of the worker module, beside `index.html`.
const LOADER: &str = "./worker_loader.js";

/// What arrives from the worker.
pub enum Arrived {
    /// A message and its payload.
    Message(Box<FromWorker>, Option<Blob>),
    /// The worker threw, or its module could not be loaded.
    Dead(String),
}

/// A running worker.
pub struct Link {
    worker: Worker,
    /// What is posted before the worker says hello waits here: its module is still being fetched.
    waiting: Option<Vec<Array>>,
    _on_event: Closure<dyn FnMut(Event)>,
}

#[wasm_bindgen(inline_js = "
export function takeEarly(listener) {
  const { early } = globalThis;
  delete globalThis.early;
  if (!early) return undefined;
  // What was said before comes again, once the page's link is in its place.
  for (const event of early.heard) setTimeout(listener, 0, event);
  return early.worker;
}
")]
extern "C" {
    /// The worker that was started before this module ran (`web/boot.js`), once; what came of it until now goes to a listener, soon.
    #[wasm_bindgen(js_name = takeEarly)]
    fn take_early(listener: &Function) -> Option<Worker>;
}

impl Link {
    /// Takes over the worker that is there already, or starts one; everything it says goes to `arrived`.
    pub fn start(arrived: impl Fn(Arrived) + 'static) -> Result<Link, JsValue> {
        let hear = move |event: Event| match event.dyn_into::<MessageEvent>() {
            Ok(message) => {
                let parts: Array = message.data().unchecked_into();
                match serde_wasm_bindgen::from_value(parts.get(0)) {
                    Ok(message) => arrived(Arrived::Message(
                        Box::new(message),
                        parts.get(1).dyn_into().ok(),
                    )),
                    Err(error) => arrived(Arrived::Dead(error.to_string())),
                }
            }
            Err(event) => {
                event.prevent_default();
                let why = event
                    .dyn_ref::<ErrorEvent>()
                    .map(ErrorEvent::message)
                    .unwrap_or_default();
                arrived(Arrived::Dead(why));
            }
        };
        let on_event = Closure::new(hear);
        let listener: &Function = on_event.as_ref().unchecked_ref();
        let worker = match take_early(listener) {
            Some(worker) => worker,
            None => {
                let options = WorkerOptions::new();
                options.set_type(WorkerType::Module);
                Worker::new_with_options(&loader(), &options)?
            }
        };
        worker.set_onmessage(Some(listener));
        worker.set_onerror(Some(listener));
        Ok(Link {
            worker,
            waiting: Some(Vec::new()),
            _on_event: on_event,
        })
    }

    /// The worker's module runs: what waited goes out.
    pub fn hello(&mut self) {
        for parts in self.waiting.take().into_iter().flatten() {
            self.worker.post_message(&parts).ok();
        }
    }

    /// Whether the worker's module ever ran.
    pub fn has_started(&self) -> bool {
        self.waiting.is_none()
    }

    /// Posts a message with its payload.
    pub fn post(&mut self, message: &ToWorker, payload: &JsValue) {
        let serializer = serde_wasm_bindgen::Serializer::json_compatible();
        let Ok(message) = message.serialize(&serializer) else {
            return;
        };
        let parts = Array::of2(&message, payload);
        match &mut self.waiting {
            Some(waiting) => waiting.push(parts),
            None => {
                self.worker.post_message(&parts).ok();
            }
        }
    }
}

/// The loader's address, with the build that this page is of.
fn loader() -> String {
    let document = web_sys::window().and_then(|window| window.document());
    let root = document.and_then(|document| document.document_element());
    match root.and_then(|root| root.get_attribute("data-build")) {
        Some(build) => format!("{LOADER}?build={build}"),
        None => LOADER.to_owned(),
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}
