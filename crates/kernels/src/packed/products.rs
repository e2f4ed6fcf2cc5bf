//! Products with packed weights by threads: panels of a layer, or rows of activations.

use rayon::prelude::*;

use super::activations::{Activations, Quantized};
use super::elements::gelu_tanh;
use super::lanes::{Instructions, Lanes, Work};
use super::linear::{Linear, Weights};
use super::product::{
    Bytes, Halves, Wide, many as many_of_panel, products as panel_products, widen_bytes,
    widen_halves,
};
use super::{BLOCK, WIDTH};
use crate::learn::product::{Left, Product};

/// Up to so many rows a panel is read once for all of them and nothing is widened beforehand.
const FEW: usize = 4;
/// Weights that are worth a thread of their own.
const SHARE: usize = 48 * 1024;
/// Bytes of activations that pass over a panel together: they stay in the second cache.
const ROOM: usize = 256 * 1024;

/// What is done with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Stored.
    Set,
    /// Added to what is there.
    Add,
    /// Its GELU (tanh approximation) is stored.
    Gelu,
}

/// One layer's part of [`products`].
pub struct Job<'a> {
    layer: &'a Linear,
    out: &'a mut [f32],
    then: Then,
}

impl<'a> Job<'a> {
    /// `out` is `[rows, outputs]`.
    pub fn new(layer: &'a Linear, out: &'a mut [f32], then: Then) -> Self {
        Self { layer, out, then }
    }
}

/// `out = W x + b` of several layers for the same activations. Threads share all of their panels or all rows.
///
/// # Panics
/// If shapes do not fit.
pub fn products(x: &Activations, jobs: &mut [Job]) {
    products_with(Instructions::best(), x, jobs);
}

/// The same with given instructions.
pub(super) fn products_with(instructions: Instructions, x: &Activations, jobs: &mut [Job]) {
    for job in jobs.iter() {
        let [outputs, inputs] = job.layer.shape();
        assert_eq!(inputs, x.depth, "inputs");
        assert_eq!(job.out.len(), x.rows * outputs, "outputs");
    }
    match x.rows {
        0 => {}
        1 => few::<1>(instructions, x, jobs),
        2 => few::<2>(instructions, x, jobs),
        3 => few::<3>(instructions, x, jobs),
        FEW => few::<FEW>(instructions, x, jobs),
        _ => jobs.iter_mut().for_each(|job| many(instructions, x, job)),
    }
}

/// A few rows: threads share panels.
fn few<const R: usize>(instructions: Instructions, x: &Activations, jobs: &mut [Job]) {
    if jobs.iter().any(|job| job.layer.is_quantized()) {
        x.quantized(instructions);
    }
    let mut parts = Vec::new();
    for (job, layer) in jobs.iter().map(|job| job.layer).enumerate() {
        let step = (SHARE / (layer.inputs * WIDTH)).max(1);
        let panels = layer.panels();
        parts.extend(
            (0..panels)
                .step_by(step)
                .map(|at| (job, at..panels.min(at + step))),
        );
    }
    let compute = |(job, panels): &(usize, std::ops::Range<usize>)| {
        let layer = jobs[*job].layer;
        let work = FewRows::<R> {
            x,
            layer,
            panels: panels.clone(),
            instructions,
        };
        instructions.run(work)
    };
    let found: Vec<Vec<[[f32; WIDTH]; R]>> = match parts.len() {
        1 => parts.iter().map(compute).collect(),
        _ => parts.par_iter().map(compute).collect(),
    };
    for ((job, panels), found) in parts.into_iter().zip(found) {
        let job = &mut jobs[job];
        for (panel, sums) in panels.zip(found) {
            for (row, sums) in job.out.chunks_exact_mut(job.layer.outputs).zip(sums) {
                job.layer.put(panel, sums, row, job.then);
            }
        }
    }
}

struct FewRows<'a, const R: usize> {
    x: &'a Activations<'a>,
    layer: &'a Linear,
    panels: std::ops::Range<usize>,
    instructions: Instructions,
}

