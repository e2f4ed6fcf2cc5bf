//! What happens on the page: pictures come and go, clicks become proposals, proposals become boxes and crops.
//!
//! All state is in [`State`]; [`crate::view`] draws it; [`crate::recover`] starts the worker anew when it breaks. Two
//! rules hold everywhere: whatever goes wrong, picture and question stay; and every click on "Propose crop" goes
//! through `working` and ends in `done` or `error`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cropvlm_web::protocol::{DeviceChoice, FromWorker, MAX_QUESTION, Proposed, Stage, ToWorker};
use cropvlm_web::text;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, File, HtmlImageElement, Url, UrlSearchParams};

use crate::ask::Asking;
use crate::desk::Desk;
use crate::link::{Arrived, Link};
use crate::state::{Click, Picture, Proposal, Shown, State, revoke, state_is};
use crate::ui::{Ui, say};
use crate::{input, provider, view};

/// The page.
pub struct App {
    pub ui: Ui,
    pub state: RefCell<State>,
    pub link: RefCell<Option<Link>>,
    pub asking: RefCell<Option<Asking>>,
    pub desk: Desk,
    numbers: Cell<u32>,
    /// Where the model is and what the person asked for.
    pub model: String,
    pub device: DeviceChoice,
}

impl App {
    /// Finds the elements, wires them, starts the worker.
    pub fn start() -> Result<(), JsValue> {
        let window = web_sys::window().ok_or("no window")?;
        let parameters = UrlSearchParams::new_with_str(&window.location().search()?)?;
        let base = window
            .document()
            .and_then(|document| document.base_uri().ok().flatten())
            .unwrap_or_default();
        let folder = parameters
            .get("model")
            .unwrap_or_else(|| "models/default/".into());
        let folder = Url::new_with_base(&folder, &base)?.href();
        let ui = Ui::find()?;
        let app = Rc::new(App {
            desk: Desk::find(&ui.document)?,
            ui,
            state: RefCell::default(),
            link: RefCell::new(None),
            asking: RefCell::new(None),
            numbers: Cell::new(0),
            model: if folder.ends_with('/') {
                folder
            } else {
                format!("{folder}/")
            },
            device: parameters
                .get("device")
                .and_then(|name| DeviceChoice::from_name(&name))
                .unwrap_or_default(),
        });
        input::wire(&app);
        provider::wire(&app);
        view::draw(&app);
        app.connect(app.device, None);
        Ok(())
    }

    /// A number that no picture, click or question had before.
    pub fn number(&self) -> u32 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// `document.documentElement.dataset.state`
    pub fn set_state(&self, state: &str) {
        self.ui.root.dataset().set("state", state).ok();
    }

    /// A sentence under the question, in the colour of things that went wrong.
    pub fn complain(&self, sentence: &str) {
        say(&self.ui.message, Some(sentence));
        self.note("");
    }

    /// A quiet sentence under the question.
    pub fn note(&self, sentence: &str) {
        self.ui.note.set_text_content(Some(sentence));
    }

    /// Posts to the worker, if there is one.
    pub fn post(&self, message: &ToWorker, payload: Option<&Blob>) {
        if let Some(link) = self.link.borrow_mut().as_mut() {
            link.post(message, payload);
        }
    }

    /// A picture was chosen, dropped or pasted.
    pub fn choose(self: &Rc<Self>, file: File) {
        let Ok(url) = Url::create_object_url_with_blob(&file) else {
            return;
        };
        let number = self.number();
        let picture = Picture {
            number,
            file,
            url: url.clone(),
            size: None,
        };
        say(&self.ui.message, None);
        self.note(text::READING);
        self.post(&ToWorker::Picture { picture: number }, Some(&picture.file));
        self.state.borrow_mut().candidate = Some(picture);
        // Decoded aside, then put on the stage at once: neither an empty stage nor a jump is seen.
        let app = Rc::clone(self);
        spawn_local(async move {
            let Ok(probe) = HtmlImageElement::new() else {
                return;
            };
            probe.set_src(&url);
            if JsFuture::from(probe.decode()).await.is_ok() {
                app.put_on_stage(number);
            }
        });
    }

