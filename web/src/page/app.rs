//! The page as a whole: what it holds, and the one way everything goes: an event changes the state, the state is drawn,
//! and what has to be done is done.
//!
//! All state is in [`State`], which knows no browser; [`crate::view`] shows it; [`crate::recover`] starts the worker anew
//! when it breaks. One rule holds everywhere: whatever goes wrong, picture and question stay.

use std::cell::RefCell;
use std::rc::Rc;

use cropvlm_web::answerer::{self, HUB};
use cropvlm_web::models::{DEFAULT, ModelFolder};
use cropvlm_web::protocol::{DeviceChoice, FromWorker, Stage, ToWorker};
use cropvlm_web::share::Shared;
use cropvlm_web::state::{self, Effect, Event, Key, Say, State, View};
use cropvlm_web::text;
use js_sys::{Array, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, Url, UrlSearchParams};

use crate::ask::{Asking, Chosen};
use crate::ask_panel::AskPanel;
use crate::lesson_panel::LessonPanel;
use crate::link::{Arrived, Link};
use crate::local::Coming;
use crate::models::Models;
use crate::readers::Readers;
use crate::table::{Canvas, Table};
use crate::ui::Ui;
use crate::{edit, gallery, input, intake, learn, models, provider, readers, tiles, view, zoom};

