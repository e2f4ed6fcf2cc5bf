//! "Ask" and "Compare": picture, crop and question go to the chosen provider, and answers stream in.
//!
//! What is sent and how replies are read is `vlm-api`'s; how it travels is in [`crate::send`]. The key is read from
//! its field when a button is pressed and goes into one header. The picture is sent at most [`App::edge`] pixels long
//! (the worker scales it); the crop is sent as it is. "Compare" asks three times, one after the other, so that no
//! run waits for another.

use std::rc::Rc;

use cropvlm_web::compare::{Forecast, Variant};
use cropvlm_web::protocol::ToWorker;
use cropvlm_web::text::{self, asking};
use vlm_api::{ApiError, Endpoint, Price, Provider};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, Blob};

use crate::app::App;
use crate::request::request;
use crate::send::{self, Told};
use crate::ui::{say, show};

/// A question on its way.
#[derive(Clone)]
pub struct Asking {
    job: u32,
    pub provider: Provider,
    pub endpoint: Endpoint,
    pub question: String,
    /// The template of the prompt.
    pub prompt: String,
    /// Whether the crop goes without the full picture.
    pub crop_only: bool,
    /// What is to become of it.
    purpose: Purpose,
    /// What is shown to the model, in turn: the crop alone for "Ask", all variants for "Compare".
    pub variants: &'static [Variant],
    /// The crop as PNG.
    pub crop: Blob,
    /// The picture, once the worker has encoded it.
    pub picture: Option<Blob>,
    /// The grey picture, once the worker has made it.
    pub blank: Option<Blob>,
    pub price: Option<Price>,
    pub forecast: Option<Forecast>,
    abort: AbortController,
}

/// Why a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be sent, once.
    Ask,
    /// To be sent in three variants.
    Compare,
    /// To be copied.
    Copy,
}

impl Purpose {
    fn variants(self) -> &'static [Variant] {
        match self {
            Purpose::Ask | Purpose::Copy => &[Variant::Crop],
            Purpose::Compare => &Variant::ALL,
        }
    }
}

impl App {
    /// A click on "Ask".
    pub fn ask(&self) {
        self.begin(Purpose::Ask);
    }

    /// A click on "Compare".
    pub fn compare(&self) {
        self.begin(Purpose::Compare);
    }

    /// Makes ready what the purpose needs; [`App::arrive`] goes on.
    pub fn begin(&self, purpose: Purpose) {
        if self.asking.borrow().is_some() {
            return;
        }
        say(&self.ui.ask_message, None);
        self.list(&self.desk.reasons, &[]);
        match purpose {
            Purpose::Ask => {
                show(&self.ui.answer_row, false);
                self.desk.answer.plain("");
            }
            Purpose::Compare => self.clear_runs(),
            Purpose::Copy => say(&self.desk.prompt_note, None),
        }
        let (asking, picture, crop) = match self.prepare(purpose) {
            Ok(prepared) => prepared,
            Err(why) => return say(&self.ui.ask_message, Some(&why)),
        };
        let job = asking.job;
        *self.asking.borrow_mut() = Some(asking);
        self.draw_asking();
        match purpose {
            Purpose::Ask => {
                show(&self.ui.answer_row, true);
                self.desk.answer.wait(text::SENDING);
            }
            Purpose::Compare => {
                show(&self.desk.runs, true);
                let (width, height) = crop;
                self.post(&ToWorker::Blank { job, width, height }, None);
            }
            Purpose::Copy => {}
        }
        let edge = self.edge();
        self.post(&ToWorker::Encode { job, picture, edge }, None);
    }

    /// Everything that can be checked before anything is sent; with it the picture's number and the crop's size.
    fn prepare(&self, purpose: Purpose) -> Result<(Asking, u32, (u32, u32)), String> {
        let (_, forecast) = self.forecast();
        let state = self.state.borrow();
        let shown = state.shown.as_ref().ok_or(text::NEED_PICTURE)?;
        let question = self.ui.question();
        if question.is_empty() {
            return Err(text::NEED_QUESTION.into());
        }
        let missing = if purpose == Purpose::Compare {
            asking::NEED_CROP_TO_COMPARE
        } else {
            text::NEED_CROP
        };
        let proposal = shown.proposal.as_ref().ok_or(missing)?;
        let endpoint = self.endpoint()?;
        let provider = self.desk.chosen.get();
        // A request that is copied has no key in it anyway.
        let lacking = self.lacks(provider, &endpoint);
        if let Some(lacking) = lacking.filter(|_| purpose != Purpose::Copy) {
            return Err(lacking);
        }
        let abort = AbortController::new().map_err(|_| text::NO_WORKER)?;
        let pixels = &proposal.pixels;
        let asking = Asking {
            job: self.number(),
            provider,
            endpoint,
            question,
            prompt: self.desk.prompt.value(),
            crop_only: self.desk.crop_only.checked(),
            purpose,
            variants: purpose.variants(),
            crop: proposal.crop.clone(),
            picture: None,
            blank: None,
            price: self.price(),
            forecast,
            abort,
        };
        let size = (pixels.x2 - pixels.x1, pixels.y2 - pixels.y1);
        Ok((asking, shown.picture.number, size))
    }

