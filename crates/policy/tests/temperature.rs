//! Log-probabilities are those of the distribution that is drawn from, whatever the temperature: frequencies beside
//! probabilities for both policies, the policy gradient beside finite differences of what is sampled, and k3 beside the
//! divergence. Each test says that log-probabilities at temperature 1 would not pass.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use grounding::reward::{Scale, advantages};
use policy::grpo::{GroupLogprobs, GrpoSettings, loss};
use policy::map::BoxDistribution;
use policy::map::loss::log_probs;
use policy::{Encoded, MapConfig, MapPolicy, Policy, Rollout, SampleOptions, TextPolicy};
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smolvlm::{SmolVlm, tiny};

const QUESTION: &str = "What is the total?";
const TEMPERATURES: [f64; 4] = [0.5, 0.8, 1.0, 1.6];

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let data = block_on(tensor.into_data_async()).unwrap();
    let values: Vec<f32> = data.convert::<f32>().try_into_vec().unwrap();
    values.into_iter().map(f64::from).collect()
}

fn encode(policy: &Policy) -> Encoded {
    let picture = picture::RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([if (x / 8 + y / 8) % 2 == 0 { 30 } else { 220 }; 3])
    });
    block_on(policy.encode(&picture, None)).unwrap()
}

fn draw(policy: &Policy, encoded: &Encoded, options: &SampleOptions, seed: u64) -> Vec<Rollout> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    block_on(policy.sample(encoded, QUESTION, options, &mut rng)).unwrap()
}

/// Pearson's chi-square of counts beside probabilities, what is left over as one class more, in standard deviations above
/// what counts of these probabilities have.
fn surprise(counts: &[(f64, f64)], n: f64) -> f64 {
    let counted: f64 = counts.iter().map(|(count, _)| count).sum();
    let likely: f64 = counts.iter().map(|(_, p)| p).sum();
    let rest = (n - counted, (1.0 - likely).max(1e-9));
    let all = counts.iter().chain([&rest]);
    let square: f64 = all
        .map(|(count, p)| (count - n * p).powi(2) / (n * p))
        .sum();
    let freedom = counts.len() as f64;
    (square - freedom) / (2.0 * freedom).sqrt()
}

/// Frequencies of classes of rollouts beside what `token_logprobs` says of one rollout of each: its `column`, or the sum.
fn compare<K: std::hash::Hash + Eq + Ord + Clone>(
    policy: &Policy,
    encoded: &Encoded,
    options: &SampleOptions,
    class: impl Fn(&Rollout) -> K,
    column: Option<usize>,
) {
    // What is counted is chosen by one sample and counted in another.
    let mut known: HashMap<K, (usize, Rollout)> = HashMap::new();
    let some = SampleOptions {
        n: options.n / 2,
        ..options.clone()
    };
    for rollout in draw(policy, encoded, &some, 1) {
        known.entry(class(&rollout)).or_insert((0, rollout)).0 += 1;
    }
    let mut known: Vec<(K, (usize, Rollout))> = known.into_iter().collect();
    known.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(&b.0)));
    known.truncate(40);
    let mut counts: HashMap<K, f64> = HashMap::new();
    for rollout in draw(policy, encoded, options, 2) {
        *counts.entry(class(&rollout)).or_default() += 1.0;
    }
    let rollouts: Vec<Rollout> = known.iter().map(|(_, (_, r))| r.clone()).collect();
    let at = |temperature: f64| {
        let found = policy.token_logprobs(encoded, QUESTION, &rollouts, temperature);
        let found = found.unwrap();
        let [g, t] = found.logprobs.dims();
        let values = numbers(found.logprobs * found.mask);
        let rows = values.chunks(t).map(|row| match column {
            Some(column) => row[column],
            None => row.iter().sum(),
        });
        let chances: Vec<f64> = rows.map(f64::exp).collect();
        assert_eq!(chances.len(), g);
        let each = known.iter().zip(&chances);
        let each: Vec<(f64, f64)> = each
            .map(|((key, _), p)| (counts.get(key).copied().unwrap_or_default(), *p))
            .collect();
        surprise(&each, options.n as f64)
    };
    let t = options.temperature;
    assert!(at(t) < 5.0, "temperature {t}: {}", at(t));
    if t != 1.0 {
        assert!(
            at(1.0) > 9.0,
            "temperature {t} cannot be told from 1: {}",
            at(1.0)
        );
    }
}

fn options(n: usize, temperature: f64) -> SampleOptions {
    SampleOptions {
        n,
        temperature,
        ..SampleOptions::default()
    }
}

