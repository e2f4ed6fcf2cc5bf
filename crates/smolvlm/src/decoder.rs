//! The decoder: a Llama with grouped-query attention, and its KV cache.
//!
//! Departures from transformers: no attention mask for padding, because nothing is ever padded
//! on the left (rows of a batch share their prompt and end independently); keys and values that
//! all rows share are kept once, with batch 1, so that a group of rollouts costs one prefill and
//! one copy. burn's own rotary embedding interleaves pairs; Llama's checkpoints want the two
//! halves ("rotate_half"), hence the code here.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, RmsNorm, RmsNormConfig};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::config::TextConfig;
use crate::precision::in_f32;
use crate::projection::Projection;

/// Keys and values [B or 1, G, T, D] of one layer: those shared by all rows, and each row's own.
#[derive(Debug, Clone, Default)]
struct LayerCache {
    shared: Option<(Tensor<4>, Tensor<4>)>,
    own: Option<(Tensor<4>, Tensor<4>)>,
}

fn extend(
    past: Option<(Tensor<4>, Tensor<4>)>,
    k: Tensor<4>,
    v: Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    match past {
        Some((pk, pv)) => (Tensor::cat(vec![pk, k], 2), Tensor::cat(vec![pv, v], 2)),
        None => (k, v),
    }
}

/// Keys and values of everything the decoder has read so far.
///
/// A value like any other: a clone is cheap (tensors are shared) and independent, so one prefill
/// serves many questions or rollouts and nothing leaks from one into the next.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    length: usize,
}

impl KvCache {
    fn new(layers: usize) -> Self {
        Self {
            layers: vec![LayerCache::default(); layers],
            length: 0,
        }
    }

    /// Tokens read so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The keys that were written last, those of the last layer.
    pub(crate) fn newest(&self) -> Option<&Tensor<4>> {
        let layer = self.layers.last()?;
        layer
            .own
            .as_ref()
            .or(layer.shared.as_ref())
            .map(|(keys, _)| keys)
    }

    /// The same past without its history of gradients: what is decoded from it trains nothing.
    pub fn without_gradients(&self) -> Self {
        let plain = |pair: &Option<(Tensor<4>, Tensor<4>)>| {
            let pair = pair.clone();
            pair.map(|(k, v)| (k.without_autodiff(), v.without_autodiff()))
        };
        let layers = self.layers.iter().map(|layer| LayerCache {
            shared: plain(&layer.shared),
            own: plain(&layer.own),
        });
        Self {
            layers: layers.collect(),
            length: self.length,
        }
    }

    /// The same past for a batch of any size: what one row has read becomes shared by all rows
    /// that are decoded from here on.
    ///
    /// # Panics
    /// If several rows already went different ways.
    pub fn share(&self) -> Self {
        let layers = self.layers.iter().map(|layer| {
            let shared = match (layer.shared.clone(), layer.own.clone()) {
                (shared, Some((k, v))) => {
                    assert_eq!(k.dims()[0], 1, "only a cache of one row can be shared");
                    Some(extend(shared, k, v))
                }
                (shared, None) => shared,
            };
            LayerCache { shared, own: None }
        });
        Self {
            layers: layers.collect(),
            length: self.length,
        }
    }
}

/// Cosines and sines of the rotary embedding, and the causal mask, of one forward pass.
struct Pass {
    cos: Tensor<4>,                // [1, 1, T, D/2]
    sin: Tensor<4>,                // [1, 1, T, D/2]
    mask: Option<Tensor<4, Bool>>, // [1, 1, H/G x T, past + T]; true = must not look
}

