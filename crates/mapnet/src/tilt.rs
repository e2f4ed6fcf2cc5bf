//! The tilt of a picture's lines of print, from their profile.
//!
//! Ink is added up along parallel lines. Where those run along the lines of print, the sums jump between line and gap; the angle
//! with the largest squared jumps wins, if it clearly beats the level one. What is found is tried, not trusted: whether
//! the picture reads better is [`crate::upright`]'s to say.

use picture::{Filter, GrayImage};
use rayon::prelude::*;

/// Longest edge of the picture whose tilt is measured, pixels.
const EDGE: u32 = 640;

/// Largest tilt that is looked for, degrees; what is further is a quarter turn and a tilt back.
const LARGEST: f64 = 40.0;

/// Smaller tilts are left alone: the network was taught pages that lean by up to two degrees.
const SMALLEST: f64 = 2.5;

/// How much sharper a tilt's profile has to be than the level one's.
const SHARPER: f64 = 1.5;

/// Points that the first, coarse pass over all angles looks at, about.
const FEW_POINTS: usize = 24_000;

/// Angles of that pass that all points are asked about.
const CANDIDATES: usize = 6;

/// A point about the centre, and how far it stands out of its surroundings.
type Point = (f32, f32, f32);

/// Where something is drawn: points about the centre and how far they stand out of their surroundings.
#[derive(Debug)]
pub struct Ink {
    points: Vec<Point>,
    /// Width and height of the small picture.
    size: [usize; 2],
    /// Half the diagonal, whole pixels.
    reach: usize,
}

/// A point stands out from here on, and at most by this, grey levels.
const STANDS_OUT: (f32, f32) = (6.0, 40.0);

impl Ink {
    /// Finds it in a grey picture, made smaller for that.
    pub fn of(grey: &GrayImage) -> Self {
        let (w, h) = grey.dimensions();
        let scale = (f64::from(EDGE) / f64::from(w.max(h).max(1))).min(1.0);
        let side = |s: u32| ((f64::from(s) * scale) as u32).max(1);
        let small = picture::resize_gray(grey, side(w), side(h), Filter::Box);
        let (w, h) = (small.width() as usize, small.height() as usize);
        let raw = small.as_raw();
        // Sums over rectangles from the corner, to know the mean of every 9 x 9 neighbourhood.
        let mut sums = vec![0u32; (w + 1) * (h + 1)];
        for y in 0..h {
            let mut row = 0;
            for x in 0..w {
                row += u32::from(raw[y * w + x]);
                sums[(y + 1) * (w + 1) + x + 1] = sums[y * (w + 1) + x + 1] + row;
            }
        }
        let mut points = Vec::new();
        for y in 0..h {
            for x in 0..w {
                let (x1, x2) = (x.saturating_sub(4), (x + 5).min(w));
                let (y1, y2) = (y.saturating_sub(4), (y + 5).min(h));
                let at = |x: usize, y: usize| sums[y * (w + 1) + x];
                let sum = at(x2, y2) + at(x1, y1) - at(x1, y2) - at(x2, y1);
                let mean = sum as f32 / ((x2 - x1) * (y2 - y1)) as f32;
                let out = (f32::from(raw[y * w + x]) - mean).abs();
                if out >= STANDS_OUT.0 {
                    let out = out.min(STANDS_OUT.1);
                    points.push((x as f32 - w as f32 / 2.0, y as f32 - h as f32 / 2.0, out));
                }
            }
        }
        let reach = ((w * w + h * h) as f64).sqrt() as usize / 2 + 2;
        Self {
            points: spread(&points),
            size: [w, h],
            reach,
        }
    }

    /// Degrees clockwise by which level lines of print are wanted, where they clearly are not level: the tilt to undo. `None`
    /// for level print, and for pictures without a clear profile.
    pub fn tilt(&self) -> Option<f64> {
        let measured = |angles: Vec<f64>, points: &[Point]| -> Vec<(f64, f64)> {
            let sharpness = |angle| (angle, self.sharpness(angle, points));
            angles.into_par_iter().map(sharpness).collect()
        };
        // The first of equals, as one after the other would find it.
        let best = |angles: Vec<f64>| {
            let larger =
                |best: (f64, f64), next: (f64, f64)| if next.1 > best.1 { next } else { best };
            let all = measured(angles, &self.points);
            all.into_iter().fold((0.0, 0.0), larger)
        };
        let angles = |from: f64, to: f64, step: f64| -> Vec<f64> {
            let n = ((to - from) / step).round() as usize;
            (0..=n).map(|i| from + i as f64 * step).collect()
        };
        // Some points, scattered without any order, which could keep step with the print.
        let share = (FEW_POINTS << 16) / self.points.len().max(1);
        let scattered = |i: &usize| usize::from(scatter(*i)) <= share;
        let few = (0..self.points.len()).filter(scattered);
        let few: Vec<Point> = few.map(|i| self.points[i]).collect();
        let mut coarse = measured(angles(-LARGEST - 5.0, LARGEST + 5.0, 1.0), &few);
        coarse.sort_by(|a, b| b.1.total_cmp(&a.1));
        coarse.truncate(CANDIDATES);
        let (coarse, _) = best(coarse.into_iter().map(|(angle, _)| angle).collect());
        if coarse.abs() < SMALLEST - 1.0 || coarse.abs() > LARGEST {
            return None;
        }
        let (angle, peak) = best(angles(coarse - 1.0, coarse + 1.0, 0.25));
        let (_, level) = best(angles(-1.0, 1.0, 0.5));
        // Lines that fall to the right by `angle` are turned back, counter-clockwise.
        (angle.abs() >= SMALLEST && peak >= SHARPER * level).then_some(-angle)
    }

