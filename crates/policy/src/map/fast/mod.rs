//! The network by our own kernels ([`mapnet`]), on a CPU where no gradients are wanted.
//!
//! Weights are copied out of the module once ([`copy`]): whoever changes the module drops this copy
//! ([`super::MapPolicy::change`]).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kernels::{Encoded, Maps};
use mapnet::MapModel;
use mapnet::char_logits::{CLASSES, HALVES};

use super::net::{Features, MapNet};
use super::{MapConfig, Turn, weights};
use crate::{Result, Timings};

/// Whether this serves a device: the CPU, where no gradients are wanted.
pub fn serves(device: &Device) -> bool {
    !device.is_autodiff() && *device == Device::flex()
}

/// Copies the weights of a module.
///
/// # Errors
/// A device that does not deliver its tensors.
pub fn copy(config: &MapConfig, net: &MapNet) -> Result<MapModel> {
    let weights = weights::collect(net)?.into_iter().collect();
    Ok(MapModel::of(config.clone(), weights)?)
}

/// What the encoder made, as the rest of the policy has it.
pub fn features(encoded: Encoded) -> Features {
    let grid = &encoded.characters;
    let shape = [1, grid.height, grid.width * HALVES, CLASSES];
    let characters = TensorData::new(encoded.characters.values, shape);
    Features {
        fine: tensor(encoded.fine),
        middle: tensor(encoded.middle),
        coarse: tensor(encoded.coarse),
        characters: Tensor::from_data(characters, &Device::flex()),
        text: Arc::default(),
        timings: Timings::default(),
        turn: Turn::none(1, 1),
        fast: Some(Arc::new(encoded.levels)),
    }
}

/// Maps without a frame as burn has them, `[1, C, H, W]`.
fn tensor(maps: Maps) -> Tensor<4> {
    let shape = [1, maps.height, maps.width, maps.channels];
    Tensor::from_data(TensorData::new(maps.values, shape), &Device::flex()).permute([0, 3, 1, 2])
}
