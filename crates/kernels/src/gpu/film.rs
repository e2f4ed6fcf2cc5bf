//! `x * scale + shift`, channel by channel: how a question steers maps, and the last step of a group norm.

use wgpu::Buffer;

use super::maps::GpuMaps;
use super::run::Run;

/// Scales and shifts maps in place; `affine` is `[2, lanes]`.
pub(super) fn film(run: &mut Run, x: &GpuMaps, affine: &Buffer) {
    let count = x.len() / 4;
    run.kernel(
        &run.gpu.kernels().film,
        &[count, x.fours()],
        &[affine, &x.buffer],
        [count.div_ceil(256), 1, 1],
    );
}
