//! A map policy with more blocks computes what it did before, until it learns.

use burn::tensor::Device;
use picture::RgbImage;
use policy::{EvidenceMap, MapConfig, Policy, PolicyError, ProposeOptions};
use pollster::block_on;

fn picture() -> RgbImage {
    RgbImage::from_fn(120, 160, |x, y| {
        let dark = (x / 7 + y / 11) % 3 == 0 && x % 5 < 3;
        image::Rgb(if dark { [20, 20, 20] } else { [240, 238, 230] })
    })
}

fn evidence(policy: &Policy) -> EvidenceMap {
    let seen = block_on(policy.look(&picture(), None)).expect("looks");
    let proposal =
        block_on(policy.propose(&seen, "What is the \"Total\"?", &ProposeOptions::default()))
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

#[test]
fn blocks_are_not_taken_away() {
    let policy = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex()).expect("policy");
    let refused = policy.with_blocks([1, 0, 1], 4);
    assert!(matches!(refused, Err(PolicyError::Config(why)) if why.contains("[1, 1, 1]")));
}
