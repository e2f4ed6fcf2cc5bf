//! Numbers from the device, asynchronously: in a browser a synchronous read would block or panic.

use burn::tensor::Tensor;

use crate::{PolicyError, Result};

/// A tensor's values, row by row.
///
/// # Errors
/// A failed device.
pub async fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |e: &dyn std::fmt::Debug| PolicyError::Device(format!("{e:?}"));
    let data = tensor.into_data_async().await.map_err(|e| failed(&e))?;
    let values = data.convert::<f32>().try_into_vec::<f32>();
    values.map_err(|e| failed(&e))
}

/// As [`values`], of maps that have to be numbers.
///
/// # Errors
/// A failed device, numbers that are none.
pub async fn finite<const D: usize>(maps: Tensor<D>) -> Result<Vec<f32>> {
    let values = values(maps).await?;
    mapnet::finite(&values)?;
    Ok(values)
}
