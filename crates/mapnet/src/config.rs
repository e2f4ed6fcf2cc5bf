//! The shape of a map policy, as `config.json` holds it.

use serde::{Deserialize, Serialize};

use crate::boxes::sigmoid;
use crate::hints::{HINTS, MEANINGS, Support};
use crate::{MODEL_TYPE, MapError, Result};

/// Shape and decision rule of a map policy.
///
/// Defaults are those of `models/default`; [`MapConfig::tiny`] serves tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapConfig {
    /// Always `cropvlm_map`.
    pub model_type: String,
    /// Pixels of the canvas that a picture is resized to, whatever its proportions. 327,680 is
    /// 810 x 405 for a receipt twice as high as wide.
    pub canvas_pixels: usize,
    /// Pixels of the canvas for large pictures, whose print would be too small on the usual one: four fifths of the picture's own
    /// pixels, between `canvas_pixels` and this many. Left out, every picture has `canvas_pixels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_canvas_pixels: Option<usize>,
    /// Canvas of a picture that is print for the most part; left out, its canvas is that of any picture of its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub print: Option<PrintCanvas>,
    /// Channels of the encoder at strides 4, 8, 16 and 32.
    pub channels: [usize; 4],
    /// Channels of the decoder at strides 8, 16 and 32.
    pub decoder_channels: [usize; 3],
    /// Residual blocks of the encoder at strides 8, 16 and 32.
    pub blocks: [usize; 3],
    /// Size of a question's vector.
    pub question_dim: usize,
    /// Bytes of a question that are read; the rest is cut.
    pub max_question_bytes: usize,
    /// A proposal's edges are quantiles: each covers the evidence with this probability.
    pub coverage: f64,
    /// Probability that the whole picture's area has to be worth in a proposal: 2 lets a box grow
    /// by a tenth of the picture where that makes it a fifth likelier to hold the evidence.
    #[serde(default = "area_price")]
    pub area_price: f64,
    /// What a box may cost where the policy is not sure; left out: what it always costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// Words in the model's table of words ([`crate::words`]); 0, the default, for a model without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub words: usize,
    /// How the weight that a box holds becomes a confidence; left out, it is taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// How a picture is told to hold the answer at all; left out, it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
}

/// A canvas that follows the print ([`crate::print::LetterHeight`]): letters come to the network at the height at which it reads best,
/// on a small canvas where print is large and on a large one where it is small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrintCanvas {
    /// Height that letters get, pixels of the canvas.
    pub letter_height: f64,
    /// Pixels that the canvas has at least.
    pub min_pixels: usize,
    /// Pixels that it has at most.
    pub max_pixels: usize,
}

impl PrintCanvas {
    /// Pixels of the canvas of a picture of these sides, on which letters of this height, in the same unit, are as high as they are wanted.
    pub fn pixels(&self, [width, height]: [f64; 2], letters: f64) -> f64 {
        (width * height * (self.letter_height / letters).powi(2))
            .clamp(self.min_pixels as f64, self.max_pixels as f64)
    }
}

/// A wider box where a policy is not sure: a crop that misses the evidence is worth nothing, one that is larger than it had to
/// be is worth a little less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubt {
    /// It is not sure where its box holds less than this share of its distribution.
    pub below: f64,
    /// The price of area there, in place of [`MapConfig::area_price`].
    pub area_price: f64,
}

/// What makes a confidence of the share `p` of its distribution that a box holds: `sigmoid(scale logit(p) + shift)` (Platt's
/// scaling), fitted on pictures that the network has not learned from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What the logit is multiplied with; below 1 for a network that is too sure.
    pub scale: f64,
    /// What is added to it.
    pub shift: f64,
}

impl Calibration {
    /// The calibrated probability.
    pub fn of(&self, p: f64) -> f64 {
        // Certainty has no logit; a distribution is never nearer to it than its weights are exact.
        let p = p.clamp(1e-6, 1.0 - 1e-6);
        sigmoid(self.scale * (p / (1.0 - p)).ln() + self.shift)
    }
}

/// How likely a picture holds an answer at all, for questions that quote a key (`What is the "DATE"?`) and for those that do not. The
/// numbers are fitted on pages with and without the answer, as many of each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// For a question in words of its own.
    pub words: Odds,
    /// For a quoted key.
    pub key: Odds,
}

/// `sigmoid(bias + peak l + letters r + meaning m)`, where `l` is the logit of the likeliest cell, `r` how well the question's words
/// or its key are found among the letters, and `m` how well a printed line fits what they mean ([`crate::hints::Support`]).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Odds {
    /// What there is before anything is known.
    pub bias: f64,
    /// Weight of the likeliest cell's logit.
    pub peak: f64,
    /// Weight of the letters that are found.
    pub letters: f64,
    /// Weight of the line that fits.
    #[serde(default)]
    pub meaning: f64,
}

impl Presence {
    /// The probability.
    pub fn of(&self, peak: f64, support: Support) -> f64 {
        let odds = if support.quoted { self.key } else { self.words };
        let [letters, meaning] = [support.letters, support.meaning].map(f64::from);
        sigmoid(odds.bias + odds.peak * peak + odds.letters * letters + odds.meaning * meaning)
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let of = |odds: Odds| [odds.bias, odds.peak, odds.letters, odds.meaning];
        of(self.words).into_iter().chain(of(self.key))
    }
}

