//! The loss beside the same formulas in plain f64, its gradient beside finite differences, and what
//! must never move a policy.

use burn::tensor::Device;

use super::*;

const G: usize = 3;
const T: usize = 4;
/// Rows of 4, 2 and 3 tokens.
const MASK: [[f64; T]; G] = [[1., 1., 1., 1.], [1., 1., 0., 0.], [1., 1., 1., 0.]];
const POLICY: [[f64; T]; G] = [
    [-0.5, -1.2, -0.1, -2.0],
    [-0.9, -0.3, -7.0, -9.0],
    [-1.5, -0.2, -0.6, -4.0],
];
/// Some ratios beyond 20 % on either side.
const OLD: [[f64; T]; G] = [
    [-0.9, -1.1, -0.6, -1.5],
    [-0.4, -0.35, 0.0, 0.0],
    [-1.5, -0.7, -0.1, 0.0],
];
const REFERENCE: [[f64; T]; G] = [
    [-0.7, -1.0, -0.3, -1.0],
    [-1.9, -0.2, 0.0, 0.0],
    [-1.4, -0.4, -0.6, 0.0],
];
const ADVANTAGES: [f64; G] = [1.5, -0.7, -0.8];
/// Of each completion when drawn: weights of 0.9, 2 and 5 beside OLD.
const SAMPLED: [f64; G] = [-3.9946395, -1.4431472, -3.9094379];

type Rows = [[f64; T]; G];

fn tensor(rows: &Rows, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(values, [G, T]), device)
}

/// The definition, token by token.
fn expected(s: &GrpoSettings, policy: &Rows, old: Option<&Rows>, reference: Option<&Rows>) -> f64 {
    let mut rows = [0.0; G];
    let mut lengths = [0.0; G];
    for i in 0..G {
        for t in 0..T {
            if MASK[i][t] == 0.0 {
                continue;
            }
            let a = ADVANTAGES[i];
            let ratio = (policy[i][t] - old.unwrap_or(policy)[i][t]).exp();
            let bounded = ratio.clamp(1.0 - s.epsilon, 1.0 + s.epsilon);
            let d = reference.unwrap_or(policy)[i][t] - policy[i][t];
            rows[i] += -(ratio * a).min(bounded * a) + s.beta * (d.exp() - d - 1.0);
            lengths[i] += 1.0;
        }
    }
    let sum: f64 = rows.iter().sum();
    match s.loss_type {
        LossType::DrGrpo => sum / (G * s.max_completion_length) as f64,
        LossType::Grpo => (0..G).map(|i| rows[i] / lengths[i]).sum::<f64>() / G as f64,
        LossType::Bnpo => sum / lengths.iter().sum::<f64>(),
        LossType::Dapo => sum,
        LossType::Cispo | LossType::Sapo => unreachable!("beside PyTorch only"),
    }
}

fn settings(loss_type: LossType, beta: f64) -> GrpoSettings {
    GrpoSettings {
        beta,
        max_completion_length: 7,
        num_generations: G,
        loss_type,
        ..GrpoSettings::default()
    }
}

fn group(old: bool, reference: bool, device: &Device) -> (Tensor<2>, GroupLogprobs) {
    let policy = tensor(&POLICY, device).require_grad();
    let logprobs = GroupLogprobs {
        policy: policy.clone(),
        old: old.then(|| tensor(&OLD, device)),
        reference: reference.then(|| tensor(&REFERENCE, device)),
        mask: tensor(&MASK, device),
        keep: None,
        sampled: SAMPLED.to_vec(),
    };
    (policy, logprobs)
}

const ALL: [LossType; 4] = [
    LossType::DrGrpo,
    LossType::Grpo,
    LossType::Bnpo,
    LossType::Dapo,
];

fn number(x: &Tensor<1>) -> f64 {
    f64::from(x.clone().into_scalar::<f32>())
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_to_vec().expect("f32")
}

