//! What is shown: the picture, the box over it, the evidence, the crop beside it, the model's state.
//!
//! Everything is drawn from [`crate::state::State`], so that going back to an earlier picture is drawing again.

use cropvlm_web::protocol::{Evidence, Stage};
use cropvlm_web::text;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, ImageData};

use crate::app::App;
use crate::state::Proposal;
use crate::ui::{Ui, say, show};

/// Draws picture, box and crop.
pub fn draw(app: &App) {
    let (ui, state) = (&app.ui, app.state.borrow());
    let shown = state.shown.as_ref();
    show(&ui.empty, shown.is_none());
    show(&ui.figure, shown.is_some());
    let facts = shown
        .and_then(|shown| shown.picture.size)
        .map(|(width, height)| text::picture_facts(width, height));
    ui.picture_facts.set_text_content(facts.as_deref());
    if let Some(shown) = shown
        && ui.picture.src() != shown.picture.url
    {
        ui.picture.set_src(&shown.picture.url);
    }
    draw_proposal(ui, shown.and_then(|shown| shown.proposal.as_ref()));
    drop(state);
    app.draw_forecast();
}

fn draw_proposal(ui: &Ui, proposal: Option<&Proposal>) {
    show(&ui.boxed, proposal.is_some());
    show(&ui.crop_empty, proposal.is_none());
    show(&ui.crop_shown, proposal.is_some());
    let evidence = proposal.and_then(|proposal| proposal.proposed.evidence.as_ref());
    show(&ui.evidence_row, evidence.is_some());
    show(
        &ui.evidence,
        evidence.is_some() && ui.evidence_toggle.checked(),
    );
    let Some(Proposal { proposed, url, .. }) = proposal else {
        ui.boxed.remove_attribute("data-box").ok();
        return;
    };
    let edges = proposed.bbox;
    let style = ui.boxed.style();
    for (property, percent) in [
        ("left", edges.x1),
        ("top", edges.y1),
        ("width", edges.width()),
        ("height", edges.height()),
    ] {
        style.set_property(property, &format!("{percent}%")).ok();
    }
    let [x1, y1, x2, y2] = edges.to_array();
    ui.boxed
        .set_attribute("data-box", &format!("{x1},{y1},{x2},{y2}"))
        .ok();
    if let Some(evidence) = evidence {
        draw_evidence(ui, evidence);
    }
    if ui.crop.src() != *url {
        ui.crop.set_src(url);
    }
    ui.save.set_attribute("href", url).ok();
    let pixels = proposed.pixels;
    let facts = text::crop_facts(
        pixels.x2 - pixels.x1,
        pixels.y2 - pixels.y1,
        edges.area(),
        proposed.chance,
        proposed.milliseconds,
        proposed.device,
    );
    ui.crop_facts.set_text_content(Some(&facts));
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
        ui.device
            .dataset()
            .set(
                "device",
                text::device(running.device).trim_start_matches("the "),
            )
            .ok();
    }
}
