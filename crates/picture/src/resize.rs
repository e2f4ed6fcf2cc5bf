//! Resizing equal to Pillow's `Image.resize` bit for bit, written from the description of its algorithm.
//!
//! Each output pixel is a weighted mean of a window of input pixels. Weights are computed in f64, normalised to
//! sum 1, then rounded to 22-bit fixed point; a pass along the rows and one along the columns follow each other, with
//! u8 pixels between. Every rounding, and the order of the passes, matters for equality: the models' image
//! processors are written with Pillow, and a different resize shifts their input.
//!
//! Departure: none in the result. The horizontal pass works with halves of the weights (see `Halves`), so that the
//! compiler vectorises it without intrinsics, natively and in wasm. Rows are shared among threads where there are some.
//!
//! Source: Pillow 13, `Image.resize` and its C kernel "Resample" (filters, windows, fixed point), read as a
//! specification.

use crate::{GrayImage, RgbImage};
use image::{ImageBuffer, Pixel};
use rayon::prelude::*;

/// Which neighbours count how much. Names and shapes are Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Mean of the covered pixels; reaches 0.5 pixels (times the reduction) to each side.
    Box,
    /// Triangle; reaches 1.
    Bilinear,
    /// Hamming-windowed sinc; reaches 1.
    Hamming,
    /// Cubic with a = -0.5; reaches 2.
    Bicubic,
    /// Sinc windowed by its main lobe stretched by 3; reaches 3.
    Lanczos,
}

/// Fraction bits of the weights: 32 less 8 for the pixel and 2 for overshoot.
const PRECISION: u32 = 32 - 8 - 2;

/// Half a unit of the last place, so that shifting rounds to the nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// Bits of the lower half of a weight in the horizontal pass.
const LOW_BITS: u32 = 11;

/// Windows of the horizontal pass are padded to a multiple of this, so that vectors need no remainder.
const STEP: usize = 8;

/// Rows that one thread gets at once, at least.
const ROWS: usize = 32;

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

impl Filter {
    /// How far the filter reaches to each side, in input pixels of a picture that is not made smaller.
    fn support(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// The weight at distance `x` from the centre, not normalised.
    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Filter::Bilinear => (1.0 - x.abs()).max(0.0),
            Filter::Hamming => {
                let x = x.abs();
                if x == 0.0 {
                    1.0
                } else if x >= 1.0 {
                    0.0
                } else {
                    let x = x * std::f64::consts::PI;
                    // Pillow's two constants are single precision.
                    x.sin() / x * (f64::from(0.54f32) + f64::from(0.46f32) * x.cos())
                }
            }
            Filter::Bicubic => {
                const A: f64 = -0.5;
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Filter::Lanczos => 0.0,
        }
    }
}

/// For every output pixel of one axis: where its window begins and the fixed-point weights of the window.
struct Windows {
    /// First input pixel of each window.
    first: Vec<usize>,
    /// End of each window's weights in `weights`; it begins where the one before ends.
    end: Vec<usize>,
    weights: Vec<i32>,
}

impl Windows {
    fn new(from: u32, to: u32, filter: Filter) -> Windows {
        let scale = f64::from(from) / f64::from(to);
        // Making larger, the filter keeps its size; making smaller, it grows with the reduction.
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let inverse = 1.0 / stretch;
        let mut windows = Windows {
            first: Vec::with_capacity(to as usize),
            end: Vec::with_capacity(to as usize),
            weights: Vec::new(),
        };
        let mut exact = Vec::new();
        for i in 0..to {
            let center = (f64::from(i) + 0.5) * scale;
            // `as` truncates towards zero like C's cast; negative ones become 0, as the clamp there does.
            let first = (center - support + 0.5) as u32;
            let last = ((center + support + 0.5) as u32).min(from);
            exact.clear();
            exact.extend(
                (first..last).map(|x| filter.weight((f64::from(x) - center + 0.5) * inverse)),
            );
            let mut sum = 0.0;
            for weight in &exact {
                sum += weight;
            }
            windows.weights.extend(exact.iter().map(|&weight| {
                let weight = if sum == 0.0 { weight } else { weight / sum };
                let weight = weight * f64::from(1 << PRECISION);
                // Half away from zero, by truncation.
                (weight + if weight < 0.0 { -0.5 } else { 0.5 }) as i32
            }));
            windows.first.push(first as usize);
            windows.end.push(windows.weights.len());
        }
        windows
    }

