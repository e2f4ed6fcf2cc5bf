//! A graphics card: found, opened, its kernels compiled, and its results read back.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use half::f16;
use wgpu::{
    Adapter, Backends, Buffer, BufferDescriptor, BufferUsages, ComputePipeline, Device,
    DeviceDescriptor, Features, MapMode, PollType, Queue,
};

use super::adapter;
use super::run::Kernels;

/// How long a submission may take. A card that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is wrong with a graphics card.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// There is none, or its driver is missing.
    #[error(
        "no graphics adapter was found through Vulkan, Metal or DirectX 12: install the card's driver (on Linux its Vulkan \
         driver and libvulkan1; the package mesa-vulkan-drivers holds those of AMD and Intel, and a software one)"
    )]
    NoAdapter,
    /// The same in a browser.
    #[error("{0}")]
    NoWebGpu(
        /// What is missing.
        &'static str,
    ),
    /// The card, or its driver, has no f16.
    #[error("the graphics adapter {adapter} does not multiply in f16")]
    NoHalf {
        /// Its name.
        adapter: String,
    },
    /// The card was found and could not be opened.
    #[error("the graphics adapter {adapter} cannot be used: {why}")]
    Refused {
        /// Its name.
        adapter: String,
        /// What its driver says.
        why: String,
    },
    /// The card failed while it computed.
    #[error("the graphics adapter {adapter} failed: {why}")]
    Failed {
        /// Its name.
        adapter: String,
        /// What its driver says.
        why: String,
    },
    /// The card has no room for a map of the network.
    #[error(
        "a picture of {pixels} pixels needs {wanted} bytes in one piece, the graphics adapter {adapter} gives {given} at most: \
         let the picture's longest edge be capped"
    )]
    TooLarge {
        /// The card's name.
        adapter: String,
        /// Pixels of the canvas.
        pixels: usize,
        /// Bytes of the largest map.
        wanted: u64,
        /// Bytes that a kernel can see at once.
        given: u64,
    },
    /// The card computes other numbers than the processor.
    #[error(
        "the graphics adapter {adapter} computes other {what} than the processor (by {apart:.1e} of the largest value), so it is not used"
    )]
    Wrong {
        /// The card's name.
        adapter: String,
        /// Which maps.
        what: &'static str,
        /// The largest difference, as a share of the largest value.
        apart: f64,
    },
}

/// An open graphics card with its kernels compiled. Copies share it.
#[derive(Debug, Clone)]
pub struct Gpu(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    name: String,
    is_software: bool,
    half: bool,
    device: Device,
    queue: Queue,
    /// The map policy's, compiled when they are first asked for.
    kernels: OnceLock<Kernels>,
    failed: Failure,
}

/// An adapter that may be opened.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) adapter: Adapter,
    /// What its driver or the browser calls it.
    pub(super) name: String,
    /// Whether the processor imitates a card.
    pub(super) is_software: bool,
}

/// What the card said when it failed, for whoever reads results next.
type Failure = Arc<Mutex<Option<String>>>;

impl Gpu {
    /// Opens the fastest card that there is; a software one where there is no other.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::Refused`].
    pub async fn open() -> Result<Self, GpuError> {
        Self::open_by(Backends::PRIMARY, false).await
    }

