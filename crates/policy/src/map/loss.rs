//! What SFT minimises, and the differentiable log-probability of a box.
//!
//! Four numbers a question teach a network from nothing too little; dense targets teach it in
//! minutes. So SFT has, beside the box's edges, a target in every cell (does it belong to the
//! evidence?) and in every printed character (which one is it?). All parts are in nats:
//!
//! * `place`: -ln of the probability that the drawn cell lies in the evidence;
//! * `cells`: binary cross-entropy of every cell's logit, evidence weighted;
//! * `edges`: -ln p of the true box's four edges, mean over the evidence's cells;
//! * `reading`: cross-entropy of the characters, see [`super::reading`].

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use grounding::NormBox;
use mapnet::boxes::{COLDEST, MAPS, REACH, SCALE, SHARPEST, centre_percent, whole};

use super::question::encode_questions;
use super::reading::reading;
use super::{MapPolicy, batch};
use crate::Result;

pub use super::targets::Targets;

/// `ln(1 + e^x)`, stable on both sides.
fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let small = (-x.clone().abs()).exp().log1p();
    burn::tensor::activation::relu(x) + small
}

/// `ln(sigmoid(upper) - sigmoid(lower))`; `width` = upper - lower.
fn ln_mass<const D: usize>(lower: Tensor<D>, upper: Tensor<D>, width: Tensor<D>) -> Tensor<D> {
    let gap = (-(-width).exp()).add_scalar(1.0).clamp_min(1e-30).log();
    gap - softplus(-upper) - softplus(lower)
}

/// Log-probabilities of edges under discretised logistics cut to `low..=high` (whole percents).
///
/// All of one shape; `position` and `scale` in percent, `edge` the edge's percent.
fn ln_edge<const D: usize>(
    position: Tensor<D>,
    scale: Tensor<D>,
    edge: Tensor<D>,
    low: Tensor<D>,
    high: Tensor<D>,
) -> Tensor<D> {
    let z = |at: Tensor<D>| (at - position.clone()) / scale.clone();
    let inside = ln_mass(
        z(edge.clone() - 0.5),
        z(edge.clone() + 0.5),
        scale.clone().recip(),
    );
    let whole = ln_mass(
        z(low.clone() - 0.5),
        z(high.clone() + 0.5),
        (high - low + 1.0) / scale.clone(),
    );
    inside - whole
}

/// Positions and scales `[N, 4]` in percent from raw edge maps `[N, 8]` of cells with centres
/// `[N, 2]` (x, y in percent). Left and top lie before the centre, right and bottom behind it.
fn edges_of(raw: Tensor<2>, centres: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let [n, _] = raw.dims();
    let raw = raw.reshape([n, 4, 2]);
    let reach = softplus(raw.clone().slice([0..n, 0..4, 0..1]).reshape([n, 4])).mul_scalar(REACH);
    let scale = softplus(raw.slice([0..n, 0..4, 1..2]).reshape([n, 4])).clamp(SCALE[0], SCALE[1]);
    let sign = Tensor::<2>::from_data([[-1.0, -1.0, 1.0, 1.0]], &centres.device());
    let centre = Tensor::cat(vec![centres.clone(), centres], 1); // [N, 4]
    (centre + reach * sign, scale)
}

/// Centres in percent and edge ranges of the cells of an `h` x `w` grid.
struct Grid {
    /// x, y in percent, cell by cell.
    centres: Vec<f32>,
    /// Lowest possible left, top, right, bottom edge.
    low: Vec<f32>,
    /// Highest possible ones.
    high: Vec<f32>,
}

impl Grid {
    fn new(w: usize, h: usize, cells: impl Iterator<Item = usize>) -> Self {
        let (mut centres, mut low, mut high) = (Vec::new(), Vec::new(), Vec::new());
        for cell in cells {
            let (i, j) = (cell % w, cell / w);
            centres.push((i as f32 + 0.5) / w as f32 * 100.0);
            centres.push((j as f32 + 0.5) / h as f32 * 100.0);
            let (x, y) = (centre_percent(i, w) as f32, centre_percent(j, h) as f32);
            low.extend([0.0, 0.0, x + 1.0, y + 1.0]);
            high.extend([x, y, 100.0, 100.0]);
        }
        Self { centres, low, high }
    }

