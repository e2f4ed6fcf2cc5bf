//! Attention without a matrix of scores: keys pass 64 at a time, and sums, largest scores and mixed values are kept up
//! to date (online softmax; T. Dao et al., "FlashAttention", 2022, arXiv 2205.14135, algorithm 1).
//!
//! Keys and values lie in [`Segment`]s, in the order in which the products read them: 64 keys side by side for each of a
//! head's numbers, values in rows. A sequence is a list of segments, so that prompts share what they have in common:
//! a picture's keys are there once, whatever is asked about it, and a prompt's once for all rows that are drawn from it.
//! Query heads that share a key head are rows of one product (grouped-query attention).

use rayon::prelude::*;

use super::elements::{exp, top};
use super::lanes::{Instructions, Lanes, Work};
use crate::learn::product::{COLUMNS, Left, Product};

/// Keys of a tile.
const TILE: usize = 64;
/// Rows of queries that pass over a tile together, at most: a multiple of the six that the product computes at once.
const ROWS: usize = 30;

/// How heads lie: `queries` of them, each `queries / keys` sharing a key head, `dim` numbers a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads.
    pub keys: usize,
    /// Numbers of a head.
    pub dim: usize,
}

impl Heads {
    /// Query heads of a key head.
    fn fold(&self) -> usize {
        self.queries / self.keys
    }

    /// Numbers of a head, up to whole vectors.
    fn width(&self) -> usize {
        self.dim.next_multiple_of(COLUMNS)
    }

    /// Numbers of a key head's tile of keys, and of its values.
    fn tile(&self) -> [usize; 2] {
        [self.dim * TILE, self.width() * TILE]
    }
}

/// Keys and values of neighbouring tokens.
#[derive(Clone, Debug)]
pub struct Segment {
    heads: Heads,
    len: usize,
    /// `[tiles, key heads, dim, 64]`.
    keys: Vec<f32>,
    /// `[tiles, key heads, 64, width]`.
    values: Vec<f32>,
}

impl Segment {
    /// No tokens.
    pub fn new(heads: Heads) -> Self {
        Self {
            heads,
            len: 0,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds tokens: keys and values `[tokens, key heads * dim]`.
    ///
    /// # Panics
    /// If there are not as many values as keys, or no whole tokens.
    pub fn extend(&mut self, keys: &[f32], values: &[f32]) {
        let Heads { keys: g, dim, .. } = self.heads;
        let width = self.heads.width();
        assert!(
            keys.len() == values.len() && keys.len().is_multiple_of(g * dim),
            "tokens"
        );
        let [of_keys, of_values] = self.heads.tile();
        let tiles = (self.len + keys.len() / (g * dim)).div_ceil(TILE);
        self.keys.resize(tiles * g * of_keys, 0.0);
        self.values.resize(tiles * g * of_values, 0.0);
        let tokens = keys.chunks_exact(g * dim).zip(values.chunks_exact(g * dim));
        for (keys, values) in tokens {
            let (tile, at) = (self.len / TILE, self.len % TILE);
            let heads = keys.chunks_exact(dim).zip(values.chunks_exact(dim));
            for (head, (keys, values)) in heads.enumerate() {
                let to = &mut self.keys[(tile * g + head) * of_keys..][..of_keys];
                for (to, key) in to.chunks_exact_mut(TILE).zip(keys) {
                    to[at] = *key;
                }
                let to = &mut self.values[(tile * g + head) * of_values + at * width..];
                to[..dim].copy_from_slice(values);
            }
            self.len += 1;
        }
    }

    /// A head's keys and values of a tile, and how many tokens are in it.
    fn tile(&self, tile: usize, head: usize) -> (&[f32], &[f32], usize) {
        let [of_keys, of_values] = self.heads.tile();
        let at = tile * self.heads.keys + head;
        (
            &self.keys[at * of_keys..][..of_keys],
            &self.values[at * of_values..][..of_values],
            TILE.min(self.len - tile * TILE),
        )
    }

    fn tiles(&self) -> usize {
        self.len.div_ceil(TILE)
    }
}

/// Attention of queries `[tokens, queries * dim]` to the tokens of all segments, into `out` of the same shape. With
/// `past`, the first query stands behind so many tokens and each sees those up to itself; without, all see all.
///
/// # Panics
/// If shapes do not fit.
pub fn attend(
    heads: Heads,
    queries: &[f32],
    segments: &[&Segment],
    past: Option<usize>,
    out: &mut [f32],
) {
    let row = heads.queries * heads.dim;
    assert_eq!(queries.len(), out.len(), "as many results as queries");
    let tokens = queries.len() / row;
    let folded = heads.fold() * heads.dim;
    let block = (ROWS / heads.fold()).max(1);
    // [key heads, tokens, fold * dim]: a head's results lie together, so that threads share no memory.
    let mut mixed = vec![0.0; queries.len()];
    let of_head = mixed.par_chunks_mut((tokens * folded).max(1)).enumerate();
    let parts = of_head.flat_map(|(head, mixed)| {
        let blocks = mixed.par_chunks_mut(block * folded).enumerate();
        blocks.map(move |(at, mixed)| (head, at * block, mixed))
    });
    parts.for_each(|(head, first, mixed)| {
        Instructions::best().run(Block {
            heads,
            head,
            queries: &queries[first * row..],
            segments,
            first_limit: past.map(|past| past + first + 1),
            mixed,
        });
    });
    for (token, out) in out.chunks_exact_mut(row).enumerate() {
        for (head, out) in out.chunks_exact_mut(folded).enumerate() {
            out.copy_from_slice(&mixed[(head * tokens + token) * folded..][..folded]);
        }
    }
}

/// Neighbouring queries of the heads that share a key head.
struct Block<'a> {
    heads: Heads,
    head: usize,
    /// From the first query on.
    queries: &'a [f32],
    segments: &'a [&'a Segment],
    /// Tokens that the first query sees; all of them if there is no limit.
    first_limit: Option<usize>,
    /// `[tokens, fold * dim]`.
    mixed: &'a mut [f32],
}

