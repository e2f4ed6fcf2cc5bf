//! One submission to a graphics card: kernels one after the other, then what is read back.

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

/// Kernels in the order in which they are to run. What one writes the next ones read: the card is told so by `wgpu`.
pub(super) struct Run<'a> {
    pub(super) gpu: &'a Gpu,
    commands: CommandEncoder,
    pass: ComputePass<'static>,
    /// What is not needed once the results are there.
    scratch: Vec<Buffer>,
}

impl<'a> Run<'a> {
    pub(super) fn new(gpu: &'a Gpu) -> Self {
        let mut commands = gpu.device().create_command_encoder(&Default::default());
        let pass = commands.begin_compute_pass(&Default::default());
        Self {
            gpu,
            pass: pass.forget_lifetime(),
            commands,
            scratch: Vec::new(),
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
        // A uniform's size is a multiple of 16 bytes.
        let mut words: Vec<u32> = numbers.iter().map(|n| *n as u32).collect();
        words.resize(words.len().next_multiple_of(4), 0);
        let gpu = self.gpu;
        let uniform = gpu.filled(bytemuck::cast_slice(&words), BufferUsages::UNIFORM);
        let uniform = self.own(uniform);
        let all = [&uniform].into_iter().chain(buffers.iter().copied());
        let entries: Vec<_> = (0..)
            .zip(all)
            .map(|(binding, buffer)| BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = gpu.device().create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &kernel.get_bind_group_layout(0),
            entries: &entries,
        });
        self.pass.set_pipeline(kernel);
        self.pass.set_bind_group(0, &group, &[]);
        let [x, y, z] = groups.map(|n| n as u32);
        self.pass.dispatch_workgroups(x, y, z);
    }

    /// Submits, waits and reads maps back.
    ///
    /// # Errors
    /// A card that failed.
    pub(super) async fn finish<const N: usize>(
        self,
        wanted: [&GpuMaps; N],
    ) -> Result<[Maps; N], GpuError> {
        let Self {
            gpu,
            mut commands,
            pass,
            scratch,
        } = self;
        drop(pass);
        let size: usize = wanted.iter().map(|maps| 4 * maps.len()).sum();
        let back = gpu.device().create_buffer(&BufferDescriptor {
            label: Some("results"),
            size: size as u64,
            usage: BufferUsages::COPY_DST | BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut at = 0;
        for maps in wanted {
            let bytes = 4 * maps.len() as u64;
            commands.copy_buffer_to_buffer(&maps.buffer, 0, &back, at, bytes);
            at += bytes;
        }
        gpu.queue().submit([commands.finish()]);
        let values = gpu.read(&back).await;
        [&back]
            .into_iter()
            .chain(&scratch)
            .for_each(Buffer::destroy);
        let values = values?;
        let mut rest = values.as_slice();
        Ok(wanted.map(|maps| {
            let (own, others) = rest.split_at(maps.len());
            rest = others;
            maps.of_values(own)
        }))
    }
}
