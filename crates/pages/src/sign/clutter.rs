//! What streets are full of, roughly: walls with windows, fences, roads, poles, leaves, cars. Photos
//! without text are mostly landscapes; edges that are no print have to be learned too.

use crate::canvas::{Canvas, Color, mix};
use crate::dice::Dice;
use crate::geometry::Rect;

const WALLS: [Color; 7] = [
    [150, 90, 70],
    [190, 180, 165],
    [120, 120, 125],
    [215, 205, 180],
    [90, 80, 75],
    [170, 150, 120],
    [60, 75, 95],
];

/// Draws none to three kinds of things over `canvas`.
pub fn street(dice: &mut Dice, canvas: &mut Canvas) {
    let n = dice.weighted(&[4.0, 2.5, 2.0, 1.0]);
    for _ in 0..n {
        match dice.index(5) {
            0 => facade(dice, canvas),
            1 => fence(dice, canvas),
            2 => road(dice, canvas),
            3 => leaves(dice, canvas),
            _ => boxes(dice, canvas),
        }
    }
}

/// A wall of bricks or panels with windows.
fn facade(dice: &mut Dice, canvas: &mut Canvas) {
    let (w, h) = (canvas.w as f32, canvas.h as f32);
    let wall = WALLS[dice.index(WALLS.len())];
    let (x1, x2) = (w * dice.real(-0.2, 0.4), w * dice.real(0.6, 1.2));
    let (y1, y2) = (h * dice.real(-0.2, 0.2), h * dice.real(0.6, 1.0));
    canvas.fill(Rect::new(x1, y1, x2, y2), wall, 1.0);
    if dice.chance(0.5) {
        let (bw, bh) = (dice.real(14.0, 40.0), dice.real(6.0, 16.0));
        let joint = mix(wall, [230, 225, 215], 0.5);
        let mut y = y1;
        let mut row = 0;
        while y < y2 {
            canvas.rule(x1, x2, y, 1.0, 0.0, joint);
            let mut x = x1 + if row % 2 == 0 { 0.0 } else { bw * 0.5 };
            while x < x2 {
                canvas.fill(Rect::new(x, y, x + 1.0, y + bh), joint, 1.0);
                x += bw;
            }
            y += bh;
            row += 1;
        }
    }
    let (nx, ny) = (dice.int(2, 6), dice.int(1, 4));
    let (cw, ch) = ((x2 - x1) / nx as f32, (y2 - y1) / ny as f32);
    let frame = mix(wall, [255, 255, 255], dice.real(0.2, 0.9));
    let glass = mix([40, 50, 65], [170, 190, 210], dice.real(0.0, 1.0));
    for i in 0..nx {
        for j in 0..ny {
            let (x, y) = (x1 + cw * (i as f32 + 0.2), y1 + ch * (j as f32 + 0.2));
            let window = Rect::new(x, y, x + cw * 0.6, y + ch * 0.6);
            canvas.fill(window, glass, 1.0);
            canvas.frame(window, 3.0, frame);
            let (cx, cy) = window.center();
            canvas.fill(
                Rect::new(cx - 1.0, window.y1, cx + 1.0, window.y2),
                frame,
                1.0,
            );
            canvas.fill(
                Rect::new(window.x1, cy - 1.0, window.x2, cy + 1.0),
                frame,
                1.0,
            );
        }
    }
}

fn fence(dice: &mut Dice, canvas: &mut Canvas) {
    let (w, h) = (canvas.w as f32, canvas.h as f32);
    let color = WALLS[dice.index(WALLS.len())];
    let (y1, y2) = (h * dice.real(0.3, 0.7), h * dice.real(0.75, 1.0));
    let (step, wide) = (dice.real(8.0, 40.0), dice.real(2.0, 14.0));
    let mut x = 0.0;
    while x < w {
        canvas.fill(Rect::new(x, y1, x + wide.min(step * 0.7), y2), color, 1.0);
        x += step;
    }
    for y in [y1 + 8.0, y2 - 12.0] {
        canvas.fill(
            Rect::new(0.0, y, w, y + 5.0),
            mix(color, [0, 0, 0], 0.3),
            1.0,
        );
    }
}

fn road(dice: &mut Dice, canvas: &mut Canvas) {
    let (w, h) = (canvas.w as f32, canvas.h as f32);
    let y = h * dice.real(0.45, 0.8);
    let grey = dice.int(60, 130) as u8;
    canvas.fill(Rect::new(0.0, y, w, h), [grey, grey, grey], 1.0);
    let far = (w * dice.real(0.2, 0.8), y);
    for _ in 0..dice.int(1, 4) {
        let near = (w * dice.real(-0.3, 1.3), h);
        canvas.polygon(
            &[
                far,
                (near.0, near.1),
                (near.0 + dice.real(10.0, 40.0), near.1),
            ],
            [225, 225, 220],
            0.9,
        );
    }
    canvas.fill(Rect::new(0.0, y - 5.0, w, y), [170, 168, 160], 1.0);
}

fn leaves(dice: &mut Dice, canvas: &mut Canvas) {
    let (w, h) = (canvas.w as f32, canvas.h as f32);
    let (cx, cy) = (w * dice.real(0.0, 1.0), h * dice.real(0.0, 0.8));
    for _ in 0..dice.int(40, 200) {
        let at = (cx + dice.near(0.0, w * 0.15), cy + dice.near(0.0, h * 0.15));
        let color = mix([30, 70, 25], [150, 180, 70], dice.real(0.0, 1.0));
        canvas.disc(
            at,
            dice.real(2.0, 10.0),
            0.0,
            dice.real(0.5, 1.8),
            color,
            1.0,
        );
    }
}

