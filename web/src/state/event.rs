//! What happens to the page, and what it has to do then.

use grounding::{NormBox, PixelBox};

use super::{Key, Pressed};
use crate::places::Place;
use crate::protocol::{Attention, Proposed, Stage, ToWorker, Writing};
use crate::samples::Sample;
use crate::share::Shared;

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// The page opens, with what its address brings.
    Open(Shared),
    /// Another network is to propose.
    OtherModel,
    /// The question's field says something else.
    Question(String),
    /// A suggested question was picked.
    Suggested(String),
    /// A file of the person's own was chosen, dropped or pasted.
    Chosen {
        /// The file.
        file: Key,
    },
    /// An address was typed, pasted or dropped.
    Address(String),
    /// A picture to try was picked.
    Sample(&'static Sample),
    /// The page's address changed to a link.
    Link(Shared),
    /// A fetch ended, with the file or a sentence.
    Fetched {
        /// Of [`Effect::Fetch`].
        visit: u32,
        /// The file, or what went wrong.
        file: Result<Key, String>,
    },
    /// The browser has tried to decode a picture.
    BrowserShows {
        /// Its number.
        picture: u32,
        /// Whether it can.
        shows: bool,
    },
    /// The worker has decoded a picture.
    Accepted {
        /// Its number.
        picture: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The worker could not decode a picture.
    Refused {
        /// Its number.
        picture: u32,
        /// A sentence.
        why: String,
    },
    /// "Rotate by 90 degrees".
    Turn,
    /// The worker has turned a picture.
    Turned {
        /// Its number.
        picture: u32,
        /// The turned one, or a sentence.
        file: Result<Key, String>,
    },
    /// "Propose crop".
    Propose,
    /// "Look again inside".
    LookInside,
    /// "Show the best guess".
    Guess,
    /// The worker has a box and its crop.
    Proposed {
        /// The box.
        proposed: Box<Proposed>,
        /// The crop.
        crop: Option<Key>,
    },
    /// The worker has no box, or the page knows beforehand that there is none.
    ProposeRefused {
        /// Number of the click.
        job: u32,
        /// A sentence.
        why: String,
    },
    /// What a text policy has written so far.
    Writing {
        /// Number of the click.
        job: u32,
        /// Prompt and tokens.
        writing: Writing,
    },
    /// The box was changed by hand.
    Edit {
        /// Percent.
        bbox: NormBox,
        /// The hand has let go.
        finished: bool,
        /// By what.
        how: How,
        /// Milliseconds since the page was opened.
        now: f64,
    },
    /// A hand's change was taken back before it was finished.
    EditCancelled,
    /// The size slider stands at so many times the area.
    Size {
        /// Times the area.
        factor: f32,
        /// The hand has let go.
        finished: bool,
        /// Milliseconds since the page was opened.
        now: f64,
    },
    /// "Reset": the model's box.
    Reset {
        /// Milliseconds since the page was opened.
        now: f64,
    },
    /// The worker has cut a box.
    Cut {
        /// Number of the change.
        job: u32,
        /// Pixels of the original, or a sentence.
        pixels: Result<PixelBox, String>,
        /// The crop.
        crop: Option<Key>,
    },
    /// "Other places".
    Seek,
    /// The worker has found places.
    Places {
        /// Number of the click.
        job: u32,
        /// The likeliest first, or a sentence.
        places: Result<Vec<Place>, String>,
    },
    /// A place was picked.
    TakePlace {
        /// Which.
        at: usize,
        /// Milliseconds since the page was opened.
        now: f64,
    },
    /// Where a text policy looks is wanted.
    Attend,
    /// It looks for another size of the picture from now on.
    OtherTiles,
    /// The worker says where a text policy looks.
    Attended {
        /// Number of the question to it.
        job: u32,
        /// The map, or a sentence.
        attention: Result<Attention, String>,
    },
    /// So many steps back (negative) or forth.
    Undo(isize),
    /// A step was picked.
    GoTo(usize),
    /// "Ask" or "Compare".
    Ask(Pressed),
    /// The worker has encoded the picture for a provider.
    Encoded {
        /// Number of the question.
        job: u32,
        /// The picture.
        file: Option<Key>,
    },
    /// The worker has enlarged the crop for a provider.
    Enlarged {
        /// Number of the question.
        job: u32,
        /// The crop.
        file: Option<Key>,
    },
    /// The worker has made the grey picture.
    Blanked {
        /// Number of the question.
        job: u32,
        /// The grey picture.
        file: Option<Key>,
    },
    /// A question ended, with a sentence where something went wrong.
    AskEnded {
        /// Number of the question.
        job: u32,
        /// What went wrong.
        why: Option<String>,
    },
    /// "Stop".
    Stop,
    /// Another provider, or another address of one.
    OtherProvider,
    /// "Learn" was opened.
    LessonOpened,
    /// A lesson's group is to be seen.
    LessonShown,
    /// How far the model is.
    Model(Stage),
    /// The worker cannot go on.
    Broken {
        /// What it said.
        why: String,
        /// Whether its module ever ran.
        started: bool,
    },
    /// A worker is needed where there is none.
    NeedWorker,
    /// A worker could not be started at all, or is of no use to this page.
    NoWorker {
        /// A sentence.
        why: String,
    },
    /// A sentence of the page module's own.
    Say(Say),
}

/// Where a sentence stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// Under the question: something went wrong.
    Complaint(String),
    /// Under the crop.
    Crop(String),
}

/// By what a box was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Drawn anew: it serves any question.
    Drawn,
    /// Moved or resized with a pointer: a step of its own.
    Dragged,
    /// A key or the slider: those that follow one another at once are one step.
    Stepped,
    /// Picked or reset.
    Picked,
    /// A link's.
    Linked,
}

/// What the page has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Post this.
    Post(ToWorker),
    /// Give the worker a picture.
    PostPicture {
        /// Its number.
        picture: u32,
        /// Its file.
        file: Key,
    },
    /// Find out whether the browser can show a picture: answered by [`Event::BrowserShows`].
    Decode {
        /// Its number.
        picture: u32,
        /// Its file.
        file: Key,
    },
    /// Fetch a picture: answered by [`Event::Fetched`].
    Fetch {
        /// Comes back.
        visit: u32,
        /// Where it is.
        address: String,
        /// The browser shows it already, at this address.
        shown: bool,
    },
    /// A later task calls [`Event::ProposeRefused`] with this: the click is seen before its end.
    Refuse {
        /// Number of the click.
        job: u32,
        /// A sentence.
        why: String,
    },
    /// Another picture has settled on the stage.
    Settled,
    /// A box has come.
    Boxed,
    /// A question begins: its columns or its answer are emptied.
    AskBegins {
        /// Three answers beside each other.
        comparing: bool,
    },
    /// All pictures of [`State::asking`](super::State::asking) are there: off they go.
    Send,
    /// What is on its way of a question is not wanted any more.
    Abort {
        /// Its number.
        job: u32,
    },
    /// Start a worker; with a reason, on the CPU. [`Effect::Post`] after it goes to the new one.
    Restart {
        /// Why the one before it stopped.
        why: Option<String>,
    },
    /// There is no worker any more.
    Unlink,
    /// The model is not available in this browser.
    NoModel,
}