    /// As [`Gpu::open`], for a transformer (`gpu::packed`): the map policy's kernels are not compiled.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub async fn open_bare() -> Result<Self, GpuError> {
        Self::device_of(Backends::PRIMARY, false).await
    }

    /// As [`Gpu::open_bare`]; products are in f16.
    ///
    /// # Errors
    /// As [`Gpu::open_half`].
    pub async fn open_bare_half() -> Result<Self, GpuError> {
        Self::device_of(Backends::PRIMARY, true).await
    }

    /// As [`Gpu::open`]; convolutions multiply in f16, and add up in f32.
    ///
    /// # Errors
    /// As [`Gpu::open`]; [`GpuError::NoHalf`].
    pub async fn open_half() -> Result<Self, GpuError> {
        Self::open_by(Backends::PRIMARY, true).await
    }

    /// As [`Gpu::open`] or, with `half`, [`Gpu::open_half`], through some interfaces only.
    pub(super) async fn open_by(backends: Backends, half: bool) -> Result<Self, GpuError> {
        let gpu = Self::device_of(backends, half).await?;
        gpu.compiled(|| _ = gpu.kernels()).await?;
        Ok(gpu)
    }

    /// Compiles kernels.
    ///
    /// # Errors
    /// [`GpuError::Refused`]: a card that does not take them.
    pub(super) async fn compiled<T>(&self, compile: impl FnOnce() -> T) -> Result<T, GpuError> {
        let device = self.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let kernels = compile();
        match scope.pop().await {
            None => Ok(kernels),
            Some(error) => {
                device.destroy();
                Err(GpuError::Refused {
                    adapter: self.name().to_owned(),
                    why: one_line(&error.to_string()),
                })
            }
        }
    }

    /// An adapter's device.
    async fn device_of(backends: Backends, half: bool) -> Result<Self, GpuError> {
        let Found {
            adapter,
            name,
            is_software,
        } = adapter::find(backends).await?;
        let refused = |why: String| GpuError::Refused {
            adapter: name.clone(),
            why: one_line(&why),
        };
        if half && !adapter.features().contains(Features::SHADER_F16) {
            return Err(GpuError::NoHalf { adapter: name });
        }
        let limits = adapter.limits();
        let wanted = DeviceDescriptor {
            label: Some("cropvlm"),
            required_features: match half {
                true => Features::SHADER_F16,
                false => Features::empty(),
            },
            required_limits: wgpu::Limits {
                max_buffer_size: limits.max_buffer_size,
                max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
                // Attention reads and writes seven buffers; WebGPU promises eight.
                max_storage_buffers_per_shader_stage: limits
                    .max_storage_buffers_per_shader_stage
                    .min(8),
                ..wgpu::Limits::downlevel_defaults().using_resolution(limits.clone())
            },
            ..DeviceDescriptor::default()
        };
        let opened = adapter.request_device(&wanted).await;
        let (device, queue) = opened.map_err(|e| refused(e.to_string()))?;
        let failed = Failure::default();
        let told = failed.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&told).get_or_insert(error.to_string());
        }));
        let told = failed.clone();
        device.set_device_lost_callback(move |_, why| {
            lock(&told).get_or_insert(format!("the device was lost. {why}"));
        });
        Ok(Self(Arc::new(Opened {
            name,
            is_software,
            half,
            device,
            queue,
            kernels: OnceLock::new(),
            failed,
        })))
    }

    /// The card's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the processor imitates a card (lavapipe, SwiftShader, WARP).
    pub fn is_software(&self) -> bool {
        self.0.is_software
    }

    /// Whether convolutions multiply in f16.
    pub fn is_half(&self) -> bool {
        self.0.half
    }

    /// Takes the card away, as a driver does that restarts: what is computed from now on fails.
    pub fn lose(&self) {
        self.0.device.destroy();
    }

    pub(super) fn device(&self) -> &Device {
        &self.0.device
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(super) fn kernels(&self) -> &Kernels {
        let compile = || Kernels::of(self.device(), self.0.half);
        self.0.kernels.get_or_init(compile)
    }

    /// Bytes that a kernel can see at once.
    pub(super) fn room(&self) -> u64 {
        let limits = self.0.device.limits();
        limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
    }

    /// A buffer that kernels read, such as weights.
    pub(super) fn upload(&self, values: &[f32]) -> Buffer {
        self.filled(bytemuck::cast_slice(values), BufferUsages::STORAGE)
    }

    /// Weights of a convolution, an even number of them, in what it multiplies.
    pub(super) fn upload_products(&self, values: &[f32]) -> Buffer {
        if !self.0.half {
            return self.upload(values);
        }
        let bits: Vec<u16> = values.iter().map(|v| f16::from_f32(*v).to_bits()).collect();
        self.filled(bytemuck::cast_slice(&bits), BufferUsages::STORAGE)
    }

    /// A buffer with contents, a whole number of words. A lost device panics nothing here, as it would with a buffer that
    /// is mapped when it is made.
    pub(super) fn filled(&self, contents: &[u8], usage: BufferUsages) -> Buffer {
        let buffer = self.0.device.create_buffer(&BufferDescriptor {
            label: None,
            size: contents.len() as u64,
            usage: usage | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.0.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// The values of a buffer that was copied to by what was submitted last. Natively the thread waits; in a browser the
    /// future does.
    ///
    /// # Errors
    /// [`GpuError::Failed`] with the first thing that went wrong since the last call.
    pub(super) async fn read(&self, buffer: &Buffer) -> Result<Vec<f32>, GpuError> {
        let answer = Arc::new(Answer::default());
        let told = answer.clone();
        buffer.map_async(MapMode::Read, .., move |mapped| {
            told.give(mapped.map_err(|error| error.to_string()));
        });
        let waited = self.0.device.poll(PollType::Wait {
            submission_index: None,
            timeout: Some(PATIENCE),
        });
        let mapped = match waited {
            Ok(_) => answer.wait().await,
            Err(error) => Err(error.to_string()),
        };
        // What failed first says more than that nothing came back.
        let failed = lock(&self.0.failed).clone();
        if let Some(why) = failed.or(mapped.err()) {
            return Err(self.failure(why));
        }
        let view = buffer.get_mapped_range(..);
        let view = view.map_err(|error| self.failure(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }

    fn failure(&self, why: String) -> GpuError {
        GpuError::Failed {
            adapter: self.0.name.clone(),
            why: one_line(&why),
        }
    }
}

/// In a browser the device and all its memory would stay until some garbage collection.
impl Drop for Opened {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

/// A driver's text has several lines; a sentence has one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a callback said, and who waits for it.
type Waiting = (Option<Result<(), String>>, Option<Waker>);

/// Whether a buffer could be mapped: given once by a callback, waited for by a future.
#[derive(Default)]
struct Answer(Mutex<Waiting>);

impl Answer {
    fn give(&self, answer: Result<(), String>) {
        let mut state = lock(&self.0);
        state.0 = Some(answer);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    async fn wait(&self) -> Result<(), String> {
        std::future::poll_fn(|context| {
            let mut state = lock(&self.0);
            match state.0.take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    state.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// A kernel from its WGSL, whose function is called `main`.
pub(super) fn kernel(device: &Device, name: &str, wgsl: &str) -> ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(wgsl.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        // Every kernel writes its workgroup's memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    })
}
