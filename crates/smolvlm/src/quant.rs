//! Which weights are packed how.

use tensors::BlockType;

/// How weights are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    /// int8 in blocks of 32: 8.5 bits a weight.
    Q8,
    /// 4 bits in blocks of 32, 4.5 bits a weight, and q8 where that is too coarse.
    Q4,
}

impl Quant {
    /// How a tensor of this name is kept. q4 leaves q8 to the output layer (or the table that serves as one): of the choices that
    /// `examples/quantization.rs` measures it is the one that matters, a seventh of the KL on a trained model. Connector, patch and
    /// position embeddings are q8, too: small, and every picture goes through them; there the measurement showed no difference.
    pub fn block_type(self, name: &str, tied: bool) -> BlockType {
        if self == Self::Q8 {
            return BlockType::Q8;
        }
        let delicate = name == "lm_head.weight"
            || (tied && name.ends_with("embed_tokens.weight"))
            || name.starts_with("model.connector.")
            || name.starts_with("model.vision_model.embeddings.");
        match delicate {
            true => BlockType::Q8,
            false => BlockType::Q4,
        }
    }

    #[cfg(feature = "burn")]
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Q8 => 8,
            Self::Q4 => 4,
        }
    }
}
