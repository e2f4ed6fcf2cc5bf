//! An RGB picture that pages are drawn on: rectangles, lines, discs, bars.

use super::geometry::Rect;

/// Red, green, blue.
pub type Color = [u8; 3];

/// 8-bit RGB pixels, row by row.
#[derive(Clone)]
pub struct Canvas {
    /// Width in pixels.
    pub w: usize,
    /// Height in pixels.
    pub h: usize,
    /// `h * w * 3` values.
    pub data: Vec<u8>,
}

/// `a` moved towards `b` by `t` of 0..=1.
pub fn mix(a: Color, b: Color, t: f32) -> Color {
    let m = |i: usize| (f32::from(a[i]) + (f32::from(b[i]) - f32::from(a[i])) * t + 0.5) as u8;
    [m(0), m(1), m(2)]
}

/// Brightness of a colour, 0..=255.
pub fn luma(c: Color) -> f32 {
    0.3 * f32::from(c[0]) + 0.59 * f32::from(c[1]) + 0.11 * f32::from(c[2])
}

/// `color`, moved away from the brightness of `paper` until print in it can be read.
pub fn readable(color: Color, paper: Color, distance: f32) -> Color {
    let far = if luma(paper) > 110.0 {
        [0, 0, 0]
    } else {
        [255, 255, 255]
    };
    (0..10)
        .map(|i| mix(color, far, i as f32 * 0.1))
        .find(|c| (luma(*c) - luma(paper)).abs() >= distance)
        .unwrap_or(far)
}

impl Canvas {
    /// A sheet of one colour.
    pub fn new(w: usize, h: usize, color: Color) -> Self {
        let mut data = Vec::with_capacity(w * h * 3);
        for _ in 0..w * h {
            data.extend_from_slice(&color);
        }
        Self { w, h, data }
    }

    /// Covers pixel (x, y) with `color`, `alpha` of 256 parts; outside pixels are ignored.
    #[inline]
    pub fn blend(&mut self, x: i32, y: i32, color: Color, alpha: u32) {
        if x < 0 || y < 0 || x as usize >= self.w || y as usize >= self.h {
            return;
        }
        let at = (y as usize * self.w + x as usize) * 3;
        for (p, c) in self.data[at..at + 3].iter_mut().zip(color) {
            *p = ((u32::from(*p) * (256 - alpha) + u32::from(c) * alpha) >> 8) as u8;
        }
    }

    /// The pixel at (x, y), which must be inside.
    #[cfg(test)]
    pub fn at(&self, x: usize, y: usize) -> Color {
        let at = (y * self.w + x) * 3;
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }

    /// Fills a rectangle (edges rounded to pixels), `alpha` of 0..=1.
    pub fn fill(&mut self, r: Rect, color: Color, alpha: f32) {
        let a = (alpha * 256.0) as u32;
        let clip = |v: f32, top: usize| (v.round().max(0.0) as usize).min(top);
        let (x1, x2) = (clip(r.x1, self.w), clip(r.x2, self.w));
        for y in clip(r.y1, self.h)..clip(r.y2, self.h) {
            for x in x1..x2 {
                self.blend(x as i32, y as i32, color, a);
            }
        }
    }

    /// A frame of lines `t` wide, inside `r`.
    pub fn frame(&mut self, r: Rect, t: f32, color: Color) {
        self.fill(Rect::new(r.x1, r.y1, r.x2, r.y1 + t), color, 1.0);
        self.fill(Rect::new(r.x1, r.y2 - t, r.x2, r.y2), color, 1.0);
        self.fill(Rect::new(r.x1, r.y1, r.x1 + t, r.y2), color, 1.0);
        self.fill(Rect::new(r.x2 - t, r.y1, r.x2, r.y2), color, 1.0);
    }

    /// A horizontal line; `dash` 0 draws it through, else strokes and gaps of that length.
    pub fn rule(&mut self, x1: f32, x2: f32, y: f32, t: f32, dash: f32, color: Color) {
        if dash < 1.0 {
            return self.fill(Rect::new(x1, y, x2, y + t), color, 1.0);
        }
        let mut x = x1;
        while x < x2 {
            let end = (x + dash).min(x2);
            self.fill(Rect::new(x, y, end, y + t), color, 1.0);
            x += dash * 1.8;
        }
    }

