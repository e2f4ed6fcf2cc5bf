//! The tensors that a configuration describes, by name and shape.
//!
//! Names are the paths of the trainable network's modules (`stages.0.blocks.1.first.weight`); a test holds this list to
//! that network.

use kernels::Encoder;

use crate::MapConfig;
use crate::boxes::MAPS;
use crate::char_logits::{CLASSES, HALVES};
use crate::question::{BYTE_DIM, BYTES, HEADS, HIDDEN, WINDOW};
use crate::words::{DIMENSIONS, LETTERS};

/// Letters of the table of words.
pub const LETTERS_NAME: &str = "words.letters";

/// Vectors of the table of words.
pub const VECTORS_NAME: &str = "words.vectors";

/// Names and shapes of tensors.
pub type Manifest = Vec<(String, Vec<usize>)>;

/// Every tensor of the network.
pub fn manifest(config: &MapConfig) -> Manifest {
    let [c4, c8, c16, c32] = config.channels;
    let c2 = c4 / 2;
    let [d8, d16, d32] = config.decoder_channels;
    let mut list = List(Vec::new());
    list.conv("stem", c2, 1, 4);
    list.conv("stem_deep", c4, c2, 3);
    list.norm("stem_norm", c4);
    for (i, [from, to]) in [[c4, c8], [c8, c16], [c16, c32]].into_iter().enumerate() {
        list.conv(&format!("stages.{i}.down"), to, from, 3);
        list.norm(&format!("stages.{i}.norm"), to);
        for block in 0..config.blocks[i] {
            list.block(&format!("stages.{i}.blocks.{block}"), to);
        }
    }
    list.conv("coarse_to_middle", c16, c32, 1);
    list.block("middle_out", c16);
    list.conv("middle_to_fine", c8, c16, 1);
    list.block("fine_out", c8);
    list.conv("characters", HALVES * CLASSES, c8, 1);
    list.add("questions.embedding.weight", &[BYTES, BYTE_DIM]);
    list.layer("questions.near", &[HIDDEN, BYTE_DIM, WINDOW], HIDDEN);
    list.layer("questions.far", &[HIDDEN, HIDDEN, WINDOW], HIDDEN);
    list.layer("questions.attention", &[HIDDEN, HEADS], HEADS);
    let dim = config.question_dim;
    list.layer("questions.out", &[HIDDEN * HEADS, dim], dim);
    for (i, [from, to]) in [[c8, d8], [c16, d16], [c32, d32]].into_iter().enumerate() {
        list.conv(&format!("project.{i}"), to, from, 1);
    }
    for (i, to) in [d8, d16, d32, d8].into_iter().enumerate() {
        list.layer(&format!("steer.{i}"), &[dim, 2 * to], 2 * to);
    }
    list.conv("enter", d8, d8 + config.hints(), 3);
    list.conv("down_middle", d16, d8, 3);
    list.conv("down_coarse", d32, d16, 3);
    list.block("coarse", d32);
    list.conv("up_middle", d16, d32, 1);
    list.block("middle", d16);
    list.conv("up_fine", d8, d16, 1);
    list.block("fine", d8);
    list.conv("head", MAPS, d8, 1);
    if config.words > 0 {
        list.add(LETTERS_NAME, &[config.words, LETTERS]);
        list.add(VECTORS_NAME, &[config.words, DIMENSIONS]);
        list.layer("words.question", &[DIMENSIONS, dim], dim);
    }
    list.0
}

/// Numbers in the network, and in its encoder alone: known without its weights. A table of words, which is not learned, does not count.
pub fn parameters(config: &MapConfig) -> (usize, usize) {
    let count = |(_, shape): &(String, Vec<usize>)| shape.iter().product::<usize>();
    let all = manifest(config);
    let encoder = all.iter().filter(|(name, _)| Encoder::wants(name));
    let learned = all.iter().filter(|(name, _)| !is_table(name));
    (learned.map(count).sum(), encoder.map(count).sum())
}

/// Whether a tensor is the table of words, which nobody trains.
pub fn is_table(name: &str) -> bool {
    matches!(name, LETTERS_NAME | VECTORS_NAME)
}

/// A manifest in the making.
struct List(Manifest);

impl List {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.push((name.to_owned(), shape.to_vec()));
    }

    fn layer(&mut self, name: &str, shape: &[usize], bias: usize) {
        self.add(&format!("{name}.weight"), shape);
        self.add(&format!("{name}.bias"), &[bias]);
    }

    fn conv(&mut self, name: &str, to: usize, from: usize, kernel: usize) {
        self.layer(name, &[to, from, kernel, kernel], to);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.add(&format!("{name}.gamma"), &[channels]);
        self.add(&format!("{name}.beta"), &[channels]);
    }

    fn block(&mut self, name: &str, channels: usize) {
        self.conv(&format!("{name}.first"), channels, channels, 3);
        self.conv(&format!("{name}.second"), channels, channels, 3);
    }
}
