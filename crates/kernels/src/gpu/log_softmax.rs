//! From logits to log-probabilities: what the network says of characters comes back normalised.

use super::maps::GpuMaps;
use super::run::Run;

/// Normalises, in place, `halves` distributions a place that lie side by side.
pub(super) fn log_softmax(run: &mut Run, x: &GpuMaps, halves: usize) {
    run.kernel(
        &run.gpu.kernels().log_softmax,
        &[x.width, x.lanes(), halves, x.channels / halves],
        &[&x.buffer],
        [x.width * halves, x.height, 1],
    );
}
