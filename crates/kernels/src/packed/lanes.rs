//! Vectors of 32-bit lanes for products of packed weights, chosen when the program runs.
//!
//! A lane holds two neighbouring 16-bit numbers of a row, a *pair*, and one instruction multiplies pairs and adds both
//! products (`vpmaddwd`). AVX2, AVX-512 and, where it is there, AVX-512 VNNI, which adds to the sums in the same
//! instruction (`vpdpwssd`; the compiler puts it together once it may use it). In WebAssembly with SIMD two vectors of four
//! (`i32x4.dot_i16x8_s`), chosen when it is compiled. Everywhere else arrays of eight, which become vectors if the compiler sees
//! a way.
//!
//! Sums of integers are exact, and the few operations on f32 are rounded one by one, never fused. So all of these
//! compute the same bits.
//!
//! No closure in what is to become vectors: one that the compiler does not inline is compiled without the instructions, and
//! then every operation is a call.

#[cfg(target_arch = "x86_64")]
use pulp::NullaryFnOnce;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m128i, __m256, __m256i, __m512, __m512i};

/// Vectors of so many lanes.
pub trait Lanes: Copy + Send + Sync {
    /// Lanes of a vector: 8 or 16.
    const LANES: usize;
    /// Rows whose sums of 16 outputs find registers beside weights and activations: 12, 6 or 2.
    const ROWS: usize;
    /// 32-bit integers, or pairs of 16-bit ones, the first in the low half.
    type Ints: Copy;
    /// f32 numbers.
    type Floats: Copy;

    /// The same number everywhere.
    fn ints(self, value: i32) -> Self::Ints;
    /// Pairs from `2 * LANES` bytes.
    fn bytes(self, values: &[i8]) -> Self::Ints;
    /// Pairs from `LANES` bytes, of halves 0 to 15.
    fn halves(self, values: &[u8]) -> Self::Ints;
    /// Pairs from `2 * LANES` numbers.
    fn pairs(self, values: &[i16]) -> Self::Ints;
    /// `sums + a.first * b.first + a.second * b.second`, lane by lane.
    fn add_products(self, sums: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// As f32.
    fn to_floats(self, values: Self::Ints) -> Self::Floats;
    /// From `LANES` numbers.
    fn floats(self, values: &[f32]) -> Self::Floats;
    /// Into `LANES` numbers.
    fn put(self, to: &mut [f32], values: Self::Floats);
    /// The same number everywhere.
    fn float(self, value: f32) -> Self::Floats;
    /// Products.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Sums.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
}

/// Something to compute with whichever vectors there are.
pub trait Work {
    /// What comes of it.
    type Output;
    /// Computes it; has to be inlined whole.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Which vectors are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// Arrays of eight.
    Portable,
    /// AVX2: eight lanes.
    Avx2,
    /// AVX-512: sixteen lanes.
    Avx512,
    /// AVX-512 with VNNI.
    Vnni,
    /// WebAssembly's SIMD: twice four lanes.
    Simd128,
}

impl Instructions {
    /// All that there are, the slowest first.
    pub const ALL: [Self; 5] = [
        Self::Portable,
        Self::Avx2,
        Self::Avx512,
        Self::Vnni,
        Self::Simd128,
    ];

    /// The fastest that this processor has.
    pub fn best() -> Self {
        let there = |kind: &&Self| kind.there();
        let last = Self::ALL.iter().rev().find(there);
        last.copied().unwrap_or(Self::Portable)
    }

    /// Whether this processor has them.
    pub fn there(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Portable => true,
            Self::Avx2 => V3::is_available(),
            Self::Avx512 => V4::is_available(),
            Self::Vnni => Vnni::is_available(),
            Self::Simd128 => false,
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let simd128 = cfg!(target_feature = "simd128");
            self == Self::Portable || (simd128 && self == Self::Simd128)
        }
    }

    /// Does work with these, or with arrays where the processor has them not.
    pub fn run<W: Work>(self, work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Portable | Self::Simd128 => {}
            Self::Avx2 => {
                if let Some(simd) = V3::try_new() {
                    return simd.vectorize(Call(work, simd));
                }
            }
            Self::Avx512 => {
                if let Some(simd) = V4::try_new() {
                    return simd.vectorize(Call(work, simd));
                }
            }
            Self::Vnni => {
                if let (Some(vnni), Some(simd)) = (Vnni::try_new(), V4::try_new()) {
                    return vnni.vectorize(Call(work, simd));
                }
            }
        }
        #[cfg(target_feature = "simd128")]
        if self == Self::Simd128 {
            return work.run(super::simd128::Simd128);
        }
        work.run(Portable)
    }
}

