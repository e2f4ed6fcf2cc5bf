//! What is on paper besides print: logos, bar codes, stamps, pen strokes.

use super::canvas::{Canvas, Color};
use super::dice::Dice;
use super::geometry::Rect;

/// A simple emblem about `size` pixels high around `at`.
pub fn logo(dice: &mut Dice, canvas: &mut Canvas, at: (f32, f32), size: f32, color: Color) {
    let r = size * 0.5;
    match dice.index(5) {
        0 => canvas.disc(
            at,
            r,
            r * dice.real(0.0, 0.85),
            dice.real(0.8, 2.0),
            color,
            1.0,
        ),
        1 => {
            let n = dice.int(3, 8);
            let inner = if dice.chance(0.5) { 0.45 } else { 1.0 };
            let turn = dice.real(0.0, 6.0);
            let points: Vec<_> = (0..2 * n)
                .map(|i| {
                    let r = if i % 2 == 0 { r } else { r * inner };
                    let a = turn + i as f32 * std::f32::consts::PI / n as f32;
                    (at.0 + r * a.cos(), at.1 + r * a.sin())
                })
                .collect();
            canvas.polygon(&points, color, 1.0);
        }
        2 => {
            let area = Rect::new(at.0 - r * 1.4, at.1 - r, at.0 + r * 1.4, at.1 + r);
            canvas.frame(area, (size * 0.06).max(1.0), color);
            canvas.disc(at, r * 0.6, 0.0, 1.0, color, 1.0);
        }
        3 => {
            for i in 0..dice.int(2, 5) {
                let y = at.1 - r + i as f32 * size * 0.2;
                let w = r * dice.real(0.6, 2.0);
                canvas.fill(
                    Rect::new(at.0 - w, y, at.0 + w, y + size * 0.12),
                    color,
                    1.0,
                );
            }
        }
        _ => {
            for i in 0..3 {
                let x = at.0 + (i as f32 - 1.0) * r * 0.8;
                canvas.disc((x, at.1), r * 0.7, r * 0.5, 1.0, color, 1.0);
            }
        }
    }
}

/// A bar code that fills `area`.
pub fn barcode(dice: &mut Dice, canvas: &mut Canvas, area: Rect, color: Color) {
    let module = (area.width() / 110.0).max(1.0);
    let mut x = area.x1;
    while x < area.x2 {
        let w = module * dice.int(1, 3) as f32;
        canvas.fill(
            Rect::new(x, area.y1, (x + w).min(area.x2), area.y2),
            color,
            1.0,
        );
        x += w + module * dice.int(1, 3) as f32;
    }
}

/// Something that looks like a QR code.
pub fn qr(dice: &mut Dice, canvas: &mut Canvas, area: Rect, color: Color) {
    let n = 25;
    let m = (area.width() / n as f32).floor().max(1.0);
    let corner = |x: i32, y: i32| (x < 7 || x > n - 8) && y < 7 || x < 7 && y > n - 8;
    for y in 0..n {
        for x in 0..n {
            let (cx, cy) = (
                if x > n - 8 { x - (n - 7) } else { x },
                if y > n - 8 { y - (n - 7) } else { y },
            );
            let ring = (cx - 3).abs().max((cy - 3).abs());
            let dark = if corner(x, y) {
                ring != 2
            } else {
                dice.chance(0.5)
            };
            if dark {
                let (px, py) = (area.x1 + x as f32 * m, area.y1 + y as f32 * m);
                canvas.fill(Rect::new(px, py, px + m, py + m), color, 1.0);
            }
        }
    }
}

/// A stroke of a pen that waves from `a` to `b`.
pub fn scribble(
    dice: &mut Dice,
    canvas: &mut Canvas,
    a: (f32, f32),
    b: (f32, f32),
    height: f32,
    t: f32,
    color: Color,
) {
    let n = dice.int(12, 40);
    let mut points = Vec::new();
    let (f1, f2) = (dice.real(0.6, 2.2), dice.real(0.3, 1.0));
    for i in 0..=n {
        let k = i as f32 / n as f32;
        let swing = (i as f32 * f1).sin() * height * dice.real(0.3, 1.0);
        let sway = (i as f32 * f2).cos() * height * 0.4;
        points.push((a.0 + (b.0 - a.0) * k + sway, a.1 + (b.1 - a.1) * k + swing));
    }
    canvas.path(&points, t, color, 0.9);
}

/// Pen marks of a reader: rings around amounts, ticks, underlines. They may touch print.
pub fn pen_marks(dice: &mut Dice, canvas: &mut Canvas, targets: &[Rect]) {
    let color = [[30, 40, 160], [20, 20, 30], [180, 30, 40], [60, 60, 70]][dice.index(4)];
    let t = dice.real(1.5, 3.5);
    for _ in 0..dice.int(1, 3) {
        let target =
            (!targets.is_empty() && dice.chance(0.5)).then(|| targets[dice.index(targets.len())]);
        let (w, h) = (canvas.w as f32, canvas.h as f32);
        match target {
            Some(r) if dice.chance(0.6) => {
                let (cx, cy) = r.center();
                let (rx, ry) = (
                    r.width() * dice.real(0.55, 0.8),
                    r.height() * dice.real(0.8, 1.3),
                );
                let points: Vec<_> = (0..=30)
                    .map(|i| {
                        let a = i as f32 * 0.22 + 1.0;
                        let wob = dice.real(0.95, 1.05);
                        (cx + rx * a.cos() * wob, cy + ry * a.sin() * wob)
                    })
                    .collect();
                canvas.path(&points, t, color, 0.8);
            }
            Some(r) => {
                let y = r.y2 + 1.0;
                canvas.path(
                    &[
                        (r.x1, y),
                        (r.center().0, y + dice.real(-2.0, 3.0)),
                        (r.x2, y),
                    ],
                    t,
                    color,
                    0.8,
                );
            }
            None => {
                let at = (dice.real(0.0, w * 0.7), dice.real(0.0, h));
                let to = (at.0 + dice.real(30.0, 160.0), at.1 + dice.real(-20.0, 20.0));
                let height = dice.real(5.0, 18.0);
                scribble(dice, canvas, at, to, height, t, color);
            }
        }
    }
}