    /// Where most is drawn: the centre of the window with most ink, shares of the picture's sides as its own are.
    pub fn densest(&self, window: [f64; 2]) -> [f64; 2] {
        let [w, h] = self.size.map(|side| side as f32);
        let points = self.points.iter();
        densest(
            points.map(|(x, y, out)| ([x / w + 0.5, y / h + 0.5], *out)),
            window,
        )
    }

    /// Squared jumps of the profile along lines that fall to the right by so many degrees.
    fn sharpness(&self, degrees: f64, points: &[Point]) -> f64 {
        let (sin, cos) = (degrees.to_radians() as f32).sin_cos();
        let mut profile = vec![0f32; 2 * self.reach + 2];
        let centre = self.reach as f32;
        let mut total = 0f64;
        for (x, y, out) in points {
            total += f64::from(*out);
            let at = y * cos - x * sin + centre;
            let bin = at as usize;
            let part = at - bin as f32;
            profile[bin] += out * (1.0 - part);
            profile[bin + 1] += out * part;
        }
        let jumps = profile
            .windows(2)
            .map(|pair| f64::from(pair[1] - pair[0]).powi(2));
        jumps.sum::<f64>() / (total * total).max(1.0)
    }
}

/// Parts whose points are taken in turn.
const PARTS: usize = 8;

/// Points in an order in which neighbours lie far apart: along a line of print they would all be added to one sum, each waiting
/// for the one before.
fn spread(points: &[Point]) -> Vec<Point> {
    let part = points.len().div_ceil(PARTS).max(1);
    let places = (0..part).flat_map(|i| (0..PARTS).map(move |of| of * part + i));
    places.filter_map(|i| points.get(i).copied()).collect()
}

/// A number that looks like chance (the finishing steps of MurmurHash3).
fn scatter(i: usize) -> u16 {
    let h = (i as u32).wrapping_mul(0x9e37_79b1);
    let h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    let h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    (h >> 16) as u16
}

/// Cells of the grid on which the densest window is looked for, along each side.
const GRID: usize = 32;

/// The centre of the window with the greatest sum of weights. Places, window and centre are shares of a picture's sides.
pub fn densest(
    weights: impl Iterator<Item = ([f32; 2], f32)>,
    [width, height]: [f64; 2],
) -> [f64; 2] {
    let mut sums = [[0f32; GRID + 1]; GRID + 1];
    for ([x, y], weight) in weights {
        let cell = |share: f32| ((share * GRID as f32) as usize).min(GRID - 1) + 1;
        sums[cell(y)][cell(x)] += weight;
    }
    for y in 1..=GRID {
        for x in 1..=GRID {
            sums[y][x] += sums[y - 1][x] + sums[y][x - 1] - sums[y - 1][x - 1];
        }
    }
    let cells = |share: f64| ((share * GRID as f64).round() as usize).clamp(1, GRID);
    let (w, h) = (cells(width), cells(height));
    let mut most = (f32::NEG_INFINITY, [0, 0]);
    for y in 0..=GRID - h {
        for x in 0..=GRID - w {
            let sum = sums[y + h][x + w] - sums[y][x + w] - sums[y + h][x] + sums[y][x];
            if sum > most.0 {
                most = (sum, [x, y]);
            }
        }
    }
    let centre = |from: usize, n: usize| (from as f64 + n as f64 / 2.0) / GRID as f64;
    [centre(most.1[0], w), centre(most.1[1], h)]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rows of dark dashes on a light page, turned clockwise by `degrees`.
    pub(crate) fn lines(degrees: f64) -> GrayImage {
        let (sin, cos) = degrees.to_radians().sin_cos();
        GrayImage::from_fn(400, 500, |x, y| {
            let (dx, dy) = (f64::from(x) - 200.0, f64::from(y) - 250.0);
            let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
            let on = (-150.0..150.0).contains(&u)
                && (-180.0..180.0).contains(&v)
                && v.rem_euclid(16.0) < 7.0
                && (u * 0.37 + (v / 16.0).floor() * 2.3).sin() > -0.2;
            image::Luma([if on { 30 } else { 235 }])
        })
    }

    #[test]
    fn the_tilt_of_lines_is_undone() {
        for degrees in [-31.0, -20.0, -10.0, 4.0, 10.0, 25.0] {
            let found = Ink::of(&lines(degrees))
                .tilt()
                .unwrap_or_else(|| panic!("{degrees}"));
            assert!((found + degrees).abs() <= 0.5, "{degrees}: {found}");
        }
    }

    #[test]
    fn level_lines_and_empty_pages_are_left_alone() {
        assert_eq!(Ink::of(&lines(0.0)).tilt(), None);
        assert_eq!(Ink::of(&lines(1.0)).tilt(), None);
        assert_eq!(
            Ink::of(&GrayImage::from_pixel(90, 70, image::Luma([200]))).tilt(),
            None
        );
        assert_eq!(
            Ink::of(&GrayImage::from_pixel(1, 1, image::Luma([0]))).tilt(),
            None
        );
    }

    #[test]
    fn the_densest_window_lies_where_most_is_drawn() {
        let place = |x: f32, y: f32| ([x, y], 1.0);
        let points = [place(0.1, 0.9), place(0.71, 0.33), place(0.74, 0.36)];
        let [x, y] = densest(points.into_iter(), [0.25, 0.25]);
        assert!(
            (x - 0.72).abs() < 0.15 && (y - 0.35).abs() < 0.15,
            "{x} {y}"
        );
        let whole = densest(points.into_iter(), [1.0, 2.0]);
        assert_eq!(whole, [0.5, 0.5]);
    }
}
