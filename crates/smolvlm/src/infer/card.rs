//! The network on a graphics card, by `kernels::gpu::packed`. Weights lie in the card's memory as they are packed; a tile is
//! one pass, and so is what the decoder reads at once, its logits included.

use kernels::gpu::packed::{Card, Kind, Norm, Pass, Past, Rows, Then, Weights, mean};
use kernels::gpu::{Gpu, GpuError};
use tensors::{BlockType, Packed};

use super::decoder::{DecoderLayer, TextModel};
use super::load::{text_heads, vision_heads};
use super::net::{Tokens, Wanted};
use super::place::{Place, matrix};
use super::vision::{VisionLayer, VisionModel, cut};
use crate::config::Config;
use crate::error::{Result, SmolVlmError};

/// Numbers, from a card that did not fail.
type Computed = std::result::Result<Vec<f32>, GpuError>;

/// A card's memory.
#[derive(Debug)]
pub(super) struct OnCard(Card);

impl OnCard {
    /// Compiles the kernels for a network's sizes, on this card or on the best one, and compares them with the processor.
    ///
    /// # Errors
    /// [`SmolVlmError::Card`]; [`SmolVlmError::Unsupported`].
    pub(super) async fn new(gpu: Option<Gpu>, config: &Config) -> Result<Self> {
        let (vision, text) = (&config.vision, &config.text);
        let dims = [vision_heads(config).dim, text_heads(config).dim];
        let sizes = [
            ("vision_config.hidden_size", vision.hidden_size),
            ("vision_config.intermediate_size", vision.intermediate_size),
            ("vision_config.patch_size", vision.patch_size.pow(2)),
            ("text_config.hidden_size", text.hidden_size),
            ("text_config.intermediate_size", text.intermediate_size),
            ("the size of a vision head", dims[0]),
            ("text_config.head_dim", dims[1]),
        ];
        if let Some((item, size)) = sizes.into_iter().find(|(_, size)| !Card::takes(*size)) {
            return Err(SmolVlmError::Unsupported {
                file: "config.json".to_string(),
                item: item.to_string(),
                expected: "a graphics card computes multiples of four".to_string(),
                actual: size.to_string(),
            });
        }
        let card = match gpu {
            Some(gpu) => Card::checked(gpu, &dims).await?,
            None => Card::best(&dims).await?,
        };
        Ok(Self(card))
    }

    /// A network whose weights lie here.
    pub(super) fn net(&self, vision: VisionModel<Self>, text: TextModel<Self>) -> CardNet {
        CardNet {
            card: self.0.clone(),
            vision,
            text,
        }
    }
}

impl Place for OnCard {
    type Layer = Weights;
    type Norm = Norm;

    fn layer(&self, tensor: &Packed) -> Weights {
        let kind = match tensor.kind() {
            BlockType::F32 => Kind::F32,
            BlockType::F16 => Kind::F16,
            BlockType::BF16 => Kind::BF16,
            BlockType::Q8 => Kind::Q8,
            BlockType::Q4 => Kind::Q4,
        };
        Weights::upload(
            &self.0,
            matrix(tensor),
            kind,
            tensor.data(),
            tensor.scale_bytes(),
        )
    }

    fn with_bias(&self, layer: Weights, bias: &[f32]) -> Weights {
        layer.with_bias(&self.0, bias)
    }

    fn norm(&self, scale: Vec<f32>, shift: Vec<f32>, epsilon: f32) -> Norm {
        Norm::upload(&self.0, &scale, &shift, epsilon)
    }

    fn layer_bytes(layer: &Weights) -> usize {
        layer.bytes()
    }

    fn norm_bytes(norm: &Norm) -> usize {
        norm.bytes()
    }
}

/// Vision tower, connector and decoder on a card.
#[derive(Debug)]
pub(super) struct CardNet {
    card: Card,
    vision: VisionModel<OnCard>,
    text: TextModel<OnCard>,
}

/// Room for one pass's numbers, used again by every layer.
struct Room {
    normed: Rows, // [T, width]
    q: Rows,      // [T, H x D]
    k: Rows,      // [T, G x D]
    v: Rows,      // [T, G x D]
    mixed: Rows,  // [T, H x D]
    inner: Rows,  // [T, inner]
}

impl CardNet {
    /// The card.
    pub(super) fn gpu(&self) -> &Gpu {
        self.card.gpu()
    }

    /// Nothing was read.
    pub(super) fn past(&self) -> Past {
        Past::new(&self.card, self.text.heads, self.text.layers.len())
    }

    /// Bytes of the weights, in the card's memory but for the tower's positions.
    pub(super) fn bytes(&self) -> usize {
        self.vision.bytes() + self.text.bytes()
    }

    /// Tiles [N, 3, side, side] to image tokens, [N x tokens a tile, hidden].
    pub(super) async fn encode(&self, values: &[f32], side: usize) -> Computed {
        let mut tokens = Vec::new();
        for tile in values.chunks_exact(3 * side * side) {
            tokens.extend(self.tile(tile, side).await?);
        }
        Ok(tokens)
    }

    /// One tile's image tokens.
    async fn tile(&self, values: &[f32], side: usize) -> Computed {
        let vision = &self.vision;
        let mut pass = Pass::new(&self.card);
        let pixels = cut(values, side, vision.patch); // [T, 3 x patch x patch]
        let pixels = pass.upload(&pixels, 3 * vision.patch * vision.patch);
        let x = pass.upload(&vision.positions, vision.width); // [T, width]
        pass.product(&vision.patches, &pixels, &x, Then::Add);
        let t = x.count();
        let room = Room {
            normed: pass.rows(t, vision.width),
            q: pass.rows(t, vision.width),
            k: pass.rows(t, vision.width),
            v: pass.rows(t, vision.width),
            mixed: pass.rows(t, vision.width),
            inner: pass.rows(t, vision.inner),
        };
        for layer in &vision.layers {
            self.vision_layer(&mut pass, layer, &x, &room);
        }
        pass.norm(&vision.norm, &x, &room.normed);
        let folded = pass.fold(
            &room.normed,
            t.isqrt() / vision.scale_factor,
            vision.scale_factor,
        );
        let [hidden, _] = vision.connector.shape();
        let out = pass.rows(folded.count(), hidden);
        pass.product(&vision.connector, &folded, &out, Then::Set);
        pass.read(&[&out]).await
    }

