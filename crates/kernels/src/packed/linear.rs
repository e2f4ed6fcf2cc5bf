//! A layer's weights as they are packed.

use rayon::prelude::*;

use super::{BLOCK, PAIRS, WIDTH};

/// Which 16-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfKind {
    /// 10 bits of fraction.
    F16,
    /// f32's range, 7 bits of fraction.
    BF16,
}

/// Panels of [`WIDTH`] outputs.
#[derive(Debug)]
pub(super) enum Weights {
    /// `[panels, inputs]`.
    F32(Vec<[f32; WIDTH]>),
    /// `[panels, inputs]`.
    Half(HalfKind, Vec<[u16; WIDTH]>),
    /// `[panels, blocks]`, pairs of inputs for each output; scales likewise.
    Q8(Vec<[i8; 2 * PAIRS * WIDTH]>, Vec<[f32; WIDTH]>),
    /// `[panels, blocks]`, a byte for a pair of inputs; scales likewise.
    Q4(Vec<[u8; PAIRS * WIDTH]>, Vec<[f32; WIDTH]>),
}

/// A linear layer, `y = W x + b` with W `[outputs, inputs]`.
#[derive(Debug)]
pub struct Linear {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) weights: Weights,
    /// By panel; empty without a bias.
    pub(super) bias: Vec<[f32; WIDTH]>,
}

/// Values by panel, zeros where there are no outputs.
fn by_panel(values: &[f32]) -> Vec<[f32; WIDTH]> {
    let panels = values.chunks(WIDTH);
    let whole = panels.map(|panel| std::array::from_fn(|i| panel.get(i).copied().unwrap_or(0.0)));
    whole.collect()
}

/// Rows `[outputs, columns]` as panels `[panels, columns]` of [`WIDTH`].
fn panels<T: Copy + Send + Sync>(
    [outputs, columns]: [usize; 2],
    value: impl Fn(usize) -> T + Sync,
    nothing: T,
) -> Vec<[T; WIDTH]> {
    let all = outputs.div_ceil(WIDTH) * columns;
    let one = |at: usize| {
        let (panel, column) = (at / columns, at % columns);
        std::array::from_fn(|i| match panel * WIDTH + i {
            row if row < outputs => value(row * columns + column),
            _ => nothing,
        })
    };
    (0..all).into_par_iter().map(one).collect()
}

impl Linear {
    /// From f32 weights `[outputs, inputs]`.
    ///
    /// # Panics
    /// Here and below: if there are other than the shape's number of values.
    pub fn f32(shape: [usize; 2], values: &[f32], bias: Option<&[f32]>) -> Self {
        assert_eq!(values.len(), shape[0] * shape[1], "weights");
        Self::new(
            shape,
            Weights::F32(panels(shape, |at| values[at], 0.0)),
            bias,
        )
    }

    /// From numbers of 16 bits, little-endian, `[outputs, inputs]`.
    pub fn half(shape: [usize; 2], kind: HalfKind, bytes: &[u8], bias: Option<&[f32]>) -> Self {
        let (values, _) = bytes.as_chunks::<2>();
        assert_eq!(values.len(), shape[0] * shape[1], "weights");
        let value = |at: usize| u16::from_le_bytes(values[at]);
        Self::new(shape, Weights::Half(kind, panels(shape, value, 0)), bias)
    }

    /// From bytes (int8) `[outputs, inputs]` and a scale for each block of 32 of a row, `[outputs, blocks]`.
    pub fn q8(shape: [usize; 2], bytes: &[u8], scales: &[f32], bias: Option<&[f32]>) -> Self {
        let [outputs, inputs] = shape;
        let blocks = inputs.div_ceil(BLOCK);
        assert_eq!(bytes.len(), outputs * inputs, "weights");
        assert_eq!(scales.len(), outputs * blocks, "scales");
        let block = |at: usize| {
            let (panel, block) = (at / blocks, at % blocks);
            let mut out = [0; 2 * PAIRS * WIDTH];
            for i in 0..WIDTH.min(outputs - panel * WIDTH) {
                let row = &bytes[(panel * WIDTH + i) * inputs..][..inputs];
                let row = &row[block * BLOCK..inputs.min((block + 1) * BLOCK)];
                for (k, byte) in row.iter().enumerate() {
                    out[k / 2 * 2 * WIDTH + 2 * i + k % 2] = *byte as i8;
                }
            }
            out
        };
        let all = outputs.div_ceil(WIDTH) * blocks;
        let values = (0..all).into_par_iter().map(block).collect();
        let scales = panels([outputs, blocks], |at| scales[at], 0.0);
        Self::new(shape, Weights::Q8(values, scales), bias)
    }

