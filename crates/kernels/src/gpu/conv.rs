//! Convolutions of any kernel and stride, and the blocks that are made of them.

use wgpu::Buffer;

use super::device::Gpu;
use super::maps::{DEPTH, GpuMaps};
use super::run::Run;
use crate::maps::Then;
use crate::tensors::{Convolution, KernelError, Tensors};

/// The kernel; `half`: multiplying in f16.
pub(super) fn wgsl(half: bool) -> String {
    let plain = include_str!("conv.wgsl");
    match half {
        false => plain.to_owned(),
        true => {
            let four = plain.replace("alias Four = vec4<f32>;", "alias Four = vec4<f16>;");
            format!("enable f16;\n{four}")
        }
    }
}

/// Places and channels that a workgroup computes; as in `conv.wgsl`.
const TILE: [usize; 2] = [128, 32];

/// A convolution, its weights on the card.
#[derive(Debug)]
pub(super) struct GpuConv {
    from: usize,
    to: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    /// `[kh, kw, input lanes, output lanes]`
    weights: Buffer,
    bias: Buffer,
}

/// What a convolution takes of its input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Of {
    /// All of it.
    All,
    /// The positive part.
    Positive,
}

impl GpuConv {
    /// From weights `[to, from, kh, kw]`; the padding is `(kh - 1) / 2`, as in the network's definition.
    pub(super) fn new(gpu: &Gpu, (shape, weights, bias): Convolution, stride: [usize; 2]) -> Self {
        let [to, from, kh, kw] = shape;
        let [to_lanes, from_lanes] = [to, from].map(|n| n.next_multiple_of(DEPTH));
        let mut sorted = vec![0f32; kh * kw * from_lanes * to_lanes];
        for (i, kernel) in weights.chunks_exact(kh * kw).enumerate() {
            let (o, c) = (i / from, i % from);
            for (at, weight) in kernel.iter().enumerate() {
                sorted[(at * from_lanes + c) * to_lanes + o] = *weight;
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(to_lanes, 0.0);
        Self {
            from,
            to,
            kernel: [kh, kw],
            stride,
            weights: gpu.upload_products(&sorted),
            bias: gpu.upload(&padded),
        }
    }

    /// A convolution of the network, by its name.
    pub(super) fn of(
        gpu: &Gpu,
        t: &Tensors,
        name: &str,
        stride: [usize; 2],
    ) -> Result<Self, KernelError> {
        Ok(Self::new(gpu, t.conv(name)?, stride))
    }

    /// One of stride 1.
    pub(super) fn plain(gpu: &Gpu, t: &Tensors, name: &str) -> Result<Self, KernelError> {
        Self::of(gpu, t, name, [1, 1])
    }

    fn padding(&self) -> usize {
        (self.kernel[0] - 1) / 2
    }

    /// The convolution as new maps.
    pub(super) fn apply(&self, run: &mut Run, input: &GpuMaps, of: Of, then: Then) -> GpuMaps {
        let side = |n: usize, axis: usize| {
            (n + 2 * self.padding() - self.kernel[axis]) / self.stride[axis] + 1
        };
        let (height, width) = (side(input.height, 0), side(input.width, 1));
        let out = GpuMaps::new(run, height, width, self.to);
        self.run(run, input, of, &out, then);
        out
    }

    /// The convolution into maps that are there.
    pub(super) fn run(&self, run: &mut Run, input: &GpuMaps, of: Of, out: &GpuMaps, then: Then) {
        debug_assert_eq!([input.channels, out.channels], [self.from, self.to]);
        let numbers = [
            input.height,
            input.width,
            out.height,
            out.width,
            self.kernel[0],
            self.kernel[1],
            self.stride[0],
            self.stride[1],
            self.padding(),
            input.fours(),
            out.fours(),
            usize::from(of == Of::Positive),
            match then {
                Then::Set => 0,
                Then::Relu => 1,
                Then::Add => 2,
            },
        ];
        let [places, channels] = TILE;
        run.kernel(
            &run.gpu.kernels().conv,
            &numbers,
            &[&input.buffer, &self.weights, &self.bias, &out.buffer],
            [
                out.cells().div_ceil(places),
                out.lanes().div_ceil(channels),
                1,
            ],
        );
    }
}

/// `x + conv(relu(conv(relu(x))))`.
#[derive(Debug)]
pub(super) struct GpuBlock {
    first: GpuConv,
    second: GpuConv,
}

impl GpuBlock {
    pub(super) fn of(gpu: &Gpu, t: &Tensors, name: &str) -> Result<Self, KernelError> {
        Ok(Self {
            first: GpuConv::plain(gpu, t, &format!("{name}.first"))?,
            second: GpuConv::plain(gpu, t, &format!("{name}.second"))?,
        })
    }

    pub(super) fn run(&self, run: &mut Run, x: &GpuMaps) {
        let y = self.first.apply(run, x, Of::Positive, Then::Relu);
        self.second.run(run, &y, Of::All, x, Then::Add);
    }
}
