//! What the page knows and decides, without a browser: [`State`], changed by [`update`] and shown by [`draw`].
//!
//! Whatever happens is an [`Event`]; [`update`] changes the state and says what has to be done ([`Effect`]); [`draw`] says
//! what is to be seen ([`View`]). Files, crops and encoded pictures are browser objects: here they are numbers ([`Key`]),
//! and the page module keeps the table. So sequences of events can be tested natively, and one rule holds in any order:
//! what is shown and what is sent belong to the same picture, question and box, and a late message of an older job
//! changes nothing.
//!
//! The order of reading: [`event`] (what happens, what is to be done), `pictures` (how one comes on the stage), `boxes`
//! (proposals), `edits` (boxes by hand), `places`, `turn` (the picture turned), `asking` (what goes to a provider),
//! `history`, `worker` (the model, and when it breaks), [`view`].
//!
//! ```
//! use cropvlm_web::state::{Event, State, draw, update};
//! let mut state = State::default();
//! update(&mut state, Event::Chosen { file: 1 });
//! update(&mut state, Event::BrowserShows { picture: 1, shows: true });
//! update(&mut state, Event::Accepted { picture: 1, width: 640, height: 480 });
//! assert_eq!(draw(&state).size, Some((640, 480)));
//! assert!(draw(&state).crop.is_none());
//! ```

mod asking;
mod boxes;
mod edits;
pub mod event;
mod history;
mod pictures;
mod places;
#[cfg(test)]
mod tests;
mod turn;
pub mod view;
mod worker;

use std::rc::Rc;

use grounding::{NormBox, PixelBox};

use crate::places::Place;
use crate::protocol::{Attention, Proposed, Running, Writing};

pub use asking::{About, Asking, Pressed, enlarged};
pub use event::{Effect, Event, How, Say};
pub use history::{History, Step};
pub use view::{CropView, View, draw};

/// Number of something that the browser holds: a file, a crop, an encoded picture.
pub type Key = u32;

/// What the page knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The newest number of a picture, a click or a question.
    numbers: u32,
    /// `document.documentElement.dataset.state`.
    pub phase: Phase,
    /// The question as it stands in its field.
    pub question: String,
    /// Whether it is the person's own, not one that came with a sample.
    pub typed: bool,
    /// The picture that the worker has accepted, with its box.
    pub stage: Option<Shown>,
    /// Pictures that were chosen and are not accepted yet, the newest last.
    pub incoming: Vec<Incoming>,
    /// The question before the first of them, for when all of them are refused.
    before: Option<(String, bool)>,
    /// A picture that is being fetched.
    visit: Option<Visit>,
    /// A link came without its picture: its box waits for it.
    pub missing: Option<Missing>,
    /// Whether anything was on the stage yet: until then, a refused picture brings the sample back.
    opened: bool,
    /// The click that is being worked on.
    pub click: Option<Click>,
    /// Propose without being asked as soon as model and picture are there: for the sample that the page opens with.
    unasked: bool,
    /// The model, once it is ready.
    pub running: Option<Running>,
    /// Whether there is a worker.
    linked: bool,
    /// How often the worker was started anew since the last click.
    restarts: u32,
    /// A box that a person is moving; its crop may not be cut yet.
    pub draft: Option<Draft>,
    /// Boxes that were let go while an older one was being cut, the oldest first.
    owed: Vec<Draft>,
    /// The picture that the worker is turning.
    turning: Option<u32>,
    /// The cut that the worker is busy with.
    cutting: Option<(u32, Draft)>,
    /// What the size slider starts from: the box before it was touched.
    pub base: Option<NormBox>,
    /// Other places for the answer, while they are shown.
    pub places: Vec<Place>,
    /// Places that were asked for.
    pub seeking: Option<u32>,
    /// Where a text policy looks, for this picture and question.
    pub attention: Option<(u32, String, Attention)>,
    /// The attention that was asked for, and for what.
    attending: Option<(u32, u32, String)>,
    /// What a text policy has written so far, for this click.
    writing: Option<(u32, Writing)>,
    /// What was there before.
    pub history: History,
    /// A question that is on its way to a provider.
    pub asking: Option<Asking>,
    /// "Ask" or "Compare" was pressed and waits for its crop.
    pending: Option<Pressed>,
    /// What the answer that is shown is about.
    answer: Option<About>,
    /// What the comparison that is shown is about.
    runs: Option<About>,
    /// The crop of a box that is a guess ([`State::is_absent`]) and is wanted all the same.
    guess: Option<Key>,
    /// A lesson's group is not drawn over the picture: a proposal came after it.
    pub lesson_aside: bool,
    /// A sentence under the question about what went wrong.
    pub message: Option<String>,
    /// A quiet sentence under the question.
    pub note: String,
    /// A quiet sentence under the crop.
    pub crop_note: String,
    /// A sentence under "Ask" about what went wrong.
    pub ask_message: Option<String>,
}