    /// A straight stroke of width `t` with soft edges.
    pub fn stroke(&mut self, a: (f32, f32), b: (f32, f32), t: f32, color: Color, alpha: f32) {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let len2 = (dx * dx + dy * dy).max(1e-6);
        let r = t * 0.5 + 1.0;
        let (x1, x2) = (a.0.min(b.0) - r, a.0.max(b.0) + r);
        let (y1, y2) = (a.1.min(b.1) - r, a.1.max(b.1) + r);
        for y in y1.floor().max(0.0) as i32..(y2.ceil() as i32).min(self.h as i32) {
            for x in x1.floor().max(0.0) as i32..(x2.ceil() as i32).min(self.w as i32) {
                let (px, py) = (x as f32 + 0.5 - a.0, y as f32 + 0.5 - a.1);
                let k = ((px * dx + py * dy) / len2).clamp(0.0, 1.0);
                let d = ((px - k * dx).powi(2) + (py - k * dy).powi(2)).sqrt();
                let cover = (t * 0.5 + 0.5 - d).clamp(0.0, 1.0) * alpha;
                if cover > 0.0 {
                    self.blend(x, y, color, (cover * 256.0) as u32);
                }
            }
        }
    }

    /// Strokes through `points`; the last is not joined to the first.
    pub fn path(&mut self, points: &[(f32, f32)], t: f32, color: Color, alpha: f32) {
        for pair in points.windows(2) {
            self.stroke(pair[0], pair[1], t, color, alpha);
        }
    }

    /// A filled polygon (even-odd rule), without soft edges.
    pub fn polygon(&mut self, points: &[(f32, f32)], color: Color, alpha: f32) {
        let top = points.iter().fold(f32::MAX, |m, p| m.min(p.1)).max(0.0);
        let low = points.iter().fold(f32::MIN, |m, p| m.max(p.1));
        for y in top as usize..(low.max(0.0).ceil() as usize).min(self.h) {
            let cy = y as f32 + 0.5;
            let mut cuts: Vec<f32> = (0..points.len())
                .filter_map(|i| {
                    let (a, b) = (points[i], points[(i + 1) % points.len()]);
                    ((a.1 <= cy) != (b.1 <= cy))
                        .then(|| a.0 + (cy - a.1) / (b.1 - a.1) * (b.0 - a.0))
                })
                .collect();
            cuts.sort_by(f32::total_cmp);
            for pair in cuts.chunks_exact(2) {
                self.fill(
                    Rect::new(pair[0], y as f32, pair[1], y as f32 + 1.0),
                    color,
                    alpha,
                );
            }
        }
    }

    /// A disc (`hole` 0) or a ring around (x, y), stretched by `sx` along x.
    pub fn disc(
        &mut self,
        (cx, cy): (f32, f32),
        r: f32,
        hole: f32,
        sx: f32,
        color: Color,
        alpha: f32,
    ) {
        for y in (cy - r).floor() as i32..=(cy + r).ceil() as i32 {
            for x in (cx - r * sx).floor() as i32..=(cx + r * sx).ceil() as i32 {
                let d =
                    (((x as f32 + 0.5 - cx) / sx).powi(2) + (y as f32 + 0.5 - cy).powi(2)).sqrt();
                let cover = (r - d + 0.5).clamp(0.0, 1.0) * (d - hole + 0.5).clamp(0.0, 1.0);
                if cover > 0.0 {
                    self.blend(x, y, color, (cover * alpha * 256.0) as u32);
                }
            }
        }
    }

    /// Keeps rows `y1..y2`.
    pub fn keep_rows(&mut self, y1: usize, y2: usize) {
        let (y1, y2) = (y1.min(self.h), y2.min(self.h));
        self.data.truncate(y2 * self.w * 3);
        self.data.drain(..y1 * self.w * 3);
        self.h = y2 - y1;
    }
}
