//! Where the network runs: on the processor, or on a graphics card. What is asked of it is the same.

use std::sync::Arc;

use super::decoder::{Cache, TextModel};
use super::vision::VisionModel;
use crate::error::Result;

#[cfg(feature = "gpu")]
use super::card::CardNet;
#[cfg(feature = "gpu")]
use kernels::gpu::packed;

/// Vision tower, connector and decoder with their weights. A clone shares them.
#[derive(Debug, Clone)]
pub(super) enum Net {
    Here(Arc<VisionModel>, Arc<TextModel>),
    #[cfg(feature = "gpu")]
    Card(Arc<CardNet>),
}

/// Keys and values of everything that the decoder has read so far.
#[derive(Debug, Clone)]
pub(super) enum Past {
    Here(Cache),
    #[cfg(feature = "gpu")]
    Card(packed::Past),
}

impl Past {
    /// Tokens read so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Here(cache) => cache.len(),
            #[cfg(feature = "gpu")]
            Self::Card(past) => past.len(),
        }
    }

    /// The same past for any number of rows and clones.
    ///
    /// # Panics
    /// If several rows already went different ways.
    pub(super) fn shared(self) -> Self {
        match self {
            Self::Here(cache) => Self::Here(cache.shared()),
            #[cfg(feature = "gpu")]
            Self::Card(past) => Self::Card(past.shared()),
        }
    }
}

/// Tokens for the decoder, [B x T]: `None` where the next image token stands.
pub(super) struct Tokens<'a> {
    pub(super) ids: &'a [Option<u32>],
    /// B.
    pub(super) rows: usize,
    /// Image tokens in their order, [N, hidden].
    pub(super) images: &'a [f32],
}

/// What is wanted once tokens were read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Nothing; the past is there.
    Nothing,
    /// Normed states of all tokens, [B x T, hidden].
    States,
    /// The normed state after the last token of each row, [B, hidden].
    Last,
    /// Logits after the last token of each row: of all tokens, [B, V], or of some, [B, n].
    Logits(Option<&'a [u32]>),
    /// How much the first row's last token looks at every token at this layer, averaged over heads, [T]. What was read is
    /// good for nothing else.
    Looked(usize),
}

impl Net {
    /// Nothing was read.
    pub(super) fn past(&self) -> Past {
        match self {
            Self::Here(_, text) => Past::Here(text.empty_cache()),
            #[cfg(feature = "gpu")]
            Self::Card(net) => Past::Card(net.past()),
        }
    }

    /// The card, if it runs on one.
    #[cfg(feature = "gpu")]
    pub(super) fn card(&self) -> Option<&kernels::gpu::Gpu> {
        match self {
            Self::Here(..) => None,
            Self::Card(net) => Some(net.gpu()),
        }
    }

    /// Bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Here(vision, text) => vision.bytes() + text.bytes(),
            #[cfg(feature = "gpu")]
            Self::Card(net) => net.bytes(),
        }
    }

    /// Tiles [N, 3, side, side] to image tokens, [N x tokens a tile, hidden].
    #[allow(clippy::unused_async)] // a card answers later
    pub(super) async fn encode(&self, values: &[f32], side: usize) -> Result<Vec<f32>> {
        match self {
            Self::Here(vision, _) => Ok(vision.encode(values, side)),
            #[cfg(feature = "gpu")]
            Self::Card(net) => Ok(net.encode(values, side).await?),
        }
    }

    /// Lets the decoder read tokens that follow what `past` has read.
    #[allow(clippy::unused_async)] // a card answers later
    pub(super) async fn read(
        &self,
        tokens: Tokens<'_>,
        past: &mut Past,
        wanted: Wanted<'_>,
    ) -> Result<Vec<f32>> {
        match (self, past) {
            (Self::Here(_, text), Past::Here(cache)) => Ok(text.read(&tokens, cache, wanted)),
            #[cfg(feature = "gpu")]
            (Self::Card(net), Past::Card(past)) => Ok(net.read(&tokens, past, wanted).await?),
            #[cfg(feature = "gpu")]
            _ => unreachable!("a past belongs to the network that made it"),
        }
    }

    /// Logits of normed states [B, hidden]: of all tokens, [B, V], or of some, [B, n].
    #[allow(clippy::unused_async)] // a card answers later
    pub(super) async fn logits(&self, states: &[f32], of: Option<&[u32]>) -> Result<Vec<f32>> {
        match self {
            Self::Here(_, text) => Ok(text.logits_of(states, of)),
            #[cfg(feature = "gpu")]
            Self::Card(net) => Ok(net.logits(states, of).await?),
        }
    }
}