impl Work for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let (dim, fold, width) = (self.heads.dim, self.heads.fold(), self.heads.width());
        let rows = self.mixed.len() / dim;
        let queries = scaled(self.heads, self.head, self.queries, rows);
        let mut scores = vec![0f32; rows * TILE];
        let mut mixed = vec![0f32; rows * width];
        let mut tops = vec![f32::NEG_INFINITY; rows];
        let mut sums = vec![0f32; rows];
        let mut before = 0;
        for segment in self.segments {
            for tile in 0..segment.tiles() {
                let (keys, values, count) = segment.tile(tile, self.head);
                let first = before + tile * TILE;
                // Rows of a token lie together: the last one sees most.
                let sees = |row: usize| match self.first_limit {
                    Some(limit) => (limit + row / fold).saturating_sub(first).min(count),
                    None => count,
                };
                if sees(rows - 1) == 0 {
                    break;
                }
                product(&queries, dim, keys, TILE, &mut scores, false);
                let states = tops.iter_mut().zip(&mut sums).enumerate();
                let rows_of = scores
                    .as_chunks_mut::<TILE>()
                    .0
                    .iter_mut()
                    .zip(mixed.chunks_exact_mut(width));
                for ((row, (top, sum)), (scores, mixed)) in states.zip(rows_of) {
                    softmax_on(scores, sees(row), top, sum, mixed);
                }
                product(&scores, TILE, values, width, &mut mixed, true);
            }
            before += segment.len();
        }
        let results = self.mixed.chunks_exact_mut(dim);
        for ((out, mixed), sum) in results.zip(mixed.chunks_exact(width)).zip(sums) {
            for (out, mixed) in out.iter_mut().zip(mixed) {
                *out = mixed / sum;
            }
        }
    }
}

/// Queries of the heads that share a key head, `[tokens, fold, dim]`, over the root of `dim`.
#[inline(always)]
fn scaled(heads: Heads, head: usize, queries: &[f32], rows: usize) -> Vec<f32> {
    let folded = heads.fold() * heads.dim;
    let scale = (heads.dim as f32).sqrt().recip();
    let tokens = queries.chunks_exact(heads.queries * heads.dim);
    let of_head = tokens.flat_map(|token| &token[head * folded..][..folded]);
    let values = of_head.map(|value| value * scale);
    values.take(rows * heads.dim).collect()
}

/// `sums (+)= left right` with `left` [rows, depth] and `right` [depth, columns].
#[inline(always)]
fn product(
    left: &[f32],
    depth: usize,
    right: &[f32],
    columns: usize,
    sums: &mut [f32],
    adds: bool,
) {
    Product {
        rows: left.len() / depth,
        columns,
        depth,
        sums,
        adds,
        left,
        lies: Left::Rows(depth),
        right,
    }
    .run();
}

/// Scores become weights; what was mixed before shrinks where a larger score came.
#[inline(always)]
fn softmax_on(
    scores: &mut [f32; TILE],
    sees: usize,
    highest: &mut f32,
    sum: &mut f32,
    mixed: &mut [f32],
) {
    scores[sees..].fill(f32::NEG_INFINITY);
    let now = crate::larger(*highest, top(scores));
    if sees == 0 {
        return scores.fill(0.0);
    }
    for score in scores.iter_mut() {
        *score = exp(*score - now);
    }
    scores[sees..].fill(0.0);
    if now > *highest {
        let shrink = exp(*highest - now);
        *sum *= shrink;
        for mixed in mixed.iter_mut() {
            *mixed *= shrink;
        }
    }
    *highest = now;
    let mut sums = [0f32; 16];
    for part in scores.as_chunks::<16>().0 {
        for i in 0..16 {
            sums[i] += part[i];
        }
    }
    *sum += sums.iter().sum::<f32>();
}

/// How much one query `[queries * dim]` looks at each token of all segments, averaged over its heads.
pub fn attention_of_last(heads: Heads, query: &[f32], segments: &[&Segment]) -> Vec<f32> {
    let all: usize = segments.iter().map(|segment| segment.len()).sum();
    let (dim, fold) = (heads.dim, heads.fold());
    let mut mean = vec![0f32; all];
    for head in 0..heads.keys {
        for query in scaled(heads, head, query, fold).chunks_exact(dim) {
            let mut weights = Vec::with_capacity(all);
            for segment in segments {
                for tile in 0..segment.tiles() {
                    let (keys, _, count) = segment.tile(tile, head);
                    let mut scores = [0f32; TILE];
                    product(query, dim, keys, TILE, &mut scores, false);
                    weights.extend_from_slice(&scores[..count]);
                }
            }
            let most = top(&weights);
            weights
                .iter_mut()
                .for_each(|score| *score = exp(*score - most));
            let share = 1.0 / (weights.iter().sum::<f32>() * heads.queries as f32);
            for (mean, weight) in mean.iter_mut().zip(weights) {
                *mean += weight * share;
            }
        }
    }
    mean
}
