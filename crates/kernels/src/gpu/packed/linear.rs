//! Weights in a card's memory, as they are packed.

use wgpu::{Buffer, BufferUsages, ComputePipeline};

use super::{Card, Make};
use crate::packed::BLOCK;

/// How many kinds there are.
pub(super) const KINDS: usize = 5;

/// How weights are kept; the numbers are those of `weights.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 32 bits.
    F32 = 0,
    /// 16 bits, 10 of them fraction.
    F16 = 1,
    /// 16 bits, f32's range.
    BF16 = 2,
    /// int8, an f16 scale for 32 of a row.
    Q8 = 3,
    /// Values plus 8 in half a byte, the first of two in the low half; scales likewise.
    Q4 = 4,
}

impl Kind {
    pub(super) const ALL: [Self; KINDS] = [Self::F32, Self::F16, Self::BF16, Self::Q8, Self::Q4];

    /// Bytes of a row of weights.
    fn row(self, inputs: usize) -> usize {
        match self {
            Self::F32 => 4 * inputs,
            Self::F16 | Self::BF16 => 2 * inputs,
            Self::Q8 => inputs,
            Self::Q4 => inputs / 2,
        }
    }

    fn is_scaled(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }
}

/// A linear layer's weights `[outputs, inputs]` and bias, or a table's rows.
#[derive(Debug)]
pub struct Weights {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) kind: Kind,
    pub(super) weights: Buffer,
    pub(super) scales: Buffer,
    pub(super) bias: Option<Buffer>,
}

impl Weights {
    /// Uploads weights: their bytes, little-endian, and of q8 and q4 the f16 scales `[outputs, blocks]`.
    ///
    /// # Panics
    /// If there are other than the shape's number of bytes, or a row is no multiple of four numbers.
    pub fn upload(
        card: &Card,
        [outputs, inputs]: [usize; 2],
        kind: Kind,
        bytes: &[u8],
        scales: &[u8],
    ) -> Self {
        assert!(Card::takes(inputs), "rows of fours");
        assert_eq!(bytes.len(), outputs * kind.row(inputs), "weights");
        let blocks = if kind.is_scaled() {
            inputs.div_ceil(BLOCK)
        } else {
            0
        };
        assert_eq!(scales.len(), 2 * outputs * blocks, "scales");
        let gpu = &card.gpu;
        let row = kind.row(inputs);
        let weights = match row.is_multiple_of(4) {
            true => gpu.filled(bytes, BufferUsages::STORAGE),
            false => {
                // A q4 row of an odd number of fours ends in the middle of a word.
                let rows = bytes.chunks_exact(row);
                let whole = rows.flat_map(|row| {
                    let filling = row.len().next_multiple_of(4) - row.len();
                    row.iter().copied().chain(std::iter::repeat_n(0, filling))
                });
                gpu.filled(&whole.collect::<Vec<u8>>(), BufferUsages::STORAGE)
            }
        };
        let scales = match scales {
            [] => card.nothing.clone(),
            some if some.len().is_multiple_of(4) => gpu.filled(some, BufferUsages::STORAGE),
            odd => gpu.filled(&[odd, &[0, 0]].concat(), BufferUsages::STORAGE),
        };
        // Or what is uploaded would lie in the processor's memory, too, until the first picture.
        gpu.queue().submit([]);
        Self {
            outputs,
            inputs,
            kind,
            weights,
            scales,
            bias: None,
        }
    }

    /// The same with a bias.
    ///
    /// # Panics
    /// If there are other than the outputs' number of values.
    pub fn with_bias(mut self, card: &Card, bias: &[f32]) -> Self {
        assert_eq!(bias.len(), self.outputs, "bias");
        self.bias = Some(card.gpu.upload(bias));
        self
    }

    /// Outputs and inputs.
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// Bytes in the card's memory.
    pub fn bytes(&self) -> usize {
        let buffers = [Some(&self.weights), Some(&self.scales), self.bias.as_ref()];
        buffers
            .into_iter()
            .flatten()
            .map(|b| b.size() as usize)
            .sum()
    }
}

/// Kernels of many rows, a kernel for each kind of weights; `half`: they multiply in f16.
pub(super) fn products(make: &Make, half: bool) -> [ComputePipeline; KINDS] {
    let wgsl = include_str!("product.wgsl");
    match half {
        false => kernels(make, "product", wgsl, true),
        true => {
            let wgsl = wgsl.replace("alias Four = vec4<f32>;", "alias Four = vec4<f16>;");
            let make = |name: &str, wgsl: String| make(name, format!("enable f16;\n{wgsl}"));
            kernels(&make, "product_half", &wgsl, true)
        }
    }
}

/// A kernel for each kind of weights; with `is_product`, one that computes a product.
pub(super) fn kernels(
    make: &Make,
    name: &str,
    wgsl: &str,
    is_product: bool,
) -> [ComputePipeline; KINDS] {
    let then = if is_product {
        include_str!("then.wgsl")
    } else {
        ""
    };
    Kind::ALL.map(|kind| {
        let own = format!("const KIND = {}u;", kind as u32);
        let weights = include_str!("weights.wgsl").replace("const KIND = Q8;", &own);
        make(name, format!("{weights}\n{wgsl}\n{then}"))
    })
}
