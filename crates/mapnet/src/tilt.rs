//! The tilt of a picture's lines of print, from their profile.
//!
//! Ink is added up along parallel lines. Where those run along the lines of print, the sums jump between line and gap; the angle
//! with the largest squared jumps wins, if it clearly beats the level one. What is found is tried, not trusted: whether
//! the picture reads better is [`crate::upright`]'s to say.

use picture::{Filter, GrayImage};

/// Longest edge of the picture whose tilt is measured, pixels.
const EDGE: u32 = 640;

/// Largest tilt that is looked for, degrees; what is further is a quarter turn and a tilt back.
const LARGEST: f64 = 40.0;

/// Smaller tilts are left alone: the network was taught pages that lean by up to two degrees.
const SMALLEST: f64 = 2.5;

/// How much sharper a tilt's profile has to be than the level one's.
const SHARPER: f64 = 1.5;

/// Degrees clockwise by which level lines of print are wanted, where they clearly are not level: the tilt to undo. `None`
/// for level print, and for pictures without a clear profile.
pub fn tilt(grey: &GrayImage) -> Option<f64> {
    let ink = Ink::of(grey);
    let best = |from: f64, to: f64, step: f64| {
        let n = ((to - from) / step).round() as i32;
        (0..=n)
            .map(|i| from + f64::from(i) * step)
            .map(|angle| (angle, ink.sharpness(angle)))
            .fold(
                (0.0, 0.0),
                |best, next| if next.1 > best.1 { next } else { best },
            )
    };
    let (coarse, _) = best(-LARGEST - 5.0, LARGEST + 5.0, 1.0);
    if coarse.abs() < SMALLEST - 1.0 || coarse.abs() > LARGEST {
        return None;
    }
    let (angle, peak) = best(coarse - 1.0, coarse + 1.0, 0.25);
    let (_, level) = best(-1.0, 1.0, 0.5);
    // Lines that fall to the right by `angle` are turned back, counter-clockwise.
    (angle.abs() >= SMALLEST && peak >= SHARPER * level).then_some(-angle)
}

/// Where something is drawn: points about the centre and how far they stand out of their surroundings.
struct Ink {
    points: Vec<(f32, f32, f32)>,
    /// Half the diagonal, whole pixels.
    reach: usize,
    total: f64,
}

/// A point stands out from here on, and at most by this, grey levels.
const STANDS_OUT: (f32, f32) = (6.0, 40.0);

impl Ink {
    fn of(grey: &GrayImage) -> Self {
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
        let mut total = 0f64;
        for y in 0..h {
            for x in 0..w {
                let (x1, x2) = (x.saturating_sub(4), (x + 5).min(w));
                let (y1, y2) = (y.saturating_sub(4), (y + 5).min(h));
                let at = |x: usize, y: usize| f64::from(sums[y * (w + 1) + x]);
                let sum = at(x2, y2) - at(x1, y2) - at(x2, y1) + at(x1, y1);
                let mean = (sum / ((x2 - x1) * (y2 - y1)) as f64) as f32;
                let out = (f32::from(raw[y * w + x]) - mean).abs();
                if out >= STANDS_OUT.0 {
                    let out = out.min(STANDS_OUT.1);
                    total += f64::from(out);
                    points.push((x as f32 - w as f32 / 2.0, y as f32 - h as f32 / 2.0, out));
                }
            }
        }
        let reach = ((w * w + h * h) as f64).sqrt() as usize / 2 + 2;
        Self {
            points,
            reach,
            total,
        }
    }

    /// Squared jumps of the profile along lines that fall to the right by so many degrees.
    fn sharpness(&self, degrees: f64) -> f64 {
        let (sin, cos) = (degrees.to_radians() as f32).sin_cos();
        let mut profile = vec![0f32; 2 * self.reach + 2];
        let centre = self.reach as f32;
        for (x, y, out) in &self.points {
            let at = y * cos - x * sin + centre;
            let bin = at as usize;
            let part = at - bin as f32;
            profile[bin] += out * (1.0 - part);
            profile[bin + 1] += out * part;
        }
        let jumps = profile
            .windows(2)
            .map(|pair| f64::from(pair[1] - pair[0]).powi(2));
        jumps.sum::<f64>() / (self.total * self.total).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of dark dashes on a light page, turned clockwise by `degrees`.
    fn lines(degrees: f64) -> GrayImage {
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
            let found = tilt(&lines(degrees)).expect("tilted lines");
            assert!((found + degrees).abs() <= 0.5, "{degrees}: {found}");
        }
    }

    #[test]
    fn level_lines_and_empty_pages_are_left_alone() {
        assert_eq!(tilt(&lines(0.0)), None);
        assert_eq!(tilt(&lines(1.0)), None);
        assert_eq!(
            tilt(&GrayImage::from_pixel(90, 70, image::Luma([200]))),
            None
        );
        assert_eq!(tilt(&GrayImage::from_pixel(1, 1, image::Luma([0]))), None);
    }
}
