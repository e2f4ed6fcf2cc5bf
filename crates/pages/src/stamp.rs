//! What was added to a sheet later: rubber stamps and notes by hand, turned a little.

use anyhow::Result;

use super::camera::Camera;
use super::canvas::Color;
use super::fonts::Style;
use super::geometry::Rect;
use super::page::{Page, Studio};
use super::text::Pen;
use super::words::say;

/// Puts a stamp or a note somewhere on `page`; its text becomes lines of the page.
pub fn add(studio: &mut Studio<'_>, page: &mut Page) -> Result<()> {
    let Studio { fonts, dice } = studio;
    let by_hand = dice.chance(0.5);
    let style = if by_hand {
        Style::Hand
    } else {
        [Style::Sans, Style::Mono, Style::Display][dice.index(3)]
    };
    let face = fonts.pick(dice, style, !by_hand);
    let size = page.canvas.w as f32 * dice.real(0.03, 0.07);
    let mut pen = Pen::new(fonts, face, size, dice.real(0.9, 1.1))?;
    pen.wear = if by_hand { 0.0 } else { 0.4 };
    pen.thick = by_hand;
    let mut lines = vec![say(dice, "us", if by_hand { "note" } else { "stamp" })];
    if dice.chance(0.4) {
        lines.push(say(dice, "us", "date"));
    }
    let ink: Color = [[40, 50, 150], [170, 40, 50], [30, 30, 40], [60, 110, 90]][dice.index(4)];
    let widest = lines
        .iter()
        .map(|l| pen.width(&pen.spell(l)))
        .fold(1.0, f32::max);
    let pad = size * 0.5;
    let (w, h) = (
        widest + 2.0 * pad,
        pen.line_height() * lines.len() as f32 + 2.0 * pad,
    );
    let mut mark = Page::new(w as usize, h as usize, [255, 255, 255]);
    for (i, line) in lines.iter().enumerate() {
        let base = pad + pen.line_height() * (i as f32 + 0.8);
        mark.print_in(dice, &mut pen, (pad, w - pad, 0.5), base, line, ink);
    }
    if !by_hand && dice.chance(0.7) {
        mark.canvas
            .frame(Rect::new(1.0, 1.0, w - 1.0, h - 1.0), size * 0.08, ink);
    }
    let (sin, cos) = dice.near(0.0, 0.15).sin_cos();
    let (rx, ry) = (
        0.5 * (w * cos + h * sin.abs()),
        0.5 * (w * sin.abs() + h * cos),
    );
    let (pw, ph) = (page.canvas.w as f32, page.canvas.h as f32);
    if 2.0 * rx + 4.0 > pw || 2.0 * ry + 4.0 > ph {
        return Ok(());
    }
    let free = |cx: f32, cy: f32| {
        let area = Rect::new(cx - rx, cy - ry, cx + rx, cy + ry);
        let hit = page
            .lines
            .iter()
            .filter(|l| l.rect.overlap_x(area) > 0.0 && l.rect.overlap_y(area) > 0.0);
        hit.count()
    };
    // The emptiest of some places: people write where there is room.
    let places: Vec<(f32, f32)> = (0..8)
        .map(|_| {
            (
                dice.real(rx + 1.0, pw - rx - 1.0),
                dice.real(ry + 1.0, ph - ry - 1.0),
            )
        })
        .collect();
    let Some(&(cx, cy)) = places.iter().min_by_key(|p| free(p.0, p.1)) else {
        return Ok(());
    };
    if free(cx, cy) > 2 {
        return Ok(());
    }
    let quad = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)].map(|(u, v): (f32, f32)| {
        let (x, y) = (u * w, v * h);
        (cx + x * cos - y * sin, cy + x * sin + y * cos)
    });
    let camera = Camera::new(mark.canvas.w, mark.canvas.h, quad);
    camera.darken(&mark.canvas, &mut page.canvas);
    mark.map_rects(|r| camera.hull(r));
    page.lines.append(&mut mark.lines);
    Ok(())
}
