//! One page → one canvas: window, small rotation and shear, light, blur, noise. Boxes go along.

use picture::GrayImage;
use rand::{Rng, RngExt};

/// Maps canvas coordinates (0 to 1) to page coordinates (0 to 1): `page = a * canvas + b`.
#[derive(Debug, Clone, Copy)]
pub struct View {
    a: [[f64; 2]; 2],
    b: [f64; 2],
}

impl View {
    /// The window `[x1, y1, x2, y2]` of the page (0 to 1, may reach beyond it), turned by `angle`
    /// radians and sheared by `shear` about its centre. `aspect` is the window's width divided by
    /// its height in pixels, so that a turn is a turn.
    pub fn new([x1, y1, x2, y2]: [f64; 4], angle: f64, shear: f64, aspect: f64) -> Self {
        let (w, h) = (x2 - x1, y2 - y1);
        let (sin, cos) = angle.sin_cos();
        let turn = [[cos, -sin / aspect + shear], [sin * aspect, cos]];
        let a = [
            [w * turn[0][0], w * turn[0][1]],
            [h * turn[1][0], h * turn[1][1]],
        ];
        let centre = [(x1 + x2) / 2.0, (y1 + y2) / 2.0];
        let b = [
            centre[0] - 0.5 * (a[0][0] + a[0][1]),
            centre[1] - 0.5 * (a[1][0] + a[1][1]),
        ];
        Self { a, b }
    }

    fn page(&self, u: f64, v: f64) -> [f64; 2] {
        [
            self.a[0][0] * u + self.a[0][1] * v + self.b[0],
            self.a[1][0] * u + self.a[1][1] * v + self.b[1],
        ]
    }

    fn canvas(&self, x: f64, y: f64) -> [f64; 2] {
        let (dx, dy) = (x - self.b[0], y - self.b[1]);
        let det = self.a[0][0] * self.a[1][1] - self.a[0][1] * self.a[1][0];
        [
            (self.a[1][1] * dx - self.a[0][1] * dy) / det,
            (-self.a[1][0] * dx + self.a[0][0] * dy) / det,
        ]
    }

    /// A point of the page in percent of the canvas.
    pub fn point(&self, x: f32, y: f32) -> [f32; 2] {
        let [u, v] = self.canvas(f64::from(x), f64::from(y));
        [(u * 100.0) as f32, (v * 100.0) as f32]
    }