fn boxes(dice: &mut Dice, canvas: &mut Canvas) {
    let (w, h) = (canvas.w as f32, canvas.h as f32);
    for _ in 0..dice.int(2, 8) {
        let (x, y) = (w * dice.real(-0.1, 1.0), h * dice.real(0.0, 1.0));
        let size = (w * dice.real(0.03, 0.3), h * dice.real(0.03, 0.3));
        let color = mix(
            WALLS[dice.index(WALLS.len())],
            [255, 255, 255],
            dice.real(0.0, 0.6),
        );
        let area = Rect::new(x, y, x + size.0, y + size.1);
        canvas.fill(area, color, 1.0);
        canvas.frame(area, dice.real(1.0, 5.0), mix(color, [0, 0, 0], 0.5));
    }
}

/// One end of a car around the plate's place (`cx`, `cy`), roughly: body, window, lights, grille,
/// bumper, wheels. Returns where its roof is.
pub fn car(dice: &mut Dice, canvas: &mut Canvas, (cx, cy): (f32, f32), plate: f32) -> f32 {
    let color: Color = [
        [30, 30, 34],
        [180, 182, 186],
        [240, 240, 240],
        [140, 20, 24],
        [24, 50, 110],
        [70, 80, 74],
        [190, 160, 110],
        [200, 200, 60],
    ][dice.index(8)];
    let half = plate * dice.real(1.4, 2.4);
    let (top, low) = (
        cy - plate * dice.real(0.6, 1.2),
        cy + plate * dice.real(0.3, 0.7),
    );
    let slope = half * dice.real(0.02, 0.18);
    let shade = mix(color, [0, 0, 0], 0.25);
    canvas.polygon(
        &[
            (cx - half + slope, top),
            (cx + half - slope, top),
            (cx + half, low),
            (cx - half, low),
        ],
        color,
        1.0,
    );
    // Reflection of the sky on the body, and a line pressed into it.
    for i in 0..12 {
        let y = top + (low - top) * i as f32 / 12.0;
        let k = 0.03 * (12 - i) as f32;
        canvas.fill(
            Rect::new(
                cx - half + slope,
                y,
                cx + half - slope,
                y + (low - top) / 12.0,
            ),
            mix(color, [255, 255, 255], k),
            0.6,
        );
    }
    let y = top + (low - top) * dice.real(0.2, 0.5);
    canvas.fill(
        Rect::new(cx - half + slope, y, cx + half - slope, y + 2.0),
        shade,
        1.0,
    );
    let roof = top - plate * dice.real(0.5, 1.1);
    canvas.polygon(
        &[
            (cx - half * 0.7, roof),
            (cx + half * 0.7, roof),
            (cx + half * 0.9, top),
            (cx - half * 0.9, top),
        ],
        mix(color, [0, 0, 0], 0.15),
        1.0,
    );
    canvas.polygon(
        &[
            (cx - half * 0.62, roof + 4.0),
            (cx + half * 0.62, roof + 4.0),
            (cx + half * 0.78, top - 3.0),
            (cx - half * 0.78, top - 3.0),
        ],
        [38, 44, 52],
        0.9,
    );
    if dice.chance(0.5) {
        canvas.stroke(
            (cx - half * 0.3, top - 2.0),
            (cx + half * 0.35, roof + (top - roof) * 0.6),
            2.0,
            [10, 10, 12],
            1.0,
        );
    }
    let front = dice.chance(0.45);
    let lamp = if front {
        [225, 230, 235]
    } else {
        [170, 20, 24]
    };
    let (lw, lh, ly) = (
        half * dice.real(0.1, 0.25),
        plate * dice.real(0.12, 0.35),
        top + plate * dice.real(0.05, 0.25),
    );
    let round = dice.chance(0.4);
    for side in [-1.0, 1.0] {
        let x = cx + side * half * 0.76;
        if round {
            canvas.disc((x, ly + lh * 0.5), lh * 0.8, 0.0, 1.0, shade, 1.0);
            canvas.disc((x, ly + lh * 0.5), lh * 0.65, 0.0, 1.0, lamp, 1.0);
        } else {
            let area = Rect::new(x - lw * 0.5, ly, x + lw * 0.5, ly + lh);
            canvas.fill(area, lamp, 0.95);
            canvas.frame(area, 2.0, shade);
        }
    }
    if front {
        let (gw, gy) = (half * dice.real(0.3, 0.55), top + plate * 0.08);
        let gh = (cy - plate * 0.2 - gy).max(6.0) * dice.real(0.5, 0.9);
        canvas.fill(Rect::new(cx - gw, gy, cx + gw, gy + gh), [18, 18, 20], 1.0);
        let slats = dice.int(2, 6);
        for i in 1..slats {
            let y = gy + gh * i as f32 / slats as f32;
            canvas.fill(
                Rect::new(cx - gw, y, cx + gw, y + 2.0),
                [170, 172, 176],
                0.9,
            );
        }
    }
    if dice.chance(0.7) {
        let at = (cx, top + plate * 0.12);
        canvas.disc(
            at,
            plate * 0.08,
            plate * 0.05,
            dice.real(1.0, 1.5),
            [200, 202, 206],
            1.0,
        );
    }
    canvas.fill(
        Rect::new(cx - half, low - plate * 0.15, cx + half, low),
        mix(color, [20, 20, 20], 0.6),
        1.0,
    );
    for side in [-1.0, 1.0] {
        let x = cx + side * half * 0.72;
        canvas.fill(
            Rect::new(x - half * 0.13, low, x + half * 0.13, low + plate * 0.25),
            [15, 15, 16],
            1.0,
        );
    }
    canvas.disc(
        (cx, low + plate * 0.24),
        plate * 0.06,
        0.0,
        half / (plate * 0.06),
        [10, 10, 10],
        0.5,
    );
    roof
}
