//! One submission of a transformer's kernels.

use wgpu::{Buffer, BufferUsages};

use super::attention::{Kernels, MANY, Sequence};
use super::{Card, Kind, Past, Weights};
use crate::gpu::device::GpuError;
use crate::gpu::run::Run;
use crate::packed::{Heads, rotations};

/// Rows that are worth the kernel of many.
const ROWS: usize = 16;
/// Workgroups along one axis, at most.
const ACROSS: usize = 65_535;

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is stored.
    Set = 0,
    /// It is added to what is there.
    Add = 1,
    /// Its GELU is stored.
    Gelu = 2,
}

/// Multiplications after which the card begins with what it was told: browsers and drivers end a submission that takes
/// too long.
const BEGIN: usize = 1 << 30;

/// Numbers in a card's memory, `[count, width]`.
#[derive(Debug)]
pub struct Rows {
    pub(super) count: usize,
    pub(super) width: usize,
    pub(super) buffer: Buffer,
}

impl Rows {
    /// Rows that outlast a pass.
    pub fn new(card: &Card, count: usize, width: usize) -> Self {
        Self {
            count,
            width,
            buffer: card.buffer(count * width),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }
}

/// A norm's scale and, of a layer norm, shift, in the card's memory.
#[derive(Debug)]
pub struct Norm {
    affine: Buffer,
    width: usize,
    centred: bool,
    epsilon: f32,
}

impl Norm {
    /// Layer norm with a shift, RMS norm without one.
    pub fn upload(card: &Card, scale: &[f32], shift: &[f32], epsilon: f32) -> Self {
        Self {
            affine: card.gpu.upload(&[scale, shift].concat()),
            width: scale.len(),
            centred: !shift.is_empty(),
            epsilon,
        }
    }

    /// Bytes in the card's memory.
    pub fn bytes(&self) -> usize {
        self.affine.size() as usize
    }
}

/// Some tokens that a decoder is about to read.
#[derive(Debug)]
pub struct Step {
    rows: usize,
    /// Of a row.
    tokens: usize,
    /// Of each row's own, read before.
    before: usize,
    /// Cosines and sines of the positions, `[tokens, dim / 2, 2]`.
    turns: Buffer,
}

/// Kernels that are submitted together, or one part after the other where there is much to compute.
pub struct Pass<'a> {
    card: &'a Card,
    run: Run<'a>,
    /// Multiplications since the card last began.
    waiting: usize,
}

impl<'a> Pass<'a> {
    /// Nothing yet.
    pub fn new(card: &'a Card) -> Self {
        Self {
            run: Run::new(&card.gpu),
            card,
            waiting: 0,
        }
    }

    /// Rows that a kernel is going to write, freed with the pass.
    pub fn rows(&mut self, count: usize, width: usize) -> Rows {
        let rows = Rows::new(self.card, count, width);
        self.run.own(rows.buffer.clone());
        rows
    }

    /// Rows with values, freed with the pass.
    ///
    /// # Panics
    /// If the values are no whole rows.
    pub fn upload(&mut self, values: &[f32], width: usize) -> Rows {
        assert!(values.len().is_multiple_of(width), "whole rows");
        let rows = self.rows(values.len() / width, width);
        let bytes = bytemuck::cast_slice(values);
        self.card.gpu.queue().write_buffer(&rows.buffer, 0, bytes);
        rows
    }

    /// Lets the card begin with what it was told.
    pub fn begin(&mut self) {
        self.run.submit();
        self.waiting = 0;
    }

    /// The same, once that is much.
    fn count(&mut self, multiplications: usize) {
        self.waiting += multiplications;
        if self.waiting >= BEGIN {
            self.begin();
        }
    }

    /// `out = W x + b`, or what `then` says.
    ///
    /// # Panics
    /// Here and below: if shapes do not fit.
    pub fn product(&mut self, weights: &Weights, x: &Rows, out: &Rows, then: Then) {
        self.multiply(weights, x, out, then, None);
    }

    /// Outputs `picks` of `W x` only, `[rows, picks]`.
    pub fn picked(&mut self, weights: &Weights, picks: &[u32], x: &Rows) -> Rows {
        let out = self.rows(x.count, picks.len());
        let picks = self.words(picks);
        self.multiply(weights, x, &out, Then::Set, Some(&picks));
        out
    }

