//! Maps with a question's hints as further channels.

use super::maps::GpuMaps;
use super::run::Run;

/// Maps and hints `[hints, h, w]`, side by side in new maps.
pub(super) fn beside(run: &mut Run, maps: &GpuMaps, hints: &[f32]) -> GpuMaps {
    let more = hints.len() / maps.cells();
    let out = GpuMaps::new(run, maps.height, maps.width, maps.channels + more);
    let hints = run.gpu.upload(hints);
    let hints = run.own(hints);
    run.kernel(
        &run.gpu.kernels().beside,
        &[maps.cells(), maps.channels, maps.lanes(), more, out.lanes()],
        &[&maps.buffer, &hints, &out.buffer],
        [out.len().div_ceil(256), 1, 1],
    );
    out
}
