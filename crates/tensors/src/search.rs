//! The scale of a q4 block, by a search.
//!
//! Four bits are few: the scale that makes a block's largest value exact leaves more error in the 31 others than another
//! would. So many scales are tried. For each, values are rounded; to the rounded values belongs a best scale (least squares),
//! to that scale a new rounding; what has the least weighted squared error with the scale rounded to f16 stays. The idea is
//! that of llama.cpp's `make_qx_quants`; here both signs of the scale are tried, because values go from -8 to 7.

use half::f16;

/// Values that share a scale.
pub(crate) const BLOCK: usize = 32;

/// What a block's value of largest magnitude may become: from, to, in quarters. Beyond -8 and 7 it is cut off.
const LEVELS: [(i32, i32); 2] = [(-38, -22), (22, 34)];

/// Rounds of least squares and rounding that the best scale gets at most.
const ROUNDS: usize = 4;

type Block = [f32; BLOCK];

/// The scale and the values, -8 to 7, of a block of at most 32 values. `weights` are those of their squared errors; where
/// there are none, or all are 0, all count alike.
pub(crate) fn block(values: &[f32], weights: &[f32]) -> (f16, [i8; BLOCK]) {
    let mut x = [0.0; BLOCK];
    x[..values.len()].copy_from_slice(values);
    let mut w = [0.0; BLOCK];
    for (w, weight) in w.iter_mut().zip(weights.iter().take(values.len())) {
        *w = *weight;
    }
    if w.iter().all(|w| *w == 0.0) {
        w = [1.0; BLOCK];
    }
    let top = x
        .iter()
        .fold(0f32, |top, v| if v.abs() > top.abs() { *v } else { top });
    let mut best = Fit::of(&x, &w, top / -8.0);
    for (from, to) in LEVELS {
        for level in from..=to {
            let rough = rounded(&x, level as f32 / 4.0 / top);
            best.take(Fit::of(&x, &w, least_squares(&x, &w, &rough)));
        }
    }
    for _ in 0..ROUNDS {
        if !best.take(Fit::of(&x, &w, least_squares(&x, &w, &best.values))) {
            break;
        }
    }
    (best.scale, best.values.map(|value| value as i8))
}

/// A scale, the values rounded with it, and their weighted squared error.
struct Fit {
    scale: f16,
    values: Block,
    error: f32,
}

impl Fit {
    fn of(x: &Block, w: &Block, scale: f32) -> Self {
        let scale = f16::from_f32(scale);
        let step = scale.to_f32();
        let values = rounded(x, inverse(step));
        let mut error = 0.0;
        for i in 0..BLOCK {
            let gap = x[i] - values[i] * step;
            error += w[i] * gap * gap;
        }
        Self {
            scale,
            values,
            error,
        }
    }

    /// Takes the other's place where it is better.
    fn take(&mut self, other: Self) -> bool {
        let better = other.error < self.error;
        if better {
            *self = other;
        }
        better
    }
}

/// One over a scale; 0 for 0.
pub(crate) fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { scale.recip() }
}

/// Values times `inverse`, as whole numbers from -8 to 7.
fn rounded(x: &Block, inverse: f32) -> Block {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number, and becomes vectors, which `round` does not.
    const MAGIC: f32 = 12_582_912.0;
    x.map(|x| ((x * inverse).clamp(-8.0, 7.0) + MAGIC) - MAGIC)
}

/// The scale of the least weighted squared error for given whole numbers.
fn least_squares(x: &Block, w: &Block, values: &Block) -> f32 {
    let (mut xq, mut qq) = (0.0, 0.0);
    for i in 0..BLOCK {
        xq += w[i] * x[i] * values[i];
        qq += w[i] * values[i] * values[i];
    }
    if qq > 0.0 { xq / qq } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the normal distribution, more or less, always the same.
    fn normal(count: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..count)
            .map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0)
            .collect()
    }

    fn squared(x: &[f32], w: &[f32], scale: f16, values: &[i8; BLOCK]) -> f32 {
        let gap = |i: usize| x[i] - f32::from(values[i]) * scale.to_f32();
        (0..x.len()).map(|i| w[i] * gap(i) * gap(i)).sum()
    }

    /// Round to nearest: the largest value becomes -8.
    fn nearest(x: &[f32]) -> (f16, [i8; BLOCK]) {
        let top = x
            .iter()
            .fold(0f32, |top, v| if v.abs() > top.abs() { *v } else { top });
        let scale = f16::from_f32(top / -8.0);
        let mut values = [0; BLOCK];
        for (value, x) in values.iter_mut().zip(x) {
            *value = (x / scale.to_f32()).round().clamp(-8.0, 7.0) as i8;
        }
        (scale, values)
    }

    #[test]
    fn the_search_leaves_less_error_than_rounding_to_nearest() {
        let values = normal(BLOCK * 500);
        let (mut plain, mut searched, mut power) = (0.0, 0.0, 0.0);
        for x in values.chunks(BLOCK) {
            let (scale, q) = nearest(x);
            let without = squared(x, &[1.0; BLOCK], scale, &q);
            let (scale, q) = block(x, &[]);
            let with = squared(x, &[1.0; BLOCK], scale, &q);
            assert!(with <= without, "{with} and {without}");
            plain += without;
            searched += with;
            power += x.iter().map(|v| v * v).sum::<f32>();
        }
        let (plain, searched) = ((plain / power).sqrt(), (searched / power).sqrt());
        println!("relative error of q4: rounded to nearest {plain:.4}, searched {searched:.4}");
        assert!(searched < 0.95 * plain, "{searched} and {plain}");
    }

    #[test]
    fn what_counts_more_is_kept_more_precisely() {
        let values = normal(BLOCK * 200);
        let w: Vec<f32> = (0..BLOCK)
            .map(|i| if i < 4 { 100.0 } else { 1.0 })
            .collect();
        let (mut alike, mut weighted) = (0.0, 0.0);
        for x in values.chunks(BLOCK) {
            let (scale, q) = block(x, &[]);
            alike += squared(x, &w, scale, &q);
            let (scale, q) = block(x, &w);
            weighted += squared(x, &w, scale, &q);
        }
        assert!(weighted < 0.7 * alike, "{weighted} and {alike}");
    }

    #[test]
    fn zeros_stay_zeros_and_short_blocks_are_blocks() {
        assert_eq!(block(&[0.0; 7], &[]), (f16::from_f32(0.0), [0; BLOCK]));
        let (scale, values) = block(&[0.5, -0.25], &[]);
        let back = |i: usize| f32::from(values[i]) * scale.to_f32();
        assert!((back(0) - 0.5).abs() < 1e-3 && (back(1) + 0.25).abs() < 1e-3);
        // Values below what an f16 scale can hold become zeros, no numbers that are none.
        let (scale, values) = block(&[1e-12, -1e-12], &[]);
        assert_eq!((scale.to_f32(), values[0]), (0.0, 0));
    }
}