    /// Moves the candidate to the stage, if it still is the candidate.
    fn put_on_stage(&self, number: u32) {
        {
            let mut state = self.state.borrow_mut();
            if state
                .candidate
                .as_ref()
                .is_none_or(|picture| picture.number != number)
            {
                return;
            }
            let Some(picture) = state.candidate.take() else {
                return;
            };
            let accepted = picture.size.is_some();
            let old = state.shown.replace(Shown {
                picture,
                proposal: None,
            });
            // What is kept for the case that the worker refuses is the last picture it has accepted.
            match old {
                Some(old) if old.picture.size.is_some() => state.before = Some(old),
                Some(old) => revoke(&old),
                None => {}
            }
            if accepted && let Some(before) = state.before.take() {
                revoke(&before);
            }
        }
        view::draw(self);
    }

    /// A click on "Propose crop".
    pub fn propose(self: &Rc<Self>) {
        self.set_state("working");
        say(&self.ui.message, None);
        let job = self.number();
        let question = self.ui.question();
        let picture = self.current();
        let length = question.chars().count();
        let wrong = if picture.is_none() {
            Some(text::NEED_PICTURE.to_owned())
        } else if question.is_empty() {
            Some(text::NEED_QUESTION.to_owned())
        } else if length > MAX_QUESTION {
            Some(text::question_too_long(length))
        } else {
            None
        };
        self.state.borrow_mut().click = Some(Click {
            job,
            picture: picture.unwrap_or_default(),
            question,
            retried: false,
        });
        if let Some(why) = wrong {
            // In a later task, so that `working` is seen before `error`.
            let app = Rc::clone(self);
            spawn_local(async move {
                pause(0).await;
                app.fail(job, &why);
            });
            return;
        }
        self.state.borrow_mut().restarts = 0;
        let ready = self.state.borrow().running.is_some();
        self.note(if ready { text::WORKING } else { text::WAITING });
        if self.link.borrow().is_none() {
            self.reconnect(None);
        }
        self.post_click();
    }

    /// The picture that a click means: the newest.
    pub fn current(&self) -> Option<u32> {
        let state = self.state.borrow();
        let shown = state.shown.as_ref().map(|shown| shown.picture.number);
        state
            .candidate
            .as_ref()
            .map(|picture| picture.number)
            .or(shown)
    }

    /// Sends the click to the worker.
    pub fn post_click(&self) {
        let click = self.state.borrow().click.clone();
        if let Some(Click {
            job,
            picture,
            question,
            ..
        }) = click
        {
            self.post(
                &ToWorker::Propose {
                    job,
                    picture,
                    question,
                },
                None,
            );
        }
    }

    /// Ends a click in `error`.
    pub fn fail(&self, job: u32, why: &str) {
        {
            let mut state = self.state.borrow_mut();
            if state.click.as_ref().is_none_or(|click| click.job != job) {
                return;
            }
            state.click = None;
        }
        self.set_state("error");
        self.complain(why);
    }

    /// Something came from the worker.
    pub fn arrived(self: &Rc<Self>, arrived: Arrived) {
        match arrived {
            Arrived::Dead(why) => self.broken(why),
            Arrived::Message(message, payload) => match *message {
                FromWorker::Hello => {
                    if let Some(link) = self.link.borrow_mut().as_mut() {
                        link.hello();
                    }
                }
                FromWorker::Stage(stage) => self.stage(&stage),
                FromWorker::Picture {
                    picture,
                    width,
                    height,
                } => self.accepted(picture, width, height),
                FromWorker::PictureRefused { picture, why } => self.refused(picture, &why),
                FromWorker::Proposed(proposed) => self.proposed(proposed, payload),
                FromWorker::ProposeRefused { job, why } => self.fail(job, &why),
                FromWorker::Encoded { job, .. } => self.encoded(job, payload),
                FromWorker::Blank { job } => self.blanked(job, payload),
                FromWorker::EncodeRefused { job, why } => self.ask_failed(job, &why),
                FromWorker::Broken { why } => self.broken(why),
            },
        }
    }

