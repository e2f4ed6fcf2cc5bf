//! Proposals, boxes by hand, places: every box on the stage comes from here.
//!
//! A box by hand is a [`Draft`] until the worker has cut its crop, one at a time and always the newest; a box that was let
//! go is cut in any case, so that each drag is a step of its own.

use std::rc::Rc;

use grounding::{NormBox, PixelBox};

use super::event::Say;
use super::{Click, Crop, Draft, Effect, Event, How, Key, Phase, State};
use crate::geometry::{scaled, tidy};
use crate::places::Place;
use crate::protocol::{Attention, MAX_QUESTION, Proposed, ToWorker};
use crate::samples::Sample;
use crate::text;

type Effects = Vec<Effect>;

impl State {
    pub(super) fn take_box(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Propose => self.propose(None, effects),
            Event::LookInside => {
                if let Some(bbox) = self.current_box() {
                    self.propose(Some(bbox), effects);
                }
            }
            Event::Proposed { proposed, crop } => self.proposed(*proposed, crop, effects),
            Event::ProposeRefused { job, why } => self.fail(job, &why),
            Event::Writing { job, writing } => {
                if self.click.as_ref().is_some_and(|click| click.job == job) {
                    self.writing = Some((job, writing));
                }
            }
            Event::Edit {
                bbox,
                finished,
                how,
                now,
            } => {
                if self.may_edit() {
                    if how != How::Stepped {
                        self.base = None;
                    }
                    let question = self.question_of(how);
                    self.edit(bbox, finished, how, question, now, effects);
                }
            }
            Event::EditCancelled => {
                self.draft.take_if(|draft| !draft.finished);
                self.resume(effects);
            }
            Event::Size {
                factor,
                finished,
                now,
            } => {
                let Some(bbox) = self.current_box().filter(|_| self.may_edit()) else {
                    return;
                };
                let base = *self.base.get_or_insert(bbox);
                let (bbox, how) = (scaled(base, factor), How::Stepped);
                let question = self.question_of(how);
                self.edit(bbox, finished, how, question, now, effects);
            }
            Event::Reset { now } => self.reset(now, effects),
            Event::Cut { job, pixels, crop } => self.cut(job, pixels, crop, effects),
            Event::Seek => self.seek(effects),
            Event::Places { job, places } => self.found(job, places),
            Event::TakePlace { at, now } => {
                let place = self.places.get(at).copied();
                if let Some(place) = place.filter(|_| self.may_edit()) {
                    let question = Some(self.asked().to_owned());
                    self.edit(place.bbox, true, How::Picked, question, now, effects);
                }
            }
            Event::Attend => self.attend(effects),
            Event::OtherTiles => {
                self.attention = None;
                self.attending = None;
                text::FINENESS_CHANGED.clone_into(&mut self.crop_note);
            }
            Event::Attended { job, attention } => self.attended(job, attention),
            Event::Say(Say::Complaint(sentence)) => self.complain(&sentence),
            Event::Say(Say::Crop(sentence)) => self.crop_note = sentence,
            other => self.take_question(other, effects),
        }
    }

    /// "Propose crop", or within a part of the picture.
    pub(super) fn propose(&mut self, inside: Option<NormBox>, effects: &mut Effects) {
        self.phase = Phase::Working;
        self.message = None;
        self.unasked = false;
        let job = self.number();
        let question = self.asked().to_owned();
        let picture = self.newest().map(|picture| picture.number);
        let length = question.chars().count();
        let wrong = if picture.is_none() && self.missing.is_some() {
            Some(text::LINK_PICTURE_MISSING.to_owned())
        } else if picture.is_none() {
            Some(text::NEED_PICTURE.to_owned())
        } else if question.is_empty() {
            Some(text::NEED_QUESTION.to_owned())
        } else if length > MAX_QUESTION {
            Some(text::question_too_long(length))
        } else {
            None
        };
        self.click = Some(Click {
            job,
            picture: picture.unwrap_or_default(),
            question,
            inside,
            posted: wrong.is_none(),
            retried: false,
            unasked: false,
        });
        if let Some(why) = wrong {
            return effects.push(Effect::Refuse { job, why });
        }
        self.restarts = 0;
        let ready = self.running.is_some();
        let note = if ready { text::WORKING } else { text::WAITING };
        note.clone_into(&mut self.note);
        if !self.linked {
            self.restart(None, effects);
        }
        self.post_click(effects);
    }

    /// Shows the box of the sample that the page opened with, once picture and model are there, unless the person has
    /// begun something else. It is nobody's click: `data-state` stays as it is.
    pub(super) fn propose_unasked(&mut self, effects: &mut Effects) {
        let picture = self.settled().filter(|it| it.picture.size.is_some());
        let Some(picture) = picture.map(|shown| shown.picture.number) else {
            return;
        };
        let ready = self.running.is_some() && self.click.is_none();
        if !self.unasked || !ready || self.asked().is_empty() {
            return;
        }
        self.unasked = false;
        let job = self.number();
        self.click = Some(Click {
            job,
            picture,
            question: self.asked().to_owned(),
            inside: None,
            posted: true,
            retried: false,
            unasked: true,
        });
        self.post_click(effects);
    }

    /// "Learn" opens on something that it can learn: of a sample whose first question is there, the question that its
    /// boxes earn different rewards for. What a person has typed or picked stays.
    pub(super) fn open_lesson(&mut self, effects: &mut Effects) {
        let source = self.settled().and_then(|it| it.picture.source.as_deref());
        let Some(sample) = source.and_then(Sample::at) else {
            return;
        };
        let begun = self.typed || self.is_busy() || self.asking.is_some();
        if begun || self.asked() != sample.questions[0].0 || self.asked() == sample.lesson() {
            return;
        }
        sample.lesson().clone_into(&mut self.question);
        self.forget_places();
        self.unasked = true;
        self.click.take_if(|click| click.unasked);
        self.propose_unasked(effects);
    }

    /// Sends the click to the worker.
    pub(super) fn post_click(&self, effects: &mut Effects) {
        if let Some(click) = self.click.clone().filter(|click| click.posted) {
            let message = ToWorker::Propose {
                job: click.job,
                picture: click.picture,
                question: click.question,
                inside: click.inside,
            };
            State::post(effects, message);
        }
    }

    /// Ends a click in `error`.
    pub(super) fn fail(&mut self, job: u32, why: &str) {
        let Some(click) = self.click.take_if(|click| click.job == job) else {
            return;
        };
        if self.pending.take().is_some() {
            self.ask_message = Some(why.to_owned());
        }
        if !click.unasked {
            self.phase = Phase::Error;
            self.complain(why);
        }
    }

    fn proposed(&mut self, proposed: Proposed, crop: Option<Key>, effects: &mut Effects) {
        let job = proposed.job;
        let Some(click) = self.click.clone().filter(|click| click.job == job) else {
            return; // a newer click is being worked on
        };
        // The browser may still be busy with a large picture that the worker has already read.
        let pending = self.pending.take();
        self.settle(proposed.picture, effects);
        self.pending = pending;
        let on_stage = self.settled().map(|shown| shown.picture.number);
        if on_stage != Some(proposed.picture) || proposed.picture != click.picture {
            return self.fail(job, text::SUPERSEDED);
        }
        let (Some(key), Some(shown)) = (crop, self.stage.as_mut()) else {
            return self.fail(job, text::BROKEN);
        };
        let same = proposed.same && shown.crop.is_some();
        if !same {
            shown.crop = Some(Crop {
                key,
                bbox: proposed.bbox,
                pixels: proposed.pixels,
                proposed: Some(Rc::new(proposed)),
                question: Some(click.question),
            });
        }
        self.click = None;
        self.draft = None;
        self.owed.clear();
        self.cutting = None;
        self.base = None;
        self.forget_places();
        self.note.clear();
        if same {
            text::NOTHING_SMALLER.clone_into(&mut self.crop_note);
        } else {
            self.crop_note.clear();
            self.remember(None);
        }
        effects.push(Effect::Boxed);
        if !click.unasked {
            self.phase = Phase::Done;
            self.lesson_aside = true;
        }
        self.resume(effects);
    }

    /// The question that a box made by hand belongs to: one drawn anew serves any, and so does one that came of it; a
    /// change of the model's box is made for the question that stands there.
    fn question_of(&self, how: How) -> Option<String> {
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

    fn cut(
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

    fn reset(&mut self, now: f64, effects: &mut Effects) {
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

    pub(super) fn forget_places(&mut self) {
        self.places.clear();
        self.seeking = None;
    }

    /// "Other places": shows or hides them.
    fn seek(&mut self, effects: &mut Effects) {
        if !self.places.is_empty() || self.seeking.is_some() {
            return self.forget_places();
        }
        let question = self.asked().to_owned();
        if question.is_empty() {
            return self.complain(text::NEED_QUESTION);
        }
        let Some(picture) = self.settled().map(|shown| shown.picture.number) else {
            return;
        };
        let job = self.number();
        self.seeking = Some(job);
        text::SEEKING.clone_into(&mut self.crop_note);
        let message = ToWorker::Places {
            job,
            picture,
            question,
        };
        State::post(effects, message);
    }

    fn found(&mut self, job: u32, places: Result<Vec<Place>, String>) {
        if self.seeking.take_if(|wanted| *wanted == job).is_none() {
            return;
        }
        match places {
            Ok(places) => {
                self.crop_note = text::places(&places);
                self.places = places;
            }
            Err(why) => self.crop_note = why,
        }
    }

    /// Where a text policy looks, where that is not there yet. A map policy's evidence comes with its box.
    fn attend(&mut self, effects: &mut Effects) {
        let question = self.asked().to_owned();
        let proposed = self.crop().and_then(|crop| crop.proposed.as_ref());
        let writes = proposed.is_some_and(|proposed| proposed.writing.is_some());
        let picture = self.settled().map(|shown| shown.picture.number);
        let Some(picture) = picture.filter(|_| writes) else {
            return;
        };
        let same = |of: u32, asked: &str| of == picture && asked == question;
        let known = matches!(&self.attention, Some((of, asked, _)) if same(*of, asked));
        let asked = matches!(&self.attending, Some((_, of, asked)) if same(*of, asked));
        if known || asked {
            return;
        }
        let job = self.number();
        self.attending = Some((job, picture, question.clone()));
        text::ATTENDING.clone_into(&mut self.crop_note);
        let message = ToWorker::Attend {
            job,
            picture,
            question,
        };
        State::post(effects, message);
    }

    fn attended(&mut self, job: u32, attention: Result<Attention, String>) {
        let about = self.attending.take_if(|(wanted, ..)| *wanted == job);
        let Some((_, picture, question)) = about else {
            return;
        };
        match attention {
            Ok(attention) => {
                self.attention = Some((picture, question, attention));
                text::ATTENDED.clone_into(&mut self.crop_note);
            }
            Err(why) => self.crop_note = why,
        }
    }
}
