//! The distribution over boxes that a map policy's maps define, and how boxes are read off it.
//!
//! A box is four whole percents, the same choice that the text policy has. Cell `c` of the grid
//! has a weight `pi_c` (softmax of the logits) and, for each edge, a discretised logistic
//! distribution over whole percents, cut to where the edge leaves the cell's centre inside:
//!
//! ```text
//! p(box) = sum_c pi_c * p_c(x1) * p_c(y1) * p_c(x2) * p_c(y2)
//! x1 in 0..=X, x2 in X+1..=100, with X = floor of the centre's percent (y alike)
//! ```
//!
//! So every box that can be drawn is valid, every valid box has a probability, the sum over all
//! boxes is 1, and sampling is exact: first a cell, then its edges. [`super::loss`] computes the
//! same log-probability on tensors for training.

use grounding::NormBox;
use rand::{Rng, RngExt};

/// Positions of edges: percents 0 to 100.
const LAST: f64 = 100.0;

/// Scales of edge distributions in percent, smallest and largest.
pub const SCALE: [f64; 2] = [0.15, 30.0];

/// One cell's four edges: position and scale in percent (left, top, right, bottom).
type Edges = [(f64, f64); 4];

/// A distribution over boxes.
#[derive(Debug, Clone)]
pub struct BoxDistribution {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    logits: Vec<f64>,
    edges: Vec<Edges>,
}

/// Percent that holds a cell's centre, 0 to 99.
pub fn centre_percent(index: usize, cells: usize) -> u32 {
    ((index as f64 + 0.5) / cells as f64 * 100.0)
        .floor()
        .clamp(0.0, 99.0) as u32
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    if x > 30.0 { x } else { x.exp().ln_1p() }
}

/// `ln(sigmoid(upper) - sigmoid(lower))`, stable far out in the tails.
fn ln_mass(lower: f64, upper: f64) -> f64 {
    -softplus(-upper) - softplus(lower) + (-(lower - upper).exp_m1()).ln()
}

/// ln p of an edge at percent `k` when it may lie in `range`.
fn ln_edge((position, scale): (f64, f64), k: u32, range: (u32, u32)) -> f64 {
    if k < range.0 || k > range.1 {
        return f64::NEG_INFINITY;
    }
    let z = |at: f64| (at - position) / scale;
    ln_mass(z(f64::from(k) - 0.5), z(f64::from(k) + 0.5))
        - ln_mass(z(f64::from(range.0) - 0.5), z(f64::from(range.1) + 0.5))
}

/// Percent below which an edge lies with probability `u`, among `range`.
fn edge_quantile((position, scale): (f64, f64), u: f64, range: (u32, u32)) -> u32 {
    let cdf = |at: f64| sigmoid((at - position) / scale);
    let (low, high) = (cdf(f64::from(range.0) - 0.5), cdf(f64::from(range.1) + 0.5));
    let p = (low + u * (high - low)).clamp(1e-12, 1.0 - 1e-12);
    let at = position + scale * (p / (1.0 - p)).ln();
    (at.round().clamp(f64::from(range.0), f64::from(range.1))) as u32
}

/// Where the edges of a cell at percent (x, y) may lie: left, top, right, bottom.
fn ranges(x: u32, y: u32) -> [(u32, u32); 4] {
    [(0, x), (0, y), (x + 1, 100), (y + 1, 100)]
}

impl BoxDistribution {
    /// From raw maps `[9, h, w]`, row by row (see [`super::net::MAPS`]).
    ///
    /// # Panics
    /// Where `maps` is not `9 * width * height` long: a programming error.
    pub fn new(maps: &[f32], width: usize, height: usize) -> Self {
        let cells = width * height;
        assert_eq!(maps.len(), super::net::MAPS * cells, "maps of another size");
        let value = |map: usize, cell: usize| f64::from(maps[map * cells + cell]);
        let logits = (0..cells).map(|c| value(0, c)).collect();
        let edges = (0..cells)
            .map(|c| {
                let x = ((c % width) as f64 + 0.5) / width as f64 * LAST;
                let y = ((c / width) as f64 + 0.5) / height as f64 * LAST;
                std::array::from_fn(|e| {
                    let reach = REACH * softplus(value(1 + 2 * e, c));
                    let scale = softplus(value(2 + 2 * e, c)).clamp(SCALE[0], SCALE[1]);
                    let centre = if e % 2 == 0 { x } else { y };
                    (
                        if e < 2 {
                            centre - reach
                        } else {
                            centre + reach
                        },
                        scale,
                    )
                })
            })
            .collect();
        Self {
            width,
            height,
            logits,
            edges,
        }
    }

