//! What happens on the page: pictures come and go, clicks become proposals, proposals become boxes and crops.
//!
//! All state is in [`State`]; [`crate::view`] draws it. Two rules hold everywhere: whatever goes wrong, picture
//! and question stay; and every click on "Propose crop" goes through `working` and ends in `done` or `error`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cropvlm_web::protocol::{
    DeviceChoice, FromWorker, MAX_QUESTION, Proposed, Running, Stage, ToWorker,
};
use cropvlm_web::text;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, File, HtmlImageElement, Url, UrlSearchParams};

use crate::ask::Asking;
use crate::link::{Arrived, Link};
use crate::ui::{Ui, say};
use crate::{input, view};

/// How often a broken worker is started anew before the page gives up until the next click.
const MAX_RESTARTS: u32 = 2;

/// The page.
pub struct App {
    pub ui: Ui,
    pub state: RefCell<State>,
    link: RefCell<Option<Link>>,
    pub asking: RefCell<Option<Asking>>,
    numbers: Cell<u32>,
    /// Where the model is and what the person asked for.
    model: String,
    device: DeviceChoice,
}

/// What the page knows.
#[derive(Default)]
pub struct State {
    /// The picture on the stage with its crop.
    pub shown: Option<Shown>,
    /// What was on the stage before a picture that the worker has not accepted yet.
    before: Option<Shown>,
    /// A picture that was chosen and is not on the stage yet.
    candidate: Option<Picture>,
    /// The click that is being worked on.
    click: Option<Click>,
    /// The model, once it is ready.
    running: Option<Running>,
    restarts: u32,
}

/// A chosen picture.
#[derive(Clone)]
pub struct Picture {
    pub number: u32,
    file: File,
    /// `blob:` address for the `<img>`.
    pub url: String,
    /// Pixels, once the worker has decoded it.
    pub size: Option<(u32, u32)>,
}

/// A picture on the stage.
#[derive(Clone)]
pub struct Shown {
    pub picture: Picture,
    pub proposal: Option<Proposal>,
}

/// A proposal with its crop.
#[derive(Clone)]
pub struct Proposal {
    pub proposed: Proposed,
    /// The crop as PNG.
    pub crop: Blob,
    /// `blob:` address of it.
    pub url: String,
}

/// A click on "Propose crop".
#[derive(Clone)]
struct Click {
    job: u32,
    picture: u32,
    question: String,
    retried: bool,
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
        let app = Rc::new(App {
            ui: Ui::find()?,
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

    fn note(&self, sentence: &str) {
        self.ui.note.set_text_content(Some(sentence));
    }

    /// Starts a worker and the model in it.
    fn connect(self: &Rc<Self>, device: DeviceChoice, after: Option<String>) {
        let app = Rc::clone(self);
        // A worker's messages arrive in tasks of their own, never while `self` is borrowed.
        match Link::start(move |arrived| app.arrived(arrived)) {
            Ok(mut link) => {
                link.post(
                    &ToWorker::Start {
                        model: self.model.clone(),
                        device,
                        after,
                    },
                    None,
                );
                self.link.replace(Some(link));
            }
            Err(_) => self.no_worker(),
        }
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

    fn post_click(&self) {
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
    fn fail(&self, job: u32, why: &str) {
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

    fn arrived(self: &Rc<Self>, arrived: Arrived) {
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

    /// The worker is of no more use: another one takes over, on the CPU, and tries once again.
    fn broken(self: &Rc<Self>, why: String) {
        web_sys::console::warn_1(&format!("the worker stopped: {why}").into());
        let started = self.link.borrow().as_ref().is_some_and(Link::has_started);
        let restarts = self.state.borrow().restarts;
        if !started || restarts >= MAX_RESTARTS {
            // Dropped later: this runs inside a callback that the link owns.
            let link = self.link.replace(None);
            spawn_local(async move { drop(link) });
            return if started {
                self.give_up()
            } else {
                self.no_worker()
            };
        }
        self.state.borrow_mut().restarts += 1;
        let click = self.state.borrow().click.clone();
        match click {
            Some(click) if click.retried => {
                self.reconnect(Some(why));
                self.fail(click.job, text::BROKEN);
            }
            Some(click) => {
                self.state.borrow_mut().click = Some(Click {
                    retried: true,
                    ..click
                });
                self.note(text::FELL_BACK);
                self.reconnect(Some(why));
                self.post_click();
            }
            None => self.reconnect(Some(why)),
        }
    }

    /// A new worker, which gets the pictures of the old one.
    fn reconnect(self: &Rc<Self>, why: Option<String>) {
        let old = self.link.replace(None);
        spawn_local(async move { drop(old) });
        self.state.borrow_mut().running = None;
        let device = if why.is_some() {
            DeviceChoice::Cpu
        } else {
            self.device
        };
        self.connect(device, why);
        let state = self.state.borrow();
        let shown = state.shown.as_ref().map(|shown| &shown.picture);
        for picture in shown.into_iter().chain(&state.candidate) {
            self.post(
                &ToWorker::Picture {
                    picture: picture.number,
                },
                Some(&picture.file),
            );
        }
    }

    fn give_up(&self) {
        let click = self.state.borrow_mut().click.take();
        if click.is_some() || self.state.borrow().running.is_none() {
            self.set_state("error");
        }
        self.complain(text::BROKEN);
    }

    fn no_worker(&self) {
        self.state.borrow_mut().click = None;
        view::draw_stage(&self.ui, &Stage::Failed { why: String::new() });
        self.set_state("error");
        self.complain(text::NO_WORKER);
    }

    /// The switch over the evidence map.
    pub fn show_evidence(&self) {
        view::draw(self);
    }
}

fn state_is(shown: &Option<Shown>, number: u32) -> bool {
    shown
        .as_ref()
        .is_some_and(|shown| shown.picture.number == number)
}

/// Gives the memory behind `blob:` addresses back.
fn revoke(shown: &Shown) {
    Url::revoke_object_url(&shown.picture.url).ok();
    if let Some(proposal) = &shown.proposal {
        Url::revoke_object_url(&proposal.url).ok();
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
