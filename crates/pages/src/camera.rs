//! How a flat page comes to lie in the picture: curl, then perspective; forwards for boxes,
//! backwards for pixels.

use super::canvas::Canvas;
use super::dice::Dice;
use super::geometry::Rect;

/// A plane projective map, row by row.
type Matrix = [f64; 9];

/// From page pixels to picture pixels and back.
pub struct Camera {
    to_picture: Matrix,
    to_page: Matrix,
    /// Amplitude (page pixels), angular step per pixel, phase: y moves with x, x moves with y.
    bend_y: (f32, f32, f32),
    bend_x: (f32, f32, f32),
}

fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| (0..3).map(|k| a[i / 3 * 3 + k] * b[k * 3 + i % 3]).sum())
}

/// The inverse up to scale (the adjugate), which is all a projective map needs.
fn inverse(m: &Matrix) -> Matrix {
    let c = |a: usize, b: usize, c: usize, d: usize| m[a] * m[b] - m[c] * m[d];
    [
        c(4, 8, 5, 7),
        c(2, 7, 1, 8),
        c(1, 5, 2, 4),
        c(5, 6, 3, 8),
        c(0, 8, 2, 6),
        c(2, 3, 0, 5),
        c(3, 7, 4, 6),
        c(1, 6, 0, 7),
        c(0, 4, 1, 3),
    ]
}

fn apply(m: &Matrix, x: f64, y: f64) -> (f64, f64) {
    let w = m[6] * x + m[7] * y + m[8];
    (
        (m[0] * x + m[1] * y + m[2]) / w,
        (m[3] * x + m[4] * y + m[5]) / w,
    )
}

/// The map of the unit square onto a quadrilateral (Heckbert 1989).
fn square_to(q: [(f64, f64); 4]) -> Matrix {
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = q;
    let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
    let (dx1, dx2, dy1, dy2) = (x1 - x2, x3 - x2, y1 - y2, y3 - y2);
    let det = dx1 * dy2 - dx2 * dy1;
    let g = (sx * dy2 - dx2 * sy) / det;
    let h = (dx1 * sy - sx * dy1) / det;
    [
        x1 - x0 + g * x1,
        x3 - x0 + h * x3,
        x0,
        y1 - y0 + g * y1,
        y3 - y0 + h * y3,
        y0,
        g,
        h,
        1.0,
    ]
}

impl Camera {
    /// The page (w, h) onto the corners `quad` (upper left, then clockwise) of the picture.
    pub fn new(w: usize, h: usize, quad: [(f32, f32); 4]) -> Self {
        let quad = quad.map(|(x, y)| (f64::from(x), f64::from(y)));
        let scale = [
            1.0 / w as f64,
            0.0,
            0.0,
            0.0,
            1.0 / h as f64,
            0.0,
            0.0,
            0.0,
            1.0,
        ];
        let to_picture = multiply(&square_to(quad), &scale);
        Self {
            to_page: inverse(&to_picture),
            to_picture,
            bend_y: (0.0, 0.0, 0.0),
            bend_x: (0.0, 0.0, 0.0),
        }
    }

    /// Lets the sheet wave by about `size` page pixels.
    pub fn bend(&mut self, dice: &mut Dice, w: usize, h: usize, size: f32) {
        let wave = |dice: &mut Dice, side: usize| {
            let step = std::f32::consts::TAU * dice.real(0.4, 1.3) / side as f32;
            (
                size * dice.real(0.0, 1.0),
                step,
                dice.real(0.0, std::f32::consts::TAU),
            )
        };
        self.bend_y = wave(dice, w);
        self.bend_x = wave(dice, h);
    }

    /// Where a point of the page is in the picture.
    pub fn forward(&self, x: f32, y: f32) -> (f32, f32) {
        let (a, s, p) = self.bend_y;
        let y = y + a * (x * s + p).sin();
        let (a, s, p) = self.bend_x;
        let x = x + a * (y * s + p).sin();
        let (x, y) = apply(&self.to_picture, f64::from(x), f64::from(y));
        (x as f32, y as f32)
    }

