//! A GRPO step equals PyTorch's (goldens/make.py: transformers and peft on the tiny model with a
//! random adapter): log-probabilities, k3, advantages, loss and every factor's gradient, for all loss
//! types, with and without KL, on-policy and clipped. And properties: the gradient is that of finite
//! differences, and equal rewards without KL give none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use grounding::reward::advantages;
use policy::grpo::{Group, GrpoSettings, LossType, Step, step};
use policy::{Encoded, ModelFiles, Policy, Rollout};
use pollster::block_on;
use safetensors::SafeTensors;
use serde::Deserialize;
use smolvlm::tiny;

const PREFIX: &str = "base_model.model.";
const TYPES: [(&str, LossType); 4] = [
    ("dr_grpo", LossType::DrGrpo),
    ("grpo", LossType::Grpo),
    ("bnpo", LossType::Bnpo),
    ("dapo", LossType::Dapo),
];

#[derive(Deserialize)]
struct Given {
    image: String,
    question: String,
    completions: Vec<String>,
    rewards: Vec<f64>,
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

struct Numbers(Vec<u8>);

impl Numbers {
    fn read() -> Self {
        Self(std::fs::read(goldens().join("grpo.safetensors")).expect("goldens"))
    }

    fn shaped(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let found = SafeTensors::deserialize(&self.0).expect("goldens");
        let view = found.tensor(name).expect(name);
        let chunks = view.data().as_chunks().0.iter();
        let values = chunks.map(|&b| f32::from_le_bytes(b)).collect();
        (values, view.shape().to_vec())
    }

    fn of(&self, name: &str) -> Vec<f32> {
        self.shaped(name).0
    }

    /// The tensor of one group, [G, T].
    fn group(&self, name: &str, group: usize) -> Tensor<2> {
        let (values, shape) = self.shaped(name);
        let size = shape[1] * shape[2];
        let part = values[group * size..][..size].to_vec();
        let data = burn::tensor::TensorData::new(part, [shape[1], shape[2]]);
        Tensor::from_data(data, &Device::flex())
    }
}

/// The model with its adapter, and the groups.
struct Case {
    policy: Policy,
    groups: Vec<Given>,
}

impl Case {
    fn new(device: &Device) -> Self {
        let mut policy = Policy::load(&base(), device).expect("policy");
        let adapter = ModelFiles::from_dir(&goldens().join("adapter")).expect("adapter");
        policy.load_adapter(&adapter).expect("adapter");
        let text = std::fs::read_to_string(goldens().join("rollouts.json")).expect("rollouts");
        Self {
            policy,
            groups: serde_json::from_str(&text).expect("rollouts"),
        }
    }

    fn encoded(&self, policy: &Policy, group: usize) -> Encoded {
        let path = goldens().join(&self.groups[group].image);
        let picture = picture::decode(&std::fs::read(path).expect("file")).expect("picture");
        block_on(policy.encode(&picture, None)).expect("encodes")
    }

    fn rollouts(&self, group: usize) -> Vec<Rollout> {
        let texts = self.groups[group].completions.iter();
        texts
            .map(|text| self.policy.rollout(text).expect("rollout"))
            .collect()
    }

    fn count(&self, group: usize) -> f64 {
        self.rollouts(group)
            .iter()
            .map(|row| row.ids.len())
            .sum::<usize>() as f64
    }

    /// A step on one group, measured by a reference; its loss counts `weight` times.
    fn step(
        &self,
        group: usize,
        settings: &GrpoSettings,
        old: Option<Tensor<2>>,
        weight: f64,
    ) -> Step {
        let given = &self.groups[group];
        let rollouts = self.rollouts(group);
        let found = Group::new(&given.question, rollouts, &given.rewards, settings);
        let mut drawn = found.expect("a group");
        let reference = self.policy.reference();
        let encoded = self.encoded(&reference, group);
        drawn
            .refer_to(&reference, &encoded, settings)
            .expect("logprobs");
        if let Some(old) = old {
            // The goldens are filled up to the longest completion of both groups.
            let dims = drawn.reference().expect("measured").dims();
            drawn.drawn_with(old.slice([0..dims[0], 0..dims[1]]));
        }
        let encoded = self.encoded(&self.policy, group);
        block_on(step(&self.policy, &encoded, &drawn, settings, weight)).expect("a step")
    }

