//! What happens to a picture on its way: light, folds, fading print, blur, noise, thresholds.

use super::canvas::Canvas;
use super::dice::Dice;

/// Smooth values of about 0..=1 on a coarse grid, read between its points.
pub struct Field {
    w: usize,
    h: usize,
    values: Vec<f32>,
}

impl Field {
    /// Random values on a grid of `w` x `h` points.
    pub fn random(dice: &mut Dice, w: usize, h: usize) -> Self {
        Self {
            w,
            h,
            values: (0..w * h).map(|_| dice.real(0.0, 1.0)).collect(),
        }
    }

    /// The values of one row of pixels; `v` of 0..=1 is its place from top to bottom.
    pub fn row(&self, v: f32, out: &mut [f32]) {
        let y = v.clamp(0.0, 1.0) * (self.h - 1) as f32;
        let (iy, fy) = (y as usize, y.fract());
        let below = (iy + 1).min(self.h - 1);
        let point = |ix: usize| {
            let ix = ix.min(self.w - 1);
            self.values[iy * self.w + ix] * (1.0 - fy) + self.values[below * self.w + ix] * fy
        };
        let step = (self.w - 1) as f32 / out.len().max(2) as f32;
        for (i, o) in out.iter_mut().enumerate() {
            let x = i as f32 * step;
            let (ix, fx) = (x as usize, x.fract());
            let fx = fx * fx * (3.0 - 2.0 * fx);
            *o = point(ix) * (1.0 - fx) + point(ix + 1) * fx;
        }
    }
}

/// Print that faded: every pixel goes towards `paper` by up to `most`, by patches and by bands.
pub fn fade(dice: &mut Dice, canvas: &mut Canvas, paper: [u8; 3], most: f32) {
    let field = if dice.chance(0.5) {
        Field::random(dice, 5, 9)
    } else {
        Field::random(dice, 12, 2)
    };
    let mut row = vec![0.0; canvas.w];
    let h = canvas.h as f32;
    for y in 0..canvas.h {
        field.row(y as f32 / h, &mut row);
        let line = &mut canvas.data[y * canvas.w * 3..(y + 1) * canvas.w * 3];
        for (px, f) in line.chunks_exact_mut(3).zip(&row) {
            let t = (most * f * 256.0) as i32;
            for (p, c) in px.iter_mut().zip(paper) {
                *p = (i32::from(*p) + (((i32::from(c) - i32::from(*p)) * t) >> 8)) as u8;
            }
        }
    }
}

/// Creases across the sheet: a darker side, a lighter edge.
pub fn folds(dice: &mut Dice, canvas: &mut Canvas) {
    for _ in 0..dice.int(1, 3) {
        let flat = dice.chance(0.7);
        let (w, h) = (canvas.w as f32, canvas.h as f32);
        let side = if flat { h } else { w };
        let at = side * dice.real(0.1, 0.9);
        let slope = dice.real(-0.04, 0.04);
        let (width, depth) = (side * dice.real(0.02, 0.12), dice.real(0.05, 0.3));
        let edge = dice.real(0.0, 0.25);
        for y in 0..canvas.h {
            for x in 0..canvas.w {
                let (along, across) = if flat {
                    (x as f32, y as f32)
                } else {
                    (y as f32, x as f32)
                };
                let d = across - at - along * slope;
                if d < -1.5 || d > width {
                    continue;
                }
                let gain = if d < 0.0 {
                    1.0 + edge
                } else {
                    1.0 - depth * (1.0 - d / width)
                };
                let i = (y * canvas.w + x) * 3;
                for p in &mut canvas.data[i..i + 3] {
                    *p = (f32::from(*p) * gain).min(255.0) as u8;
                }
            }
        }
    }
}

/// Uneven light: values are scaled by 1 - `depth` .. 1 and tinted. `hard`: there may be a shadow with
/// an edge, as of a hand or a phone.
pub fn light(
    dice: &mut Dice,
    canvas: &mut Canvas,
    depth: f32,
    tint: [f32; 3],
    gain: f32,
    hard: bool,
) {
    let (nx, ny) = (dice.int(2, 4) as usize, dice.int(2, 5) as usize);
    let field = Field::random(dice, nx, ny);
    let edge = (hard && dice.chance(0.2)).then(|| {
        let (angle, place) = (dice.real(0.0, std::f32::consts::TAU), dice.real(0.2, 0.9));
        (angle, place, dice.real(0.1, 0.4), dice.real(8.0, 60.0))
    });
    let mut row = vec![0.0; canvas.w];
    let (w, h) = (canvas.w as f32, canvas.h as f32);
    for y in 0..canvas.h {
        field.row(y as f32 / h, &mut row);
        if let Some((angle, place, dark, steep)) = edge {
            let (s, c) = angle.sin_cos();
            for (x, v) in row.iter_mut().enumerate() {
                let side = (x as f32 / w - 0.5) * c + (y as f32 / h - 0.5) * s - (place - 0.5);
                *v += (dark / depth.max(0.05)) * (side * steep).clamp(0.0, 1.0);
            }
        }
        let line = &mut canvas.data[y * canvas.w * 3..(y + 1) * canvas.w * 3];
        for (px, f) in line.chunks_exact_mut(3).zip(&row) {
            let k = gain * (1.0 - depth * f).max(0.15);
            for (p, t) in px.iter_mut().zip(tint) {
                *p = (f32::from(*p) * k * t).min(255.0) as u8;
            }
        }
    }
}

