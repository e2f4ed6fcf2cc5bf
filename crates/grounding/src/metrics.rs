//! How good a box is.
//!
//! IoU is no proxy for what a reader gains from a crop: boxes that reinforcement learning finds are
//! larger, cover more of the evidence and have a *smaller* IoU. Recall says whether the evidence is
//! there, and means something only together with size, since the whole image has recall 1.

use serde::{Deserialize, Serialize};

use crate::{NormBox, Sample};

/// By how many pixels of the original a box may cut into evidence that still counts as wholly
/// covered: annotations are not more exact than that. Departure from the paper, which gives no
/// tolerance; the data's own measuring tool uses the same 2 px.
pub const TOLERANCE_PX: f32 = 2.0;

/// Intersection over union of two boxes, 0 to 1.
pub fn iou(a: NormBox, b: NormBox) -> f32 {
    let shared = shared_area(a, b);
    (shared / (a.area() + b.area() - shared)).min(1.0)
}

/// Covered share of the true box, 0 to 1.
pub fn recall(proposed: NormBox, truth: NormBox) -> f32 {
    if proposed.contains(truth) {
        return 1.0; // exactly, whatever f32 makes of the division
    }
    (shared_area(proposed, truth) / truth.area()).min(1.0)
}

/// Whether the true box lies wholly inside the proposed one, up to `tolerance_px` pixels at each
/// edge in an image of `width` x `height` pixels.
pub fn full_recall(
    proposed: NormBox,
    truth: NormBox,
    (width, height): (u32, u32),
    tolerance_px: f32,
) -> bool {
    let (tx, ty) = tolerance_percent((width, height), tolerance_px);
    proposed.x1 <= truth.x1 + tx
        && proposed.y1 <= truth.y1 + ty
        && proposed.x2 >= truth.x2 - tx
        && proposed.y2 >= truth.y2 - ty
}

/// Pixels as percent of width and of height.
pub(crate) fn tolerance_percent((width, height): (u32, u32), pixels: f32) -> (f32, f32) {
    let percent = |side: u32| pixels * 100.0 / side.max(1) as f32;
    (percent(width), percent(height))
}

fn shared_area(a: NormBox, b: NormBox) -> f32 {
    a.intersection(b).map_or(0.0, NormBox::area)
}

/// What one proposal is worth. Each score is that of the alternative it is best for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Intersection over union, 0 to 1.
    pub iou: f32,
    /// Covered share of the evidence, 0 to 1.
    pub recall: f32,
    /// Evidence wholly inside, up to [`TOLERANCE_PX`].
    pub full_recall: bool,
    /// Area of the proposed box as a share of the image, 0 to 1.
    pub size: f32,
}

/// Scores a proposed box against the evidence of a sample; a sample without evidence scores 0.
pub fn score(sample: &Sample, proposed: NormBox) -> Score {
    let truths = sample.evidence();
    let best = |f: &dyn Fn(NormBox) -> f32| truths.iter().map(|&t| f(t)).fold(0.0, f32::max);
    let side = (sample.width, sample.height);
    Score {
        iou: best(&|truth| iou(proposed, truth)),
        recall: best(&|truth| recall(proposed, truth)),
        full_recall: truths
            .iter()
            .any(|&truth| full_recall(proposed, truth, side, TOLERANCE_PX)),
        size: proposed.area(),
    }
}

/// Means over a data set. All but `n` are shares, 0 to 1, over *all* items: an item without a valid
/// box counts 0 everywhere, in `size` too.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Items.
    pub n: usize,
    /// Share of items with a valid box.
    pub valid: f64,
    /// Mean intersection over union.
    pub iou: f64,
    /// Mean covered share of the evidence.
    pub recall: f64,
    /// Share of items whose evidence lies wholly inside the box.
    pub full_recall: f64,
    /// Mean box area as a share of the image.
    pub size: f64,
}

/// Expected calibration error: by how much the chance that was claimed differs from the share that came true, in ten classes of
/// the claimed chance, weighted by how many fell into each. 0 where nothing was claimed.
///
/// ```
/// use grounding::metrics::calibration_error;
/// // Of two claims of 0.5 one came true; a claim of 0.9 did not: (2 x 0 + 1 x 0.9) / 3.
/// let error = calibration_error(&[(0.5, true), (0.5, false), (0.9, false)]);
/// assert!((error - 0.3).abs() < 1e-9);
/// ```
pub fn calibration_error(claims: &[(f64, bool)]) -> f64 {
    let mut classes = [(0.0, 0.0); 10]; // what was claimed in a class, and what came true, summed up
    for (claimed, came_true) in claims {
        let class = &mut classes[((claimed * 10.0) as usize).min(9)];
        class.0 += claimed;
        class.1 += f64::from(u8::from(*came_true));
    }
    let gaps = classes.iter().map(|(claimed, came)| (claimed - came).abs());
    gaps.sum::<f64>() / claims.len().max(1) as f64
}

/// Area under the receiver operating characteristic: how often a value of `above` is larger than one of `below`; equal ones
/// count half. `None` where either is empty.
///
/// ```
/// use grounding::metrics::area_under_curve;
/// assert_eq!(area_under_curve(&[0.9, 0.4], &[0.4, 0.1]), Some(0.875));
/// assert_eq!(area_under_curve(&[0.9], &[]), None);
/// ```
pub fn area_under_curve(above: &[f64], below: &[f64]) -> Option<f64> {
    let pairs = (above.len() * below.len()) as f64;
    let wins = above.iter().flat_map(|a| {
        below.iter().map(move |b| match a.total_cmp(b) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
    });
    (pairs > 0.0).then(|| wins.sum::<f64>() / pairs)
}

impl Summary {
    /// Means over samples and what was proposed for each (`None`: no valid box).
    pub fn over<'a>(items: impl IntoIterator<Item = (&'a Sample, Option<NormBox>)>) -> Summary {
        let mut sum = Summary::default();
        for (sample, proposed) in items {
            sum.n += 1;
            let Some(proposed) = proposed else { continue };
            let score = score(sample, proposed);
            sum.valid += 1.0;
            sum.iou += f64::from(score.iou);
            sum.recall += f64::from(score.recall);
            sum.full_recall += f64::from(u8::from(score.full_recall));
            sum.size += f64::from(score.size);
        }
        let n = sum.n.max(1) as f64; // no items: all zero
        Summary {
            n: sum.n,
            valid: sum.valid / n,
            iou: sum.iou / n,
            recall: sum.recall / n,
            full_recall: sum.full_recall / n,
            size: sum.size / n,
        }
    }
}
