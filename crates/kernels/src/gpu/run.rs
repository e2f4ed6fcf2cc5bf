//! One submission to a graphics card: kernels one after the other, then what is read back.

use std::num::NonZeroU64;

use wgpu::{
    BindGroupDescriptor, BindGroupEntry, Buffer, BufferDescriptor, BufferUsages, CommandEncoder,
    ComputePass, ComputePipeline, Device,
};

use super::conv;
use super::device::{Gpu, GpuError, kernel};
use super::maps::GpuMaps;
use crate::maps::Maps;

/// The compiled kernels.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) stem: ComputePipeline,
    pub(super) conv: ComputePipeline,
    pub(super) moments: ComputePipeline,
    pub(super) norm: ComputePipeline,
    pub(super) film: ComputePipeline,
    pub(super) grow: ComputePipeline,
    pub(super) beside: ComputePipeline,
    pub(super) log_softmax: ComputePipeline,
}

impl Kernels {
    /// Compiles them; `half`: convolutions multiply in f16.
    pub(super) fn of(device: &Device, half: bool) -> Self {
        Self {
            stem: kernel(device, "stem", include_str!("stem.wgsl")),
            conv: kernel(device, "conv", &conv::wgsl(half)),
            moments: kernel(device, "moments", include_str!("moments.wgsl")),
            norm: kernel(device, "norm", include_str!("norm.wgsl")),
            film: kernel(device, "film", include_str!("film.wgsl")),
            grow: kernel(device, "grow", include_str!("grow.wgsl")),
            beside: kernel(device, "beside", include_str!("beside.wgsl")),
            log_softmax: kernel(device, "log_softmax", include_str!("log_softmax.wgsl")),
        }
    }
}

/// Bytes between two kernels' numbers: what any card can bind.
const APART: usize = 256;
/// Kernels whose numbers share a buffer.
const SHARED: usize = 256;

/// Kernels in the order in which they are to run. What one writes the next ones read: the card is told so by `wgpu`.
pub(super) struct Run<'a> {
    pub(super) gpu: &'a Gpu,
    commands: CommandEncoder,
    pass: ComputePass<'static>,
    /// Numbers of the last kernels, and the buffer that gets them.
    numbers: (Vec<u8>, Buffer),
    /// What is not needed once the results are there.
    scratch: Vec<Buffer>,
}