/// Below this chance of an answer in the picture, the model's box is not shown at once. Below it lie 3 in 100 of the boxes that are right
/// on pictures as people upload them (uploads/dev; charts and forms: 9), 18 in 100 questions without an answer, and half of those about
/// things that are not print.
pub const LEAST_PRESENT: f32 = 0.2;

/// `document.documentElement.dataset.state`: follows clicks only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The model is not there yet.
    #[default]
    Loading,
    /// It is, and nothing was clicked.
    Ready,
    /// A click is being worked on.
    Working,
    /// It ended with a box.
    Done,
    /// It ended without one.
    Error,
}

impl Phase {
    /// As it stands in `data-state`.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Loading => "loading",
            Phase::Ready => "ready",
            Phase::Working => "working",
            Phase::Done => "done",
            Phase::Error => "error",
        }
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// What the worker knows it by. It changes when the worker gets it again.
    pub number: u32,
    /// Its file; this does not change.
    pub file: Key,
    /// Where it came from, if others can get it there: for links.
    pub source: Option<String>,
    /// Pixels, once the worker has decoded it.
    pub size: Option<(u32, u32)>,
}

/// A picture on the stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// Its box with the crop.
    pub crop: Option<Crop>,
}

/// A box with its crop.
#[derive(Clone, Debug, PartialEq)]
pub struct Crop {
    /// The crop as PNG.
    pub key: Key,
    /// Percent; differs from the model's where a person has moved it.
    pub bbox: NormBox,
    /// The pixels of the original that were cut out.
    pub pixels: PixelBox,
    /// What the model said; `None` for a box that a person drew.
    pub proposed: Option<Rc<Proposed>>,
    /// The question that it was made for; a box that a person drew serves any.
    pub question: Option<String>,
}

impl Crop {
    /// Whether a person has moved the model's box.
    pub fn is_moved(&self) -> bool {
        let proposed = self.proposed.as_ref();
        proposed.is_some_and(|proposed| proposed.bbox != self.bbox)
    }

    /// The question that it belongs to, where that is another one than this.
    pub fn other_question(&self, question: &str) -> Option<&str> {
        self.question.as_deref().filter(|own| *own != question)
    }
}

/// Whether the browser can show a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// It is still decoding.
    Decoding,
    /// It can.
    Shows,
    /// It cannot; the worker may.
    Cannot,
}

/// A picture that was chosen and is not accepted yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The picture; it has a size once the worker has decoded it.
    pub picture: Picture,
    /// Whether the browser can show it.
    pub browser: Browser,
    /// Its box is proposed at once: picture and box are one step back.
    sample: bool,
    /// Its box is shown without a click.
    unasked: bool,
    /// The box of a link, with the link's question.
    wanted: Option<Missing>,
}

/// What a link without its picture brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// The box.
    pub bbox: Option<NormBox>,
    /// The question that it belongs to.
    pub question: Option<String>,
}

