//! What the page knows: pictures, boxes with their crops, the click that is being worked on.

use std::rc::Rc;

use cropvlm_web::places::Place;
use cropvlm_web::protocol::{Attention, Proposed, Running, Tiles, Writing};
use grounding::{NormBox, PixelBox};
use web_sys::{Blob, File, Url};

use crate::history::History;

/// What the page knows.
#[derive(Default)]
pub struct State {
    /// The picture on the stage with its box.
    pub shown: Option<Shown>,
    /// What was on the stage before a picture that the worker has not accepted yet.
    pub before: Option<Shown>,
    /// A picture that was chosen and is not on the stage yet.
    pub candidate: Option<Picture>,
    /// A picture that the browser cannot decode; the worker may.
    pub not_shown: Option<u32>,
    /// The click that is being worked on.
    pub click: Option<Click>,
    /// The model, once it is ready.
    pub running: Option<Running>,
    /// How often the worker was started anew since the last click.
    pub restarts: u32,
    /// A box that a person is moving; its crop may not be cut yet.
    pub draft: Option<Draft>,
    /// What the size slider starts from: the box before it was touched.
    pub base: Option<NormBox>,
    /// Other places for the answer, while they are shown.
    pub places: Vec<Place>,
    /// Places that were asked for.
    pub seeking: Option<u32>,
    /// The picture as the network gets it.
    pub canvas: Option<Canvas>,
    /// Where a text policy looks, for this picture and question.
    pub attention: Option<(u32, String, Attention)>,
    /// The attention that was asked for, and for what.
    pub attending: Option<(u32, u32, String)>,
    /// What a text policy has written so far, for this click.
    pub writing: Option<(u32, Writing)>,
    /// What was there before.
    pub history: History,
    /// Propose without being asked as soon as model and picture are there: for the sample that the page opens with.
    pub unasked: bool,
    /// The box of a link, for when its picture is there.
    pub wanted: Option<NormBox>,
}

impl State {
    /// The box on the stage with its crop.
    pub fn proposal(&self) -> Option<&Proposal> {
        self.shown.as_ref()?.proposal.as_ref()
    }

    /// What a text policy read and wrote: for the click that is being worked on, else for the box on the stage.
    pub fn writing(&self) -> Option<&Writing> {
        let job = self.click.as_ref().map(|click| click.job);
        let now = self.writing.as_ref().filter(|(of, _)| Some(*of) == job);
        let proposal = self.proposal().filter(|_| self.candidate.is_none());
        let proposed = || proposal?.proposed.as_ref()?.writing.as_ref();
        now.map(|(_, writing)| writing).or_else(proposed)
    }

    /// Number of the picture on the stage.
    pub fn on_stage(&self) -> Option<u32> {
        self.shown.as_ref().map(|shown| shown.picture.number)
    }
}

/// A `blob:` address; the memory behind it is given back when nobody uses it any more.
#[derive(Debug)]
pub struct Address(pub String);

impl Address {
    /// An address for a blob.
    pub fn of(blob: &Blob) -> Option<Rc<Address>> {
        let url = Url::create_object_url_with_blob(blob).ok()?;
        Some(Rc::new(Address(url)))
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        Url::revoke_object_url(&self.0).ok();
    }
}

/// A picture as the network gets it, see [`cropvlm_web::protocol::FromWorker::Canvas`].
pub struct Canvas {
    pub picture: u32,
    pub tiles: Option<Tiles>,
    pub address: Rc<Address>,
}

/// A chosen picture.
#[derive(Clone)]
pub struct Picture {
    pub number: u32,
    pub file: File,
    /// For the `<img>`.
    pub address: Rc<Address>,
    /// Where it came from, if others can get it there: for links.
    pub source: Option<String>,
    /// Pixels, once the worker has decoded it.
    pub size: Option<(u32, u32)>,
}

/// A picture on the stage.
#[derive(Clone)]
pub struct Shown {
    pub picture: Picture,
    pub proposal: Option<Proposal>,
}

/// A box with its crop.
#[derive(Clone)]
pub struct Proposal {
    /// What the model said; `None` for a box that a person drew.
    pub proposed: Option<Rc<Proposed>>,
    /// Percent; differs from the model's where a person has moved it.
    pub bbox: NormBox,
    /// The pixels of the original that were cut out.
    pub pixels: PixelBox,
    /// The crop as PNG.
    pub crop: Blob,
    /// Address of it.
    pub address: Rc<Address>,
}

impl Proposal {
    /// Whether a person has moved the model's box.
    pub fn is_moved(&self) -> bool {
        self.proposed
            .as_ref()
            .is_some_and(|proposed| proposed.bbox != self.bbox)
    }
}

/// A box on its way to a crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    pub bbox: NormBox,
    /// The cut that the worker is busy with.
    pub cutting: Option<(u32, NormBox)>,
    /// The hand has let go: the next crop of this very box ends it.
    pub finished: bool,
}

/// A click on "Propose crop".
#[derive(Clone)]
pub struct Click {
    pub job: u32,
    pub picture: u32,
    pub question: String,
    /// The part of the picture to look at.
    pub inside: Option<NormBox>,
    /// The worker broke once under it and was started anew.
    pub retried: bool,
    /// Nobody clicked: the page shows its sample's box by itself, and keeps its state as it is.
    pub unasked: bool,
}

/// Whether this picture is on the stage.
pub fn state_is(shown: &Option<Shown>, number: u32) -> bool {
    shown
        .as_ref()
        .is_some_and(|shown| shown.picture.number == number)
}