    /// From half bytes (values plus 8, the first of two in the low half) `[outputs, inputs / 2]` and scales as in
    /// [`Linear::q8`].
    pub fn q4(shape: [usize; 2], bytes: &[u8], scales: &[f32], bias: Option<&[f32]>) -> Self {
        let [outputs, inputs] = shape;
        let blocks = inputs.div_ceil(BLOCK);
        assert!(inputs.is_multiple_of(2), "two values a byte");
        assert_eq!(bytes.len(), outputs * inputs / 2, "weights");
        assert_eq!(scales.len(), outputs * blocks, "scales");
        let block = |at: usize| {
            let (panel, block) = (at / blocks, at % blocks);
            // Two zeros, where there are no inputs and no outputs.
            let mut out = [0x88; PAIRS * WIDTH];
            for i in 0..WIDTH.min(outputs - panel * WIDTH) {
                let row = &bytes[(panel * WIDTH + i) * inputs / 2..][..inputs / 2];
                let row = &row[block * PAIRS..(inputs / 2).min((block + 1) * PAIRS)];
                for (pair, byte) in row.iter().enumerate() {
                    out[pair * WIDTH + i] = *byte;
                }
            }
            out
        };
        let all = outputs.div_ceil(WIDTH) * blocks;
        let values = (0..all).into_par_iter().map(block).collect();
        let scales = panels([outputs, blocks], |at| scales[at], 0.0);
        Self::new(shape, Weights::Q4(values, scales), bias)
    }

    fn new([outputs, inputs]: [usize; 2], weights: Weights, bias: Option<&[f32]>) -> Self {
        assert!(outputs > 0 && inputs > 0, "no empty layer");
        Self {
            outputs,
            inputs,
            weights,
            bias: bias.map(by_panel).unwrap_or_default(),
        }
    }

    /// The same with a bias.
    ///
    /// # Panics
    /// If there are other than the outputs' number of values.
    pub fn with_bias(mut self, bias: &[f32]) -> Self {
        assert_eq!(bias.len(), self.outputs, "bias");
        self.bias = by_panel(bias);
        self
    }

    /// Outputs and inputs.
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> usize {
        4 * WIDTH * self.bias.len()
            + match &self.weights {
                Weights::F32(values) => size_of_val(values.as_slice()),
                Weights::Half(_, values) => size_of_val(values.as_slice()),
                Weights::Q8(values, scales) => {
                    size_of_val(values.as_slice()) + size_of_val(scales.as_slice())
                }
                Weights::Q4(values, scales) => {
                    size_of_val(values.as_slice()) + size_of_val(scales.as_slice())
                }
            }
    }

    /// The weights of one output as f32, without the bias: a table's row.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize) -> Vec<f32> {
        assert!(output < self.outputs, "an output of the layer");
        let (panel, i) = (output / WIDTH, output % WIDTH);
        let blocks = self.inputs.div_ceil(BLOCK);
        let at = |k: usize| panel * blocks + k / BLOCK;
        let inputs = 0..self.inputs;
        match &self.weights {
            Weights::F32(values) => inputs.map(|k| values[panel * self.inputs + k][i]).collect(),
            Weights::Half(kind, values) => {
                let value = |k: usize| widened(*kind, values[panel * self.inputs + k][i]);
                inputs.map(value).collect()
            }
            Weights::Q8(values, scales) => inputs
                .map(|k| {
                    let place = k % BLOCK / 2 * 2 * WIDTH + 2 * i + k % 2;
                    f32::from(values[at(k)][place]) * scales[at(k)][i]
                })
                .collect(),
            Weights::Q4(values, scales) => inputs
                .map(|k| {
                    let byte = values[at(k)][k % BLOCK / 2 * WIDTH + i];
                    let half = if k % 2 == 0 { byte & 15 } else { byte >> 4 };
                    (f32::from(half) - 8.0) * scales[at(k)][i]
                })
                .collect(),
        }
    }

    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(WIDTH)
    }

    pub(super) fn is_quantized(&self) -> bool {
        matches!(self.weights, Weights::Q8(..) | Weights::Q4(..))
    }
}

/// A number of 16 bits as f32.
#[inline(always)]
fn widened(kind: HalfKind, bits: u16) -> f32 {
    match kind {
        HalfKind::BF16 => f32::from_bits(u32::from(bits) << 16),
        HalfKind::F16 => {
            let (sign, rest) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
            // As if the exponent began where f32's does, then moved there: right for the smallest numbers, too.
            let value = f32::from_bits(rest << 13) * f32::from_bits(0x7780_0000);
            let value = if rest >= 0x7c00 { f32::NAN } else { value };
            f32::from_bits(value.to_bits() | sign)
        }
    }
}

impl Linear {
    /// A panel of plain weights as f32.
    pub(super) fn plain<'a>(
        &'a self,
        panel: usize,
        room: &'a mut Vec<[f32; WIDTH]>,
    ) -> &'a [[f32; WIDTH]] {
        let at = panel * self.inputs..(panel + 1) * self.inputs;
        match &self.weights {
            Weights::F32(values) => &values[at],
            Weights::Half(kind, values) => {
                room.clear();
                room.extend(
                    values[at]
                        .iter()
                        .map(|row| row.map(|bits| widened(*kind, bits))),
                );
                room
            }
            Weights::Q8(..) | Weights::Q4(..) => &[],
        }
    }
}
