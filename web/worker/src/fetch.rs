//! The model's files, fetched with progress.

use cropvlm_web::protocol::{FromWorker, Stage};
use cropvlm_web::text;
use js_sys::{Reflect, Uint8Array};
use serde::Deserialize;
use tensors::ModelFiles;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response};

use crate::post;

/// Progress is told at most this often, milliseconds.
const EVERY: f64 = 60.0;

/// `model_type` of text policies.
const TEXT: [&str; 2] = ["idefics3", "smolvlm"];

/// Files of a model folder beside `config.json`: those that must be there, and those that may.
fn names(model_type: &str) -> (&'static [&'static str], &'static [&'static str]) {
    if !TEXT.contains(&model_type) {
        return (&["model.safetensors"], &[]);
    }
    (
        &[
            "model.safetensors",
            "tokenizer.json",
            "preprocessor_config.json",
        ],
        &[
            "processor_config.json",
            "chat_template.json",
            "generation_config.json",
        ],
    )
}

/// The part of `config.json` that says what kind of model a folder holds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kind {
    model_type: String,
}

/// Whether a model folder holds a text policy.
pub fn is_text(files: &ModelFiles) -> bool {
    // What is no JSON is reported by the loader, which knows the file's meaning.
    let kind: Kind = files.json("config.json").unwrap_or_default();
    TEXT.contains(&kind.model_type.as_str())
}

/// Fetches a model folder. `folder` ends in a slash.
///
/// # Errors
/// A sentence naming the file that could not be fetched.
pub async fn model(folder: &str) -> Result<ModelFiles, String> {
    let mut progress = Progress::default();
    let config = file(folder, "config.json", &mut progress).await?;
    let kind: Kind = serde_json::from_slice(&config).unwrap_or_default();
    let mut files = vec![("config.json".to_owned(), config)];
    let (must, may) = names(&kind.model_type);
    for name in must {
        files.push((name.to_string(), file(folder, name, &mut progress).await?));
    }
    for name in may {
        if let Ok(bytes) = file(folder, name, &mut progress).await {
            files.push((name.to_string(), bytes));
        }
    }
    Ok(ModelFiles::from_memory(files))
}

#[derive(Default)]
struct Progress {
    received: f64,
    total: f64,
    told: f64,
}

impl Progress {
    fn tell(&mut self, last: bool) {
        let now = post::now();
        if last || now - self.told >= EVERY {
            self.told = now;
            let total = (self.total >= self.received).then_some(self.total);
            post::message(&FromWorker::Stage(Stage::Download {
                received: self.received,
                total,
            }));
        }
    }
}

async fn file(folder: &str, name: &str, progress: &mut Progress) -> Result<Vec<u8>, String> {
    let wrong = |reason: &str| text::model_not_fetched(name, reason);
    let response = JsFuture::from(post::scope().fetch_with_str(&format!("{folder}{name}"))).await;
    let response: Response = response
        .and_then(JsCast::dyn_into)
        .map_err(|_| wrong("no reply"))?;
    if !response.ok() {
        return Err(wrong(&format!("status {}", response.status())));
    }
    let length: Option<f64> = response
        .headers()
        .get("content-length")
        .ok()
        .flatten()
        .and_then(|length| length.parse().ok());
    progress.total += length.unwrap_or_default();
    let mut bytes = Vec::with_capacity(length.unwrap_or_default() as usize);
    let reader: ReadableStreamDefaultReader = response
        .body()
        .and_then(|body| body.get_reader().dyn_into().ok())
        .ok_or_else(|| wrong("empty"))?;
    loop {
        let result = JsFuture::from(reader.read())
            .await
            .map_err(|_| wrong("the connection broke"))?;
        let value = Reflect::get(&result, &JsValue::from_str("value")).unwrap_or_default();
        let Ok(chunk) = value.dyn_into::<Uint8Array>() else {
            break;
        };
        let start = bytes.len();
        bytes.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        progress.received += f64::from(chunk.length());
        progress.tell(false);
    }
    progress.tell(true);
    Ok(bytes)
}
