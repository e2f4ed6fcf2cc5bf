//! A picture on the canvas of the map policy.
//!
//! The network is convolutional, so the canvas may have any sides that are multiples of 32. It
//! keeps the picture's proportions and always has about the same number of pixels: no padding is
//! computed, and a narrow receipt gets as many pixels as a square photo. The picture is stretched
//! by at most half a step of 32 px to fill it, so percent of the canvas is percent of the picture.

use picture::{Filter, GrayImage, RgbImage};
use rayon::prelude::*;

use crate::print::LetterHeight;
use crate::{MapConfig, Turn};

/// The coarsest stride of the network: canvas sides are its multiples.
pub const STEP: u32 = 32;

/// Longest canvas side in pixels, for pictures with extreme proportions.
const LONGEST: f64 = 2048.0;

/// Pixels that a thread makes grey at a time.
const PIECE: usize = 1 << 15;

/// Canvas width and height for a picture of `width` x `height`, about `pixels` in all.
pub fn canvas_size(pixels: usize, width: u32, height: u32) -> [u32; 2] {
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let scale = (pixels as f64 / (w * h)).sqrt();
    let side = |s: f64| {
        ((s * scale).min(LONGEST) / f64::from(STEP))
            .round()
            .max(1.0) as u32
            * STEP
    };
    [side(w), side(h)]
}

/// Share of a large picture's own pixels that its canvas has, up to the configuration's most.
const SHARE: f64 = 0.8;

/// How many pixels a picture's canvas has.
#[derive(Debug, Clone, Copy)]
pub struct Pixels {
    /// Where it is read as it lies, or on its head.
    level: usize,
    /// Where it is read after a quarter turn.
    sideways: usize,
}

impl Pixels {
    /// Where the configuration wants it, they follow the picture's print; else they are those of the configuration, which has more for
    /// large pictures. `longest_edge` caps the picture's longest side.
    pub fn of(config: &MapConfig, grey: &GrayImage, longest_edge: Option<u32>) -> Self {
        let [w, h] = [grey.width(), grey.height()].map(|side| f64::from(side.max(1)));
        let print = config.print.map(|print| (print, LetterHeight::of(grey)));
        let pixels = |quarters| {
            let height = print.and_then(|(print, height)| Some((print, height.turned(quarters)?)));
            let mut pixels = match height {
                Some((print, height)) => print.pixels([w, h], height),
                None => {
                    let least = config.canvas_pixels;
                    let most = config.max_canvas_pixels.unwrap_or(least).max(least);
                    (SHARE * w * h).clamp(least as f64, most as f64)
                }
            };
            if let Some(edge) = longest_edge {
                let at_edge = f64::from(edge).powi(2) * w.min(h) / w.max(h);
                pixels = pixels.min(at_edge.max(1.0));
            }
            pixels as usize
        };
        Self {
            level: pixels(0),
            sideways: pixels(1),
        }
    }

    /// Under a number of quarter turns.
    pub fn turned(&self, quarters: u8) -> usize {
        if quarters % 2 == 1 {
            self.sideways
        } else {
            self.level
        }
    }

    /// Of a piece that has this share of the picture's area.
    pub fn share(&self, share: f64) -> Self {
        let of = |pixels: usize| (pixels as f64 * share) as usize;
        Self {
            level: of(self.level),
            sideways: of(self.sideways),
        }
    }
}

/// Canvas width and height of a turned picture that has so many pixels without its tilt: more by what its empty corners take, so that
/// print stays as large.
pub fn turned_size(pixels: usize, turn: &Turn) -> [u32; 2] {
    let [w, h] = turn.picture.map(f64::from);
    let [turned_w, turned_h] = turn.size();
    let pixels = pixels as f64 * turned_w * turned_h / (w * h);
    canvas_size(
        pixels as usize,
        turned_w.round() as u32,
        turned_h.round() as u32,
    )
}

/// Canvas of a picture as it lies, see [`Pixels::of`].
pub fn canvas_of(config: &MapConfig, grey: &GrayImage, longest_edge: Option<u32>) -> [u32; 2] {
    let pixels = Pixels::of(config, grey, longest_edge).level;
    canvas_size(pixels, grey.width(), grey.height())
}