impl Pass {
    /// `past` tokens were read, `t` follow; `fold` query heads share a key head.
    fn new(config: &Rope, past: usize, t: usize, fold: usize, device: &Device) -> Self {
        let half = config.head_dim / 2;
        let mut cos = Vec::with_capacity(t * half);
        let mut sin = Vec::with_capacity(t * half);
        for position in past..past + t {
            for i in 0..half {
                // In f32, as transformers computes it.
                let exponent = (2 * i) as f32 / config.head_dim as f32;
                let inverse = 1.0 / (config.theta as f32).powf(exponent);
                let angle = position as f32 * inverse;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        let table =
            |values| Tensor::<4>::from_data(TensorData::new(values, [1, 1, t, half]), device);
        // One token looks at everything before it: no mask.
        let mask = (t > 1).then(|| {
            let rows = Tensor::<1, Int>::arange(0..t as i64, device).reshape([1, 1, t, 1]);
            let columns = Tensor::<1, Int>::arange(-(past as i64)..t as i64, device);
            let columns = columns.reshape([1, 1, 1, past + t]);
            columns.greater(rows).repeat_dim(2, fold)
        });
        Self {
            cos: table(cos),
            sin: table(sin),
            mask,
        }
    }

    /// Rotates [B, heads, T, D] by position: halves, not interleaved pairs.
    fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        in_f32(x, |x| self.rotate_f32(x))
    }

    fn rotate_f32(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let a = x.clone().narrow(3, 0, half);
        let b = x.narrow(3, half, half);
        let first = a.clone() * self.cos.clone() - b.clone() * self.sin.clone();
        let second = b * self.cos.clone() + a * self.sin.clone();
        Tensor::cat(vec![first, second], 3)
    }
}

/// What the rotary embedding needs to know.
#[derive(Module, Debug)]
struct Rope {
    head_dim: usize,
    theta: f64,
}

/// Grouped-query attention: G key heads, each shared by H / G query heads.
#[derive(Module, Debug)]
pub struct Attention {
    pub(crate) q_proj: Projection,
    pub(crate) k_proj: Projection,
    pub(crate) v_proj: Projection,
    pub(crate) o_proj: Projection,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
}

impl Attention {
    fn init(config: &TextConfig, device: &Device) -> Self {
        let linear = |from, to| Projection::init(from, to, config.attention_bias, device);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        Self {
            q_proj: linear(config.hidden_size, queries),
            k_proj: linear(config.hidden_size, keys),
            v_proj: linear(config.hidden_size, keys),
            o_proj: linear(queries, config.hidden_size),
            heads: config.num_attention_heads,
            key_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        }
    }

    /// The layer's output, and the attention weights [B, H, T, all] that made it.
    fn forward(&self, x: Tensor<3>, pass: &Pass, cache: &mut LayerCache) -> (Tensor<3>, Tensor<4>) {
        let [b, t, _] = x.dims();
        let (g, d) = (self.key_heads, self.head_dim);
        let fold = self.heads / g;
        let split = |x: Tensor<3>, heads| x.reshape([b, t, heads, d]).swap_dims(1, 2);

        let q = pass.rotate(split(self.q_proj.forward(x.clone()), self.heads)); // [B, H, T, D]
        let k = pass.rotate(split(self.k_proj.forward(x.clone()), g)); // [B, G, T, D]
        let v = split(self.v_proj.forward(x), g); // [B, G, T, D]
        let (k, v) = extend(cache.own.take(), k, v);
        cache.own = Some((k.clone(), v.clone()));

        // The query heads of a group lie next to each other: folded into the rows, they meet
        // their key head in one product and no key is repeated.
        let q = q
            .mul_scalar((d as f64).powf(-0.5))
            .reshape([b, g, fold * t, d]); // [B, G, H/G*T, D]
        let mut scores = q.clone().matmul(k.swap_dims(2, 3)); // [B, G, H/G*T, own + T]
        let mut shared = 0;
        if let Some((past, _)) = &cache.shared {
            shared = past.dims()[2];
            let past = past.clone().swap_dims(2, 3); // [1, G, D, shared]
            scores = Tensor::cat(vec![q.matmul(past), scores], 3); // [B, G, H/G*T, all]
        }
        if let Some(mask) = &pass.mask {
            let mask = mask.clone().expand(scores.dims());
            scores = scores.mask_fill(mask, f32::NEG_INFINITY);
        }
        let weights = in_f32(scores, |scores| softmax(scores, 3)); // [B, G, H/G*T, all]
        let all = weights.dims()[3];
        let mut mixed = weights.clone().narrow(3, shared, all - shared).matmul(v);
        if let Some((_, past)) = &cache.shared {
            let weights = weights.clone().narrow(3, 0, shared);
            mixed = mixed + weights.matmul(past.clone()); // [B, G, H/G*T, D]
        }
        let mixed = mixed
            .reshape([b, self.heads, t, d])
            .swap_dims(1, 2)
            .reshape([b, t, self.heads * d]); // [B, T, H*D]
        // Query heads of a group lie next to each other here, too.
        let weights = weights.reshape([b, self.heads, t, all]);
        (self.o_proj.forward(mixed), weights)
    }
}

/// One decoder layer.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    pub(crate) input_layernorm: RmsNorm,
    pub(crate) self_attn: Attention,
    pub(crate) post_attention_layernorm: RmsNorm,
    pub(crate) gate_proj: Projection,
    pub(crate) up_proj: Projection,
    pub(crate) down_proj: Projection,
}

