//! Reading a question, with gradients: bytes → a vector that steers the decoder.
//!
//! What the bytes are, and why a quoted key's letters are hidden, [`mapnet::question`] says.

use burn::module::Module;
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, PaddingConfig1d};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mapnet::Words;
use mapnet::question::{BYTE_DIM, BYTES, HEADS, HIDDEN, WINDOW, bytes_of, meaning, without_key};
use mapnet::words::DIMENSIONS;

use super::MapConfig;

/// Padded bytes of texts and the mask of those that are there.
#[derive(Clone)]
pub struct Texts {
    /// Byte values, 0 where padded, `[N, L]`.
    pub bytes: Tensor<2, Int>,
    /// 1 for a byte, 0 for padding, `[N, L]`.
    pub mask: Tensor<2>,
    /// What the words of each text mean, where the model has a table of words, `[N, DIMENSIONS]`.
    pub meaning: Option<Tensor<2>>,
}

/// Pads texts to the longest one (at most `max` bytes).
pub fn encode_texts<S: AsRef<str>>(texts: &[S], max: usize, device: &Device) -> Texts {
    let rows: Vec<Vec<u8>> = texts.iter().map(|t| bytes_of(t.as_ref(), max)).collect();
    let length = rows.iter().map(Vec::len).max().unwrap_or(1);
    let mut bytes = Vec::with_capacity(rows.len() * length);
    let mut mask = Vec::with_capacity(rows.len() * length);
    for row in &rows {
        bytes.extend(row.iter().map(|b| i32::from(*b)));
        bytes.extend(std::iter::repeat_n(0, length - row.len()));
        mask.extend(std::iter::repeat_n(1f32, row.len()));
        mask.extend(std::iter::repeat_n(0f32, length - row.len()));
    }
    let shape = [rows.len(), length];
    Texts {
        bytes: Tensor::from_data(TensorData::new(bytes, shape), device),
        mask: Tensor::from_data(TensorData::new(mask, shape), device),
        meaning: None,
    }
}

/// Questions, padded, each quoted key shortened to its quotation marks; `words` is the model's table of words.
pub fn encode_questions<S: AsRef<str>>(
    questions: &[S],
    config: &MapConfig,
    words: Option<&Words>,
    device: &Device,
) -> Texts {
    let questions = questions.iter().map(AsRef::as_ref);
    let shown: Vec<String> = questions.clone().map(without_key).collect();
    let mut texts = encode_texts(&shown, config.max_question_bytes, device);
    texts.meaning = words.map(|words| {
        let values: Vec<f32> = questions.flat_map(|text| meaning(words, text)).collect();
        Tensor::from_data(TensorData::new(values, [shown.len(), DIMENSIONS]), device)
    });
    texts
}

/// A small convolutional reader of bytes: `[N, L]` → `[N, D]`.
#[derive(Module, Debug)]
pub struct TextEncoder {
    embedding: Embedding,
    near: Conv1d,
    far: Conv1d,
    attention: Linear,
    out: Linear,
}

impl TextEncoder {
    /// A reader whose vectors have `dim` numbers.
    pub fn new(dim: usize, device: &Device) -> Self {
        let conv = |from, to| {
            Conv1dConfig::new(from, to, WINDOW)
                .with_padding(PaddingConfig1d::Same)
                .init(device)
        };
        Self {
            embedding: EmbeddingConfig::new(BYTES, BYTE_DIM).init(device),
            near: conv(BYTE_DIM, HIDDEN),
            far: conv(HIDDEN, HIDDEN),
            attention: LinearConfig::new(HIDDEN, HEADS).init(device),
            out: LinearConfig::new(HIDDEN * HEADS, dim).init(device),
        }
    }

    /// Reads texts, `[N, L]` → `[N, D]`.
    pub fn forward(&self, texts: &Texts) -> Tensor<2> {
        let [n, length] = texts.bytes.dims();
        let mask = texts.mask.clone().unsqueeze_dim::<3>(1); // [N, 1, L]
        let x = self.embedding.forward(texts.bytes.clone()); // [N, L, E]
        let x = x.swap_dims(1, 2) * mask.clone(); // [N, E, L]
        let x = relu(self.near.forward(x)) * mask.clone(); // [N, C, L]
        let x = x.clone() + relu(self.far.forward(x)) * mask; // [N, C, L]
        let x = x.swap_dims(1, 2); // [N, L, C]
        let scores = self.attention.forward(x.clone()); // [N, L, heads]
        let scores = scores
            + (texts.mask.clone() - 1.0)
                .mul_scalar(1e4)
                .unsqueeze_dim::<3>(2);
        let weights = softmax(scores, 1).swap_dims(1, 2); // [N, heads, L]
        debug_assert_eq!(weights.dims()[2], length);
        let pooled = weights.matmul(x); // [N, heads, C]
        let [_, heads, channels] = pooled.dims();
        self.out.forward(pooled.reshape([n, heads * channels])) // [N, D]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_changes_nothing() {
        let device = Device::flex();
        device.seed(1);
        let encoder = TextEncoder::new(8, &device);
        let alone = encoder.forward(&encode_texts(&["total"], 40, &device));
        let padded = encoder.forward(&encode_texts(&["total", "a much longer text"], 40, &device));
        let gap = (alone - padded.slice([0..1, 0..8])).abs().max();
        assert!(gap.into_scalar::<f32>() < 1e-5);
    }
}
