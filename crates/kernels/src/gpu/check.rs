//! Whether a card computes what the processor computes.
//!
//! Drivers are known to give wrong numbers without a word. So the network encodes a fixed picture on both, decodes it, and
//! a card whose results differ is not used.

use super::{GpuDecoder, GpuEncoder, GpuError};
use crate::encoder::{Features, HALVES};
use crate::maps::Maps;
use crate::{Decoder, Encoder};

/// Differences that rounding explains, as a share of a map's largest value.
const CLOSE: f64 = 1e-3;

/// The same where convolutions multiply in f16, which has eleven bits: what some fifteen of them one after the other do to a sum.
const CLOSE_HALF: f64 = 2e-2;

/// Height and width of the fixed picture: more than one tile of every kernel, and no multiple of one.
const SIZE: [usize; 2] = [96, 160];

/// Encodes and decodes a fixed picture on card and processor, with the weights at hand.
///
/// # Errors
/// [`GpuError::Wrong`], naming the maps that differ most; a card that failed.
pub async fn check(
    cpu: (&Encoder, &Decoder),
    gpu: (&GpuEncoder, &GpuDecoder),
) -> Result<(), GpuError> {
    let pixels = noise(SIZE[0] * SIZE[1]);
    let found = gpu.0.encode(&pixels, SIZE).await?;
    let mut wanted: Features = cpu.0.encode(pixels, SIZE).into();
    wanted.characters.log_softmax(HALVES);
    let levels = &wanted.levels;
    let cells = levels[0].height * levels[0].width;
    let hints = noise(cpu.1.hints() * cells);
    let steer: Vec<f32> = noise(cpu.1.steering()).iter().map(|v| 0.1 * v).collect();
    let decoded = gpu.1.decode(levels, &hints, &steer).await?;
    let maps = cpu.1.decode(levels, &hints, &steer);
    let pairs = [
        ("characters", &found.characters, &wanted.characters),
        ("features of stride 8", &found.levels[0], &wanted.levels[0]),
        ("features of stride 16", &found.levels[1], &wanted.levels[1]),
        ("features of stride 32", &found.levels[2], &wanted.levels[2]),
    ];
    let gaps = pairs.map(|(what, found, wanted): (_, &Maps, &Maps)| {
        (what, apart(&found.values, &wanted.values))
    });
    let gaps = gaps
        .into_iter()
        .chain([("maps of boxes", apart(&decoded, &maps))]);
    let (what, apart) = gaps.fold(("", 0.0), |worst, gap| {
        // What is no number is further away than anything.
        if gap.1 <= worst.1 { worst } else { gap }
    });
    let close = match gpu.0.gpu().is_half() {
        true => CLOSE_HALF,
        false => CLOSE,
    };
    match apart <= close {
        true => Ok(()),
        false => Err(GpuError::Wrong {
            adapter: gpu.0.gpu().name().to_owned(),
            what,
            apart,
        }),
    }
}

/// The largest difference as a share of the largest value that is wanted; infinite where a value is no number.
pub(super) fn apart(found: &[f32], wanted: &[f32]) -> f64 {
    if found.len() != wanted.len() || found.iter().any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(wanted);
    let gap = pairs.map(|(f, w)| f64::from((f - w).abs()));
    let top = wanted.iter().map(|w| f64::from(w.abs()));
    gap.fold(0.0, f64::max) / top.fold(1e-9, f64::max)
}

/// Values between -1 and 1 that are the same everywhere and always.
pub(super) fn noise(count: usize) -> Vec<f32> {
    let mut state = 0x2545_f491u32;
    let next = || {
        // Numerical Recipes' generator; its upper bits are good enough.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}