impl<const R: usize> Work for FewRows<'_, R> {
    type Output = Vec<[[f32; WIDTH]; R]>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Self::Output {
        let Self { x, layer, .. } = self;
        let blocks = layer.inputs.div_ceil(BLOCK);
        let mut wide = Vec::new();
        let mut out = Vec::with_capacity(self.panels.len());
        for panel in self.panels {
            let at = panel * blocks..(panel + 1) * blocks;
            out.push(match &layer.weights {
                Weights::Q8(values, scales) => {
                    let quantized = x.quantized(self.instructions);
                    let rows = std::array::from_fn(|r| quantized.row(r));
                    panel_products(lanes, Bytes(&values[at.clone()]), &scales[at], rows)
                }
                Weights::Q4(values, scales) => {
                    let quantized = x.quantized(self.instructions);
                    let rows = std::array::from_fn(|r| quantized.row(r));
                    panel_products(lanes, Halves(&values[at.clone()]), &scales[at], rows)
                }
                _ => {
                    let mut sums = [[0.0; WIDTH]; R];
                    let right = layer.plain(panel, &mut wide);
                    plain_products(x.values, right, sums.as_flattened_mut());
                    sums
                }
            });
        }
        out
    }
}

/// `sums = left right`, [rows, 16] = [rows, depth] [depth, 16].
fn plain_products(left: &[f32], right: &[[f32; WIDTH]], sums: &mut [f32]) {
    let depth = right.len();
    Product {
        rows: sums.len() / WIDTH,
        columns: WIDTH,
        depth,
        sums,
        adds: false,
        left,
        lies: Left::Rows(depth),
        right: right.as_flattened(),
    }
    .run();
}

/// Many rows: threads share rows.
fn many(instructions: Instructions, x: &Activations, job: &mut Job) {
    let layer = job.layer;
    let quantized = layer.is_quantized().then(|| x.quantized(instructions));
    let bytes = if quantized.is_some() { 2 } else { 4 };
    let threads = rayon::current_num_threads();
    let rows = (ROOM / (bytes * x.depth)).clamp(12, x.rows.div_ceil(threads).max(12));
    let then = job.then;
    let parts = job.out.par_chunks_mut(rows * layer.outputs);
    parts.enumerate().for_each(|(part, out)| {
        instructions.run(ManyRows {
            x,
            quantized,
            layer,
            first: part * rows,
            out,
            then,
        });
    });
}

struct ManyRows<'a> {
    x: &'a Activations<'a>,
    quantized: Option<&'a Quantized>,
    layer: &'a Linear,
    first: usize,
    out: &'a mut [f32],
    then: Then,
}

impl Work for ManyRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let layer = self.layer;
        let rows = self.out.len() / layer.outputs;
        let blocks = layer.inputs.div_ceil(BLOCK);
        let (mut wide, mut plain) = (Vec::new(), Vec::new());
        let mut sums = vec![[0.0; WIDTH]; rows];
        for panel in 0..layer.panels() {
            let at = panel * blocks..(panel + 1) * blocks;
            let scales = match &layer.weights {
                Weights::Q8(values, scales) => {
                    widen_bytes(&values[at.clone()], &mut wide);
                    &scales[at]
                }
                Weights::Q4(values, scales) => {
                    widen_halves(&values[at.clone()], &mut wide);
                    &scales[at]
                }
                _ => {
                    let left = &self.x.values[self.first * layer.inputs..][..rows * layer.inputs];
                    let right = layer.plain(panel, &mut plain);
                    plain_products(left, right, sums.as_flattened_mut());
                    self.put_all(panel, &sums);
                    continue;
                }
            };
            if let Some(quantized) = self.quantized {
                many_of_panel(lanes, Wide(&wide), scales, quantized, self.first, &mut sums);
                self.put_all(panel, &sums);
            }
        }
    }
}

impl ManyRows<'_> {
    #[inline(always)]
    fn put_all(&mut self, panel: usize, sums: &[[f32; WIDTH]]) {
        for (row, sums) in sums.iter().enumerate() {
            self.put(panel, row, *sums);
        }
    }

    #[inline(always)]
    fn put(&mut self, panel: usize, row: usize, sums: [f32; WIDTH]) {
        let out = &mut self.out[row * self.layer.outputs..][..self.layer.outputs];
        self.layer.put(panel, sums, out, self.then);
    }
}

impl Linear {
    /// Hands a panel's sums of one row over.
    #[inline(always)]
    fn put(&self, panel: usize, mut sums: [f32; WIDTH], row: &mut [f32], then: Then) {
        if let Some(bias) = self.bias.get(panel) {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum += bias;
            }
        }
        if then == Then::Gelu {
            for sum in &mut sums {
                *sum = gelu_tanh(*sum);
            }
        }
        let row = &mut row[panel * WIDTH..];
        if let Some(row) = row.first_chunk_mut::<WIDTH>() {
            match then {
                Then::Add => row.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum),
                Then::Set | Then::Gelu => *row = sums,
            }
            return;
        }
        for (to, sum) in row.iter_mut().zip(sums) {
            match then {
                Then::Add => *to += sum,
                Then::Set | Then::Gelu => *to = sum,
            }
        }
    }
}