/// What a rollout says of itself is what is measured at its temperature.
fn assert_reported(policy: &Policy, encoded: &Encoded, options: &SampleOptions) {
    let rollouts = draw(policy, encoded, options, 3);
    let found = policy.token_logprobs(encoded, QUESTION, &rollouts, options.temperature);
    let found = found.unwrap();
    let sums = numbers((found.logprobs * found.mask).sum_dim(1));
    for (rollout, sum) in rollouts.iter().zip(sums) {
        let gap = (rollout.logprob - sum).abs();
        assert!(gap < 1e-3 * sum.abs().max(1.0), "{sum} {rollout:?}");
    }
}

#[test]
fn a_map_policys_boxes_come_as_often_as_their_log_probabilities_say() {
    // Eight cells.
    let config = MapConfig {
        canvas_pixels: 1024,
        ..MapConfig::tiny()
    };
    let policy = MapPolicy::random(&config, 7, &Device::flex()).unwrap();
    let policy = Policy::Map(policy);
    let encoded = encode(&policy);
    for temperature in TEMPERATURES {
        let class = |rollout: &Rollout| rollout.completion.clone();
        compare(
            &policy,
            &encoded,
            &options(20_000, temperature),
            class,
            None,
        );
        assert_reported(&policy, &encoded, &options(6, temperature));
    }
}

/// A tiny text policy whose choices are clear enough for a temperature to matter.
fn writer() -> Policy {
    let mut files = tiny::files();
    let weights = include_bytes!("../../smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    let model = SmolVlm::load(&files, &Device::flex()).unwrap();
    Policy::Text(TextPolicy::new(model).unwrap())
}

#[test]
fn a_text_policys_tokens_come_as_often_as_their_log_probabilities_say() {
    let policy = writer();
    let encoded = encode(&policy);
    for temperature in TEMPERATURES {
        // Free: a completion of one token. Constrained: the first digit, where the first choice falls.
        let free = SampleOptions {
            unconstrained: true,
            max_tokens: 1,
            ..options(6000, temperature)
        };
        compare(
            &policy,
            &encoded,
            &free,
            |rollout| rollout.ids.clone(),
            None,
        );
        let boxes = options(2000, temperature);
        let one = draw(&policy, &encoded, &options(1, 1.0), 0);
        let mask = policy.token_logprobs(&encoded, QUESTION, &one, 1.0);
        let first = numbers(mask.unwrap().mask)
            .iter()
            .position(|m| *m > 0.0)
            .unwrap();
        compare(
            &policy,
            &encoded,
            &boxes,
            |rollout| rollout.ids[first],
            Some(first),
        );
        for unconstrained in [false, true] {
            let options = SampleOptions {
                unconstrained,
                ..options(6, temperature)
            };
            assert_reported(&policy, &encoded, &options);
        }
    }
}

/// What softplus, scale and cut say of a cell's left edge: the chance of every whole percent, in f64.
fn left_edge(raw: [f64; 2], centre: f64, temperature: f64) -> Vec<f64> {
    let softplus = |x: f64| x.exp().ln_1p();
    let position = centre - 10.0 * softplus(raw[0]);
    let scale = softplus(raw[1]).clamp(0.15, 30.0) * temperature;
    let below = |at: f64| 1.0 / (1.0 + (-(at - position) / scale).exp());
    let last = centre.floor();
    let whole = below(last + 0.5) - below(-0.5);
    (0..=last as usize)
        .map(|k| (below(k as f64 + 0.5) - below(k as f64 - 0.5)) / whole)
        .collect()
}

/// Raw maps of a grid of 2 x 2, map by map.
fn raw(seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..36).map(|_| rng.random_range(-1.0..1.5)).collect()
}

