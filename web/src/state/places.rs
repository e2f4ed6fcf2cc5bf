//! Other places, and where a text policy looks.

use super::{Effect, State};
use crate::places::Place;
use crate::protocol::{Attention, ToWorker};
use crate::text;

type Effects = Vec<Effect>;

impl State {
    pub(super) fn forget_places(&mut self) {
        self.places.clear();
        self.seeking = None;
    }

    /// "Other places": shows or hides them.
    pub(super) fn seek(&mut self, effects: &mut Effects) {
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

    pub(super) fn found(&mut self, job: u32, places: Result<Vec<Place>, String>) {
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
    pub(super) fn attend(&mut self, effects: &mut Effects) {
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

    pub(super) fn attended(&mut self, job: u32, attention: Result<Attention, String>) {
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