    /// Loss and gradient of both groups as one batch, and the steps that they come from.
    fn batch(
        &self,
        settings: &GrpoSettings,
        old: impl Fn(usize) -> Option<Tensor<2>>,
    ) -> (f32, BTreeMap<String, Vec<f32>>, Vec<Step>) {
        let all = (0..self.groups.len()).map(|group| self.count(group)).sum();
        let mut steps = Vec::new();
        let mut gradients: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for group in 0..self.groups.len() {
            let (own, rollouts) = ((3, self.count(group)), 3 * self.groups.len());
            let weight = settings.loss_type.in_one_batch(own, (rollouts, all));
            let found = self.step(group, settings, old(group), weight);
            for (key, values) in self.gradients(&found.gradients) {
                let sum = gradients
                    .entry(key)
                    .or_insert_with(|| vec![0.0; values.len()]);
                sum.iter_mut().zip(values).for_each(|(a, b)| *a += b);
            }
            steps.push(found);
        }
        let loss = steps.iter().map(|found| found.loss).sum::<f64>();
        (loss as f32, gradients, steps)
    }

    /// Gradients of the factors under their keys in the adapter's file, as it stores them.
    fn gradients(&self, gradients: &GradientsParams) -> BTreeMap<String, Vec<f32>> {
        let Policy::Text(policy) = &self.policy else {
            panic!("a text policy")
        };
        let mut all = BTreeMap::new();
        for (name, layer) in policy.model().projections() {
            let Some(lora) = layer.lora else { continue };
            for (factor, param) in [("A", &lora.a), ("B", &lora.b)] {
                let gradient = gradients
                    .get::<2>(param.id)
                    .expect("a gradient")
                    .transpose();
                let key = format!("{PREFIX}{name}.lora_{factor}.weight");
                all.insert(key, values(gradient));
            }
        }
        all
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let flat: Tensor<1> = tensor.reshape([-1]);
    let data = block_on(flat.into_data_async()).expect("data");
    data.try_into_vec().expect("f32")
}

fn settings(loss_type: LossType, beta: f64) -> GrpoSettings {
    GrpoSettings {
        loss_type,
        beta,
        num_generations: 3,
        logprob_temperature: 1.0,
        ..GrpoSettings::default()
    }
}

fn assert_close(actual: &[f32], expected: &[f32], bound: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= bound, "{what}[{i}]: {a} instead of {e}");
    }
}

/// Every factor's gradient within 1e-3 of its largest entry.
fn assert_gradients(found: &BTreeMap<String, Vec<f32>>, expected: &[f32], what: &str) {
    let mut at = 0;
    for (key, actual) in found {
        let expected = &expected[at..at + actual.len()];
        at += actual.len();
        let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.0, "{what} {key}: a golden gradient of 0");
        assert_close(actual, expected, 1e-3 * largest, &format!("{what} {key}"));
    }
    assert_eq!(at, expected.len(), "{what}");
}

#[test]
fn a_step_is_that_of_pytorch() {
    let case = Case::new(&Device::flex().autodiff());
    let numbers = Numbers::read();
    for (name, loss_type) in TYPES {
        for beta in [0.0, 0.01] {
            let what = format!("{name}.{beta}");
            let settings = settings(loss_type, beta);
            let (total, gradients, parts) = case.batch(&settings, |_| None);
            let expected = numbers.of(&format!("loss.{what}"));
            assert_close(&[total], &expected, 1e-4, &format!("loss {what}"));
            for (group, found) in parts.into_iter().enumerate() {
                let [g, t] = found.logprobs.dims();
                let golden = |name: &str| values(numbers.group(name, group).slice([0..g, 0..t]));
                assert_close(
                    &values(found.logprobs),
                    &golden("logprobs"),
                    1e-4,
                    "logprobs",
                );
                assert_close(&values(found.k3.expect("k3")), &golden("kl"), 1e-4, "k3");
            }
            assert_gradients(&gradients, &numbers.of(&format!("gradient.{what}")), &what);
        }
        let expected = numbers.of(&format!("advantages.{name}"));
        let found: Vec<f32> = case
            .groups
            .iter()
            .flat_map(|given| advantages(&given.rewards, loss_type.scale()))
            .map(|advantage| advantage as f32)
            .collect();
        assert_close(&found, &expected, 1e-4, name);
    }
}