/// The page.
pub struct App {
    pub ui: Ui,
    pub state: RefCell<State>,
    /// What was drawn last.
    pub seen: RefCell<Option<View>>,
    pub table: Table,
    /// The picture as the network gets it.
    pub canvas: RefCell<Option<Canvas>>,
    pub link: RefCell<Option<Link>>,
    /// What "Ask" was pressed with.
    pub chosen: RefCell<Option<Chosen>>,
    pub asking: RefCell<Option<Asking>>,
    /// An answer of the model in this browser.
    pub coming: RefCell<Coming>,
    pub ask_panel: AskPanel,
    pub readers: Readers,
    pub learn: LessonPanel,
    pub models: Models,
    /// The network that proposes, and its files where they are of this computer.
    pub model: RefCell<ModelFolder>,
    pub model_files: RefCell<Array>,
    /// What the person asked for.
    pub device: DeviceChoice,
    /// Threads at most, where the person asked for that.
    pub threads: Option<u32>,
    /// The page's own address, without what stands behind `?` and `#`.
    pub base: String,
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
        let folder = parameters.get("model").unwrap_or_else(|| DEFAULT.into());
        let folder = match folder.strip_prefix("hub:") {
            Some(name) => answerer::folder(HUB, name),
            None => format!("{}/", folder.trim_end_matches('/')),
        };
        let model = ModelFolder {
            address: Url::new_with_base(&folder, &base)?.href(),
            training_free: parameters
                .get("box")
                .is_some_and(|it| it == "training-free"),
        };
        let ui = Ui::find()?;
        let base = Url::new(&base)?;
        base.set_search("");
        base.set_hash("");
        let shared = Shared::from_hash(&window.location().hash()?);
        let state = State::opened_with(ui.question.value());
        let app = Rc::new(App {
            ask_panel: AskPanel::find(&ui.document)?,
            readers: Readers::find(&ui.document)?,
            learn: LessonPanel::find(&ui.document)?,
            models: Models::find(&ui.document)?,
            ui,
            state: RefCell::new(state),
            seen: RefCell::default(),
            table: Table::default(),
            canvas: RefCell::default(),
            link: RefCell::new(None),
            chosen: RefCell::default(),
            asking: RefCell::new(None),
            coming: RefCell::default(),
            model: RefCell::new(model),
            model_files: RefCell::default(),
            device: parameters
                .get("device")
                .and_then(|name| DeviceChoice::from_name(&name))
                .unwrap_or_default(),
            threads: parameters.get("threads").and_then(|n| n.parse().ok()),
            base: base.href(),
        });
        input::wire(&app);
        intake::wire(&app);
        readers::wire(&app);
        provider::wire(&app);
        edit::wire(&app);
        gallery::wire(&app);
        learn::wire(&app);
        models::wire(&app);
        tiles::wire(&app);
        zoom::wire(&app);
        app.connect(app.device, None);
        app.dispatch(Event::Open(shared));
        Ok(())
    }

    /// Something happened: the state changes and is drawn, and what follows is done.
    pub fn dispatch(self: &Rc<Self>, event: Event) {
        let effects = state::update(&mut self.state.borrow_mut(), event);
        let view = state::draw(&self.state.borrow());
        view::show_all(self, view);
        self.table.keep(|key| self.state.borrow().uses(key));
        for effect in effects {
            self.act(effect);
        }
    }

    fn act(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Post(message) => self.post(&message, None),
            Effect::PostPicture { picture, file } => {
                let file = self.table.blob(file);
                self.post(&ToWorker::Picture { picture }, file.as_ref());
            }
            Effect::Decode { picture, file } => self.decode(picture, file),
            Effect::Fetch {
                visit,
                address,
                shown,
            } => self.fetch(visit, address, shown),
            Effect::Refuse { job, why } => {
                let app = Rc::clone(self);
                spawn_local(async move {
                    pause(0).await;
                    app.dispatch(Event::ProposeRefused { job, why });
                });
            }
            Effect::Settled => self.show_canvas(),
            Effect::Boxed => self.show_attention(),
            Effect::AskBegins { comparing } => self.ask_begins(comparing),
            Effect::Send => self.send(),
            Effect::Abort { job } => self.abort(job),
            Effect::Restart { why } => self.reconnect(why),
            Effect::Unlink => self.unlink(),
            Effect::NoModel => {
                view::draw_stage(&self.ui, &Stage::Failed { why: String::new() });
                self.ui.root.dataset().set("broken", "part").ok();
            }
        }
    }

    /// A number that no picture, click or question had before.
    pub fn number(&self) -> u32 {
        self.state.borrow_mut().number()
    }

    /// A sentence under the question, in the colour of things that went wrong.
    pub fn complain(self: &Rc<Self>, sentence: &str) {
        self.dispatch(Event::Say(Say::Complaint(sentence.to_owned())));
    }

    /// A quiet sentence under the crop.
    pub fn tell(self: &Rc<Self>, sentence: &str) {
        self.dispatch(Event::Say(Say::Crop(sentence.to_owned())));
    }

    /// The question as it stands in its field, should the browser have changed it without a word.
    pub fn hear_question(self: &Rc<Self>) {
        let question = self.ui.question.value();
        if question != self.state.borrow().question {
            self.dispatch(Event::Question(question));
        }
    }

    /// Posts to the worker, if there is one.
    pub fn post(&self, message: &ToWorker, payload: Option<&Blob>) {
        if let (ToWorker::Picture { picture }, Some(file)) = (message, payload) {
            self.readers.posted(*picture, file);
        }
        match payload {
            Some(blob) => self.post_with(message, blob),
            None => self.post_with(message, &JsValue::UNDEFINED),
        }
    }

    /// Posts to the worker, with whatever goes along.
    pub fn post_with(&self, message: &ToWorker, payload: &JsValue) {
        if let Some(link) = self.link.borrow_mut().as_mut() {
            link.post(message, payload);
        }
    }

    /// Something came from the worker.
    pub fn arrived(self: &Rc<Self>, arrived: Arrived) {
        let (message, payload) = match arrived {
            Arrived::Dead(why) => return self.broken(why),
            Arrived::Message(message, payload) => (*message, payload),
        };
        let put = |payload: Option<Blob>| payload.map(|blob| self.table.put(blob));
        let event = match message {
            FromWorker::Hello => {
                if let Some(link) = self.link.borrow_mut().as_mut() {
                    link.hello();
                }
                return;
            }
            FromWorker::OtherBuild => return self.other_build(),
            FromWorker::Stage(stage) => {
                view::draw_stage(&self.ui, &stage);
                if let Stage::Ready(running) = &stage {
                    self.offer_tiles_per_edge(running.tile);
                    self.draw_kept();
                }
                Event::Model(stage)
            }
            FromWorker::Picture {
                picture,
                width,
                height,
                notes,
                redraw,
            } => {
                self.read(picture, (width, height), notes, redraw);
                Event::Accepted {
                    picture,
                    width,
                    height,
                }
            }
            FromWorker::PictureRefused {
                picture,
                why,
                other: Some(other),
            } => {
                return self.read_otherwise(picture, other, why, move |app, why| {
                    app.dispatch(Event::Refused { picture, why });
                });
            }
            FromWorker::PictureRefused { picture, why, .. } => Event::Refused { picture, why },
            FromWorker::Shown { picture } => {
                self.redrawn(picture, payload);
                return view::draw_again(self);
            }
            FromWorker::Turned { picture } => Event::Turned {
                picture,
                file: put(payload).ok_or_else(|| text::BROKEN.to_owned()),
            },
            FromWorker::Proposed(proposed) => Event::Proposed {
                proposed: Box::new(proposed),
                crop: put(payload),
            },
            FromWorker::Writing { job, writing } => Event::Writing { job, writing },
            FromWorker::ProposeRefused { job, why } => Event::ProposeRefused { job, why },
            FromWorker::Places { job, places } => Event::Places { job, places },
            FromWorker::Learning { job, part, of } => return self.learning(job, part, of),
            FromWorker::Learned { job, lesson } => return self.learned(job, lesson),
            FromWorker::Cut { job, pixels } => Event::Cut {
                job,
                pixels,
                crop: put(payload),
            },
            FromWorker::Attended { job, attention } => Event::Attended { job, attention },
            FromWorker::Canvas { picture, tiles } => {
                return self.take_canvas(picture, tiles, payload);
            }
            FromWorker::Encoded { job, .. } => Event::Encoded {
                job,
                file: put(payload),
            },
            FromWorker::Enlarged { job } => Event::Enlarged {
                job,
                file: put(payload),
            },
            FromWorker::Blank { job } => Event::Blanked {
                job,
                file: put(payload),
            },
            FromWorker::EncodeRefused { job, why } => Event::AskEnded {
                job,
                why: Some(why),
            },
            FromWorker::Answering { job, progress } => return self.answering(job, &progress),
            FromWorker::Answered { job, answer } => return self.answered(job, answer),
            FromWorker::Broken { why } => return self.broken(why),
        };
        self.dispatch(event);
    }

    /// Where a text policy looks, where that is wanted. A map policy's evidence comes with its box.
    pub fn show_attention(self: &Rc<Self>) {
        if self.ui.evidence_toggle.checked() {
            self.dispatch(Event::Attend);
        }
    }

    /// The address of something that the table holds.
    pub fn address(&self, key: Key) -> String {
        self.table.address(key).unwrap_or_default()
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
