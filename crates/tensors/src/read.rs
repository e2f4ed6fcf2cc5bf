//! Tensors out of weight files.

use std::collections::HashMap;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::blocks::each;
use crate::{Result, TensorError, Values};

/// The end of a scale's name, see [`crate::write_q8`].
pub(crate) const SCALE: &str = ".scale";

/// One weight file. `file` is its name, for errors.
///
/// # Errors
/// Bytes that are no safetensors file, or part of one.
pub fn open_file<'a>(file: &str, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| TensorError::Safetensors {
        file: file.to_string(),
        message: error.to_string(),
    })
}

/// The values of a tensor of f32, f16 or bf16, as f32.
///
/// # Errors
/// Another number type; a value that is no number.
pub fn values(file: &str, name: &str, tensor: &TensorView) -> Result<Vec<f32>> {
    let bytes = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        other => {
            return Err(TensorError::TensorType {
                file: file.to_string(),
                name: name.to_string(),
                actual: format!("{other:?}"),
                expected: "F32, F16 or BF16",
            });
        }
    };
    finite(file, name, values)
}

/// The same values, if all of them are numbers.
pub(crate) fn finite(file: &str, name: &str, values: Vec<f32>) -> Result<Vec<f32>> {
    match values.iter().copied().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(value) => Err(TensorError::NoNumber {
            file: file.to_string(),
            name: name.to_string(),
            value,
        }),
    }
}

/// Every tensor of a weight file as f32, int8 ones multiplied by their scales.
///
/// # Errors
/// As [`open_file`] and [`values`]; a scale that is missing or does not fit.
pub fn read(file: &str, bytes: &[u8]) -> Result<HashMap<String, Values>> {
    let opened = open_file(file, bytes)?;
    let mut tensors = HashMap::new();
    for (name, view) in opened.tensors() {
        if name.ends_with(SCALE) {
            continue;
        }
        let values = match view.dtype() {
            Dtype::I8 => dequantized(file, &name, &view, &opened)?,
            _ => values(file, &name, &view)?,
        };
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

/// An int8 tensor times its rows' scales.
fn dequantized(
    file: &str,
    name: &str,
    view: &TensorView,
    opened: &SafeTensors,
) -> Result<Vec<f32>> {
    let wrong = |problem: String| TensorError::Tensors {
        file: file.to_string(),
        problem,
    };
    let scale_name = format!("{name}{SCALE}");
    let scale = opened
        .tensor(&scale_name)
        .map_err(|_| wrong(format!("tensor {scale_name} is missing")))?;
    let scales = values(file, &scale_name, &scale)?;
    let rows = view.shape().first().copied().unwrap_or(0);
    if scales.len() != rows || rows == 0 {
        return Err(wrong(format!(
            "tensor {scale_name} has {} values, the tensor {rows} rows",
            scales.len()
        )));
    }
    let row = (view.data().len() / rows).max(1);
    let numbers = view.data().iter().enumerate();
    Ok(numbers
        .map(|(i, byte)| f32::from(*byte as i8) * scales[i / row])
        .collect())
}
