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
//! boxes is 1, and sampling is exact: first a cell, then its edges. Training computes the same
//! log-probability on tensors (`policy::map::loss`).

use grounding::NormBox;
use rand::{Rng, RngExt};

/// Output maps of a cell: evidence logit, then position and log-scale of the left, top, right and
/// bottom edge.
pub const MAPS: usize = 9;

/// Positions of edges: percents 0 to 100.
const LAST: f64 = 100.0;

/// Scales of edge distributions in percent, smallest and largest.
pub const SCALE: [f64; 2] = [0.15, 30.0];

/// The lowest temperature that is told from 0.
pub const COLDEST: f64 = 1e-6;

/// The smallest scale in percent that a low temperature leaves.
pub const SHARPEST: f64 = 1e-3;

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

/// The logistic function.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    if x > 30.0 { x } else { x.exp().ln_1p() }
}

/// `ln(sigmoid(upper) - sigmoid(lower))`, stable far out in the tails.
fn ln_mass(lower: f64, upper: f64) -> f64 {
    -softplus(-upper) - softplus(lower) + (-(lower - upper).exp_m1()).ln()
}

/// An edge's position and scale at a temperature, which multiplies the scale.
fn at_temperature((position, scale): (f64, f64), temperature: f64) -> (f64, f64) {
    (position, (scale * temperature).max(SHARPEST))
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
    /// From raw maps `[9, h, w]`, row by row (see [`MAPS`]).
    ///
    /// # Panics
    /// Where `maps` is not `9 * width * height` long: a programming error.
    pub fn new(maps: &[f32], width: usize, height: usize) -> Self {
        let cells = width * height;
        assert_eq!(maps.len(), MAPS * cells, "maps of another size");
        let value = |map: usize, cell: usize| f64::from(maps[map * cells + cell]);
        let logits = (0..cells).map(|c| value(0, c)).collect();
        let edges = (0..cells)
            .map(|c| {
                let x = ((c % width) as f64 + 0.5) / width as f64 * LAST;
                let y = ((c / width) as f64 + 0.5) / height as f64 * LAST;
                std::array::from_fn(|e| {
                    // Far outside the picture nothing changes any more, but differences would be lost.
                    let reach = (REACH * softplus(value(1 + 2 * e, c))).min(FARTHEST);
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
        let (top, sum) = self.normaliser(temperature);
        let weight = |l: &f64| ((l - top) / temperature).exp() / sum;
        self.logits.iter().map(weight).collect()
    }

    /// Highest logit, and the sum of the cells' exponentials below it, at a temperature.
    fn normaliser(&self, temperature: f64) -> (f64, f64) {
        let top = self.peak();
        let logits = self.logits.iter();
        let sum = logits.map(|l| ((l - top) / temperature).exp()).sum();
        (top, sum)
    }

    /// The logit of the likeliest cell.
    pub fn peak(&self) -> f64 {
        let logits = self.logits.iter().copied();
        logits.fold(f64::NEG_INFINITY, f64::max)
    }

    /// Probability of each cell to belong to the evidence, 0..=1, for showing.
    pub fn evidence(&self) -> Vec<f32> {
        self.logits.iter().map(|l| sigmoid(*l) as f32).collect()
    }

    /// Natural logarithm of the probability of a box; edges are taken as whole percents.
    pub fn log_prob(&self, bbox: NormBox) -> f64 {
        self.log_prob_at(bbox, 1.0)
    }

    /// Natural logarithm of the probability with which [`BoxDistribution::sample`] draws a box at a temperature.
    pub fn log_prob_at(&self, bbox: NormBox, temperature: f64) -> f64 {
        let edges = whole(bbox);
        let cold = temperature.max(COLDEST);
        // Logarithms of the weights: weights themselves run out at e^-745.
        let (highest, sum) = self.normaliser(cold);
        let terms: Vec<f64> = (0..self.logits.len())
            .map(|c| {
                let (x, y) = self.percent(c);
                let ranges = ranges(x, y);
                let edge = |e| at_temperature(self.edges[c][e], temperature);
                let edges = (0..4).map(|e| ln_edge(edge(e), edges[e], ranges[e]));
                (self.logits[c] - highest) / cold - sum.ln() + edges.sum::<f64>()
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
        let weights = self.weights(temperature.max(COLDEST));
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
            let edge = at_temperature(self.edges[cell][e], temperature);
            edge_quantile(edge, rng.random(), ranges[e])
        });
        from_whole(edges)
    }

    /// The box whose chance to hold the evidence is worth its area.
    ///
    /// Each cell means one box: its edges far enough out to cover the evidence's edge with
    /// probability `coverage`. Of all boxes, the one is wanted that maximises the weight of the
    /// cells whose boxes lie inside it, minus `price` times its area (share of the picture). So
    /// where the policy is sure, the box is tight; where two places side by side are likely, it
    /// holds both; and no box grows by a tenth of the picture for less than `price` tenths of
    /// probability. Found greedily from the best single cell's box.
    pub fn propose(&self, coverage: f64, price: f64) -> NormBox {
        let weights = self.weights(1.0);
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b)));
        order.truncate(CANDIDATES);
        let boxes: Vec<(f64, [u32; 4])> = order
            .iter()
            .map(|c| (weights[*c], self.covering(*c, coverage)))
            .collect();
        let worth = |b: &[u32; 4]| {
            let held = boxes.iter().filter(|(_, other)| holds(b, other));
            let side = |i: usize| f64::from(b[i + 2] - b[i]) / LAST;
            held.map(|(weight, _)| weight).sum::<f64>() - price * side(0) * side(1)
        };
        let better = |best: Option<(f64, [u32; 4])>, candidate: [u32; 4]| {
            let value = worth(&candidate);
            match best {
                Some((known, _)) if known >= value => best,
                _ => Some((value, candidate)),
            }
        };
        let mut best = boxes.iter().map(|(_, b)| *b).fold(None, better);
        while let Some((value, current)) = best {
            let grown = boxes.iter().map(|(_, other)| hull(&current, other));
            best = grown.fold(best, better);
            if best.is_none_or(|(grown, _)| grown <= value) {
                break;
            }
        }
        // There is always a cell; an empty grid would be a programming error.
        from_whole(best.map_or([0, 0, 100, 100], |(_, b)| b))
    }

    /// Every cell's weight and its own box, see [`BoxDistribution::propose`].
    pub(crate) fn cell_boxes(&self, coverage: f64) -> Vec<(f64, NormBox)> {
        let weights = self.weights(1.0).into_iter().enumerate();
        weights
            .map(|(cell, weight)| (weight, from_whole(self.covering(cell, coverage))))
            .collect()
    }

    /// Takes their weight from the cells whose own boxes lie inside a box.
    pub(crate) fn forget_inside(&mut self, bbox: NormBox, coverage: f64) {
        for cell in 0..self.logits.len() {
            if bbox.contains(from_whole(self.covering(cell, coverage))) {
                self.logits[cell] = UNLIKELY;
            }
        }
    }

    /// A cell's box, each edge far enough out to cover with probability `coverage`.
    fn covering(&self, cell: usize, coverage: f64) -> [u32; 4] {
        let (x, y) = self.percent(cell);
        let ranges = ranges(x, y);
        std::array::from_fn(|e| {
            let outward = if e < 2 { 1.0 - coverage } else { coverage };
            edge_quantile(self.edges[cell][e], outward, ranges[e])
        })
    }
}

/// Percent of the canvas that a raw edge value of softplus 1 reaches from the cell's centre.
pub const REACH: f64 = 10.0;

/// Percent from a cell's centre beyond which an edge's position is not told apart.
const FARTHEST: f64 = 1e5;

/// The logit of a cell that is ruled out.
const UNLIKELY: f64 = -1e3;

/// Cells that a proposal considers: the likeliest ones.
const CANDIDATES: usize = 256;

fn holds(outer: &[u32; 4], inner: &[u32; 4]) -> bool {
    outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3]
}

