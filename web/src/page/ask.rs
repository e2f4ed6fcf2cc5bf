//! "Ask" and "Compare": picture, crop and question go to the chosen provider, and answers stream in.
//!
//! What is sent and how replies are read is `vlm-api`'s; how it travels is in [`crate::send`]; what SmolVLM in this browser
//! answers comes through [`crate::local`]. The key is read from
//! its field when a button is pressed and goes into one header. The picture is sent at most [`App::edge`] pixels long
//! and a small crop enlarged to [`App::enlarge`] (the worker scales both). Which picture, question and crop go together is
//! the state's to say ([`cropvlm_web::state`]). "Compare" asks three times, one after the other, so that no run waits for
//! another.

use std::rc::Rc;

use cropvlm_web::answerer::Answerer;
use cropvlm_web::compare::{Forecast, Variant};
use cropvlm_web::state::{Event, Key, Pressed};
use cropvlm_web::text::{self, asking};
use vlm_api::{ApiError, Endpoint, Price};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, Blob};

use crate::app::App;
use crate::request::request;
use crate::send::{self, Told};
use crate::ui::{say, show};

/// What "Ask" was pressed with: it goes with the question, whatever is typed meanwhile.
#[derive(Clone)]
pub struct Chosen {
    answerer: Answerer,
    endpoint: Endpoint,
    prompt: String,
    crop_only: bool,
    purpose: Purpose,
    price: Option<Price>,
}

/// A question on its way.
#[derive(Clone)]
pub struct Asking {
    job: u32,
    pub answerer: Answerer,
    pub endpoint: Endpoint,
    pub question: String,
    /// The template of the prompt.
    pub prompt: String,
    /// An answer whose chance is wanted, too: "Compare" asks the model in this browser for it.
    pub weighed: Option<String>,
    /// Whether the crop goes without the full picture.
    pub crop_only: bool,
    /// What is to become of it.
    purpose: Purpose,
    /// What is shown to the model, in turn: the crop alone for "Ask", all variants for "Compare".
    pub variants: &'static [Variant],
    /// The picture as it is sent.
    pub picture: Option<Blob>,
    /// The crop as PNG, as large as it is sent.
    pub crop: Option<Blob>,
    /// The grey picture.
    pub blank: Option<Blob>,
    pub price: Option<Price>,
    pub forecast: Option<Forecast>,
    abort: AbortController,
}