/// A buffer for the numbers of [`SHARED`] kernels.
fn room(gpu: &Gpu) -> Buffer {
    gpu.device().create_buffer(&BufferDescriptor {
        label: Some("numbers"),
        size: (APART * SHARED) as u64,
        usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Commands for kernels.
fn begin(gpu: &Gpu) -> (CommandEncoder, ComputePass<'static>) {
    let mut commands = gpu.device().create_command_encoder(&Default::default());
    let pass = commands.begin_compute_pass(&Default::default());
    let pass = pass.forget_lifetime();
    (commands, pass)
}

impl<'a> Run<'a> {
    pub(super) fn new(gpu: &'a Gpu) -> Self {
        let (commands, pass) = begin(gpu);
        let numbers = room(gpu);
        Self {
            gpu,
            pass,
            commands,
            scratch: vec![numbers.clone()],
            numbers: (Vec::new(), numbers),
        }
    }

    /// A buffer that is freed with this run: a browser would keep it until some garbage collection.
    pub(super) fn own(&mut self, buffer: Buffer) -> Buffer {
        self.scratch.push(buffer.clone());
        buffer
    }

    /// Runs a kernel: `numbers` are its uniform (binding 0), `buffers` the bindings from 1 on.
    pub(super) fn kernel(
        &mut self,
        kernel: &ComputePipeline,
        numbers: &[usize],
        buffers: &[&Buffer],
        groups: [usize; 3],
    ) {
        let (offset, size) = self.note(numbers);
        let uniform = wgpu::BufferBinding {
            buffer: &self.numbers.1,
            offset,
            size,
        };
        let uniform = wgpu::BindingResource::Buffer(uniform);
        let buffers = buffers.iter().map(|buffer| buffer.as_entire_binding());
        let entries: Vec<_> = (0..)
            .zip([uniform].into_iter().chain(buffers))
            .map(|(binding, resource)| BindGroupEntry { binding, resource })
            .collect();
        let group = self.gpu.device().create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &kernel.get_bind_group_layout(0),
            entries: &entries,
        });
        self.pass.set_pipeline(kernel);
        self.pass.set_bind_group(0, &group, &[]);
        let [x, y, z] = groups.map(|n| n as u32);
        self.pass.dispatch_workgroups(x, y, z);
    }

    /// Keeps a kernel's numbers until the run is submitted; where they are going to lie.
    fn note(&mut self, numbers: &[usize]) -> (u64, Option<NonZeroU64>) {
        if self.numbers.0.len() == APART * SHARED {
            self.hand_over();
            let next = room(self.gpu);
            self.numbers.1 = self.own(next);
        }
        let words = &mut self.numbers.0;
        let offset = words.len();
        words.extend(numbers.iter().flat_map(|n| (*n as u32).to_le_bytes()));
        // A uniform's size is a multiple of 16 bytes.
        words.resize(words.len().next_multiple_of(16), 0);
        let size = words.len() - offset;
        words.resize(offset + APART, 0);
        (offset as u64, NonZeroU64::new(size as u64))
    }

    /// Writes the numbers where the kernels find them.
    fn hand_over(&mut self) {
        let (words, buffer) = &mut self.numbers;
        self.gpu.queue().write_buffer(buffer, 0, words);
        words.clear();
    }

    /// Lets the card begin with what it was told so far.
    pub(super) fn submit(&mut self) {
        self.hand_over();
        let (commands, pass) = begin(self.gpu);
        drop(std::mem::replace(&mut self.pass, pass));
        let told = std::mem::replace(&mut self.commands, commands);
        self.gpu.queue().submit([told.finish()]);
    }

    /// Submits, and reads nothing.
    pub(super) fn end(mut self) {
        self.submit();
        self.scratch.iter().for_each(Buffer::destroy);
    }

    /// Submits, waits and reads maps back.
    ///
    /// # Errors
    /// A card that failed.
    pub(super) async fn finish<const N: usize>(
        self,
        wanted: [&GpuMaps; N],
    ) -> Result<[Maps; N], GpuError> {
        let values = self
            .read(&wanted.map(|maps| (&maps.buffer, maps.len())))
            .await?;
        let mut rest = values.as_slice();
        Ok(wanted.map(|maps| {
            let (own, others) = rest.split_at(maps.len());
            rest = others;
            maps.of_values(own)
        }))
    }

    /// Submits, waits and reads the first values of buffers back, one after the other.
    ///
    /// # Errors
    /// A card that failed.
    pub(super) async fn read(mut self, wanted: &[(&Buffer, usize)]) -> Result<Vec<f32>, GpuError> {
        self.hand_over();
        let Self {
            gpu,
            mut commands,
            pass,
            scratch,
            ..
        } = self;
        drop(pass);
        let size: usize = wanted.iter().map(|(_, count)| 4 * count).sum();
        let back = gpu.device().create_buffer(&BufferDescriptor {
            label: Some("results"),
            size: size as u64,
            usage: BufferUsages::COPY_DST | BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut at = 0;
        for (buffer, count) in wanted {
            let bytes = 4 * *count as u64;
            commands.copy_buffer_to_buffer(buffer, 0, &back, at, bytes);
            at += bytes;
        }
        gpu.queue().submit([commands.finish()]);
        let values = gpu.read(&back).await;
        [&back]
            .into_iter()
            .chain(&scratch)
            .for_each(Buffer::destroy);
        values
    }
}
