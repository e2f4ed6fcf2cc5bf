//! The one inner loop of learning: a small matrix product by the widest vectors that the processor has.
//!
//! Unlike [`crate::gemm`], whose plain arrays compute the same bits everywhere, this chooses its instructions at run
//! time (AVX-512, AVX2, NEON, wasm's vectors) and fuses multiplication and addition: a training step is three times
//! the work of looking, and is not repeated on another machine.

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// Columns come in multiples of this many: two vectors of AVX2, one of AVX-512.
pub const COLUMNS: usize = 16;

/// Depth that is computed at once: its panel of columns stays in the first cache while all rows pass.
const DEPTH: usize = 96;

/// How the rows of the left matrix lie in memory.
#[derive(Clone, Copy, Debug)]
pub enum Left {
    /// A row is one piece; the next one begins so many values later.
    Rows(usize),
    /// A column is one piece; the next one begins so many values later.
    Columns(usize),
}

/// `sums = left * right`, or added to what is there: `[rows, columns] = [rows, depth] * [depth, columns]`.
///
/// `sums` and `right` are contiguous, `columns` is a multiple of [`COLUMNS`].
pub struct Product<'a> {
    /// The result, `[rows, columns]`.
    pub sums: &'a mut [f32],
    /// Whether it is added to what is there.
    pub adds: bool,
    /// The left matrix, from its first value on.
    pub left: &'a [f32],
    /// How it lies.
    pub lies: Left,
    /// The right matrix, `[depth, columns]`.
    pub right: &'a [f32],
    /// Rows of the left matrix.
    pub rows: usize,
    /// Columns of the right one.
    pub columns: usize,
    /// Columns of the left one, rows of the right one.
    pub depth: usize,
}

impl Product<'_> {
    /// Computes it.
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let wide = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        for deep in (0..self.depth).step_by(DEPTH) {
            let depth = DEPTH.min(self.depth - deep);
            let mut column = 0;
            while column < self.columns {
                let left = (self.columns - column) / S::F32_LANES;
                // Sums fill 24 of AVX-512's 32 registers, 12 of AVX2's 16.
                let deep = [deep, depth];
                let vectors = match [wide, wide.min(left)] {
                    [4, 4] => self.panel::<S, 6, 4>(simd, deep, column),
                    [4, 3] => self.panel::<S, 8, 3>(simd, deep, column),
                    [4, 2] => self.panel::<S, 12, 2>(simd, deep, column),
                    [4, _] => self.panel::<S, 16, 1>(simd, deep, column),
                    [_, 2] => self.panel::<S, 6, 2>(simd, deep, column),
                    _ => self.panel::<S, 12, 1>(simd, deep, column),
                };
                column += vectors * S::F32_LANES;
            }
        }
    }
}

impl Product<'_> {
    /// All rows of `V` vectors of columns, `R` at a time; returns `V`.
    #[inline(always)]
    fn panel<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        deep: [usize; 2],
        column: usize,
    ) -> usize {
        let mut row = 0;
        while row + R <= self.rows {
            self.block::<S, R, V>(simd, deep, [row, column]);
            row += R;
        }
        while row + 4 <= self.rows {
            self.block::<S, 4, V>(simd, deep, [row, column]);
            row += 4;
        }
        while row < self.rows {
            self.block::<S, 1, V>(simd, deep, [row, column]);
            row += 1;
        }
        V
    }

    /// `R` rows of `V` vectors.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        [deep, depth]: [usize; 2],
        [row, column]: [usize; 2],
    ) {
        match self.lies {
            Left::Rows(step) => {
                let rows: [&[f32]; R] =
                    std::array::from_fn(|r| &self.left[(row + r) * step + deep..][..depth]);
                self.accumulate::<S, R, V>(simd, [deep, depth], [row, column], |k| {
                    std::array::from_fn(|r| rows[r][k])
                });
            }
            Left::Columns(step) => {
                let left = &self.left[deep * step + row..];
                self.accumulate::<S, R, V>(simd, [deep, depth], [row, column], |k| {
                    let rows = &left[k * step..][..R];
                    std::array::from_fn(|r| rows[r])
                });
            }
        }
    }

    #[inline(always)]
    fn accumulate<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        [deep, depth]: [usize; 2],
        [row, column]: [usize; 2],
        left: impl Fn(usize) -> [f32; R],
    ) {
        let columns = self.columns;
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let right = &self.right[deep * columns + column..];
        for k in 0..depth {
            let right: &[S::f32s] = cast_slice(&right[k * columns..][..V * S::F32_LANES]);
            let left = left(k);
            for r in 0..R {
                let value = simd.splat_f32s(left[r]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(value, right[v], sums[r][v]);
                }
            }
        }
        let adds = self.adds || deep > 0;
        for (r, sums) in sums.iter().enumerate() {
            let to = &mut self.sums[(row + r) * columns + column..][..V * S::F32_LANES];
            let to: &mut [S::f32s] = cast_slice_mut(to);
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = match adds {
                    true => simd.add_f32s(*to, *sum),
                    false => *sum,
                };
            }
        }
    }
}