/// Why there is no answer; `Display` is for the person.
pub enum Failed {
    /// Something with the provider.
    Api(ApiError),
    /// Something with the model in this browser.
    Here(String),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Failed::Api(error)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Api(error) => error.fmt(f),
            Failed::Here(why) => f.write_str(why),
        }
    }
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
    pub fn ask(self: &Rc<Self>) {
        self.begin(Purpose::Ask);
    }

    /// A click on "Compare".
    pub fn compare(self: &Rc<Self>) {
        self.begin(Purpose::Compare);
    }

    /// Makes ready what the purpose needs; [`App::send`] goes on.
    pub fn begin(self: &Rc<Self>, purpose: Purpose) {
        self.hear_question();
        let busy = self.seen.borrow().as_ref().is_some_and(|seen| seen.asking);
        if busy {
            return;
        }
        self.list(&self.ask_panel.reasons, &[]);
        if purpose == Purpose::Copy {
            say(&self.ask_panel.prompt_note, None);
        }
        let lacking = match self.choose_provider(purpose) {
            Ok(chosen) => {
                *self.chosen.borrow_mut() = Some(chosen);
                None
            }
            Err(why) => Some(why),
        };
        self.dispatch(Event::Ask(Pressed {
            comparing: purpose == Purpose::Compare,
            copying: purpose == Purpose::Copy,
            lacking,
            edge: self.edge(),
            enlarge: self.enlarge(),
        }));
    }

    /// The provider with everything that it needs.
    fn choose_provider(&self, purpose: Purpose) -> Result<Chosen, String> {
        let endpoint = self.endpoint()?;
        let answerer = self.ask_panel.chosen.get();
        // A request that is copied has no key in it anyway.
        let lacking = self.lacks(answerer, &endpoint);
        if let Some(lacking) = lacking.filter(|_| purpose != Purpose::Copy) {
            return Err(lacking);
        }
        Ok(Chosen {
            answerer,
            endpoint,
            prompt: self.ask_panel.prompt.value(),
            crop_only: self.ask_panel.crop_only.checked(),
            purpose,
            price: self.price(),
        })
    }

    /// A question begins: its pictures are being made.
    pub fn ask_begins(&self, comparing: bool) {
        if comparing {
            return self.clear_runs();
        }
        self.ask_panel
            .answer
            .wait(match self.ask_panel.chosen.get() {
                Answerer::Provider(_) => text::SENDING,
                Answerer::Here => asking::READING,
            });
        show(&self.ui.answer_row, true);
    }

    /// All pictures of the question are there.
    pub fn send(self: &Rc<Self>) {
        let (_, forecast) = self.forecast();
        let asking = {
            let state = self.state.borrow();
            let chosen = self.chosen.borrow_mut().take();
            let (Some(asked), Some(chosen)) = (state.asking.as_ref(), chosen) else {
                return;
            };
            let Ok(abort) = AbortController::new() else {
                return;
            };
            let blob = |key: Option<Key>| key.and_then(|key| self.table.blob(key));
            Asking {
                job: asked.job,
                answerer: chosen.answerer,
                endpoint: chosen.endpoint,
                question: asked.about.question.clone(),
                prompt: chosen.prompt,
                weighed: (chosen.purpose == Purpose::Compare)
                    .then(|| self.ask_panel.weighed.value().trim().to_owned())
                    .filter(|answer| !answer.is_empty()),
                crop_only: chosen.crop_only,
                purpose: chosen.purpose,
                variants: chosen.purpose.variants(),
                picture: blob(asked.picture),
                crop: blob(asked.crop),
                blank: blob(asked.blank),
                price: chosen.price,
                forecast,
                abort,
            }
        };
        *self.asking.borrow_mut() = Some(asking.clone());
        let app = Rc::clone(self);
        spawn_local(async move {
            match asking.purpose {
                Purpose::Ask => app.run_one(&asking).await,
                Purpose::Compare => app.run_all(&asking).await,
                Purpose::Copy => app.copy_request(&asking).await,
            }
        });
    }

    async fn run_one(self: &Rc<Self>, asking: &Asking) {
        let variant = asking.variants[0];
        let told = self
            .run(asking, variant, |text, thoughts| {
                self.ask_panel.answer.stream(text, thoughts);
            })
            .await;
        if !self.is_asking(asking.job) {
            return;
        }
        match told {
            Ok(told) => {
                let place = &self.ask_panel.answer;
                place.finish(&told.answer.text, &told.answer.thoughts);
                place.note(Some(&facts(asking, variant, &told)));
                self.ask_ended(asking.job, None);
            }
            Err(_) if asking.abort.signal().aborted() => {
                self.ask_ended(asking.job, Some(text::STOPPED));
            }
            Err(error) => {
                self.ask_ended(asking.job, Some(&error.to_string()));
                self.explain_failed(&error, asking).await;
            }
        }
    }

    /// Asks once; `show` gets answer and thoughts so far, as long as this question is still the one.
    pub async fn run(
        &self,
        asking: &Asking,
        variant: Variant,
        show: impl Fn(&str, &str),
    ) -> Result<Told, Failed> {
        let show = |text: &str, thoughts: &str| {
            if self.is_asking(asking.job) {
                show(text, thoughts);
            }
        };
        let Some(provider) = asking.answerer.provider() else {
            let told = self.ask_here(asking, variant, show).await;
            return told.map_err(Failed::Here);
        };
        let request = request(provider, asking, variant).await?;
        let key = &asking.endpoint.key;
        Ok(send::ask(provider, &request, key, &asking.abort, show).await?)
    }

    /// Lists what may be wrong where a provider sent no reply.
    pub async fn explain_failed(&self, error: &Failed, asking: &Asking) {
        if let (Failed::Api(error), Some(provider)) = (error, asking.answerer.provider()) {
            let base_url = &asking.endpoint.base_url;
            let below = &self.ui.ask_message;
            self.explain(error, provider, base_url, below).await;
        }
    }

    /// A click on "Stop".
    pub fn stop(self: &Rc<Self>) {
        self.dispatch(Event::Stop);
    }

    /// Whether this question is still the one.
    pub fn is_asking(&self, job: u32) -> bool {
        let state = self.state.borrow();
        state
            .asking
            .as_ref()
            .is_some_and(|asking| asking.job == job)
    }

    /// What is on its way of a question is not wanted any more.
    pub fn abort(&self, job: u32) {
        let asking = self.asking.borrow_mut().take_if(|asking| asking.job == job);
        if let Some(asking) = asking {
            asking.abort.abort();
        }
    }

    /// A question ended.
    pub fn ask_ended(self: &Rc<Self>, job: u32, why: Option<&str>) {
        self.asking.borrow_mut().take_if(|asking| asking.job == job);
        let why = why.map(str::to_owned);
        self.dispatch(Event::AskEnded { job, why });
    }

    /// What has arrived of an answer stays; the words of waiting do not.
    pub fn leave_waiting(&self) {
        let place = &self.ask_panel.answer;
        if place.waits() {
            place.plain("");
        }
        self.leave_runs();
    }
}

impl Asking {
    pub fn job(&self) -> u32 {
        self.job
    }

    pub fn stopped(&self) -> bool {
        self.abort.signal().aborted()
    }
}

/// Time, tokens and money of an answer.
pub fn facts(asking: &Asking, variant: Variant, told: &Told) -> String {
    let foreseen = asking.forecast.map(|forecast| forecast.of(variant));
    let usage = told.answer.usage.as_ref();
    let mut words = asking::facts(
        told.first,
        told.total,
        usage,
        foreseen,
        asking.price.as_ref(),
    );
    if let Some(log_prob) = told.log_prob {
        words += &asking::log_prob(log_prob);
    }
    words
}
