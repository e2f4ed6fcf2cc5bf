//! "Ask" and "Compare": what goes to a provider belongs to the picture, the question and the box that are seen.
//!
//! A crop that was made for another question is not sent with this one: it is proposed anew first, then asked about, with
//! one press. A box that a hand has just moved is cut first.

use super::{Effect, Event, Key, State};
use crate::protocol::ToWorker;
use crate::text::{self, asking};

type Effects = Vec<Effect>;

/// A press of "Ask" or "Compare", with what the page module knows about the provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressed {
    /// Three answers beside each other.
    pub comparing: bool,
    /// The request is copied, not sent.
    pub copying: bool,
    /// What is missing of the provider's settings.
    pub lacking: Option<String>,
    /// Longest edge of the picture as it is sent, pixels.
    pub edge: u32,
    /// A crop whose longest edge is shorter is enlarged to this, pixels; 0 leaves it as it is.
    pub enlarge: u32,
}

/// What an answer is about.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The picture's file.
    pub file: Key,
    /// As it was asked.
    pub question: String,
    /// The crop that was sent.
    pub crop: Key,
}

/// A question on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// Its number.
    pub job: u32,
    /// What it is about.
    pub about: About,
    /// Three answers beside each other.
    pub comparing: bool,
    /// The request is copied, not sent.
    pub copying: bool,
    /// Pixels of the crop as it is sent.
    pub crop_size: (u32, u32),
    /// The picture, once the worker has encoded it.
    pub picture: Option<Key>,
    /// The crop, once it is as large as it is sent.
    pub crop: Option<Key>,
    /// The grey picture, once the worker has made it.
    pub blank: Option<Key>,
}

impl Asking {
    /// Whether all pictures are there.
    pub fn is_complete(&self) -> bool {
        self.picture.is_some() && self.crop.is_some() && (self.blank.is_some() || !self.comparing)
    }

    pub(super) fn uses(&self, key: Key) -> bool {
        let parts = [self.picture, self.crop, self.blank, Some(self.about.crop)];
        parts.contains(&Some(key))
    }
}

/// Pixels of a crop as it is sent: enlarged so that its longest edge is `edge`, if it is shorter.
///
/// ```
/// use cropvlm_web::state::enlarged;
/// assert_eq!(enlarged((64, 16), 512), (512, 128));
/// assert_eq!(enlarged((600, 10), 512), (600, 10));
/// assert_eq!(enlarged((64, 16), 0), (64, 16));
/// ```
pub fn enlarged((width, height): (u32, u32), edge: u32) -> (u32, u32) {
    let longest = width.max(height).max(1);
    if longest >= edge {
        return (width, height);
    }
    let side = |pixels: u32| {
        let exact = f64::from(pixels) * f64::from(edge) / f64::from(longest);
        (exact.round() as u32).max(1)
    };
    (side(width), side(height))
}

