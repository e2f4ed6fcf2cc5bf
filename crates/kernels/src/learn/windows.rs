//! Convolutions of any kernel and stride: windows are read in place from maps with channels last, and every one of the three
//! passes is a [`Product`] of small matrices, a row of the picture at a time.
//!
//! | pass | sums | left | right |
//! |---|---|---|---|
//! | forward | a row of results | windows of the input | weights |
//! | gradient of the input | a row of it, column phase by column phase | windows of the results' gradient | weights, turned around |
//! | gradient of the weights | all weights of a kernel's row | windows of the input, turned over | a row of the results' gradient |

use std::ops::Range;

use rayon::prelude::*;

use super::layout::{Last, pieces, write};
use super::product::{COLUMNS, Left, Product};
use super::{PARTS, Shape, added_up};

/// Values with channels last that a thread works on at a time, about: they stay in the second cache.
const WORK: usize = 128 * 1024;

/// A phase of one axis of an input's gradient: the inputs at `phase`, `phase + stride`, ... lie below the same taps of the kernel.
struct Phase {
    /// Taps in the order of the results that they belong to.
    taps: Vec<usize>,
    /// The result that the first tap of the first input belongs to; may lie outside.
    first: isize,
    /// Inputs of this phase.
    count: usize,
}

/// The convolution, `[B, O, H', W']`.
pub fn forward(shape: &Shape, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let [_, from, _, _] = shape.input;
    let ([kh, kw], [_, width]) = (shape.kernel, shape.output());
    let columns = shape.to.next_multiple_of(COLUMNS);
    let depth = kw * from;
    let mut panels = vec![0.0; kh * depth * columns];
    for (o, weight) in weight.chunks_exact(from * kh * kw).enumerate() {
        for (at, value) in weight.iter().enumerate() {
            let (c, tap) = (at / (kh * kw), at % (kh * kw));
            panels[(tap * from + c) * columns + o] = *value;
        }
    }
    let order: Vec<usize> = (0..width).collect();
    let mut out = vec![0.0; shape.result().iter().product()];
    shape.by_rows(
        &mut out,
        shape.result(),
        columns,
        |picture, rows, planes| {
            let mut seen = shape.windows();
            shape.read(&mut seen, x, picture, rows.clone());
            let mut sums = vec![0.0; width * columns];
            for y in 0..rows.len() {
                for sums in sums.chunks_exact_mut(columns) {
                    sums[..bias.len()].copy_from_slice(bias);
                }
                for (ky, right) in panels.chunks_exact(depth * columns).enumerate() {
                    let product = Product {
                        sums: &mut sums,
                        adds: true,
                        left: seen.from(y * shape.stride[0] + ky, 0),
                        lies: Left::Rows(shape.stride[1] * from),
                        right,
                        rows: width,
                        columns,
                        depth,
                    };
                    product.run();
                }
                write(planes, y, &sums, columns, &order);
            }
        },
    );
    out
}

/// The gradient of the input from that of the result.
pub fn of_input(shape: &Shape, weight: &[f32], of_result: &[f32]) -> Vec<f32> {
    let [_, from, _, width] = shape.input;
    let [kh, kw] = shape.kernel;
    let columns = from.next_multiple_of(COLUMNS);
    let (down, right) = (shape.phases(0), shape.phases(1));
    // Weights of a pair of phases, `[taps down, taps right, O, C]`.
    let turned = |down: &Phase, right: &Phase| {
        let mut panels =
            Vec::with_capacity(down.taps.len() * right.taps.len() * shape.to * columns);
        for ky in &down.taps {
            for kx in &right.taps {
                for o in 0..shape.to {
                    let of = |c: usize| weight[((o * from + c) * kh + ky) * kw + kx];
                    panels.extend((0..columns).map(|c| if c < from { of(c) } else { 0.0 }));
                }
            }
        }
        panels
    };
    let panels: Vec<Vec<Vec<f32>>> = down
        .iter()
        .map(|down| right.iter().map(|right| turned(down, right)).collect())
        .collect();
    // A row is computed phase after phase.
    let mut order = vec![0; width];
    let phases = (0..shape.stride[1]).flat_map(|phase| (phase..width).step_by(shape.stride[1]));
    phases.enumerate().for_each(|(cell, x)| order[x] = cell);
    let result = shape.result();
    let [before, behind] = margins(&right, result[3]);
    let mut out = vec![0.0; shape.input.iter().product()];
    shape.by_rows(&mut out, shape.input, columns, |picture, rows, planes| {
        // The results that a row of the input was part of.
        let results = |y: usize| {
            let phase = &down[y % shape.stride[0]];
            let first = phase.first + (y / shape.stride[0]) as isize;
            [first, first + phase.taps.len() as isize]
        };
        let first = rows.clone().map(|y| results(y)[0]).min().unwrap_or(0);
        let last = rows.clone().map(|y| results(y)[1]).max().unwrap_or(0);
        let mut seen = Last::new(before, before + result[3] + behind, shape.to);
        seen.read(
            of_result,
            result,
            picture,
            first,
            (last - first).max(0) as usize,
        );
        let mut row = vec![0.0; width * columns];
        for (i, y) in rows.enumerate() {
            row.fill(0.0);
            let mut rest = row.as_mut_slice();
            for (phase, panels) in right.iter().zip(&panels[y % shape.stride[0]]) {
                let (sums, after) = rest.split_at_mut(phase.count * columns);
                rest = after;
                let depth = phase.taps.len() * shape.to;
                if depth == 0 || sums.is_empty() {
                    continue;
                }
                let column = (phase.first + before as isize) as usize;
                for (tap, right) in panels.chunks_exact(depth * columns).enumerate() {
                    let product = Product {
                        sums,
                        adds: true,
                        left: seen.from((results(y)[0] - first) as usize + tap, column),
                        lies: Left::Rows(shape.to),
                        right,
                        rows: phase.count,
                        columns,
                        depth,
                    };
                    product.run();
                }
            }
            write(planes, i, &row, columns, &order);
        }
    });
    out
}