#[test]
fn clipped_ratios_are_those_of_pytorch() {
    let case = Case::new(&Device::flex().autodiff());
    let numbers = Numbers::read();
    let settings = settings(LossType::DrGrpo, 0.01);
    let (total, gradients, parts) = case.batch(&settings, |group| {
        Some(numbers.group("old.logprobs", group))
    });
    assert_close(&[total], &numbers.of("old.loss"), 1e-4, "loss");
    let clipped: f64 = parts.iter().map(|found| found.clipped * found.tokens).sum();
    assert!(
        clipped > 5.0,
        "{clipped} clipped tokens are too few to show anything"
    );
    assert_gradients(&gradients, &numbers.of("old.gradient"), "clipped");
}

#[test]
fn equal_rewards_without_kl_give_no_gradient() {
    let mut case = Case::new(&Device::flex().autodiff());
    case.groups
        .iter_mut()
        .for_each(|given| given.rewards = vec![0.7; 3]);
    for (name, loss_type) in TYPES {
        let (total, gradients, _) = case.batch(&settings(loss_type, 0.0), |_| None);
        assert_eq!(total, 0.0, "{name}");
        for (key, gradient) in gradients {
            assert!(gradient.iter().all(|v| *v == 0.0), "{name} {key}");
        }
        // With KL there is one: the adapter has moved the model.
        let (_, found, _) = case.batch(&settings(loss_type, 0.5), |_| None);
        assert!(found.values().flatten().any(|v| v.abs() > 1e-3), "{name}");
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let mut case = Case::new(&Device::flex().autodiff());
    let settings = settings(LossType::DrGrpo, 0.3);
    // The ratio is taken to fixed log-probabilities; on-policy it has no value of its own to differ.
    let old: Vec<Tensor<2>> = (0..2)
        .map(|g| case.step(g, &settings, None, 1.0).logprobs)
        .collect();
    let (_, gradients, _) = case.batch(&settings, |group| Some(old[group].clone()));
    let files = case.policy.weights().expect("weights");
    const STEP: f32 = 2e-3;
    let mut checked = 0;
    for (name, (_, start)) in files.iter().filter(|(name, _)| name.contains("layers.1.")) {
        // The entry that matters most, so that rounding does not hide it.
        let (a_or_b, key) = key_of(name);
        let gradient = &gradients[&key];
        let (at, &largest) = gradient
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
            .expect("an entry");
        let mut loss_at = |shift: f32| {
            let mut all: std::collections::HashMap<_, _> = files.iter().cloned().collect();
            let place = turned(at, a_or_b, start.len());
            all.get_mut(name).expect("weight").1[place] += shift;
            let policy = std::mem::replace(
                &mut case.policy,
                Policy::load(&base(), &Device::flex()).expect("policy"),
            );
            case.policy = policy.with_weights(all).expect("weights");
            let (total, _, _) = case.batch(&settings, |group| Some(old[group].clone()));
            f64::from(total)
        };
        let slope = (loss_at(STEP) - loss_at(-STEP)) / f64::from(2.0 * STEP);
        let error = (slope - f64::from(largest)).abs();
        assert!(
            error < 0.03 * f64::from(largest.abs()) + 2e-4,
            "{name}: {slope}, {largest}"
        );
        checked += 1;
    }
    assert!(checked >= 20, "{checked}");
}

fn base() -> ModelFiles {
    let mut files = tiny::files();
    let weights = include_bytes!("../../smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files
}

/// The factor and the key in the adapter's file of a trained weight's path.
fn key_of(path: &str) -> (char, String) {
    let (module, factor) = path.split_once(".lora.").expect("a factor");
    let module = module
        .replace("vision_model.layers", "model.vision_model.encoder.layers")
        .replace("text_model.layers", "model.text_model.layers")
        .replace("connector.proj", "model.connector.modality_projection.proj");
    let inside = |name: &str| format!(".mlp.{name}");
    let mut module = module;
    for name in ["fc1", "fc2", "gate_proj", "up_proj", "down_proj"] {
        if let Some(layer) = module.strip_suffix(&format!(".{name}")) {
            module = format!("{layer}{}", inside(name));
        }
    }
    let factor = if factor == "a" { 'A' } else { 'B' };
    (factor, format!("{PREFIX}{module}.lora_{factor}.weight"))
}

/// Place in memory ([in, r] or [r, out]) of place `at` in the file ([r, in] or [out, r]), rank 2.
fn turned(at: usize, factor: char, size: usize) -> usize {
    let (rows, columns) = match factor {
        'A' => (2, size / 2),
        _ => (size / 2, 2),
    };
    let (row, column) = (at / columns, at % columns);
    column * rows + row
}
