//! A picture on the canvas of the map policy.
//!
//! The network is convolutional, so the canvas may have any sides that are multiples of 32. It
//! keeps the picture's proportions and always has about the same number of pixels: no padding is
//! computed, and a narrow receipt gets as many pixels as a square photo. The picture is stretched
//! by at most half a step of 32 px to fill it, so percent of the canvas is percent of the picture.

use picture::{Filter, GrayImage, RgbImage};
use rayon::prelude::*;

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

/// Pixels of a turned picture's canvas: those of the configuration, which has more for large pictures, more by what its empty
/// corners take, so that print stays as large. `longest_edge` caps the picture's longest side.
pub fn pixels_of(config: &MapConfig, turn: &Turn, longest_edge: Option<u32>) -> usize {
    let [w, h] = turn.picture.map(f64::from);
    let least = config.canvas_pixels;
    let most = config.max_canvas_pixels.unwrap_or(least).max(least);
    let mut pixels = (SHARE * w * h).clamp(least as f64, most as f64);
    if let Some(edge) = longest_edge {
        let at_edge = f64::from(edge).powi(2) * w.min(h) / w.max(h);
        pixels = pixels.min(at_edge.max(1.0));
    }
    let [turned_w, turned_h] = turn.size();
    (pixels * turned_w * turned_h / (w * h)) as usize
}

/// Canvas of a picture as it lies, see [`pixels_of`].
pub fn canvas_of(config: &MapConfig, picture: &RgbImage, longest_edge: Option<u32>) -> [u32; 2] {
    let (width, height) = picture.dimensions();
    let turn = Turn::none(width, height);
    canvas_size(pixels_of(config, &turn, longest_edge), width, height)
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

/// Grey canvas of a picture, row by row.
pub fn canvas(picture: &RgbImage, width: u32, height: u32) -> Vec<u8> {
    picture::resize_gray(&grey(picture), width, height, Filter::Bilinear).into_raw()
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
        let pixels = |config: &MapConfig, w, h| pixels_of(config, &Turn::none(w, h), None);
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
}
