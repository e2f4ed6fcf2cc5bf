//! The baseline that looks at no picture: the best constant box for each kind of question.
//!
//! Totals stand low on receipts and names high, so a box that never moves covers a good share of
//! the evidence. A policy that does not beat it at the same size knows only where things usually
//! stand. "Best" means: the most items whose evidence lies wholly inside. `cropvlm eval` fits it on
//! the very items it evaluates, at the mean size of the policy's boxes, which flatters the baseline
//! and not the policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metrics::{Summary, TOLERANCE_PX, tolerance_percent};
use crate::{NormBox, Sample};

/// Places a box's left or upper edge can have: whole percents, 0 to 100, one bit each.
const PLACES: usize = 101;

/// One constant box for each kind of question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FixedBoxes {
    /// Kind of question to its box.
    pub boxes: BTreeMap<String, NormBox>,
}

impl FixedBoxes {
    /// The best boxes for these samples, each of area `size` (share of the image, 0 to 1).
    ///
    /// Exhaustive over all widths and places in whole percents; the height follows from the area.
    /// Ties go to the narrowest box, then the uppermost, then the leftmost. Every kind gets the same
    /// area, so the mean size is `size` whatever the mix of kinds.
    pub fn fit<'a>(samples: impl IntoIterator<Item = &'a Sample>, size: f64) -> FixedBoxes {
        let mut kinds: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for sample in samples {
            kinds
                .entry(sample.kind.clone())
                .or_default()
                .push(Item::of(sample));
        }
        FixedBoxes {
            boxes: kinds
                .into_iter()
                .map(|(kind, items)| (kind, best_box(&items, size)))
                .collect(),
        }
    }

    /// The box for a kind of question, `None` for a kind that was not there at [`FixedBoxes::fit`].
    pub fn get(&self, kind: &str) -> Option<NormBox> {
        self.boxes.get(kind).copied()
    }

    /// How these boxes do on samples.
    pub fn summary<'a>(&self, samples: impl IntoIterator<Item = &'a Sample>) -> Summary {
        Summary::over(samples.into_iter().map(|s| (s, self.get(&s.kind))))
    }
}

/// The evidence of one sample, shrunk by the tolerance: what must lie inside, per alternative.
struct Item(Vec<[f64; 4]>);

impl Item {
    fn of(sample: &Sample) -> Item {
        let (tx, ty) = tolerance_percent((sample.width, sample.height), TOLERANCE_PX);
        let shrunk = sample
            .evidence()
            .into_iter()
            .map(|b| [b.x1 + tx, b.y1 + ty, b.x2 - tx, b.y2 - ty].map(f64::from));
        Item(shrunk.collect())
    }
}

/// The box of this area that holds the evidence of most items.
fn best_box(items: &[Item], size: f64) -> NormBox {
    let area = size.clamp(1e-4, 1.0) * 10_000.0; // in square percents, at least one
    let (mut best, mut best_count) = (None, 0);
    for width in (area / 100.0).ceil() as usize..=100 {
        let height = area / width as f64;
        let counts = Counts::new(items, width as f64, height);
        let (count, x, y) = counts.largest();
        if best.is_none() || count > best_count {
            best_count = count;
            best = Some((width as f64, height, x, y));
        }
    }
    let Some((width, height, x, y)) = best else {
        return NormBox::FULL;
    };
    let edge = |v: f64| v.clamp(0.0, 100.0) as f32;
    NormBox {
        x1: edge(x),
        y1: edge(y),
        x2: edge(x + width),
        y2: edge(y + height),
    }
}

/// For one shape of box: how many items it holds at every place of its upper left corner.
struct Counts {
    /// Upper edges tried, percent.
    ys: Vec<f64>,
    /// Left edges tried, percent.
    columns: usize,
    /// `ys.len() * (PLACES + 1)`: differences of the count along a row.
    steps: Vec<i32>,
}

impl Counts {
    fn new(items: &[Item], width: f64, height: f64) -> Counts {
        // Whole percents, and the place at the lower edge, which need not be whole.
        let lowest = (100.0 - height).max(0.0);
        let mut ys: Vec<f64> = (0..PLACES)
            .map(|y| y as f64)
            .filter(|&y| y < lowest)
            .collect();
        ys.push(lowest);
        let columns = (100.0 - width).max(0.0) as usize + 1;
        let mut steps = vec![0; ys.len() * (PLACES + 1)];
        let mut masks = vec![0u128; ys.len()];
        for Item(alternatives) in items {
            masks.fill(0);
            for &[x1, y1, x2, y2] in alternatives {
                // The left edges from which the box reaches over the evidence.
                let first = (x2 - width).ceil().max(0.0) as usize;
                let last = x1.floor() as usize;
                if x1 < 0.0 || first > last || first >= columns {
                    continue;
                }
                let ones = last.min(columns - 1) + 1 - first;
                let mask = ((1u128 << ones) - 1) << first;
                for (row, &y) in ys.iter().enumerate() {
                    if y <= y1 && y + height >= y2 {
                        masks[row] |= mask;
                    }
                }
            }
            // Alternatives of one item count once: runs of the united mask, not each on its own.
            for (row, &mask) in masks.iter().enumerate() {
                let row = &mut steps[row * (PLACES + 1)..][..PLACES + 1];
                let mut rest = mask;
                while rest != 0 {
                    let start = rest.trailing_zeros() as usize;
                    let length = (rest >> start).trailing_ones() as usize;
                    row[start] += 1;
                    row[start + length] -= 1;
                    rest &= !(((1u128 << length) - 1) << start);
                }
            }
        }
        Counts { ys, columns, steps }
    }

    /// The largest count and the place (x, y in percent) where it is first reached.
    fn largest(&self) -> (i32, f64, f64) {
        let mut best = (-1, 0.0, 0.0);
        for (row, &y) in self.ys.iter().enumerate() {
            let mut count = 0;
            for x in 0..self.columns {
                count += self.steps[row * (PLACES + 1) + x];
                if count > best.0 {
                    best = (count, x as f64, y);
                }
            }
        }
        best
    }
}
