//! The decoder: a Llama with grouped-query attention, and its KV cache.

use std::sync::Arc;

use kernels::packed::{
    Activations, Heads, Job, Linear, Segment, Then, attend, attention_of_last, products, rotate,
    rotations, swiglu,
};

use super::net::{Tokens, Wanted};
use super::place::{Here, Place};

/// Keys and values of one run of tokens, layer by layer.
type Run = Vec<Segment>;

/// Keys and values of everything the decoder has read so far.
///
/// What one row has read is shared by all rows that go on from it and by all clones; each row's own follows.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    shared: Vec<Arc<Run>>,
    /// By row; none before anything was read that is not shared.
    own: Vec<Run>,
    length: usize,
}

impl Cache {
    /// Tokens read so far.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The same past for any number of rows.
    ///
    /// # Panics
    /// If several rows already went different ways.
    pub(super) fn shared(mut self) -> Self {
        assert!(self.own.len() <= 1, "only a cache of one row can be shared");
        self.shared.extend(self.own.drain(..).map(Arc::new));
        self
    }
}

/// One decoder layer.
#[derive(Debug)]
pub(super) struct DecoderLayer<P: Place = Here> {
    pub(super) norm1: P::Norm,
    pub(super) queries: P::Layer,
    pub(super) keys: P::Layer,
    pub(super) values: P::Layer,
    pub(super) out: P::Layer,
    pub(super) norm2: P::Norm,
    pub(super) gate: P::Layer,
    pub(super) up: P::Layer,
    pub(super) down: P::Layer,
}

/// Embedding table, layers, last norm, output layer.
#[derive(Debug)]
pub(super) struct TextModel<P: Place = Here> {
    pub(super) heads: Heads,
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) theta: f32,
    pub(super) table: P::Layer,
    pub(super) layers: Vec<DecoderLayer<P>>,
    pub(super) norm: P::Norm,
    /// Absent where the table serves as output layer.
    pub(super) head: Option<P::Layer>,
}

/// Room for one pass's numbers, used again by every layer.
struct Room {
    normed: Vec<f32>, // [B x T, hidden]
    q: Vec<f32>,      // [B x T, H x D]
    k: Vec<f32>,      // [B x T, G x D]
    v: Vec<f32>,      // [B x T, G x D]
    mixed: Vec<f32>,  // [B x T, H x D]
    gate: Vec<f32>,   // [B x T, inner]
    up: Vec<f32>,     // [B x T, inner]
}

impl TextModel {
    /// A cache that has read nothing.
    pub(super) fn empty_cache(&self) -> Cache {
        Cache {
            shared: Vec::new(),
            own: Vec::new(),
            length: 0,
        }
    }

    /// Reads tokens; see [`Wanted`].
    pub(super) fn read(
        &self,
        tokens: &Tokens<'_>,
        cache: &mut Cache,
        wanted: Wanted<'_>,
    ) -> Vec<f32> {
        let watched = match wanted {
            Wanted::Looked(layer) => Some(layer),
            _ => None,
        };
        let embeddings = self.embed(tokens);
        let (states, looked) = self.states(embeddings, tokens.rows, cache, watched);
        let last = || {
            let rows = states.chunks_exact(states.len() / tokens.rows);
            let last = rows.flat_map(|row| &row[row.len() - self.hidden..]);
            last.copied().collect::<Vec<f32>>()
        };
        match wanted {
            Wanted::Nothing => Vec::new(),
            Wanted::States => states,
            Wanted::Last => last(),
            Wanted::Logits(of) => self.logits_of(&last(), of),
            Wanted::Looked(_) => looked.unwrap_or_default(),
        }
    }

    /// Embeddings of tokens, [B x T, hidden].
    fn embed(&self, tokens: &Tokens<'_>) -> Vec<f32> {
        let mut images = tokens.images.chunks_exact(self.hidden);
        let mut embeddings = Vec::with_capacity(tokens.ids.len() * self.hidden);
        for id in tokens.ids {
            match id {
                Some(id) => embeddings.extend(self.table.row(*id as usize)),
                None => embeddings.extend(images.next().unwrap_or_default()),
            }
        }
        embeddings
    }

    /// Embeddings [B x T, hidden] of `rows` = B rows that follow what `cache` has read, to normed states of the same shape.
    /// The cache reads them. With `watched`, also how much the first row's last token looks at every token at that layer,
    /// if there is such a layer.
    fn states(
        &self,
        mut x: Vec<f32>,
        rows: usize,
        cache: &mut Cache,
        watched: Option<usize>,
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        let tokens = x.len() / self.hidden; // B x T
        let t = tokens / rows;
        if cache.own.is_empty() {
            let empty = vec![Segment::new(self.heads); self.layers.len()];
            cache.own = vec![empty; rows];
        }
        assert_eq!(cache.own.len(), rows, "rows of the cache");
        let numbers = |width| vec![0.0; tokens * width];
        let Heads { queries, keys, dim } = self.heads;
        let mut room = Room {
            normed: numbers(self.hidden),
            q: numbers(queries * dim),
            k: numbers(keys * dim),
            v: numbers(keys * dim),
            mixed: numbers(queries * dim),
            gate: numbers(self.inner),
            up: numbers(self.inner),
        };
        let turns = rotations(dim, self.theta, cache.length, t);
        let mut seen = None;
        for at in 0..self.layers.len() {
            self.layer(at, &mut x, &turns, cache, &mut room);
            if watched == Some(at) {
                seen = Some(self.seen(at, t, cache, &room));
            }
        }
        cache.length += t;
        self.norm.rms(&x, &mut room.normed);
        (room.normed, seen)
    }

