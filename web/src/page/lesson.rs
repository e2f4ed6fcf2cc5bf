//! What GRPO, live, looks like: the group over the picture and close up, its numbers with bars, what a step did, the curve.
//!
//! Numbers stand in tables, which everybody can read; colours repeat the sign of an advantage, and so does the line: solid
//! above the mean, dashed below. Blue and orange are told apart by nearly all eyes.

use cropvlm_web::lesson::{Drawn, Lesson, Step, curve, window, within};
use cropvlm_web::text::learn;
use grounding::NormBox;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::app::App;
use crate::lesson_panel::{LessonPanel, Run, draw_busy};
use crate::ui::show;
use crate::view::lay;

/// The curve's plot in units of its `viewBox`.
const PLOT: (f64, f64) = (316.0, 84.0);

/// Draws all of it.
pub fn draw(app: &App) {
    let panel = &app.learn;
    let run = panel.run.borrow();
    let open = panel.root.has_attribute("open");
    show(&panel.result, run.lesson.is_some());
    let aside = app.state.borrow().lesson_aside;
    draw_over(app, run.lesson.as_ref().filter(|_| open && !aside));
    let Some(lesson) = run.lesson.as_ref().filter(|_| open) else {
        return;
    };
    draw_close(app, lesson, &run.ghosts);
    draw_group(app, lesson);
    show(&panel.moved, lesson.step.is_some());
    if let Some(step) = &lesson.step {
        draw_step(app, step);
    }
    draw_best(app, &run, lesson);
    draw_curve(panel, &run);
}

/// The likeliest box as the policy was shipped, and as it is now, side by side.
fn draw_best(app: &App, run: &Run, lesson: &Lesson) {
    let panel = &app.learn;
    let natural = (
        app.ui.picture.natural_width(),
        app.ui.picture.natural_height(),
    );
    let pair = [run.first.unwrap_or(lesson.best), lesson.best];
    // Both at one scale, so that a box that has grown is seen to have.
    let Some(seen) = window(&pair, natural) else {
        return;
    };
    let shape = seen.width() * natural.0 as f32 / (seen.height() * natural.1.max(1) as f32);
    for ((frame, photo), bbox) in panel.best.iter().zip(pair) {
        let style = frame.style();
        style.set_property("aspect-ratio", &format!("{shape}")).ok();
        if photo.src() != app.ui.picture.src() {
            photo.set_src(&app.ui.picture.src());
        }
        lay(photo, within(NormBox::FULL, seen));
        frame.dataset().set("box", &bbox.to_string()).ok();
        let boxes = frame.query_selector(".best").ok().flatten();
        if let Some(mark) = boxes.and_then(|mark| mark.dyn_into::<HtmlElement>().ok()) {
            lay(&mark, within(bbox, seen));
        }
    }
    let words = learn::best_after(lesson.steps);
    panel.best_told.set_text_content(Some(&words));
}

/// Which buttons can be pressed. They keep the focus, so that a key can be pressed again and again.
pub fn draw_buttons(app: &App) {
    let panel = &app.learn;
    let busy = panel.is_busy();
    let begun = panel.run.borrow().lesson.is_some();
    for (button, idle) in [
        (&panel.draw, true),
        (&panel.step, true),
        (&panel.ten, true),
        (&panel.forget, begun),
    ] {
        let off = if busy || !idle { "true" } else { "false" };
        button.set_attribute("aria-disabled", off).ok();
    }
    let busy = if busy { "true" } else { "false" };
    panel.root.set_attribute("aria-busy", busy).ok();
    draw_busy(panel);
}

/// The group over the picture on the stage.
fn draw_over(app: &App, lesson: Option<&Lesson>) {
    let over = &app.learn.over;
    over.set_text_content(None);
    let data = app.ui.root.dataset();
    let Some(lesson) = lesson else {
        return data.delete("lesson");
    };
    data.set("lesson", "shown").ok();
    for drawn in &lesson.group {
        add_box(app, over, lesson, drawn, drawn.bbox);
    }
}

/// The group close up, the one before it faint.
fn draw_close(app: &App, lesson: &Lesson, ghosts: &[NormBox]) {
    let panel = &app.learn;
    let state = app.state.borrow();
    let Some(picture) = state.settled().map(|shown| &shown.picture) else {
        return;
    };
    let size = picture.size.unwrap_or((1, 1));
    let group: Vec<NormBox> = lesson.group.iter().map(|drawn| drawn.bbox).collect();
    let Some(seen) = window(&group, size) else {
        return;
    };
    let shape = seen.width() * size.0 as f32 / (seen.height() * size.1 as f32);
    let style = panel.view.style();
    style.set_property("aspect-ratio", &format!("{shape}")).ok();
    let address = app.address(picture.file);
    if panel.photo.src() != address {
        panel.photo.set_src(&address);
    }
    lay(&panel.photo, within(NormBox::FULL, seen));
    panel.boxes.set_text_content(None);
    for ghost in ghosts {
        if let Some(element) = add(app, &panel.boxes, "rollout ghost") {
            lay(&element, within(*ghost, seen));
        }
    }
    for (at, drawn) in (1..).zip(&lesson.group) {
        let place = within(drawn.bbox, seen);
        if let Some(element) = add_box(app, &panel.boxes, lesson, drawn, place) {
            // Boxes lie in one another: each has its number at another corner.
            let corner = ((at - 1) % 6).to_string();
            element.dataset().set("corner", &corner).ok();
            app.child(&element, "span", &format!("{at}"));
        }
    }
}

