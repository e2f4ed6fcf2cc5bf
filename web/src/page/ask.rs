//! "Ask": picture, crop and question go to an OpenAI-compatible endpoint, and its answer streams in.
//!
//! What is sent and how replies are read is `vlm-api`'s; here is the browser's part, `fetch`. The key is read
//! from its field when "Ask" is pressed, goes into one header, and is kept nowhere else. The picture is sent at
//! most [`cropvlm_web::protocol::MAX_SENT_EDGE`] pixels long (the worker scales it); the crop is sent as it is.

use std::rc::Rc;

use cropvlm_web::protocol::ToWorker;
use cropvlm_web::text;
use grounding::Case;
use js_sys::{Reflect, Uint8Array};
use vlm_api::{ApiError, Endpoint, Image, Key, MediaType, Question, Request, openai};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, Blob, ReadableStreamDefaultReader, ReferrerPolicy, RequestCache,
    RequestCredentials, RequestInit, Response,
};

use crate::app::App;
use crate::ui::{say, show};

/// A question on its way.
pub struct Asking {
    job: u32,
    endpoint: Endpoint,
    question: String,
    /// The crop as PNG.
    crop: Blob,
    abort: AbortController,
}

impl App {
    /// A click on "Ask".
    pub fn ask(&self) {
        if self.asking.borrow().is_some() {
            return;
        }
        say(&self.ui.ask_message, None);
        show(&self.ui.answer_row, false);
        self.ui.answer.set_text_content(None);
        match self.prepare() {
            Ok((asking, picture)) => {
                let job = asking.job;
                *self.asking.borrow_mut() = Some(asking);
                self.draw_asking();
                show(&self.ui.answer_row, true);
                self.ui.answer.set_text_content(Some(text::SENDING));
                self.ui.answer.class_list().add_1("waiting").ok();
                self.post(&ToWorker::Encode { job, picture }, None);
            }
            Err(why) => say(&self.ui.ask_message, Some(&why)),
        }
    }

    /// Everything that can be checked before anything is sent.
    fn prepare(&self) -> Result<(Asking, u32), String> {
        let state = self.state.borrow();
        let shown = state.shown.as_ref().ok_or(text::NEED_PICTURE)?;
        let question = self.ui.question();
        if question.is_empty() {
            return Err(text::NEED_QUESTION.into());
        }
        let proposal = shown.proposal.as_ref().ok_or(text::NEED_CROP)?;
        let endpoint = Endpoint {
            base_url: self.ui.base_url.value().trim().to_owned(),
            model: self.ui.model.value().trim().to_owned(),
            key: Key::new(&self.ui.key.value()).map_err(|error| error.to_string())?,
        };
        if endpoint.base_url.is_empty() {
            return Err(text::NEED_BASE_URL.into());
        }
        if endpoint.model.is_empty() {
            return Err(text::NEED_MODEL.into());
        }
        let abort = AbortController::new().map_err(|_| text::NO_WORKER)?;
        let asking = Asking {
            job: self.number(),
            endpoint,
            question,
            crop: proposal.crop.clone(),
            abort,
        };
        Ok((asking, shown.picture.number))
    }

    /// The worker has encoded the picture: off it goes.
    pub fn encoded(self: &Rc<Self>, job: u32, picture: Option<Blob>) {
        let Some(picture) = picture else { return };
        let app = Rc::clone(self);
        spawn_local(async move {
            let Some((request, key, abort)) = app.request(job, &picture).await else {
                return;
            };
            let ended = app.send(&request, &key, &abort, job).await;
            if !app.is_asking(job) {
                return;
            }
            match ended {
                Ok(()) => app.ask_ended(None),
                Err(_) if abort.signal().aborted() => app.ask_ended(Some(text::STOPPED)),
                Err(error) => app.ask_ended(Some(&error.to_string())),
            }
        });
    }

