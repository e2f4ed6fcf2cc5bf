//! What was there before: every picture with its question and box, to go back to and forth.

use std::rc::Rc;

use cropvlm_web::protocol::ToWorker;

use crate::app::App;
use crate::state::{Proposal, Shown};
use crate::view;

/// Steps that are kept.
const KEPT: usize = 40;
/// Changes by hand that follow one another within this time are one step, milliseconds.
const ONE_STEP: f64 = 900.0;

/// A step: what stood on the stage, and the question to it.
#[derive(Clone)]
pub struct Step {
    pub shown: Shown,
    pub question: String,
    /// When it was made, if by hand.
    by_hand: Option<f64>,
}

/// Steps, the oldest first.
#[derive(Default)]
pub struct History {
    pub steps: Vec<Step>,
    /// The step that is on the stage.
    pub at: usize,
}

impl History {
    fn push(&mut self, step: Step) {
        self.steps.truncate(self.at + 1);
        let joins = |last: &Step| {
            let near = matches!((last.by_hand, step.by_hand), (Some(then), Some(now)) if now - then < ONE_STEP);
            near && last.shown.picture.number == step.shown.picture.number
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

    /// Whether there is a step this far from the present one.
    pub fn step(&self, by: isize) -> Option<usize> {
        let at = self.at.checked_add_signed(by)?;
        (at < self.steps.len() && by != 0).then_some(at)
    }
}

impl App {
    /// Notes what is on the stage as a step.
    pub fn remember(&self, by_hand: bool) {
        let now = by_hand.then(crate::app::now);
        let question = self.ui.question();
        let mut state = self.state.borrow_mut();
        let Some(shown) = state.shown.clone() else {
            return;
        };
        state.history.push(Step {
            shown,
            question,
            by_hand: now,
        });
    }

    /// One step back (-1) or forth (1). Not while a click is being worked on: its end belongs to what is shown.
    pub fn step(self: &Rc<Self>, by: isize) {
        let at = self.state.borrow().history.step(by);
        if let Some(at) = at {
            self.go_to(at);
        }
    }

    /// Puts a step back on the stage.
    pub fn go_to(self: &Rc<Self>, at: usize) {
        let step = {
            let mut state = self.state.borrow_mut();
            if state.click.as_ref().is_some_and(|click| !click.unasked) || state.candidate.is_some()
            {
                return;
            }
            let Some(step) = state.history.steps.get(at).cloned() else {
                return;
            };
            state.history.at = at;
            state.click = None;
            state.unasked = false;
            state.draft = None;
            state.base = None;
            state.places.clear();
            state.seeking = None;
            step
        };
        let on_stage = self.state.borrow().on_stage();
        let mut shown = step.shown;
        if on_stage != Some(shown.picture.number) {
            // The worker keeps the newest picture only: it gets this one again, under a new number.
            let (old, number) = (shown.picture.number, self.number());
            shown.picture.number = number;
            let mut state = self.state.borrow_mut();
            for step in &mut state.history.steps {
                if step.shown.picture.number == old {
                    step.shown.picture.number = number;
                }
            }
            drop(state);
            self.post(
                &ToWorker::Picture { picture: number },
                Some(&shown.picture.file),
            );
        }
        {
            let mut state = self.state.borrow_mut();
            state.before = None;
            state.shown = Some(shown);
        }
        if !step.question.is_empty() {
            self.ui.set_question(&step.question, true);
        }
        self.note("");
        crate::ui::say(&self.ui.message, None);
        view::draw(self);
    }

    /// The steps with a crop, for showing: their places in the history, the newest first, each box once.
    pub fn past(&self, most: usize) -> Vec<(usize, String, Proposal)> {
        let state = self.state.borrow();
        let mut past: Vec<(usize, String, Proposal)> = Vec::new();
        for (at, step) in state.history.steps.iter().enumerate().rev() {
            let Some(proposal) = &step.shown.proposal else {
                continue;
            };
            let same =
                |other: &(usize, String, Proposal)| Rc::ptr_eq(&other.2.address, &proposal.address);
            if !past.iter().any(same) {
                past.push((at, step.question.clone(), proposal.clone()));
            }
        }
        past.truncate(most);
        past
    }
}
