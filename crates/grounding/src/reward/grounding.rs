//! The grounding reward of LFPC ("Learning to Focus and Precise Cropping", stage II): how well a box finds the true place.
//!
//! The true place is given by nested boxes, from the smallest that holds the evidence to one with its surroundings.
//! The paper prints no formula; these are the choices here:
//!
//! * `coverage`: share of the smallest true box inside the prediction;
//! * `iou`: the largest IoU with any of the nested boxes where coverage is at least [`COVERED`], else 0;
//! * `distance`: 1 less the mean of the four edges' absolute differences, as shares of width and height, to the true box
//!   for which that is largest; always granted.
//!
//! All lie in 0..=1 and are computed in f64.

use std::str::FromStr;

use serde::Serialize;

use crate::{GroundingError, NormBox};

/// Coverage from which the IoU reward is granted.
pub const COVERED: f64 = 0.9;

/// What f32 makes of percents such as 0.1 may take from a coverage.
const ROUNDING: f64 = 1e-6;

/// True boxes of one place, each inside the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Nested(Vec<NormBox>);

impl Nested {
    /// Boxes from the smallest to the largest.
    ///
    /// # Errors
    /// [`GroundingError::Nested`]: no box, or one that does not lie inside the next.
    pub fn new(boxes: Vec<NormBox>) -> Result<Self, GroundingError> {
        let wrong = |reason: String| Err(GroundingError::Nested { reason });
        if boxes.is_empty() {
            return wrong("there is none; give at least one true box".to_string());
        }
        for (i, pair) in boxes.windows(2).enumerate() {
            if !pair[1].contains(pair[0]) {
                return wrong(format!(
                    "box {} ({}) does not lie inside box {} ({}); give them from the smallest to the largest",
                    i + 1,
                    pair[0],
                    i + 2,
                    pair[1]
                ));
            }
        }
        Ok(Self(boxes))
    }

    /// The boxes, the smallest first.
    pub fn boxes(&self) -> &[NormBox] {
        &self.0
    }
}

impl From<NormBox> for Nested {
    fn from(bbox: NormBox) -> Self {
        Self(vec![bbox])
    }
}

/// `x1,y1,x2,y2;x1,y1,x2,y2`, percent, from the smallest to the largest.
impl FromStr for Nested {
    type Err = GroundingError;

    fn from_str(text: &str) -> Result<Self, GroundingError> {
        if text.trim().is_empty() {
            return Self::new(Vec::new());
        }
        // A semicolon at the end is no further box.
        let text = text.trim().trim_end_matches(';');
        let boxes = text.split(';').map(|part| part.trim().parse());
        Self::new(boxes.collect::<Result<_, _>>()?)
    }
}

/// The three parts of the reward.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct GroundingReward {
    /// Share of the smallest true box inside the prediction.
    pub coverage: f64,
    /// The largest IoU with a true box, where coverage is at least [`COVERED`]; else 0.
    pub iou: f64,
    /// 1 less the mean difference of the edges to the closest true box, as shares of width and height.
    pub distance: f64,
}

/// What a box is worth.
///
/// ```
/// use grounding::NormBox;
/// use grounding::reward::grounding::{Nested, grounding_reward};
///
/// let nested: Nested = "40,40,50,50;30,30,70,60".parse()?;
/// let found = grounding_reward(NormBox::new(40.0, 40.0, 60.0, 50.0)?, &nested);
/// assert_eq!(found.coverage, 1.0);
/// assert_eq!(found.iou, 0.5); // 100 of 200 with the smaller one; 200 of 1200 with the larger
/// assert_eq!(found.distance, 0.975); // one edge of four is 10 % off
/// # Ok::<(), grounding::GroundingError>(())
/// ```
pub fn grounding_reward(bbox: NormBox, nested: &Nested) -> GroundingReward {
    let boxes = nested.boxes();
    let coverage = boxes.first().map_or(0.0, |smallest| {
        (shared(bbox, *smallest) / area(*smallest)).min(1.0)
    });
    let best = |of: fn(NormBox, NormBox) -> f64| {
        boxes
            .iter()
            .map(|truth| of(bbox, *truth))
            .fold(0.0, f64::max)
    };
    GroundingReward {
        coverage,
        iou: match coverage >= COVERED - ROUNDING {
            true => best(iou),
            false => 0.0,
        },
        distance: best(closeness),
    }
}

fn edges(bbox: NormBox) -> [f64; 4] {
    bbox.to_array().map(f64::from)
}

fn area(bbox: NormBox) -> f64 {
    let [x1, y1, x2, y2] = edges(bbox);
    (x2 - x1) * (y2 - y1)
}

fn shared(a: NormBox, b: NormBox) -> f64 {
    let (a, b) = (edges(a), edges(b));
    let side = |low: usize| (a[low + 2].min(b[low + 2]) - a[low].max(b[low])).max(0.0);
    side(0) * side(1)
}

fn iou(a: NormBox, b: NormBox) -> f64 {
    let shared = shared(a, b);
    (shared / (area(a) + area(b) - shared)).min(1.0)
}

fn closeness(a: NormBox, b: NormBox) -> f64 {
    let pairs = edges(a).into_iter().zip(edges(b));
    1.0 - pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / 400.0
}