    fn percent(&self, cell: usize) -> (u32, u32) {
        (
            centre_percent(cell % self.width, self.width),
            centre_percent(cell / self.width, self.height),
        )
    }

    /// Weights of the cells at a temperature; they add up to 1.
    fn weights(&self, temperature: f64) -> Vec<f64> {
        let top = self
            .logits
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let raw: Vec<f64> = self
            .logits
            .iter()
            .map(|l| ((l - top) / temperature).exp())
            .collect();
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|w| w / sum).collect()
    }

    /// Probability of each cell to belong to the evidence, 0..=1, for showing.
    pub fn evidence(&self) -> Vec<f32> {
        self.logits.iter().map(|l| sigmoid(*l) as f32).collect()
    }

    /// Natural logarithm of the probability of a box; edges are taken as whole percents.
    pub fn log_prob(&self, bbox: NormBox) -> f64 {
        let edges = whole(bbox);
        let weights = self.weights(1.0);
        let terms: Vec<f64> = (0..self.logits.len())
            .map(|c| {
                let (x, y) = self.percent(c);
                let ranges = ranges(x, y);
                let edges = (0..4).map(|e| ln_edge(self.edges[c][e], edges[e], ranges[e]));
                weights[c].ln() + edges.sum::<f64>()
            })
            .collect();
        let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if top == f64::NEG_INFINITY {
            return top;
        }
        top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln()
    }

    /// Draws a box. `temperature` divides the logits and multiplies the scales of the edges.
    pub fn sample(&self, temperature: f64, rng: &mut impl Rng) -> NormBox {
        let weights = self.weights(temperature.max(1e-6));
        let mut u: f64 = rng.random();
        let mut cell = weights.len() - 1;
        for (c, weight) in weights.iter().enumerate() {
            if u < *weight {
                cell = c;
                break;
            }
            u -= weight;
        }
        let (x, y) = self.percent(cell);
        let ranges = ranges(x, y);
        let edges = std::array::from_fn(|e| {
            let (position, scale) = self.edges[cell][e];
            let edge = (position, (scale * temperature).max(1e-3));
            edge_quantile(edge, rng.random(), ranges[e])
        });
        from_whole(edges)
    }

    /// The box around the likeliest place, each of whose edges lies far enough out to cover the
    /// evidence's edge with probability `coverage`.
    ///
    /// The likeliest place is the cell whose neighbourhood of 3 x 3 has most weight; cells that
    /// mean the same box (IoU of their expected boxes above 0.4) vote on the edges.
    pub fn propose(&self, coverage: f64) -> NormBox {
        let weights = self.weights(1.0);
        let peak = (0..weights.len())
            .map(|c| (self.neighbourhood(&weights, c), c))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(0, |(_, c)| c);
        let around = self.expected(peak);
        let voters: Vec<usize> = (0..weights.len())
            .filter(|c| *c == peak || overlap(self.expected(*c), around) > 0.4)
            .collect();
        let (x, y) = self.percent(peak);
        let edges = std::array::from_fn(|e| {
            let outward = if e < 2 { 1.0 - coverage } else { coverage };
            let range = ranges(x, y)[e];
            self.mixture_quantile(&voters, &weights, e, outward, range)
        });
        from_whole(edges)
    }

    /// Summed weight of a cell and its eight neighbours.
    fn neighbourhood(&self, weights: &[f64], cell: usize) -> f64 {
        let (x, y) = (cell % self.width, cell / self.width);
        let mut sum = 0.0;
        for j in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
            for i in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                sum += weights[j * self.width + i];
            }
        }
        sum
    }

    /// Expected edges of a cell in percent: x1, y1, x2, y2.
    fn expected(&self, cell: usize) -> [f64; 4] {
        std::array::from_fn(|e| self.edges[cell][e].0.clamp(0.0, LAST))
    }

    /// Percent below which an edge lies with probability `u`, over the voters' mixture.
    fn mixture_quantile(
        &self,
        voters: &[usize],
        weights: &[f64],
        edge: usize,
        u: f64,
        range: (u32, u32),
    ) -> u32 {
        let total: f64 = voters.iter().map(|c| weights[*c]).sum();
        let below = |k: u32| {
            let at = f64::from(k) + 0.5;
            let mass = voters.iter().map(|c| {
                let (position, scale) = self.edges[*c][edge];
                weights[*c] * sigmoid((at - position) / scale)
            });
            mass.sum::<f64>() / total.max(f64::MIN_POSITIVE)
        };
        (range.0..range.1)
            .find(|k| below(*k) >= u)
            .unwrap_or(range.1)
    }
}

