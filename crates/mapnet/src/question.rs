//! Reading a question: bytes → a vector that steers the decoder, and a key to look for.
//!
//! Bytes, not tokens: the default model then needs no vocabulary file, and any spelling works. The
//! *key* is what stands in quotation marks, if anything does; [`crate::hints`] looks for it on the
//! page, and its letters are hidden from the vector, which is to say what kind of thing is asked for
//! and not to learn keys by heart. CharLogits are lower-cased.

use kernels::{KernelError, Tensors, larger};

use crate::MapConfig;
use crate::hints::known;
use crate::words::{DIMENSIONS, Words};

/// Byte 0 pads.
pub const BYTES: usize = 256;
/// Size of a byte's vector.
pub const BYTE_DIM: usize = 32;
/// Channels of the reader.
pub const HIDDEN: usize = 64;
/// Bytes that a convolution sees.
pub const WINDOW: usize = 5;
/// Ways in which a text is pooled at once.
pub const HEADS: usize = 4;

/// What stands between the first and the last quotation mark, where something does.
pub fn key_of(question: &str) -> Option<&str> {
    const MARKS: [char; 8] = ['"', '“', '”', '„', '«', '»', '「', '」'];
    let (i, mark) = question.char_indices().find(|(_, c)| MARKS.contains(c))?;
    let (j, _) = question.char_indices().rfind(|(_, c)| MARKS.contains(c))?;
    let from = i + mark.len_utf8();
    (from < j).then(|| &question[from..j])
}

/// Bytes of a text as the network reads them: lower case, white space folded, cut to `max`.
pub fn bytes_of(text: &str, max: usize) -> Vec<u8> {
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

/// A question without the letters of its quoted key: its quotation marks stay.
pub fn without_key(question: &str) -> String {
    let Some(key) = key_of(question) else {
        return question.to_string();
    };
    // The key is a part of the question: where it begins is known.
    let at = key.as_ptr() as usize - question.as_ptr() as usize;
    format!("{}{}", &question[..at], &question[at + key.len()..])
}

/// What a question's words mean together, without its quoted key: a vector of length 1, or zeros.
pub fn meaning(table: &Words, question: &str) -> [f32; DIMENSIONS] {
    table.sum(known(table, &without_key(question)))
}

/// Weights and bias of a linear layer, `[from, to]` row by row.
#[derive(Debug)]
struct Linear {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    fn of(t: &Tensors, name: &str) -> Result<Self, KernelError> {
        Ok(Self {
            weights: t.values(&format!("{name}.weight"))?.to_vec(),
            bias: t.values(&format!("{name}.bias"))?.to_vec(),
        })
    }

    fn run(&self, x: &[f32]) -> Vec<f32> {
        let mut out = self.bias.clone();
        for (x, row) in x.iter().zip(self.weights.chunks_exact(out.len())) {
            add(&mut out, row, *x);
        }
        out
    }
}

/// `to += from * by`
fn add(to: &mut [f32], from: &[f32], by: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from * by;
    }
}

/// A convolution over a text, of [`WINDOW`] bytes and stride 1, with zeros beyond its ends, then ReLU.
#[derive(Debug)]
struct TextConv {
    /// `[WINDOW, from, to]`
    weights: Vec<f32>,
    bias: Vec<f32>,
    from: usize,
}

impl TextConv {
    /// From weights `[to, from, WINDOW]`.
    fn of(t: &Tensors, name: &str, from: usize) -> Result<Self, KernelError> {
        let stored = t.values(&format!("{name}.weight"))?;
        let bias = t.values(&format!("{name}.bias"))?.to_vec();
        let to = bias.len();
        let mut weights = vec![0f32; stored.len()];
        for (i, value) in stored.iter().enumerate() {
            let (o, c, k) = (i / (from * WINDOW), i / WINDOW % from, i % WINDOW);
            weights[(k * from + c) * to + o] = *value;
        }
        Ok(Self {
            weights,
            bias,
            from,
        })
    }

