//! Convolutions and gradients against loops over their definition.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Calls `term` with the places in input, weights and result of every product of a convolution.
fn each(shape: &Shape, mut term: impl FnMut(usize, usize, usize)) {
    let [batch, from, height, width] = shape.input;
    let ([kh, kw], [rows, columns]) = (shape.kernel, shape.output());
    for (b, o, c) in
        (0..batch).flat_map(|b| (0..shape.to).flat_map(move |o| (0..from).map(move |c| (b, o, c))))
    {
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let row = (y * shape.stride[0] + ky).checked_sub(shape.pad[0]);
                let column = (x * shape.stride[1] + kx).checked_sub(shape.pad[1]);
                let (Some(row), Some(column)) = (row, column) else {
                    continue;
                };
                if row < height && column < width {
                    term(
                        ((b * from + c) * height + row) * width + column,
                        ((o * from + c) * kh + ky) * kw + kx,
                        ((b * shape.to + o) * rows + y) * columns + x,
                    );
                }
            }
        }
    }
}

fn close(ours: &[f32], theirs: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), theirs.len());
    let most = theirs
        .iter()
        .fold(1.0f64, |most, value| most.max(value.abs()));
    for (a, b) in ours.iter().zip(theirs) {
        prop_assert!((f64::from(*a) - b).abs() < 1e-5 * most, "{} {}", a, b);
    }
    Ok(())
}

/// Result and all gradients of random numbers.
fn check(shape: Shape, seed: u64) -> Result<(), TestCaseError> {
    let ([_, from, _, _], to, [kh, kw]) = (shape.input, shape.to, shape.kernel);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut random =
        |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let x = random(shape.input.iter().product());
    let weight = random(to * from * kh * kw);
    let bias = random(to);
    let of_result = random(shape.result().iter().product());
    let plane: usize = shape.output().iter().product();

    let mut result: Vec<f64> = (0..of_result.len())
        .map(|i| f64::from(bias[i / plane % to]))
        .collect();
    let (mut of_x, mut of_weight) = (vec![0f64; x.len()], vec![0f64; weight.len()]);
    each(&shape, |i, w, r| {
        result[r] += f64::from(x[i]) * f64::from(weight[w]);
        of_x[i] += f64::from(of_result[r]) * f64::from(weight[w]);
        of_weight[w] += f64::from(of_result[r]) * f64::from(x[i]);
    });
    let mut of_bias = vec![0f64; to];
    of_result
        .iter()
        .enumerate()
        .for_each(|(i, v)| of_bias[i / plane % to] += f64::from(*v));

    close(&shape.forward(&x, &weight, &bias), &result)?;
    close(&shape.of_input(&weight, &of_result), &of_x)?;
    close(&shape.of_weight(&x, &of_result), &of_weight)?;
    close(&shape.of_bias(&of_result), &of_bias)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_convolution_and_its_gradients_are_the_definition_s(
        batch in 1usize..3, from in 1usize..20, to in 1usize..37,
        size in [3usize..20, 3usize..20], kernel in [1usize..5, 1usize..5], stride in [1usize..4, 1usize..4],
        pad in [0usize..3, 0usize..3], seed in 0u64..1000,
    ) {
        prop_assume!((0..2).all(|i| size[i] + 2 * pad[i] >= kernel[i]));
        check(Shape { input: [batch, from, size[0], size[1]], to, kernel, stride, pad }, seed)?;
    }

    #[test]
    fn so_are_those_of_three_by_three(
        batch in 1usize..3, from in 16usize..40, to in 16usize..40, size in [1usize..30, 1usize..30], seed in 0u64..1000,
    ) {
        check(Shape { input: [batch, from, size[0], size[1]], to, kernel: [3, 3], stride: [1, 1], pad: [1, 1] }, seed)?;
    }

    #[test]
    fn so_are_those_of_one_tap(
        batch in 1usize..4, from in 1usize..120, to in 1usize..70, rows in 1usize..12, columns in 1usize..12, seed in 0u64..1000,
    ) {
        let input = [batch, from, rows, columns * COLUMNS];
        check(Shape { input, to, kernel: [1, 1], stride: [1, 1], pad: [0, 0] }, seed)?;
    }
}
