//! A map policy with more blocks, or a table of words, computes what it did before, until it learns.

use std::collections::HashMap;

use burn::tensor::Device;
use mapnet::char_logits::class_of;
use mapnet::manifest::{LETTERS_NAME, VECTORS_NAME};
use mapnet::words::{DIMENSIONS, LETTERS};
use picture::RgbImage;
use policy::{EvidenceMap, MapConfig, Policy, PolicyError, ProposeOptions};
use pollster::block_on;
use tensors::Values;

fn picture() -> RgbImage {
    RgbImage::from_fn(120, 160, |x, y| {
        let dark = (x / 7 + y / 11) % 3 == 0 && x % 5 < 3;
        image::Rgb(if dark { [20, 20, 20] } else { [240, 238, 230] })
    })
}

fn evidence(policy: &Policy) -> EvidenceMap {
    let encoded = block_on(policy.encode(&picture(), None)).expect("encodes");
    let proposal = block_on(policy.propose(
        &encoded,
        "What is the \"Total\"?",
        &ProposeOptions::default(),
    ))
    .expect("proposes");
    proposal.evidence.expect("a map policy's evidence")
}

#[test]
fn new_blocks_change_nothing() {
    let policy = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    let before = evidence(&policy);
    let grown = policy.with_blocks([2, 1, 3], 4).expect("grown");
    let count = |policy: &Policy| policy.weights().expect("weights").len();
    let tiny = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    // A block has two convolutions, each with weights and bias.
    assert_eq!(count(&grown), count(&tiny) + 3 * 4);
    assert_eq!(before.values, evidence(&grown).values);
}

/// A table of two words, "date" and "when".
fn table() -> HashMap<String, Values> {
    let mut letters = vec![0f32; 2 * LETTERS];
    for (row, word) in letters.chunks_exact_mut(LETTERS).zip(["date", "when"]) {
        for (to, c) in row.iter_mut().zip(word.chars()) {
            *to = f32::from(class_of(c));
        }
    }
    let vectors = (0..2 * DIMENSIONS).map(|i| (i % 7) as f32 - 3.0).collect();
    HashMap::from([
        (LETTERS_NAME.to_string(), (vec![2, LETTERS], letters)),
        (VECTORS_NAME.to_string(), (vec![2, DIMENSIONS], vectors)),
    ])
}

#[test]
fn a_table_of_words_changes_nothing_at_first_and_stays_in_the_folder() {
    let policy = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    let before = evidence(&policy);
    let grown = policy.with_words(table(), 4).expect("grown");
    // Sums over more channels round otherwise; the second time our own kernels compute.
    let close = |after: &EvidenceMap| {
        let mut pairs = before.values.iter().zip(&after.values);
        pairs.all(|(a, b)| (a - b).abs() < 1e-4)
    };
    assert!(close(&evidence(&grown)));
    let files = block_on(grown.files()).expect("files");
    let again = Policy::load(&files, &Device::flex()).expect("loads");
    assert!(close(&evidence(&again)));
    let Policy::Map(again) = again else {
        panic!("a map policy")
    };
    let words = again.words().expect("a table");
    assert_eq!([words.find("When"), words.find("whe")], [Some(1), None]);
}

#[test]
fn a_table_that_fits_nothing_is_refused() {
    let policy = || Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    let mut short = table();
    short.insert(LETTERS_NAME.to_string(), (vec![1, 3], vec![1.0; 3]));
    let refused = policy()
        .with_words(short, 4)
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(refused.contains("words.letters"), "{refused}");
    let twice = policy()
        .with_words(table(), 4)
        .expect("once")
        .with_words(table(), 4);
    let refused = twice.map(|_| ()).expect_err("refused").to_string();
    assert!(
        refused.contains("has a table of words already"),
        "{refused}"
    );
}

#[test]
fn blocks_are_not_taken_away() {
    let policy = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    let refused = policy.with_blocks([1, 0, 1], 4);
    assert!(matches!(refused, Err(PolicyError::Config(why)) if why.contains("[1, 1, 1]")));
}

#[test]
fn weights_are_counted_as_they_are_collected() {
    let policy = Policy::random_map(&MapConfig::tiny(), 1, &Device::flex()).expect("a policy");
    let collected = policy.weights().expect("weights");
    let collected: usize = collected.iter().map(|(_, (_, values))| values.len()).sum();
    assert!(collected > 1000);
    assert_eq!(policy.trainable_weights(), collected);
}