impl State {
    pub(super) fn take_question(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Ask(pressed) => self.ask(pressed, effects),
            Event::Encoded { job, file } => self.arrive(job, effects, |it| it.picture = file),
            Event::Enlarged { job, file } => self.arrive(job, effects, |it| it.crop = file),
            Event::Blanked { job, file } => self.arrive(job, effects, |it| it.blank = file),
            Event::AskEnded { job, why } => {
                if self.asking.take_if(|asking| asking.job == job).is_some() {
                    self.ask_message = why;
                }
            }
            Event::Stop => {
                self.pending = None;
                if let Some(asking) = self.asking.take() {
                    effects.push(Effect::Abort { job: asking.job });
                    self.ask_message = Some(text::STOPPED.to_owned());
                }
            }
            Event::OtherProvider => self.ask_message = None,
            Event::LessonOpened => self.open_lesson(effects),
            Event::LessonShown => self.lesson_aside = false,
            other => self.take_step(other, effects),
        }
    }

    fn ask(&mut self, pressed: Pressed, effects: &mut Effects) {
        // What is sent is seen.
        if self.is_absent() {
            self.guess = self.crop().map(|crop| crop.key);
        }
        if self.asking.is_some() || self.pending.is_some() {
            return;
        }
        self.ask_message = None;
        if let Err(why) = self.may_ask(&pressed) {
            self.ask_message = Some(why);
            return;
        }
        self.pending = Some(pressed);
        // What a hand still has is asked about as it is seen.
        if let Some(draft) = self.draft.as_mut() {
            draft.finished = true;
            self.cut_next(effects);
        }
        self.resume(effects);
    }

    fn may_ask(&self, pressed: &Pressed) -> Result<(), String> {
        let missing = if pressed.comparing {
            asking::NEED_CROP_TO_COMPARE
        } else {
            text::NEED_CROP
        };
        if self.newest().is_none() {
            return Err(text::NEED_PICTURE.to_owned());
        }
        if self.asked().is_empty() {
            return Err(text::NEED_QUESTION.to_owned());
        }
        if self.current_box().is_none() && self.click.is_none() {
            return Err(missing.to_owned());
        }
        pressed.lacking.clone().map_or(Ok(()), Err)
    }

    /// Goes on with a press that waited, as far as it can: cut, propose, ask.
    pub(super) fn resume(&mut self, effects: &mut Effects) {
        let Some(pressed) = self.pending.clone() else {
            return;
        };
        let question = self.asked().to_owned();
        if let Some(click) = &self.click {
            if click.unasked || click.question == question {
                return; // its end goes on
            }
            return self.propose(None, effects);
        }
        if !self.is_cut() {
            return; // the cut goes on
        }
        match self.crop() {
            Some(crop) if crop.other_question(&question).is_none() => {}
            Some(_) => return self.propose(None, effects),
            None => {
                self.pending = None;
                self.ask_message = Some(text::NEED_CROP.to_owned());
                return;
            }
        }
        self.pending = None;
        self.begin(&pressed, question, effects);
    }

    fn begin(&mut self, pressed: &Pressed, question: String, effects: &mut Effects) {
        let Some((shown, crop)) = self.settled().and_then(|it| Some((it, it.crop.as_ref()?)))
        else {
            return;
        };
        let about = About {
            file: shown.picture.file,
            question,
            crop: crop.key,
        };
        let (picture, pixels) = (shown.picture.number, crop.pixels);
        let (size, quarters) = (crop.size(), crop.quarters());
        let (width, height) = enlarged(size, pressed.enlarge);
        let as_it_is = size == (width, height);
        let job = self.number();
        let comparing = pressed.comparing;
        if comparing {
            self.runs = Some(about.clone());
        } else if !pressed.copying {
            self.answer = Some(about.clone());
        }
        self.asking = Some(Asking {
            job,
            crop: as_it_is.then_some(about.crop),
            about,
            comparing,
            copying: pressed.copying,
            crop_size: (width, height),
            picture: None,
            blank: None,
        });
        if !pressed.copying {
            effects.push(Effect::AskBegins { comparing });
        }
        if comparing {
            State::post(effects, ToWorker::Blank { job, width, height });
        }
        if !as_it_is {
            let message = ToWorker::Enlarge {
                job,
                picture,
                pixels,
                quarters,
                width,
                height,
            };
            State::post(effects, message);
        }
        let edge = pressed.edge;
        State::post(effects, ToWorker::Encode { job, picture, edge });
    }

    /// Takes a part; when all are there, off they go.
    fn arrive(&mut self, job: u32, effects: &mut Effects, take: impl FnOnce(&mut Asking)) {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.job == job) else {
            return;
        };
        if asking.is_complete() {
            return;
        }
        take(asking);
        if asking.is_complete() {
            effects.push(Effect::Send);
        }
    }

    /// The worker is gone: what a question still waited for will not come.
    pub(super) fn ask_lost(&mut self, effects: &mut Effects) {
        if let Some(asking) = self.asking.take_if(|asking| !asking.is_complete()) {
            effects.push(Effect::Abort { job: asking.job });
            self.ask_message = Some(text::BROKEN.to_owned());
        }
    }
}
