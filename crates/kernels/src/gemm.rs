//! The one inner loop: rows of a matrix times a panel of [`LANES`] columns.
//!
//! Written with arrays of fixed size, so that the compiler keeps the sums in vector registers, natively and in wasm.
//! No fused multiply-add: wasm has none, and without it every machine computes the same bits.

/// Output channels that are computed together.
pub const LANES: usize = 8;

/// Rows that are computed together: with [`LANES`], half of the sixteen registers that wasm and SSE have hold sums.
pub const ROWS: usize = 4;

/// Values of neighbouring channels.
pub type Lane = [f32; LANES];

/// `sums[i] + sum over k of a[i * step + k] * panel[k]`.
#[inline(always)]
pub fn add_products<const R: usize>(
    sums: [Lane; R],
    a: &[f32],
    step: usize,
    panel: &[Lane],
) -> [Lane; R] {
    let mut sums = sums;
    let rows: [&[f32]; R] = std::array::from_fn(|i| &a[i * step..i * step + panel.len()]);
    for (k, weights) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let value = row[k];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
    sums
}
