//! What is shown: the picture, the box over it, the evidence, the crop beside it, the model's state.
//!
//! Everything is drawn from [`View`], so that going back to an earlier picture is drawing again. What has not changed is
//! left alone.

use cropvlm_web::protocol::{Evidence, Proposed, Stage, Writing};
use cropvlm_web::state::{CropView, Phase, View};
use cropvlm_web::text::{self, Came};
use grounding::{NormBox, PixelBox};
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlElement, ImageData};

use crate::app::App;
use crate::gallery;
use crate::ui::{Ui, say, show};
use crate::zoom;

/// Shows a view; what was seen before is not drawn anew.
pub fn show_all(app: &App, view: View) {
    let old = app.seen.replace(Some(view));
    let seen = app.seen.borrow();
    let Some(view) = seen.as_ref() else { return };
    let changed = |of: fn(&View) -> String| old.as_ref().map(of) != Some(of(view));
    draw_words(app, old.as_ref(), view);
    draw_stage_of(app, view);
    draw_box(app, view);
    draw_asked(app, old.as_ref(), view);
    gallery::draw_places(app, view);
    gallery::draw_chips(app, view);
    gallery::draw_past(app);
    let (back, forth) = view.steps;
    app.ui.tools.turn.set_disabled(view.size.is_none());
    app.ui.tools.undo.set_disabled(!back);
    app.ui.tools.redo.set_disabled(!forth);
    let picture = |view: &View| format!("{:?} {:?} {}", view.number, view.size, view.question);
    let crop = |view: &View| {
        format!(
            "{:?} {:?}",
            view.crop.as_ref().map(|it| it.key),
            view.number
        )
    };
    let lesson = |view: &View| format!("{}", view.lesson);
    let other = old
        .as_ref()
        .is_none_or(|old| old.attention != view.attention);
    if changed(picture) || changed(crop) || other {
        views(app, view);
    }
    if old.as_ref().is_none_or(|old| old.writing != view.writing) {
        draw_writing(app, view.writing.as_ref());
    }
    if changed(crop) || changed(picture) {
        app.draw_prompt();
        app.draw_forecast();
        app.follow_lesson();
    }
    if changed(lesson) {
        crate::lesson::draw(app);
    }
    let done = |view: &View| view.phase == Phase::Done.name();
    if done(view) && !old.as_ref().is_some_and(done) {
        zoom::bring_in_view(app);
    }
}

/// Draws the stage anew: its picture comes from somewhere else.
pub fn draw_again(app: &App) {
    if let Some(view) = app.seen.borrow().as_ref() {
        draw_stage_of(app, view);
    }
}

/// Sentences, the question, the state.
fn draw_words(app: &App, old: Option<&View>, view: &View) {
    let ui = &app.ui;
    let data = ui.root.dataset();
    if data.get("state").as_deref() != Some(view.phase) {
        data.set("state", view.phase).ok();
    }
    if ui.question.value() != view.question {
        ui.question.set_value(&view.question);
    }
    let told = |of: fn(&View) -> Option<&str>| old.map(of) != Some(of(view));
    if told(|view| view.message.as_deref()) {
        say(&ui.message, view.message.as_deref());
    }
    if told(|view| Some(&view.note)) {
        ui.note.set_text_content(Some(&view.note));
    }
    if told(|view| Some(&view.crop_note)) {
        ui.tools.crop_note.set_text_content(Some(&view.crop_note));
    }
    if told(|view| view.ask_message.as_deref()) {
        say(&ui.ask_message, view.ask_message.as_deref());
    }
}

/// The picture, or the empty stage.
fn draw_stage_of(app: &App, view: &View) {
    let ui = &app.ui;
    show(&ui.empty, view.file.is_none() && !view.opening);
    show(&ui.figure, view.file.is_some() || view.opening);
    say(&ui.empty_note, view.empty);
    let facts = view
        .size
        .map(|(width, height)| text::picture_facts(width, height));
    ui.picture_facts.set_text_content(facts.as_deref());
    let settled = view.number.filter(|_| view.size.is_some());
    app.readers.draw(settled);
    let Some(file) = view.file else { return };
    let own = app.address(file);
    let address = app.readers.address(view.number.unwrap_or_default(), &own);
    if ui.picture.src() != address {
        // The attributes hold the room for the picture that the page opens with.
        ui.picture.remove_attribute("width").ok();
        ui.picture.remove_attribute("height").ok();
        ui.picture.set_src(&address);
        zoom::reset(app);
    }
}

