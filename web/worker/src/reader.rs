//! SmolVLM as the one that answers, in the browser: fetched for the first question, then kept.
//!
//! Between two tokens other messages are heard, the one that stops among them.

use std::cell::Cell;
use std::rc::Rc;

use cropvlm_web::protocol::{Answered, Answering, FromWorker};
use futures_util::lock::Mutex;
use js_sys::Uint8Array;
use picture::RgbImage;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::engine::Engine;
use crate::error::{Result, WorkerError};
use crate::fetch::{self, Folder, Source, Told};
use crate::second::{Model, Second};
use crate::{gpu, post};

/// Tokens of an answer at most: what is asked for is brief.
const MAX_TOKENS: usize = 256;
/// Tiles along the longest edge of each picture: SmolVLM's 512 pixels, as in the paper's cheapest setting.
pub const TILES: u32 = 1;

/// The reader, once it was asked for.
#[derive(Default)]
pub struct Reader {
    /// Address of its folder, and the model.
    loaded: Mutex<Option<(String, Rc<Model>)>>,
    /// The question that is being answered.
    newest: Cell<u32>,
}

impl Reader {
    /// Notes which question is to be answered; 0: none.
    pub fn supersede(&self, job: u32) {
        self.newest.set(job);
    }

    /// No more of an answer is wanted.
    pub fn stop(&self, job: u32) {
        if self.newest.get() == job {
            self.newest.set(0);
        }
    }

    /// Answers a prompt about pictures, and says how likely it finds the answer `weighed`.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn answer(
        &self,
        engine: &Engine,
        job: u32,
        folder: &str,
        prompt: &str,
        weighed: Option<String>,
        pictures: Vec<Blob>,
    ) -> Result<Answered> {
        let mut decoded = Vec::new();
        for picture in &pictures {
            decoded.push(pixels(picture).await?);
        }
        let model = self.model(engine, folder, job).await?;
        self.still(job)?;
        let tell = |progress| post::message(&FromWorker::Answering { job, progress });
        tell(Answering::Reading);
        post::pause(0).await;
        let answer = {
            let _turn = engine.turn().await;
            self.still(job)?;
            model
                .read(&decoded, TILES, prompt, MAX_TOKENS, weighed)
                .await?
        };
        let mut written = String::new();
        while !answer.done() {
            post::pause(0).await;
            self.still(job)?;
            let _turn = engine.turn().await;
            written = model.write(&answer).await?;
            tell(Answering::Writing(written.trim().to_owned()));
        }
        let (prompt_tokens, tokens) = answer.tokens();
        Ok(Answered {
            text: written.trim().to_owned(),
            prompt_tokens,
            tokens,
            log_prob: answer.log_prob(),
            finished: (tokens as usize) < MAX_TOKENS,
        })
    }

    /// The model, where one was asked before.
    pub async fn loaded(&self) -> Option<Rc<Model>> {
        let loaded = self.loaded.lock().await;
        loaded.as_ref().map(|(_, model)| Rc::clone(model))
    }

    async fn model(&self, engine: &Engine, folder: &str, job: u32) -> Result<Rc<Model>> {
        if let Some(model) = engine.reader(folder) {
            return Ok(model);
        }
        let mut loaded = self.loaded.lock().await;
        if let Some((known, model)) = &*loaded
            && known == folder
        {
            return Ok(Rc::clone(model));
        }
        // First the memory of the old one, then the new one.
        *loaded = None;
        let files = fetch::model(Source::Address(folder.to_owned()), Told::Answer(job)).await?;
        if !files.is_text() {
            return Err(WorkerError::NoReader);
        }
        let model = match engine.wants_webgpu() {
            true => on_webgpu(&files, job).await,
            false => None,
        };
        let model = match model {
            Some(model) => model,
            None => {
                let (module, _) = Second::smolvlm(engine.most_threads()).await?;
                let model = module.text_policy(&files, false, Told::Answer(job)).await;
                model.map_err(|why| WorkerError::NotLoaded(Box::new(why)))?
            }
        };
        let model = Rc::new(model);
        *loaded = Some((folder.to_owned(), Rc::clone(&model)));
        Ok(model)
    }

    fn still(&self, job: u32) -> Result<()> {
        if self.newest.get() == job {
            Ok(())
        } else {
            Err(WorkerError::Stopped)
        }
    }
}

/// The reader on WebGPU; nothing, and a warning, where it cannot run there.
async fn on_webgpu(files: &Folder, job: u32) -> Option<Model> {
    gpu::adapter_name().await?;
    let model = async {
        let module = Second::smolvlm_on_webgpu().await?;
        module.text_policy(files, true, Told::Answer(job)).await
    };
    let model = model.await;
    model.inspect_err(|why| post::warn(&why.to_string())).ok()
}

/// The pixels of a picture that the page made.
async fn pixels(file: &Blob) -> Result<RgbImage> {
    let buffer = JsFuture::from(file.array_buffer()).await?;
    Ok(picture::decode(&Uint8Array::new(&buffer).to_vec())?)
}
