//! Convolutions and their gradients for a whole batch, on a CPU: what training needs of these kernels.
//!
//! burn's convolution on a CPU lays windows out as columns, and computes a weight's gradient as a convolution whose
//! kernel is as large as the map. Here windows are read in place from maps with channels last, and every one of the three
//! passes is a [`Product`] of small matrices, a row of the picture at a time (convolutions of one tap need no
//! windows: [`pointwise`]; those of 3 x 3 and stride 1 need fewer products: [`winograd`]):
//!
//! | pass | sums | left | right |
//! |---|---|---|---|
//! | forward | a row of results | windows of the input | weights |
//! | gradient of the input | a row of it, column phase by column phase | windows of the results' gradient | weights, turned around |
//! | gradient of the weights | all weights of a kernel's row | windows of the input, turned over | a row of the results' gradient |
//!
//! All sums are in an order that does not depend on the number of threads.

mod layout;
mod pointwise;
mod product;
#[cfg(test)]
mod tests;
mod winograd;

use layout::{Last, pieces, write};
use product::{COLUMNS, Left, Product};
use rayon::prelude::*;
use std::ops::Range;

/// Parts in which a weight's gradient is summed: as many threads can share it.
const PARTS: usize = 16;

/// Values with channels last that a thread works on at a time, about: they stay in the second cache.
const WORK: usize = 128 * 1024;

/// A convolution of a batch `[B, C, H, W]` with weights `[O, C, KH, KW]`, without groups and dilation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// B, C, H, W.
    pub input: [usize; 4],
    /// O.
    pub to: usize,
    /// KH, KW.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Zeros above and below, and left and right.
    pub pad: [usize; 2],
}

/// A phase of one axis of an input's gradient: the inputs at `phase`, `phase + stride`, ... lie below the same taps of the kernel.
struct Phase {
    /// Taps in the order of the results that they belong to.
    taps: Vec<usize>,
    /// The result that the first tap of the first input belongs to; may lie outside.
    first: isize,
    /// Inputs of this phase.
    count: usize,
}

