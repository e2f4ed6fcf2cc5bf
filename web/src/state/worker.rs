//! The model behind the page: how far it is, and what happens when its worker breaks.

use super::{Effect, Event, Phase, State};
use crate::protocol::Stage;
use crate::text;

type Effects = Vec<Effect>;

/// How often a broken worker is started anew before the page gives up until the next click.
const MAX_RESTARTS: u32 = 2;

impl State {
    pub(super) fn take_worker(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Model(stage) => self.model(stage, effects),
            Event::Broken { why, started } => self.broken(why, started, effects),
            Event::NeedWorker if !self.linked => self.restart(None, effects),
            Event::NoWorker { why } => self.no_worker(&why, effects),
            Event::OtherModel => self.other_model(effects),
            _ => {}
        }
    }

    fn model(&mut self, stage: Stage, effects: &mut Effects) {
        let busy = self.is_busy();
        match stage {
            Stage::Ready(running) => {
                self.running = Some(running);
                if !busy && self.phase == Phase::Loading {
                    self.phase = Phase::Ready;
                } else if busy {
                    text::WORKING.clone_into(&mut self.note);
                }
                effects.push(Effect::Settled);
                self.propose_unasked(effects);
            }
            Stage::Failed { why } if !busy => {
                self.phase = Phase::Error;
                self.complain(&why);
            }
            _ => {}
        }
    }

    /// The worker is of no more use: another one takes over, on the CPU, and tries once again.
    fn broken(&mut self, why: String, started: bool, effects: &mut Effects) {
        if !started {
            return self.no_worker(text::NO_WORKER, effects);
        }
        if self.restarts >= MAX_RESTARTS {
            self.linked = false;
            effects.push(Effect::Unlink);
            if self.click.take().is_some() || self.running.is_none() {
                self.phase = Phase::Error;
            }
            self.pending = None;
            return self.complain(text::BROKEN);
        }
        self.restarts += 1;
        let retried = self.click.as_ref().map(|click| (click.job, click.retried));
        match retried {
            Some((job, true)) => {
                self.restart(Some(why), effects);
                self.fail(job, text::BROKEN);
            }
            Some((_, false)) => {
                if let Some(click) = self.click.as_mut() {
                    click.retried = true;
                }
                text::FELL_BACK.clone_into(&mut self.note);
                self.restart(Some(why), effects);
                self.post_click(effects);
            }
            None => self.restart(Some(why), effects),
        }
    }

    /// The network is another one from now on: what the old one was doing is given up, the box that it found stays.
    fn other_model(&mut self, effects: &mut Effects) {
        self.click = None;
        self.pending = None;
        self.restarts = 0;
        self.message = None;
        self.phase = Phase::Loading;
        self.restart(None, effects);
    }

    /// A new worker, which gets the pictures of the old one.
    pub(super) fn restart(&mut self, why: Option<String>, effects: &mut Effects) {
        self.linked = true;
        self.running = None;
        self.attending = None;
        self.seeking = None;
        self.turning = None;
        self.ask_lost(effects);
        effects.push(Effect::Restart { why });
        let stage = self.stage.iter().map(|shown| &shown.picture);
        let incoming = self.incoming.iter().map(|incoming| &incoming.picture);
        effects.extend(stage.chain(incoming).map(|picture| Effect::PostPicture {
            picture: picture.number,
            file: picture.file,
        }));
        self.cut_again(effects);
    }

    fn no_worker(&mut self, why: &str, effects: &mut Effects) {
        self.linked = false;
        self.click = None;
        self.pending = None;
        effects.push(Effect::Unlink);
        effects.push(Effect::NoModel);
        self.phase = Phase::Error;
        self.ask_lost(effects);
        self.complain(why);
    }
}
