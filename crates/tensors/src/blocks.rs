//! Typed blocks: how the values of a tensor are kept, and how they become f32 again.
//!
//! ```text
//! q8   blocks of 32 values of a row; an f16 scale a block, an int8 a value         value = int8 * scale           8.5 bits
//! q4   blocks of 32 values of a row; an f16 scale a block, half a byte a value     value = (nibble - 8) * scale   4.5 bits
//! ```
//!
//! A row is what one output is computed from: all dimensions but the first, so that blocks lie along the input dimension.
//! A row's last block may be shorter. Of q4's two values in a byte the first is in the low half. llama.cpp's Q8_0 and Q4_0
//! hold the same numbers, scale and values of a block side by side; here they are two tensors, as safetensors wants them.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::Dtype;

use crate::search::{self, BLOCK};
use crate::{Precision, Result, TensorError};

/// How the values of a tensor are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockType {
    /// 32 bits.
    F32,
    /// 16 bits, 10 of them fraction.
    F16,
    /// 16 bits, f32's range.
    BF16,
    /// Blocks of 32 with an f16 scale, int8 values.
    Q8,
    /// Blocks of 32 with an f16 scale, two values a byte.
    Q4,
}

impl From<Precision> for BlockType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::F16 => Self::F16,
            Precision::BF16 => Self::BF16,
        }
    }
}

impl BlockType {
    /// The same, or what comes next in precision where the shape does not allow it: blocks need rows, and two values a byte
    /// an even last dimension.
    pub fn fitting(self, shape: &[usize]) -> Self {
        match self {
            Self::Q8 | Self::Q4 if shape.len() < 2 => Self::F32,
            Self::Q4 if !shape.last().is_some_and(|side| side.is_multiple_of(2)) => Self::Q8,
            other => other,
        }
    }

    /// Bytes of a tensor of this shape, scales included.
    pub fn bytes(self, shape: &[usize]) -> usize {
        let (rows, columns) = matrix(shape);
        let values = rows * columns;
        let scales = 2 * rows * columns.div_ceil(BLOCK);
        match self {
            Self::F32 => 4 * values,
            Self::F16 | Self::BF16 => 2 * values,
            Self::Q8 => values + scales,
            Self::Q4 => values / 2 + scales,
        }
    }

    /// Number type in a weight file.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
            Self::Q8 => Dtype::I8,
            Self::Q4 => Dtype::U8,
        }
    }
}

/// Rows and columns: the first dimension, and all others.
pub(crate) fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    }
}

/// Shape of the scales of a tensor of this shape.
pub(crate) fn scales_shape(shape: &[usize]) -> [usize; 2] {
    let (rows, columns) = matrix(shape);
    [rows, columns.div_ceil(BLOCK)]
}

/// A tensor as it is kept: number type, shape, bytes. The bytes may be borrowed from a file.
///
/// ```
/// use tensors::{BlockType, Packed};
/// let values: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) / 32.0).collect();
/// let packed = Packed::pack("w", BlockType::Q8, &[2, 32], &values, &[])?;
/// assert_eq!(packed.bytes(), 64 + 4);
/// let gap = packed.values().iter().zip(&values).fold(0f32, |gap, (a, b)| gap.max((a - b).abs()));
/// assert!(gap < 1.0 / 127.0);
/// # Ok::<(), tensors::TensorError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Packed<'a> {
    pub(crate) kind: BlockType,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Cow<'a, [u8]>,
    /// f16 numbers of q8 and q4, `[rows, blocks]`; otherwise empty.
    pub(crate) scales: Cow<'a, [u8]>,
}