impl Shape {
    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.input[2 + i] + 2 * self.pad[i] - self.kernel[i]) / self.stride[i] + 1)
    }

    /// The shape of the result, `[B, O, H', W']`.
    pub fn result(&self) -> [usize; 4] {
        let [height, width] = self.output();
        [self.input[0], self.to, height, width]
    }

    /// The convolution, `[B, O, H', W']`.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let [_, from, _, _] = self.input;
        if let Some(plane) = pointwise::plane(self) {
            return pointwise::forward(weight, x, bias, [self.to, from, plane]);
        }
        if winograd::serves(self) {
            return winograd::run(self, x, weight, bias);
        }
        let ([kh, kw], [_, width]) = (self.kernel, self.output());
        let columns = self.to.next_multiple_of(COLUMNS);
        let depth = kw * from;
        let mut panels = vec![0.0; kh * depth * columns];
        for (o, weight) in weight.chunks_exact(from * kh * kw).enumerate() {
            for (at, value) in weight.iter().enumerate() {
                let (c, tap) = (at / (kh * kw), at % (kh * kw));
                panels[(tap * from + c) * columns + o] = *value;
            }
        }
        let order: Vec<usize> = (0..width).collect();
        let mut out = vec![0.0; self.result().iter().product()];
        self.by_rows(&mut out, self.result(), columns, |picture, rows, planes| {
            let mut seen = self.windows();
            self.read(&mut seen, x, picture, rows.clone());
            let mut sums = vec![0.0; width * columns];
            for y in 0..rows.len() {
                for sums in sums.chunks_exact_mut(columns) {
                    sums[..bias.len()].copy_from_slice(bias);
                }
                for (ky, right) in panels.chunks_exact(depth * columns).enumerate() {
                    let product = Product {
                        sums: &mut sums,
                        adds: true,
                        left: seen.from(y * self.stride[0] + ky, 0),
                        lies: Left::Rows(self.stride[1] * from),
                        right,
                        rows: width,
                        columns,
                        depth,
                    };
                    product.run();
                }
                write(planes, y, &sums, columns, &order);
            }
        });
        out
    }

    /// The gradient of the input from that of the result.
    pub fn of_input(&self, weight: &[f32], of_result: &[f32]) -> Vec<f32> {
        let [_, from, _, width] = self.input;
        let [kh, kw] = self.kernel;
        if let Some(plane) = pointwise::plane(self) {
            let of = |c: usize| weight.iter().skip(c).step_by(from);
            let turned: Vec<f32> = (0..from).flat_map(of).copied().collect();
            return pointwise::forward(&turned, of_result, &[], [from, self.to, plane]);
        }
        if winograd::serves(self) {
            return winograd::gradient_of_input(self, weight, of_result);
        }
        let columns = from.next_multiple_of(COLUMNS);
        let (down, right) = (self.phases(0), self.phases(1));
        // Weights of a pair of phases, `[taps down, taps right, O, C]`.
        let turned = |down: &Phase, right: &Phase| {
            let mut panels =
                Vec::with_capacity(down.taps.len() * right.taps.len() * self.to * columns);
            for ky in &down.taps {
                for kx in &right.taps {
                    for o in 0..self.to {
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
        let phases = (0..self.stride[1]).flat_map(|phase| (phase..width).step_by(self.stride[1]));
        phases.enumerate().for_each(|(cell, x)| order[x] = cell);
        let result = self.result();
        let [before, behind] = margins(&right, result[3]);
        let mut out = vec![0.0; self.input.iter().product()];
        self.by_rows(&mut out, self.input, columns, |picture, rows, planes| {
            // The results that a row of the input was part of.
            let results = |y: usize| {
                let phase = &down[y % self.stride[0]];
                let first = phase.first + (y / self.stride[0]) as isize;
                [first, first + phase.taps.len() as isize]
            };
            let first = rows.clone().map(|y| results(y)[0]).min().unwrap_or(0);
            let last = rows.clone().map(|y| results(y)[1]).max().unwrap_or(0);
            let mut seen = Last::new(before, before + result[3] + behind, self.to);
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
                for (phase, panels) in right.iter().zip(&panels[y % self.stride[0]]) {
                    let (sums, after) = rest.split_at_mut(phase.count * columns);
                    rest = after;
                    let depth = phase.taps.len() * self.to;
                    if depth == 0 || sums.is_empty() {
                        continue;
                    }
                    let column = (phase.first + before as isize) as usize;
                    for (tap, right) in panels.chunks_exact(depth * columns).enumerate() {
                        let product = Product {
                            sums,
                            adds: true,
                            left: seen.from((results(y)[0] - first) as usize + tap, column),
                            lies: Left::Rows(self.to),
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
    pub fn of_weight(&self, x: &[f32], of_result: &[f32]) -> Vec<f32> {
        let [batch, from, _, _] = self.input;
        if let Some(plane) = pointwise::plane(self) {
            let total = sum(&pointwise::of_weight(self, x, of_result, plane, PARTS));
            let rows = total.chunks_exact(from.next_multiple_of(COLUMNS));
            return rows.flat_map(|row| &row[..from]).copied().collect();
        }
        if winograd::serves(self) {
            let parts = winograd::gradient_of_kernels(self, x, of_result, PARTS);
            return winograd::gradient_of_weight(self, &sum(&parts));
        }
        let ([kh, kw], [height, width]) = (self.kernel, self.output());
        let columns = self.to.next_multiple_of(COLUMNS);
        let size = kw * from * columns;
        let (all, part) = (batch * height, (batch * height).div_ceil(PARTS).max(1));
        let parts = (0..all.div_ceil(part)).into_par_iter().map(|i| {
            let (mut seen, mut right) = (self.windows(), Last::new(0, width, columns));
            let mut sums = vec![0.0; kh * size];
            let (mut row, last) = (i * part, all.min((i + 1) * part));
            while row < last {
                let (picture, y) = (row / height, row % height);
                let rows = y..height
                    .min(y + last - row)
                    .min(y + self.rows(width * columns));
                self.read(&mut seen, x, picture, rows.clone());
                right.read(of_result, self.result(), picture, y as isize, rows.len());
                for y in 0..rows.len() {
                    for (ky, sums) in sums.chunks_exact_mut(size).enumerate() {
                        let product = Product {
                            sums,
                            adds: true,
                            left: seen.from(y * self.stride[0] + ky, 0),
                            lies: Left::Columns(self.stride[1] * from),
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
        let total = sum(&parts.collect::<Vec<_>>());
        let mut out = Vec::with_capacity(self.to * from * kh * kw);
        for o in 0..self.to {
            for c in 0..from {
                out.extend((0..kh * kw).map(|tap| total[(tap * from + c) * columns + o]));
            }
        }
        out
    }

    /// The gradient of the bias, `[O]`, from that of the result.
    pub fn of_bias(&self, of_result: &[f32]) -> Vec<f32> {
        let [height, width] = self.output();
        let planes = of_result.par_chunks_exact(height * width);
        let sums: Vec<f64> = planes.map(total).collect();
        (0..self.to)
            .map(|o| sums.iter().skip(o).step_by(self.to).sum::<f64>() as f32)
            .collect()
    }

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
                count: (size + stride - 1 - phase) / stride,
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

/// The sum of many numbers.
fn total(values: &[f32]) -> f64 {
    let (runs, rest) = values.as_chunks::<COLUMNS>();
    let mut sums = [0f64; COLUMNS];
    for run in runs {
        for (sum, value) in sums.iter_mut().zip(run) {
            *sum += f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().copied().map(f64::from).sum::<f64>()
}

/// The sum of equally long parts, one after the other.
fn sum(parts: &[Vec<f32>]) -> Vec<f32> {
    let Some((first, rest)) = parts.split_first() else {
        return Vec::new();
    };
    let mut total = first.clone();
    for part in rest {
        for (total, value) in total.iter_mut().zip(part) {
            *total += value;
        }
    }
    total
}
