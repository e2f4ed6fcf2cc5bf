//! Number plates, most of them on something like a car.

use anyhow::Result;

use super::{Board, boards, clutter, put, street};
use crate::canvas::{Color, mix};
use crate::fonts::Style;
use crate::geometry::Rect;
use crate::page::{Page, Studio};
use crate::scene::Backgrounds;
use crate::text::Pen;
use crate::words::say;

/// Draws a photo with a number plate and sometimes other text.
pub fn plate(studio: &mut Studio<'_>, backgrounds: &Backgrounds) -> Result<Page> {
    let mut photo = street(studio.dice, backgrounds);
    let (w, h) = (photo.canvas.w as f32, photo.canvas.h as f32);
    let plate_w = w * studio.dice.real(0.09, 0.34);
    let board = plate_board(studio, plate_w)?;
    let (cx, cy) = (
        w * studio.dice.real(0.3, 0.7),
        h * studio.dice.real(0.5, 0.85),
    );
    let mut sky = cy - plate_w * 0.5;
    if studio.dice.chance(0.8) {
        sky = clutter::car(studio.dice, &mut photo.canvas, (cx, cy), plate_w);
    }
    if studio.dice.chance(0.35) && sky > 60.0 {
        let other = boards::any(studio, &photo)?;
        put(
            studio.dice,
            &mut photo,
            other,
            Rect::new(0.0, 0.0, w, sky * 0.9),
            0.05,
        );
    }
    let (bw, bh) = (board.canvas.w as f32, board.canvas.h as f32);
    let at = Rect::new(cx - bw * 0.5, cy - bh * 0.5, cx + bw * 0.5, cy + bh * 0.5);
    put(studio.dice, &mut photo, board, at, 0.03);
    Ok(photo)
}

fn plate_board(studio: &mut Studio<'_>, width: f32) -> Result<Board> {
    let Studio { fonts, dice } = studio;
    let country = dice.pick(&[
        "us", "us", "de", "uk", "my", "in", "br", "fr", "it", "es", "nl", "xx", "xx", "xx",
    ]);
    let text = say(dice, country, "plate");
    let tall = country == "us" || dice.chance(0.15);
    let height = width
        * if tall {
            dice.real(0.46, 0.54)
        } else {
            dice.real(0.19, 0.26)
        };
    let (paper, ink): (Color, Color) = [
        ([248, 248, 246], [15, 15, 18]),
        ([245, 205, 40], [15, 15, 18]),
        ([248, 248, 246], [20, 40, 120]),
        ([15, 15, 18], [245, 245, 240]),
        ([248, 248, 246], [150, 25, 30]),
        ([60, 130, 70], [250, 250, 250]),
        ([205, 225, 240], [20, 50, 110]),
    ][dice.weighted(&[6.0, 2.5, 1.2, 1.5, 0.6, 0.3, 0.6])];
    let mut board = Page::new(width as usize, height as usize, paper);
    board.canvas.frame(
        Rect::new(1.0, 1.0, width - 1.0, height - 1.0),
        (height * 0.03).max(1.0),
        mix(ink, paper, 0.3),
    );
    let band = !tall && (matches!(country, "de" | "fr" | "it" | "es" | "nl") || dice.chance(0.15));
    let left = if band { width * 0.09 } else { width * 0.03 };
    if band {
        board
            .canvas
            .fill(Rect::new(0.0, 0.0, left, height), [20, 60, 160], 1.0);
    }
    let style = [Style::Sans, Style::Display, Style::Mono][dice.weighted(&[3.0, 3.0, 1.0])];
    let dark = dice.chance(0.7);
    let face = fonts.pick(dice, style, dark);
    let share = if tall {
        dice.real(0.42, 0.55)
    } else {
        dice.real(0.62, 0.8)
    };
    let cap = height * share;
    let probe = Pen::new(fonts, face, cap / 0.7, 1.0)?;
    let room = width - left - width * 0.06;
    let stretch = (room / probe.width(&text)).min(dice.real(0.75, 1.05));
    let mut pen = Pen::new(fonts, face, cap / 0.7, stretch)?;
    let base =
        height * if tall { dice.real(0.7, 0.78) } else { 0.5 } + if tall { 0.0 } else { cap * 0.5 };
    if let Some(p) = board.print_in(
        dice,
        &mut pen,
        (left, width - width * 0.03, 0.5),
        base,
        &text,
        ink,
    ) {
        for _ in 0..3 {
            board.ask(dice, "plate", "q.plate", "", &p.text, vec![p.rect]);
        }
    }
    if tall && height > 50.0 {
        let mut small = Pen::new(fonts, face, height * 0.16, 1.0)?;
        let spots = [("platetop", height * 0.17), ("platelow", height * 0.94)];
        for (key, y) in spots {
            let text = say(dice, "us", key);
            if dice.chance(0.75) && small.width(&text) < width * 0.9 {
                let red = if dice.chance(0.4) { 1.0 } else { 0.0 };
                let color = mix(ink, [180, 30, 40], red);
                board.print_in(dice, &mut small, (0.0, width, 0.5), y, &text, color);
            }
        }
    }
    Ok(board)
}
