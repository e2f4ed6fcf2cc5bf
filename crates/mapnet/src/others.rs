//! What a distribution says beside its best box: how likely a box holds the evidence, and the next places.

use grounding::NormBox;

use crate::{BoxDistribution, MapConfig};

impl BoxDistribution {
    /// The box that a model with this configuration proposes, and the share of the distribution that it holds: wider where
    /// the policy is not sure, see [`Doubt`](crate::Doubt).
    pub fn best(&self, config: &MapConfig) -> (NormBox, f64) {
        let at = |price| {
            let bbox = self.propose(config.coverage, price);
            (bbox, self.confidence(bbox, config.coverage))
        };
        let (bbox, held) = at(config.area_price);
        match config.doubt {
            Some(doubt) if held < doubt.below => at(doubt.area_price),
            _ => (bbox, held),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Doubt;

    /// A row of eight cells of which two are likely, the one at the left by so much more.
    fn two_places(more: f32) -> BoxDistribution {
        let mut values = vec![0f32; 9 * 8];
        values[..8].copy_from_slice(&[-9.0, 2.6 + more, -9.0, -9.0, 2.6, -9.0, -9.0, -9.0]);
        values[8..72].fill(-3.0);
        BoxDistribution::new(&values, 8, 1)
    }

    #[test]
    fn where_the_policy_is_not_sure_its_box_is_wider() {
        let plain = MapConfig {
            coverage: 0.8,
            area_price: 100.0,
            ..MapConfig::tiny()
        };
        let doubting = MapConfig {
            doubt: Some(Doubt {
                below: 0.8,
                area_price: 0.1,
            }),
            ..plain.clone()
        };
        let unsure = two_places(0.3);
        let (tight, held) = unsure.best(&plain);
        assert!(held < 0.8, "{held}");
        let (wide, more) = unsure.best(&doubting);
        assert!(
            wide.contains(tight) && wide.area() > 1.5 * tight.area(),
            "{wide:?}"
        );
        assert!(more > 0.9, "{more}");
        // A sure one stays tight, whatever doubt would cost.
        let sure = two_places(6.0);
        assert_eq!(sure.best(&plain), sure.best(&doubting));
        assert!(sure.best(&plain).1 > 0.8);
    }
}