/// The gradient of the weights, `[O, C, KH, KW]`, from that of the result.
pub fn of_weight(shape: &Shape, x: &[f32], of_result: &[f32]) -> Vec<f32> {
    let [batch, from, _, _] = shape.input;
    let ([kh, kw], [height, width]) = (shape.kernel, shape.output());
    let columns = shape.to.next_multiple_of(COLUMNS);
    let size = kw * from * columns;
    let (all, part) = (batch * height, (batch * height).div_ceil(PARTS).max(1));
    let parts = (0..all.div_ceil(part)).into_par_iter().map(|i| {
        let (mut seen, mut right) = (shape.windows(), Last::new(0, width, columns));
        let mut sums = vec![0.0; kh * size];
        let (mut row, last) = (i * part, all.min((i + 1) * part));
        while row < last {
            let (picture, y) = (row / height, row % height);
            let rows = y..height
                .min(y + last - row)
                .min(y + shape.rows(width * columns));
            shape.read(&mut seen, x, picture, rows.clone());
            right.read(of_result, shape.result(), picture, y as isize, rows.len());
            for y in 0..rows.len() {
                for (ky, sums) in sums.chunks_exact_mut(size).enumerate() {
                    let product = Product {
                        sums,
                        adds: true,
                        left: seen.from(y * shape.stride[0] + ky, 0),
                        lies: Left::Columns(shape.stride[1] * from),
                        right: right.from(y, 0),
                        rows: kw * from,
                        columns,
                        depth: width,
                    };
                    product.run();
                }
            }
            row += rows.len();
        }
        sums
    });
    let total = added_up(parts);
    let mut out = Vec::with_capacity(shape.to * from * kh * kw);
    for o in 0..shape.to {
        for c in 0..from {
            out.extend((0..kh * kw).map(|tap| total[(tap * from + c) * columns + o]));
        }
    }
    out
}

impl Shape {
    /// Room for rows of the input as windows are read from them.
    fn windows(&self) -> Last {
        let [_, from, _, width] = self.input;
        Last::new(self.pad[1], width + 2 * self.pad[1], from)
    }

    /// Reads what some rows of results see of the input.
    fn read(&self, seen: &mut Last, x: &[f32], picture: usize, rows: Range<usize>) {
        let first = (rows.start * self.stride[0]) as isize - self.pad[0] as isize;
        let count = (rows.len() - 1) * self.stride[0] + self.kernel[0];
        seen.read(x, self.input, picture, first, count);
    }

    /// Rows to compute at a time, where one has so many values.
    fn rows(&self, values: usize) -> usize {
        (WORK / values.max(1)).clamp(1, 16)
    }

    /// Calls `work` with every picture and piece of its rows, and with these rows of every channel of `out`.
    fn by_rows(
        &self,
        out: &mut [f32],
        shape: [usize; 4],
        columns: usize,
        work: impl Fn(usize, Range<usize>, &mut [&mut [f32]]) + Sync,
    ) {
        let [_, _, height, width] = shape;
        let rows = self.rows(width * columns);
        let count = height.div_ceil(rows);
        let mut pieces = pieces(out, shape, rows);
        pieces.par_iter_mut().enumerate().for_each(|(i, planes)| {
            let first = i % count * rows;
            work(i / count, first..height.min(first + rows), planes);
        });
    }

    /// The phases of an axis (0 down, 1 right).
    fn phases(&self, axis: usize) -> Vec<Phase> {
        let (stride, pad, size) = (self.stride[axis], self.pad[axis], self.input[2 + axis]);
        let phase = |phase: usize| {
            let taps: Vec<usize> = (0..self.kernel[axis])
                .rev()
                .filter(|tap| {
                    (phase + pad + stride * self.kernel[axis] - tap).is_multiple_of(stride)
                })
                .collect();
            let first = taps.first().map_or(0, |tap| {
                ((phase + pad) as isize - *tap as isize).div_euclid(stride as isize)
            });
            Phase {
                taps,
                first,
                count: size.saturating_sub(phase).div_ceil(stride),
            }
        };
        (0..stride).map(phase).collect()
    }
}

/// Zeros before and behind `size` results, so that every tap of every phase finds one.
fn margins(phases: &[Phase], size: usize) -> [usize; 2] {
    let before = phases.iter().map(|phase| -phase.first);
    let behind = phases
        .iter()
        .map(|phase| phase.first + (phase.count + phase.taps.len()) as isize - 1 - size as isize);
    [before.max(), behind.max()].map(|margin| margin.unwrap_or(0).max(0) as usize)
}
