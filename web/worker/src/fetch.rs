//! The model's files, fetched with progress. Weights in shards are not kept: each is fetched when the network takes it, again
//! for another device.

use cropvlm_web::folder::{self, INDEX, SINGLE, Weights};
use cropvlm_web::protocol::{FromWorker, Stage};
use cropvlm_web::text;
use js_sys::{Reflect, Uint8Array};
use tensors::{Index, ModelFiles};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response};

use crate::post;

/// Progress is told at most this often, milliseconds.
const EVERY: f64 = 60.0;

/// A model folder, as far as it is here.
pub struct Folder {
    /// All files but shards.
    pub files: ModelFiles,
    /// Ends in a slash.
    address: String,
    /// Shards of the weights.
    pub shards: Vec<String>,
    /// Bytes of all shards, where the list of them says.
    total: Option<f64>,
}

impl Folder {
    /// Whether it holds a text policy.
    pub fn is_text(&self) -> bool {
        self.files.get("config.json").is_ok_and(folder::is_text)
    }

    /// Fetches the shards one after the other; `take` gets each of them.
    ///
    /// # Errors
    /// A sentence naming the file that could not be fetched; those of `take`.
    pub async fn each_shard(
        &self,
        aloud: bool,
        mut take: impl FnMut(&str, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut progress = Progress {
            total: self.total.unwrap_or_default(),
            known: self.total.is_some(),
            silent: !aloud,
            ..Progress::default()
        };
        for name in &self.shards {
            let bytes = file(&self.address, name, &mut progress).await?;
            take(name, &bytes)?;
        }
        Ok(())
    }
}

/// Fetches a model folder. `folder` ends in a slash.
///
/// # Errors
/// A sentence naming the file that could not be fetched.
pub async fn model(folder: &str) -> Result<Folder, String> {
    let mut progress = Progress::default();
    let config = file(folder, "config.json", &mut progress).await?;
    let wanted = folder::wanted(&config)?;
    let mut files = vec![("config.json".to_owned(), config)];
    for name in wanted.must {
        files.push((name.to_string(), file(folder, name, &mut progress).await?));
    }
    for name in wanted.may {
        if let Ok(bytes) = file(folder, name, &mut progress).await {
            files.push((name.to_string(), bytes));
        }
    }
    let single = match wanted.weights {
        Weights::Shards => None,
        Weights::Single | Weights::SingleOrShards => {
            Some(file(folder, SINGLE, &mut progress).await)
        }
    };
    match single {
        Some(Ok(bytes)) => files.push((SINGLE.to_owned(), bytes)),
        Some(Err(why)) if wanted.weights == Weights::Single => return Err(why),
        Some(Err(why)) => {
            let index = file(folder, INDEX, &mut progress).await;
            files.push((INDEX.to_owned(), index.map_err(|_| why)?));
        }
        None => {
            let index = file(folder, INDEX, &mut progress).await?;
            files.push((INDEX.to_owned(), index));
        }
    }
    let files = ModelFiles::from_memory(files);
    let index = Index::of(&files).map_err(|error| text::model_not_loaded(&error.to_string()))?;
    let index = index.unwrap_or_default();
    Ok(Folder {
        address: folder.to_owned(),
        shards: index.shards(),
        total: index.metadata.and_then(|about| about.total_size.as_f64()),
        files,
    })
}

#[derive(Default)]
struct Progress {
    received: f64,
    total: f64,
    /// Whether the total is known before the files come.
    known: bool,
    silent: bool,
    told: f64,
}

impl Progress {
    fn tell(&mut self, last: bool) {
        if self.silent {
            return;
        }
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
    if !progress.known {
        progress.total += length.unwrap_or_default();
    }
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