/// The box, the crop and what belongs to them.
fn draw_box(app: &App, view: &View) {
    let (ui, tools) = (&app.ui, &app.ui.tools);
    let crop = view.crop.as_ref();
    show(&ui.boxed, view.bbox.is_some());
    show(&tools.grip, view.bbox.is_some());
    show(&tools.tag, view.bbox.is_some() && crop.is_some());
    if let Some(edges) = view.bbox {
        lay(&ui.boxed, edges);
        lay(&tools.grip, edges);
        ui.boxed.set_attribute("data-box", &edges.to_string()).ok();
        // Over the box, or below it where there is no room above.
        let low = edges.y1 < 7.0;
        tools
            .tag
            .set_class_name(if low { "tag low" } else { "tag" });
        let top = if low { edges.y2 } else { edges.y1 };
        let style = tools.tag.style();
        style.set_property("left", &format!("{}%", edges.x1)).ok();
        style.set_property("top", &format!("{top}%")).ok();
    } else {
        ui.boxed.remove_attribute("data-box").ok();
    }
    // A box of another question is there, but steps back.
    let other = crop.and_then(|crop| crop.other.as_deref());
    for element in [&ui.boxed, &ui.crop_of] {
        let data = element.dataset();
        if other.is_some() {
            data.set("other", "question").ok();
        } else {
            data.delete("other");
        }
    }
    let words = other.map(text::crop_of_other);
    if ui.crop_of.text_content() != words.clone().or(Some(String::new())) {
        say(&ui.crop_of, words.as_deref());
    }
    show(&ui.crop_empty, crop.is_none() && !view.absent);
    show(&ui.absent, view.absent);
    show(&ui.crop, crop.is_some());
    if crop.is_some() {
        tools.crop_tools.remove_attribute("inert").ok();
    } else {
        tools.crop_tools.set_attribute("inert", "").ok();
    }
    if app.state.borrow().base.is_none() {
        tools.size.set_value("0");
    }
    let times = text::times(app.factor());
    tools.size.set_attribute("aria-valuetext", &times).ok();
    tools.size_told.set_text_content(Some(&times));
    tools
        .reset
        .set_disabled(!crop.is_some_and(|crop| crop.moved));
    let seeking = if view.seeking { "true" } else { "false" };
    tools.elsewhere.set_attribute("aria-pressed", seeking).ok();
    draw_crop(app, crop);
    if let Some(crop) = crop.filter(|crop| view.bbox == Some(crop.bbox)) {
        let moved = crop.moved || crop.proposed.is_none();
        say_box(app, moved, crop.bbox, crop.pixels);
    }
}

fn draw_crop(app: &App, crop: Option<&CropView>) {
    let (ui, tools) = (&app.ui, &app.ui.tools);
    let Some(crop) = crop else {
        ui.crop_facts.set_text_content(None);
        return;
    };
    let address = app.address(crop.key);
    if ui.crop.src() != address {
        ui.crop.set_src(&address);
    }
    ui.save.set_attribute("href", &address).ok();
    let (width, height) = (crop.pixels.width(), crop.pixels.height());
    tools.tag.set_text_content(Some(&text::tag(width, height)));
    let model = crop.proposed.as_deref().filter(|_| !crop.moved);
    let facts = text::crop_facts(width, height, crop.bbox.area(), model);
    ui.crop_facts.set_text_content(Some(&facts));
}

/// What was asked, and what has to be known of its answer.
fn draw_asked(app: &App, old: Option<&View>, view: &View) {
    let ui = &app.ui;
    ui.ask.set_disabled(view.asking);
    app.ask_panel.compare.set_disabled(view.asking);
    show(&ui.stop, view.asking);
    if old.is_some_and(|old| old.asking) && !view.asking {
        app.leave_waiting();
    }
    app.ask_panel.curl.set_disabled(view.asking);
    let place = &app.ask_panel.answer;
    show(&ui.answer_row, view.answer && place.has_something());
    show(&app.ask_panel.runs, view.runs);
    let verdict = app.ask_panel.verdict.text_content().unwrap_or_default();
    show(&app.ask_panel.verdict, view.runs && !verdict.is_empty());
    for (element, words) in [
        (&ui.answer_note, &view.answer_note),
        (&ui.runs_note, &view.runs_note),
    ] {
        if element.text_content().as_ref() != Some(words.as_ref().unwrap_or(&String::new())) {
            say(element, words.as_deref());
        }
    }
}

/// Tells where the box is to those who do not see it; once, as long as it stays there.
fn say_box(app: &App, moved: bool, bbox: NormBox, pixels: PixelBox) {
    let came = if moved { Came::Moved } else { Came::Found };
    let words = text::box_heard(came, bbox, pixels);
    let heard = &app.ui.tools.heard;
    if heard.text_content().as_deref() != Some(&words) {
        heard.set_text_content(Some(&words));
    }
}

/// Puts an element over the picture where a box stands.
pub fn lay(element: &HtmlElement, edges: NormBox) {
    let style = element.style();
    for (property, percent) in [
        ("left", edges.x1),
        ("top", edges.y1),
        ("width", edges.width()),
        ("height", edges.height()),
    ] {
        style.set_property(property, &format!("{percent}%")).ok();
    }
}