/// Percent of the canvas that a raw edge value of softplus 1 reaches from the cell's centre.
pub const REACH: f64 = 10.0;

fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |c: [f64; 4]| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
    let both = side(0) * side(1);
    both / (area(a) + area(b) - both).max(f64::MIN_POSITIVE)
}

/// Whole percents of a box: x1, y1, x2, y2.
pub fn whole(bbox: NormBox) -> [u32; 4] {
    bbox.to_array().map(|v| v.round().clamp(0.0, 100.0) as u32)
}

fn from_whole([x1, y1, x2, y2]: [u32; 4]) -> NormBox {
    NormBox {
        x1: x1 as f32,
        y1: y1 as f32,
        x2: x2 as f32,
        y2: y2 as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn maps(seed: u64, width: usize, height: usize) -> BoxDistribution {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let n = super::super::net::MAPS * width * height;
        let values: Vec<f32> = (0..n).map(|_| rng.random_range(-3.0..3.0)).collect();
        BoxDistribution::new(&values, width, height)
    }

    #[test]
    fn probabilities_of_all_boxes_add_up_to_one() {
        let distribution = maps(3, 2, 1);
        let mut sum = 0.0;
        // Edges are independent given a cell, so summing over all boxes is summing over x and y
        // pairs; 25 million boxes are too many, a coarse check per cell is exact.
        for cell in 0..2 {
            let (x, y) = distribution.percent(cell);
            let mut product = distribution.weights(1.0)[cell];
            for (e, range) in ranges(x, y).into_iter().enumerate() {
                let edge = distribution.edges[cell][e];
                product *= (range.0..=range.1)
                    .map(|k| ln_edge(edge, k, range).exp())
                    .sum::<f64>();
            }
            sum += product;
        }
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn samples_come_as_often_as_their_probability_says() {
        // One sharp cell: few boxes are likely, so their frequencies can be counted.
        let mut values = vec![0f32; 9 * 4];
        values[0] = 6.0;
        for e in 0..4 {
            for c in 0..4 {
                values[(2 + 2 * e) * 4 + c] = -2.0;
            }
        }
        let distribution = BoxDistribution::new(&values, 2, 2);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let n = 20_000;
        let mut counts = std::collections::HashMap::new();
        for _ in 0..n {
            *counts
                .entry(whole(distribution.sample(1.0, &mut rng)))
                .or_insert(0u32) += 1;
        }
        let (likely, count) = counts.into_iter().max_by_key(|(_, n)| *n).unwrap();
        let p = distribution.log_prob(from_whole(likely)).exp();
        let frequency = f64::from(count) / f64::from(n);
        assert!(
            (frequency - p).abs() < 4.0 * (p / f64::from(n)).sqrt(),
            "{frequency} {p}"
        );
    }

    #[test]
    fn every_drawn_and_proposed_box_is_valid() {
        for seed in 0..50 {
            let distribution = maps(seed, 7, 5);
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            for bbox in [
                distribution.sample(0.8, &mut rng),
                distribution.sample(3.0, &mut rng),
                distribution.propose(0.9),
            ] {
                assert!(NormBox::new(bbox.x1, bbox.y1, bbox.x2, bbox.y2).is_ok());
                assert!(distribution.log_prob(bbox).is_finite());
            }
        }
    }

    #[test]
    fn more_coverage_means_larger_boxes() {
        let distribution = maps(11, 9, 9);
        let area = |coverage| distribution.propose(coverage).area();
        assert!(area(0.5) <= area(0.8) && area(0.8) <= area(0.98));
    }
}
