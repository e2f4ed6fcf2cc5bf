//! Packed weights, attention and elements beside sums written out in f64.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::elements::exp;
use super::products::products_with;
use super::*;

/// A layer's parts as they lie in a file, and its weights as numbers.
struct Parts {
    shape: [usize; 2],
    bytes: Vec<u8>,
    scales: Vec<f32>,
    values: Vec<f32>,
    bias: Vec<f32>,
    four: bool,
}

impl Parts {
    fn random(rng: &mut ChaCha8Rng, [outputs, inputs]: [usize; 2], four: bool) -> Self {
        let blocks = inputs.div_ceil(BLOCK);
        let scales: Vec<f32> = (0..outputs * blocks)
            .map(|_| rng.random_range(0.001f32..0.02))
            .collect();
        let (low, high) = if four { (-8, 7) } else { (-127, 127) };
        let whole: Vec<i32> = (0..outputs * inputs)
            .map(|_| rng.random_range(low..=high))
            .collect();
        let value = |(at, whole): (usize, &i32)| {
            *whole as f32 * scales[at / inputs * blocks + at % inputs / BLOCK]
        };
        let values = whole.iter().enumerate().map(value).collect();
        let bytes = match four {
            true => whole
                .chunks_exact(2)
                .map(|pair| (pair[0] + 8) as u8 | ((pair[1] + 8) as u8) << 4)
                .collect(),
            false => whole.iter().map(|&whole| whole as i8 as u8).collect(),
        };
        let bias = (0..outputs).map(|_| rng.random_range(-1.0..1.0)).collect();
        Self {
            shape: [outputs, inputs],
            bytes,
            scales,
            values,
            bias,
            four,
        }
    }

    fn layer(&self) -> Linear {
        let make = if self.four { Linear::q4 } else { Linear::q8 };
        make(self.shape, &self.bytes, &self.scales, Some(&self.bias))
    }
}

fn noise(rng: &mut ChaCha8Rng, n: usize) -> Vec<f32> {
    // A few large ones, as transformers have them.
    let value = |_| rng.random_range(-1f32..1.0) * if rng.random_bool(0.02) { 50.0 } else { 1.0 };
    (0..n).map(value).collect()
}

