//! Text in photos: number plates on cars, street and shop signs, posters, labels.
//!
//! Each object is drawn flat at about the size it has in the picture, then put into a photo with a
//! perspective of its own.

mod boards;
mod clutter;
mod plate;

use anyhow::Result;

use super::camera::Camera;
use super::dice::Dice;
use super::geometry::Rect;
use super::page::{Page, Studio, View};
use super::scene::{self, Backgrounds};

pub use plate::plate;

/// A flat object with its text, to be put into the photo.
pub type Board = Page;

/// Draws a photo with one to three signs of different kinds.
pub fn sign(studio: &mut Studio<'_>, backgrounds: &Backgrounds) -> Result<Page> {
    let mut photo = street(studio.dice, backgrounds);
    let (w, h) = (photo.canvas.w as f32, photo.canvas.h as f32);
    let n = 1 + studio.dice.weighted(&[6.0, 3.0, 1.0]);
    let wide = w > h;
    for i in 0..n {
        let (a, b) = (i as f32 / n as f32, (i + 1) as f32 / n as f32);
        let room = if wide {
            Rect::new(w * a, 0.0, w * b, h)
        } else {
            Rect::new(0.0, h * a, w, h * b)
        };
        let board = boards::any(studio, &photo)?;
        put(studio.dice, &mut photo, board, room, 0.07);
    }
    if n > 1 {
        // "The sign" is one of several.
        photo.asks.retain(|a| a.kind != "sign");
    }
    Ok(photo)
}

/// A photo without text yet.
pub fn street(dice: &mut Dice, backgrounds: &Backgrounds) -> Page {
    let long = dice.real(640.0, 1280.0);
    let other = long * dice.real(0.56, 0.8);
    let (w, h) = if dice.chance(0.75) {
        (long, other)
    } else {
        (other, long)
    };
    let mut canvas = scene::backdrop(dice, backgrounds, w as usize, h as usize);
    clutter::street(dice, &mut canvas);
    let mut page = Page::new(1, 1, [128, 128, 128]);
    page.canvas = canvas;
    page.view = View::Street;
    page
}

/// Puts `board` somewhere into `room`, turned and tilted a little, and takes over its text.
pub fn put(dice: &mut Dice, photo: &mut Page, mut board: Board, room: Rect, tilt: f32) {
    let (bw, bh) = (board.canvas.w as f32, board.canvas.h as f32);
    let fit = (room.width() * 0.94 / bw)
        .min(room.height() * 0.94 / bh)
        .min(1.0);
    let smallest = board
        .lines
        .iter()
        .map(|l| l.rect.height())
        .fold(f32::MAX, f32::min);
    // Too small to read: better no sign than text that nobody can find.
    if smallest * fit < 9.0 {
        return;
    }
    let angle = dice.near(0.0, tilt * 1.2);
    let squeeze = (dice.real(0.8, 1.0), dice.real(0.92, 1.0));
    let (sin, cos) = angle.sin_cos();
    let jitter = tilt * 0.6;
    let corners = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)].map(|(u, v): (f32, f32)| {
        let x = (u + dice.near(0.0, jitter * 0.5)) * bw * fit * squeeze.0;
        let y = (v + dice.near(0.0, jitter)) * bh * fit * squeeze.1;
        (x * cos - y * sin, x * sin + y * cos)
    });
    let span = corners.iter().fold((0.0f32, 0.0f32), |m, c| {
        (m.0.max(c.0.abs()), m.1.max(c.1.abs()))
    });
    let (pw, ph) = (photo.canvas.w as f32, photo.canvas.h as f32);
    if 2.0 * span.0 + 4.0 > pw || 2.0 * span.1 + 4.0 > ph {
        return;
    }
    let place = |dice: &mut Dice, a: f32, b: f32, half: f32| {
        let (low, high) = (a + half, b - half);
        if low < high {
            dice.real(low, high)
        } else {
            (a + b) * 0.5
        }
    };
    let cx = place(dice, room.x1, room.x2, span.0).clamp(span.0 + 1.0, pw - span.0 - 1.0);
    let cy = place(dice, room.y1, room.y2, span.1).clamp(span.1 + 1.0, ph - span.1 - 1.0);
    let camera = Camera::new(
        board.canvas.w,
        board.canvas.h,
        corners.map(|(x, y)| (cx + x, cy + y)),
    );
    if dice.chance(0.4) {
        let (dark, bright) = (dice.real(0.0, 0.35), dice.real(0.85, 1.1));
        super::effects::light(
            dice,
            &mut board.canvas,
            dark,
            [1.0, 1.0, 1.0],
            bright,
            false,
        );
    }
    let strength = dice.real(0.0, 0.7);
    camera.shoot(&board.canvas, &mut photo.canvas, (2.0, 3.0, strength));
    board.map_rects(|r| camera.hull(r));
    photo.lines.append(&mut board.lines);
    photo.asks.append(&mut board.asks);
}