#[test]
fn the_value_is_the_definition() {
    let device = Device::flex().autodiff();
    for loss_type in ALL {
        for (old, reference) in [(false, false), (false, true), (true, false), (true, true)] {
            let s = settings(loss_type, if reference { 0.3 } else { 0.0 });
            let (_, logprobs) = group(old, reference, &device);
            let found = loss(&s, logprobs, &ADVANTAGES).expect("loss");
            let wanted = expected(
                &s,
                &POLICY,
                old.then_some(&OLD),
                reference.then_some(&REFERENCE),
            );
            let found = number(&found.loss);
            assert!(
                (found - wanted).abs() < 1e-6,
                "{loss_type:?}: {found} {wanted}"
            );
        }
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let device = Device::flex().autodiff();
    let step = 1e-4;
    for loss_type in ALL {
        for old in [false, true] {
            let s = settings(loss_type, 0.3);
            let (policy, logprobs) = group(old, true, &device);
            let found = loss(&s, logprobs, &ADVANTAGES).expect("loss");
            let gradient = policy.grad(&found.loss.backward()).expect("gradient");
            let gradient = values(gradient);
            for i in 0..G {
                for t in 0..T {
                    // On-policy `old` is the present policy, held fixed while the policy moves.
                    let fixed = if old { OLD } else { POLICY };
                    let at = |by: f64| {
                        let mut moved = POLICY;
                        moved[i][t] += by;
                        expected(&s, &moved, Some(&fixed), Some(&REFERENCE))
                    };
                    let wanted = (at(step) - at(-step)) / (2.0 * step);
                    let found = f64::from(gradient[i * T + t]);
                    assert!(
                        (found - wanted).abs() < 1e-5,
                        "{loss_type:?} old {old} [{i}, {t}]: {found} {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn equal_rewards_without_beta_give_no_gradient() {
    let device = Device::flex().autodiff();
    for loss_type in ALL {
        let rewards = grounding::reward::advantages(&[-2.3; G], loss_type.scale());
        let (policy, logprobs) = group(false, false, &device);
        let found = loss(&settings(loss_type, 0.0), logprobs, &rewards).expect("loss");
        assert_eq!(number(&found.loss), 0.0);
        let gradient = policy.grad(&found.loss.backward()).expect("gradient");
        assert!(values(gradient).iter().all(|g| *g == 0.0), "{loss_type:?}");
    }
}

#[test]
fn what_stands_beyond_a_completion_counts_nothing() {
    let device = Device::flex().autodiff();
    for old in [false, true] {
        let s = settings(LossType::DrGrpo, 0.3);
        let (_, logprobs) = group(old, true, &device);
        let plain = number(&loss(&s, logprobs, &ADVANTAGES).expect("loss").loss);
        let mut filled = POLICY;
        filled[1][3] = f64::NEG_INFINITY;
        filled[2][3] = 80.0;
        let policy = tensor(&filled, &device).require_grad();
        let (_, mut logprobs) = group(old, true, &device);
        logprobs.policy = policy.clone();
        let found = loss(&s, logprobs, &ADVANTAGES).expect("loss");
        assert_eq!(number(&found.loss), plain);
        let gradient = values(policy.grad(&found.loss.backward()).expect("gradient"));
        assert_eq!((gradient[T + 3], gradient[2 * T + 3]), (0.0, 0.0));
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}

#[test]
fn what_was_clipped_is_reported() {
    let device = Device::flex().autodiff();
    let (_, logprobs) = group(true, true, &device);
    let found = loss(&settings(LossType::Grpo, 0.1), logprobs, &ADVANTAGES).expect("loss");
    // Row 0, A > 0: ratios e^0.4 and e^0.5 are above 1.2. Rows 1 and 2, A < 0: e^-0.5 (row 1, first
    // and row 2, third token) is below 0.8; e^0.5 of row 2's second is not clipped.
    let clipped = values(found.clipped.expect("clipped"));
    assert_eq!(clipped, [1., 0., 1., 0., 1., 0., 0., 0., 0., 0., 1., 0.]);
    let kl = values(found.kl.expect("kl"));
    let d: f64 = REFERENCE[0][0] - POLICY[0][0];
    assert!((f64::from(kl[0]) - (d.exp() - d - 1.0)).abs() < 1e-6);
    assert!(kl.iter().all(|k| *k >= 0.0) && kl[6] == 0.0);
}

#[test]
fn what_does_not_fit_is_named() {
    let device = Device::flex().autodiff();
    let error = |s: GrpoSettings, advantages: &[f64]| {
        let (_, logprobs) = group(false, false, &device);
        let found = loss(&s, logprobs, advantages);
        found.expect_err("an error").to_string()
    };
    let plain = || settings(LossType::DrGrpo, 0.0);
    assert!(error(plain(), &[1.0]).contains("1 advantages for 3 rollouts"));
    assert!(error(plain(), &[1.0, f64::NAN, 0.0]).contains("NaN"));
    assert!(error(settings(LossType::DrGrpo, 0.1), &ADVANTAGES).contains("ref_logprobs"));
    let (_, mut logprobs) = group(false, false, &device);
    logprobs.sampled = vec![-1.0, f64::NAN, -2.0];
    let s = GrpoSettings {
        importance_sampling_correction: Some(Correction::SequenceMask),
        ..plain()
    };
    let found = loss(&s, logprobs, &ADVANTAGES).expect_err("an error");
    assert!(found.to_string().contains("was drawn"), "{found}");
}

#[test]
fn accumulated_groups_count_as_trl_says() {
    use LossType::{Bnpo, Dapo, DrGrpo, Grpo};
    for loss_type in [DrGrpo, Grpo, Bnpo] {
        assert_eq!(loss_type.accumulated(4, 100.0), 0.25);
    }
    assert_eq!(Dapo.accumulated(4, 100.0), 0.01);
    // In one local batch tokens count alike, whichever group they stand in.
    let (own, all) = ((2, 30.0), (8, 100.0));
    assert_eq!(Bnpo.in_one_batch(own, all), 0.3);
    assert_eq!(DrGrpo.in_one_batch(own, all), 0.25);
    assert_eq!(Dapo.in_one_batch(own, all), 0.01);
}

/// Of every token.
const ENTROPIES: [[f64; T]; G] = [
    [0.7, 0.1, 1.9, 0.4],
    [1.2, 0.05, 9.0, 9.0],
    [0.3, 2.2, 0.9, 9.0],
];

/// TRL's loss types and options beside PyTorch's autograd (goldens/options.py).
#[test]
fn loss_types_and_options_are_those_of_pytorch() {
    use LossType::{Bnpo, Cispo, Dapo, DrGrpo, Grpo, Sapo};
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/options.safetensors");
    let bytes = std::fs::read(path).expect("goldens");
    let goldens = safetensors::SafeTensors::deserialize(&bytes).expect("goldens");
    let golden = |name: &str| -> Vec<f32> {
        let data = goldens.tensor(name).expect(name).data().as_chunks().0;
        data.iter().map(|&b| f32::from_le_bytes(b)).collect()
    };
    let flat = |rows: &Rows| -> Vec<f32> { rows.iter().flatten().map(|v| *v as f32).collect() };
    for share in ["0.2", "0.5", "0.7", "1.0"] {
        let number: f64 = share.parse().expect("a number");
        let found = super::super::step::highest(&flat(&ENTROPIES), &flat(&MASK), number);
        assert_eq!(found, golden(&format!("keep.{share}")), "{share}");
    }
    let device = Device::flex().autodiff();
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for (kind, loss_type) in [
        ("dr_grpo", DrGrpo),
        ("grpo", Grpo),
        ("bnpo", Bnpo),
        ("dapo", Dapo),
        ("cispo", Cispo),
        ("sapo", Sapo),
    ] {
        for variant in [
            "plain",
            "on_policy",
            "high",
            "sequence",
            "cut",
            "top",
            "steep",
            "truncate",
            "weigh",
            "all",
        ] {
            let mut s = settings(loss_type, 0.3);
            let (policy, mut logprobs) = group(variant != "on_policy", true, &device);
            let all = variant == "all";
            if variant == "high" || all {
                s.epsilon_high = Some(if all { 0.4 } else { 0.6 });
            }
            if variant == "sequence" || all {
                s.importance_sampling_level = ImportanceLevel::Sequence;
            }
            if variant == "cut" || all {
                let mut mask = MASK;
                mask[if all { 2 } else { 1 }] = [0.0; T];
                logprobs.mask = tensor(&mask, &device);
            }
            if variant == "top" || all {
                logprobs.keep = Some(Tensor::from_data(
                    TensorData::new(golden(if all { "keep.0.7" } else { "keep.0.5" }), [G, T]),
                    &device,
                ));
            }
            if variant == "steep" || all {
                let steep = if all { (0.5, 2.5) } else { (2.0, 3.0) };
                (s.sapo_temperature_pos, s.sapo_temperature_neg) = steep;
            }
            if variant == "truncate" || all {
                s.importance_sampling_correction = Some(Correction::SequenceTruncate);
            } else if variant == "weigh" {
                s.importance_sampling_correction = Some(Correction::SequenceMask);
            }
            let found = loss(&s, logprobs, &ADVANTAGES).expect("loss");
            let what = format!("{kind}.{variant}");
            let expected = f64::from(golden(&format!("loss.{what}"))[0]);
            let value = number(&found.loss);
            assert!(
                (value - expected).abs() < 2e-6,
                "{what}: {value} {expected}"
            );
            let gradient = values(policy.grad(&found.loss.backward()).expect("gradient"));
            let expected = golden(&format!("gradient.{what}"));
            for (found, expected) in gradient.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{what}: {gradient:?} {expected:?}"
                );
            }
            seen.push(expected);
        }
    }
    // The options change something: of 60 gradients most are different.
    seen.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    seen.dedup();
    assert!(seen.len() >= 46, "{}", seen.len());
}

#[test]
fn advantages_are_scaled_as_is_asked() {
    use crate::grpo::{Group, ScaleRewards};
    let rewards = [1.0, 2.0, 6.0];
    let rollouts = || {
        let one = crate::map::rollout("[10, 20, 63, 57].").expect("a box");
        vec![one; 3]
    };
    let found = |loss_type, scale_rewards| {
        let settings = GrpoSettings {
            scale_rewards,
            ..settings(loss_type, 0.0)
        };
        let group = Group::new("Q?", rollouts(), &rewards, &settings);
        group.expect("a group")
    };
    let close = |group: &Group, by: f64| {
        let expected = [-2.0 / by, -1.0 / by, 3.0 / by];
        let pairs = group.advantages.iter().zip(expected);
        let gap = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap < 1e-9, "{:?} {expected:?}", group.advantages);
    };
    let own = 7f64.sqrt() + 1e-4;
    close(&found(LossType::DrGrpo, None), 1.0);
    close(&found(LossType::Dapo, None), own);
    close(&found(LossType::DrGrpo, Some(ScaleRewards::Group)), own);
    close(&found(LossType::Grpo, Some(ScaleRewards::None)), 1.0);
    // Deviation of 0, 0, 1, 2, 6, 9: mean 3, squares 9 + 9 + 4 + 1 + 9 + 36 = 68, over 5.
    let mut batch = found(LossType::Grpo, Some(ScaleRewards::Batch));
    for _ in 0..2 {
        batch.scale_by(&[0.0, 0.0, 1.0, 2.0, 6.0, 9.0]); // once is enough
        close(&batch, (68f64 / 5.0).sqrt() + 1e-4);
    }
}