    fn stage(&self, stage: &Stage) {
        view::draw_stage(&self.ui, stage);
        let idle = self.state.borrow().click.is_none();
        match stage {
            Stage::Ready(running) => {
                self.state.borrow_mut().running = Some(running.clone());
                let loading = self
                    .ui
                    .root
                    .dataset()
                    .get("state")
                    .is_some_and(|state| state == "loading");
                if idle && loading {
                    self.set_state("ready");
                } else if !idle {
                    self.note(text::WORKING);
                }
            }
            Stage::Failed { why } if idle => {
                self.set_state("error");
                self.complain(why);
            }
            _ => {}
        }
    }

    /// The worker has decoded a picture.
    fn accepted(&self, number: u32, width: u32, height: u32) {
        {
            let mut state = self.state.borrow_mut();
            let State {
                shown, candidate, ..
            } = &mut *state;
            let shown = shown.as_mut().map(|shown| &mut shown.picture);
            for picture in [shown, candidate.as_mut()].into_iter().flatten() {
                if picture.number == number {
                    picture.size = Some((width, height));
                }
            }
            if state_is(&state.shown, number)
                && let Some(before) = state.before.take()
            {
                revoke(&before);
            }
        }
        if self.state.borrow().click.is_none() {
            self.note("");
        }
        view::draw(self);
    }

    /// The worker could not decode a picture: what was there before comes back.
    fn refused(&self, number: u32, why: &str) {
        {
            let mut state = self.state.borrow_mut();
            if state
                .candidate
                .as_ref()
                .is_some_and(|picture| picture.number == number)
            {
                state.candidate = None;
            } else if state_is(&state.shown, number) {
                let before = state.before.take();
                if let Some(bad) = std::mem::replace(&mut state.shown, before) {
                    revoke(&bad);
                }
            } else {
                return;
            }
        }
        view::draw(self);
        let click = self.state.borrow().click.clone();
        match click {
            Some(click) if click.picture == number => self.fail(click.job, why),
            _ => self.complain(why),
        }
    }

    fn proposed(&self, proposed: Proposed, crop: Option<Blob>) {
        let job = proposed.job;
        if self
            .state
            .borrow()
            .click
            .as_ref()
            .is_none_or(|click| click.job != job)
        {
            return; // a newer click is being worked on
        }
        // The browser may still be busy with a large picture that the worker has already read.
        self.put_on_stage(proposed.picture);
        let url = crop
            .as_ref()
            .and_then(|crop| Url::create_object_url_with_blob(crop).ok());
        let (Some(crop), Some(url)) = (crop, url) else {
            return self.fail(job, text::BROKEN);
        };
        {
            let mut state = self.state.borrow_mut();
            match state
                .shown
                .as_mut()
                .filter(|shown| shown.picture.number == proposed.picture)
            {
                Some(shown) => {
                    if let Some(old) = shown.proposal.replace(Proposal {
                        proposed,
                        crop,
                        url,
                    }) {
                        Url::revoke_object_url(&old.url).ok();
                    }
                    state.click = None;
                }
                None => {
                    drop(state);
                    return self.fail(job, text::SUPERSEDED);
                }
            }
        }
        self.note("");
        view::draw(self);
        self.set_state("done");
    }

    /// The switch over the evidence map.
    pub fn show_evidence(&self) {
        view::draw(self);
    }
}

/// Lets other tasks run.
pub async fn pause(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        if let Some(window) = web_sys::window() {
            window
                .set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds)
                .ok();
        }
    });
    JsFuture::from(promise).await.ok();
}
