//! The one inner loop: rows of a matrix times a panel of [`LANES`] columns.
//!
//! Written with arrays of fixed size, so that the compiler keeps the sums in vector registers, natively and in wasm.
//! No fused multiply-add: wasm has none, and without it every machine computes the same bits.

/// Output channels that are computed together.
pub const LANES: usize = 8;

/// Rows that are computed together: half of the sixteen registers hold sums, which with [`LANES`] are vectors of four values in
/// wasm and of eight on an x86 processor with AVX2.
pub const ROWS: usize = if cfg!(target_arch = "x86_64") { 8 } else { 4 };

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
    // All of the panel's length, so that the loop needs no checks.
    let n = panel.len();
    let mut rows: [&[f32]; R] = [&[]; R];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = &a[i * step..][..n];
    }
    for k in 0..n {
        let weights = &panel[k];
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let value = row[k];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
    sums
}

/// Work that is compiled several times, once for each kind of vectors.
pub trait Work {
    /// What it gives.
    type Output;

    /// Does it; to be inlined, together with all that it calls.
    fn run(self) -> Self::Output;
}

/// Does work with the widest vectors that this processor has. Products are not fused with sums, so that the bits are the same.
#[inline(always)]
pub fn vectorized<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        struct Call<W>(W);

        impl<W: Work> pulp::NullaryFnOnce for Call<W> {
            type Output = W::Output;

            #[inline(always)]
            fn call(self) -> W::Output {
                self.0.run()
            }
        }

        if let Some(simd) = pulp::x86::V3::try_new() {
            return pulp::Simd::vectorize(simd, Call(work));
        }
    }
    work.run()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    struct Product<'a>(&'a [f32], &'a [Lane]);

    impl Work for Product<'_> {
        type Output = [Lane; ROWS];

        #[inline(always)]
        fn run(self) -> Self::Output {
            add_products([[0.0; LANES]; ROWS], self.0, self.1.len(), self.1)
        }
    }

    #[test]
    fn every_kind_of_vectors_gives_the_same_bits() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut value = || rng.random_range(-1.0f32..1.0);
        let panel: Vec<Lane> = (0..57).map(|_| std::array::from_fn(|_| value())).collect();
        let rows: Vec<f32> = (0..ROWS * panel.len()).map(|_| value()).collect();
        let bits = |sums: [Lane; ROWS]| sums.map(|lane| lane.map(f32::to_bits));
        let (plain, vectors) = (Product(&rows, &panel), Product(&rows, &panel));
        assert_eq!(bits(plain.run()), bits(vectorized(vectors)));
        // A fused product would round once in place of twice.
        let fused = (0..panel.len()).fold(0f32, |sum, k| rows[k].mul_add(panel[k][0], sum));
        assert_ne!(
            fused.to_bits(),
            Product(&rows, &panel).run()[0][0].to_bits()
        );
    }
}