    /// A box of the page in percent of the canvas: the hull of its turned corners, cut to the
    /// canvas. `None` where less than `least` of it is on the canvas.
    pub fn bbox(&self, [x1, y1, x2, y2]: [f32; 4], least: f64) -> Option<[f32; 4]> {
        let corners = [(x1, y1), (x2, y1), (x1, y2), (x2, y2)]
            .map(|(x, y)| self.canvas(f64::from(x), f64::from(y)));
        let low = |i: usize| corners.iter().map(|c| c[i]).fold(f64::INFINITY, f64::min);
        let high = |i: usize| {
            corners
                .iter()
                .map(|c| c[i])
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let hull = [low(0), low(1), high(0), high(1)];
        let cut = hull.map(|v| v.clamp(0.0, 1.0));
        let area = |b: [f64; 4]| (b[2] - b[0]) * (b[3] - b[1]);
        if area(hull) <= 0.0 || area(cut) < least * area(hull) {
            return None;
        }
        Some(cut.map(|v| (v * 100.0) as f32))
    }

    /// Draws the view. Beyond the page its edge goes on, or `fill` where that is given.
    pub fn draw(&self, page: &GrayImage, width: u32, height: u32, fill: Option<u8>) -> Vec<f32> {
        let (w, h) = (f64::from(page.width()), f64::from(page.height()));
        // Shrinking by more than 1.5 is drawn from 2 x 2 points a pixel, by more than 3 from 3 x 3.
        let shrink = (self.a[0][0].abs() * w / f64::from(width))
            .max(self.a[1][1].abs() * h / f64::from(height));
        let points = if shrink > 3.0 {
            3
        } else if shrink > 1.5 {
            2
        } else {
            1
        };
        let share = 1.0 / (points * points) as f32;
        // From one point of a row to the next, in page pixels.
        let across = f64::from(points) * f64::from(width);
        let (dx, dy) = (self.a[0][0] * w / across, self.a[1][0] * h / across);
        let mut out = vec![0f32; (width * height) as usize];
        for (j, row) in out.chunks_exact_mut(width as usize).enumerate() {
            for q in 0..points {
                let v = (j as f64 + (f64::from(q) + 0.5) / f64::from(points)) / f64::from(height);
                let [x, y] = self.page(0.5 / across, v);
                let (x, y) = ((x * w - 0.5) as f32, (y * h - 0.5) as f32);
                let (dx, dy) = (dx as f32, dy as f32);
                let mut k = 0f32;
                for value in row.iter_mut() {
                    for _ in 0..points {
                        *value += share * point(page, x + k * dx, y + k * dy, fill);
                        k += 1.0;
                    }
                }
            }
        }
        out
    }
}

/// Bilinear value at pixel coordinates.
fn point(page: &GrayImage, x: f32, y: f32, fill: Option<u8>) -> f32 {
    let (w, h) = (page.width() as i32, page.height() as i32);
    let raw = page.as_raw();
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let mix = |[a, b, c, d]: [u8; 4]| {
        let [a, b, c, d] = [a, b, c, d].map(f32::from);
        let top = a + (b - a) * fx;
        top + (c + (d - c) * fx - top) * fy
    };
    if x0 >= 0.0 && y0 >= 0.0 && x0 < (w - 1) as f32 && y0 < (h - 1) as f32 {
        let at = y0 as usize * w as usize + x0 as usize;
        let below = at + w as usize;
        return mix([raw[at], raw[at + 1], raw[below], raw[below + 1]]);
    }
    if let Some(fill) = fill
        && (x < -1.0 || y < -1.0 || x > w as f32 || y > h as f32)
    {
        return f32::from(fill);
    }
    let at = |i: i32, j: i32| {
        let (i, j) = (i.clamp(0, w - 1), j.clamp(0, h - 1));
        raw[(j * w + i) as usize]
    };
    let (i, j) = (x0 as i32, y0 as i32);
    mix([at(i, j), at(i + 1, j), at(i, j + 1), at(i + 1, j + 1)])
}

/// Light, blur and noise of a bad camera or scanner; grey levels out.
pub fn degrade(mut canvas: Vec<f32>, width: usize, rng: &mut impl Rng) -> Vec<u8> {
    if rng.random_bool(0.3) {
        canvas = blur(&canvas, width, rng.random_range(0.2..0.8));
    }
    let gamma: f32 = if rng.random_bool(0.4) {
        rng.random_range(0.6..1.6)
    } else {
        1.0
    };
    let noise: f32 = if rng.random_bool(0.4) {
        rng.random_range(1.0..12.0)
    } else {
        0.0
    };
    // Light falls off across the picture.
    let (gx, gy): (f32, f32) = if rng.random_bool(0.3) {
        (rng.random_range(-0.4..0.4), rng.random_range(-0.4..0.4))
    } else {
        (0.0, 0.0)
    };
    let height = canvas.len() / width.max(1);
    let negative = rng.random_bool(0.03);
    let mut out = Vec::with_capacity(canvas.len());
    for (k, value) in canvas.into_iter().enumerate() {
        let (x, y) = (
            (k % width) as f32 / width as f32,
            (k / width) as f32 / height as f32,
        );
        let light = 1.0 + gx * (x - 0.5) + gy * (y - 0.5);
        let mut v = (value / 255.0).clamp(0.0, 1.0);
        if gamma != 1.0 {
            v = v.powf(gamma);
        }
        v = v * light * 255.0;
        if noise > 0.0 {
            // Sum of uniforms: near enough to a normal distribution.
            let n: f32 = rng.random::<f32>() + rng.random::<f32>() + rng.random::<f32>() - 1.5;
            v += n * noise * 2.0;
        }
        let v = v.round().clamp(0.0, 255.0) as u8;
        out.push(if negative { 255 - v } else { v });
    }
    out
}

/// Mixes each pixel with the mean of its 3 x 3 neighbourhood.
fn blur(canvas: &[f32], width: usize, part: f32) -> Vec<f32> {
    let height = canvas.len() / width.max(1);
    let mut out = canvas.to_vec();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let mut sum = 0.0;
            for j in y - 1..=y + 1 {
                for i in x - 1..=x + 1 {
                    sum += canvas[j * width + i];
                }
            }
            let k = y * width + x;
            out[k] = canvas[k] * (1.0 - part) + sum / 9.0 * part;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_follow_the_picture() {
        // A dark spot on a light page: where the drawn view is dark, there the box has to be.
        let mut page = GrayImage::from_pixel(200, 300, image::Luma([250]));
        for y in 150..180 {
            for x in 60..100 {
                page.put_pixel(x, y, image::Luma([0]));
            }
        }
        let spot = [0.3, 0.5, 0.5, 0.6];
        let views = [
            View::new([0.0, 0.0, 1.0, 1.0], 0.0, 0.0, 2.0 / 3.0),
            View::new([0.1, 0.3, 0.7, 0.8], 0.0, 0.0, 0.8),
            View::new([-0.2, 0.1, 1.1, 1.2], 0.06, 0.03, 0.9),
        ];
        for view in views {
            let (w, h) = (128u32, 160u32);
            let drawn = view.draw(&page, w, h, None);
            let [x1, y1, x2, y2] = view.bbox(spot, 0.99).unwrap();
            let dark: Vec<(f32, f32)> = drawn
                .iter()
                .enumerate()
                .filter(|(_, v)| **v < 100.0)
                .map(|(k, _)| {
                    let (i, j) = (k % w as usize, k / w as usize);
                    (
                        (i as f32 + 0.5) / w as f32 * 100.0,
                        (j as f32 + 0.5) / h as f32 * 100.0,
                    )
                })
                .collect();
            assert!(dark.len() > 50);
            let low = |f: fn(&(f32, f32)) -> f32| dark.iter().map(f).fold(f32::MAX, f32::min);
            let high = |f: fn(&(f32, f32)) -> f32| dark.iter().map(f).fold(f32::MIN, f32::max);
            assert!((low(|p| p.0) - x1).abs() < 1.5, "{} {x1}", low(|p| p.0));
            assert!((high(|p| p.0) - x2).abs() < 1.5);
            assert!((low(|p| p.1) - y1).abs() < 1.5);
            assert!((high(|p| p.1) - y2).abs() < 1.5);
        }
    }

    #[test]
    fn a_box_outside_is_dropped() {
        let view = View::new([0.5, 0.5, 1.0, 1.0], 0.0, 0.0, 1.0);
        assert!(view.bbox([0.1, 0.1, 0.2, 0.2], 0.9).is_none());
        assert!(view.bbox([0.4, 0.6, 0.6, 0.7], 0.9).is_none());
        assert!(view.bbox([0.6, 0.6, 0.7, 0.7], 0.9).is_some());
    }
}