    /// `x` [T, width] becomes the layer's output.
    fn vision_layer(&self, pass: &mut Pass, layer: &VisionLayer<OnCard>, x: &Rows, room: &Room) {
        pass.norm(&layer.norm1, x, &room.normed);
        pass.product(&layer.queries, &room.normed, &room.q, Then::Set);
        pass.product(&layer.keys, &room.normed, &room.k, Then::Set);
        pass.product(&layer.values, &room.normed, &room.v, Then::Set);
        let heads = self.vision.heads;
        pass.attend_tiles(heads, 1, [&room.q, &room.k, &room.v], &room.mixed);
        pass.product(&layer.out, &room.mixed, x, Then::Add);
        pass.norm(&layer.norm2, x, &room.normed);
        pass.product(&layer.fc1, &room.normed, &room.inner, Then::Gelu);
        pass.product(&layer.fc2, &room.inner, x, Then::Add);
    }

    /// Reads tokens; see [`Wanted`].
    pub(super) async fn read(
        &self,
        tokens: &Tokens<'_>,
        past: &mut Past,
        wanted: Wanted<'_>,
    ) -> Computed {
        let text = &self.text;
        let (rows, all) = (tokens.rows, tokens.ids.len());
        let t = all / rows;
        let mut pass = Pass::new(&self.card);
        let images = (!tokens.images.is_empty()).then(|| pass.upload(tokens.images, text.hidden));
        let x = pass.embed(&text.table, tokens.ids, images.as_ref()); // [B x T, hidden]
        let step = pass.step(past, rows, t, text.theta);
        let heads = text.heads;
        let [of_queries, of_keys] = [heads.queries * heads.dim, heads.keys * heads.dim];
        let room = Room {
            normed: pass.rows(all, text.hidden),
            q: pass.rows(all, of_queries),
            k: pass.rows(all, of_keys),
            v: pass.rows(all, of_keys),
            mixed: pass.rows(all, of_queries),
            inner: pass.rows(all, text.inner),
        };
        let up = pass.rows(all, text.inner);
        for (at, layer) in text.layers.iter().enumerate() {
            pass.norm(&layer.norm1, &x, &room.normed);
            pass.product(&layer.queries, &room.normed, &room.q, Then::Set);
            pass.product(&layer.keys, &room.normed, &room.k, Then::Set);
            pass.product(&layer.values, &room.normed, &room.v, Then::Set);
            let qkv = [&room.q, &room.k, &room.v];
            pass.attend_past((past, at), &step, qkv, &room.mixed);
            if matches!(wanted, Wanted::Looked(layer) if layer == at) {
                let looked = pass.looked(past, at, &step, &room.q); // [H, T]
                let weights = pass.read(&[&looked]).await?;
                return Ok(mean(&weights, looked.count()));
            }
            Self::rest_of_layer(&mut pass, layer, &x, &room, &up);
        }
        let last: Vec<u32> = (1..=rows).map(|row| (row * t - 1) as u32).collect();
        let of = match wanted {
            Wanted::Nothing | Wanted::Looked(_) => {
                pass.end();
                return Ok(Vec::new());
            }
            Wanted::States => {
                pass.norm(&text.norm, &x, &room.normed);
                return pass.read(&[&room.normed]).await;
            }
            Wanted::Last => None,
            Wanted::Logits(of) => Some(of),
        };
        let x = pass.some(&x, &last); // [B, hidden]
        let normed = pass.rows(rows, text.hidden);
        pass.norm(&text.norm, &x, &normed);
        let wanted = match of {
            None => normed,
            Some(of) => self.multiply(&mut pass, &normed, of),
        };
        pass.read(&[&wanted]).await
    }

    /// What a layer does after attention.
    fn rest_of_layer(
        pass: &mut Pass,
        layer: &DecoderLayer<OnCard>,
        x: &Rows,
        room: &Room,
        up: &Rows,
    ) {
        pass.product(&layer.out, &room.mixed, x, Then::Add);
        pass.norm(&layer.norm2, x, &room.normed);
        pass.product(&layer.gate, &room.normed, &room.inner, Then::Set);
        pass.product(&layer.up, &room.normed, up, Then::Set);
        pass.gate(&room.inner, up);
        pass.product(&layer.down, &room.inner, x, Then::Add);
    }

    /// Logits of normed states.
    fn multiply(&self, pass: &mut Pass, states: &Rows, of: Option<&[u32]>) -> Rows {
        let output = self.text.head.as_ref().unwrap_or(&self.text.table);
        match of {
            Some(ids) => pass.picked(output, ids, states),
            None => {
                let [v, _] = output.shape();
                let out = pass.rows(states.count(), v);
                pass.product(output, states, &out, Then::Set);
                out
            }
        }
    }

    /// Logits of normed states [B, hidden]: of all tokens, [B, V], or of some, [B, n].
    pub(super) async fn logits(&self, states: &[f32], of: Option<&[u32]>) -> Computed {
        let mut pass = Pass::new(&self.card);
        let states = pass.upload(states, self.text.hidden);
        let logits = self.multiply(&mut pass, &states, of);
        pass.read(&[&logits]).await
    }
}
