//! What is to be seen of a [`State`]: a picture with a box that is its own, a crop that is the box's, an answer that is
//! the picture's; and words where they belong to another question.

use std::rc::Rc;

use grounding::{NormBox, PixelBox};

use super::{About, Browser, Key, Picture, State};
use crate::places::Place;
use crate::protocol::{Attention, Proposed, Writing};
use crate::samples::SAMPLES;
use crate::text::{self, asking};

/// What is to be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// `document.documentElement.dataset.state`.
    pub phase: &'static str,
    /// The question's field.
    pub question: String,
    /// The file on the stage.
    pub file: Option<Key>,
    /// The worker's number of it.
    pub number: Option<u32>,
    /// Pixels of it; none while a newer picture is on its way.
    pub size: Option<(u32, u32)>,
    /// The sample that stands in `index.html` is being fetched.
    pub opening: bool,
    /// What the empty stage says beside its invitation.
    pub empty: Option<&'static str>,
    /// The address of the picture that was chosen last, for its suggestions; `None` without a picture.
    pub source: Option<String>,
    /// The box.
    pub bbox: Option<NormBox>,
    /// The crop.
    pub crop: Option<CropView>,
    /// The model sees no answer in the picture: neither box nor crop is shown.
    pub absent: bool,
    /// Other places.
    pub places: Vec<Place>,
    /// Other places are wanted.
    pub seeking: bool,
    /// Where a text policy looks.
    pub attention: Option<Attention>,
    /// What a text policy read and wrote: for the click that is being worked on, else for the box on the stage.
    pub writing: Option<Writing>,
    /// There is a step back, a step forth.
    pub steps: (bool, bool),
    /// Under the question, in the colour of things that went wrong.
    pub message: Option<String>,
    /// Under the question.
    pub note: String,
    /// Under the crop.
    pub crop_note: String,
    /// A question is on its way, or waits for its crop.
    pub asking: bool,
    /// Under "Ask", in the colour of things that went wrong.
    pub ask_message: Option<String>,
    /// An answer is there, or on its way.
    pub answer: bool,
    /// What has to be known of it.
    pub answer_note: Option<String>,
    /// A comparison is there, or on its way.
    pub runs: bool,
    /// What has to be known of it.
    pub runs_note: Option<String>,
    /// A lesson's group may be drawn over the picture.
    pub lesson: bool,
}

/// The crop as it is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct CropView {
    /// The crop as PNG.
    pub key: Key,
    /// Percent.
    pub bbox: NormBox,
    /// The pixels of the original that were cut out.
    pub pixels: PixelBox,
    /// What the model said.
    pub proposed: Option<Rc<Proposed>>,
    /// A person has moved the model's box.
    pub moved: bool,
    /// The question that it was made for, where that is not the one that stands there.
    pub other: Option<String>,
}

/// What is to be seen of a state.
pub fn draw(state: &State) -> View {
    let newest = state.incoming.last();
    // The newest picture is seen as soon as the browser has it, the one before it until then.
    let shows = newest.filter(|newest| newest.browser == Browser::Shows);
    let stage = state.stage.as_ref().map(|shown| &shown.picture);
    let on_stage: Option<&Picture> = shows.map(|shows| &shows.picture).or(stage);
    let settled = state.settled();
    let question = state.asked();
    let absent = state.is_absent();
    let crop = state.crop().filter(|_| !absent).map(|crop| CropView {
        key: crop.key,
        bbox: crop.bbox,
        pixels: crop.pixels,
        proposed: crop.proposed.clone(),
        moved: crop.is_moved(),
        other: crop.other_question(question).map(str::to_owned),
    });
    let number = on_stage.map(|picture| picture.number);
    let attention = state.attention.as_ref().filter(|(of, asked, _)| {
        let proposed = crop.as_ref().and_then(|crop| crop.proposed.as_deref());
        let writes = proposed.is_some_and(|proposed| proposed.writing.is_some());
        writes && Some(*of) == number && asked == question
    });
    let job = state.click.as_ref().map(|click| click.job);
    let now = state.writing.as_ref().filter(|(of, _)| Some(*of) == job);
    let proposed = crop.as_ref().and_then(|crop| crop.proposed.as_deref());
    let then = || proposed?.writing.clone();
    let pending = state.pending.as_ref().map(|pressed| pressed.comparing);
    let about = |about: &Option<About>, comparing: bool| {
        if pending == Some(comparing) && state.click.is_some() {
            return (false, Some(asking::CROP_FIRST.to_owned()));
        }
        let of = settled.map(|shown| shown.picture.file);
        let Some(about) = about.as_ref().filter(|about| Some(about.file) == of) else {
            return (false, None);
        };
        let crop = crop.as_ref().map(|crop| crop.key);
        let note = if about.question != question {
            Some(asking::other_question(&about.question))
        } else {
            (crop != Some(about.crop)).then(|| asking::OTHER_CROP.to_owned())
        };
        (true, note)
    };
    let (answer, answer_note) = about(&state.answer, false);
    let (runs, runs_note) = about(&state.runs, true);
    View {
        phase: state.phase.name(),
        question: state.question.clone(),
        file: on_stage.map(|picture| picture.file),
        number,
        size: settled.and_then(|shown| shown.picture.size),
        opening: state.is_opening(),
        empty: state.missing.as_ref().map(|_| text::LINK_PICTURE_MISSING),
        source: state
            .newest()
            .map(|picture| picture.source.clone().unwrap_or_default())
            .or_else(|| state.is_opening().then(|| SAMPLES[0].file())),
        bbox: state.current_box().filter(|_| !absent),
        absent,
        attention: attention.map(|(.., attention)| attention.clone()),
        writing: now.map(|(_, writing)| writing.clone()).or_else(then),
        crop,
        places: settled.map_or_else(Vec::new, |_| state.places.clone()),
        seeking: state.seeking.is_some() || !state.places.is_empty(),
        steps: (state.undo_to(-1).is_some(), state.undo_to(1).is_some()),
        message: state.message.clone(),
        note: match absent {
            true => text::NOT_SEEN.to_owned(),
            false => state.note.clone(),
        },
        crop_note: state.crop_note.clone(),
        asking: state.asking.is_some() || state.pending.is_some(),
        ask_message: state.ask_message.clone(),
        answer,
        answer_note,
        runs,
        runs_note,
        lesson: !state.lesson_aside,
    }
}
