//! Keys and values of what a decoder has read, layer by layer, in a card's memory.

use std::sync::Arc;

use wgpu::Buffer;

use super::Card;
use super::attention::Sequence;
use crate::packed::Heads;

/// Tokens for which room is made at once.
const STEP: usize = 64;

/// A layer's keys and values, `[rows, room, key heads, dim]`.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) keys: Buffer,
    pub(super) values: Buffer,
}

/// Some tokens' keys and values of every layer; the card's memory is freed with it.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) layers: Vec<Layer>,
    pub(super) rows: usize,
    pub(super) room: usize,
    pub(super) len: usize,
}

impl Drop for Piece {
    fn drop(&mut self) {
        for layer in &self.layers {
            layer.keys.destroy();
            layer.values.destroy();
        }
    }
}

/// Keys and values of everything that a decoder has read: what all rows have in common, which clones share, then each
/// row's own. It has to be [shared](Past::shared) before it is cloned.
#[derive(Debug)]
pub struct Past {
    card: Card,
    heads: Heads,
    layers: usize,
    pub(super) common: Option<Arc<Piece>>,
    pub(super) own: Option<Piece>,
}

impl Clone for Past {
    /// # Panics
    /// If rows have read something of their own.
    fn clone(&self) -> Self {
        assert!(self.own.is_none(), "what is cloned is shared");
        Self {
            card: self.card.clone(),
            common: self.common.clone(),
            own: None,
            ..*self
        }
    }
}

impl Past {
    /// Nothing was read.
    pub fn new(card: &Card, heads: Heads, layers: usize) -> Self {
        Self {
            card: card.clone(),
            heads,
            layers,
            common: None,
            own: None,
        }
    }

    /// Tokens read.
    pub fn len(&self) -> usize {
        let own = self.own.as_ref().map_or(0, |own| own.len);
        self.common.as_ref().map_or(0, |common| common.len) + own
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of a token's keys.
    fn width(&self) -> usize {
        self.heads.keys * self.heads.dim
    }

    /// How heads lie.
    pub(super) fn heads(&self) -> Heads {
        self.heads
    }

    /// A layer's keys and values of each row's own tokens, how many there are, and how many there is room for.
    ///
    /// # Panics
    /// If rows have read nothing of their own.
    pub(super) fn own(&self, layer: usize) -> (&Buffer, &Buffer, usize, usize) {
        let Some(own) = &self.own else {
            panic!("room is made before a layer reads");
        };
        let of_layer = &own.layers[layer];
        (&of_layer.keys, &of_layer.values, own.len, own.room)
    }

    /// A layer's sequence for the newest `tokens` of each row.
    pub(super) fn sequence(&self, layer: usize, tokens: usize) -> Sequence<'_> {
        let own = self.own(layer);
        let common = self.common.as_ref().map(|common| {
            let of_layer = &common.layers[layer];
            (&of_layer.keys, &of_layer.values, common.len)
        });
        Sequence {
            heads: self.heads,
            tokens,
            // Where nothing is shared, a kernel reads none of what it is given.
            common: common.unwrap_or((own.0, own.1, 0)),
            own,
            causal: true,
        }
    }

    fn piece(&self, rows: usize, room: usize) -> Piece {
        let buffer = || self.card.buffer(rows * room * self.width());
        let layer = |_| Layer {
            keys: buffer(),
            values: buffer(),
        };
        Piece {
            layers: (0..self.layers).map(layer).collect(),
            rows,
            room,
            len: 0,
        }
    }

    /// Whether `tokens` more of each row need other buffers.
    pub(super) fn is_full(&self, tokens: usize) -> bool {
        self.own
            .as_ref()
            .is_some_and(|own| own.len + tokens > own.room)
    }

    /// Makes room for `tokens` more of each of `rows` rows, and counts them; how many of their own rows had before.
    ///
    /// # Panics
    /// If the past has another number of rows.
    pub(super) fn grow(&mut self, rows: usize, tokens: usize) -> usize {
        let had = self.own.take();
        let before = had.as_ref().map_or(0, |own| own.len);
        let mut own = match had {
            Some(own) if own.len + tokens <= own.room => own,
            had => {
                let room = (2 * before).max(before + tokens).next_multiple_of(STEP);
                let mut own = self.piece(rows, room);
                if let Some(had) = had {
                    self.copy(&had, &mut own);
                }
                own
            }
        };
        assert_eq!(own.rows, rows, "rows of the past");
        own.len = before + tokens;
        self.own = Some(own);
        before
    }

    /// Appends a piece's tokens to another one's, row by row.
    fn copy(&self, from: &Piece, to: &mut Piece) {
        let gpu = &self.card.gpu;
        let mut commands = gpu.device().create_command_encoder(&Default::default());
        let bytes = |tokens: usize| (4 * tokens * self.width()) as u64;
        for (a, b) in from.layers.iter().zip(&to.layers) {
            for (a, b) in [(&a.keys, &b.keys), (&a.values, &b.values)] {
                for row in 0..from.rows {
                    let (at, place) = (row * from.room, row * to.room + to.len);
                    commands.copy_buffer_to_buffer(a, bytes(at), b, bytes(place), bytes(from.len));
                }
            }
        }
        gpu.queue().submit([commands.finish()]);
        to.len += from.len;
    }

    /// The same past for any number of rows and clones. Passes that read it have been submitted.
    ///
    /// # Panics
    /// If several rows already went different ways.
    pub fn shared(mut self) -> Self {
        let Some(own) = self.own.take() else {
            return self;
        };
        assert_eq!(own.rows, 1, "only a past of one row can be shared");
        let own = match &self.common {
            None => own,
            Some(common) => {
                let room = (common.len + own.len).next_multiple_of(STEP);
                let mut all = self.piece(1, room);
                self.copy(common, &mut all);
                self.copy(&own, &mut all);
                all
            }
        };
        self.common = Some(Arc::new(own));
        self
    }
}
