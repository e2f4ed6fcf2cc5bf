//! GRPO, live: its controls, and what goes to the worker and comes back.
//!
//! One click is one or several acts: "Take 10 steps" asks for the next step when the one before has come back, so that
//! stopping is simply not asking again. Another picture, question or answer ends what was learned; the ordinary
//! proposals never see it. [`crate::lesson_panel`] has the elements, [`crate::lesson`] draws.

use std::rc::Rc;

use cropvlm_web::lesson::{Act, BETAS, Lesson, RATES, Settings};
use cropvlm_web::protocol::{MAX_QUESTION, ToWorker};
use cropvlm_web::samples::Sample;
use cropvlm_web::state::Event;
use cropvlm_web::text::{self, learn};

use crate::app::App;
use crate::input::on;
use crate::lesson;
use crate::lesson_panel::Run;
use crate::ui::say;

/// Steps of one click on "Take 10 steps".
const MANY: u32 = 10;

/// Steps of "Play" at most, should nobody press "Pause".
const LONG: u32 = 200;

/// Wires the controls.
pub fn wire(app: &Rc<App>) {
    let panel = &app.learn;
    let start = Settings::default();
    let at = |list: &[f64], value: f64| list.iter().position(|v| *v == value).unwrap_or(0) as f64;
    let values = [
        f64::from(start.group),
        start.temperature,
        at(&BETAS, start.beta),
        at(&RATES, start.learning_rate),
    ];
    for ((_, slider, _), value) in panel.sliders.iter().zip(values) {
        slider.set_value_as_number(value);
        on(slider, "input", app, |app, _| app.learn.tell_settings());
    }
    panel.tell_settings();
    on(&panel.answer, "input", app, |app, _| {
        let question = app.ui.question();
        let state = app.state.borrow();
        let typed = state.newest().map(|picture| (picture.number, question));
        drop(state);
        app.learn.run.borrow_mut().typed = typed;
        app.follow_lesson();
    });
    on(&app.ui.question, "input", app, |app, _| app.follow_lesson());
    on(&panel.root, "toggle", app, |app, _| {
        if app.learn.root.has_attribute("open") {
            app.dispatch(Event::LessonOpened);
        }
        lesson::draw(app);
    });
    on(&panel.draw, "click", app, |app, _| app.learn(Act::Draw, 0));
    on(&panel.step, "click", app, |app, _| app.learn(Act::Step, 1));
    on(&panel.ten, "click", app, |app, _| {
        app.learn(Act::Step, MANY)
    });
    on(&panel.play, "click", app, |app, _| app.play());
    on(&panel.forget, "click", app, |app, _| {
        app.learn(Act::Forget, 0)
    });
    on(&panel.stop, "click", app, |app, _| {
        app.learn.run.borrow_mut().left = 0;
        app.learn.working.set_text_content(Some(learn::STOPPING));
    });
    lesson::draw_buttons(app);
}

impl App {
    /// A click on "Play" or "Pause".
    fn play(self: &Rc<Self>) {
        let panel = &self.learn;
        let plays = {
            let run = panel.run.borrow();
            run.plays && run.left > 0
        };
        if plays {
            panel.run.borrow_mut().left = 0;
            panel.working.set_text_content(Some(learn::STOPPING));
        } else if !panel.is_busy() {
            self.learn(Act::Step, LONG);
            let mut run = panel.run.borrow_mut();
            run.plays = run.job.is_some();
        }
        lesson::draw_buttons(self);
    }

    /// A click: draw a group, take so many steps, or forget.
    fn learn(self: &Rc<Self>, act: Act, steps: u32) {
        let panel = &self.learn;
        let begun = panel.run.borrow().lesson.is_some();
        if panel.is_busy() || (act == Act::Forget && !begun) {
            return;
        }
        let about = match self.about() {
            Ok(about) => about,
            Err(why) => return say(&panel.message, Some(&why)),
        };
        self.dispatch(Event::NeedWorker);
        self.dispatch(Event::LessonShown);
        say(&panel.message, None);
        panel.said.set_text_content(None);
        {
            let mut run = panel.run.borrow_mut();
            run.about = Some(about);
            (run.left, run.of) = (steps, steps);
            (run.skipped, run.plays) = (0, false);
            if act == Act::Forget {
                run.points.clear();
            }
        }
        let waiting = self.state.borrow().running.is_none();
        let working = match (waiting, begun) {
            (true, _) => learn::WAITING,
            (_, false) => learn::STARTING,
            _ => "",
        };
        panel.working.set_text_content(Some(working));
        self.ask_lesson(act);
    }

