//! Whether a card computes what the processor computes: every kernel on fixed numbers, in one submission.

use super::{Card, Kind, Norm, Pass, Past, Rows, Then, Weights};
use crate::gpu::check::{apart, noise};
use crate::gpu::device::GpuError;
use crate::packed::{self, Activations, HalfKind, Heads, Job, Linear, Segment};

/// Differences that rounding explains, as a share of the largest value: of q8 and q4 the processor rounds the inputs.
const CLOSE: f64 = 2e-3;

/// The same where products are in f16, which has eleven bits.
const CLOSE_HALF: f64 = 1e-2;

/// Rows, more than a tile of `product.wgsl` and no multiple of one; for `few.wgsl`.
const ROWS: [usize; 2] = [67, 3];
/// Outputs and inputs of a layer: a block that is not whole, a q4 row that ends within a word.
const LAYER: [usize; 2] = [73, 108];

/// Compares every kernel with the processor.
///
/// # Errors
/// [`GpuError::Wrong`], naming the kernel that differs most; a card that failed.
pub async fn check(card: &Card) -> Result<(), GpuError> {
    let mut checks = Checks {
        pass: Pass::new(card),
        card,
        made: Vec::new(),
    };
    for kind in Kind::ALL {
        checks.products(kind);
    }
    checks.rows();
    let dims = card.kernels.attention.iter().map(|kernels| kernels.dim);
    for dim in dims {
        checks.attention(dim);
    }
    checks.compare().await
}

/// What was computed, and what the processor says.
struct Checks<'a> {
    pass: Pass<'a>,
    card: &'a Card,
    made: Vec<(&'static str, Rows, Vec<f32>)>,
}