    /// The worker has encoded the picture.
    pub fn encoded(self: &Rc<Self>, job: u32, picture: Option<Blob>) {
        self.arrive(job, |asking| asking.picture = picture);
    }

    /// The worker has made the grey picture.
    pub fn blanked(self: &Rc<Self>, job: u32, blank: Option<Blob>) {
        self.arrive(job, |asking| asking.blank = blank);
    }

    /// Takes a part; when all are there, off they go.
    fn arrive(self: &Rc<Self>, job: u32, take: impl FnOnce(&mut Asking)) {
        let ready = {
            let mut asking = self.asking.borrow_mut();
            let Some(asking) = asking.as_mut().filter(|asking| asking.job == job) else {
                return;
            };
            take(asking);
            asking.is_complete().then(|| asking.clone())
        };
        let Some(asking) = ready else { return };
        let app = Rc::clone(self);
        spawn_local(async move {
            match asking.purpose {
                Purpose::Ask => app.run_one(&asking).await,
                Purpose::Compare => app.run_all(&asking).await,
                Purpose::Copy => app.copy_request(&asking).await,
            }
        });
    }

    async fn run_one(&self, asking: &Asking) {
        let variant = asking.variants[0];
        let told = self
            .run(asking, variant, |text, thoughts| {
                self.desk.answer.stream(text, thoughts);
            })
            .await;
        if !self.is_asking(asking.job) {
            return;
        }
        match told {
            Ok(told) => {
                let place = &self.desk.answer;
                place.finish(&told.answer.text, &told.answer.thoughts);
                place.note(Some(&facts(asking, variant, &told)));
                self.ask_ended(None);
            }
            Err(_) if asking.abort.signal().aborted() => self.ask_ended(Some(text::STOPPED)),
            Err(error) => {
                self.ask_ended(Some(&error.to_string()));
                let base_url = &asking.endpoint.base_url;
                let below = &self.ui.ask_message;
                self.explain(&error, asking.provider, base_url, below).await;
            }
        }
    }

    /// Asks once; `show` gets answer and thoughts so far, as long as this question is still the one.
    pub async fn run(
        &self,
        asking: &Asking,
        variant: Variant,
        show: impl Fn(&str, &str),
    ) -> Result<Told, ApiError> {
        let request = request(asking, variant).await?;
        let key = &asking.endpoint.key;
        let show = |text: &str, thoughts: &str| {
            if self.is_asking(asking.job) {
                show(text, thoughts);
            }
        };
        send::ask(asking.provider, &request, key, &asking.abort, show).await
    }

    pub fn is_asking(&self, job: u32) -> bool {
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

    /// The worker is gone: what a question still waited for will not come.
    pub fn ask_lost(&self) {
        let waits = self
            .asking
            .borrow()
            .as_ref()
            .is_some_and(|asking| !asking.is_complete());
        if waits {
            self.ask_ended(Some(text::BROKEN));
        }
    }

    /// Nothing is on its way any more.
    pub fn ask_ended(&self, why: Option<&str>) {
        *self.asking.borrow_mut() = None;
        // What has arrived of an answer stays; the words of waiting do not.
        let place = &self.desk.answer;
        if place.waits() {
            place.plain("");
            show(&self.ui.answer_row, place.thought());
        }
        self.leave_runs();
        say(&self.ui.ask_message, why);
        self.draw_asking();
    }

    fn draw_asking(&self) {
        let busy = self.asking.borrow().is_some();
        self.ui.ask.set_disabled(busy);
        self.desk.compare.set_disabled(busy);
        self.desk.curl.set_disabled(busy);
        show(&self.ui.stop, busy);
    }
}

impl Asking {
    pub fn job(&self) -> u32 {
        self.job
    }

    /// Whether all pictures are there.
    fn is_complete(&self) -> bool {
        let blank = self.blank.is_some() || !self.variants.contains(&Variant::Blank);
        self.picture.is_some() && blank
    }

    pub fn stopped(&self) -> bool {
        self.abort.signal().aborted()
    }
}

/// Time, tokens and money of an answer.
pub fn facts(asking: &Asking, variant: Variant, told: &Told) -> String {
    let foreseen = asking.forecast.map(|forecast| forecast.of(variant));
    let usage = told.answer.usage.as_ref();
    asking::facts(
        told.first,
        told.total,
        usage,
        foreseen,
        asking.price.as_ref(),
    )
}
