//! The network of a map model on a graphics card: for [`MapModel::encode_by`] and [`MapModel::propose_by`].

use kernels::gpu::{Gpu, GpuDecoder, GpuEncoder, GpuError, check};
use kernels::{Features, Maps, Tensors};
use tensors::{ModelFiles, SINGLE};

use crate::{MapModel, Result};

/// A map model's encoder and decoder, their weights on a graphics card.
#[derive(Debug)]
pub struct GpuNet {
    encoder: GpuEncoder,
    decoder: GpuDecoder,
}

impl GpuNet {
    /// Uploads the weights of a model folder that [`MapModel::load`] has read before.
    ///
    /// # Errors
    /// Broken files; missing or misshapen tensors, by name.
    pub fn load(files: &ModelFiles, gpu: &Gpu) -> Result<Self> {
        let weights = tensors::read(SINGLE, files.get(SINGLE)?)?;
        let weights: Tensors = weights.into_iter().collect();
        Ok(Self {
            encoder: GpuEncoder::of(gpu, &weights)?,
            decoder: GpuDecoder::of(gpu, &weights)?,
        })
    }

    /// The card.
    pub fn gpu(&self) -> &Gpu {
        self.encoder.gpu()
    }

    /// Whether the card computes what the processor computes, on a fixed input.
    ///
    /// # Errors
    /// [`GpuError::Wrong`] where it does not; a card that failed.
    pub async fn check(&self, model: &MapModel) -> std::result::Result<(), GpuError> {
        let cpu = (model.encoder(), model.decoder());
        check(cpu, (&self.encoder, &self.decoder)).await
    }

    /// Encodes a canvas, see [`GpuEncoder::encode`].
    ///
    /// # Errors
    /// A picture too large for the card; a card that failed.
    pub async fn encode(
        &self,
        pixels: &[f32],
        size: [usize; 2],
    ) -> std::result::Result<Features, GpuError> {
        self.encoder.encode(pixels, size).await
    }

    /// Decodes a question, see [`GpuDecoder::decode`].
    ///
    /// # Errors
    /// A card that failed.
    pub async fn decode(
        &self,
        levels: &[Maps; 3],
        hints: &[f32],
        steer: &[f32],
    ) -> std::result::Result<Vec<f32>, GpuError> {
        self.decoder.decode(levels, hints, steer).await
    }
}
