//! The box by hand.
//!
//! It is a [`Draft`] until the worker has cut its crop, one at a time and always the newest; a box that was let go is cut in
//! any case, so that each drag is a step of its own.

use grounding::{NormBox, PixelBox};

use super::{Crop, Draft, Effect, How, Key, State};
use crate::geometry::tidy;
use crate::protocol::ToWorker;
use crate::text;

type Effects = Vec<Effect>;

impl State {
    /// The question that a box made by hand belongs to: one drawn anew serves any, and so does one that came of it; a
    /// change of the model's box is made for the question that stands there.
    pub(super) fn question_of(&self, how: How) -> Option<String> {
        let drawn = match &self.draft {
            Some(draft) => draft.question.is_none(),
            None => self.crop().is_none_or(|crop| crop.question.is_none()),
        };
        (how != How::Drawn && !drawn).then(|| self.asked().to_owned())
    }

    /// Changes the box. `finished`: the hand has let go.
    pub(super) fn edit(
        &mut self,
        bbox: NormBox,
        finished: bool,
        how: How,
        question: Option<String>,
        now: f64,
        effects: &mut Effects,
    ) {
        // What the page would have shown by itself is not wanted any more.
        self.unasked = false;
        self.click.take_if(|click| click.unasked);
        self.pending = None;
        // One that was let go and is not cut yet stays a step of its own.
        if let Some(draft) = self.draft.take_if(|draft| draft.finished) {
            self.owed.push(draft);
        }
        self.draft = Some(Draft {
            bbox: tidy(bbox),
            finished,
            how,
            question,
            now,
        });
        self.cut_next(effects);
    }

    /// Has the next box cut, if the worker is not busy with one.
    pub(super) fn cut_next(&mut self, effects: &mut Effects) {
        if self.cutting.is_some() {
            return;
        }
        let Some(picture) = self.stage.as_ref().map(|shown| shown.picture.number) else {
            return;
        };
        let next = self.owed.first().or(self.draft.as_ref()).cloned();
        let Some(draft) = next else { return };
        let job = self.number();
        let bbox = draft.bbox;
        self.cutting = Some((job, draft));
        let crop = self.stage.as_ref().and_then(|shown| shown.crop.as_ref());
        let quarters = crop.map_or(0, Crop::quarters);
        let message = ToWorker::Cut {
            job,
            picture,
            bbox,
            quarters,
        };
        State::post(effects, message);
    }

    /// A new worker knows nothing of what the old one was cutting.
    pub(super) fn cut_again(&mut self, effects: &mut Effects) {
        self.cutting = None;
        self.cut_next(effects);
    }

    pub(super) fn cut(
        &mut self,
        job: u32,
        pixels: Result<PixelBox, String>,
        crop: Option<Key>,
        effects: &mut Effects,
    ) {
        let Some((_, cut)) = self.cutting.take_if(|(cutting, _)| *cutting == job) else {
            return;
        };
        let owed = self.owed.first() == Some(&cut);
        if owed {
            self.owed.remove(0);
        }
        let (pixels, key) = match (pixels, crop) {
            (Ok(pixels), Some(key)) => (pixels, key),
            (why, _) => {
                self.draft = None;
                self.owed.clear();
                let why = why.err().unwrap_or_else(|| text::BROKEN.to_owned());
                if self.pending.take().is_some() {
                    self.ask_message = Some(why.clone());
                }
                self.crop_note = why;
                return;
            }
        };
        let Some(shown) = self.stage.as_mut() else {
            return;
        };
        let proposed = shown.crop.take().and_then(|crop| crop.proposed);
        shown.crop = Some(Crop {
            key,
            bbox: cut.bbox,
            pixels,
            proposed,
            question: cut.question.clone(),
        });
        let ended = self.draft.as_ref() == Some(&cut) && cut.finished;
        if ended {
            self.draft = None;
        }
        if owed || ended {
            self.remember(Some((cut.how, cut.now)));
        }
        // The box may have moved on meanwhile.
        if self.draft.as_ref().is_some_and(|draft| *draft != cut) || !self.owed.is_empty() {
            self.cut_next(effects);
        }
        self.resume(effects);
    }

    /// Whether the crop on the stage is of the box that is seen.
    pub(super) fn is_cut(&self) -> bool {
        self.draft.is_none() && self.owed.is_empty()
    }

    pub(super) fn reset(&mut self, now: f64, effects: &mut Effects) {
        let proposed = self.crop().and_then(|crop| crop.proposed.clone());
        let Some(proposed) = proposed.filter(|_| self.may_edit()) else {
            return;
        };
        // It is the box that the model proposed for its own question again.
        let steps = self.history.steps.iter().rev();
        let crops = steps.filter_map(|step| step.shown.crop.as_ref());
        let own = crops
            .filter(|crop| crop.proposed.as_ref() == Some(&proposed) && !crop.is_moved())
            .find_map(|crop| crop.question.clone());
        let question = Some(own.unwrap_or_else(|| self.asked().to_owned()));
        self.base = None;
        self.edit(proposed.bbox, true, How::Picked, question, now, effects);
        text::RESET.clone_into(&mut self.crop_note);
    }
}
