//! The convolution of a grey picture, and the positive part of what comes out: one channel in is too few for [`super::conv`].

use wgpu::Buffer;

use super::device::Gpu;
use super::maps::{DEPTH, GpuMaps};
use super::run::Run;
use crate::tensors::Convolution;

/// A convolution of one channel, its weights on the card.
#[derive(Debug)]
pub(super) struct Stem {
    to: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    /// `[kh, kw, lanes]`
    weights: Buffer,
    bias: Buffer,
}

impl Stem {
    /// From weights `[to, 1, kh, kw]`; the padding is `(kh - 1) / 2`, as in the network's definition.
    pub(super) fn new(gpu: &Gpu, (shape, weights, bias): Convolution, stride: [usize; 2]) -> Self {
        let [to, _, kh, kw] = shape;
        let lanes = to.next_multiple_of(DEPTH);
        let mut sorted = vec![0f32; kh * kw * lanes];
        for (o, kernel) in weights.chunks_exact(kh * kw).enumerate() {
            for (at, weight) in kernel.iter().enumerate() {
                sorted[at * lanes + o] = *weight;
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(lanes, 0.0);
        Self {
            to,
            kernel: [kh, kw],
            stride,
            weights: gpu.upload(&sorted),
            bias: gpu.upload(&padded),
        }
    }

    /// The positive part of the convolution of a picture, `height * width` values.
    pub(super) fn apply_relu(
        &self,
        run: &mut Run,
        picture: &Buffer,
        [height, width]: [usize; 2],
    ) -> GpuMaps {
        let ([kh, kw], [sy, sx]) = (self.kernel, self.stride);
        let padding = (kh - 1) / 2;
        let side = |n: usize, k: usize, s: usize| (n + 2 * padding - k) / s + 1;
        let out = GpuMaps::new(run, side(height, kh, sy), side(width, kw, sx), self.to);
        let numbers = [
            height,
            width,
            out.height,
            out.width,
            kh,
            kw,
            sy,
            sx,
            padding,
            out.fours(),
        ];
        run.kernel(
            &run.gpu.kernels().stem,
            &numbers,
            &[picture, &self.weights, &self.bias, &out.buffer],
            [(out.len() / 4).div_ceil(256), 1, 1],
        );
        out
    }
}