fn run(kind: Instructions, layer: &Linear, x: &[f32], then: Then) -> Vec<f32> {
    let [outputs, inputs] = layer.shape();
    let mut out = vec![0.25; x.len() / inputs * outputs];
    let x = Activations::new(x, inputs);
    products_with(kind, &x, &mut [Job::new(layer, &mut out, then)]);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn packed_products_are_within_what_rounding_activations_explains(
        outputs in 1usize..70, half in 1usize..90, rows in 1usize..30, four: bool, seed: u64,
    ) {
        let inputs = 2 * half;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parts = Parts::random(&mut rng, [outputs, inputs], four);
        let x = noise(&mut rng, rows * inputs);
        let found = run(Instructions::best(), &parts.layer(), &x, Then::Set);
        for (row, found) in x.chunks_exact(inputs).zip(found.chunks_exact(outputs)) {
            let weights = parts.values.chunks_exact(inputs).zip(&parts.bias);
            for ((weights, bias), found) in weights.zip(found) {
                let mut sum = f64::from(*bias);
                let (mut size, mut allowed) = (f64::from(bias.abs()), 0.0);
                for (w, x) in weights.chunks(BLOCK).zip(row.chunks(BLOCK)) {
                    let top = x.iter().fold(0f32, |top, x| top.max(x.abs()));
                    // Half a step of the block's whole numbers.
                    allowed += f64::from(top / 65_534.0)
                        * w.iter().map(|w| f64::from(w.abs())).sum::<f64>();
                    for (w, x) in w.iter().zip(x) {
                        sum += f64::from(*w) * f64::from(*x);
                        size += (f64::from(*w) * f64::from(*x)).abs();
                    }
                }
                let gap = (f64::from(*found) - sum).abs();
                prop_assert!(gap <= 1.001 * allowed + 2e-6 * size, "{gap} {allowed} {size}");
            }
        }
    }

    #[test]
    fn all_instructions_and_all_numbers_of_rows_compute_the_same_bits(
        outputs in 1usize..70, half in 1usize..90, rows in 1usize..30, four: bool, seed: u64,
    ) {
        let inputs = 2 * half;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let layer = Parts::random(&mut rng, [outputs, inputs], four).layer();
        let x = noise(&mut rng, rows * inputs);
        let expected = run(Instructions::Portable, &layer, &x, Then::Set);
        for kind in Instructions::ALL.into_iter().filter(|kind| kind.there()) {
            prop_assert!(run(kind, &layer, &x, Then::Set) == expected, "{kind:?}");
            let alone: Vec<f32> = x
                .chunks_exact(inputs)
                .flat_map(|row| run(kind, &layer, row, Then::Set))
                .collect();
            prop_assert!(alone == expected, "{kind:?}, row by row");
        }
    }

    #[test]
    fn attention_is_that_of_its_definition(
        keys in 1usize..4, fold in 1usize..4, dim in 1usize..40, tokens in 1usize..70,
        past in 0usize..150, causal: bool, seed: u64,
    ) {
        let heads = Heads { queries: keys * fold, keys, dim };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = past + tokens;
        let k = noise(&mut rng, all * keys * dim);
        let v = noise(&mut rng, all * keys * dim);
        let q = noise(&mut rng, tokens * heads.queries * dim);
        // The past in two segments, the newest tokens in one that grew twice.
        let mut segments = [Segment::new(heads), Segment::new(heads), Segment::new(heads)];
        let token = keys * dim;
        for (segment, from, to) in [(0, 0, past / 3), (1, past / 3, past), (2, past, past + 1), (2, past + 1, all)] {
            segments[segment].extend(&k[from * token..to * token], &v[from * token..to * token]);
        }
        let segments: Vec<&Segment> = segments.iter().collect();
        let mut found = vec![0.0; q.len()];
        attend(heads, &q, &segments, causal.then_some(past), &mut found);
        let last = attention_of_last(heads, &q[(tokens - 1) * heads.queries * dim..], &segments);
        let mut mean = vec![0f64; all];
        for t in 0..tokens {
            let sees = if causal { past + t + 1 } else { all };
            for h in 0..heads.queries {
                let q = &q[(t * heads.queries + h) * dim..][..dim];
                let at = |all: &[f32], token: usize, d: usize| {
                    f64::from(all[(token * keys + h / fold) * dim + d])
                };
                let scores: Vec<f64> = (0..sees)
                    .map(|token| {
                        let dot: f64 = (0..dim).map(|d| f64::from(q[d]) * at(&k, token, d)).sum();
                        dot / (dim as f64).sqrt()
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for d in 0..dim {
                    let mixed: f64 = (0..sees).map(|s| weights[s] * at(&v, s, d)).sum();
                    let found = f64::from(found[(t * heads.queries + h) * dim + d]);
                    prop_assert!((found - mixed / sum).abs() < 2e-3, "{found} {}", mixed / sum);
                }
                if t + 1 == tokens {
                    let share = sum * heads.queries as f64;
                    mean.iter_mut().zip(&weights).for_each(|(mean, w)| *mean += w / share);
                }
            }
        }
        for (found, mean) in last.iter().zip(&mean) {
            prop_assert!((f64::from(*found) - mean).abs() < 1e-3, "{found} {mean}");
        }
    }
}

#[test]
fn plain_numbers_of_every_width_are_multiplied() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let shape = [37, 45];
    let values: Vec<f32> = (0..shape[0] * shape[1])
        .map(|_| f32::from_bits(rng.random_range(-1f32..1.0).to_bits() & 0xffff_0000))
        .collect();
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes())
        .collect();
    for (what, layer) in [
        ("f32", Linear::f32(shape, &values, None)),
        ("bf16", Linear::half(shape, HalfKind::BF16, &bytes, None)),
    ] {
        for rows in [1, 3, 7, 40] {
            let x = noise(&mut rng, rows * shape[1]);
            let found = run(Instructions::best(), &layer, &x, Then::Add);
            for (at, found) in found.iter().enumerate() {
                let (row, output) = (at / shape[0], at % shape[0]);
                let pairs = x[row * shape[1]..].iter().zip(&values[output * shape[1]..]);
                let sum: f32 = pairs.take(shape[1]).map(|(x, w)| x * w).sum();
                assert!(
                    (found - 0.25 - sum).abs() < 1e-4,
                    "{what}, {rows} rows: {found}"
                );
            }
        }
        assert_eq!(layer.row(36), values[36 * shape[1]..], "{what}");
    }
    let halves: Vec<u8> = [0x3c00u16, 0xc000, 0x0001, 0x7bff, 0x8000, 0x3555]
        .iter()
        .flat_map(|bits| bits.to_le_bytes())
        .collect();
    let found = Linear::half([1, 6], HalfKind::F16, &halves, None).row(0);
    assert_eq!(
        found,
        [1.0, -2.0, 2f32.powi(-24), 65504.0, 0.0, 0.333_251_95]
    );
}

