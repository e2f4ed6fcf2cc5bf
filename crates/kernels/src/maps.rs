//! Feature maps of one picture with channels last, and what is done to them element by element.
//!
//! Channels last (`[H, W, C]`), because the kernels work on several channels at a time and on
//! any number of columns. A map may have a *frame*: a row and a column of zeros on each side, which is the padding
//! of a 3 x 3 convolution, and more zeros below and right, so that tiles of 4 x 4 need no special case.

use rayon::prelude::*;

use crate::gemm::{LANES, Lane};
use crate::larger;

/// Side of what a Winograd tile computes, places: a frame makes room for whole tiles.
pub const TILE: usize = 4;

/// Values that one thread gets at once, at least: below this, handing over costs more than it brings.
const SHARE: usize = 32 * 1024;

/// Feature maps of one picture.
#[derive(Clone, Debug)]
pub struct Maps {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Zeros above and left of the maps.
    pub margin: usize,
    /// Columns of a row as it is stored.
    pub stride: usize,
    /// `[rows, stride, channels]`.
    pub values: Vec<f32>,
}

/// What a convolution does with its results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// Stores them.
    Set,
    /// Stores the positive part.
    Relu,
    /// Adds them to what is there.
    Add,
}

impl Then {
    /// Hands values over.
    #[inline(always)]
    pub fn put_all(self, to: &mut Lane, values: &Lane) {
        let pairs = to.iter_mut().zip(values);
        match self {
            Self::Set => *to = *values,
            Self::Relu => pairs.for_each(|(to, value)| *to = larger(*value, 0.0)),
            Self::Add => pairs.for_each(|(to, value)| *to += value),
        }
    }

    /// Hands one value over.
    #[inline(always)]
    pub fn put(self, to: &mut f32, value: f32) {
        match self {
            Self::Set => *to = value,
            Self::Relu => *to = larger(value, 0.0),
            Self::Add => *to += value,
        }
    }
}

