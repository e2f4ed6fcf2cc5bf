//! The text policy: Idefics3 writing the box.
use crate::{ModelFiles, PolicyError, Proposal, ProposeOptions, Result, Rollout};
use burn::tensor::{Device, Tensor};
use grounding::NormBox;
use picture::RgbImage;
use rand::Rng;
#[allow(missing_docs)]
pub struct TextPolicy {}
#[allow(missing_docs)]
pub struct TextSeen {}
#[allow(missing_docs, clippy::unused_async)]
impl TextPolicy {
    pub fn load(_: &ModelFiles, _: &Device) -> Result<Self> {
        Err(PolicyError::UnknownModel("idefics3".into()))
    }
    pub async fn look(&self, _: &RgbImage, _: Option<u32>) -> Result<TextSeen> {
        Ok(TextSeen {})
    }
    pub async fn propose(&self, _: &TextSeen, _: &str, _: &ProposeOptions) -> Result<Proposal> {
        Err(PolicyError::WrongPicture)
    }
    pub async fn sample(
        &self,
        _: &TextSeen,
        _: &str,
        _: usize,
        _: f64,
        _: &mut impl Rng,
    ) -> Result<Vec<Rollout>> {
        Err(PolicyError::WrongPicture)
    }
    pub async fn log_probs(&self, _: &TextSeen, _: &str, _: &[NormBox]) -> Result<Tensor<1>> {
        Err(PolicyError::WrongPicture)
    }
}