/// Draws what the model sees anew: what is wanted of it has changed.
pub fn draw_views(app: &App) {
    if let Some(view) = app.seen.borrow().as_ref() {
        views(app, view);
    }
}

/// Draws what the model sees: the evidence, its own view of the picture, and the figures.
fn views(app: &App, view: &View) {
    let (ui, tools) = (&app.ui, &app.ui.tools);
    let proposed = view.crop.as_ref().and_then(|crop| crop.proposed.as_deref());
    let attention = view.attention.as_ref();
    let wanted = ui.evidence_toggle.checked();
    // A map policy's evidence lies over what was looked at, a text policy's attention over the whole picture.
    let evidence = proposed.and_then(|p| Some((p.evidence.as_ref()?, p.inside)));
    let attended = attention.map(|attention| (&attention.map, NormBox::FULL));
    let evidence = evidence.or(attended).filter(|_| wanted);
    show(&ui.evidence, evidence.is_some());
    if let Some((evidence, over)) = evidence {
        draw_evidence(ui, evidence);
        lay(&ui.evidence, over);
    }
    let attention = attention.filter(|_| wanted);
    show(&tools.relative, attention.is_some());
    if let Some(attention) = attention {
        lay(&tools.relative, attention.bbox);
        let edges = attention.bbox.to_string();
        tools.relative.set_attribute("data-box", &edges).ok();
    }
    app.draw_canvas(view.number.filter(|_| view.size.is_some()));
    draw_figures(app, proposed);
}

/// What a text policy read, and what it wrote, token by token.
fn draw_writing(app: &App, writing: Option<&Writing>) {
    let tools = &app.ui.tools;
    let note = if writing.is_some() {
        Some(text::WRITES)
    } else {
        text::label("inside-note")
    };
    tools.inside_note.set_text_content(note);
    show(&tools.writing, writing.is_some());
    let Some(writing) = writing else { return };
    tools.prompt.set_text_content(Some(&writing.prompt));
    tools.tokens.set_text_content(None);
    for (token, chance) in &writing.tokens {
        let Some(element) = app.child(&tools.tokens, "span", token) else {
            continue;
        };
        let class = if chance.is_some() {
            "token"
        } else {
            "token forced"
        };
        element.set_class_name(class);
        if let (Some(chance), Ok(element)) = (chance, element.dyn_into::<HtmlElement>()) {
            app.child(&element, "small", &text::percent(*chance));
        }
    }
}

fn draw_figures(app: &App, proposed: Option<&Proposed>) {
    let list = &app.ui.tools.figures;
    list.set_text_content(None);
    let Some(proposed) = proposed else { return };
    for (name, value) in text::figures(proposed) {
        for (tag, words) in [("dt", name.to_owned()), ("dd", value)] {
            if let Ok(element) = app.ui.document.create_element(tag) {
                element.set_text_content(Some(&words));
                list.append_child(&element).ok();
            }
        }
    }
}

/// One pixel a cell; the style sheet stretches and smooths it.
fn draw_evidence(ui: &Ui, evidence: &Evidence) {
    /// Red, green, blue of the map; its strength is the opacity.
    const COLOUR: [u8; 3] = [255, 92, 53];
    let pixels: Vec<u8> = evidence
        .values
        .iter()
        .flat_map(|&value| {
            [
                COLOUR[0],
                COLOUR[1],
                COLOUR[2],
                (u16::from(value) * 3 / 4) as u8,
            ]
        })
        .collect();
    ui.evidence.set_width(evidence.width);
    ui.evidence.set_height(evidence.height);
    let context = ui
        .evidence
        .get_context("2d")
        .ok()
        .flatten()
        .and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok());
    let image = ImageData::new_with_u8_clamped_array_and_sh(
        Clamped(&pixels),
        evidence.width,
        evidence.height,
    );
    if let (Some(context), Ok(image)) = (context, image) {
        context.put_image_data(&image, 0.0, 0.0).ok();
    }
}

/// Draws how far the model is.
pub fn draw_stage(ui: &Ui, stage: &Stage) {
    ui.stage.set_text_content(Some(&text::stage(stage)));
    let name = match stage {
        Stage::Ready(_) => "ready",
        Stage::Failed { .. } => "failed",
        _ => "busy",
    };
    ui.root.dataset().set("model", name).ok();
    show(&ui.progress, name == "busy");
    match stage {
        Stage::Download {
            received,
            total: Some(total),
        } if *total > 0.0 => ui.progress.set_value(received / total),
        // Without a value the bar shows that something goes on.
        _ => {
            ui.progress.remove_attribute("value").ok();
        }
    }
    if let Stage::Ready(running) = stage {
        say(&ui.device, Some(&text::running(running)));
        let threads = running.threads.to_string();
        ui.device.dataset().set("threads", &threads).ok();
        ui.device
            .dataset()
            .set(
                "device",
                text::device(running.device).trim_start_matches("the "),
            )
            .ok();
    }
}