fn area_price() -> f64 {
    2.0
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Default for MapConfig {
    fn default() -> Self {
        Self {
            model_type: MODEL_TYPE.into(),
            canvas_pixels: 327_680,
            max_canvas_pixels: None,
            print: None,
            channels: [32, 56, 80, 128],
            decoder_channels: [32, 64, 96],
            blocks: [2, 1, 1],
            question_dim: 96,
            max_question_bytes: 96,
            coverage: 0.9,
            area_price: area_price(),
            doubt: None,
            words: 0,
            calibration: None,
            presence: None,
        }
    }
}

impl MapConfig {
    /// A network of a few thousand weights for tests.
    pub fn tiny() -> Self {
        Self {
            canvas_pixels: 9_216,
            channels: [8, 8, 16, 16],
            decoder_channels: [8, 8, 8],
            blocks: [1, 1, 1],
            question_dim: 16,
            ..Self::default()
        }
    }

    /// Maps that the decoder gets beside the picture's features.
    pub fn hints(&self) -> usize {
        match self.words {
            0 => HINTS,
            _ => HINTS + MEANINGS,
        }
    }

    /// How likely a box holds the evidence that holds this share of its distribution
    /// ([`BoxDistribution::confidence`](crate::BoxDistribution::confidence)).
    pub fn calibrated(&self, held: f64) -> f64 {
        self.calibration
            .map_or(held, |calibration| calibration.of(held))
    }

    /// Refuses what no network can have.
    ///
    /// # Errors
    /// [`MapError::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        let bad = |what: &str| Err(MapError::Config(what.to_string()));
        if self.model_type != MODEL_TYPE {
            return bad("model_type has to be \"cropvlm_map\"");
        }
        if self.canvas_pixels < 32 * 32 || self.canvas_pixels > 16_777_216 {
            return bad("canvas_pixels has to be between 1,024 and 16,777,216");
        }
        let most = self.max_canvas_pixels.unwrap_or(self.canvas_pixels);
        if most < self.canvas_pixels || most > 16_777_216 {
            return bad("max_canvas_pixels has to be at least canvas_pixels, at most 16,777,216");
        }
        if let Some(print) = &self.print {
            let pixels = print.min_pixels..=print.max_pixels;
            let fits = |n: &usize| (1_024..=16_777_216).contains(n);
            if pixels.is_empty() || !fits(pixels.start()) || !fits(pixels.end()) {
                return bad(
                    "print.min_pixels has to be at least 1,024, print.max_pixels at least that and at most 16,777,216",
                );
            }
            if !(1.0..=1_000.0).contains(&print.letter_height) {
                return bad("print.letter_height has to be between 1 and 1,000");
            }
        }
        // The upper bounds are far above any map policy; below them, a network that does not fit its weights is refused
        // before it is made.
        let fits = |c: &usize| (8..=4096).contains(c) && c.is_multiple_of(8);
        if !self.channels.iter().all(fits) {
            return bad("channels have to be multiples of 8, at most 4,096");
        }
        if !self.decoder_channels.iter().all(fits) {
            return bad("decoder_channels have to be multiples of 8, at most 4,096");
        }
        if self.blocks.iter().any(|blocks| *blocks > 256) {
            return bad("blocks have to be at most 256");
        }
        let fits = |n: usize| (1..=16_384).contains(&n);
        if !fits(self.question_dim) || !fits(self.max_question_bytes) {
            return bad("question_dim and max_question_bytes have to be above 0, at most 16,384");
        }
        if let Some(presence) = &self.presence
            && !presence.numbers().all(f64::is_finite)
        {
            return bad("presence: bias, peak, letters and meaning have to be numbers");
        }
        if self.words > 1_000_000 {
            return bad("words have to be at most 1,000,000");
        }
        if !(0.5..1.0).contains(&self.coverage) {
            return bad("coverage has to be at least 0.5 and below 1");
        }
        if !(self.area_price > 0.0 && self.area_price.is_finite()) {
            return bad("area_price has to be above 0");
        }
        if let Some(Doubt { below, area_price }) = self.doubt
            && !((0.0..=1.0).contains(&below) && area_price > 0.0 && area_price <= self.area_price)
        {
            return bad(
                "doubt needs a share below, 0 to 1, and an area_price above 0, at most that of the model",
            );
        }
        if let Some(Calibration { scale, shift }) = self.calibration
            && !(scale > 0.0 && scale.is_finite() && shift.is_finite())
        {
            return bad("calibration needs a scale above 0 and a shift, both finite");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_leaves_the_order_and_takes_from_what_is_too_sure() {
        let none = Calibration {
            scale: 1.0,
            shift: 0.0,
        };
        for p in [0.1, 0.5, 0.97] {
            assert!((none.of(p) - p).abs() < 1e-9);
        }
        let humble = Calibration {
            scale: 0.6,
            shift: -0.4,
        };
        let claims: Vec<f64> = [0.0, 0.2, 0.5, 0.9, 1.0].map(|p| humble.of(p)).to_vec();
        assert!(claims.is_sorted() && claims.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!(claims[3] < 0.9 && claims[2] < 0.5, "{claims:?}");
    }

    #[test]
    fn a_doubt_that_makes_boxes_smaller_is_refused() {
        for (below, area_price) in [(0.5, 4.0), (0.5, 0.0), (1.5, 1.0), (f64::NAN, 1.0)] {
            let config = MapConfig {
                area_price: 3.0,
                doubt: Some(Doubt { below, area_price }),
                ..MapConfig::tiny()
            };
            let error = config.check().expect_err("refused").to_string();
            assert!(error.contains("doubt"), "{error}");
        }
    }

    #[test]
    fn a_calibration_that_turns_the_order_around_is_refused() {
        let config = MapConfig {
            calibration: Some(Calibration {
                scale: -1.0,
                shift: 0.0,
            }),
            ..MapConfig::tiny()
        };
        let error = config.check().expect_err("refused").to_string();
        assert!(error.contains("calibration"), "{error}");
    }
}
