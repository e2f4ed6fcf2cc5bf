//! Convolutions of one tap: matrix products of planes, which burn's order of values suits as it is.

use rayon::prelude::*;

use super::layout::Last;
use super::product::{COLUMNS, Left, Product};
use super::{PARTS, Shape, added_up};

/// Planes of a picture that one thread computes at once.
const PLANES: usize = 24;

/// Whether a convolution is of this kind.
pub fn serves(shape: &Shape) -> bool {
    let here = shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.pad == [0, 0];
    here && plane(shape).is_multiple_of(COLUMNS)
}

/// Pixels of a plane.
fn plane(shape: &Shape) -> usize {
    shape.input[2] * shape.input[3]
}

/// The convolution, `[B, O, H, W]`.
pub fn forward(shape: &Shape, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    multiply(weight, x, bias, [shape.to, shape.input[1], plane(shape)])
}

/// The gradient of the input.
pub fn of_input(shape: &Shape, weight: &[f32], of_result: &[f32]) -> Vec<f32> {
    let from = shape.input[1];
    let of = |c: usize| weight.iter().skip(c).step_by(from);
    let turned: Vec<f32> = (0..from).flat_map(of).copied().collect();
    multiply(&turned, of_result, &[], [from, shape.to, plane(shape)])
}

/// The gradient of the weights, `[O, C]`.
pub fn of_weight(shape: &Shape, x: &[f32], of_result: &[f32]) -> Vec<f32> {
    let [batch, from, height, width] = shape.input;
    let columns = from.next_multiple_of(COLUMNS);
    let each = PARTS.div_ceil(batch);
    let share = height.div_ceil(each);
    let parts = (0..batch * each).into_par_iter().map(|part| {
        let (picture, first) = (part / each, part % each * share);
        let rows = share.min(height.saturating_sub(first));
        let mut right = Last::new(0, width, columns);
        right.read(x, shape.input, picture, first as isize, rows);
        let mut sums = vec![0.0; shape.to * columns];
        if rows > 0 {
            let product = Product {
                sums: &mut sums,
                adds: false,
                left: &of_result[picture * shape.to * plane(shape) + first * width..],
                lies: Left::Rows(plane(shape)),
                right: right.from(0, 0),
                rows: shape.to,
                columns,
                depth: rows * width,
            };
            product.run();
        }
        sums
    });
    let total = added_up(parts);
    let rows = total.chunks_exact(columns);
    rows.flat_map(|row| &row[..from]).copied().collect()
}

/// `weight * x` picture by picture: `[rows, depth] * [B, depth, plane]`, plus a number a row.
fn multiply(weight: &[f32], x: &[f32], bias: &[f32], [rows, depth, plane]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / depth * rows];
    let pictures = out
        .par_chunks_mut(rows * plane)
        .zip(x.par_chunks_exact(depth * plane));
    pictures.for_each(|(out, right)| {
        let groups = out.par_chunks_mut(PLANES * plane).enumerate();
        groups.for_each(|(group, sums)| {
            let first = group * PLANES;
            for (sums, bias) in sums.chunks_exact_mut(plane).zip(bias.iter().skip(first)) {
                sums.fill(*bias);
            }
            let product = Product {
                rows: sums.len() / plane,
                sums,
                adds: true,
                left: &weight[first * depth..],
                lies: Left::Rows(depth),
                right,
                columns: plane,
                depth,
            };
            product.run();
        });
    });
    out
}
