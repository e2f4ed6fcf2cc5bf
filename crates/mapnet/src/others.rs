//! What a distribution says beside its best box: how likely a box holds the evidence, and the next places.

use grounding::NormBox;

use crate::BoxDistribution;

impl BoxDistribution {
    /// Share of the distribution that a box holds, 0 to 1: the weight of the cells whose own boxes lie inside it. `coverage` is that
    /// of [`BoxDistribution::propose`].
    pub fn confidence(&self, bbox: NormBox, coverage: f64) -> f64 {
        let cells = self.cell_boxes(coverage);
        let inside = cells.iter().filter(|(_, own)| bbox.contains(*own));
        inside.map(|(weight, _)| weight).sum::<f64>().min(1.0)
    }

    /// Further boxes, likeliest first, at most `most`: what would be proposed if the evidence were in none of the boxes
    /// before. Each with its share, as [`BoxDistribution::confidence`] gives it.
    pub fn others(
        &self,
        best: NormBox,
        coverage: f64,
        price: f64,
        most: usize,
    ) -> Vec<(NormBox, f64)> {
        let mut left = self.clone();
        let mut taken = best;
        let mut found = Vec::new();
        while found.len() < most {
            left.forget_inside(taken, coverage);
            let next = left.propose(coverage, price);
            let confidence = self.confidence(next, coverage);
            let again = next == taken || found.iter().any(|(bbox, _)| *bbox == next);
            if again || confidence < LEAST {
                break;
            }
            found.push((next, confidence));
            taken = next;
        }
        found
    }
}

/// Places less likely than this are not worth naming.
const LEAST: f64 = 0.01;