/// Work with its vectors, as what pulp calls.
#[cfg(target_arch = "x86_64")]
struct Call<W, L>(W, L);

#[cfg(target_arch = "x86_64")]
impl<W: Work, L: Lanes> NullaryFnOnce for Call<W, L> {
    type Output = W::Output;

    #[inline(always)]
    fn call(self) -> W::Output {
        self.0.run(self.1)
    }
}

/// Arrays.
#[derive(Clone, Copy)]
pub struct Portable;

/// Lanes of an array.
const EIGHT: usize = 8;

fn pair(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

impl Lanes for Portable {
    const LANES: usize = EIGHT;
    const ROWS: usize = 6;
    type Ints = [i32; EIGHT];
    type Floats = [f32; EIGHT];

    #[inline(always)]
    fn ints(self, value: i32) -> Self::Ints {
        [value; EIGHT]
    }

    #[inline(always)]
    fn bytes(self, values: &[i8]) -> Self::Ints {
        let values = &values[..2 * EIGHT];
        std::array::from_fn(|i| pair(values[2 * i].into(), values[2 * i + 1].into()))
    }

    #[inline(always)]
    fn halves(self, values: &[u8]) -> Self::Ints {
        let values = &values[..EIGHT];
        std::array::from_fn(|i| i32::from(values[i] & 15) | i32::from(values[i] >> 4) << 16)
    }

    #[inline(always)]
    fn pairs(self, values: &[i16]) -> Self::Ints {
        let values = &values[..2 * EIGHT];
        std::array::from_fn(|i| pair(values[2 * i], values[2 * i + 1]))
    }

    #[inline(always)]
    fn add_products(self, sums: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints {
        let low = |value: i32| i32::from(value as i16);
        std::array::from_fn(|i| sums[i] + low(a[i]) * low(b[i]) + (a[i] >> 16) * (b[i] >> 16))
    }

    #[inline(always)]
    fn to_floats(self, values: Self::Ints) -> Self::Floats {
        values.map(|value| value as f32)
    }

    #[inline(always)]
    fn floats(self, values: &[f32]) -> Self::Floats {
        let values = &values[..EIGHT];
        std::array::from_fn(|i| values[i])
    }

    #[inline(always)]
    fn put(self, to: &mut [f32], values: Self::Floats) {
        to[..EIGHT].copy_from_slice(&values);
    }

    #[inline(always)]
    fn float(self, value: f32) -> Self::Floats {
        [value; EIGHT]
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|i| a[i] + b[i])
    }
}

/// The first `N` values.
#[cfg(any(target_arch = "x86_64", target_feature = "simd128"))]
#[inline(always)]
pub(super) fn first<T: Copy + Default, const N: usize>(values: &[T]) -> [T; N] {
    let mut first = [T::default(); N];
    first.copy_from_slice(&values[..N]);
    first
}

#[cfg(target_arch = "x86_64")]
impl Lanes for V3 {
    const LANES: usize = 8;
    const ROWS: usize = 6;
    type Ints = __m256i;
    type Floats = __m256;

    #[inline(always)]
    fn ints(self, value: i32) -> Self::Ints {
        self.avx._mm256_set1_epi32(value)
    }

    #[inline(always)]
    fn bytes(self, values: &[i8]) -> Self::Ints {
        let values: __m128i = pulp::cast(first::<i8, 16>(values));
        self.avx2._mm256_cvtepi8_epi16(values)
    }

    #[inline(always)]
    fn halves(self, values: &[u8]) -> Self::Ints {
        let values = u64::from_le_bytes(first::<u8, 8>(values));
        let wide = self.avx2._mm256_cvtepu8_epi32(pulp::cast([values, 0]));
        let avx2 = self.avx2;
        let low = avx2._mm256_and_si256(wide, self.ints(15));
        let high = avx2._mm256_and_si256(avx2._mm256_slli_epi32::<12>(wide), self.ints(15 << 16));
        avx2._mm256_or_si256(low, high)
    }

    #[inline(always)]
    fn pairs(self, values: &[i16]) -> Self::Ints {
        pulp::cast(first::<i16, 16>(values))
    }

    #[inline(always)]
    fn add_products(self, sums: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints {
        let products = self.avx2._mm256_madd_epi16(a, b);
        self.avx2._mm256_add_epi32(sums, products)
    }

    #[inline(always)]
    fn to_floats(self, values: Self::Ints) -> Self::Floats {
        self.avx._mm256_cvtepi32_ps(values)
    }

    #[inline(always)]
    fn floats(self, values: &[f32]) -> Self::Floats {
        pulp::cast(first::<f32, 8>(values))
    }

    #[inline(always)]
    fn put(self, to: &mut [f32], values: Self::Floats) {
        to[..8].copy_from_slice(&pulp::cast::<__m256, [f32; 8]>(values));
    }

    #[inline(always)]
    fn float(self, value: f32) -> Self::Floats {
        self.avx._mm256_set1_ps(value)
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        self.avx._mm256_mul_ps(a, b)
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        self.avx._mm256_add_ps(a, b)
    }
}

#[cfg(target_arch = "x86_64")]
pulp::simd_type! {
    /// AVX-512 with VNNI.
    struct Vnni {
        sse: "sse",
        sse2: "sse2",
        fxsr: "fxsr",
        sse3: "sse3",
        ssse3: "ssse3",
        sse4_1: "sse4.1",
        sse4_2: "sse4.2",
        popcnt: "popcnt",
        avx: "avx",
        avx2: "avx2",
        bmi1: "bmi1",
        bmi2: "bmi2",
        fma: "fma",
        lzcnt: "lzcnt",
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512cd: "avx512cd",
        avx512dq: "avx512dq",
        avx512vl: "avx512vl",
        avx512vnni: "avx512vnni",
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for V4 {
    const LANES: usize = 16;
    const ROWS: usize = 12;
    type Ints = __m512i;
    type Floats = __m512;

    #[inline(always)]
    fn ints(self, value: i32) -> Self::Ints {
        self.avx512f._mm512_set1_epi32(value)
    }

    #[inline(always)]
    fn bytes(self, values: &[i8]) -> Self::Ints {
        let values: __m256i = pulp::cast(first::<i8, 32>(values));
        self.avx512bw._mm512_cvtepi8_epi16(values)
    }

    #[inline(always)]
    fn halves(self, values: &[u8]) -> Self::Ints {
        let values: __m128i = pulp::cast(first::<u8, 16>(values));
        let avx512f = self.avx512f;
        let wide = avx512f._mm512_cvtepu8_epi32(values);
        let low = avx512f._mm512_and_si512(wide, self.ints(15));
        let high = avx512f._mm512_slli_epi32::<12>(wide);
        let high = avx512f._mm512_and_si512(high, self.ints(15 << 16));
        avx512f._mm512_or_si512(low, high)
    }

    #[inline(always)]
    fn pairs(self, values: &[i16]) -> Self::Ints {
        pulp::cast(first::<i16, 32>(values))
    }

    #[inline(always)]
    fn add_products(self, sums: Self::Ints, a: Self::Ints, b: Self::Ints) -> Self::Ints {
        let products = self.avx512bw._mm512_madd_epi16(a, b);
        self.avx512f._mm512_add_epi32(sums, products)
    }

    #[inline(always)]
    fn to_floats(self, values: Self::Ints) -> Self::Floats {
        self.avx512f._mm512_cvtepi32_ps(values)
    }

    #[inline(always)]
    fn floats(self, values: &[f32]) -> Self::Floats {
        pulp::cast(first::<f32, 16>(values))
    }

    #[inline(always)]
    fn put(self, to: &mut [f32], values: Self::Floats) {
        to[..16].copy_from_slice(&pulp::cast::<__m512, [f32; 16]>(values));
    }

    #[inline(always)]
    fn float(self, value: f32) -> Self::Floats {
        self.avx512f._mm512_set1_ps(value)
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        self.avx512f._mm512_mul_ps(a, b)
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        self.avx512f._mm512_add_ps(a, b)
    }
}
