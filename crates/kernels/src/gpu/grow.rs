//! Upsampling: maps of a coarser stride, added to finer ones.

use super::maps::GpuMaps;
use super::run::Run;

/// Adds maps of half the height (`down` = 2) and half the width (`right` = 2), each value to all that it covers.
pub(super) fn add_grown(run: &mut Run, x: &GpuMaps, small: &GpuMaps, [down, right]: [usize; 2]) {
    debug_assert_eq!(
        [small.height * down, small.width * right, small.channels],
        [x.height, x.width, x.channels]
    );
    run.kernel(
        &run.gpu.kernels().grow,
        &[x.height, x.width, down, right, x.fours()],
        &[&small.buffer, &x.buffer],
        [(x.len() / 4).div_ceil(256), 1, 1],
    );
}