    /// What a lesson would be about now, or what is missing.
    fn about(&self) -> Result<(u32, String, String), String> {
        let question = self.ui.question();
        let answer = self.learn.answer.value().trim().to_owned();
        let length = question.chars().count();
        let state = self.state.borrow();
        let shown = state.settled();
        let Some(shown) = shown.filter(|shown| shown.picture.size.is_some()) else {
            return Err(text::NEED_PICTURE.to_owned());
        };
        if question.is_empty() {
            Err(learn::NEED_QUESTION.to_owned())
        } else if length > MAX_QUESTION {
            Err(text::question_too_long(length))
        } else if answer.is_empty() {
            Err(learn::NEED_ANSWER.to_owned())
        } else {
            Ok((shown.picture.number, question, answer))
        }
    }

    /// Sends an act to the worker. A step needs a group first.
    fn ask_lesson(&self, act: Act) {
        let panel = &self.learn;
        let job = self.number();
        let (about, act) = {
            let mut run = panel.run.borrow_mut();
            run.job = Some(job);
            let act = if run.lesson.is_none() { Act::Draw } else { act };
            (run.about.clone(), act)
        };
        let Some((picture, question, answer)) = about else {
            return;
        };
        lesson::draw_buttons(self);
        let settings = panel.settings();
        let message = ToWorker::Learn {
            job,
            picture,
            question,
            answer,
            settings,
            act,
        };
        self.post(&message, None);
    }

    /// The worker reads another crop.
    pub fn learning(&self, job: u32, part: u32, of: u32) {
        let panel = &self.learn;
        let run = panel.run.borrow();
        if run.job != Some(job) {
            return;
        }
        let share = f64::from(part - 1) / f64::from(of.max(1));
        let (done, all) = (run.of - run.left, run.of.max(1));
        panel.progress.set_max(f64::from(all));
        panel.progress.set_value(f64::from(done) + share);
        let mut words = learn::reading(part, of);
        if run.plays && run.left > 0 {
            // Without an end, there is no share of it.
        } else if run.of > 1 && run.left > 0 {
            words = format!("{} · {words}", learn::step_of(done + 1, run.of));
        }
        if run.of > 1 && run.left == 0 {
            words = learn::STOPPING.to_owned();
        }
        panel.working.set_text_content(Some(&words));
    }

    /// The worker has the next group.
    pub fn learned(&self, job: u32, lesson: Result<Lesson, String>) {
        let panel = &self.learn;
        let more = {
            let mut run = panel.run.borrow_mut();
            if run.job.take_if(|wanted| *wanted == job).is_none() {
                return;
            }
            match lesson {
                Ok(lesson) => run.take(lesson),
                Err(why) => {
                    run.left = 0;
                    say(&panel.message, Some(&why));
                    false
                }
            }
        };
        lesson::draw(self);
        if more {
            return self.ask_lesson(Act::Step);
        }
        panel.working.set_text_content(None);
        lesson::draw_buttons(self);
        let run = panel.run.borrow();
        panel.said.set_text_content(run.remark().as_deref());
    }

    /// Ends a lesson whose picture, question or answer is not what stands there any more, and fills in a sample's answer.
    pub fn follow_lesson(&self) {
        let panel = &self.learn;
        let question = self.ui.question();
        let (number, known) = {
            let state = self.state.borrow();
            let picture = state.newest();
            let source = picture.and_then(|picture| picture.source.as_deref());
            let known = source.and_then(|source| Sample::answer(source, &question));
            (picture.map(|picture| picture.number), known)
        };
        let typed = panel.run.borrow().typed.clone();
        // What was typed stays, unless it was for another picture, or another question whose answer is known.
        let stays = typed.is_some_and(|(picture, asked)| {
            Some(picture) == number && (asked == question || known.is_none())
        });
        if !stays {
            panel.run.borrow_mut().typed = None;
            let answer = known.unwrap_or_default();
            if panel.answer.value() != answer {
                panel.answer.set_value(answer);
            }
        }
        let about = panel.run.borrow().about.clone();
        let Some((picture, asked, answer)) = about else {
            return;
        };
        let same =
            number == Some(picture) && asked == question && answer == panel.answer.value().trim();
        if !same {
            self.end_lesson(None);
        }
    }

    /// The worker was started anew.
    pub fn lose_lesson(&self) {
        if self.learn.run.borrow().about.is_some() {
            self.end_lesson(Some(learn::LOST));
        }
    }

    fn end_lesson(&self, why: Option<&str>) {
        let panel = &self.learn;
        let typed = panel.run.borrow().typed.clone();
        panel.run.replace(Run {
            typed,
            ..Run::default()
        });
        say(&panel.message, why);
        panel.working.set_text_content(None);
        panel.said.set_text_content(None);
        lesson::draw(self);
        lesson::draw_buttons(self);
    }
}
