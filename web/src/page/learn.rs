//! GRPO, live: its controls, and what goes to the worker and comes back.
//!
//! One click is one or several acts: "Take 10 steps" asks for the next step when the one before has come back, so that
//! stopping is simply not asking again. Another picture, question or answer ends what was learned; the ordinary
//! proposals never see it. [`crate::lesson`] draws.

use std::cell::RefCell;
use std::rc::Rc;

use cropvlm_web::lesson::{Act, BETAS, Lesson, Point, RATES, Settings};
use cropvlm_web::protocol::{MAX_QUESTION, ToWorker};
use cropvlm_web::samples::Sample;
use cropvlm_web::text::{self, learn};
use grounding::NormBox;
use wasm_bindgen::JsValue;
use web_sys::{
    Document, Element, HtmlButtonElement, HtmlElement, HtmlImageElement, HtmlInputElement,
    HtmlProgressElement,
};

use crate::app::App;
use crate::input::on;
use crate::lesson;
use crate::ui::{get, say, show};

/// Steps of one click on "Take 10 steps".
const MANY: u32 = 10;

/// The elements of the lesson, and how far it is.
pub struct Panel {
    pub root: HtmlElement,
    pub answer: HtmlInputElement,
    /// Sliders, their names and where their values are told.
    pub sliders: [(&'static str, HtmlInputElement, HtmlElement); 4],
    pub draw: HtmlButtonElement,
    pub step: HtmlButtonElement,
    pub ten: HtmlButtonElement,
    pub stop: HtmlButtonElement,
    pub forget: HtmlButtonElement,
    pub message: HtmlElement,
    pub working: HtmlElement,
    pub progress: HtmlProgressElement,
    pub said: HtmlElement,
    pub result: HtmlElement,
    pub view: HtmlElement,
    pub photo: HtmlImageElement,
    pub boxes: HtmlElement,
    /// Over the picture on the stage.
    pub over: HtmlElement,
    pub caption: HtmlElement,
    pub rows: HtmlElement,
    pub moved: HtmlElement,
    pub moves: HtmlElement,
    pub moved_said: HtmlElement,
    pub curve: HtmlElement,
    pub chart: Element,
    pub band: Element,
    pub line: Element,
    pub dot: Element,
    pub floor: Element,
    pub count: Element,
    pub run: RefCell<Run>,
}

/// How far a lesson is.
#[derive(Default)]
pub struct Run {
    /// What it is about: the picture's number, question, answer.
    pub about: Option<(u32, String, String)>,
    /// What the worker is busy with.
    job: Option<u32>,
    /// Steps still to take, and of how many.
    left: u32,
    of: u32,
    /// The newest group.
    pub lesson: Option<Lesson>,
    /// The boxes of the group before it.
    pub ghosts: Vec<NormBox>,
    /// All groups so far.
    pub points: Vec<Point>,
    /// The picture and the question that the answer was typed for.
    typed: Option<(u32, String)>,
}

impl Panel {
    /// Finds the elements.
    pub fn find(document: &Document) -> Result<Panel, JsValue> {
        let slider = |name: &'static str| {
            let input = get(document, &format!("learn-{name}"))?;
            let told = get(document, &format!("learn-{name}-told"))?;
            Ok::<_, JsValue>((name, input, told))
        };
        Ok(Panel {
            root: get(document, "learn")?,
            answer: get(document, "learn-answer")?,
            sliders: [
                slider("group")?,
                slider("temperature")?,
                slider("beta")?,
                slider("rate")?,
            ],
            draw: get(document, "learn-draw")?,
            step: get(document, "learn-step")?,
            ten: get(document, "learn-ten")?,
            stop: get(document, "learn-stop")?,
            forget: get(document, "learn-forget")?,
            message: get(document, "learn-message")?,
            working: get(document, "learn-working")?,
            progress: get(document, "learn-progress")?,
            said: get(document, "learn-said")?,
            result: get(document, "learn-result")?,
            view: get(document, "learn-view")?,
            photo: get(document, "learn-photo")?,
            boxes: get(document, "learn-boxes")?,
            over: get(document, "rollouts")?,
            caption: get(document, "learn-caption")?,
            rows: get(document, "learn-rows")?,
            moved: get(document, "learn-moved")?,
            moves: get(document, "learn-moves")?,
            moved_said: get(document, "learn-moved-said")?,
            curve: get(document, "learn-curve")?,
            chart: get(document, "learn-chart")?,
            band: get(document, "learn-band")?,
            line: get(document, "learn-line")?,
            dot: get(document, "learn-dot")?,
            floor: get(document, "learn-floor")?,
            count: get(document, "learn-count")?,
            run: RefCell::default(),
        })
    }

    /// What the sliders say.
    fn settings(&self) -> Settings {
        let at = |slider: usize| self.sliders[slider].1.value_as_number();
        let of = |list: &[f64], slider: usize| list[(at(slider) as usize).min(list.len() - 1)];
        Settings {
            group: at(0) as u32,
            temperature: at(1),
            beta: of(&BETAS, 2),
            learning_rate: of(&RATES, 3),
        }
    }

    fn tell_settings(&self) {
        let settings = self.settings();
        for (name, input, told) in &self.sliders {
            let words = learn::setting(&settings, name);
            input.set_attribute("aria-valuetext", &words).ok();
            told.set_text_content(Some(&words));
        }
    }

    /// Whether the worker is busy with it.
    pub fn is_busy(&self) -> bool {
        self.run.borrow().job.is_some()
    }
}

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
        let typed = app.current().map(|picture| (picture, question));
        app.learn.run.borrow_mut().typed = typed;
        app.follow_lesson();
    });
    on(&app.ui.question, "input", app, |app, _| app.follow_lesson());
    on(&panel.root, "toggle", app, |app, _| lesson::draw(app));
    on(&panel.draw, "click", app, |app, _| app.learn(Act::Draw, 0));
    on(&panel.step, "click", app, |app, _| app.learn(Act::Step, 1));
    on(&panel.ten, "click", app, |app, _| {
        app.learn(Act::Step, MANY)
    });
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
    /// A click: draw a group, take so many steps, or forget.
    fn learn(self: &Rc<Self>, act: Act, steps: u32) {
        let panel = &self.learn;
        if panel.is_busy() {
            return;
        }
        let about = match self.about() {
            Ok(about) => about,
            Err(why) => return say(&panel.message, Some(&why)),
        };
        if self.link.borrow().is_none() {
            self.reconnect(None);
        }
        say(&panel.message, None);
        panel.said.set_text_content(None);
        {
            let mut run = panel.run.borrow_mut();
            run.about = Some(about);
            (run.left, run.of) = (steps, steps);
            if act == Act::Forget {
                run.points.clear();
            }
        }
        let waiting = self.state.borrow().running.is_none();
        let begun = panel.run.borrow().lesson.is_some();
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
        let shown = state.shown.as_ref().filter(|_| state.candidate.is_none());
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
        if run.of > 1 && run.left > 0 {
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
        let (number, question) = (self.current(), self.ui.question());
        let known = {
            let state = self.state.borrow();
            let picture = state.candidate.as_ref();
            let picture = picture.or(state.shown.as_ref().map(|shown| &shown.picture));
            let source = picture.and_then(|picture| picture.source.as_deref());
            source.and_then(|source| Sample::answer(source, &question))
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

impl Run {
    /// Takes the next group; whether there are more steps to take.
    fn take(&mut self, lesson: Lesson) -> bool {
        if lesson.step.is_some() {
            self.left = self.left.saturating_sub(1);
        }
        let old = self.lesson.take();
        self.ghosts = old.map_or_else(Vec::new, |old| {
            old.group.iter().map(|drawn| drawn.bbox).collect()
        });
        self.points.push(Point::from(&lesson));
        self.lesson = Some(lesson);
        self.left > 0
    }

    /// What is worth saying about the group.
    fn remark(&self) -> Option<String> {
        let lesson = self.lesson.as_ref()?;
        let spread = lesson.group.iter().map(|drawn| drawn.advantage.abs());
        let equal = spread.fold(0.0, f64::max) < 1e-6;
        Some(match equal {
            true if lesson.mean <= -4.99 => learn::NOWHERE.to_owned(),
            true => learn::ALL_EQUAL.to_owned(),
            false => {
                let means: Vec<f64> = self.points.iter().map(|point| point.mean).collect();
                learn::curve(&means)
            }
        })
    }

    /// Whether several steps are being taken.
    pub fn takes_many(&self) -> bool {
        self.job.is_some() && self.of > 1
    }
}

/// Shows what belongs to being busy.
pub fn draw_busy(panel: &Panel) {
    let run = panel.run.borrow();
    show(&panel.progress, run.takes_many());
    show(&panel.stop, run.takes_many());
    if !run.takes_many() {
        panel.progress.set_value(0.0);
    }
}