    /// `x` [B x T, hidden] becomes a layer's output.
    fn layer(
        &self,
        at: usize,
        x: &mut [f32],
        turns: &[[f32; 2]],
        cache: &mut Cache,
        room: &mut Room,
    ) {
        let layer = &self.layers[at];
        let heads = self.heads;
        let [of_queries, of_keys] = [heads.queries * heads.dim, heads.keys * heads.dim];
        layer.norm1.rms(x, &mut room.normed);
        let normed = Activations::new(&room.normed, self.hidden);
        let mut jobs = [
            Job::new(&layer.queries, &mut room.q, Then::Set),
            Job::new(&layer.keys, &mut room.k, Then::Set),
            Job::new(&layer.values, &mut room.v, Then::Set),
        ];
        products(&normed, &mut jobs);
        let rows = cache.own.len();
        let t = room.q.len() / of_queries / rows;
        let parts = room
            .q
            .chunks_exact_mut(t * of_queries)
            .zip(room.mixed.chunks_exact_mut(t * of_queries))
            .zip(room.k.chunks_exact_mut(t * of_keys))
            .zip(room.v.chunks_exact(t * of_keys));
        for ((((q, mixed), k), v), own) in parts.zip(&mut cache.own) {
            rotate(q, of_queries, heads.dim, turns);
            rotate(k, of_keys, heads.dim, turns);
            own[at].extend(k, v);
            let shared = cache.shared.iter().map(|run| &run[at]);
            let segments: Vec<&Segment> = shared.chain([&own[at]]).collect();
            attend(heads, q, &segments, Some(cache.length), mixed);
        }
        let mixed = Activations::new(&room.mixed, of_queries);
        products(&mixed, &mut [Job::new(&layer.out, x, Then::Add)]);

        layer.norm2.rms(x, &mut room.normed);
        let normed = Activations::new(&room.normed, self.hidden);
        let mut jobs = [
            Job::new(&layer.gate, &mut room.gate, Then::Set),
            Job::new(&layer.up, &mut room.up, Then::Set),
        ];
        products(&normed, &mut jobs);
        swiglu(&mut room.gate, &room.up);
        let gated = Activations::new(&room.gate, self.inner);
        products(&gated, &mut [Job::new(&layer.down, x, Then::Add)]);
    }

    /// How much the first row's last token of `t` looks at each token at a layer, which was just computed.
    fn seen(&self, at: usize, t: usize, cache: &Cache, room: &Room) -> Vec<f32> {
        let width = self.heads.queries * self.heads.dim;
        let query = &room.q[(t - 1) * width..t * width];
        let shared = cache.shared.iter().map(|run| &run[at]);
        let segments: Vec<&Segment> = shared.chain([&cache.own[0][at]]).collect();
        attention_of_last(self.heads, query, &segments)
    }

    fn output(&self) -> &Linear {
        self.head.as_ref().unwrap_or(&self.table)
    }

    /// Logits of normed states [B, hidden]: of all tokens, [B, V], or of some, [B, n], which is far cheaper where a grammar
    /// leaves a dozen of them.
    pub(super) fn logits_of(&self, states: &[f32], of: Option<&[u32]>) -> Vec<f32> {
        let output = self.output();
        let Some(ids) = of else {
            let [v, _] = output.shape();
            let mut logits = vec![0.0; states.len() / self.hidden * v];
            let states = Activations::new(states, self.hidden);
            products(&states, &mut [Job::new(output, &mut logits, Then::Set)]);
            return logits;
        };
        let rows = ids.iter().map(|&id| output.row(id as usize));
        let rows: Vec<Vec<f32>> = rows.collect();
        let states = states.chunks_exact(self.hidden);
        let dot = |state: &[f32], row: &[f32]| -> f32 {
            state.iter().zip(row).map(|(state, row)| state * row).sum()
        };
        states
            .flat_map(|state| rows.iter().map(move |row| dot(state, row)))
            .collect()
    }
}

impl<P: Place> TextModel<P> {
    /// Bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        let layers = self.layers.iter().map(DecoderLayer::bytes);
        P::layer_bytes(&self.table)
            + self.head.as_ref().map_or(0, P::layer_bytes)
            + P::norm_bytes(&self.norm)
            + layers.sum::<usize>()
    }
}

impl<P: Place> DecoderLayer<P> {
    fn bytes(&self) -> usize {
        let layers = [
            &self.queries,
            &self.keys,
            &self.values,
            &self.out,
            &self.gate,
            &self.up,
            &self.down,
        ];
        let layers = layers.map(P::layer_bytes);
        layers.iter().sum::<usize>() + P::norm_bytes(&self.norm1) + P::norm_bytes(&self.norm2)
    }
}
