//! The smallest page that a crop is needed for: clutter, and a round or a square card with a digit, or
//! both.
//!
//! At the page's own size a digit is easily read; shrunk to a tile of a quarter of that, it is not. So a
//! reader of one small tile needs the crop, and a policy has to find the card: enough for learning from
//! rewards in minutes on a processor. With two cards it has to know one from the other as well.

use anyhow::Result;

use super::canvas::Color;
use super::fonts::Style;
use super::geometry::Rect;
use super::page::{Page, Studio, View};
use super::text::Pen;

/// Side of the page in pixels.
const SIDE: f32 = 256.0;
/// Diameter and side of a card.
const CARD: f32 = 30.0;

/// Draws a page with one card or with both.
///
/// # Errors
/// A font that cannot be read.
pub fn make(studio: &mut Studio<'_>, both: bool) -> Result<Page> {
    let Studio { fonts, dice } = studio;
    let grey = |v: f32| -> Color { [v as u8; 3] };
    let mut page = Page::new(SIDE as usize, SIDE as usize, grey(dice.real(150.0, 235.0)));
    page.view = View::Screen;
    for _ in 0..10 {
        let (x, y) = (dice.real(-20.0, SIDE), dice.real(-20.0, SIDE));
        let (w, h) = (dice.real(10.0, 80.0), dice.real(4.0, 60.0));
        let shade = grey(dice.real(110.0, 250.0));
        page.canvas.fill(Rect::new(x, y, x + w, y + h), shade, 1.0);
    }
    let face = fonts.pick(dice, Style::Mono, false);
    let first = place(dice, None);
    let cards = if both {
        vec![(first, true), (place(dice, Some(first)), false)]
    } else {
        vec![(first, dice.chance(0.5))]
    };
    for (at, is_round) in cards {
        let paper = grey(dice.real(228.0, 255.0));
        let ink = grey(dice.real(0.0, 40.0));
        let (x, y) = at;
        if is_round {
            page.canvas.disc((x, y), CARD * 0.56, 0.0, 1.0, ink, 1.0);
            page.canvas
                .disc((x, y), CARD * 0.56 - 2.0, 0.0, 1.0, paper, 1.0);
        } else {
            let half = CARD * 0.5;
            let card = Rect::new(x - half, y - half, x + half, y + half);
            page.canvas.fill(card, paper, 1.0);
            page.canvas.frame(card, 2.0, ink);
        }
        let size = dice.real(22.0, 26.0);
        let mut pen = Pen::new(fonts, face, size, 1.0)?;
        let digit = dice.int(0, 9).to_string();
        let left = x - pen.width(&digit) * 0.5;
        let Some(printed) = page.print(dice, &mut pen, (left, y + size * 0.35), &digit, ink) else {
            continue;
        };
        let shape = if is_round { "circle" } else { "square" };
        let question = format!("What number is in the {shape}?");
        page.ask_as("card", question, vec![digit], vec![printed.rect]);
    }
    Ok(page)
}

/// Centre of a card: wholly on the page, and away from the other one.
fn place(dice: &mut super::dice::Dice, other: Option<(f32, f32)>) -> (f32, f32) {
    let edge = CARD * 0.62;
    loop {
        let at = (dice.real(edge, SIDE - edge), dice.real(edge, SIDE - edge));
        let apart = |o: (f32, f32)| (at.0 - o.0).hypot(at.1 - o.1) > CARD * 2.4;
        if other.is_none_or(apart) {
            return at;
        }
    }
}
