//! The model's files, fetched with progress. A text policy's weights are streamed when the network takes them, again for another
//! device; they and what lies beside them stay on this device ([`crate::kept`]).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cropvlm_web::folder::{self, INDEX, SINGLE, Weights};
use cropvlm_web::protocol::{Answering, FromWorker, Stage};
use js_sys::{Reflect, Uint8Array};
use tensors::{Index, ModelFiles};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, ReadableStreamDefaultReader, RequestInit, Response};

use crate::error::{Result, WorkerError};
use crate::{kept, post};

/// Progress is told at most this often, milliseconds.
const EVERY: f64 = 60.0;

/// Files of this computer by their names.
pub type Chosen = BTreeMap<String, File>;

/// Where the files of a folder are.
pub enum Source {
    /// An address that ends in a slash.
    Address(String),
    /// On this computer, chosen by the person.
    Files(Chosen),
}

impl Source {
    /// Bytes of a file, where that is told without fetching it.
    async fn size(&self, name: &str) -> Option<f64> {
        match self {
            Self::Files(files) => files.get(name).map(|file| file.size()),
            Self::Address(folder) => {
                let init = RequestInit::new();
                init.set_method("HEAD");
                let reply =
                    post::scope().fetch_with_str_and_init(&format!("{folder}{name}"), &init);
                let reply: Response = JsFuture::from(reply).await.ok()?.dyn_into().ok()?;
                reply.ok().then(|| length(&reply))?
            }
        }
    }
}

/// Bytes of a reply, where its host says.
fn length(response: &Response) -> Option<f64> {
    let length = response.headers().get("content-length").ok().flatten();
    length?.parse().ok()
}

/// The device's memory in GiB, where the browser tells it (at most 8).
fn device_memory() -> Option<f64> {
    let navigator = Reflect::get(&post::scope(), &JsValue::from_str("navigator")).ok()?;
    Reflect::get(&navigator, &JsValue::from_str("deviceMemory"))
        .ok()?
        .as_f64()
}

/// A model folder, as far as it is here.
pub struct Folder {
    /// All files but a text policy's weights.
    pub files: ModelFiles,
    /// Where the rest is.
    source: Source,
    /// A text policy that was never taught to write boxes.
    pub training_free: bool,
    /// A text policy's weight files.
    weights: Vec<String>,
    /// Bytes of all of them, where their list says.
    total: Option<f64>,
}

impl Folder {
    /// Whether it holds a text policy.
    pub fn is_text(&self) -> bool {
        self.files.get("config.json").is_ok_and(folder::is_text)
    }

    /// Fetches a text policy's weight files one after the other. `take` gets a file's name and its bytes as they come, at its end
    /// `None`.
    ///
    /// # Errors
    /// A sentence naming the file that could not be fetched; those of `take`.
    pub async fn each_weight_file(
        &self,
        told: Told,
        mut take: impl FnMut(&str, Option<&Uint8Array>) -> Result<()>,
    ) -> Result<()> {
        let progress = Progress::new(told, self.total);
        for name in &self.weights {
            let on_chunk = |chunk: &Uint8Array| take(name, Some(chunk));
            stream(&self.source, name, true, &progress, on_chunk).await?;
            take(name, None)?;
        }
        Ok(())
    }

    /// Drops what is kept of it on this device: it turned out broken.
    pub async fn forget(&self) {
        if let Source::Address(folder) = &self.source {
            kept::forget(folder).await;
        }
    }
}

/// Fetches a model folder.
///
/// # Errors
/// A sentence naming the file that could not be fetched.
pub async fn model(source: Source, told: Told) -> Result<Folder> {
    let progress = Progress::new(told, None);
    // Which kind of model it is, this file says: it is kept where nothing else answers.
    let config = file(&source, "config.json", false, &progress).await;
    let config = match (config, &source) {
        (Err(_), Source::Address(_)) => file(&source, "config.json", true, &progress).await?,
        (config, _) => config?,
    };
    let wanted = folder::wanted(&config).map_err(WorkerError::Folder)?;
    let text = wanted.weights != Weights::Single;
    let file = async |name: &str| file(&source, name, text, &progress).await;
    if text {
        // Kept from now on.
        file("config.json").await?;
    }
    let mut files = vec![("config.json".to_owned(), config)];
    for name in wanted.must {
        files.push((name.to_string(), file(name).await?));
    }
    for name in wanted.may {
        if let Ok(bytes) = file(name).await {
            files.push((name.to_string(), bytes));
        }
    }
    match wanted.weights {
        Weights::Single => files.push((SINGLE.to_owned(), file(SINGLE).await?)),
        Weights::Shards => files.push((INDEX.to_owned(), file(INDEX).await?)),
        // Without a list of shards it is one file. Some hosts answer with a page where there is nothing.
        Weights::SingleOrShards => {
            let index = file(INDEX).await;
            if let Some(bytes) = index.ok().filter(|bytes| !bytes.starts_with(b"<")) {
                files.push((INDEX.to_owned(), bytes));
            }
        }
    }
    let files = ModelFiles::from_memory(files);
    let index =
        Index::of(&files).map_err(|error| WorkerError::NotLoaded(Box::new(error.into())))?;
    let (weights, total) = match index {
        Some(index) => {
            let total = index.metadata.as_ref();
            let total = total.and_then(|about| about.total_size.as_f64());
            (index.shards(), total)
        }
        None if wanted.weights == Weights::SingleOrShards => (vec![SINGLE.to_owned()], None),
        None => (Vec::new(), None),
    };
    if text {
        let bytes = match total {
            Some(total) => Some(total),
            None => source.size(SINGLE).await,
        };
        if let Some(bytes) = bytes {
            let config = files.get("config.json").unwrap_or_default();
            folder::fits(config, bytes, device_memory()).map_err(WorkerError::Folder)?;
        }
    }
    Ok(Folder {
        source,
        training_free: false,
        weights,
        total,
        files,
    })
}