    fn multiply(
        &mut self,
        weights: &Weights,
        x: &Rows,
        out: &Rows,
        then: Then,
        picks: Option<&Buffer>,
    ) {
        let outputs = out.width;
        assert!(picks.is_some() || outputs == weights.outputs, "outputs");
        assert_eq!(x.width, weights.inputs, "inputs");
        assert_eq!(x.count, out.count, "rows");
        let numbers = [
            x.count,
            outputs,
            x.width / 4,
            then as usize,
            usize::from(weights.bias.is_some()),
            usize::from(picks.is_some()),
        ];
        let nothing = &self.card.nothing;
        let bias = weights.bias.as_ref().unwrap_or(nothing);
        let (w, s, kind) = (&weights.weights, &weights.scales, weights.kind as usize);
        let kernels = &self.card.kernels;
        if x.count >= ROWS && picks.is_none() {
            let groups = [outputs.div_ceil(64), x.count.div_ceil(64), 1];
            let buffers = [w, s, bias, &x.buffer, &out.buffer];
            self.run
                .kernel(&kernels.product[kind], &numbers[..5], &buffers, groups);
        } else {
            let groups = [outputs.div_ceil(8), x.count, 1];
            let picks = picks.unwrap_or(nothing);
            let buffers = [w, s, bias, &x.buffer, &out.buffer, picks];
            self.run
                .kernel(&kernels.few[kind], &numbers, &buffers, groups);
        }
        self.count(x.count * x.width * outputs);
    }

    /// Words for a kernel, freed with the pass.
    fn words(&mut self, words: &[u32]) -> Buffer {
        let bytes = bytemuck::cast_slice(words);
        let buffer = self.card.gpu.filled(bytes, BufferUsages::STORAGE);
        self.run.own(buffer)
    }

    /// Rows of a table, by number; where a number is none, the next row of `pictures`.
    pub fn embed(&mut self, table: &Weights, ids: &[Option<u32>], pictures: Option<&Rows>) -> Rows {
        const PICTURE: u32 = 1 << 31;
        let mut next = PICTURE;
        let word = |id: &Option<u32>| {
            id.unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        };
        let words: Vec<u32> = ids.iter().map(word).collect();
        let wanted = (next - PICTURE) as usize;
        assert_eq!(
            wanted,
            pictures.map_or(0, |rows| rows.count),
            "image tokens"
        );
        let ids = self.words(&words);
        let out = self.rows(words.len(), table.inputs);
        let pictures = pictures.map_or(&self.card.nothing, |rows| &rows.buffer);
        self.run.kernel(
            &self.card.kernels.embed[table.kind as usize],
            &[table.inputs / 4],
            &[&table.weights, &table.scales, &ids, pictures, &out.buffer],
            [words.len(), 1, 1],
        );
        out
    }

    /// Some of the rows, by number.
    pub fn some(&mut self, x: &Rows, which: &[u32]) -> Rows {
        let out = self.rows(which.len(), x.width);
        let which = self.words(which);
        let nothing = &self.card.nothing;
        self.run.kernel(
            &self.card.kernels.embed[Kind::F32 as usize],
            &[x.width / 4],
            &[&x.buffer, nothing, &which, nothing, &out.buffer],
            [out.count, 1, 1],
        );
        out
    }

    /// Normalises rows.
    pub fn norm(&mut self, norm: &Norm, x: &Rows, out: &Rows) {
        assert!(x.width == norm.width && out.width == norm.width, "width");
        let numbers = [
            norm.width,
            usize::from(norm.centred),
            norm.epsilon.to_bits() as usize,
        ];
        let buffers = [&norm.affine, &x.buffer, &out.buffer];
        let kernel = &self.card.kernels.row_norm;
        self.run.kernel(kernel, &numbers, &buffers, [x.count, 1, 1]);
    }

    /// `gate = silu(gate) up`.
    pub fn gate(&mut self, gate: &Rows, up: &Rows) {
        assert_eq!(gate.count * gate.width, up.count * up.width, "numbers");
        let count = gate.count * gate.width / 4;
        let groups = count.div_ceil(64);
        let across = groups.min(ACROSS);
        self.run.kernel(
            &self.card.kernels.gate,
            &[count, 64 * across],
            &[&up.buffer, &gate.buffer],
            [across, groups.div_ceil(across), 1],
        );
    }

    /// Folds squares of `scale` x `scale` neighbouring rows into one, tile by tile of `side` x `side` results.
    pub fn fold(&mut self, x: &Rows, side: usize, scale: usize) -> Rows {
        let out = self.rows(x.count / (scale * scale), x.width * scale * scale);
        assert!(out.count.is_multiple_of(side * side), "tiles");
        self.run.kernel(
            &self.card.kernels.fold,
            &[side, scale, x.width / 4],
            &[&x.buffer, &out.buffer],
            [out.count, 1, 1],
        );
        out
    }