    fn tensor(values: &[f32], columns: usize, device: &Device) -> Tensor<2> {
        let shape = [values.len() / columns, columns];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }
}

/// Log-probabilities of boxes, `[N]`, from the maps `[1, 9, h, w]` of one question: the same
/// mixture as [`super::BoxDistribution::log_prob_at`], on tensors. The temperature divides the cells'
/// logits and multiplies the scales of the edges, as sampling does.
pub fn log_probs(maps: Tensor<4>, boxes: &[NormBox], temperature: f64) -> Tensor<1> {
    let device = maps.device();
    let [_, _, h, w] = maps.dims();
    let cells = h * w;
    let maps = maps.reshape([MAPS, cells]).transpose(); // [C, 9]
    let logits = maps.clone().slice([0..cells, 0..1]).reshape([1, cells]);
    let logits = logits.div_scalar(temperature.max(COLDEST));
    let weights = log_softmax(logits, 1).reshape([cells]); // [C]
    let grid = Grid::new(w, h, 0..cells);
    let centres = Grid::tensor(&grid.centres, 2, &device);
    let (position, scale) = edges_of(maps.slice([0..cells, 1..MAPS]), centres); // [C, 4]
    let scale = scale.mul_scalar(temperature).clamp_min(SHARPEST);
    let low = Grid::tensor(&grid.low, 4, &device);
    let high = Grid::tensor(&grid.high, 4, &device);
    let rows = boxes.iter().map(|bbox| {
        let edges = whole(*bbox).map(|v| v as f32);
        // Cells outside the box cannot have drawn it.
        let outside: Vec<f32> = (0..cells)
            .map(|c| {
                let fits = (0..4)
                    .all(|e| (grid.low[4 * c + e]..=grid.high[4 * c + e]).contains(&edges[e]));
                if fits { 0.0 } else { -1e9 }
            })
            .collect();
        let edge = Tensor::<1>::from_data(edges, &device)
            .reshape([1, 4])
            .expand([cells, 4])
            .clamp_min(-1.0);
        // A cell that cannot have drawn the box gets an edge that it can have, so that the masked
        // term stays finite and gives no gradient.
        let edge = edge.max_pair(low.clone()).min_pair(high.clone());
        let edges = ln_edge(
            position.clone(),
            scale.clone(),
            edge,
            low.clone(),
            high.clone(),
        );
        let outside = Tensor::<1>::from_data(TensorData::new(outside, [cells]), &device);
        let terms = weights.clone() + edges.sum_dim(1).reshape([cells]) + outside; // [C]
        let top = terms.clone().detach().max(); // [1]
        (terms - top.clone()).exp().sum().log() + top
    });
    Tensor::cat(rows.collect(), 0) // [N]
}