impl Checks<'_> {
    /// Products with one kind of weights, and rows of a table.
    fn products(&mut self, kind: Kind) {
        let [outputs, inputs] = LAYER;
        let (bytes, scales) = weights(kind);
        let scale_bytes: Vec<u8> = scales.iter().flat_map(|s| half_bytes(*s)).collect();
        let bias = noise(outputs);
        let on_card = Weights::upload(self.card, LAYER, kind, &bytes, &scale_bytes);
        let on_card = on_card.with_bias(self.card, &bias);
        let here = match kind {
            Kind::F32 => Linear::f32(LAYER, &noise(outputs * inputs), Some(&bias)),
            Kind::F16 => Linear::half(LAYER, HalfKind::F16, &bytes, Some(&bias)),
            Kind::BF16 => Linear::half(LAYER, HalfKind::BF16, &bytes, Some(&bias)),
            Kind::Q8 => Linear::q8(LAYER, &bytes, &scales, Some(&bias)),
            Kind::Q4 => Linear::q4(LAYER, &bytes, &scales, Some(&bias)),
        };
        for (rows, what) in ROWS.into_iter().zip(["products", "products of few rows"]) {
            let x = noise(rows * inputs);
            let on = self.pass.upload(&x, inputs);
            for then in [Then::Set, Then::Add, Then::Gelu] {
                let mut wanted = noise(rows * outputs);
                let out = self.pass.upload(&wanted, outputs);
                self.pass.product(&on_card, &on, &out, then);
                let then = match then {
                    Then::Set => packed::Then::Set,
                    Then::Add => packed::Then::Add,
                    Then::Gelu => packed::Then::Gelu,
                };
                let activations = Activations::new(&x, inputs);
                let mut jobs = [Job::new(&here, &mut wanted, then)];
                packed::products(&activations, &mut jobs);
                self.made.push((what, out, wanted));
            }
        }
        let picks = [70, 2, 33, 0, 1];
        let plain = Weights::upload(self.card, LAYER, kind, &bytes, &scale_bytes);
        let x = noise(2 * inputs);
        let on = self.pass.upload(&x, inputs);
        let picked = self.pass.picked(&plain, &picks, &on);
        let row = |pick: &u32| here.row(*pick as usize);
        let wanted = x
            .chunks_exact(inputs)
            .flat_map(|x| picks.iter().map(move |pick| dot(x, &row(pick))));
        let wanted = wanted.collect();
        self.made.push(("logits of some tokens", picked, wanted));
        let pictures = noise(2 * inputs);
        let on = self.pass.upload(&pictures, inputs);
        let ids = [Some(72), None, Some(5), None, Some(1)];
        let embedded = self.pass.embed(&plain, &ids, Some(&on));
        let mut next = pictures.chunks_exact(inputs);
        let rows = ids.iter().map(|id| match id {
            Some(id) => here.row(*id as usize),
            None => next.next().unwrap_or_default().to_vec(),
        });
        self.made
            .push(("embeddings", embedded, rows.flatten().collect()));
    }

    /// What happens number by number, or row by row.
    fn rows(&mut self) {
        let [width, count] = [LAYER[1], ROWS[0]];
        let x: Vec<f32> = noise(count * width).iter().map(|v| 3.0 * v + 1.0).collect();
        let on = self.pass.upload(&x, width);
        let [scale, shift] = [noise(width), grown(width, 1)];
        let epsilon = 1e-5;
        let mut wanted = vec![0.0; x.len()];
        packed::layer_norm(&x, &scale, &shift, epsilon, &mut wanted);
        self.norm("layer norms", &on, (&scale, &shift), wanted.clone());
        packed::rms_norm(&x, &scale, epsilon, &mut wanted);
        self.norm("RMS norms", &on, (&scale, &[]), wanted);

        let (mut gate, up) = (x.clone(), noise(x.len()));
        let on_gate = self.pass.upload(&gate, width);
        let on_up = self.pass.upload(&up, width);
        self.pass.gate(&on_gate, &on_up);
        packed::swiglu(&mut gate, &up);
        self.made.push(("SwiGLU", on_gate, gate));

        // Two tiles of 4 x 4 patches, squares of 2 x 2 folded into one.
        let x = noise(2 * 16 * 8);
        let on = self.pass.upload(&x, 8);
        let folded = self.pass.fold(&on, 2, 2);
        let patch = |at: usize| {
            let (tile, token, part) = (at / 16, at / 4 % 4, at % 4);
            let (y, across) = (token / 2 * 2 + part / 2, token % 2 * 2 + part % 2);
            &x[(tile * 16 + y * 4 + across) * 8..][..8]
        };
        let wanted = (0..32).flat_map(patch).copied().collect();
        self.made.push(("folding", folded, wanted));
    }

    fn norm(&mut self, what: &'static str, x: &Rows, norm: (&[f32], &[f32]), wanted: Vec<f32>) {
        let norm = Norm::upload(self.card, norm.0, norm.1, 1e-5);
        let out = self.pass.rows(x.count(), x.width());
        self.pass.norm(&norm, x, &out);
        self.made.push((what, out, wanted));
    }

    /// Attention without a past, then a past that is read in three steps: shared by two rows after the first two.
    fn attention(&mut self, dim: usize) {
        let heads = Heads {
            queries: 4,
            keys: 2,
            dim,
        };
        let all = Heads { keys: 4, ..heads };
        let width = 4 * dim;
        let tokens = 37;
        let [q, k, v] = [3, 5, 7].map(|times| grown(tokens * width, times));
        let on = [&q, &k, &v].map(|values| self.pass.upload(values, width));
        let out = self.pass.rows(tokens, width);
        let [on_q, on_k, on_v] = &on;
        self.pass.attend_tiles(all, 1, [on_q, on_k, on_v], &out);
        let mut segment = Segment::new(all);
        segment.extend(&k, &v);
        let mut wanted = vec![0.0; q.len()];
        packed::attend(all, &q, &[&segment], None, &mut wanted);
        self.made.push(("attention among patches", out, wanted));

        let mut past = Past::new(self.card, heads, 1);
        let mut shared = Segment::new(heads);
        for (tokens, what) in [
            (70, "attention of many tokens"),
            (5, "attention of few tokens"),
        ] {
            self.read(&mut past, 1, tokens, &mut [shared.clone()], (&[], what));
            // What the processor reads, the next step reads, too.
            let (k, v) = self.keys(heads, 1, tokens, shared.len());
            shared.extend(&k, &v);
            self.pass.begin();
            past = past.shared();
        }
        let mut own = [Segment::new(heads), Segment::new(heads)];
        let common = [&shared];
        self.read(
            &mut past,
            2,
            1,
            &mut own,
            (&common, "attention over a shared past"),
        );
        for (row, own) in own.iter_mut().enumerate() {
            let (k, v) = self.keys(heads, 2, 1, shared.len());
            let width = k.len() / 2;
            own.extend(&k[row * width..][..width], &v[row * width..][..width]);
        }
        self.read(
            &mut past,
            2,
            66,
            &mut own,
            (&common, "attention over a grown past"),
        );
        // The past is freed here.
        self.pass.begin();
    }

    /// Rotated keys, and values, of a step.
    fn keys(&self, heads: Heads, rows: usize, tokens: usize, first: usize) -> (Vec<f32>, Vec<f32>) {
        let width = heads.keys * heads.dim;
        let [mut k, v] = [5, 7].map(|times| grown(rows * tokens * width, times));
        let turns = packed::rotations(heads.dim, 1e4, first, tokens);
        for k in k.chunks_exact_mut(tokens * width) {
            packed::rotate(k, width, heads.dim, &turns);
        }
        (k, v)
    }

    /// Reads `tokens` more of each row, whose segments hold what was read before `common` aside.
    fn read(
        &mut self,
        past: &mut Past,
        rows: usize,
        tokens: usize,
        own: &mut [Segment],
        (common, what): (&[&Segment], &'static str),
    ) {
        let heads = past.heads();
        let [width, of_keys] = [heads.queries * heads.dim, heads.keys * heads.dim];
        let before = past.len();
        let q = grown(rows * tokens * width, 3);
        let [k, v] = [5, 7].map(|times| grown(rows * tokens * of_keys, times));
        let on_q = self.pass.upload(&q, width);
        let [on_k, on_v] = [&k, &v].map(|values| self.pass.upload(values, of_keys));
        let out = self.pass.rows(rows * tokens, width);
        let step = self.pass.step(past, rows, tokens, 1e4);
        self.pass
            .attend_past((past, 0), &step, [&on_q, &on_k, &on_v], &out);
        let turns = packed::rotations(heads.dim, 1e4, before, tokens);
        let (rotated, values) = self.keys(heads, rows, tokens, before);
        let mut wanted = vec![0.0; q.len()];
        let mut turned = q;
        let parts = turned
            .chunks_exact_mut(tokens * width)
            .zip(wanted.chunks_exact_mut(tokens * width))
            .zip(rotated.chunks_exact(tokens * of_keys))
            .zip(values.chunks_exact(tokens * of_keys));
        let mut looked = Vec::new();
        for ((((q, wanted), k), v), own) in parts.zip(own) {
            packed::rotate(q, width, heads.dim, &turns);
            let mut own = own.clone();
            own.extend(k, v);
            let segments: Vec<&Segment> = common.iter().copied().chain([&own]).collect();
            packed::attend(heads, q, &segments, Some(before), wanted);
            if looked.is_empty() {
                looked = packed::attention_of_last(heads, &q[q.len() - width..], &segments);
            }
        }
        self.made.push((what, out, wanted));
        if rows == 1 {
            let found = self.pass.looked(past, 0, &step, &on_q);
            // `compare` takes the mean over heads, which is what the processor says.
            self.made.push(("where a token looks", found, looked));
        }
    }

    /// Submits all and compares.
    async fn compare(self) -> Result<(), GpuError> {
        let rows: Vec<&Rows> = self.made.iter().map(|(_, rows, _)| rows).collect();
        let values = self.pass.read(&rows).await?;
        let mut rest = values.as_slice();
        let mut worst = ("", 0.0);
        for (what, rows, wanted) in &self.made {
            let (found, others) = rest.split_at(rows.count() * rows.width());
            rest = others;
            let found = match *what {
                "where a token looks" => mean(found, rows.count()),
                _ => found.to_vec(),
            };
            let gap = apart(&found, wanted);
            // `apart` says infinity where a value is no number.
            if gap > worst.1 {
                worst = (what, gap);
            }
        }
        let close = match self.card.gpu().is_half() {
            true => CLOSE_HALF,
            false => CLOSE,
        };
        match worst.1 <= close {
            true => Ok(()),
            false => Err(GpuError::Wrong {
                adapter: self.card.gpu().name().to_owned(),
                what: worst.0,
                apart: worst.1,
            }),
        }
    }
}

