//! What a transformer does element by element or row by row: norms, activations, rotary positions. In f32; written with
//! arrays of fixed size, so that the compiler makes vectors of them.

use rayon::prelude::*;

use super::lanes::{Instructions, Lanes, Work};
use crate::larger;

/// Values that are worth a thread of their own.
const SHARE: usize = 32 * 1024;
/// Sums that run side by side.
const SIDE: usize = 16;

/// `e^x`, to 2e-7 of its value; nothing below e^-87. What is no number stays none.
///
/// `x = n ln 2 + r`, a polynomial for `e^r`, and `n` into the exponent's bits.
#[inline(always)]
#[allow(clippy::excessive_precision)] // ln 2 in two parts
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2: [f32; 2] = [0.693_359_375, -2.121_944_4e-4];
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let whole = x * std::f32::consts::LOG2_E + ROUND;
    let n = whole - ROUND;
    let r = x - n * LN2[0] - n * LN2[1];
    let mut sum = 1.388_888_9e-3;
    for factor in [8.333_333_3e-3, 4.166_666_7e-2, 0.166_666_67, 0.5, 1.0, 1.0] {
        sum = sum * r + factor;
    }
    let power = f32::from_bits(whole.to_bits().wrapping_add(127) << 23);
    sum * power
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU by its tanh approximation, `x / 2 (1 + tanh u)` with `u = sqrt(2 / pi) (x + 0.044715 x³)`, as `x / (1 + e^-2u)`.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const TWICE: f32 = 1.595_769;
    let inner = x * (TWICE + TWICE * 0.044_715 * x * x);
    x / (1.0 + exp(-inner))
}

/// A sum by [`SIDE`] sums side by side.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (parts, rest) = values.as_chunks::<SIDE>();
    let mut sums = [0f32; SIDE];
    for part in parts {
        for i in 0..SIDE {
            sums[i] += of(part[i]);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

/// The largest value.
#[inline(always)]
pub(super) fn top(values: &[f32]) -> f32 {
    let (parts, rest) = values.as_chunks::<SIDE>();
    let mut tops = [f32::NEG_INFINITY; SIDE];
    for part in parts {
        for i in 0..SIDE {
            tops[i] = larger(part[i], tops[i]);
        }
    }
    tops.into_iter()
        .chain(rest.iter().copied())
        .fold(f32::NEG_INFINITY, larger)
}

/// Runs work over parts of two slices of rows, by threads where there is enough to do.
fn by_rows(
    from: &[f32],
    to: &mut [f32],
    width: usize,
    work: impl Fn(&[f32], &mut [f32]) + Send + Sync,
) {
    let part = (SHARE / width.max(1)).max(1) * width;
    if from.len() <= part {
        return work(from, to);
    }
    let parts = from.par_chunks(part).zip(to.par_chunks_mut(part));
    parts.for_each(|(from, to)| work(from, to));
}

/// Rows of `scale.len()` values over their standard deviation about the mean, scaled and shifted.
pub fn layer_norm(x: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, out: &mut [f32]) {
    by_rows(x, out, scale.len(), |x, out| {
        Instructions::best().run(LayerNorm {
            x,
            scale,
            shift,
            epsilon,
            out,
        });
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Work for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let width = self.scale.len();
        let rows = self.x.chunks_exact(width);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let mean = sum(row, |value| value) / width as f32;
            let variance = sum(row, |value| (value - mean) * (value - mean)) / width as f32;
            let inverse = 1.0 / (variance + self.epsilon).sqrt();
            let learned = self.scale.iter().zip(self.shift);
            for ((out, value), (scale, shift)) in out.iter_mut().zip(row).zip(learned) {
                *out = (value - mean) * inverse * scale + shift;
            }
        }
    }
}

/// Rows of `scale.len()` values over their root mean square, scaled.
pub fn rms_norm(x: &[f32], scale: &[f32], epsilon: f32, out: &mut [f32]) {
    by_rows(x, out, scale.len(), |x, out| {
        Instructions::best().run(RmsNorm {
            x,
            scale,
            epsilon,
            out,
        });
    });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Work for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let width = self.scale.len();
        let rows = self.x.chunks_exact(width);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let square = sum(row, |value| value * value) / width as f32;
            let inverse = 1.0 / (square + self.epsilon).sqrt();
            for ((out, value), scale) in out.iter_mut().zip(row).zip(self.scale) {
                *out = value * inverse * scale;
            }
        }
    }
}

/// SwiGLU: `gate` becomes `silu(gate) * up`.
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    by_rows(up, gate, 1, |up, gate| {
        Instructions::best().run(SwiGlu { gate, up });
    });
}

struct SwiGlu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Work for SwiGlu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = silu(*gate) * up;
        }
    }
}

/// Cosines and sines of rotary positions `first..first + count`, a row of `dim / 2` pairs for each.
pub fn rotations(dim: usize, theta: f32, first: usize, count: usize) -> Vec<[f32; 2]> {
    let half = dim / 2;
    let inverse: Vec<f32> = (0..half)
        // In f32, as transformers computes it.
        .map(|i| 1.0 / theta.powf((2 * i) as f32 / dim as f32))
        .collect();
    let positions = first..first + count;
    positions
        .flat_map(|position| {
            let angle = move |inverse: &f32| position as f32 * inverse;
            inverse.iter().map(move |inverse| {
                let angle = angle(inverse);
                [angle.cos(), angle.sin()]
            })
        })
        .collect()
}

/// Rotates rows of heads of `dim` values by their positions: the halves of a head with one another ("rotate_half"), not
/// neighbours.
pub fn rotate(x: &mut [f32], row: usize, dim: usize, rotations: &[[f32; 2]]) {
    let half = dim / 2;
    let rows = x.chunks_exact_mut(row);
    for (row, turns) in rows.zip(rotations.chunks_exact(half)) {
        for head in row.chunks_exact_mut(dim) {
            let (first, second) = head.split_at_mut(half);
            for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(turns) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