    /// Builds the request; on failure says so and gives `None`.
    async fn request(&self, job: u32, picture: &Blob) -> Option<(Request, Key, AbortController)> {
        let (endpoint, question, crop, abort) = {
            let asking = self.asking.borrow();
            let asking = asking.as_ref().filter(|asking| asking.job == job)?;
            (
                asking.endpoint.clone(),
                asking.question.clone(),
                asking.crop.clone(),
                asking.abort.clone(),
            )
        };
        let (picture_bytes, crop_bytes) = (bytes(picture).await, bytes(&crop).await);
        let (Some(picture_bytes), Some(crop_bytes)) = (picture_bytes, crop_bytes) else {
            self.ask_failed(job, text::BROKEN);
            return None;
        };
        let media_type = if picture.type_() == "image/png" {
            MediaType::Png
        } else {
            MediaType::Jpeg
        };
        let asked = Question {
            text: &question,
            case: Case::Keep,
            image: Image {
                media_type,
                bytes: &picture_bytes,
            },
            crop: Some(Image {
                media_type: MediaType::Png,
                bytes: &crop_bytes,
            }),
        };
        match openai::request(&endpoint, &asked) {
            Ok(request) => Some((request, endpoint.key, abort)),
            Err(error) => {
                self.ask_failed(job, &error.to_string());
                None
            }
        }
    }

    /// Sends the request and shows the answer as it comes.
    async fn send(
        &self,
        request: &Request,
        key: &Key,
        abort: &AbortController,
        job: u32,
    ) -> Result<(), ApiError> {
        let response = fetch(request, abort)
            .await
            .map_err(|_| request.unreachable())?;
        let retry_after = response.headers().get("retry-after").ok().flatten();
        let mut reply = openai::Reply::new(response.status(), retry_after.as_deref(), key);
        let reader = response.body().and_then(|body| {
            body.get_reader()
                .dyn_into::<ReadableStreamDefaultReader>()
                .ok()
        });
        if let Some(reader) = reader {
            // A read that fails is a connection that broke: `finish` knows what that means.
            while let Some(chunk) = read(&reader).await {
                let added = reply.push(&chunk)?;
                if !added.is_empty() && self.is_asking(job) {
                    self.ui.answer.class_list().remove_1("waiting").ok();
                    self.ui.answer.set_text_content(Some(reply.text()));
                }
            }
        }
        let answer = reply.finish()?;
        self.ui.answer.set_text_content(Some(answer.text.trim()));
        Ok(())
    }

    fn is_asking(&self, job: u32) -> bool {
        self.asking
            .borrow()
            .as_ref()
            .is_some_and(|asking| asking.job == job)
    }

    /// A click on "Stop".
    pub fn stop(&self) {
        let abort = self
            .asking
            .borrow()
            .as_ref()
            .map(|asking| asking.abort.clone());
        if let Some(abort) = abort {
            abort.abort();
            self.ask_ended(Some(text::STOPPED));
        }
    }

    /// The question could not be sent.
    pub fn ask_failed(&self, job: u32, why: &str) {
        if self.is_asking(job) {
            self.ask_ended(Some(why));
        }
    }

    fn ask_ended(&self, why: Option<&str>) {
        *self.asking.borrow_mut() = None;
        // What has arrived of an answer stays; the words of waiting do not.
        if self.ui.answer.class_list().contains("waiting") {
            self.ui.answer.set_text_content(None);
            show(&self.ui.answer_row, false);
        }
        self.ui.answer.class_list().remove_1("waiting").ok();
        say(&self.ui.ask_message, why);
        self.draw_asking();
    }

    fn draw_asking(&self) {
        let busy = self.asking.borrow().is_some();
        self.ui.ask.set_disabled(busy);
        show(&self.ui.stop, busy);
    }
}

async fn fetch(request: &Request, abort: &AbortController) -> Result<Response, JsValue> {
    let options = RequestInit::new();
    options.set_method("POST");
    options.set_body(&JsValue::from_str(&request.body));
    options.set_signal(Some(&abort.signal()));
    // Nothing of this page or its browser goes along.
    options.set_credentials(RequestCredentials::Omit);
    options.set_referrer_policy(ReferrerPolicy::NoReferrer);
    options.set_cache(RequestCache::NoStore);
    let request_object = web_sys::Request::new_with_str_and_init(&request.url, &options)?;
    for (name, value) in &request.headers {
        request_object.headers().set(name, value)?;
    }
    let window = web_sys::window().ok_or(JsValue::NULL)?;
    JsFuture::from(window.fetch_with_request(&request_object))
        .await?
        .dyn_into()
}

/// The next bytes, or `None` at the end, good or bad.
async fn read(reader: &ReadableStreamDefaultReader) -> Option<Vec<u8>> {
    let result = JsFuture::from(reader.read()).await.ok()?;
    let value = Reflect::get(&result, &"value".into()).ok()?;
    Some(value.dyn_into::<Uint8Array>().ok()?.to_vec())
}

async fn bytes(blob: &Blob) -> Option<Vec<u8>> {
    let buffer = JsFuture::from(blob.array_buffer()).await.ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}