impl Maps {
    /// Zeros without a frame.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        let zeros = vec![0.0; height * width * channels];
        Self::from_values(height, width, channels, zeros)
    }

    /// Zeros with a frame.
    pub fn framed(height: usize, width: usize, channels: usize) -> Self {
        let stride = width.next_multiple_of(TILE) + 2;
        let rows = height.next_multiple_of(TILE) + 2;
        Self {
            height,
            width,
            channels,
            margin: 1,
            stride,
            values: vec![0.0; rows * stride * channels],
        }
    }

    /// Maps without a frame from their values, `[H, W, C]`.
    pub fn from_values(height: usize, width: usize, channels: usize, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), height * width * channels);
        Self {
            height,
            width,
            channels,
            margin: 0,
            stride: width,
            values,
        }
    }

    /// Values of a row, without its frame.
    pub fn row(&self, y: usize) -> &[f32] {
        let start = ((y + self.margin) * self.stride + self.margin) * self.channels;
        &self.values[start..start + self.width * self.channels]
    }

    /// Calls `work` with runs of `rows` rows, by several threads where there are some: number of the first row, and
    /// the rows as they are stored.
    pub fn by_rows(&mut self, rows: usize, work: impl Fn(usize, &mut [f32]) + Send + Sync) {
        self.by_rows_with(rows, || (), |(), first, values| work(first, values));
    }

    /// As [`Maps::by_rows`], with room for intermediate results that one run after the other may use.
    pub fn by_rows_with<R>(
        &mut self,
        rows: usize,
        room: impl Fn() -> R + Send + Sync,
        work: impl Fn(&mut R, usize, &mut [f32]) + Send + Sync,
    ) {
        let row = self.stride * self.channels;
        let first = self.margin * row;
        let values = &mut self.values[first..first + self.height * row];
        if values.len() <= rows * row {
            work(&mut room(), 0, values);
        } else {
            let runs = values.par_chunks_mut(rows * row).enumerate();
            runs.for_each_init(room, |room, (run, values)| work(room, run * rows, values));
        }
    }

    /// Calls `work` with every row, without its frame.
    fn each_row(&mut self, work: impl Fn(usize, &mut [f32]) + Send + Sync) {
        let (row, skip) = (self.stride * self.channels, self.margin * self.channels);
        let length = self.width * self.channels;
        self.by_rows((SHARE / row).max(1), |first, rows| {
            for (i, values) in rows.chunks_exact_mut(row).enumerate() {
                work(first + i, &mut values[skip..skip + length]);
            }
        });
    }

    /// The positive part, with a frame.
    pub fn relu(&self) -> Self {
        self.framed_by(|value| larger(value, 0.0))
    }

    /// The same with a frame.
    pub fn with_frame(&self) -> Self {
        self.framed_by(|value| value)
    }

    fn framed_by(&self, of: impl Fn(f32) -> f32 + Send + Sync) -> Self {
        let mut out = Self::framed(self.height, self.width, self.channels);
        out.each_row(|y, to| {
            for (to, value) in to.iter_mut().zip(self.row(y)) {
                *to = of(*value);
            }
        });
        out
    }

    /// Adds maps of half the height (`down` = 2) and half the width (`right` = 2), each value to all that it covers.
    pub fn add_grown(&mut self, small: &Self, [down, right]: [usize; 2]) {
        debug_assert_eq!(
            [small.height * down, small.width * right],
            [self.height, self.width]
        );
        let channels = self.channels;
        self.each_row(|y, to| {
            let from = small.row(y / down).chunks_exact(channels);
            for (cells, from) in to.chunks_exact_mut(right * channels).zip(from) {
                for cell in cells.chunks_exact_mut(channels) {
                    for (to, value) in cell.iter_mut().zip(from) {
                        *to += value;
                    }
                }
            }
        });
    }

    /// `x * scale + shift`, channel by channel.
    pub fn scale(&mut self, scale: &[f32], shift: &[f32]) {
        let channels = self.channels;
        self.each_row(|_, to| {
            for cell in to.chunks_exact_mut(channels) {
                for ((value, scale), shift) in cell.iter_mut().zip(scale).zip(shift) {
                    *value = *value * scale + shift;
                }
            }
        });
    }

    /// From logits to log-probabilities: every place holds `halves` distributions side by side.
    pub fn log_softmax(&mut self, halves: usize) {
        let classes = self.channels / halves;
        self.each_row(|_, row| {
            for frame in row.chunks_exact_mut(classes) {
                let top = frame.iter().copied().fold(f32::NEG_INFINITY, larger);
                let sum: f32 = frame.iter().map(|value| (value - top).exp()).sum();
                let all = top + sum.ln();
                frame.iter_mut().for_each(|value| *value -= all);
            }
        });
    }

    /// Sum and sum of squares of every channel.
    pub fn moments(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.channels;
        // Rows are summed in f32 and, in their order, in f64: the same whatever the number of threads.
        let of_row = |y: usize| {
            let mut sums = vec![0f32; 2 * n];
            let (sum, squares) = sums.split_at_mut(n);
            for cell in self.row(y).chunks_exact(n) {
                for ((sum, square), value) in sum.iter_mut().zip(&mut *squares).zip(cell) {
                    *sum += value;
                    *square += value * value;
                }
            }
            sums
        };
        let least = (SHARE / (self.stride * n)).max(1);
        let rows = (0..self.height).into_par_iter().with_min_len(least);
        let rows: Vec<Vec<f32>> = rows.map(of_row).collect();
        let mut total = vec![0f64; 2 * n];
        for row in &rows {
            for (total, value) in total.iter_mut().zip(row) {
                *total += f64::from(*value);
            }
        }
        let squares = total.split_off(n);
        (total, squares)
    }

    /// Group norm over the whole picture, `gamma` and `beta` a channel, with burn's epsilon of 1e-5.
    pub fn group_norm(&mut self, groups: usize, gamma: &[f32], beta: &[f32]) {
        let (sums, squares) = self.moments();
        let size = self.channels / groups;
        let count = (size * self.height * self.width) as f64;
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        for channel in 0..self.channels {
            let group = channel / size * size..channel / size * size + size;
            let mean = sums[group.clone()].iter().sum::<f64>() / count;
            let square = squares[group].iter().sum::<f64>() / count;
            let deviation = ((square - mean * mean).max(0.0) + 1e-5).sqrt();
            let by = f64::from(gamma[channel]) / deviation;
            scale.push(by as f32);
            shift.push((f64::from(beta[channel]) - mean * by) as f32);
        }
        self.scale(&scale, &shift);
    }
}

/// Values as lanes; `values` are a whole number of them.
#[inline(always)]
pub fn lanes(values: &[f32]) -> &[Lane] {
    values.as_chunks::<LANES>().0
}

/// The same to write to.
#[inline(always)]
pub fn lanes_mut(values: &mut [f32]) -> &mut [Lane] {
    values.as_chunks_mut::<LANES>().0
}
