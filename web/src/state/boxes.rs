//! Where every event about a box goes, and the proposals: a click, its box or its end. Boxes by hand are in `edits`, other
//! places in `places`.

use std::rc::Rc;

use grounding::NormBox;

use super::event::Say;
use super::{Click, Crop, Effect, Event, How, Key, Phase, State};
use crate::geometry::scaled;
use crate::protocol::{MAX_QUESTION, Proposed, ToWorker};
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
            Event::Guess => self.guess = self.crop().map(|crop| crop.key),
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
}
