//! The page as a whole: what it holds, and where the worker's messages go.
//!
//! All state is in [`State`]; [`crate::view`] draws it; [`crate::recover`] starts the worker anew when it breaks. One
//! rule holds everywhere: whatever goes wrong, picture and question stay.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cropvlm_web::protocol::{Attention, DeviceChoice, FromWorker, Stage, ToWorker};
use cropvlm_web::share::Shared;
use cropvlm_web::text;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Url, UrlSearchParams};

use crate::ask::Asking;
use crate::desk::Desk;
use crate::link::{Arrived, Link};
use crate::panel::Panel;
use crate::readers::Readers;
use crate::state::State;
use crate::ui::{Ui, say};
use crate::{edit, gallery, input, intake, learn, provider, readers, tiles, view, zoom};

/// The page.
pub struct App {
    pub ui: Ui,
    pub state: RefCell<State>,
    pub link: RefCell<Option<Link>>,
    pub asking: RefCell<Option<Asking>>,
    pub desk: Desk,
    pub readers: Readers,
    pub learn: Panel,
    numbers: Cell<u32>,
    /// Where the model is and what the person asked for.
    pub model: String,
    pub device: DeviceChoice,
    /// Threads at most, where the person asked for that.
    pub threads: Option<u32>,
    /// The page's own address, without what stands behind `?` and `#`.
    pub base: String,
    /// The newest wish for a picture: one that is fetched slowly must not replace a newer one.
    pub newest_choice: Cell<u32>,
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
        let base = Url::new(&base)?;
        base.set_search("");
        base.set_hash("");
        let shared = Shared::from_hash(&window.location().hash()?);
        let app = Rc::new(App {
            desk: Desk::find(&ui.document)?,
            readers: Readers::find(&ui.document)?,
            learn: Panel::find(&ui.document)?,
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
            threads: parameters.get("threads").and_then(|n| n.parse().ok()),
            base: base.href(),
            newest_choice: Cell::new(0),
        });
        input::wire(&app);
        intake::wire(&app);
        readers::wire(&app);
        provider::wire(&app);
        edit::wire(&app);
        gallery::wire(&app);
        learn::wire(&app);
        tiles::wire(&app);
        zoom::wire(&app);
        app.connect(app.device, None);
        app.open_first(shared);
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

    /// A quiet sentence under the crop.
    pub fn tell(&self, sentence: &str) {
        self.ui.tools.crop_note.set_text_content(Some(sentence));
    }

    /// Posts to the worker, if there is one.
    pub fn post(&self, message: &ToWorker, payload: Option<&Blob>) {
        if let (ToWorker::Picture { picture }, Some(file)) = (message, payload) {
            self.readers.posted(*picture, file);
        }
        if let Some(link) = self.link.borrow_mut().as_mut() {
            link.post(message, payload);
        }
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
                FromWorker::OtherBuild => self.other_build(),
                FromWorker::Stage(stage) => self.stage(&stage),
                FromWorker::Picture {
                    picture,
                    width,
                    height,
                    notes,
                    redraw,
                } => {
                    self.read(picture, (width, height), notes, redraw);
                    self.accepted(picture, width, height);
                }
                FromWorker::PictureRefused {
                    picture,
                    why,
                    other: Some(other),
                } => self.read_otherwise(picture, other, why, move |app, why| {
                    app.refused(picture, &why);
                }),
                FromWorker::PictureRefused { picture, why, .. } => self.refused(picture, &why),
                FromWorker::Shown { picture } => {
                    self.redrawn(picture, payload);
                    view::draw(self);
                }
                FromWorker::Proposed(proposed) => self.proposed(proposed, payload),
                FromWorker::Writing { job, writing } => {
                    self.state.borrow_mut().writing = Some((job, writing));
                    view::draw_writing(self, self.state.borrow().writing());
                }
                FromWorker::ProposeRefused { job, why } => self.fail(job, &why),
                FromWorker::Places { job, places } => self.found(job, places),
                FromWorker::Learning { job, part, of } => self.learning(job, part, of),
                FromWorker::Learned { job, lesson } => self.learned(job, lesson),
                FromWorker::Cut { job, pixels } => self.cut(job, pixels, payload),
                FromWorker::Attended { job, attention } => self.attended(job, attention),
                FromWorker::Canvas { picture, tiles } => self.canvas(picture, tiles, payload),
                FromWorker::Encoded { job, .. } => self.encoded(job, payload),
                FromWorker::Blank { job } => self.blanked(job, payload),
                FromWorker::EncodeRefused { job, why } => self.ask_failed(job, &why),
                FromWorker::Broken { why } => self.broken(why),
            },
        }
    }

    fn stage(self: &Rc<Self>, stage: &Stage) {
        view::draw_stage(&self.ui, stage);
        let idle = self
            .state
            .borrow()
            .click
            .as_ref()
            .is_none_or(|click| click.unasked);
        match stage {
            Stage::Ready(running) => {
                self.state.borrow_mut().running = Some(running.clone());
                self.offer_fineness();
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
                self.show_canvas();
                self.propose_unasked();
            }
            Stage::Failed { why } if idle => {
                self.set_state("error");
                self.complain(why);
            }
            _ => {}
        }
    }

    /// Where a text policy looks, where that is wanted and not there yet. A map policy's evidence comes with its box.
    pub fn show_attention(&self) {
        let question = self.ui.question();
        let about = {
            let state = self.state.borrow();
            let proposed = state.proposal().and_then(|p| p.proposed.as_ref());
            let writes = proposed.is_some_and(|proposed| proposed.writing.is_some());
            let asked = |(_, picture, asked): &(u32, u32, String)| {
                Some(*picture) == state.on_stage() && *asked == question
            };
            let known = state.attention.as_ref();
            let known = known.is_some_and(|(picture, asked, _)| {
                Some(*picture) == state.on_stage() && *asked == question
            });
            let wanted = writes && self.ui.evidence_toggle.checked();
            let wanted = wanted && !known && !state.attending.as_ref().is_some_and(asked);
            state.on_stage().filter(|_| wanted)
        };
        let Some(picture) = about else { return };
        let job = self.number();
        self.state.borrow_mut().attending = Some((job, picture, question.clone()));
        self.tell(text::ATTENDING);
        let message = ToWorker::Attend {
            job,
            picture,
            question,
        };
        self.post(&message, None);
    }

    fn attended(&self, job: u32, attention: Result<Attention, String>) {
        let about = {
            let mut state = self.state.borrow_mut();
            state.attending.take_if(|(wanted, ..)| *wanted == job)
        };
        let Some((_, picture, question)) = about else {
            return;
        };
        match attention {
            Ok(attention) => {
                self.state.borrow_mut().attention = Some((picture, question, attention));
                self.tell(text::ATTENDED);
            }
            Err(why) => self.tell(&why),
        }
        view::draw_views(self);
    }
}

/// Milliseconds since the page was opened.
pub fn now() -> f64 {
    let clock = web_sys::window().and_then(|window| window.performance());
    clock.map(|clock| clock.now()).unwrap_or_default()
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