/// A picture in grey: made before it is resized, as in training, so that one plane is resized in place of three.
pub fn grey(picture: &RgbImage) -> GrayImage {
    let mut grey = GrayImage::new(picture.width(), picture.height());
    let pixels = picture.as_raw().as_chunks::<3>().0;
    let pieces = grey.par_chunks_mut(PIECE).zip(pixels.par_chunks(PIECE));
    pieces.for_each(|(values, pixels)| {
        values
            .iter_mut()
            .zip(pixels)
            .for_each(|(value, pixel)| *value = luma(*pixel));
    });
    grey
}

/// Grey canvas of a grey picture, row by row.
pub fn canvas(grey: &GrayImage, width: u32, height: u32) -> Vec<u8> {
    picture::resize_gray(grey, width, height, Filter::Bilinear).into_raw()
}

/// ITU-R 601 luma, as Pillow's `convert("L")`.
pub fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

/// A canvas with mean 0 and about unit deviation, so that a dim photo looks like a bright scan.
pub fn normalised(canvas: &[u8]) -> impl Iterator<Item = f32> {
    let n = canvas.len().max(1) as f64;
    let mean = canvas.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let squares = canvas.iter().map(|v| (f64::from(*v) - mean).powi(2));
    let variance = squares.sum::<f64>() / n;
    // 10 grey levels keep the noise of an empty page from being blown up.
    let scale = 1.0 / (variance.sqrt() + 10.0);
    canvas
        .iter()
        .map(move |v| ((f64::from(*v) - mean) * scale) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_get_a_larger_canvas_and_small_ones_the_usual_one() {
        let usual = MapConfig {
            canvas_pixels: 600_000,
            ..MapConfig::default()
        };
        let config = MapConfig {
            max_canvas_pixels: Some(1_000_000),
            ..usual.clone()
        };
        let pixels =
            |config: &MapConfig, w, h| Pixels::of(config, &GrayImage::new(w, h), None).level;
        for (w, h) in [(400, 300), (800, 600), (3000, 4000)] {
            assert_eq!(pixels(&usual, w, h), 600_000);
        }
        let found = [(400, 300), (1000, 1000), (3000, 4000)].map(|(w, h)| pixels(&config, w, h));
        assert_eq!(found, [600_000, 800_000, 1_000_000]);
        let small = MapConfig {
            max_canvas_pixels: Some(500_000),
            ..usual
        };
        let refused = small.check().expect_err("refused").to_string();
        assert!(refused.contains("max_canvas_pixels"), "{refused}");
    }

    #[test]
    fn print_gets_the_height_at_which_it_is_read_best() {
        let config = MapConfig {
            print: Some(crate::config::PrintCanvas {
                letter_height: 18.0,
                min_pixels: 100_000,
                max_pixels: 2_000_000,
            }),
            ..MapConfig::default()
        };
        // Letters L of some heights, on a picture of 640 x 480.
        let printed = |height: u32| {
            GrayImage::from_fn(640, 480, |x, y| {
                let (x, y) = (x % height, y % (height * 2));
                let foot = y + 2 >= height && x < height * 2 / 3;
                let on = y < height && (x < height.div_ceil(4) || foot);
                image::Luma([if on { 20 } else { 230 }])
            })
        };
        let pixels = |height| Pixels::of(&config, &printed(height), None).level as f64;
        let of_18 = pixels(18);
        assert!((of_18 / 307_200.0 - 1.0).abs() < 0.2, "{of_18}");
        assert!((pixels(9) / of_18 - 4.0).abs() < 0.5);
        assert_eq!(pixels(6), 2_000_000.0);
        // What is no print has the canvas of its size.
        let empty = GrayImage::from_pixel(640, 480, image::Luma([90]));
        assert_eq!(
            Pixels::of(&config, &empty, None).level,
            config.canvas_pixels
        );
        // A tilted picture's canvas is larger by its corners.
        let tilted = Turn {
            tilt: 20.0,
            ..Turn::none(640, 480)
        };
        let [w, h] = turned_size(307_200, &tilted);
        assert!(f64::from(w * h) > 1.5 * 307_200.0, "{w} {h}");
    }
}