    /// The smallest upright box around a rectangle of the page.
    pub fn hull(&self, r: Rect) -> Rect {
        let n = (r.width() / 30.0).ceil().max(1.0) as usize;
        let mut hull = Rect::new(f32::MAX, f32::MAX, f32::MIN, f32::MIN);
        for i in 0..=n {
            let x = r.x1 + r.width() * i as f32 / n as f32;
            for y in [r.y1, r.y2] {
                let (x, y) = self.forward(x, y);
                hull = hull.union(Rect::new(x, y, x, y));
            }
        }
        hull
    }

    /// Draws the page over `picture`, with a soft shadow of `shadow` (page pixels x, y, strength).
    pub fn shoot(&self, page: &Canvas, picture: &mut Canvas, shadow: (f32, f32, f32)) {
        let table = |(a, s, p): (f32, f32, f32), n: usize| -> Vec<f32> {
            (0..n + 1).map(|i| a * (i as f32 * s + p).sin()).collect()
        };
        let (wave_y, wave_x) = (table(self.bend_y, page.w), table(self.bend_x, page.h));
        let look = |t: &[f32], at: f32| t[(at.max(0.0) as usize).min(t.len() - 1)];
        let (w, h) = (page.w as f32, page.h as f32);
        let m = self.to_page.map(|v| v as f32);
        let soft = 0.02 * (w + h);
        for py in 0..picture.h {
            let cy = py as f32 + 0.5;
            for px in 0..picture.w {
                let cx = px as f32 + 0.5;
                let d = 1.0 / (m[6] * cx + m[7] * cy + m[8]);
                let bx = (m[0] * cx + m[1] * cy + m[2]) * d;
                let by = (m[3] * cx + m[4] * cy + m[5]) * d;
                let x = bx - look(&wave_x, by);
                let y = by - look(&wave_y, x);
                let at = (py * picture.w + px) * 3;
                let out = &mut picture.data[at..at + 3];
                // Distance beyond the edge of the sheet.
                let beyond = |x: f32, y: f32| (-x).max(x - w).max(-y).max(y - h);
                let away = beyond(x, y);
                if away < 0.5 {
                    let cover = (0.5 - away).min(1.0);
                    let color = sample(page, x - 0.5, y - 0.5);
                    for (o, c) in out.iter_mut().zip(color) {
                        *o = (f32::from(*o) * (1.0 - cover) + c * cover + 0.5) as u8;
                    }
                } else if shadow.2 > 0.0 {
                    let away = beyond(x - shadow.0, y - shadow.1) / soft;
                    if away < 1.0 {
                        let keep = 1.0 - shadow.2 * (0.5 - 0.5 * away).clamp(0.0, 1.0);
                        for o in out.iter_mut() {
                            *o = (f32::from(*o) * keep) as u8;
                        }
                    }
                }
            }
        }
    }
}

impl Camera {
    /// Prints the page over `picture` as ink does: the darker of both stays.
    pub fn darken(&self, page: &Canvas, picture: &mut Canvas) {
        let mut white = Canvas::new(picture.w, picture.h, [255, 255, 255]);
        self.shoot(page, &mut white, (0.0, 0.0, 0.0));
        for (p, ink) in picture.data.iter_mut().zip(&white.data) {
            *p = (u16::from(*p) * u16::from(*ink) / 255) as u8;
        }
    }
}

/// The colour between four pixels.
#[inline]
fn sample(page: &Canvas, x: f32, y: f32) -> [f32; 3] {
    let x = x.clamp(0.0, page.w as f32 - 1.001).max(0.0);
    let y = y.clamp(0.0, page.h as f32 - 1.001).max(0.0);
    let (ix, iy) = (x as usize, y as usize);
    let (fx, fy) = (x - ix as f32, y - iy as f32);
    let a = (iy * page.w + ix) * 3;
    let right = if ix + 1 < page.w { 3 } else { 0 };
    let below = if iy + 1 < page.h { page.w * 3 } else { 0 };
    let d = &page.data;
    std::array::from_fn(|c| {
        let top = f32::from(d[a + c]) * (1.0 - fx) + f32::from(d[a + right + c]) * fx;
        let low =
            f32::from(d[a + below + c]) * (1.0 - fx) + f32::from(d[a + below + right + c]) * fx;
        top * (1.0 - fy) + low * fy
    })
}