/// The mean of rows.
pub fn mean(values: &[f32], rows: usize) -> Vec<f32> {
    let mut sum = vec![0.0; values.len() / rows];
    for row in values.chunks_exact(sum.len().max(1)) {
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value / rows as f32);
    }
    sum
}

/// Noise of another kind for each `times`.
fn grown(count: usize, times: usize) -> Vec<f32> {
    let all = noise(count + times);
    all[times..].to_vec()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Bytes of weights, and of q8 and q4 the scales.
fn weights(kind: Kind) -> (Vec<u8>, Vec<f32>) {
    let [outputs, inputs] = LAYER;
    let values = noise(outputs * inputs);
    let scales = || {
        let blocks = outputs * inputs.div_ceil(packed::BLOCK);
        // Numbers of f16.
        (0..blocks).map(|at| (1 + at % 7) as f32 / 512.0).collect()
    };
    match kind {
        Kind::F32 => (
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Vec::new(),
        ),
        Kind::F16 => (
            values.iter().flat_map(|v| half_bytes(*v)).collect(),
            Vec::new(),
        ),
        Kind::BF16 => {
            let upper = |v: &f32| [v.to_le_bytes()[2], v.to_le_bytes()[3]];
            (values.iter().flat_map(upper).collect(), Vec::new())
        }
        Kind::Q8 => (
            values.iter().map(|v| (v * 127.0) as i8 as u8).collect(),
            scales(),
        ),
        Kind::Q4 => {
            let pairs = values.chunks_exact(2);
            let byte = |pair: &[f32]| {
                let [a, b] = [pair[0], pair[1]].map(|v| (v * 7.5 + 8.0) as u8);
                a | b << 4
            };
            (pairs.map(byte).collect(), scales())
        }
    }
}

fn half_bytes(value: f32) -> [u8; 2] {
    half::f16::from_f32(value).to_le_bytes()
}
