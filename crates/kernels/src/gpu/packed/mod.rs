//! What a transformer needs to answer, on a graphics card: the twin of [`crate::packed`]. Weights stay packed in the card's
//! memory (q8, q4, f16, bf16, f32) and become f32 on their way into a product.
//!
//! [`Card`] is a card whose kernels are compiled; [`Weights`] a layer's or a table's; [`Rows`] what flows; a [`Pass`] one
//! submission, of which [`Pass::read`] brings back what is asked for; a [`Past`] the keys and values of a sequence, whose rows
//! share a beginning. Sizes are multiples of four ([`Card::takes`]).
//!
//! A kernel has a file of WGSL; `weights.wgsl` (unpacking), `then.wgsl` (what becomes of a product), `keys.wgsl` and
//! `values.wgsl` (a sequence in pieces) are put around those that need them. [`check`] compares every kernel with the
//! processor before a card is used at all.

mod attention;
mod check;
mod linear;
mod pass;
mod past;
#[cfg(test)]
mod tests;

pub use check::{check, mean};
pub use linear::{Kind, Weights};
pub use pass::{Norm, Pass, Rows, Step, Then};
pub use past::Past;

use std::sync::Arc;

use wgpu::{Buffer, BufferDescriptor, BufferUsages, ComputePipeline};

use super::device::{Gpu, GpuError, kernel};
use linear::KINDS;

/// A graphics card with a transformer's kernels compiled. Copies share it.
#[derive(Debug, Clone)]
pub struct Card {
    gpu: Gpu,
    kernels: Arc<Kernels>,
    /// Bound where a kernel has nothing to read.
    nothing: Buffer,
}

/// Compiles a kernel from its WGSL.
type Make<'a> = dyn Fn(&str, String) -> ComputePipeline + 'a;

/// The compiled kernels.
#[derive(Debug)]
struct Kernels {
    /// By kind of weights.
    product: [ComputePipeline; KINDS],
    few: [ComputePipeline; KINDS],
    embed: [ComputePipeline; KINDS],
    /// By size of a head.
    attention: Vec<attention::Kernels>,
    row_norm: ComputePipeline,
    rotate: ComputePipeline,
    gate: ComputePipeline,
    fold: ComputePipeline,
}

impl Card {
    /// Compiles the kernels for heads of some sizes.
    ///
    /// # Errors
    /// [`GpuError::Refused`].
    pub async fn new(gpu: Gpu, dims: &[usize]) -> Result<Self, GpuError> {
        Self::compiled(gpu, dims, &|wgsl| wgsl).await
    }

    /// As [`Card::new`], from changed kernels.
    async fn compiled(
        gpu: Gpu,
        dims: &[usize],
        change: &dyn Fn(String) -> String,
    ) -> Result<Self, GpuError> {
        let device = gpu.device();
        let make = |name: &str, wgsl: String| kernel(device, name, &change(wgsl));
        let compile = || {
            let plain = |name: &str, wgsl: &str| make(name, wgsl.to_owned());
            let mut dims = dims.to_vec();
            dims.sort_unstable();
            dims.dedup();
            let of_dim = |dim: usize| attention::Kernels::new(&make, dim);
            Kernels {
                product: linear::products(&make, gpu.is_half()),
                few: linear::kernels(&make, "few", include_str!("few.wgsl"), true),
                embed: linear::kernels(&make, "embed", include_str!("embed.wgsl"), false),
                attention: dims.into_iter().map(of_dim).collect(),
                row_norm: plain("row_norm", include_str!("row_norm.wgsl")),
                rotate: plain("rotate", include_str!("rotate.wgsl")),
                gate: plain("gate", include_str!("gate.wgsl")),
                fold: plain("fold", include_str!("fold.wgsl")),
            }
        };
        let kernels = gpu.compiled(compile).await?;
        let nothing = gpu.upload(&[0.0; 4]);
        Ok(Self {
            kernels: Arc::new(kernels),
            nothing,
            gpu,
        })
    }

    /// The fastest card that there is, compared with the processor. Products of many rows are in f16 where a real card has that
    /// and it is precise enough.
    ///
    /// # Errors
    /// No card, or one that must not be used.
    pub async fn best(dims: &[usize]) -> Result<Self, GpuError> {
        let plain = Gpu::open_bare().await?;
        if !plain.is_software()
            && let Ok(half) = Gpu::open_bare_half().await
            && let Ok(card) = Self::checked(half, dims).await
        {
            return Ok(card);
        }
        Self::checked(plain, dims).await
    }

    /// As [`Card::new`], compared with the processor.
    ///
    /// # Errors
    /// As [`Card::new`] and [`check`].
    pub async fn checked(gpu: Gpu, dims: &[usize]) -> Result<Self, GpuError> {
        let card = Self::new(gpu, dims).await?;
        check(&card).await?;
        Ok(card)
    }

    /// Whether rows of so many numbers can be computed here.
    pub fn takes(width: usize) -> bool {
        width.is_multiple_of(4)
    }

    /// The card.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// A buffer that kernels write and others read, or that is copied.
    fn buffer(&self, numbers: usize) -> Buffer {
        self.gpu.device().create_buffer(&BufferDescriptor {
            label: None,
            size: 4 * numbers.max(4) as u64,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }
}
