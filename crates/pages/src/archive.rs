//! Sheets out of an archive: copied, faxed, filmed, then scanned small in black and white.

use super::camera::Camera;
use super::canvas::Canvas;
use super::dice::Dice;
use super::effects;
use super::geometry::Rect;
use super::page::Page;
use super::scene::{corners, extent, median_height, take};

/// Smallest median height of a printed line, in picture pixels: less than in other scans.
const LEGIBLE: f32 = 9.0;

/// Lays the sheet on the copier: nearly straight, small, now and then far from the middle.
pub fn copy(dice: &mut Dice, page: &mut Page) -> Canvas {
    let (w, h) = (page.canvas.w as f32, page.canvas.h as f32);
    let spread = if dice.chance(0.8) { 0.006 } else { 0.02 };
    let angle = dice.near(0.0, spread);
    let legible = LEGIBLE / median_height(page);
    let longest = dice.real(950.0, 1150.0);
    let scale = (longest / w.max(h)).clamp(0.62, 1.15).max(legible.min(1.4));
    let quad = corners(dice, (w, h), scale, angle, 0.001);
    let hull = extent(&quad);
    let mut margin = || {
        if dice.chance(0.3) {
            dice.real(0.0, 0.14)
        } else {
            dice.real(0.0, 0.02)
        }
    };
    let (left, right) = (margin() * hull.width(), margin() * hull.width());
    let (top, low) = (margin() * hull.height(), margin() * hull.height());
    let (pw, ph) = (hull.width() + left + right, hull.height() + top + low);
    let glass = if dice.chance(0.25) {
        [12, 12, 12]
    } else {
        page.paper
    };
    let mut picture = Canvas::new(pw as usize, ph as usize, glass);
    let quad = quad.map(|(x, y)| (x + left - hull.x1, y + top - hull.y1));
    let camera = Camera::new(page.canvas.w, page.canvas.h, quad);
    take(page, &camera, &mut picture, (0.0, 0.0, 0.0));
    let kept = clear(page, &picture);
    edges(dice, &mut picture, kept);
    picture
}

/// How far bars may reach into the picture from left, top, right and below without touching print.
fn clear(page: &Page, picture: &Canvas) -> [f32; 4] {
    let (w, h) = (picture.w as f32, picture.h as f32);
    let all = page
        .lines
        .iter()
        .fold(Rect::new(w, h, 0.0, 0.0), |r, l| r.union(l.rect));
    [all.x1, all.y1, w - all.x2, h - all.y2].map(|v| (v - 4.0).max(0.0))
}

/// The black of an open lid along some edges, with a ragged border.
fn edges(dice: &mut Dice, picture: &mut Canvas, most: [f32; 4]) {
    let (w, h) = (picture.w as f32, picture.h as f32);
    for (side, most) in most.into_iter().enumerate() {
        if !dice.chance(0.22) {
            continue;
        }
        let flat = side % 2 == 1;
        let depth = most.min(dice.real(2.0, 0.06 * w));
        let (along, across) = if flat { (w, h) } else { (h, w) };
        let (mut at, mut d) = (0.0, depth);
        while at < along {
            let step = dice.real(4.0, 90.0);
            let (a, b) = if side < 2 {
                (0.0, d)
            } else {
                (across - d, across)
            };
            let bar = if flat {
                Rect::new(at, a, at + step, b)
            } else {
                Rect::new(a, at, b, at + step)
            };
            picture.fill(bar, [8, 8, 8], 1.0);
            at += step;
            d = (d + dice.near(0.0, 2.0)).clamp(0.0, depth);
        }
    }
}

/// From grey to black and white: strokes run together or break, as the copier was set.
pub fn finish(dice: &mut Dice, picture: &mut Canvas) {
    if dice.chance(0.25) {
        let (depth, gain) = (dice.real(0.02, 0.12), dice.real(0.95, 1.05));
        effects::light(dice, picture, depth, [1.0; 3], gain, false);
    }
    if dice.chance(0.6) {
        effects::blur(picture, dice.real(0.05, 0.25), 1, true, true);
    }
    if dice.chance(0.7) {
        let sigma = dice.real(3.0, 24.0);
        effects::noise(dice, picture, sigma, false);
    }
    if dice.chance(0.85) {
        // A high threshold thickens strokes, a low one thins them.
        let share = dice.real(0.6, 0.92);
        effects::bilevel(dice, picture, share);
        if dice.chance(0.4) {
            effects::blur(picture, dice.real(0.05, 0.2), 1, true, true);
        }
    } else {
        effects::grey(picture);
        effects::tone(picture, dice.real(1.0, 1.5), dice.real(-10.0, 20.0));
    }
}
