//! A build without graphics cards: the processor, whatever is asked for.

use std::result::Result as Outcome;

use kernels::{Features, Maps};
use mapnet::{MapError, MapModel};
use tensors::ModelFiles;

use crate::{Backend, Device, Host, Reason, Result};

/// There is none.
#[derive(Debug)]
pub(crate) enum Card {}

impl Card {
    /// Never called.
    pub(crate) async fn encode(&self, _: &[f32], _: [usize; 2]) -> Outcome<Features, MapError> {
        match *self {}
    }

    /// Never called.
    pub(crate) async fn decode(
        &self,
        _: &[Maps; 3],
        _: &[f32],
        _: &[f32],
    ) -> Outcome<Vec<f32>, MapError> {
        match *self {}
    }
}

/// The processor.
#[allow(clippy::unused_async)] // as with cards
pub(crate) async fn choose(
    _: &ModelFiles,
    _: &MapModel,
    device: Device,
    _: &impl Host,
) -> Result<(Option<Card>, Backend)> {
    let reason = match device {
        Device::Auto => Reason::Fastest,
        Device::Cpu => Reason::AskedFor,
        Device::Gpu => Reason::NotBuilt,
    };
    Ok((None, Backend::cpu(device, reason)))
}
