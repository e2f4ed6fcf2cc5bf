//! Feature maps in a graphics card's memory.

use wgpu::{Buffer, BufferDescriptor, BufferUsages};

use super::device::Gpu;
use super::run::Run;
use crate::maps::Maps;

/// Channels are filled up to a multiple of this with zeros: a convolution takes so many at a time.
pub(super) const DEPTH: usize = 8;

/// Feature maps `[H, W, lanes]` without a frame; channels above `channels` are zeros.
#[derive(Debug)]
pub(super) struct GpuMaps {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) buffer: Buffer,
}

impl GpuMaps {
    /// Maps that a kernel is going to write.
    pub(super) fn new(run: &mut Run, height: usize, width: usize, channels: usize) -> Self {
        let bytes = 4 * height * width * channels.next_multiple_of(DEPTH);
        let buffer = run.gpu.device().create_buffer(&BufferDescriptor {
            label: None,
            size: bytes as u64,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self {
            height,
            width,
            channels,
            buffer: run.own(buffer),
        }
    }

    /// A copy of the processor's maps.
    pub(super) fn upload(gpu: &Gpu, maps: &Maps) -> Self {
        let (channels, lanes) = (maps.channels, maps.channels.next_multiple_of(DEPTH));
        let mut values = vec![0f32; maps.height * maps.width * lanes];
        let cells = (0..maps.height).flat_map(|y| maps.row(y).chunks_exact(channels));
        for (to, from) in values.chunks_exact_mut(lanes).zip(cells) {
            to[..channels].copy_from_slice(from);
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        Self {
            height: maps.height,
            width: maps.width,
            channels,
            buffer: gpu.filled(bytemuck::cast_slice(&values), usage),
        }
    }

    /// Channels as they are stored.
    pub(super) fn lanes(&self) -> usize {
        self.channels.next_multiple_of(DEPTH)
    }

    /// Channels as they are stored, in fours.
    pub(super) fn fours(&self) -> usize {
        self.lanes() / 4
    }

    /// Places of a map.
    pub(super) fn cells(&self) -> usize {
        self.height * self.width
    }

    /// Values as they are stored.
    pub(super) fn len(&self) -> usize {
        self.cells() * self.lanes()
    }

    /// The processor's maps of what was read back.
    pub(super) fn of_values(&self, values: &[f32]) -> Maps {
        let cells = values.chunks_exact(self.lanes());
        let values = cells.flat_map(|cell| &cell[..self.channels]);
        Maps::from_values(
            self.height,
            self.width,
            self.channels,
            values.copied().collect(),
        )
    }
}