/// Contrast around mid grey, and brightness.
pub fn tone(canvas: &mut Canvas, contrast: f32, brightness: f32) {
    let table: [u8; 256] = std::array::from_fn(|v| {
        ((v as f32 - 128.0) * contrast + 128.0 + brightness).clamp(0.0, 255.0) as u8
    });
    for p in &mut canvas.data {
        *p = table[*p as usize];
    }
}

/// Grain of standard deviation about `sigma`; `color` gives each channel its own.
pub fn noise(dice: &mut Dice, canvas: &mut Canvas, sigma: f32, color: bool) {
    const N: usize = 8192;
    let table: Vec<i16> = (0..N)
        .map(|_| dice.near(0.0, sigma * 1.732) as i16)
        .collect();
    let stride = canvas.w * 3;
    for line in canvas.data.chunks_exact_mut(stride.max(1)) {
        let mut at = dice.index(N);
        for px in line.chunks_exact_mut(3) {
            for p in px.iter_mut() {
                *p = (i16::from(*p) + table[at % N]).clamp(0, 255) as u8;
                at += usize::from(color);
            }
            at += 1;
        }
    }
}

/// Blur by a kernel (a, 1 - 2a, a) along x and y, `times` times; a of 0..=1/3.
pub fn blur(canvas: &mut Canvas, a: f32, times: usize, along_x: bool, along_y: bool) {
    let k = (a * 256.0) as u32;
    let m = 256 - 2 * k;
    let stride = canvas.w * 3;
    for _ in 0..times {
        if along_x {
            for line in canvas.data.chunks_exact_mut(stride.max(1)) {
                let mut before = [line[0], line[1], line[2]];
                for x in 0..canvas.w.saturating_sub(1) {
                    for (c, last) in before.iter_mut().enumerate() {
                        let i = x * 3 + c;
                        let here = line[i];
                        let sum =
                            u32::from(*last) * k + u32::from(here) * m + u32::from(line[i + 3]) * k;
                        line[i] = (sum >> 8) as u8;
                        *last = here;
                    }
                }
            }
        }
        if along_y && canvas.h > 2 {
            let mut before = canvas.data[..stride].to_vec();
            for y in 0..canvas.h - 1 {
                let (head, tail) = canvas.data.split_at_mut((y + 1) * stride);
                let line = &mut head[y * stride..];
                for ((p, b), n) in line.iter_mut().zip(&mut before).zip(&tail[..stride]) {
                    let here = *p;
                    *p = ((u32::from(*b) * k + u32::from(here) * m + u32::from(*n) * k) >> 8) as u8;
                    *b = here;
                }
            }
        }
    }
}

/// Grey values only.
pub fn grey(canvas: &mut Canvas) {
    for px in canvas.data.chunks_exact_mut(3) {
        let v =
            ((u32::from(px[0]) * 77 + u32::from(px[1]) * 151 + u32::from(px[2]) * 28) >> 8) as u8;
        px.fill(v);
    }
}

/// Black and white, as a fax or a copier has it, with specks; `share` of the paper's brightness is
/// still white.
pub fn bilevel(dice: &mut Dice, canvas: &mut Canvas, share: f32) {
    grey(canvas);
    let mut counts = [0usize; 256];
    for px in canvas.data.chunks_exact(3) {
        counts[px[0] as usize] += 1;
    }
    // The paper: the commonest of the brighter values.
    let paper = (90..256).max_by_key(|&v| counts[v]).unwrap_or(255);
    let cut = (paper as f32 * share) as u8;
    for p in &mut canvas.data {
        *p = if *p > cut { 255 } else { 0 };
    }
    let specks = canvas.w * canvas.h / 20_000 * dice.int(0, 12) as usize;
    for _ in 0..specks {
        let at = (dice.index(canvas.w) as f32, dice.index(canvas.h) as f32);
        canvas.disc(at, dice.real(0.4, 1.3), 0.0, 1.0, [0, 0, 0], 1.0);
    }
}

/// Fibres and cloudiness of paper: small differences, page wide.
pub fn texture(dice: &mut Dice, canvas: &mut Canvas, depth: f32) {
    let (nx, ny) = (dice.int(6, 30) as usize, dice.int(6, 40) as usize);
    let field = Field::random(dice, nx, ny);
    let mut row = vec![0.0; canvas.w];
    let h = canvas.h as f32;
    for y in 0..canvas.h {
        field.row(y as f32 / h, &mut row);
        let line = &mut canvas.data[y * canvas.w * 3..(y + 1) * canvas.w * 3];
        for (px, f) in line.chunks_exact_mut(3).zip(&row) {
            let k = 256 - (depth * f * 256.0) as u32;
            for p in px {
                *p = ((u32::from(*p) * k) >> 8) as u8;
            }
        }
    }
}