fn add_box(
    app: &App,
    parent: &HtmlElement,
    lesson: &Lesson,
    drawn: &Drawn,
    place: NormBox,
) -> Option<HtmlElement> {
    let element = add(app, parent, "rollout")?;
    colour(&element, lesson, drawn);
    lay(&element, place);
    Some(element)
}

/// The sign and the strength of an advantage; the style sheet makes colour and line of them.
fn colour(element: &HtmlElement, lesson: &Lesson, drawn: &Drawn) {
    let strength = lesson.strength(drawn);
    element.dataset().set("sign", sign(drawn.advantage)).ok();
    let percent = format!("{:.0}%", 35.0 + 65.0 * strength);
    element.style().set_property("--strength", &percent).ok();
}

fn sign(advantage: f64) -> &'static str {
    match advantage {
        a if a > 1e-9 => "plus",
        a if a < -1e-9 => "minus",
        _ => "none",
    }
}

/// The group's numbers, each reward as a bar from the mean.
fn draw_group(app: &App, lesson: &Lesson) {
    let panel = &app.learn;
    let sizes = lesson.group.iter().map(|drawn| drawn.bbox.area());
    let size = sizes.sum::<f32>() / lesson.group.len().max(1) as f32;
    let caption = learn::caption(lesson.steps, lesson.mean, size);
    panel.caption.set_text_content(Some(&caption));
    panel.rows.set_text_content(None);
    let floor = lesson.floor();
    let at = |reward: f64| 100.0 - (reward / floor).clamp(0.0, 1.0) * 100.0;
    for (number, drawn) in (1..).zip(&lesson.group) {
        let Some(row) = row(app, &panel.rows, number) else {
            continue;
        };
        row.dataset().set("reward", &drawn.reward.to_string()).ok();
        row.dataset()
            .set("advantage", &drawn.advantage.to_string())
            .ok();
        row.dataset()
            .set("logprob", &drawn.logprob.to_string())
            .ok();
        row.dataset().set("box", &drawn.bbox.to_string()).ok();
        if let Some(cell) = add_to(app, &row, "td", "reach") {
            cell.set_attribute("aria-hidden", "true").ok();
            let (mean, reward) = (at(lesson.mean), at(drawn.reward));
            let (low, high) = (mean.min(reward), mean.max(reward));
            if let Some(bar) = add_to(app, &cell, "i", "") {
                colour(&bar, lesson, drawn);
                let style = bar.style();
                style.set_property("left", &format!("{low}%")).ok();
                style
                    .set_property("width", &format!("{}%", high - low))
                    .ok();
            }
            for (tag, place) in [("b", mean), ("u", reward)] {
                if let Some(mark) = add_to(app, &cell, tag, "") {
                    mark.style().set_property("left", &format!("{place}%")).ok();
                }
            }
        }
        for words in [
            learn::signed(drawn.reward),
            learn::plus(drawn.advantage),
            learn::signed(drawn.logprob),
        ] {
            app.child(&row, "td", &words);
        }
    }
}

/// What the step did to the log-probabilities of the group that it was taken on.
fn draw_step(app: &App, step: &Step) {
    let panel = &app.learn;
    panel.moves.set_text_content(None);
    let rows = step.before.iter().zip(&step.after).zip(&step.advantages);
    for (number, ((before, after), advantage)) in (1..).zip(rows) {
        let Some(row) = row(app, &panel.moves, number) else {
            continue;
        };
        let change = after - before;
        row.dataset().set("change", &change.to_string()).ok();
        row.dataset().set("advantage", &advantage.to_string()).ok();
        let told = learn::plus(change);
        let arrow = match told.chars().next() {
            Some('+') => "▲ ",
            Some('−') => "▼ ",
            _ => "",
        };
        for words in [
            learn::plus(*advantage),
            learn::signed(*before),
            learn::signed(*after),
            format!("{arrow}{told}"),
        ] {
            app.child(&row, "td", &words);
        }
    }
    panel.moved_said.set_text_content(Some(&learn::moved(step)));
}

fn draw_curve(panel: &LessonPanel, run: &Run) {
    show(&panel.curve, run.points.len() > 1);
    let least = run.points.iter().map(|point| point.least);
    let floor = least.fold(-1.0, f64::min).floor();
    let (line, band) = curve(&run.points, floor, PLOT);
    let last = line.rsplit(' ').next().and_then(|at| at.split_once(','));
    if let Some((x, y)) = last {
        panel.dot.set_attribute("cx", x).ok();
        panel.dot.set_attribute("cy", y).ok();
    }
    panel.line.set_attribute("points", &line).ok();
    panel.band.set_attribute("points", &band).ok();
    panel.floor.set_text_content(Some(&format!("−{}", -floor)));
    let groups = run.points.len().to_string();
    panel.count.set_text_content(Some(&groups));
    let means: Vec<f64> = run.points.iter().map(|point| point.mean).collect();
    let words = learn::curve(&means);
    panel.chart.set_attribute("aria-label", &words).ok();
}

/// A row with its number as heading.
fn row(app: &App, table: &HtmlElement, number: u32) -> Option<HtmlElement> {
    let row = add_to(app, table, "tr", "")?;
    let heading = app.child(&row, "th", &number.to_string())?;
    heading.set_attribute("scope", "row").ok()?;
    Some(row)
}

fn add(app: &App, parent: &HtmlElement, class: &str) -> Option<HtmlElement> {
    add_to(app, parent, "div", class)
}

fn add_to(app: &App, parent: &HtmlElement, tag: &str, class: &str) -> Option<HtmlElement> {
    let element = app.child(parent, tag, "")?.dyn_into::<HtmlElement>().ok()?;
    if !class.is_empty() {
        element.set_class_name(class);
    }
    Some(element)
}