fn hull(a: &[u32; 4], b: &[u32; 4]) -> [u32; 4] {
    [
        a[0].min(b[0]),
        a[1].min(b[1]),
        a[2].max(b[2]),
        a[3].max(b[3]),
    ]
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
        let n = MAPS * width * height;
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
        for temperature in [0.5, 0.8, 1.0, 1.5] {
            let mut counts = std::collections::HashMap::new();
            for _ in 0..n {
                *counts
                    .entry(whole(distribution.sample(temperature, &mut rng)))
                    .or_insert(0u32) += 1;
            }
            let (likely, count) = counts.into_iter().max_by_key(|(_, n)| *n).unwrap();
            let frequency = f64::from(count) / f64::from(n);
            let far = |p: f64| (frequency - p).abs() / (p / f64::from(n)).sqrt();
            let p = distribution.log_prob_at(from_whole(likely), temperature);
            assert!(far(p.exp()) < 4.0, "{temperature}: {frequency} {}", p.exp());
            // The probability at 1 is another one.
            if temperature != 1.0 {
                let other = distribution.log_prob(from_whole(likely)).exp();
                assert!(far(other) > 8.0, "{temperature}: {frequency} {other}");
            }
        }
    }

    #[test]
    fn every_drawn_and_proposed_box_is_valid() {
        for seed in 0..50 {
            let distribution = maps(seed, 7, 5);
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            for bbox in [
                distribution.sample(0.8, &mut rng),
                distribution.sample(3.0, &mut rng),
                distribution.propose(0.9, 2.0),
            ] {
                assert!(NormBox::new(bbox.x1, bbox.y1, bbox.x2, bbox.y2).is_ok());
                assert!(distribution.log_prob(bbox).is_finite());
            }
        }
    }

    #[test]
    fn boxes_are_valid_and_their_chances_numbers_whatever_the_maps() {
        let huge = [
            f32::MAX,
            f32::MIN,
            1e30,
            -1e30,
            1e6,
            -1e6,
            1e4,
            0.0,
            -90.0,
            90.0,
        ];
        for seed in 0..200 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let n = MAPS * 12;
            let values: Vec<f32> = (0..n)
                .map(|_| huge[rng.random_range(0..huge.len())])
                .collect();
            let distribution = BoxDistribution::new(&values, 4, 3);
            for bbox in [
                distribution.sample(0.8, &mut rng),
                distribution.propose(0.9, 2.0),
            ] {
                assert!(NormBox::new(bbox.x1, bbox.y1, bbox.x2, bbox.y2).is_ok());
                let log_prob = distribution.log_prob(bbox);
                assert!(log_prob.is_finite(), "seed {seed}: {bbox:?} has {log_prob}");
                let log_prob = distribution.log_prob_at(bbox, 0.8);
                assert!(log_prob.is_finite(), "seed {seed}: {bbox:?} has {log_prob}");
            }
        }
    }

    #[test]
    fn more_coverage_means_larger_boxes() {
        let distribution = maps(11, 9, 9);
        let area = |coverage| distribution.propose(coverage, 100.0).area();
        assert!(area(0.5) < area(0.98));
    }

    #[test]
    fn a_box_grows_only_for_what_it_is_worth() {
        // Two likely places in a row of eight cells, the first a little likelier.
        let mut values = vec![0f32; 9 * 8];
        values[..8].copy_from_slice(&[-9.0, 3.0, -9.0, -9.0, 2.6, -9.0, -9.0, -9.0]);
        values[8..72].fill(-3.0);
        let distribution = BoxDistribution::new(&values, 8, 1);
        let cheap = distribution.propose(0.8, 0.1);
        let dear = distribution.propose(0.8, 100.0);
        assert!(cheap.x1 < 19.0 && cheap.x2 > 56.0, "{cheap:?}");
        assert!(dear.x1 < 19.0 && dear.x2 < 30.0, "{dear:?}");
    }
}