impl Packed<'_> {
    /// Packs values. `kind` is what [`BlockType::fitting`] makes of it. `importance` weights the squared errors that q4's
    /// search minimises, a number for each column; empty: all alike.
    ///
    /// # Errors
    /// A value too large for a block's f16 scale, with the tensor's name.
    ///
    /// # Panics
    /// If there are other than the shape's number of values.
    pub fn pack(
        name: &str,
        kind: BlockType,
        shape: &[usize],
        values: &[f32],
        importance: &[f32],
    ) -> Result<Packed<'static>> {
        let (rows, columns) = matrix(shape);
        assert_eq!(values.len(), rows * columns, "{name}: values of {shape:?}");
        let kind = kind.fitting(shape);
        let (data, scales) = match kind {
            BlockType::F32 => (numbers(values, |v| v.to_le_bytes()), Vec::new()),
            BlockType::F16 => (
                numbers(values, |v| f16::from_f32(v).to_le_bytes()),
                Vec::new(),
            ),
            BlockType::BF16 => (
                numbers(values, |v| bf16::from_f32(v).to_le_bytes()),
                Vec::new(),
            ),
            BlockType::Q8 => q8(values, columns),
            BlockType::Q4 => q4(values, columns, importance),
        };
        let each_scale = scales.iter().copied();
        if !each_scale.map(f16::to_f32).all(f32::is_finite) {
            let largest = values.iter().fold(0f32, |most, v| most.max(v.abs()));
            return Err(TensorError::TooLarge {
                name: name.to_string(),
                value: largest,
            });
        }
        let scales = scales.iter().flat_map(|scale| scale.to_le_bytes());
        Ok(Packed {
            kind,
            shape: shape.to_vec(),
            data: data.into(),
            scales: scales.collect::<Vec<u8>>().into(),
        })
    }

    /// How the values are kept.
    pub fn kind(&self) -> BlockType {
        self.kind
    }

    /// Shape of the tensor that is kept.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of values and scales together.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.scales.len()
    }

    /// The values as f32.
    pub fn values(&self) -> Vec<f32> {
        match self.kind {
            BlockType::F32 => each(&self.data, f32::from_le_bytes),
            BlockType::F16 => each(&self.data, |b| f16::from_le_bytes(b).to_f32()),
            BlockType::BF16 => each(&self.data, |b| bf16::from_le_bytes(b).to_f32()),
            BlockType::Q8 => self.blocks(BLOCK, |byte, out| out.push(f32::from(byte as i8))),
            BlockType::Q4 => self.blocks(BLOCK / 2, |byte, out| {
                out.extend([byte & 15, byte >> 4].map(|half| f32::from(half) - 8.0));
            }),
        }
    }

    /// The values' bytes as they are kept, without the scales.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The first of the numbers that is kept and is none, NaN or infinite; of q8 and q4 among the scales.
    pub(crate) fn no_number(&self) -> Option<f32> {
        let none = |value: &f32| !value.is_finite();
        match self.kind {
            BlockType::Q8 | BlockType::Q4 => self.scales().into_iter().find(none),
            BlockType::F32 | BlockType::F16 | BlockType::BF16 => {
                self.values().into_iter().find(none)
            }
        }
    }

    /// The scales of q8 and q4 as f32, `[rows, blocks]`; empty for the others.
    pub fn scales(&self) -> Vec<f32> {
        each(&self.scales, |b| f16::from_le_bytes(b).to_f32())
    }

    /// The scales' bytes as they are kept: f16 numbers, little-endian.
    pub fn scale_bytes(&self) -> &[u8] {
        &self.scales
    }

    /// Values of blocks of `size` bytes, each multiplied by its scale. `numbers` appends a byte's.
    fn blocks(&self, size: usize, numbers: impl Fn(u8, &mut Vec<f32>)) -> Vec<f32> {
        let (rows, columns) = matrix(&self.shape);
        let mut out = Vec::with_capacity(rows * columns);
        let scales = self.scales();
        let row = self.data.len() / rows.max(1);
        let blocks = self
            .data
            .chunks(row.max(1))
            .flat_map(|row| row.chunks(size));
        for (block, scale) in blocks.zip(scales) {
            let start = out.len();
            block.iter().for_each(|byte| numbers(*byte, &mut out));
            out[start..].iter_mut().for_each(|value| *value *= scale);
        }
        out
    }
}

/// Little-endian numbers of `N` bytes, turned into f32.
pub(crate) fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&bytes| number(bytes)).collect()
}

fn numbers<const N: usize>(values: &[f32], bytes: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

/// Each block's largest value becomes 127.
fn q8(values: &[f32], columns: usize) -> (Vec<u8>, Vec<f16>) {
    let mut data = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / BLOCK);
    for row in values.chunks(columns.max(1)) {
        for block in row.chunks(BLOCK) {
            let top = block.iter().fold(0f32, |most, v| most.max(v.abs()));
            let scale = f16::from_f32(top / 127.0);
            let inverse = search::inverse(scale.to_f32());
            data.extend(block.iter().map(|v| {
                let number = (v * inverse).round().clamp(-127.0, 127.0);
                number as i8 as u8
            }));
            scales.push(scale);
        }
    }
    (data, scales)
}

/// Values that are worth a thread of their own.
const MANY: usize = 1 << 20;

/// Scales and values as [`search::block`] finds them, by as many threads as the machine runs at once; a browser's module runs
/// one.
fn q4(values: &[f32], columns: usize, importance: &[f32]) -> (Vec<u8>, Vec<f16>) {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = most.min(values.len() / MANY).max(1);
    if threads == 1 {
        return q4_rows(values, columns, importance);
    }
    let rows = (values.len() / columns.max(1)).div_ceil(threads);
    let parts = values.chunks(rows * columns);
    let (mut data, mut scales) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let running: Vec<_> = parts
            .map(|part| (part, scope.spawn(|| q4_rows(part, columns, importance))))
            .collect();
        for (part, thread) in running {
            // A thread that could not do it leaves it to this one.
            let done = thread.join();
            let (new, of_them) = done.unwrap_or_else(|_| q4_rows(part, columns, importance));
            data.extend(new);
            scales.extend(of_them);
        }
    });
    (data, scales)
}

fn q4_rows(values: &[f32], columns: usize, importance: &[f32]) -> (Vec<u8>, Vec<f16>) {
    let mut data = Vec::with_capacity(values.len() / 2);
    let mut scales = Vec::with_capacity(values.len() / BLOCK);
    for row in values.chunks(columns.max(1)) {
        for (i, block) in row.chunks(BLOCK).enumerate() {
            let weights = importance.get(i * BLOCK..).unwrap_or_default();
            let (scale, found) = search::block(block, weights);
            let pairs = found[..block.len()].chunks_exact(2);
            data.extend(pairs.map(|pair| (pair[0] + 8) as u8 | ((pair[1] + 8) as u8) << 4));
            scales.push(scale);
        }
    }
    (data, scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_pack_as_one_does() {
        let columns = 1024;
        let value = |i: usize| (i * 7919 % 10_007) as f32 / 5_003.0 - 1.0;
        let values: Vec<f32> = (0..2 * MANY + columns).map(value).collect();
        let importance: Vec<f32> = (0..columns).map(|i| 1.0 + (i % 7) as f32).collect();
        let alone = q4_rows(&values, columns, &importance);
        assert!(q4(&values, columns, &importance) == alone);
    }
}
