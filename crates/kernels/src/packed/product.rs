//! Products of quantized activations with a panel of packed weights: 16 outputs at a time.
//!
//! Weights lie as they are used: for every block of 32 inputs, 16 pairs of inputs, each for 16 outputs. A pair of a row of
//! activations is the same for all outputs, so it is spread over a vector and multiplied with the panel's, and a row's
//! sums stay in lanes; a block's sums become f32 and are multiplied by both scales. For few rows, which is decoding,
//! weights are widened to 16 bits as they come from memory; for many, which is the vision tower and a prompt, a panel is widened
//! once and all rows pass over it. Both compute the same bits.

use super::activations::{Quantized, Row};
use super::lanes::Lanes;
use super::{PAIRS, WIDTH};

/// Where a panel's weights come from.
pub(super) trait Source: Copy {
    /// Whether they are 0 to 15 for -8 to 7, so that sums begin with -8 times the activations' sum.
    const FROM_ZERO: bool;
    /// One vector of a pair of inputs of a block.
    fn vector<L: Lanes>(&self, lanes: L, block: usize, pair: usize, vector: usize) -> L::Ints;
}

/// q8: a byte a weight.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [[i8; 2 * PAIRS * WIDTH]]);

impl Source for Bytes<'_> {
    const FROM_ZERO: bool = false;

    #[inline(always)]
    fn vector<L: Lanes>(&self, lanes: L, block: usize, pair: usize, vector: usize) -> L::Ints {
        lanes.bytes(&self.0[block][2 * (pair * WIDTH + vector * L::LANES)..])
    }
}

/// q4: half a byte a weight.
#[derive(Clone, Copy)]
pub(super) struct Halves<'a>(pub(super) &'a [[u8; PAIRS * WIDTH]]);

impl Source for Halves<'_> {
    const FROM_ZERO: bool = true;

    #[inline(always)]
    fn vector<L: Lanes>(&self, lanes: L, block: usize, pair: usize, vector: usize) -> L::Ints {
        lanes.halves(&self.0[block][pair * WIDTH + vector * L::LANES..])
    }
}

/// A panel that was widened.
#[derive(Clone, Copy)]
pub(super) struct Wide<'a>(pub(super) &'a [[i16; 2 * PAIRS * WIDTH]]);

impl Source for Wide<'_> {
    const FROM_ZERO: bool = false;

    #[inline(always)]
    fn vector<L: Lanes>(&self, lanes: L, block: usize, pair: usize, vector: usize) -> L::Ints {
        lanes.pairs(&self.0[block][2 * (pair * WIDTH + vector * L::LANES)..])
    }
}

/// Widens q8.
#[inline(always)]
pub(super) fn widen_bytes(
    from: &[[i8; 2 * PAIRS * WIDTH]],
    to: &mut Vec<[i16; 2 * PAIRS * WIDTH]>,
) {
    to.clear();
    for block in from {
        let mut wide = [0; 2 * PAIRS * WIDTH];
        for (to, byte) in wide.iter_mut().zip(block) {
            *to = i16::from(*byte);
        }
        to.push(wide);
    }
}

/// Widens q4.
#[inline(always)]
pub(super) fn widen_halves(from: &[[u8; PAIRS * WIDTH]], to: &mut Vec<[i16; 2 * PAIRS * WIDTH]>) {
    to.clear();
    for block in from {
        let mut wide = [0; 2 * PAIRS * WIDTH];
        for (pair, byte) in wide.as_chunks_mut::<2>().0.iter_mut().zip(block) {
            *pair = [i16::from(byte & 15) - 8, i16::from(byte >> 4) - 8];
        }
        to.push(wide);
    }
}