#[test]
fn a_row_of_packed_weights_is_its_numbers() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for four in [false, true] {
        let parts = Parts::random(&mut rng, [21, 70], four);
        let layer = parts.layer();
        for (output, row) in parts.values.chunks_exact(70).enumerate() {
            assert_eq!(layer.row(output), row, "{output}");
        }
        // 1 or half a byte a weight and 4 a scale, outputs and inputs filled up.
        let blocks = 32 * 3;
        assert_eq!(
            layer.bytes(),
            blocks * if four { 16 } else { 32 } + 4 * blocks + 4 * 32
        );
    }
}

#[test]
fn what_is_done_with_a_product_and_several_layers_at_once() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let one = Parts::random(&mut rng, [20, 64], false).layer();
    let two = Parts::random(&mut rng, [33, 64], true).layer();
    for rows in [1, 2, 9] {
        let x = noise(&mut rng, rows * 64);
        let [mut a, mut b] = [vec![1.0; rows * 20], vec![0.0; rows * 33]];
        let activations = Activations::new(&x, 64);
        let mut jobs = [
            Job::new(&one, &mut a, Then::Add),
            Job::new(&two, &mut b, Then::Gelu),
        ];
        products(&activations, &mut jobs);
        let best = Instructions::best();
        for (found, plain) in a.iter().zip(run(best, &one, &x, Then::Set)) {
            assert!((found - 1.0 - plain).abs() < 1e-5 * plain.abs().max(1.0));
        }
        for (found, plain) in b.iter().zip(run(best, &two, &x, Then::Set)) {
            assert!((found - gelu_tanh(plain)).abs() < 1e-5 * plain.abs().max(1.0));
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let layer = Parts::random(&mut rng, [3, 64], false).layer();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = noise(&mut rng, 64);
        x[40] = bad;
        let found = run(Instructions::best(), &layer, &x, Then::Set);
        assert!(
            found.iter().all(|value| !value.is_finite()),
            "{bad}: {found:?}"
        );
    }
    assert!(exp(f32::NAN).is_nan() && gelu_tanh(f32::NAN).is_nan());
    // The smallest numbers are zeros, not infinities.
    let found = run(Instructions::best(), &layer, &[1e-42; 64], Then::Set);
    assert!(found.iter().all(|value| value.is_finite()), "{found:?}");
}

#[test]
fn elements_are_those_of_their_definitions() {
    for i in -2000..2000 {
        let x = i as f32 / 23.0;
        let close = |found: f32, wanted: f64, what: &str| {
            let gap = (f64::from(found) - wanted).abs();
            assert!(
                gap <= 1e-6 * wanted.abs() + 1e-7,
                "{what}({x}): {found} {wanted}"
            );
        };
        let wide = f64::from(x);
        close(exp(x), wide.exp(), "exp");
        close(silu(x), wide / (1.0 + (-wide).exp()), "silu");
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044715 * wide.powi(3));
        close(gelu_tanh(x), wide / 2.0 * (1.0 + inner.tanh()), "gelu");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let width = 45;
    let x = noise(&mut rng, 3 * width);
    let (scale, shift) = (noise(&mut rng, width), noise(&mut rng, width));
    let mut layer = vec![0.0; x.len()];
    let mut rms = vec![0.0; x.len()];
    layer_norm(&x, &scale, &shift, 1e-5, &mut layer);
    rms_norm(&x, &scale, 1e-5, &mut rms);
    for (row, at) in x.chunks_exact(width).zip((0..).step_by(width)) {
        let n = width as f64;
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let square = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n;
        for (i, x) in row.iter().enumerate() {
            let (x, scale) = (f64::from(*x), f64::from(scale[i]));
            let centred = (x - mean) / (square - mean * mean + 1e-5).sqrt() * scale;
            let wanted = centred + f64::from(shift[i]);
            assert!((f64::from(layer[at + i]) - wanted).abs() < 1e-4);
            let wanted = x / (square + 1e-5).sqrt() * scale;
            assert!((f64::from(rms[at + i]) - wanted).abs() < 1e-4);
        }
    }
    // Two heads of four numbers at positions 3 and 4.
    let x = noise(&mut rng, 16);
    let mut turned = x.clone();
    rotate(&mut turned, 8, 4, &rotations(4, 10_000.0, 3, 2));
    for (at, found) in turned.iter().enumerate() {
        let (position, head, d) = (3 + at / 8, at / 4 * 4, at % 4);
        let angle = position as f64 / 10_000f64.powf((d % 2) as f64 / 2.0);
        let [a, b] = [x[head + d % 2], x[head + d % 2 + 2]].map(f64::from);
        let wanted = match d < 2 {
            true => a * angle.cos() - b * angle.sin(),
            false => b * angle.cos() + a * angle.sin(),
        };
        assert!((f64::from(*found) - wanted).abs() < 1e-4, "{at}");
    }
}
