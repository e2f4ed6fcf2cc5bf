//! The lesson of the page, with the model that ships and the picture and the question that it opens on: GRPO raises the reward.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::path::Path;

use burn::tensor::Device;
use policy::grpo::GrpoSettings;
use policy::map::live::Live;
use policy::{ModelFiles, SampleOptions};
use rand::SeedableRng;

const QUESTION: &str = "What is the phone number?";
const ANSWER: &str = "382 608 4933";

#[test]
fn the_reward_rises_within_fifteen_steps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = ModelFiles::from_dir(&root.join("models/default")).unwrap();
    let bytes = std::fs::read(root.join("web/samples/receipt.jpg")).unwrap();
    let picture = picture::decode(&bytes).unwrap();
    let (width, height) = picture.dimensions();
    // As the page sets them.
    let settings = GrpoSettings {
        max_completion_length: 1,
        ..GrpoSettings::default()
    };
    let means: Vec<f64> = pollster::block_on(async {
        let mut live = Live::start(&files, &Device::flex(), &picture, None)
            .await
            .unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let mut means = Vec::new();
        for _ in 0..16 {
            let options = SampleOptions::default();
            let group = live.draw(QUESTION, &options, &mut rng).await.unwrap();
            let mut rewards = Vec::new();
            for rollout in &group {
                let pixels = rollout.bbox.unwrap().to_pixels(width, height);
                let crop = picture::crop(&picture, pixels);
                rewards.push(f64::from(live.read(&crop, 512, ANSWER).await.unwrap()));
            }
            means.push(rewards.iter().sum::<f64>() / rewards.len() as f64);
            let step = live.step(QUESTION, &group, &rewards, &settings, 5e-4);
            step.await.unwrap();
        }
        means
    });
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&means[..4]), mean(&means[12..]));
    // 0 is an answer that is read for certain: half of what is missing is learned.
    assert!(first < -0.1, "there is nothing to learn: {means:.2?}");
    assert!(last > first / 2.0, "{first:.2} to {last:.2}: {means:.2?}");
}
