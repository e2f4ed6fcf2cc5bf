//! Reading a question: bytes → a vector that steers the decoder, and a key to look for.
//!
//! Bytes, not tokens: the default model then needs no vocabulary file, and any spelling works. The
//! *key* is what stands in quotation marks, if anything does; [`super::hints`] looks for it on the
//! page, and its letters are hidden from the vector, which is to say what kind of thing is asked for
//! and not to learn keys by heart. Letters are lower-cased.

use burn::module::Module;
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, PaddingConfig1d};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::MapConfig;

/// Byte 0 pads.
const BYTES: usize = 256;
/// Size of a byte's vector.
const BYTE_DIM: usize = 32;
/// Ways in which a text is pooled at once.
const HEADS: usize = 4;

/// Padded bytes of texts and the mask of those that are there.
#[derive(Clone)]
pub struct Texts {
    /// Byte values, 0 where padded, `[N, L]`.
    pub bytes: Tensor<2, Int>,
    /// 1 for a byte, 0 for padding, `[N, L]`.
    pub mask: Tensor<2>,
}

/// What stands between the first and the last quotation mark, where something does.
pub fn key_of(question: &str) -> Option<&str> {
    const MARKS: [char; 8] = ['"', '“', '”', '„', '«', '»', '「', '」'];
    let (i, mark) = question.char_indices().find(|(_, c)| MARKS.contains(c))?;
    let (j, _) = question.char_indices().rfind(|(_, c)| MARKS.contains(c))?;
    let from = i + mark.len_utf8();
    (from < j).then(|| &question[from..j])
}

/// Bytes of a text as the network reads them: lower case, white space folded, cut to `max`.
fn bytes_of(text: &str, max: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(max.min(text.len()));
    for word in text.split_whitespace() {
        if !bytes.is_empty() {
            bytes.push(b' ');
        }
        bytes.extend(word.to_lowercase().bytes().filter(|b| *b != 0));
        if bytes.len() >= max {
            break;
        }
    }
    bytes.truncate(max);
    if bytes.is_empty() {
        bytes.push(b' ');
    }
    bytes
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
    }
}

/// Questions, padded, each quoted key shortened to its quotation marks.
pub fn encode_questions<S: AsRef<str>>(
    questions: &[S],
    config: &MapConfig,
    device: &Device,
) -> Texts {
    let questions: Vec<String> = questions
        .iter()
        .map(|question| {
            let question = question.as_ref();
            let Some(key) = key_of(question) else {
                return question.to_string();
            };
            // The key is a part of the question: where it begins is known.
            let at = key.as_ptr() as usize - question.as_ptr() as usize;
            format!("{}{}", &question[..at], &question[at + key.len()..])
        })
        .collect();
    encode_texts(&questions, config.max_question_bytes, device)
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
        let hidden = 64;
        let conv = |from, to| {
            Conv1dConfig::new(from, to, 5)
                .with_padding(PaddingConfig1d::Same)
                .init(device)
        };
        Self {
            embedding: EmbeddingConfig::new(BYTES, BYTE_DIM).init(device),
            near: conv(BYTE_DIM, hidden),
            far: conv(hidden, hidden),
            attention: LinearConfig::new(hidden, HEADS).init(device),
            out: LinearConfig::new(hidden * HEADS, dim).init(device),
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
    fn a_key_is_what_stands_in_quotation_marks() {
        let beside = "What is written to the right of \"CASH\"?";
        assert_eq!(key_of(beside), Some("CASH"));
        assert_eq!(key_of("What is the “TO”?"), Some("TO"));
        assert_eq!(key_of("\"DATE\""), Some("DATE"));
        for none in ["What is the total?", "an odd \" mark", "\"\""] {
            assert_eq!(key_of(none), None);
        }
    }

    #[test]
    fn texts_are_folded_and_cut() {
        assert_eq!(bytes_of("  The\n TOTAL ", 99), b"the total");
        assert_eq!(bytes_of("ABCDEFG", 3), b"abc");
        assert_eq!(bytes_of(" ", 3), b" ");
    }

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
