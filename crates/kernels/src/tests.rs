//! The kernels beside sums written out.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::conv::Conv;
use crate::maps::{Maps, Then};
use crate::winograd::Winograd;

fn noise(rng: &mut ChaCha8Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// The largest difference as a share of the largest value.
fn apart<A: Into<f64> + Copy, B: Into<f64> + Copy>(found: &[A], wanted: &[B]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let pairs = found.iter().zip(wanted);
    let gap = pairs.map(|(f, w)| ((*f).into() - (*w).into()).abs());
    let top = wanted.iter().map(|w| (*w).into().abs());
    gap.fold(0.0, f64::max) / top.fold(1e-9, f64::max)
}

/// A convolution as it is defined, in f64: `[H', W', to]`.
fn naive(
    x: &Maps,
    shape: [usize; 4],
    weights: &[f32],
    bias: &[f32],
    stride: [usize; 2],
) -> Vec<f64> {
    let [to, from, kh, kw] = shape;
    let pad = (kh - 1) / 2;
    let [height, width] = [(x.height, kh, stride[0]), (x.width, kw, stride[1])]
        .map(|(n, k, s)| (n + 2 * pad - k) / s + 1);
    let mut out = Vec::new();
    for (y, column) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for o in 0..to {
            let mut sum = f64::from(bias[o]);
            for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                let (y, column) = (y * stride[0] + ky, column * stride[1] + kx);
                let inside =
                    (pad..x.height + pad).contains(&y) && (pad..x.width + pad).contains(&column);
                for c in (0..from).filter(|_| inside) {
                    let value = x.row(y - pad)[(column - pad) * from + c];
                    let weight = weights[((o * from + c) * kh + ky) * kw + kx];
                    sum += f64::from(value) * f64::from(weight);
                }
            }
            out.push(sum);
        }
    }
    out
}

fn values(maps: &Maps) -> Vec<f32> {
    (0..maps.height)
        .flat_map(|y| maps.row(y).to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn convolutions_are_what_they_are_defined_as(
        (height, width) in (1usize..23, 1usize..23),
        (from, to) in (1usize..20, 1usize..20),
        (kernel, stride) in (prop::sample::select(vec![1, 3, 4]), [1usize..=2, 1usize..=2]),
        seed: u64,
    ) {
        // Kernel 4 wants a picture of 2 x 2 at least.
        let (height, width) = (height.max(2), width.max(2));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = [to, from, kernel, kernel];
        let x = Maps::from_values(height, width, from, noise(&mut rng, height * width * from));
        let weights = noise(&mut rng, to * from * kernel * kernel);
        let bias = noise(&mut rng, to);
        let wanted = naive(&x, shape, &weights, &bias, stride);
        let conv = Conv::new(shape, &weights, &bias, stride);
        prop_assert!(apart(&values(&conv.apply(&x.with_frame())), &wanted) < 1e-5);
        let positive: Vec<f64> = wanted.iter().map(|w| w.max(0.0)).collect();
        prop_assert!(apart(&values(&conv.apply_relu(&x.with_frame())), &positive) < 1e-5);
    }

    #[test]
    fn winograd_is_a_convolution(
        (height, width) in (1usize..40, 1usize..40),
        (from, to) in (1usize..5, 1usize..5),
        seed: u64,
    ) {
        let (from, to) = (8 * from, 8 * to);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let x = Maps::from_values(height, width, from, noise(&mut rng, height * width * from));
        let weights = noise(&mut rng, to * from * 9);
        let bias = noise(&mut rng, to);
        let mut wanted = naive(&x, [to, from, 3, 3], &weights, &bias, [1, 1]);
        let kernel = Winograd::new([to, from], &weights, &bias);
        let mut out = Maps::framed(height, width, to);
        kernel.run(&x.with_frame(), &mut out, Then::Set);
        prop_assert!(apart(&values(&out), &wanted) < 2e-5);
        // The frame stays zero: it is the padding of the next convolution.
        let inner = Maps::from_values(height, width, to, values(&out));
        prop_assert_eq!(&inner.with_frame().values, &out.values);
        let mut twice = inner;
        kernel.run(&x.with_frame(), &mut twice, Then::Add);
        wanted.iter_mut().for_each(|w| *w *= 2.0);
        prop_assert!(apart(&values(&twice), &wanted) < 2e-5);
    }
}
