//! Activations beside packed weights: 16-bit integers with a scale for each block of 32.
//!
//! Why not int8, as others do: the instruction that multiplies pairs of 16-bit numbers is the one that AVX2, plain AVX-512
//! and wasm have for sums of 32 bits. With 8-bit numbers they need as many instructions (bytes times bytes lose their sign
//! or saturate), so the eight bits more cost nothing, and what is computed stays within 1e-4 of the weights' own
//! numbers in f32. A sum over a block is at most 32 * 127 * 32767, far inside 32 bits.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::lanes::{Instructions, Lanes, Work};
use super::{BLOCK, PAIRS};
use crate::larger;

/// The largest magnitude of a quantized activation.
const MOST: f32 = 32767.0;
/// Blocks whose largest magnitude is below this are zero: its reciprocal would be no number.
const LEAST: f32 = 1e-30;
/// Adding this rounds a number of up to 22 bits to a whole one, half to even, and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;
/// Rows that one thread quantizes at once.
const ROWS: usize = 16;

/// Rows of activations `[rows, depth]`. Quantized when the first packed weights want them.
pub struct Activations<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) depth: usize,
    quantized: OnceLock<Quantized>,
}

/// Quantized rows.
pub(super) struct Quantized {
    blocks: usize,
    /// `[rows, blocks]` of 16 pairs.
    pairs: Vec<[i32; PAIRS]>,
    /// `[rows, blocks]`.
    scales: Vec<f32>,
    /// `[rows, blocks]`: -8 times the sum of a block, what products with q4's halves (0 to 15) begin with.
    starts: Vec<i32>,
}

/// One quantized row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) pairs: &'a [[i32; PAIRS]],
    pub(super) scales: &'a [f32],
    pub(super) starts: &'a [i32],
}

impl<'a> Activations<'a> {
    /// Rows of `depth` values.
    ///
    /// # Panics
    /// If the values are no whole rows.
    pub fn new(values: &'a [f32], depth: usize) -> Self {
        assert!(
            depth > 0 && values.len().is_multiple_of(depth),
            "whole rows"
        );
        Self {
            values,
            rows: values.len() / depth,
            depth,
            quantized: OnceLock::new(),
        }
    }

    pub(super) fn quantized(&self, instructions: Instructions) -> &Quantized {
        self.quantized
            .get_or_init(|| quantize(self.values, self.rows, self.depth, instructions))
    }
}

impl Quantized {
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let at = row * self.blocks..(row + 1) * self.blocks;
        Row {
            pairs: &self.pairs[at.clone()],
            scales: &self.scales[at.clone()],
            starts: &self.starts[at],
        }
    }
}

fn quantize(values: &[f32], rows: usize, depth: usize, instructions: Instructions) -> Quantized {
    let blocks = depth.div_ceil(BLOCK);
    let mut pairs = vec![[0; PAIRS]; rows * blocks];
    let mut scales = vec![0.0; rows * blocks];
    let mut starts = vec![0; rows * blocks];
    // A few rows are one part, which rayon does where it stands.
    values
        .par_chunks(ROWS * depth)
        .zip(pairs.par_chunks_mut(ROWS * blocks))
        .zip(scales.par_chunks_mut(ROWS * blocks))
        .zip(starts.par_chunks_mut(ROWS * blocks))
        .for_each(|(((values, pairs), scales), starts)| {
            instructions.run(Blocks {
                values,
                depth,
                pairs,
                scales,
                starts,
            });
        });
    Quantized {
        blocks,
        pairs,
        scales,
        starts,
    }
}

/// A few rows to be quantized.
struct Blocks<'a> {
    values: &'a [f32],
    depth: usize,
    pairs: &'a mut [[i32; PAIRS]],
    scales: &'a mut [f32],
    starts: &'a mut [i32],
}

impl Work for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let rows = self.values.chunks_exact(self.depth);
        let blocks = rows.flat_map(|row| row.chunks(BLOCK));
        let to = self.pairs.iter_mut().zip(self.scales).zip(self.starts);
        for (block, ((pairs, scale), start)) in blocks.zip(to) {
            let mut whole = [0.0; BLOCK];
            match block.first_chunk() {
                Some(block) => whole = *block,
                None => whole[..block.len()].copy_from_slice(block),
            }
            (*scale, *start) = quantize_block(&whole, pairs);
        }
    }
}

/// A block's pairs; its scale, and -8 times its sum. A value that is no number makes the scale none.
#[inline(always)]
fn quantize_block(block: &[f32; BLOCK], pairs: &mut [i32; PAIRS]) -> (f32, i32) {
    let (mut tops, mut probes) = ([0f32; 8], [0f32; 8]);
    for part in block.as_chunks::<8>().0 {
        for i in 0..8 {
            tops[i] = larger(part[i].abs(), tops[i]);
            probes[i] += part[i] * 0.0;
        }
    }
    let top = tops.into_iter().fold(0.0, larger);
    let probe: f32 = probes.iter().sum();
    let inverse = if top < LEAST { 0.0 } else { MOST / top };
    let scale = if top < LEAST { 0.0 } else { top / MOST };
    let mut whole = [0; BLOCK];
    let mut sum = 0;
    for i in 0..BLOCK {
        let bits = (block[i] * inverse + ROUND).to_bits();
        whole[i] = i32::from(bits as u16 as i16);
        sum += whole[i];
    }
    for (pair, values) in pairs.iter_mut().zip(whole.as_chunks::<2>().0) {
        *pair = (values[0] & 0xffff) | values[1] << 16;
    }
    (scale + probe, -8 * sum)
}
