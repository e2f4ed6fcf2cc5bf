//! Convolutions and their gradients for a whole batch, on a CPU: what training needs of these kernels.
//!
//! burn's convolution on a CPU lays windows out as columns, and computes a weight's gradient as a convolution whose
//! kernel is as large as the map. Here a convolution goes one of three ways, each with its three passes: as products of planes where
//! its kernel has one tap ([`pointwise`]), by tiles where it is 3 x 3 and there are many ([`winograd`]), else by windows
//! ([`windows`]). All are sums of [`product`]s, in an order that does not depend on the number of threads.

mod layout;
mod pointwise;
pub(crate) mod product;
#[cfg(test)]
mod tests;
mod windows;
mod winograd;

use product::COLUMNS;
use rayon::prelude::*;

/// Parts in which a weight's gradient is summed: as many threads can share it.
const PARTS: usize = 16;

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

/// How a convolution is computed.
enum Way {
    Planes,
    Tiles,
    Windows,
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

    fn way(&self) -> Way {
        if pointwise::serves(self) {
            Way::Planes
        } else if winograd::serves(self) {
            Way::Tiles
        } else {
            Way::Windows
        }
    }

    /// The convolution, `[B, O, H', W']`.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        match self.way() {
            Way::Planes => pointwise::forward(self, x, weight, bias),
            Way::Tiles => winograd::forward(self, x, weight, bias),
            Way::Windows => windows::forward(self, x, weight, bias),
        }
    }

    /// The gradient of the input from that of the result.
    pub fn of_input(&self, weight: &[f32], of_result: &[f32]) -> Vec<f32> {
        match self.way() {
            Way::Planes => pointwise::of_input(self, weight, of_result),
            Way::Tiles => winograd::of_input(self, weight, of_result),
            Way::Windows => windows::of_input(self, weight, of_result),
        }
    }

    /// The gradient of the weights, `[O, C, KH, KW]`, from that of the result.
    pub fn of_weight(&self, x: &[f32], of_result: &[f32]) -> Vec<f32> {
        match self.way() {
            Way::Planes => pointwise::of_weight(self, x, of_result),
            Way::Tiles => winograd::of_weight(self, x, of_result),
            Way::Windows => windows::of_weight(self, x, of_result),
        }
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
fn added_up(parts: impl IndexedParallelIterator<Item = Vec<f32>>) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = parts.collect();
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        for (total, value) in total.iter_mut().zip(part) {
            *total += value;
        }
    }
    total
}