impl DecoderLayer {
    fn init(config: &TextConfig, device: &Device) -> Self {
        let norm = || {
            RmsNormConfig::new(config.hidden_size)
                .with_epsilon(config.rms_norm_eps)
                .init(device)
        };
        let linear = |from, to| Projection::init(from, to, config.mlp_bias, device);
        Self {
            input_layernorm: norm(),
            self_attn: Attention::init(config, device),
            post_attention_layernorm: norm(),
            gate_proj: linear(config.hidden_size, config.intermediate_size),
            up_proj: linear(config.hidden_size, config.intermediate_size),
            down_proj: linear(config.intermediate_size, config.hidden_size),
        }
    }

    /// The layer's output [B, T, hidden] and its attention weights [B, H, T, all].
    fn forward(&self, x: Tensor<3>, pass: &Pass, cache: &mut LayerCache) -> (Tensor<3>, Tensor<4>) {
        let hidden = in_f32(x.clone(), |x| self.input_layernorm.forward(x));
        let (mixed, weights) = self.self_attn.forward(hidden, pass, cache);
        let x = mixed + x; // [B, T, hidden]
        let hidden = in_f32(x.clone(), |x| self.post_attention_layernorm.forward(x));
        let gated = silu(self.gate_proj.forward(hidden.clone())) * self.up_proj.forward(hidden);
        (self.down_proj.forward(gated) + x, weights) // [B, T, hidden]
    }
}

/// Embedding table, layers, last norm.
#[derive(Module, Debug)]
pub struct TextModel {
    /// Embedding table [V, hidden].
    pub embed_tokens: Embedding,
    /// Decoder layers.
    pub layers: Vec<DecoderLayer>,
    /// Norm of the last layer's output.
    pub norm: RmsNorm,
    rope: Rope,
}

impl TextModel {
    pub(crate) fn init(config: &TextConfig, device: &Device) -> Self {
        Self {
            embed_tokens: EmbeddingConfig::new(config.vocab_size, config.hidden_size).init(device),
            layers: (0..config.num_hidden_layers)
                .map(|_| DecoderLayer::init(config, device))
                .collect(),
            norm: RmsNormConfig::new(config.hidden_size)
                .with_epsilon(config.rms_norm_eps)
                .init(device),
            rope: Rope {
                head_dim: config.head_dim,
                theta: config.rope_theta,
            },
        }
    }

    /// A cache that has read nothing.
    pub fn empty_cache(&self) -> KvCache {
        KvCache::new(self.layers.len())
    }

    /// Embeddings of token ids [B, T], [B, T, hidden].
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.embed_tokens.forward(ids)
    }

    /// Embeddings [B, T, hidden] that follow what `cache` has read, to normed states of the same
    /// shape. The cache reads them.
    pub fn forward(&self, x: Tensor<3>, cache: &mut KvCache) -> Tensor<3> {
        self.watched(x, cache, usize::MAX).0
    }

    /// The same, and the attention weights [B, H, T, all] of one layer, if there is such a layer.
    pub fn watched(
        &self,
        mut x: Tensor<3>,
        cache: &mut KvCache,
        watched: usize,
    ) -> (Tensor<3>, Option<Tensor<4>>) {
        let t = x.dims()[1];
        let fold = self
            .layers
            .first()
            .map_or(1, |layer| layer.self_attn.heads / layer.self_attn.key_heads);
        let pass = Pass::new(&self.rope, cache.length, t, fold, &x.device());
        let mut seen = None;
        for (at, (layer, cache)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
            let (next, weights) = layer.forward(x, &pass, cache);
            x = next;
            if at == watched {
                seen = Some(weights);
            }
        }
        cache.length += t;
        (in_f32(x, |x| self.norm.forward(x)), seen)
    }
}
