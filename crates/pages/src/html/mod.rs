//! Pages out of a browser: designs of our own (`designs.rs`; `lists.rs`, `rows.rs`, `bare.rs`, `figures.rs`, `flow.rs`, `plot.rs`), laid out by Chromium
//! (`browser.rs`), with the boxes of words, values and controls out of the document itself; then shown as the drawn pages are
//! (`scene.rs`).
//!
//! Which fonts there are, and so how a page looks, is the machine's; what it says, and what is asked, follow from the seed.

mod bare;
pub mod browser;
mod designs;
mod draft;
mod figures;
mod flow;
mod lists;
mod plot;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use self::browser::Browser;
use self::draft::Draft;
use super::canvas::Canvas;
use super::dice::Dice;
use super::geometry::Rect;
use super::page::{Ask, Page, View};
use super::text::Printed;

/// A page of one of the designs.
///
/// # Errors
/// A Chromium that fails.
pub fn make(browser: &Mutex<Browser>, dice: &mut Dice) -> Result<Page> {
    let mut draft = Draft::new(dice);
    let (view, viewport) = designs::any(&mut draft);
    let missing = draft.missing();
    let document = draft.document(view);
    let wanted = std::mem::take(&mut draft.wanted);
    let shown = {
        let mut browser = browser.lock().unwrap_or_else(PoisonError::into_inner);
        browser.show(&document, viewport)
    };
    let (layout, png) = shown.context("a page in Chromium")?;
    let picture = picture::decode(&png).context("Chromium's picture")?;
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let mut page = Page::new(1, 1, [255, 255, 255]);
    page.canvas = Canvas {
        w,
        h,
        data: picture.into_raw(),
    };
    page.paper = [
        page.canvas.data[0],
        page.canvas.data[1],
        page.canvas.data[2],
    ];
    page.view = view;
    let scale = viewport.scale as f32;
    // What reaches beyond the window cannot be seen whole.
    let rect = |b: [f32; 4]| {
        let [x1, y1, x2, y2] = b.map(|v| v * scale);
        let inside = x1 >= 0.0 && y1 >= 0.0 && x2 <= w as f32 && y2 <= h as f32;
        (inside && x2 > x1 && y2 > y1).then(|| Rect::new(x1, y1, x2, y2).grown(1.0))
    };
    for line in &layout.lines {
        if let Some(rect) = rect(line.bbox) {
            page.lines.push(Printed::whole(rect, line.text.clone()));
        }
    }
    for wanted in wanted {
        let Some(lines) = layout.parts.get(&wanted.part) else {
            continue;
        };
        let seen: Option<Vec<Rect>> = lines.iter().map(|line| rect(*line)).collect();
        // Several lines of one part are one value.
        let Some(whole) = seen.and_then(|seen| seen.into_iter().reduce(Rect::union)) else {
            continue;
        };
        page.ask_as(
            wanted.kind,
            wanted.question,
            vec![wanted.answer],
            vec![whole],
        );
    }
    if !missing.is_empty() && dice.chance(0.5) {
        page.asks.push(Ask {
            kind: "none",
            question: missing,
            answers: Vec::new(),
            rects: Vec::new(),
        });
    }
    if page.view == View::Display {
        grid(dice, &mut page.canvas);
    }
    Ok(page)
}

/// The dark gaps between a display's pixels, now and then, of which a photograph makes moiré.
fn grid(dice: &mut Dice, canvas: &mut Canvas) {
    if !dice.chance(0.15) {
        return;
    }
    let (every, depth) = (dice.int(2, 3) as usize, dice.int(8, 40) as u16);
    for (i, pixel) in canvas.data.chunks_exact_mut(3).enumerate() {
        let (x, y) = (i % canvas.w, i / canvas.w);
        if x % every == 0 || y % every == 0 {
            for value in pixel {
                *value = (u16::from(*value) * (256 - depth) / 256) as u8;
            }
        }
    }
}
