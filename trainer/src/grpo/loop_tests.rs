//! Three steps of the trained loop beside PyTorch's (`crates/policy/goldens/loop.py`): two accumulated groups a step, gone
//! over twice, at the temperature of sampling, with AdamW and a clipped gradient. Only rollouts and rewards are given.

use std::path::Path;

use burn::tensor::Device;
use policy::grpo::{self, LossType};
use policy::{ModelFiles, Policy};
use safetensors::SafeTensors;
use serde::Deserialize;
use smolvlm::{ADAPTER_WEIGHTS, tiny};

use super::config::{DataConfig, GrpoConfig};
use super::prompts::Prompts;
use super::replica::{Replica, Share};
use super::rewards::Rewards;
use super::step::{Draw, Group, Trainer};
use crate::train::{AdamW, OptimizerConfig};

#[derive(Deserialize)]
struct Given {
    image: String,
    question: String,
    completions: Vec<String>,
    rewards: Vec<f64>,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let chunks = bytes.as_chunks().0.iter();
    chunks.map(|&b| f32::from_le_bytes(b)).collect()
}

/// The adapter's factors, flat, by sorted key.
fn factors(policy: &Policy) -> Vec<f32> {
    let files = pollster::block_on(policy.adapter_files());
    let files = files.expect("files").expect("an adapter");
    let bytes = files.get(ADAPTER_WEIGHTS).expect("weights").to_vec();
    let found = SafeTensors::deserialize(&bytes).expect("weights");
    let mut names = found.names();
    names.sort_unstable();
    let each = names.into_iter();
    each.flat_map(|name| floats(found.tensor(name).expect("tensor").data()))
        .collect()
}

fn config(loss_type: LossType) -> GrpoConfig {
    GrpoConfig {
        loss_type,
        beta: 0.1,
        accumulation: 2,
        num_generations: 3,
        num_iterations: 2,
        optimizer: OptimizerConfig {
            betas: [0.9, 0.999],
            epsilon: 1e-3,
            weight_decay: 0.01,
            grad_clip: 0.1,
            average: 0.0,
            ..OptimizerConfig::default()
        },
        ..GrpoConfig::default()
    }
}

#[test]
fn the_trained_loop_is_that_of_pytorch() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/policy/goldens");
    let bytes = std::fs::read(goldens.join("loop.safetensors")).expect("goldens");
    let golden = SafeTensors::deserialize(&bytes).expect("goldens");
    let golden = |name: &str| floats(golden.tensor(name).expect(name).data());
    let text = std::fs::read_to_string(goldens.join("rollouts.json")).expect("rollouts");
    let given: Vec<Given> = serde_json::from_str(&text).expect("rollouts");
    // As prompts: pictures and questions.
    let place = tempfile::tempdir().expect("folder");
    let lines = given.iter().map(|one| {
        let line = serde_json::json!({
            "id": one.image, "image": goldens.join(&one.image), "question": one.question,
            "answers": ["1"], "width": 24, "height": 24,
        });
        format!("{line}\n")
    });
    let samples = place.path().join("samples.jsonl");
    std::fs::write(&samples, lines.collect::<String>()).expect("samples");
    let prompts = Prompts::open(&[DataConfig {
        samples,
        ..DataConfig::default()
    }]);
    let prompts = prompts.expect("prompts").all;

    let mut files = tiny::files();
    let weights = include_bytes!("../../../crates/smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    let adapter = ModelFiles::from_dir(&goldens.join("adapter")).expect("adapter");
    for (name, loss_type) in [
        ("dr_grpo", LossType::DrGrpo),
        ("grpo", LossType::Grpo),
        ("bnpo", LossType::Bnpo),
        ("dapo", LossType::Dapo),
    ] {
        let config = config(loss_type);
        let settings = config.settings();
        assert_eq!(settings.logprob_temperature, 0.8);
        let mut policy = Policy::load(&files, &Device::flex().autodiff()).expect("policy");
        policy.load_adapter(&adapter).expect("adapter");
        let start = factors(&policy);
        let reference = policy.reference();
        let rewards = Rewards::new(&config, None);
        let mut replica = Replica {
            trainer: Trainer {
                config: &config,
                reference: Some(&reference),
                rewards: &rewards,
            },
            policy,
            optimizer: AdamW::new(&config.optimizer),
        };
        let (mut losses, mut clipped) = (Vec::new(), 0.0);
        for step in 0..3 {
            let mut share = Share::default();
            for (number, (given, prompt)) in given.iter().zip(&prompts).enumerate() {
                let texts = given.completions.iter();
                let rollouts = texts.map(|text| replica.policy.rollout(text));
                let rollouts = rollouts.collect::<Result<Vec<_>, _>>().expect("rollouts");
                let worth: Vec<f64> = (0..3).map(|i| given.rewards[(i + step) % 3]).collect();
                let drawn = grpo::Group::new(&given.question, rollouts, &worth, &settings);
                let mut drawn = drawn.expect("a group");
                let picture = prompt.picture().expect("picture");
                let encoded =
                    pollster::block_on(reference.encode(&picture, None)).expect("encodes");
                drawn
                    .refer_to(&reference, &encoded, &settings)
                    .expect("logprobs");
                share.groups.push(Group {
                    draw: Draw {
                        prompt,
                        picture,
                        shrunk: None,
                        number: number as u64,
                    },
                    rewards: Vec::new(),
                    drawn,
                    replay: None,
                });
            }
            for _ in 0..config.num_iterations {
                replica.again(&mut share).expect("gradients");
                let tokens = share.numbers.iter().map(|n| n.tokens).sum();
                let by = replica.trainer.share(share.groups.len(), tokens);
                let loss: f64 = share.numbers.iter().map(|n| n.loss).sum();
                losses.push((loss * by) as f32);
                clipped += share
                    .numbers
                    .iter()
                    .map(|n| n.clipped * n.tokens)
                    .sum::<f64>();
                let gradients = replica.gradients(&mut share, by);
                (replica, _) = replica.update(gradients, 0.02).expect("an update");
            }
        }
        assert!(
            clipped > 3.0,
            "{name}: {clipped} clipped tokens show nothing"
        );
        let expected = golden(&format!("losses.{name}"));
        for (found, expected) in losses.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-3,
                "{name}: {losses:?} {expected}"
            );
        }
        let expected = golden(&format!("factors.{name}"));
        let found = factors(&replica.policy);
        assert_eq!(found.len(), expected.len());
        let apart = |a: &[f32], b: &[f32]| {
            let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            gaps.fold(0f32, f32::max)
        };
        let (off, moved) = (apart(&found, &expected), apart(&start, &expected));
        assert!(off < 0.01 * moved, "{name}: {off} off after moving {moved}");
    }
}