/// Products of `R` rows with a panel; `scales` are the panel's, a block after the other.
#[inline(always)]
pub(super) fn products<L: Lanes, S: Source, const R: usize>(
    lanes: L,
    weights: S,
    scales: &[[f32; WIDTH]],
    rows: [Row<'_>; R],
) -> [[f32; WIDTH]; R] {
    let mut out = [[0.0; WIDTH]; R];
    if L::LANES == WIDTH {
        let sums = sums::<L, S, R, 1>(lanes, weights, scales, rows);
        for (out, [sums]) in out.iter_mut().zip(sums) {
            lanes.put(out, sums);
        }
    } else {
        let sums = sums::<L, S, R, 2>(lanes, weights, scales, rows);
        for (out, [first, second]) in out.iter_mut().zip(sums) {
            lanes.put(out, first);
            lanes.put(&mut out[L::LANES..], second);
        }
    }
    out
}

/// Products of as many rows as there are sums, from a first row on, with a widened panel.
#[inline(always)]
pub(super) fn many<L: Lanes>(
    lanes: L,
    weights: Wide<'_>,
    scales: &[[f32; WIDTH]],
    rows: &Quantized,
    first: usize,
    sums: &mut [[f32; WIDTH]],
) {
    let mut rest = sums;
    let mut row = first;
    if L::ROWS >= 12 {
        rest = many_at_once::<L, 12>(lanes, weights, scales, rows, &mut row, rest);
    }
    if L::ROWS >= 6 {
        rest = many_at_once::<L, 6>(lanes, weights, scales, rows, &mut row, rest);
    }
    rest = many_at_once::<L, 2>(lanes, weights, scales, rows, &mut row, rest);
    many_at_once::<L, 1>(lanes, weights, scales, rows, &mut row, rest);
}

/// `R` rows after the other `R`; what is left.
#[inline(always)]
fn many_at_once<'a, L: Lanes, const R: usize>(
    lanes: L,
    weights: Wide<'_>,
    scales: &[[f32; WIDTH]],
    rows: &Quantized,
    row: &mut usize,
    sums: &'a mut [[f32; WIDTH]],
) -> &'a mut [[f32; WIDTH]] {
    let (whole, rest) = sums.as_chunks_mut::<R>();
    for sums in whole {
        let first = *row;
        let at_once = std::array::from_fn(|r| rows.row(first + r));
        *sums = products(lanes, weights, scales, at_once);
        *row += R;
    }
    rest
}

#[inline(always)]
#[allow(clippy::needless_range_loop)] // several arrays at one index, and no closures: see `lanes`
fn sums<L: Lanes, S: Source, const R: usize, const V: usize>(
    lanes: L,
    weights: S,
    scales: &[[f32; WIDTH]],
    rows: [Row<'_>; R],
) -> [[L::Floats; V]; R] {
    let mut totals = [[lanes.float(0.0); V]; R];
    for (block, scales) in scales.iter().enumerate() {
        let mut sums = [[lanes.ints(0); V]; R];
        let mut pairs = [&[0; PAIRS]; R];
        for r in 0..R {
            pairs[r] = &rows[r].pairs[block];
            if S::FROM_ZERO {
                sums[r] = [lanes.ints(rows[r].starts[block]); V];
            }
        }
        for pair in 0..PAIRS {
            let mut vectors = [lanes.ints(0); V];
            for v in 0..V {
                vectors[v] = weights.vector(lanes, block, pair, v);
            }
            for r in 0..R {
                let spread = lanes.ints(pairs[r][pair]);
                for v in 0..V {
                    sums[r][v] = lanes.add_products(sums[r][v], spread, vectors[v]);
                }
            }
        }
        let mut vectors = [lanes.float(0.0); V];
        for v in 0..V {
            vectors[v] = lanes.floats(&scales[v * L::LANES..]);
        }
        for r in 0..R {
            let scale = lanes.float(rows[r].scales[block]);
            for v in 0..V {
                let both = lanes.mul(vectors[v], scale);
                let sum = lanes.mul(lanes.to_floats(sums[r][v]), both);
                totals[r][v] = lanes.add(totals[r][v], sum);
            }
        }
    }
    totals
}
