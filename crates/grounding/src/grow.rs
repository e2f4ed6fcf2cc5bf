//! Growing boxes around their evidence.
//!
//! A teacher's box is often so tight that its crop cannot be read. CropVLM grows each by an area
//! factor that depends on the quintile of its relative area over the data set: tiny boxes much,
//! large ones not at all. A grown box is shifted back into the image, then clamped.

use crate::NormBox;

/// Area factors from the smallest fifth of the boxes to the largest (CropVLM, section on SFT data).
pub const QUINTILE_FACTORS: [f32; 5] = [45.0, 10.0, 4.0, 2.0, 1.0];

impl NormBox {
    /// The box grown to `area_factor` times its area around its centre, both sides by the same
    /// factor, shifted back into the image where it hangs over, then clamped.
    ///
    /// It always contains the box it came from. Factors below 1 and NaN leave the box as it is.
    pub fn grow(self, area_factor: f32) -> NormBox {
        let factor = area_factor.max(1.0).sqrt(); // `max` takes the 1 where the factor is NaN
        let (x1, x2) = grow_side(self.x1, self.x2, factor);
        let (y1, y2) = grow_side(self.y1, self.y2, factor);
        NormBox { x1, y1, x2, y2 }
    }

    /// The box, each side at least so many pixels of a picture of `width` x `height` long, as far as the picture has them;
    /// grown around its centre and shifted back into the picture.
    pub fn at_least(self, pixels: u32, width: u32, height: u32) -> NormBox {
        let side = |low: f32, high: f32, length: u32| {
            // A tenth of a pixel more, against rounding.
            let wanted = (pixels as f32 + 0.1) / length.max(1) as f32 * 100.0;
            match pixels > 1 && wanted > high - low {
                true => grow_side(low, high, wanted / (high - low)),
                false => (low, high),
            }
        };
        let (x1, x2) = side(self.x1, self.x2, width);
        let (y1, y2) = side(self.y1, self.y2, height);
        NormBox { x1, y1, x2, y2 }
    }
}

/// One side of a box in percent, `factor` times as long.
fn grow_side(low: f32, high: f32, factor: f32) -> (f32, f32) {
    let length = (high - low) * factor;
    if length >= 100.0 {
        return (0.0, 100.0);
    }
    let start = ((low + high - length) / 2.0).clamp(0.0, 100.0 - length);
    // `min` and `max` against rounding: what was inside stays inside.
    (start.min(low), (start + length).max(high).min(100.0))
}

/// The borders between the fifths of a data set's relative box areas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quintiles {
    /// Upper border of the first, second, third and fourth fifth, as shares of the image.
    pub borders: [f32; 4],
}

impl Quintiles {
    /// The borders over a data set's areas (shares of the image), linearly interpolated between
    /// neighbours as numpy's default. `None` for an empty set or one that holds NaN.
    pub fn of(areas: &[f32]) -> Option<Quintiles> {
        if areas.is_empty() || areas.iter().any(|a| a.is_nan()) {
            return None;
        }
        let mut sorted = areas.to_vec();
        sorted.sort_by(f32::total_cmp);
        let borders = [0.2f64, 0.4, 0.6, 0.8].map(|share| {
            let place = share * (sorted.len() - 1) as f64;
            let below = place.floor() as usize;
            let above = (below + 1).min(sorted.len() - 1);
            let weight = (place - below as f64) as f32;
            sorted[below] + (sorted[above] - sorted[below]) * weight
        });
        Some(Quintiles { borders })
    }

    /// The area factor for a box of this area; a box on a border belongs to the smaller fifth.
    pub fn factor(&self, area: f32) -> f32 {
        let fifth = self.borders.iter().filter(|&&border| area > border).count();
        QUINTILE_FACTORS[fifth]
    }

    /// The box grown by its fifth's factor.
    pub fn grow(&self, bbox: NormBox) -> NormBox {
        bbox.grow(self.factor(bbox.area()))
    }
}
