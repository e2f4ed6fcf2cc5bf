//! Options of a GRPO step that need a policy: completions that were cut off, tokens of high entropy.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use burn::tensor::{Device, Tensor};
use policy::grpo::{Group, GrpoSettings, LossType, step};
use policy::{Encoded, MapConfig, Policy, Rollout, SampleOptions, TextPolicy};
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use smolvlm::{SmolVlm, tiny};

const QUESTION: &str = "What is the total?";

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let data = block_on(tensor.into_data_async()).unwrap();
    let values: Vec<f32> = data.convert::<f32>().try_into_vec().unwrap();
    values.into_iter().map(f64::from).collect()
}

fn writer() -> Policy {
    let mut files = tiny::files();
    let weights = include_bytes!("../../smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    let model = SmolVlm::load(&files, &Device::flex().autodiff()).unwrap();
    Policy::Text(TextPolicy::new(model).unwrap())
}

fn encode(policy: &Policy) -> Encoded {
    let picture = picture::RgbImage::from_pixel(40, 30, image::Rgb([90, 200, 40]));
    block_on(policy.encode(&picture, None)).unwrap()
}

/// Two completions that end, and one that was cut off after three tokens.
fn rollouts(policy: &Policy, encoded: &Encoded) -> Vec<Rollout> {
    let options = SampleOptions {
        n: 1,
        unconstrained: true,
        max_tokens: 3,
        ..SampleOptions::default()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let frozen = policy.without_gradients();
    let plain = encoded.without_gradients();
    let cut = frozen.sample(&plain, QUESTION, &options, &mut rng);
    let mut all = block_on(cut).unwrap();
    assert!(all[0].truncated && all[0].ids.len() == 3, "{all:?}");
    for text in ["[10, 20, 63, 57].", "Not needed."] {
        let ends = policy.rollout(text).unwrap();
        assert!(!ends.truncated);
        all.push(ends);
    }
    all
}

fn settings() -> GrpoSettings {
    GrpoSettings {
        beta: 0.0,
        loss_type: LossType::Bnpo,
        ..GrpoSettings::default()
    }
}

#[test]
fn completions_that_were_cut_off_count_nothing_where_that_is_asked() {
    let policy = writer();
    let encoded = encode(&policy);
    let rollouts = rollouts(&policy, &encoded);
    let tokens = |rows: &[Rollout]| rows.iter().map(|r| r.ids.len()).sum::<usize>() as f64;
    let masked = GrpoSettings {
        mask_truncated_completions: true,
        ..settings()
    };
    let go = |rewards: [f64; 3], settings: &GrpoSettings| {
        let group = Group::new(QUESTION, rollouts.clone(), &rewards, settings).unwrap();
        // A look is good for one gradient.
        block_on(step(&policy, &encode(&policy), &group, settings, 1.0)).unwrap()
    };
    let (all, some) = (
        go([1.0, 0.0, 3.0], &settings()),
        go([1.0, 0.0, 3.0], &masked),
    );
    assert_eq!(
        (all.tokens, some.tokens),
        (tokens(&rollouts), tokens(&rollouts[1..]))
    );
    // On-policy the loss is the mean of -advantage over tokens; the reward of what was cut off stays in the group's mean.
    let mean = |group: &Group, rows: std::ops::Range<usize>| {
        let each = rows
            .clone()
            .map(|i| -group.advantages[i] * rollouts[i].ids.len() as f64);
        each.sum::<f64>() / tokens(&rollouts[rows])
    };
    let group = Group::new(QUESTION, rollouts.clone(), &[1.0, 0.0, 3.0], &masked).unwrap();
    assert!((all.loss - mean(&group, 0..3)).abs() < 1e-5, "{}", all.loss);
    assert!(
        (some.loss - mean(&group, 1..3)).abs() < 1e-5,
        "{}",
        some.loss
    );
    // Nothing is left where all were cut off.
    let cut = vec![rollouts[0].clone(); 2];
    let group = Group::new(QUESTION, cut, &[1.0, 0.0], &masked).unwrap();
    let none = block_on(step(&policy, &encode(&policy), &group, &masked, 1.0)).unwrap();
    assert_eq!((none.loss, none.tokens), (0.0, 0.0));
}

#[test]
fn tokens_of_high_entropy_are_those_that_count() {
    let policy = writer();
    let encoded = encode(&policy);
    let rollouts = rollouts(&policy, &encoded);
    let found = policy
        .token_logprobs(&encoded, QUESTION, &rollouts, 0.8)
        .unwrap();
    let [_, t] = found.mask.dims();
    let (entropies, mask) = (numbers(found.entropies.unwrap()), numbers(found.mask));
    let Policy::Text(text) = &policy else {
        panic!("a text policy")
    };
    let most = (text.model().config().text.vocab_size as f64).ln();
    let mut masked: Vec<f64> = Vec::new();
    for (entropy, _) in entropies.iter().zip(&mask).filter(|(_, m)| **m > 0.0) {
        assert!((0.0..=most + 1e-4).contains(entropy), "{entropy} of {most}");
        masked.push(*entropy);
    }
    // Flatter at a higher temperature.
    let warm = policy
        .token_logprobs(&encoded, QUESTION, &rollouts, 2.0)
        .unwrap();
    let warm = numbers(warm.entropies.unwrap());
    assert!(warm[0] > entropies[0], "{} {}", warm[0], entropies[0]);
    let some = GrpoSettings {
        top_entropy_quantile: 0.25,
        ..settings()
    };
    let group = Group::new(QUESTION, rollouts.clone(), &[1.0, 0.0, 3.0], &some).unwrap();
    let found = block_on(step(&policy, &encoded, &group, &some, 1.0)).unwrap();
    masked.sort_by(f64::total_cmp);
    let at = 0.75 * (masked.len() - 1) as f64;
    let (low, high) = (masked[at as usize], masked[at.ceil() as usize]);
    let bound = low + (high - low) * at.fract();
    let kept = entropies.iter().zip(&mask).enumerate();
    let kept = kept.filter(|(_, (entropy, m))| **m > 0.0 && **entropy >= bound);
    let sum: f64 = kept.map(|(i, _)| -group.advantages[i / t]).sum();
    let expected = sum / masked.len() as f64;
    assert!(
        (found.loss - expected).abs() < 1e-5,
        "{} {expected}",
        found.loss
    );
    // A map policy's box is one token.
    let map = Policy::random_map(&MapConfig::tiny(), 3, &Device::flex().autodiff()).unwrap();
    let encoded = encode(&map);
    let boxes = vec![map.rollout("[10, 20, 63, 57].").unwrap(); 2];
    let group = Group::new(QUESTION, boxes, &[1.0, 0.0], &some).unwrap();
    let error = block_on(step(&map, &encoded, &group, &some, 1.0)).unwrap_err();
    assert!(
        error.to_string().contains("top_entropy_quantile"),
        "{error}"
    );
}

#[test]
fn advantages_that_wait_for_their_batch_are_no_step() {
    use policy::grpo::ScaleRewards;
    let policy = writer();
    let encoded = encode(&policy);
    let batch = GrpoSettings {
        scale_rewards: Some(ScaleRewards::Batch),
        ..settings()
    };
    let rollouts = rollouts(&policy, &encoded);
    let mut group = Group::new(QUESTION, rollouts, &[1.0, 0.0, 3.0], &batch).unwrap();
    let error = block_on(step(&policy, &encoded, &group, &batch, 1.0)).unwrap_err();
    assert!(error.to_string().contains("batch"), "{error}");
    group.scale_by(&[1.0, 0.0, 3.0, 9.0]);
    assert!(block_on(step(&policy, &encoded, &group, &batch, 1.0)).is_ok());
}