    /// `[L, from]` → `[L, to]`
    fn run(&self, x: &[f32]) -> Vec<f32> {
        let to = self.bias.len();
        let rows: Vec<&[f32]> = x.chunks_exact(self.from).collect();
        let mut out = Vec::with_capacity(rows.len() * to);
        for i in 0..rows.len() {
            let mut row = self.bias.clone();
            for k in 0..WINDOW {
                let at = (i + k).checked_sub(WINDOW / 2);
                let Some(near) = at.and_then(|at| rows.get(at)) else {
                    continue;
                };
                let weights = &self.weights[k * self.from * to..(k + 1) * self.from * to];
                for (x, weights) in near.iter().zip(weights.chunks_exact(to)) {
                    add(&mut row, weights, *x);
                }
            }
            out.extend(row.iter().map(|value| larger(*value, 0.0)));
        }
        out
    }
}

/// A small convolutional reader of bytes, and what it makes of a question for the decoder's four places.
#[derive(Debug)]
pub struct QuestionReader {
    /// `[BYTES, BYTE_DIM]`
    embedding: Vec<f32>,
    near: TextConv,
    far: TextConv,
    attention: Linear,
    out: Linear,
    steer: [Linear; 4],
    /// What the question's words mean → what is added to its vector.
    words: Option<Linear>,
    max_bytes: usize,
}

impl QuestionReader {
    /// Copies the reader's weights.
    ///
    /// # Errors
    /// A tensor that is missing.
    pub fn of(t: &Tensors, config: &MapConfig) -> Result<Self, KernelError> {
        Ok(Self {
            embedding: t.values("questions.embedding.weight")?.to_vec(),
            near: TextConv::of(t, "questions.near", BYTE_DIM)?,
            far: TextConv::of(t, "questions.far", HIDDEN)?,
            attention: Linear::of(t, "questions.attention")?,
            out: Linear::of(t, "questions.out")?,
            steer: [
                Linear::of(t, "steer.0")?,
                Linear::of(t, "steer.1")?,
                Linear::of(t, "steer.2")?,
                Linear::of(t, "steer.3")?,
            ],
            words: match config.words {
                0 => None,
                _ => Some(Linear::of(t, "words.question")?),
            },
            max_bytes: config.max_question_bytes,
        })
    }

    /// A question's vector; `table` is the model's table of words.
    pub fn read(&self, question: &str, table: Option<&Words>) -> Vec<f32> {
        let bytes = bytes_of(&without_key(question), self.max_bytes);
        let vectors = bytes.iter().map(|byte| {
            let at = usize::from(*byte) * BYTE_DIM;
            &self.embedding[at..at + BYTE_DIM]
        });
        let x: Vec<f32> = vectors.flatten().copied().collect(); // [L, E]
        let mut x = self.near.run(&x); // [L, C]
        let far = self.far.run(&x);
        add(&mut x, &far, 1.0);
        let scores: Vec<Vec<f32>> = x
            .chunks_exact(HIDDEN)
            .map(|row| self.attention.run(row))
            .collect(); // [L, heads]
        let mut pooled = vec![0f32; HEADS * HIDDEN]; // [heads, C]
        for (head, pooled) in pooled.chunks_exact_mut(HIDDEN).enumerate() {
            let top = scores.iter().map(|s| s[head]).fold(f32::MIN, f32::max);
            let weights: Vec<f32> = scores.iter().map(|s| (s[head] - top).exp()).collect();
            let sum: f32 = weights.iter().sum();
            for (weight, row) in weights.iter().zip(x.chunks_exact(HIDDEN)) {
                add(pooled, row, weight / sum);
            }
        }
        let mut read = self.out.run(&pooled);
        if let (Some(layer), Some(table)) = (&self.words, table) {
            add(&mut read, &layer.run(&meaning(table, question)), 1.0);
        }
        read
    }

    /// How a question steers the decoder: scales and shifts of its four places, one after the other.
    pub fn steering(&self, question: &str, table: Option<&Words>) -> Vec<f32> {
        let read = self.read(question, table);
        let steer = self.steer.iter().flat_map(|steer| steer.run(&read));
        steer.collect()
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
    fn a_key_is_hidden_from_the_reader() {
        assert_eq!(without_key("What is the \"DATE\"?"), "What is the \"\"?");
        assert_eq!(without_key("What is the date?"), "What is the date?");
    }

    #[test]
    fn texts_are_folded_and_cut() {
        assert_eq!(bytes_of("  The\n TOTAL ", 99), b"the total");
        assert_eq!(bytes_of("ABCDEFG", 3), b"abc");
        assert_eq!(bytes_of(" ", 3), b" ");
    }
}
