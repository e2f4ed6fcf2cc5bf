//! Answers of SmolVLM in this browser: the worker computes them, this waits for them as [`crate::send`] waits for a provider's.

use std::rc::Rc;

use cropvlm_web::answerer::folder;
use cropvlm_web::compare::Variant;
use cropvlm_web::prompt::fill;
use cropvlm_web::protocol::{Answered, Answering, ToWorker};
use cropvlm_web::text::{self, asking};
use js_sys::Array;
use vlm_api::{Answer, Usage};
use web_sys::Url;

use crate::app::{App, now, pause};
use crate::ask::Asking;
use crate::request::parts;
use crate::send::Told;
use crate::ui::say;

/// Milliseconds between two looks at what has come.
const TICK: i32 = 20;

/// What has come of an answer.
#[derive(Default)]
pub struct Coming {
    job: u32,
    /// The text so far.
    text: String,
    /// When its first word came.
    first: Option<f64>,
    ended: Option<Result<Answered, String>>,
}

impl App {
    /// Shows the fields that the answerer needs.
    pub fn show_fields(&self, here: bool) {
        self.ui
            .root
            .dataset()
            .set("answerer", if here { "here" } else { "provider" })
            .ok();
    }

    /// Asks SmolVLM; `show` gets the answer so far.
    ///
    /// # Errors
    /// A sentence for a person.
    pub async fn ask_here(
        &self,
        asking: &Asking,
        variant: Variant,
        show: impl Fn(&str, &str),
    ) -> Result<Told, String> {
        let start = now();
        let (pictures, blobs) = parts(asking, variant);
        let prompt = fill(&asking.prompt, &asking.question, pictures);
        let endpoint = &asking.endpoint;
        let model = folder(&endpoint.base_url, &endpoint.model);
        let model = Url::new_with_base(&model, &self.base);
        let model = model.map_err(|_| asking::NO_MODEL.to_owned())?.href();
        let job = self.number();
        *self.coming.borrow_mut() = Coming {
            job,
            ..Coming::default()
        };
        let payload: Array = blobs.into_iter().collect();
        let weighed = asking.weighed.clone();
        let order = ToWorker::Answer {
            job,
            model,
            prompt,
            weighed,
        };
        self.post_with(&order, &payload);
        let mut shown = String::new();
        let answered = loop {
            pause(TICK).await;
            if asking.stopped() || !self.is_asking(asking.job()) {
                self.post(&ToWorker::StopAnswer { job }, None);
                return Err(text::STOPPED.to_owned());
            }
            let mut coming = self.coming.borrow_mut();
            if let Some(ended) = coming.ended.take() {
                break ended?;
            }
            if coming.text != shown {
                shown = coming.text.clone();
                drop(coming);
                show(&shown, "");
            }
        };
        let first = self.coming.borrow().first;
        let end = now();
        Ok(Told {
            first: first.unwrap_or(end) - start,
            total: end - start,
            log_prob: answered.log_prob,
            answer: Answer {
                text: answered.text,
                thoughts: String::new(),
                finish_reason: Some(if answered.finished { "stop" } else { "length" }.to_owned()),
                refused: false,
                usage: Some(Usage {
                    prompt_tokens: answered.prompt_tokens.into(),
                    completion_tokens: answered.tokens.into(),
                    cost: None,
                }),
            },
        })
    }

    /// More of an answer came.
    pub fn answering(&self, job: u32, progress: &Answering) {
        let mut coming = self.coming.borrow_mut();
        if coming.job != job {
            return;
        }
        let said = match progress {
            Answering::Writing(text) => {
                coming.first.get_or_insert_with(now);
                coming.text.clone_from(text);
                None
            }
            Answering::Download { received, total } => Some(asking::fetching(*received, *total)),
            Answering::Reading => Some(asking::READING.to_owned()),
        };
        say(&self.ask_panel.here, said.as_deref());
    }

    /// An answer is whole.
    pub fn answered(self: &Rc<Self>, job: u32, answer: Result<Answered, String>) {
        self.draw_kept();
        let mut coming = self.coming.borrow_mut();
        if coming.job == job {
            coming.ended = Some(answer);
            say(&self.ask_panel.here, None);
        }
    }

    /// The worker is gone, and what it was writing.
    pub fn answer_lost(&self) {
        let mut coming = self.coming.borrow_mut();
        if coming.job != 0 {
            coming.ended = Some(Err(text::BROKEN.to_owned()));
            say(&self.ask_panel.here, None);
        }
    }
}