/// The parts of the loss, each a scalar tensor `[1]`.
pub struct Loss {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Its parts by name, unweighted.
    pub parts: Vec<(&'static str, Tensor<1>)>,
}

/// Cells whose centre lies in one of the boxes (at least the nearest one), and which box.
fn cells_in(boxes: &[[f32; 4]], w: usize, h: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (b, [x1, y1, x2, y2]) in boxes.iter().enumerate() {
        let range = |low: f32, high: f32, n: usize| {
            let at = |v: f32| v / 100.0 * n as f32;
            let first = (at(low) - 0.5).ceil().max(0.0) as usize;
            let last = (at(high) - 0.5).floor();
            if last < first as f32 {
                let middle = (at((low + high) / 2.0) as usize).min(n - 1);
                return middle..=middle;
            }
            first.min(n - 1)..=(last as usize).min(n - 1)
        };
        for j in range(*y1, *y2, h) {
            for i in range(*x1, *x2, w) {
                found.push((j * w + i, b));
            }
        }
    }
    found
}

/// Weights of the parts in the total; `place` has 1. With less for reading, the gradients of pointing,
/// which are larger and noisier, drown it in the encoder that both share.
const CELLS: f64 = 10.0;
const EDGES: f64 = 0.2;
const READING: f64 = 6.0;

/// The SFT loss of a batch: pointing, where there are questions, and reading, where there are lines.
///
/// # Errors
/// A device that does not deliver.
pub async fn sft(policy: &MapPolicy, targets: &Targets) -> Result<Loss> {
    let (net, device) = (policy.net(), &policy.device);
    let pixels = batch::canvases(&targets.canvases, targets.width, targets.height, device);
    let mut encoded = net.encode(pixels);
    let read = encoded.char_logits().await?;
    let mut total = Tensor::<1>::zeros([1], device);
    let mut parts = Vec::new();
    if !targets.questions.is_empty() {
        encoded.find_in(&read);
        let words = policy.words();
        let texts = encode_questions(&targets.questions, &policy.config, words, device);
        let maps = net.decode(&encoded, &targets.owners, &targets.questions, &texts, words);
        let pointing = pointing(maps, targets, device);
        for (part, weight) in pointing.iter().zip([1.0, CELLS, EDGES]) {
            total = total + part.1.clone().mul_scalar(weight);
        }
        parts.extend(pointing);
    }
    if !targets.lines.is_empty() {
        let reading = reading(&encoded, &read, targets, device);
        total = total + reading.clone().mul_scalar(READING);
        parts.push(("reading", reading));
    }
    Ok(Loss { total, parts })
}

/// Parts of the loss that teach where the evidence is; maps `[Q, 9, h, w]`.
fn pointing(maps: Tensor<4>, targets: &Targets, device: &Device) -> [(&'static str, Tensor<1>); 3] {
    let [n, _, h, w] = maps.dims();
    let cells = h * w;

    let mut mask = vec![0f32; n * cells];
    let mut index: Vec<i32> = Vec::new();
    let mut share: Vec<f32> = Vec::new();
    let mut edges: Vec<f32> = Vec::new();
    // Questions with evidence: the others teach nothing but cells that are none.
    let there = targets
        .boxes
        .iter()
        .filter(|boxes| !boxes.is_empty())
        .count()
        .max(1);
    let mut counts = vec![0f32; n];
    for (q, boxes) in targets.boxes.iter().enumerate() {
        let found = cells_in(boxes, w, h);
        counts[q] = if boxes.is_empty() {
            0.0
        } else {
            1.0 / there as f32
        };
        for (cell, b) in &found {
            mask[q * cells + cell] = 1.0;
            index.push((q * cells + cell) as i32);
            share.push(1.0 / (found.len() * there) as f32);
            let [x1, y1, x2, y2] = boxes[*b];
            edges.extend([x1.floor(), y1.floor(), x2.ceil(), y2.ceil()]);
        }
    }
    let grid = Grid::new(w, h, index.iter().map(|i| *i as usize % cells));
    let mask = Tensor::<2>::from_data(TensorData::new(mask, [n, cells]), device);
    let logits = maps.clone().slice([0..n, 0..1]).reshape([n, cells]);

    let log_weights = log_softmax(logits.clone(), 1);
    // -ln of a sum over the evidence, through a mask that is as good as 0 or 1.
    let inside = (mask.clone() - 1.0).mul_scalar(60.0) + log_weights;
    let counts = Tensor::<1>::from_data(TensorData::new(counts, [n]), device);
    let place = -(log_sum_exp(inside) * counts).sum();

    let weight = mask.clone().mul_scalar(4.0) + 1.0;
    let cross = softplus(logits.clone()) - logits * mask;
    let cells_loss = (cross * weight).mean();

    let found = index.len();
    let rows = maps.permute([0, 2, 3, 1]).reshape([n * cells, MAPS]);
    let index = Tensor::<1, Int>::from_data(TensorData::new(index, [found]), device);
    let raw = rows.select(0, index).slice([0..found, 1..MAPS]); // [P, 8]
    let (position, scale) = edges_of(raw, Grid::tensor(&grid.centres, 2, device));
    let low = Grid::tensor(&grid.low, 4, device);
    let high = Grid::tensor(&grid.high, 4, device);
    let edge = Grid::tensor(&edges, 4, device)
        .max_pair(low.clone())
        .min_pair(high.clone());
    let share = Tensor::<2>::from_data(TensorData::new(share, [found, 1]), device);
    let edges_loss = -(ln_edge(position, scale, edge, low, high) * share).sum();

    [
        ("place", place),
        ("cells", cells_loss),
        ("edges", edges_loss),
    ]
}

/// Rows of `[N, M]` → `[N]`.
fn log_sum_exp(x: Tensor<2>) -> Tensor<1> {
    let [n, _] = x.dims();
    let top = x.clone().detach().max_dim(1); // [N, 1]
    let sum = (x - top.clone()).exp().sum_dim(1).log() + top;
    sum.reshape([n])
}
