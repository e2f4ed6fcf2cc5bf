//! Tensors into weight files.

use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::read::SCALE;
use crate::{Result, TensorError, Values};

/// Tensors with fewer values than this are not worth quantizing.
const SMALL: usize = 1024;

/// Number type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits: what networks compute with.
    #[default]
    F32,
    /// 16 bits, 10 of them fraction.
    F16,
    /// 16 bits, f32's range, 7 bits of fraction: what Hugging Face's SmolVLM is stored in.
    BF16,
}

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        let values = values.iter();
        match self {
            Self::F32 => values.flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::BF16 => values
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
        }
    }
}

/// Number type, shape and bytes of a stored tensor.
pub(crate) type Part = (Dtype, Vec<usize>, Vec<u8>);
/// Stored tensors by name.
pub(crate) type Stored = BTreeMap<String, Part>;

/// Tensors as the bytes of a safetensors file. `file` is its name, for errors.
///
/// # Errors
/// Names or shapes that the format cannot hold.
pub fn write(
    file: &str,
    tensors: impl IntoIterator<Item = (String, Values)>,
    precision: Precision,
) -> Result<Vec<u8>> {
    let stored = tensors.into_iter().map(|(name, (shape, values))| {
        let bytes = precision.bytes(&values);
        (name, (precision.dtype(), shape, bytes))
    });
    serialize(file, &stored.collect())
}

/// As [`write()`], large matrices as int8 with one scale a row.
///
/// # Errors
/// As [`write()`].
pub fn write_q8(
    file: &str,
    tensors: impl IntoIterator<Item = (String, Values)>,
) -> Result<Vec<u8>> {
    let mut stored = Stored::new();
    for (name, (shape, values)) in tensors {
        if shape.len() > 1 && values.len() >= SMALL {
            let (bytes, scales) = quantize(&values, shape[0]);
            let bytes = bytes.into_iter().map(|v| v as u8).collect();
            let scale = (
                Dtype::F32,
                vec![scales.len()],
                Precision::F32.bytes(&scales),
            );
            stored.insert(format!("{name}{SCALE}"), scale);
            stored.insert(name, (Dtype::I8, shape, bytes));
        } else {
            let bytes = Precision::F32.bytes(&values);
            stored.insert(name, (Dtype::F32, shape, bytes));
        }
    }
    serialize(file, &stored)
}

/// Rows of int8 and their scales: symmetric, the largest value of a row becomes 127.
pub fn quantize(values: &[f32], rows: usize) -> (Vec<i8>, Vec<f32>) {
    let row = values.len() / rows.max(1);
    let mut scales = Vec::with_capacity(rows);
    let mut out = Vec::with_capacity(values.len());
    for values in values.chunks_exact(row.max(1)) {
        let top = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = if top > 0.0 { top / 127.0 } else { 1.0 };
        scales.push(scale);
        out.extend(
            values
                .iter()
                .map(|v| (v / scale).round().clamp(-127.0, 127.0) as i8),
        );
    }
    (out, scales)
}

pub(crate) fn serialize(file: &str, stored: &Stored) -> Result<Vec<u8>> {
    let failed = |error: safetensors::SafeTensorError| TensorError::Safetensors {
        file: file.to_string(),
        message: error.to_string(),
    };
    let views = stored
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<std::result::Result<BTreeMap<_, _>, _>>()
        .map_err(failed)?;
    // transformers refuses a file without the format.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(failed)
}