    /// Attention of each tile's queries to all keys of that tile, `[tiles x tokens, heads x dim]`.
    pub fn attend_tiles(&mut self, heads: Heads, tiles: usize, [q, k, v]: [&Rows; 3], out: &Rows) {
        let tokens = q.count / tiles;
        let nothing = &self.card.nothing;
        self.attend(
            &Sequence {
                heads,
                tokens,
                common: (nothing, nothing, 0),
                own: (&k.buffer, &v.buffer, tokens, tokens),
                causal: false,
            },
            tiles,
            q,
            out,
        );
    }

    /// Makes room in the past for the next `tokens` of each of `rows` rows, and turns their positions into angles with the
    /// base `theta`.
    pub fn step(&mut self, past: &mut Past, rows: usize, tokens: usize, theta: f32) -> Step {
        let turns = rotations(past.heads().dim, theta, past.len(), tokens);
        let turns = bytemuck::cast_slice(turns.as_flattened());
        let turns = self.card.gpu.filled(turns, BufferUsages::STORAGE);
        if past.is_full(tokens) {
            // What was computed before is copied.
            self.begin();
        }
        Step {
            rows,
            tokens,
            before: past.grow(rows, tokens),
            turns: self.run.own(turns),
        }
    }

    /// A decoder layer's attention: rotates `q` [rows x tokens, heads x dim] and `k` [rows x tokens, key heads x dim], adds
    /// `k` and `v` to the past, and mixes into `out`, shaped as `q`, what each query sees up to itself.
    pub fn attend_past(
        &mut self,
        (past, layer): (&Past, usize),
        step: &Step,
        [q, k, v]: [&Rows; 3],
        out: &Rows,
    ) {
        let heads = past.heads();
        let Heads { queries, keys, dim } = heads;
        assert!(k.width == keys * dim && v.width == k.width, "key heads");
        assert_eq!(q.count, step.rows * step.tokens, "tokens");
        let numbers = [
            step.rows,
            step.tokens,
            queries,
            keys,
            dim / 2,
            step.before,
            past.own(layer).3,
        ];
        let own = past.own(layer);
        let buffers = [&step.turns, &q.buffer, &k.buffer, &v.buffer, own.0, own.1];
        let pairs = (queries + keys) * dim / 2;
        let kernel = &self.card.kernels.rotate;
        self.run
            .kernel(kernel, &numbers, &buffers, [pairs.div_ceil(64), q.count, 1]);
        let sequence = past.sequence(layer, step.tokens);
        self.attend(&sequence, step.rows, q, out);
    }

    /// How much the first row's last query looks at each token of a layer's past, head by head: [heads, tokens]. `q` as
    /// [`Pass::attend_past`] left it.
    pub fn looked(&mut self, past: &Past, layer: usize, step: &Step, q: &Rows) -> Rows {
        let sequence = past.sequence(layer, step.tokens);
        let out = self.rows(sequence.heads.queries, past.len());
        let buffers = [&q.buffer, sequence.common.0, sequence.own.0, &out.buffer];
        let kernels = self.kernels(sequence.heads.dim);
        let groups = [sequence.heads.queries, 1, 1];
        self.run
            .kernel(&kernels.looked, &sequence.numbers(), &buffers, groups);
        out
    }

    fn kernels(&self, dim: usize) -> &'a Kernels {
        let mut all = self.card.kernels.attention.iter();
        match all.find(|kernels| kernels.dim == dim) {
            Some(kernels) => kernels,
            None => panic!("no kernels for heads of {dim}"),
        }
    }

    fn attend(&mut self, sequence: &Sequence, rows: usize, q: &Rows, out: &Rows) {
        let Heads { queries, dim, .. } = sequence.heads;
        assert!(q.width == queries * dim && out.width == q.width, "heads");
        let kernels = self.kernels(dim);
        let buffers = [
            &q.buffer,
            sequence.common.0,
            sequence.own.0,
            &out.buffer,
            sequence.common.1,
            sequence.own.1,
        ];
        let numbers = sequence.numbers();
        let tokens = sequence.tokens;
        if tokens >= MANY {
            let groups = [tokens.div_ceil(64), queries, rows];
            self.run.kernel(&kernels.many, &numbers, &buffers, groups);
        } else {
            let groups = [tokens, queries, rows];
            self.run.kernel(&kernels.few, &numbers, &buffers, groups);
        }
        let seen = sequence.common.2 + sequence.own.2;
        self.count(2 * q.count * q.width * seen);
    }

    /// Submits, and does not wait: for what later passes read. What fails the next [`Pass::read`] says.
    pub fn end(self) {
        self.run.end();
    }

    /// Submits, waits, and brings the values of rows back. Natively the thread waits for the card.
    ///
    /// # Errors
    /// A card that failed.
    pub async fn read(self, wanted: &[&Rows]) -> Result<Vec<f32>, GpuError> {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|rows| (&rows.buffer, rows.count * rows.width))
            .collect();
        self.run.read(&wanted).await
    }
}
