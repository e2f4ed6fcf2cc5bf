//! Group norm over the whole picture, in three steps: sums (`moments.wgsl`), a scale and a shift a channel (`norm.wgsl`),
//! and their application ([`super::film`]).

use wgpu::{Buffer, BufferDescriptor, BufferUsages};

use super::device::Gpu;
use super::film::film;
use super::maps::{DEPTH, GpuMaps};
use super::run::Run;
use crate::tensors::{GROUPS, KernelError, Tensors};

/// Places that a workgroup adds up; as in `moments.wgsl`.
const RUN: usize = 512;

/// Group norm's scale and shift of each channel, on the card.
#[derive(Debug)]
pub(super) struct GpuNorm {
    /// `[2, lanes]`
    affine: Buffer,
}

impl GpuNorm {
    pub(super) fn new(gpu: &Gpu, gamma: &[f32], beta: &[f32]) -> Self {
        Self {
            affine: gpu.upload(&affine(gamma, beta)),
        }
    }

    pub(super) fn of(gpu: &Gpu, t: &Tensors, name: &str) -> Result<Self, KernelError> {
        let gamma = t.values(&format!("{name}.gamma"))?;
        Ok(Self::new(gpu, gamma, t.values(&format!("{name}.beta"))?))
    }

    /// Normalises maps in place.
    pub(super) fn run(&self, run: &mut Run, x: &GpuMaps) {
        let groups = GROUPS.min(x.channels);
        let runs = x.cells().div_ceil(RUN);
        let numbers = [x.cells(), x.lanes(), x.channels / groups, runs];
        let moments = scratch(run, 2 * groups * runs);
        let kernels = run.gpu.kernels();
        let bindings = [&x.buffer, &moments];
        run.kernel(&kernels.moments, &numbers, &bindings, [runs, groups, 1]);
        let found = scratch(run, 2 * x.lanes());
        let bindings = [&x.buffer, &moments, &self.affine, &found];
        run.kernel(&kernels.norm, &numbers, &bindings, [groups, 1, 1]);
        film(run, x, &found);
    }
}

/// Two values a channel as kernels read them, filled up with zeros: `[2, lanes]`.
pub(super) fn affine(scale: &[f32], shift: &[f32]) -> Vec<f32> {
    let lanes = scale.len().next_multiple_of(DEPTH);
    let mut values = vec![0f32; 2 * lanes];
    values[..scale.len()].copy_from_slice(scale);
    values[lanes..lanes + shift.len()].copy_from_slice(shift);
    values
}

/// Values that one kernel hands to the next.
fn scratch(run: &mut Run, count: usize) -> Buffer {
    let buffer = run.gpu.device().create_buffer(&BufferDescriptor {
        label: None,
        size: 4 * count as u64,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    run.own(buffer)
}