/// The mean of x1 of what is sampled: exactly, from the definition.
fn mean_left(raw: &[f64], temperature: f64) -> f64 {
    let weights: Vec<f64> = raw[..4].iter().map(|l| (l / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let cells = weights.iter().enumerate();
    cells
        .map(|(c, weight)| {
            let centre = [25.0, 75.0][c % 2];
            let edge = left_edge([raw[4 + c], raw[8 + c]], centre, temperature);
            let mean = edge.iter().enumerate().map(|(k, p)| k as f64 * p);
            weight / sum * mean.sum::<f64>()
        })
        .sum()
}

#[test]
fn the_policy_gradient_is_that_of_finite_differences_of_what_is_sampled() {
    let raw = raw(3);
    const STEP: f64 = 1e-5;
    for temperature in [0.5, 2.0] {
        let slope = |i: usize| {
            let at = |by: f64| {
                let mut moved = raw.clone();
                moved[i] += by;
                mean_left(&moved, temperature)
            };
            (at(STEP) - at(-STEP)) / (2.0 * STEP)
        };
        let wanted: Vec<f64> = (0..raw.len()).map(slope).collect();
        let size = wanted.iter().map(|g| g * g).sum::<f64>().sqrt();
        // The gradient of GRPO's loss along that of what is sampled, from twelve groups.
        let values: Vec<f32> = raw.iter().map(|v| *v as f32).collect();
        let distribution = BoxDistribution::new(&values, 2, 2);
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let along = |boxes: &[grounding::NormBox], logprob_temperature: f64| {
            let device = Device::flex().autodiff();
            let data = TensorData::new(values.clone(), [1, 9, 2, 2]);
            let maps = Tensor::<4>::from_data(data, &device).require_grad();
            let logprobs = log_probs(maps.clone(), boxes, logprob_temperature);
            let rewards: Vec<f64> = boxes.iter().map(|b| f64::from(b.x1)).collect();
            let n = boxes.len();
            let group = GroupLogprobs {
                policy: logprobs.reshape([n, 1]),
                old: None,
                reference: None,
                mask: Tensor::ones([n, 1], &device),
                keep: None,
                sampled: Vec::new(),
            };
            let settings = GrpoSettings {
                beta: 0.0,
                max_completion_length: 1,
                ..GrpoSettings::default()
            };
            let found = loss(&settings, group, &advantages(&rewards, Scale::None));
            let gradient = maps.grad(&found.unwrap().loss.backward()).unwrap();
            let dot = numbers(gradient)
                .iter()
                .zip(&wanted)
                .map(|(f, w)| -f * w)
                .sum::<f64>();
            // The mean that is subtracted holds each reward itself: a factor of (n - 1) / n.
            dot / size * n as f64 / (n - 1) as f64
        };
        let (mut own, mut at_one) = (Vec::new(), Vec::new());
        for _ in 0..12 {
            let boxes: Vec<_> = (0..150)
                .map(|_| distribution.sample(temperature, &mut rng))
                .collect();
            own.push(along(&boxes, temperature));
            at_one.push(along(&boxes, 1.0));
        }
        let off = |found: &[f64]| {
            let error = grounding::reward::deviation(found) / (found.len() as f64).sqrt();
            (grounding::reward::mean(found) - size) / error
        };
        assert!(
            off(&own).abs() < 4.0,
            "temperature {temperature}: {size} {own:?}"
        );
        assert!(
            off(&at_one).abs() > 8.0,
            "temperature {temperature}: {size} {at_one:?}"
        );
    }
}

#[test]
fn k3_is_unbiased_at_the_temperature_of_sampling() {
    // One cell, so that the divergence is a sum over four edges; only the left ones differ.
    let (own, reference) = ([0.3, 0.6], [0.5, 0.9]);
    let temperature = 0.5;
    let maps = |left: [f32; 2]| [0.0, left[0], left[1], 0.1, 0.2, 0.3, 0.1, 0.2, 0.3];
    let chances = |left: [f32; 2]| left_edge(left.map(f64::from), 50.0, temperature);
    let pairs = chances(own).into_iter().zip(chances(reference));
    let divergence: f64 = pairs
        .map(|(p, r)| if p > 0.0 { p * (p / r).ln() } else { 0.0 })
        .sum();
    let distribution = BoxDistribution::new(&maps(own), 1, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let boxes: Vec<_> = (0..4000)
        .map(|_| distribution.sample(temperature, &mut rng))
        .collect();
    let device = Device::flex();
    let n = boxes.len();
    let k3 = |at: f64| {
        let of = |left| {
            let maps = TensorData::new(maps(left).to_vec(), [1, 9, 1, 1]);
            log_probs(Tensor::from_data(maps, &device), &boxes, at).reshape([n, 1])
        };
        let group = GroupLogprobs {
            policy: of(own),
            old: None,
            reference: Some(of(reference)),
            mask: Tensor::ones([n, 1], &device),
            keep: None,
            sampled: Vec::new(),
        };
        let settings = GrpoSettings {
            max_completion_length: 1,
            ..GrpoSettings::default()
        };
        let each = numbers(loss(&settings, group, &vec![0.0; n]).unwrap().kl.unwrap());
        let error = grounding::reward::deviation(&each) / (n as f64).sqrt();
        let mean = grounding::reward::mean(&each);
        ((mean - divergence) / error, mean)
    };
    let (off, mean) = k3(temperature);
    assert!(off.abs() < 4.0, "{divergence} {mean}");
    let (off, mean) = k3(1.0);
    assert!(off.abs() > 8.0, "{divergence} {mean}");
}

#[test]
fn a_temperature_that_is_none_is_refused() {
    for policy in [
        Policy::random_map(&MapConfig::tiny(), 7, &Device::flex()).unwrap(),
        writer(),
    ] {
        let encoded = encode(&policy);
        let rollouts = draw(&policy, &encoded, &options(2, 1.0), 0);
        for wrong in [0.0, -0.8, f64::NAN, f64::INFINITY] {
            let found = policy.token_logprobs(&encoded, QUESTION, &rollouts, wrong);
            let error = found.unwrap_err().to_string();
            assert!(error.contains("temperature is"), "{error}");
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let options = options(2, wrong);
            let found = policy.sample(&encoded, QUESTION, &options, &mut rng);
            assert!(block_on(found).is_err());
        }
    }
}
