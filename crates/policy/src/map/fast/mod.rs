//! The network by our own kernels, on a CPU where no gradients are wanted.
//!
//! Weights are copied out of the module once ([`Net::of`]): whoever changes the module drops this copy
//! ([`super::MapPolicy::change`]).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kernels::{Decoder, Encoded, Encoder, KernelError, Maps, Tensors};

use super::letters::{CLASSES, HALVES};
use super::net::{Features, MapNet};
use super::upright::Turn;
use super::weights;
use crate::{PolicyError, Result, Timings};

/// Whether this serves a device: the CPU, where no gradients are wanted.
pub fn serves(device: &Device) -> bool {
    !device.is_autodiff() && *device == Device::flex()
}

impl From<KernelError> for PolicyError {
    fn from(error: KernelError) -> Self {
        Self::Config(error.to_string())
    }
}

/// The network's weights in the order of the kernels.
#[derive(Debug)]
pub struct Net {
    /// Before a question.
    pub encoder: Encoder,
    /// With one.
    pub decoder: Decoder,
}

impl Net {
    /// Copies the weights of a module.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn of(net: &MapNet) -> Result<Self> {
        let tensors: Tensors = weights::collect(net)?.into_iter().collect();
        Ok(Self {
            encoder: Encoder::of(&tensors)?,
            decoder: Decoder::of(&tensors)?,
        })
    }
}

/// What the encoder made, as the rest of the policy has it.
pub fn features(seen: Encoded) -> Features {
    let letters = &seen.characters;
    let shape = [1, letters.height, letters.width * HALVES, CLASSES];
    let characters = TensorData::new(seen.characters.values, shape);
    Features {
        fine: tensor(seen.fine),
        middle: tensor(seen.middle),
        coarse: tensor(seen.coarse),
        characters: Tensor::from_data(characters, &Device::flex()),
        letters: Arc::default(),
        timings: Timings::default(),
        turn: Turn::none(1, 1),
        fast: Some(Arc::new(seen.levels)),
    }
}

/// Maps without a frame as burn has them, `[1, C, H, W]`.
fn tensor(maps: Maps) -> Tensor<4> {
    let shape = [1, maps.height, maps.width, maps.channels];
    Tensor::from_data(TensorData::new(maps.values, shape), &Device::flex()).permute([0, 3, 1, 2])
}
