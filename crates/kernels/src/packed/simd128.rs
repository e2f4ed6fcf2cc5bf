//! Vectors of WebAssembly's SIMD: eight lanes in two vectors of four.

use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_splat, i16x8_extend_high_i8x16,
    i16x8_extend_low_i8x16, i32x4_add, i32x4_dot_i16x8, i32x4_shl, i32x4_splat,
    u16x8_extend_low_u8x16, u32x4_extend_high_u16x8, u32x4_extend_low_u16x8, v128, v128_and,
    v128_or,
};

use bytemuck::cast;

use super::lanes::{Lanes, first};

/// WebAssembly's SIMD.
#[derive(Clone, Copy)]
pub(super) struct Simd128;

impl Lanes for Simd128 {
    const LANES: usize = 8;
    // A row's sums are four vectors, and a browser's processor has 16 registers, of which it keeps one or two.
    const ROWS: usize = 2;
    type Ints = [v128; 2];
    type Floats = [v128; 2];

    #[inline(always)]
    fn ints(self, value: i32) -> Self::Ints {
        [i32x4_splat(value); 2]
    }

    #[inline(always)]
    fn bytes(self, values: &[i8]) -> Self::Ints {
        let values: v128 = cast(first::<i8, 16>(values));
        [
            i16x8_extend_low_i8x16(values),
            i16x8_extend_high_i8x16(values),
        ]
    }

    #[inline(always)]
    fn halves(self, values: &[u8]) -> Self::Ints {
        let values: v128 = cast([u64::from_le_bytes(first::<u8, 8>(values)), 0]);
        let wide = u16x8_extend_low_u8x16(values);
        [
            split(u32x4_extend_low_u16x8(wide)),
            split(u32x4_extend_high_u16x8(wide)),
        ]
    }

    #[inline(always)]
    fn pairs(self, values: &[i16]) -> Self::Ints {
        cast(first::<i16, 16>(values))
    }

    #[inline(always)]
    fn add_products(self, sums: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints {
        [
            i32x4_add(sums[0], i32x4_dot_i16x8(a[0], b[0])),
            i32x4_add(sums[1], i32x4_dot_i16x8(a[1], b[1])),
        ]
    }

    #[inline(always)]
    fn to_floats(self, values: Self::Ints) -> Self::Floats {
        [
            f32x4_convert_i32x4(values[0]),
            f32x4_convert_i32x4(values[1]),
        ]
    }

    #[inline(always)]
    fn floats(self, values: &[f32]) -> Self::Floats {
        cast(first::<f32, 8>(values))
    }

    #[inline(always)]
    fn put(self, to: &mut [f32], values: Self::Floats) {
        to[..8].copy_from_slice(&cast::<[v128; 2], [f32; 8]>(values));
    }

    #[inline(always)]
    fn float(self, value: f32) -> Self::Floats {
        [f32x4_splat(value); 2]
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        [f32x4_mul(a[0], b[0]), f32x4_mul(a[1], b[1])]
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        [f32x4_add(a[0], b[0]), f32x4_add(a[1], b[1])]
    }
}

/// Pairs from bytes in 32 bits: the low half of a byte first.
#[inline(always)]
fn split(wide: v128) -> v128 {
    let low = v128_and(wide, i32x4_splat(15));
    let high = v128_and(i32x4_shl(wide, 12), i32x4_splat(15 << 16));
    v128_or(low, high)
}
