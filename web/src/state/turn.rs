//! A picture turned by 90 degrees: a picture of its own, that can be undone, with the box and the question of the one
//! before it.

use super::{Browser, Crop, Effect, Incoming, Key, Missing, Picture, State};
use crate::geometry::quarter;
use crate::protocol::ToWorker;
use crate::text;

type Effects = Vec<Effect>;

impl State {
    /// "Rotate by 90 degrees": the worker turns the picture on the stage.
    pub(super) fn turn(&mut self, effects: &mut Effects) {
        let Some(picture) = self.settled().map(|shown| shown.picture.number) else {
            return;
        };
        if !self.may_edit() || self.turning == Some(picture) {
            return;
        }
        self.turning = Some(picture);
        self.message = None;
        text::TURNING.clone_into(&mut self.note);
        State::post(effects, ToWorker::Turn { picture });
    }

    /// The worker has turned it, as a file; `why` not, otherwise.
    pub(super) fn turned(&mut self, number: u32, file: Result<Key, String>, effects: &mut Effects) {
        if self.turning.take_if(|turning| *turning == number).is_none() {
            return;
        }
        let on_stage = self.settled().map(|shown| shown.picture.number);
        if on_stage != Some(number) || !self.may_edit() {
            return; // something newer is on the stage, or on its way
        }
        let file = match file {
            Ok(file) => file,
            Err(why) => return self.complain(&why),
        };
        let wanted = self.current_box().map(|bbox| Missing {
            bbox: Some(quarter(bbox)),
            question: self.crop().and_then(|crop| crop.question.clone()),
        });
        let incoming = Incoming {
            picture: Picture {
                number: self.number(),
                file,
                // Others get it there as it lay.
                source: None,
                size: None,
            },
            browser: Browser::Decoding,
            sample: false,
            unasked: false,
            wanted,
        };
        self.bring(incoming, None, effects);
    }
}

impl Crop {
    /// Quarter turns clockwise after which it reads.
    pub fn quarters(&self) -> u32 {
        let proposed = self.proposed.as_ref();
        proposed.map_or(0, |proposed| proposed.quarters)
    }

    /// Pixels of the crop as it is seen and sent: upright.
    pub fn size(&self) -> (u32, u32) {
        let (width, height) = (self.pixels.width(), self.pixels.height());
        if self.quarters() % 2 == 1 {
            (height, width)
        } else {
            (width, height)
        }
    }
}