/// How much has come; clones count together.
#[derive(Clone)]
struct Progress(Rc<Counts>);

struct Counts {
    received: Cell<f64>,
    total: Cell<f64>,
    /// Whether the total is known before the files come.
    known: bool,
    to: Told,
    told: Cell<f64>,
}

/// Who hears of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The page, as a stage of its model.
    Stage,
    /// The page, as a part of a question that is answered here.
    Answer(u32),
    /// Nobody.
    Nobody,
}

impl Progress {
    fn new(to: Told, total: Option<f64>) -> Self {
        Self(Rc::new(Counts {
            received: Cell::default(),
            total: Cell::new(total.unwrap_or_default()),
            known: total.is_some(),
            to,
            told: Cell::default(),
        }))
    }

    /// A file of so many bytes is on its way.
    fn expect(&self, bytes: Option<f64>) {
        if !self.0.known {
            self.0
                .total
                .update(|total| total + bytes.unwrap_or_default());
        }
    }

    /// So many more bytes came.
    fn add(&self, bytes: f64) {
        self.0.received.update(|received| received + bytes);
        self.tell(false);
    }

    fn tell(&self, last: bool) {
        let now = post::now();
        if !last && now - self.0.told.get() < EVERY {
            return;
        }
        self.0.told.set(now);
        let received = self.0.received.get();
        let total = self.0.total.get();
        let total = (total >= received).then_some(total);
        match self.0.to {
            Told::Nobody => {}
            Told::Stage => {
                let stage = Stage::Download { received, total };
                post::message(&FromWorker::Stage(stage));
            }
            Told::Answer(job) => {
                let progress = Answering::Download { received, total };
                post::message(&FromWorker::Answering { job, progress });
            }
        }
    }
}

/// A whole file.
async fn file(source: &Source, name: &str, keep: bool, progress: &Progress) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let on_chunk = |chunk: &Uint8Array| {
        let start = bytes.len();
        bytes.resize(start + chunk.length() as usize, 0);
        chunk.copy_to(&mut bytes[start..]);
        Ok(())
    };
    stream(source, name, keep, progress, on_chunk).await?;
    Ok(bytes)
}

/// A file, chunk by chunk; with `keep`, it stays on this device.
async fn stream(
    source: &Source,
    name: &str,
    keep: bool,
    progress: &Progress,
    mut on_chunk: impl FnMut(&Uint8Array) -> Result<()>,
) -> Result<()> {
    let wrong = |reason: &str| WorkerError::NotFetched {
        file: name.to_owned(),
        reason: reason.to_owned(),
    };
    let (stream, length, heard) = match source {
        Source::Address(folder) => {
            let url = format!("{folder}{name}");
            let (response, heard) = fetched(&url, keep, progress)
                .await
                .map_err(|why| wrong(why.as_string().as_deref().unwrap_or("no reply")))?;
            if !response.ok() {
                return Err(wrong(&format!("status {}", response.status())));
            }
            (response.body(), length(&response), heard)
        }
        Source::Files(files) => {
            let file = files
                .get(name)
                .ok_or_else(|| wrong("it is not among the chosen files"))?;
            (Some(file.stream()), Some(file.size()), false)
        }
    };
    if !heard {
        progress.expect(length);
    }
    let reader: ReadableStreamDefaultReader = stream
        .and_then(|stream| stream.get_reader().dyn_into().ok())
        .ok_or_else(|| wrong("empty"))?;
    loop {
        let result = JsFuture::from(reader.read())
            .await
            .map_err(|_| wrong("the connection broke"))?;
        let value = Reflect::get(&result, &JsValue::from_str("value")).unwrap_or_default();
        let Ok(chunk) = value.dyn_into::<Uint8Array>() else {
            break;
        };
        on_chunk(&chunk)?;
        if !heard {
            progress.add(f64::from(chunk.length()));
        }
    }
    progress.tell(true);
    Ok(())
}

/// The reply for an address, and whether `progress` has heard of its bytes.
async fn fetched(
    url: &str,
    keep: bool,
    progress: &Progress,
) -> std::result::Result<(Response, bool), JsValue> {
    if !keep {
        let response = JsFuture::from(post::scope().fetch_with_str(url)).await?;
        return Ok((response.dyn_into()?, false));
    }
    let progress = progress.clone();
    let mut before = None;
    let on_progress = move |received: f64, total| {
        if before.is_none() {
            progress.expect(total);
        }
        progress.add(received - before.unwrap_or_default());
        before = Some(received);
    };
    kept::fetch(url, on_progress).await
}
