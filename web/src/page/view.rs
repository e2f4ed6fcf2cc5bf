//! What is shown: the picture, the box over it, the evidence, the crop beside it, the model's state.
//!
//! Everything is drawn from [`crate::state::State`], so that going back to an earlier picture is drawing again.

use cropvlm_web::protocol::{Evidence, Proposed, Stage, Writing};
use cropvlm_web::text::{self, Came};
use grounding::{NormBox, PixelBox};
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, HtmlElement, ImageData};

use crate::app::App;
use crate::gallery;
use crate::state::Proposal;
use crate::ui::{Ui, say, show};
use crate::zoom;

/// Draws everything that belongs to the picture.
pub fn draw(app: &App) {
    let ui = &app.ui;
    {
        let state = app.state.borrow();
        let shown = state.shown.as_ref();
        show(&ui.empty, shown.is_none());
        show(&ui.figure, shown.is_some());
        let facts = shown
            .filter(|_| state.candidate.is_none())
            .and_then(|shown| shown.picture.size)
            .map(|(width, height)| text::picture_facts(width, height));
        ui.picture_facts.set_text_content(facts.as_deref());
        if let Some(shown) = shown {
            let picture = &shown.picture;
            let address = app.readers.address(picture.number, &picture.address.0);
            if ui.picture.src() != address {
                // The attributes hold the room for the picture that the page opens with.
                ui.picture.remove_attribute("width").ok();
                ui.picture.remove_attribute("height").ok();
                ui.picture.set_src(&address);
                zoom::reset(app);
            }
        }
        let settled = shown.filter(|_| state.candidate.is_none());
        app.readers.draw(settled.map(|shown| shown.picture.number));
    }
    draw_box(app);
    draw_views(app);
    gallery::draw_places(app);
    gallery::draw_chips(app);
    draw_history(app);
    app.draw_forecast();
    app.follow_lesson();
}

/// Draws the box, the crop and what belongs to them.
pub fn draw_box(app: &App) {
    let (ui, tools) = (&app.ui, &app.ui.tools);
    let bbox = app.current_box();
    let state = app.state.borrow();
    // A picture that is not on the stage yet: the box belongs to another one.
    let on_stage = state.candidate.is_none();
    let bbox = bbox.filter(|_| on_stage);
    let proposal = state.proposal().filter(|_| on_stage);
    show(&ui.boxed, bbox.is_some());
    show(&tools.grip, bbox.is_some());
    show(&tools.tag, bbox.is_some() && proposal.is_some());
    if let Some(edges) = bbox {
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
    show(&ui.crop_empty, proposal.is_none());
    show(&ui.crop, proposal.is_some());
    let tool = |enabled: bool| {
        if enabled {
            tools.crop_tools.remove_attribute("inert").ok();
        } else {
            tools.crop_tools.set_attribute("inert", "").ok();
        }
    };
    tool(proposal.is_some());
    if state.base.is_none() {
        tools.size.set_value("0");
    }
    let times = text::times(app.factor());
    tools.size.set_attribute("aria-valuetext", &times).ok();
    tools.size_told.set_text_content(Some(&times));
    tools
        .reset
        .set_disabled(!proposal.is_some_and(Proposal::is_moved));
    let Some(proposal) = proposal else {
        ui.crop_facts.set_text_content(None);
        tools.crop_note.set_text_content(None);
        return;
    };
    if ui.crop.src() != proposal.address.0 {
        ui.crop.set_src(&proposal.address.0);
    }
    ui.save.set_attribute("href", &proposal.address.0).ok();
    let pixels = proposal.pixels;
    if state.draft.is_none() {
        let moved = proposal.is_moved() || proposal.proposed.is_none();
        say_box(app, moved, proposal.bbox, pixels);
    }
    tools
        .tag
        .set_text_content(Some(&text::tag(pixels.width(), pixels.height())));
    let model = proposal
        .proposed
        .as_deref()
        .filter(|_| !proposal.is_moved());
    ui.crop_facts.set_text_content(Some(&text::crop_facts(
        pixels.width(),
        pixels.height(),
        proposal.bbox.area(),
        model,
    )));
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

/// Draws what the model sees: the evidence, its own view of the picture, and the figures.
pub fn draw_views(app: &App) {
    let (ui, tools) = (&app.ui, &app.ui.tools);
    let state = app.state.borrow();
    let shown = state.shown.as_ref().filter(|_| state.candidate.is_none());
    let proposal = shown.and_then(|shown| shown.proposal.as_ref());
    let proposed = proposal.and_then(|proposal| proposal.proposed.as_deref());
    let number = shown.map(|shown| shown.picture.number);
    let question = ui.question();
    let attention = state.attention.as_ref().filter(|(of, asked, _)| {
        let writes = proposed.is_some_and(|proposed| proposed.writing.is_some());
        writes && Some(*of) == number && *asked == question
    });
    let attention = attention.map(|(_, _, attention)| attention);
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
    app.draw_canvas(number);
    draw_figures(app, proposed);
    draw_writing(app, state.writing());
}

/// What a text policy read, and what it wrote, token by token.
pub fn draw_writing(app: &App, writing: Option<&Writing>) {
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

/// What can be undone, and what was there before.
pub fn draw_history(app: &App) {
    let busy = {
        let state = app.state.borrow();
        let click = state.click.as_ref().is_some_and(|click| !click.unasked);
        click || state.candidate.is_some()
    };
    let (back, forth) = {
        let state = app.state.borrow();
        (state.history.step(-1), state.history.step(1))
    };
    app.ui.tools.undo.set_disabled(busy || back.is_none());
    app.ui.tools.redo.set_disabled(busy || forth.is_none());
    gallery::draw_past(app);
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
