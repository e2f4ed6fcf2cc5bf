//! The elements of GRPO, live, and how far a lesson is. Found once by their `id`.

use std::cell::RefCell;

use cropvlm_web::lesson::{BETAS, Judge, Lesson, Point, RATES, Settings, grown_for_nothing};
use cropvlm_web::text::learn;
use grounding::NormBox;
use wasm_bindgen::JsValue;
use web_sys::{
    Document, Element, HtmlButtonElement, HtmlElement, HtmlImageElement, HtmlInputElement,
    HtmlProgressElement, HtmlSelectElement,
};

use crate::ui::{get, show};

/// The elements of the lesson, and how far it is.
pub struct LessonPanel {
    pub root: HtmlElement,
    pub answer: HtmlInputElement,
    pub judge: HtmlSelectElement,
    /// Sliders, their names and where their values are told.
    pub sliders: [(&'static str, HtmlInputElement, HtmlElement); 4],
    pub draw: HtmlButtonElement,
    pub step: HtmlButtonElement,
    pub ten: HtmlButtonElement,
    pub play: HtmlButtonElement,
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
    /// The likeliest box, before and after: the part of the picture in each, and what stands under the second.
    pub best: [(HtmlElement, HtmlImageElement); 2],
    pub best_told: HtmlElement,
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
    pub job: Option<u32>,
    /// Steps still to take, and of how many.
    pub left: u32,
    pub of: u32,
    /// The newest group.
    pub lesson: Option<Lesson>,
    /// The boxes of the group before it.
    pub ghosts: Vec<NormBox>,
    /// The likeliest box of the policy as it was shipped.
    pub first: Option<NormBox>,
    /// Groups of this run that had nothing to learn from.
    pub skipped: u32,
    /// Steps follow one another until "Pause".
    pub plays: bool,
    /// All groups so far.
    pub points: Vec<Point>,
    /// The picture and the question that the answer was typed for.
    pub typed: Option<(u32, String)>,
}

impl LessonPanel {
    /// Finds the elements.
    pub fn find(document: &Document) -> Result<LessonPanel, JsValue> {
        let slider = |name: &'static str| {
            let input = get(document, &format!("learn-{name}"))?;
            let told = get(document, &format!("learn-{name}-told"))?;
            Ok::<_, JsValue>((name, input, told))
        };
        let best = |when: &str| {
            let frame = get(document, &format!("learn-best-{when}"))?;
            let photo = get(document, &format!("learn-best-{when}-photo"))?;
            Ok::<_, JsValue>((frame, photo))
        };
        Ok(LessonPanel {
            root: get(document, "learn")?,
            answer: get(document, "learn-answer")?,
            judge: get(document, "learn-judge")?,
            sliders: [
                slider("group")?,
                slider("temperature")?,
                slider("beta")?,
                slider("rate")?,
            ],
            draw: get(document, "learn-draw")?,
            step: get(document, "learn-step")?,
            ten: get(document, "learn-ten")?,
            play: get(document, "learn-play")?,
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
            best: [best("before")?, best("after")?],
            best_told: get(document, "learn-best-told")?,
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
    pub fn settings(&self) -> Settings {
        let at = |slider: usize| self.sliders[slider].1.value_as_number();
        let of = |list: &[f64], slider: usize| list[(at(slider) as usize).min(list.len() - 1)];
        Settings {
            group: at(0) as u32,
            temperature: at(1),
            beta: of(&BETAS, 2),
            learning_rate: of(&RATES, 3),
            judge: match self.judge.value().as_str() {
                "smolvlm" => Judge::SmolVlm,
                _ => Judge::Letters,
            },
        }
    }

    /// Says what the sliders stand for.
    pub fn tell_settings(&self) {
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

impl Run {
    /// Takes the next group; whether there are more steps to take.
    pub fn take(&mut self, lesson: Lesson) -> bool {
        // A group with nothing to learn from counts, too: otherwise it would never end.
        if lesson.step.is_some() || lesson.skipped {
            self.left = self.left.saturating_sub(1);
        }
        self.skipped += u32::from(lesson.skipped);
        if lesson.steps == 0 {
            self.first = Some(lesson.best);
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
    pub fn remark(&self) -> Option<String> {
        let lesson = self.lesson.as_ref()?;
        let spread = lesson.group.iter().map(|drawn| drawn.advantage.abs());
        let equal = spread.fold(0.0, f64::max) < 1e-6;
        if self.skipped > 0 {
            return Some(learn::no_step(self.skipped));
        }
        if let Some(times) = grown_for_nothing(&self.points) {
            return Some(learn::hacked(times));
        }
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
        self.job.is_some() && self.of > 1 && !self.plays
    }
}

/// Shows what belongs to being busy.
pub fn draw_busy(panel: &LessonPanel) {
    let run = panel.run.borrow();
    let plays = run.plays && run.left > 0;
    let name = if plays { learn::PAUSE } else { learn::PLAY };
    if panel.play.text_content().as_deref() != Some(name) {
        panel.play.set_text_content(Some(name));
    }
    show(&panel.progress, run.takes_many());
    show(&panel.stop, run.takes_many());
    if !run.takes_many() {
        panel.progress.set_value(0.0);
    }
}