/// A picture that is being fetched, and what comes with it.
#[derive(Clone, Debug, PartialEq)]
struct Visit {
    number: u32,
    address: String,
    /// Its question, and whether that is the person's own.
    question: Option<(String, bool)>,
    sample: bool,
    unasked: bool,
    wanted: Option<Missing>,
    /// The browser shows it already.
    shows: bool,
}

/// A box on its way to a crop.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Percent.
    pub bbox: NormBox,
    /// The hand has let go: the next crop of this very box ends it.
    pub finished: bool,
    /// By what it was made.
    how: How,
    /// See [`Crop::question`].
    question: Option<String>,
    /// When it was made, milliseconds.
    now: f64,
}

/// A click on "Propose crop".
#[derive(Clone, Debug, PartialEq)]
pub struct Click {
    /// Its number.
    pub job: u32,
    /// The picture's number.
    pub picture: u32,
    /// As it was typed then.
    pub question: String,
    /// The part of the picture to look at.
    pub inside: Option<NormBox>,
    /// The worker has to do with it; else the page knows why there is no box.
    posted: bool,
    /// The worker broke once under it and was started anew.
    retried: bool,
    /// Nobody clicked: the page shows its sample's box by itself, and keeps its state as it is.
    pub unasked: bool,
}

impl State {
    /// A page whose field holds a question already.
    pub fn opened_with(question: String) -> State {
        State {
            question,
            ..State::default()
        }
    }

    /// A number that no picture, click or question had before.
    pub fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// The question without blanks around it.
    pub fn asked(&self) -> &str {
        self.question.trim()
    }

    /// The picture that a click means: the newest.
    pub fn newest(&self) -> Option<&Picture> {
        let incoming = self.incoming.last().map(|incoming| &incoming.picture);
        incoming.or(self.stage.as_ref().map(|shown| &shown.picture))
    }

    /// What is on the stage and known to the worker, with nothing newer on its way.
    pub fn settled(&self) -> Option<&Shown> {
        self.stage.as_ref().filter(|_| self.incoming.is_empty())
    }

    /// The crop that is seen.
    pub fn crop(&self) -> Option<&Crop> {
        self.settled()?.crop.as_ref()
    }

    /// Whether the model sees no answer in the picture: its box is a guess, which is not shown before it is asked for.
    pub fn is_absent(&self) -> bool {
        let Some(crop) = self.crop().filter(|crop| !crop.is_moved()) else {
            return false;
        };
        let present = crop.proposed.as_ref().and_then(|it| it.present);
        let guessed = self.draft.is_some() || self.guess == Some(crop.key);
        present.is_some_and(|present| present < LEAST_PRESENT) && !guessed
    }

    /// The box as it is seen.
    pub fn current_box(&self) -> Option<NormBox> {
        self.settled()?;
        let draft = self.draft.as_ref().map(|draft| draft.bbox);
        draft.or(self.crop().map(|crop| crop.bbox))
    }

    /// A click of the person's is being worked on.
    pub fn is_busy(&self) -> bool {
        self.click.as_ref().is_some_and(|click| !click.unasked)
    }

    /// Whether there is a picture whose box may be changed: not while a click is being worked on.
    pub fn may_edit(&self) -> bool {
        let known = self.settled().is_some_and(|it| it.picture.size.is_some());
        known && !self.is_busy()
    }

    /// Whether the sample that stands in `index.html` is being fetched.
    fn is_opening(&self) -> bool {
        self.visit.as_ref().is_some_and(|visit| visit.shows)
    }

    /// Whether something of the browser's is still of use.
    pub fn uses(&self, key: Key) -> bool {
        let of = |shown: &Shown| {
            shown.picture.file == key || shown.crop.as_ref().is_some_and(|crop| crop.key == key)
        };
        let steps = self.history.steps.iter().map(|step| &step.shown);
        steps.chain(&self.stage).any(of)
            || self.incoming.iter().any(|it| it.picture.file == key)
            || self.asking.as_ref().is_some_and(|asking| asking.uses(key))
    }
}

/// Changes the state as an event says; what has to be done follows from it, in this order.
pub fn update(state: &mut State, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    state.take(event, &mut effects);
    effects
}