    /// First input pixel and weights of every output pixel.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let begin = std::iter::once(&0).chain(&self.end);
        self.first
            .iter()
            .zip(begin.zip(&self.end))
            .map(|(&first, (&begin, &end))| (first, &self.weights[begin..end]))
    }

    /// The input pixels that any window touches.
    fn range(&self) -> std::ops::Range<usize> {
        let last = self.iter().last().map_or(0, |(first, w)| first + w.len());
        self.first.first().copied().unwrap_or(0)..last
    }
}

/// Fixed point to a pixel, cut off at black and white.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The weights of one axis in two halves of 16 bits, `weight = high * 2^11 + low`, each window padded with zeros.
///
/// Sums of products of 16-bit numbers are vectorised everywhere (`pmaddwd`, wasm's dot product). Products with the
/// whole 24-bit weight need 32-bit multiplication, which x86-64 without extensions lacks for vectors: in wasm the
/// halves are faster by a third and more, natively by a little.
struct Halves {
    high: Vec<i16>,
    low: Vec<i16>,
    /// Weights of each window, a multiple of `STEP`.
    lengths: Vec<usize>,
}

impl Halves {
    fn new(windows: &Windows) -> Halves {
        let (mut high, mut low, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (_, weights) in windows.iter() {
            let begin = high.len();
            high.extend(weights.iter().map(|&w| (w >> LOW_BITS) as i16));
            low.extend(weights.iter().map(|&w| (w & ((1 << LOW_BITS) - 1)) as i16));
            let length = weights.len().next_multiple_of(STEP);
            high.resize(begin + length, 0);
            low.resize(begin + length, 0);
            lengths.push(length);
        }
        Halves { high, low, lengths }
    }
}

/// The weighted sum of a window, rounded to a pixel. All of one length, a multiple of `STEP`.
///
/// Sums wrap around: the halves of a long window may leave 32 bits, their sum does not.
#[inline(always)]
fn weighted(pixels: &[i16], high: &[i16], low: &[i16]) -> u8 {
    let (mut highs, mut lows) = (0i32, HALF);
    for ((&pixel, &high), &low) in pixels.iter().zip(high).zip(low) {
        highs = highs.wrapping_add(i32::from(pixel) * i32::from(high));
        lows = lows.wrapping_add(i32::from(pixel) * i32::from(low));
    }
    clip(highs.wrapping_shl(LOW_BITS).wrapping_add(lows))
}

/// Makes rows of `stride` bytes, pixels of `C` channels, into rows of as many pixels as there are windows.
fn horizontal<const C: usize>(from: &[u8], stride: usize, windows: &Windows) -> Vec<u8> {
    let width = stride / C;
    let out_stride = windows.first.len() * C;
    let mut to = vec![0; from.len() / stride * out_stride];
    let halves = Halves::new(windows);
    // One row, channel by channel, with room behind it for the padding of the last windows.
    let planes = || -> [Vec<i16>; C] { std::array::from_fn(|_| vec![0; width + STEP]) };
    let rows = from
        .par_chunks_exact(stride)
        .zip(to.par_chunks_exact_mut(out_stride));
    rows.with_min_len(ROWS)
        .for_each_init(planes, |planes, (from, to)| {
            for (channel, plane) in planes.iter_mut().enumerate() {
                for (value, pixel) in plane.iter_mut().zip(from.as_chunks::<C>().0) {
                    *value = i16::from(pixel[channel]);
                }
            }
            let mut begin = 0;
            let places = windows.first.iter().zip(&halves.lengths);
            for (out, (&first, &length)) in to.chunks_exact_mut(C).zip(places) {
                let high = &halves.high[begin..begin + length];
                let low = &halves.low[begin..begin + length];
                for (out, plane) in out.iter_mut().zip(&*planes) {
                    *out = weighted(&plane[first..first + length], high, low);
                }
                begin += length;
            }
        });
    to
}

/// Makes as many rows of `stride` bytes as there are windows. `skipped` rows are missing above `from`.
fn vertical(from: &[u8], stride: usize, windows: &Windows, skipped: usize) -> Vec<u8> {
    let mut to = vec![0; windows.first.len() * stride];
    let windows: Vec<(usize, &[i32])> = windows.iter().collect();
    let rows = to.par_chunks_exact_mut(stride).zip(&windows);
    let sums = || vec![0i32; stride];
    rows.with_min_len(ROWS)
        .for_each_init(sums, |sums, (to, (first, weights))| {
            sums.fill(HALF);
            let rows = &from[(first - skipped) * stride..];
            for (row, &weight) in rows.chunks_exact(stride).zip(*weights) {
                for (sum, &byte) in sums.iter_mut().zip(row) {
                    *sum += i32::from(byte) * weight;
                }
            }
            for (byte, &sum) in to.iter_mut().zip(&*sums) {
                *byte = clip(sum);
            }
        });
    to
}

/// Both passes, for interleaved pixels of `C` channels.
fn resize_bytes<const C: usize>(
    pixels: &[u8],
    (width, height): (u32, u32),
    (to_width, to_height): (u32, u32),
    filter: Filter,
) -> Vec<u8> {
    let columns = (width != to_width).then(|| Windows::new(width, to_width, filter));
    let rows = (height != to_height).then(|| Windows::new(height, to_height, filter));
    let (stride, to_stride) = (width as usize * C, to_width as usize * C);
    match (columns, rows) {
        (None, None) => pixels.to_vec(),
        (Some(columns), None) => horizontal::<C>(pixels, stride, &columns),
        (None, Some(rows)) => vertical(pixels, stride, &rows, 0),
        (Some(columns), Some(rows)) if vertical_first(width, height, to_width, to_height) => {
            let low = vertical(pixels, stride, &rows, 0);
            horizontal::<C>(&low, stride, &columns)
        }
        (Some(columns), Some(rows)) => {
            // Making smaller with a filter that reaches less than a pixel may leave rows out at the edges.
            let needed = rows.range();
            let part = &pixels[needed.start * stride..needed.end * stride];
            let narrow = horizontal::<C>(part, stride, &columns);
            vertical(&narrow, to_stride, &rows, needed.start)
        }
    }
}

/// Whether Pillow begins with the vertical pass: since version 13, where the picture loses more than twice as many
/// rows as columns (python-pillow pull request 9549; the rule is found by experiment). Earlier versions always
/// begin with the horizontal one, and differ for such pictures by their rounding between the passes.
fn vertical_first(width: u32, height: u32, to_width: u32, to_height: u32) -> bool {
    let lost_columns = u64::from(width.saturating_sub(to_width));
    let lost_rows = u64::from(height.saturating_sub(to_height));
    lost_rows > 2 * lost_columns
}

/// `picture` made `width` x `height` pixels, as Pillow's `Image.resize((width, height), filter)` makes it.
///
/// A side of 0 pixels, which Pillow refuses, gives an empty picture here, and an empty picture becomes black.
pub fn resize(picture: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    resize_buffer::<_, 3>(picture, width, height, filter)
}

/// As [`resize`], for one channel (Pillow's mode `L`).
pub fn resize_gray(picture: &GrayImage, width: u32, height: u32, filter: Filter) -> GrayImage {
    resize_buffer::<_, 1>(picture, width, height, filter)
}

fn resize_buffer<P: Pixel<Subpixel = u8>, const C: usize>(
    picture: &ImageBuffer<P, Vec<u8>>,
    width: u32,
    height: u32,
    filter: Filter,
) -> ImageBuffer<P, Vec<u8>> {
    let size = picture.dimensions();
    let empty = size.0 == 0 || size.1 == 0 || width == 0 || height == 0;
    let made = if empty {
        None
    } else {
        // In one go: a thread outside of the pool would wait for it between the passes.
        let (from, to) = (picture.as_raw(), (width, height));
        let pixels = rayon::scope(|_| resize_bytes::<C>(from, size, to, filter));
        ImageBuffer::from_raw(width, height, pixels)
    };
    made.unwrap_or_else(|| ImageBuffer::new(width, height))
}
