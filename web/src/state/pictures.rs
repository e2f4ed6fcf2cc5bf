//! How pictures come on the stage: chosen or fetched, decoded by browser and worker, accepted or refused.
//!
//! A picture that is not accepted yet changes nothing but what is seen: the stage keeps what it had, and has it back where
//! all of the new ones are refused.

use super::{Browser, Effect, Event, How, Incoming, Key, Missing, Picture, Shown, State, Visit};
use crate::protocol::ToWorker;
use crate::samples::{SAMPLES, Sample};
use crate::share::Shared;
use crate::text;

type Effects = Vec<Effect>;

impl State {
    /// Where every event goes.
    pub(super) fn take(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Open(shared) => self.open(shared, effects),
            Event::Question(question) => self.ask_anew(question),
            Event::Suggested(question) => {
                self.ask_anew(question);
                self.propose(None, effects);
            }
            Event::Chosen { file } => self.choose(file, effects),
            Event::Address(address) => {
                let question = (!self.typed).then(|| (String::new(), false));
                self.visit(address, question, effects);
            }
            Event::Sample(sample) => self.try_sample(sample, effects),
            Event::Link(shared) => self.follow(shared, effects),
            Event::Fetched { visit, file } => self.fetched(visit, file, effects),
            Event::BrowserShows { picture, shows } => self.decoded(picture, shows, effects),
            Event::Accepted {
                picture,
                width,
                height,
            } => self.accepted(picture, (width, height), effects),
            Event::Turn => self.turn(effects),
            Event::Turned { picture, file } => self.turned(picture, file, effects),
            Event::Refused { picture, why } => self.refused(picture, &why, effects),
            other => self.take_box(other, effects),
        }
    }

    /// The question's field says something else: what was on its way for the old one is not wanted any more.
    fn ask_anew(&mut self, question: String) {
        // Typed anew letter by letter, it is the person's own even if it is the same.
        self.typed = true;
        if question == self.question {
            return;
        }
        if question.trim() != self.asked() {
            self.forget_places();
            self.pending = None;
        }
        self.question = question;
    }

    fn open(&mut self, shared: Shared, effects: &mut Effects) {
        self.linked = true;
        if shared.is_empty() {
            return self.visit_first(effects);
        }
        if let Some(question) = &shared.question {
            self.question.clone_from(question);
            self.typed = true;
        }
        self.follow(shared, effects);
    }

    /// The sample that stands in `index.html`.
    fn visit_first(&mut self, effects: &mut Effects) {
        let number = self.number();
        let address = SAMPLES[0].file();
        self.visit = Some(Visit {
            number,
            address: address.clone(),
            question: None,
            sample: true,
            unasked: true,
            wanted: None,
            shows: true,
        });
        effects.push(Effect::Fetch {
            visit: number,
            address,
            shown: true,
        });
    }

    /// A link. One that was made with a picture of somebody's own comes without it: the stage waits for it, empty.
    fn follow(&mut self, shared: Shared, effects: &mut Effects) {
        self.opened = true;
        let missing = Missing {
            bbox: shared.bbox,
            question: shared.question.clone(),
        };
        let question = shared.question.map(|question| (question, true));
        let Some(address) = shared.picture else {
            if let Some((question, typed)) = question {
                (self.question, self.typed) = (question, typed);
            }
            self.visit = None;
            self.incoming.clear();
            self.before = None;
            self.message = None;
            self.pending = None;
            self.unasked = false;
            self.leave_stage(None, effects);
            self.missing = Some(missing);
            return;
        };
        self.visit(address, question, effects);
        if let Some(visit) = self.visit.as_mut() {
            visit.unasked = missing.bbox.is_none();
            visit.wanted = Some(missing).filter(|wanted| wanted.bbox.is_some());
        }
    }

    fn try_sample(&mut self, sample: &'static Sample, effects: &mut Effects) {
        let question = (sample.questions[0].0.to_owned(), false);
        self.visit(sample.file(), Some(question), effects);
        if let Some(visit) = self.visit.as_mut() {
            visit.sample = true;
        }
    }

    fn visit(&mut self, address: String, question: Option<(String, bool)>, effects: &mut Effects) {
        self.message = None;
        self.pending = None;
        self.note = text::FETCHING.to_owned();
        let number = self.number();
        self.visit = Some(Visit {
            number,
            address: address.clone(),
            question,
            sample: false,
            unasked: false,
            wanted: None,
            shows: false,
        });
        effects.push(Effect::Fetch {
            visit: number,
            address,
            shown: false,
        });
    }

    fn fetched(&mut self, number: u32, file: Result<Key, String>, effects: &mut Effects) {
        let Some(visit) = self.visit.take_if(|visit| visit.number == number) else {
            return; // a newer picture was chosen
        };
        let file = match file {
            Ok(file) => file,
            Err(why) => {
                self.complain(&why);
                self.opened |= visit.shows;
                if !self.opened && self.stage.is_none() && self.incoming.is_empty() {
                    self.visit_first(effects);
                }
                return;
            }
        };
        let browser = if visit.shows {
            Browser::Shows
        } else {
            Browser::Decoding
        };
        let proposes = visit.sample && !visit.unasked;
        // One that holds its picture itself is too long for a link, and the person's own.
        let scheme = visit.address.trim().get(.."data:".len());
        let own = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
        let source = (!own).then_some(visit.address);
        let incoming = Incoming {
            picture: self.picture(file, source),
            browser,
            sample: visit.sample,
            unasked: visit.unasked,
            wanted: visit.wanted,
        };
        self.bring(incoming, visit.question, effects);
        if proposes {
            self.propose(None, effects);
        }
    }

    /// A file of the person's own.
    fn choose(&mut self, file: Key, effects: &mut Effects) {
        self.visit = None;
        self.message = None;
        let question = (!self.typed).then(|| (String::new(), false));
        // What a link without its picture brought goes on this one.
        let wanted = self.missing.clone().filter(|wanted| wanted.bbox.is_some());
        let incoming = Incoming {
            picture: self.picture(file, None),
            browser: Browser::Decoding,
            sample: false,
            unasked: false,
            wanted,
        };
        self.bring(incoming, question, effects);
    }

    fn picture(&mut self, file: Key, source: Option<String>) -> Picture {
        Picture {
            number: self.number(),
            file,
            source,
            size: None,
        }
    }

    pub(super) fn bring(
        &mut self,
        incoming: Incoming,
        question: Option<(String, bool)>,
        effects: &mut Effects,
    ) {
        if self.incoming.is_empty() {
            self.before = Some((self.question.clone(), self.typed));
        }
        if let Some((question, typed)) = question {
            (self.question, self.typed) = (question, typed);
        }
        self.pending = None;
        self.unasked = false;
        let (picture, file) = (incoming.picture.number, incoming.picture.file);
        effects.push(Effect::PostPicture { picture, file });
        if incoming.browser == Browser::Decoding {
            self.note = text::READING.to_owned();
            effects.push(Effect::Decode { picture, file });
        }
        self.incoming.push(incoming);
    }

    fn decoded(&mut self, number: u32, shows: bool, effects: &mut Effects) {
        let incoming = self.incoming.iter_mut();
        let Some(incoming) = incoming.into_iter().find(|it| it.picture.number == number) else {
            return;
        };
        incoming.browser = if shows {
            Browser::Shows
        } else {
            Browser::Cannot
        };
        if incoming.picture.size.is_some() {
            self.settle(number, effects);
            if !shows && !self.is_busy() {
                self.note = text::NOT_SHOWN.to_owned();
            }
        }
    }

    fn accepted(&mut self, number: u32, size: (u32, u32), effects: &mut Effects) {
        let newest = self.newest().is_some_and(|newest| newest.number == number);
        if newest && self.click.is_none() {
            self.note.clear();
        }
        if let Some(shown) = self.stage.as_mut().filter(|it| it.picture.number == number) {
            shown.picture.size = Some(size);
        }
        let incoming = self.incoming.iter_mut();
        let Some(incoming) = incoming.into_iter().find(|it| it.picture.number == number) else {
            return;
        };
        incoming.picture.size = Some(size);
        let browser = incoming.browser;
        if browser != Browser::Decoding {
            self.settle(number, effects);
            if browser == Browser::Cannot && newest && self.click.is_none() {
                self.note = text::NOT_SHOWN.to_owned();
            }
        }
    }

    /// A picture is accepted: what stood on the stage goes, and so do those that were chosen before it.
    pub(super) fn settle(&mut self, number: u32, effects: &mut Effects) {
        let Some(at) = self
            .incoming
            .iter()
            .position(|it| it.picture.number == number)
        else {
            return;
        };
        let Some(mut settled) = self.incoming.drain(..=at).next_back() else {
            return;
        };
        let wanted = settled.wanted.take();
        self.missing = None;
        let shown = Shown {
            picture: settled.picture,
            crop: None,
        };
        self.leave_stage(Some(shown), effects);
        self.opened = true;
        if !self.incoming.is_empty() {
            // It is there for the case that the newer one is refused.
            return;
        }
        self.before = None;
        self.unasked = settled.unasked;
        self.remember(None);
        if settled.sample || wanted.is_some() {
            self.history.awaits_box();
        }
        if let Some((bbox, question)) = wanted.and_then(|it| Some((it.bbox?, it.question))) {
            self.unasked = false;
            self.edit(bbox, true, How::Linked, question, 0.0, effects);
        }
        effects.push(Effect::Settled);
        self.propose_unasked(effects);
    }

    /// Puts something else on the stage; what belonged to the old picture goes with it.
    pub(super) fn leave_stage(&mut self, shown: Option<Shown>, effects: &mut Effects) {
        let file = |shown: &Option<Shown>| shown.as_ref().map(|shown| shown.picture.file);
        let other = file(&self.stage) != file(&shown);
        self.stage = shown;
        self.draft = None;
        self.owed.clear();
        self.cutting = None;
        self.base = None;
        self.forget_places();
        if other {
            self.answer = None;
            self.runs = None;
            self.ask_message = None;
            self.crop_note.clear();
            if let Some(asking) = self.asking.take() {
                effects.push(Effect::Abort { job: asking.job });
            }
        }
    }

    fn refused(&mut self, number: u32, why: &str, effects: &mut Effects) {
        let at = self
            .incoming
            .iter()
            .position(|it| it.picture.number == number);
        let newest = self.newest().is_some_and(|newest| newest.number == number);
        let on_stage = self
            .stage
            .as_ref()
            .is_some_and(|it| it.picture.number == number);
        if at.is_none() && !on_stage {
            return;
        }
        let asked = at.map(|at| self.incoming.remove(at));
        // The first sample is not tried for ever.
        self.opened |= asked.as_ref().is_some_and(|asked| asked.unasked);
        match self.click.clone() {
            Some(click) if click.picture == number => self.fail(click.job, why),
            _ if newest => self.complain(why),
            _ => {}
        }
        if asked.is_none() || !self.incoming.is_empty() {
            return;
        }
        // The question that stood there before, unless the person has typed another one meanwhile.
        if let Some((question, typed)) = self.before.take()
            && !(self.typed && self.question != question)
        {
            (self.question, self.typed) = (question, typed);
        }
        if let Some(shown) = &self.stage {
            if !self.history.has(shown.picture.number) {
                self.remember(None);
            }
            effects.push(Effect::Settled);
        } else if !self.opened {
            self.visit_first(effects);
        }
    }

    /// A sentence in the colour of things that went wrong; it stays until the next action.
    pub(super) fn complain(&mut self, sentence: &str) {
        self.message = Some(sentence.to_owned());
        self.note.clear();
    }

    /// Posts to the worker.
    pub(super) fn post(effects: &mut Effects, message: ToWorker) {
        effects.push(Effect::Post(message));
    }
}
