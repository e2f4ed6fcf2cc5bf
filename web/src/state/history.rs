//! What was there before: every picture with its question and box, to go back to and forth.

use super::{Crop, Effect, Event, How, Shown, State};

type Effects = Vec<Effect>;

/// Steps that are kept.
const KEPT: usize = 40;
/// Keys and slider that follow one another within this time are one step, milliseconds.
const ONE_STEP: f64 = 900.0;

/// A step: what stood on the stage, and the question to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Picture and box.
    pub shown: Shown,
    /// The question.
    pub question: String,
    /// When it was made, if by a key or the slider.
    stepped: Option<f64>,
    /// A sample whose box follows at once: both are one step.
    awaits: bool,
}

/// Steps, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// All of them.
    pub steps: Vec<Step>,
    /// The step that is on the stage.
    pub at: usize,
}

impl History {
    fn push(&mut self, step: Step) {
        self.steps.truncate(self.at + 1);
        let joins = |last: &Step| {
            let near = matches!((last.stepped, step.stepped), (Some(then), Some(now)) if now - then < ONE_STEP);
            let follows = last.awaits && step.shown.crop.is_some();
            (near || follows) && last.shown.picture.file == step.shown.picture.file
        };
        if self.steps.last().is_some_and(joins) {
            self.steps.pop();
        }
        self.steps.push(step);
        if self.steps.len() > KEPT {
            self.steps.remove(0);
        }
        self.at = self.steps.len() - 1;
    }

    /// The newest step is a sample whose box follows at once.
    pub(super) fn awaits_box(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.awaits = true;
        }
    }

    /// Whether there is a step this far from the present one.
    pub fn step(&self, by: isize) -> Option<usize> {
        let at = self.at.checked_add_signed(by)?;
        (at < self.steps.len() && by != 0).then_some(at)
    }

    /// Whether a picture is on one of them.
    pub(super) fn has(&self, number: u32) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.shown.picture.number == number)
    }
}

impl State {
    pub(super) fn take_step(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Undo(by) => {
                if let Some(at) = self.undo_to(by) {
                    self.go_to(at, effects);
                }
            }
            Event::GoTo(at) => self.go_to(at, effects),
            other => self.take_worker(other, effects),
        }
    }

    /// Notes what is on the stage as a step; by what a hand has made it, and when.
    pub(super) fn remember(&mut self, made: Option<(How, f64)>) {
        let Some(shown) = self.stage.clone() else {
            return;
        };
        let stepped = made.filter(|(how, _)| *how == How::Stepped);
        self.history.push(Step {
            shown,
            question: self.asked().to_owned(),
            stepped: stepped.map(|(_, now)| now),
            awaits: false,
        });
    }

    /// Where undo and redo lead: a box that is not cut yet is taken back first, and so is a stage without a picture.
    pub fn undo_to(&self, by: isize) -> Option<usize> {
        if self.is_busy() || !self.incoming.is_empty() {
            return None;
        }
        let here = self.draft.is_some() || !self.owed.is_empty() || self.stage.is_none();
        if by == -1 && here && !self.history.steps.is_empty() {
            return Some(self.history.at);
        }
        self.history.step(by)
    }

    /// Puts a step back on the stage. Not while a click is being worked on: its end belongs to what is shown.
    fn go_to(&mut self, at: usize, effects: &mut Effects) {
        if self.is_busy() || !self.incoming.is_empty() {
            return;
        }
        let Some(step) = self.history.steps.get(at).cloned() else {
            return;
        };
        self.history.at = at;
        self.click = None;
        self.unasked = false;
        self.visit = None;
        self.missing = None;
        self.pending = None;
        let mut shown = step.shown;
        let on_stage = self.stage.as_ref().map(|shown| shown.picture.number);
        if on_stage != Some(shown.picture.number) {
            // The worker keeps the newest picture only: it gets this one again, under a new number.
            let (file, number) = (shown.picture.file, self.number());
            shown.picture.number = number;
            for step in &mut self.history.steps {
                if step.shown.picture.file == file {
                    step.shown.picture.number = number;
                }
            }
            effects.push(Effect::PostPicture {
                picture: number,
                file,
            });
        }
        self.leave_stage(Some(shown), effects);
        if !step.question.is_empty() && step.question != self.asked() {
            self.question = step.question;
            self.typed = true;
        }
        self.note.clear();
        self.message = None;
        effects.push(Effect::Settled);
    }

    /// The steps with a crop, for showing: their places in the history, the newest first, each crop once.
    pub fn past(&self, most: usize) -> Vec<(usize, &str, &Crop)> {
        let mut past: Vec<(usize, &str, &Crop)> = Vec::new();
        for (at, step) in self.history.steps.iter().enumerate().rev() {
            let Some(crop) = &step.shown.crop else {
                continue;
            };
            if !past.iter().any(|(_, _, other)| other.key == crop.key) {
                past.push((at, &step.question, crop));
            }
        }
        past.truncate(most);
        past
    }
}
