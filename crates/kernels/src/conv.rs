//! Convolutions of any kernel and stride, directly.
//!
//! With channels last, what a kernel's row sees of a picture (`kw * from` values) lies in one piece, so a convolution
//! is a matrix product that reads the picture in place: nothing is copied into columns (im2col) first.

use crate::gemm::{LANES, Lane, ROWS, Work, add_products, vectorized};
use crate::maps::{Maps, Then};

/// Columns in a run: what they see of the picture stays in the first cache while panel after panel passes.
const RUN: usize = 16;

/// A convolution's weights, ordered as they are used.
#[derive(Clone, Debug)]
pub struct Conv {
    from: usize,
    to: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: usize,
    /// `[to / LANES, kh, kw * from]` lanes of output channels.
    panels: Vec<Lane>,
    bias: Vec<Lane>,
}

impl Conv {
    /// From weights `[to, from, kh, kw]` and a bias; the frame is `(kh - 1) / 2` wide, as in the network's definition.
    pub fn new(shape: [usize; 4], weights: &[f32], bias: &[f32], stride: [usize; 2]) -> Self {
        let [to, from, kh, kw] = shape;
        let count = to.div_ceil(LANES);
        let length = kh * kw * from;
        let mut panels = vec![[0f32; LANES]; count * length];
        let mut lanes = vec![[0f32; LANES]; count];
        for o in 0..to {
            let (panel, lane) = (o / LANES, o % LANES);
            lanes[panel][lane] = bias[o];
            for c in 0..from {
                for at in 0..kh * kw {
                    panels[panel * length + at * from + c][lane] =
                        weights[(o * from + c) * kh * kw + at];
                }
            }
        }
        Self {
            from,
            to,
            kernel: [kh, kw],
            stride,
            pad: (kh - 1) / 2,
            panels,
            bias: lanes,
        }
    }

    /// Channels that go in and that come out.
    pub fn channels(&self) -> [usize; 2] {
        [self.from, self.to]
    }

    /// Height and width of what comes out.
    fn size(&self, input: &Maps) -> [usize; 2] {
        let side =
            |n: usize, axis: usize| (n + 2 * self.pad - self.kernel[axis]) / self.stride[axis] + 1;
        [side(input.height, 0), side(input.width, 1)]
    }

    /// The convolution as new maps without a frame.
    pub fn apply(&self, input: &Maps) -> Maps {
        let [height, width] = self.size(input);
        let mut out = Maps::new(height, width, self.to);
        self.run(input, &mut out, Then::Set);
        out
    }

    /// The positive part of the convolution, with a frame.
    pub fn apply_relu(&self, input: &Maps) -> Maps {
        let [height, width] = self.size(input);
        let mut out = Maps::framed(height, width, self.to);
        self.run(input, &mut out, Then::Relu);
        out
    }

    /// The convolution into maps that are there. The input's frame is at least the padding.
    pub fn run(&self, input: &Maps, out: &mut Maps, then: Then) {
        debug_assert_eq!([out.height, out.width, out.channels], {
            let [height, width] = self.size(input);
            [height, width, self.to]
        });
        debug_assert!(input.margin >= self.pad && input.channels == self.from);
        let (margin, width) = (out.margin, out.width);
        let row = out.stride * self.to;
        // About as many multiplications a run as it takes to be worth handing over.
        let cost = width * self.to * self.kernel[0] * self.kernel[1] * self.from;
        let rows = (1_000_000 / cost.max(1)).clamp(1, 16);
        out.by_rows(rows, |first, values| {
            for (i, values) in values.chunks_exact_mut(row).enumerate() {
                let out = &mut values[margin * self.to..(margin + width) * self.to];
                vectorized(Row {
                    conv: self,
                    input,
                    y: first + i,
                    out,
                    then,
                });
            }
        });
    }

    /// One row of results.
    #[inline(always)]
    fn row(&self, input: &Maps, y: usize, out: &mut [f32], then: Then) {
        let width = out.len() / self.to;
        for first in (0..width).step_by(RUN) {
            let last = width.min(first + RUN);
            for panel in 0..self.bias.len() {
                let mut x = first;
                while x + ROWS <= last {
                    self.block::<ROWS>(input, [y, x], panel, out, then);
                    x += ROWS;
                }
                while x + 2 <= last {
                    self.block::<2>(input, [y, x], panel, out, then);
                    x += 2;
                }
                if x < last {
                    self.block::<1>(input, [y, x], panel, out, then);
                }
            }
        }
    }

    /// `R` neighbouring results of [`LANES`] channels.
    #[inline(always)]
    fn block<const R: usize>(
        &self,
        input: &Maps,
        [y, x]: [usize; 2],
        panel: usize,
        out: &mut [f32],
        then: Then,
    ) {
        let [kh, kw] = self.kernel;
        let length = kw * self.from;
        let skip = input.margin - self.pad;
        let step = self.stride[1] * self.from;
        let mut sums = [self.bias[panel]; R];
        for ky in 0..kh {
            let start = (y * self.stride[0] + ky + skip) * input.stride + x * self.stride[1] + skip;
            let from = &input.values[start * self.from..];
            let weights = &self.panels[(panel * kh + ky) * length..][..length];
            sums = add_products(sums, from, step, weights);
        }
        let first = panel * LANES;
        let count = LANES.min(self.to - first);
        for (i, sums) in sums.iter().enumerate() {
            let out = &mut out[(x + i) * self.to + first..][..count];
            // Whole lanes are vectors, the rest of 126 characters is not.
            if let Some(out) = out.first_chunk_mut::<LANES>() {
                then.put_all(out, sums);
            } else {
                let rest = out.iter_mut().zip(sums);
                rest.for_each(|(to, sum)| then.put(to, *sum));
            }
        }
    }
}

/// One row of results.
struct Row<'a> {
    conv: &'a Conv,
    input: &'a Maps,
    y: usize,
    out: &'a mut [f32],
    then: Then,
}

impl Work for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.conv.row(self.input, self.y, self.out, self.then);
    }
}
