//! The vision tower (SigLIP-like) and the connector: pixel values to image tokens, tile by tile.
//!
//! Departures from transformers as in `crate::vision`: a tile is always filled to its edge, so there is no mask.

use kernels::packed::{Activations, Heads, Job, Segment, Then, attend, products};

use super::place::{Here, Place};

/// One encoder layer.
#[derive(Debug)]
pub(super) struct VisionLayer<P: Place = Here> {
    pub(super) norm1: P::Norm,
    pub(super) queries: P::Layer,
    pub(super) keys: P::Layer,
    pub(super) values: P::Layer,
    pub(super) out: P::Layer,
    pub(super) norm2: P::Norm,
    pub(super) fc1: P::Layer,
    pub(super) fc2: P::Layer,
}

/// Patches, positions, encoder, connector.
#[derive(Debug)]
pub(super) struct VisionModel<P: Place = Here> {
    pub(super) heads: Heads,
    pub(super) width: usize,
    pub(super) inner: usize,
    pub(super) patch: usize,
    pub(super) scale_factor: usize,
    /// What is added to each patch of a tile, [T, width].
    pub(super) positions: Vec<f32>,
    pub(super) patches: P::Layer,
    pub(super) layers: Vec<VisionLayer<P>>,
    pub(super) norm: P::Norm,
    pub(super) connector: P::Layer,
}

/// Room for one tile's numbers, used again by every layer.
struct Room {
    normed: Vec<f32>, // [T, width]
    q: Vec<f32>,      // [T, width]
    k: Vec<f32>,      // [T, width]
    v: Vec<f32>,      // [T, width]
    inner: Vec<f32>,  // [T, inner]
}

impl VisionModel {
    /// Tiles [N, 3, side, side] to image tokens in the order of the tiles, [N x tokens a tile, hidden].
    pub(super) fn encode(&self, values: &[f32], side: usize) -> Vec<f32> {
        let tokens = self.positions.len() / self.width;
        let numbers = |width| vec![0.0; tokens * width];
        let mut room = Room {
            normed: numbers(self.width),
            q: numbers(self.width),
            k: numbers(self.width),
            v: numbers(self.width),
            inner: numbers(self.inner),
        };
        let tiles = values.chunks_exact(3 * side * side);
        tiles
            .flat_map(|tile| self.tile(tile, side, &mut room))
            .collect()
    }

    /// One tile's image tokens.
    fn tile(&self, values: &[f32], side: usize, room: &mut Room) -> Vec<f32> {
        let pixels = cut(values, side, self.patch); // [T, 3 x patch x patch]
        let depth = 3 * self.patch * self.patch;
        let mut x = self.positions.clone(); // [T, width]
        let activations = Activations::new(&pixels, depth);
        products(
            &activations,
            &mut [Job::new(&self.patches, &mut x, Then::Add)],
        );
        for layer in &self.layers {
            layer.run(self.heads, &mut x, room);
        }
        self.norm.layer(&x, &mut room.normed);
        let folded = fold_patches(&room.normed, self.width, self.scale_factor);
        let depth = self.width * self.scale_factor.pow(2);
        let [hidden, _] = self.connector.shape();
        let mut out = vec![0.0; folded.len() / depth * hidden];
        let activations = Activations::new(&folded, depth);
        products(
            &activations,
            &mut [Job::new(&self.connector, &mut out, Then::Set)],
        );
        out
    }
}

impl<P: Place> VisionModel<P> {
    /// Bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        let layers = self.layers.iter().map(VisionLayer::bytes);
        let rest = [&self.patches, &self.connector].map(P::layer_bytes);
        4 * self.positions.len()
            + P::norm_bytes(&self.norm)
            + layers.sum::<usize>()
            + rest.iter().sum::<usize>()
    }
}

impl VisionLayer {
    /// `x` [T, width] becomes the layer's output.
    fn run(&self, heads: Heads, x: &mut [f32], room: &mut Room) {
        let [width, inner] = [self.fc1.shape()[1], self.fc1.shape()[0]];
        self.norm1.layer(x, &mut room.normed);
        let normed = Activations::new(&room.normed, width);
        let mut jobs = [
            Job::new(&self.queries, &mut room.q, Then::Set),
            Job::new(&self.keys, &mut room.k, Then::Set),
            Job::new(&self.values, &mut room.v, Then::Set),
        ];
        products(&normed, &mut jobs);
        let mut segment = Segment::new(heads);
        segment.extend(&room.k, &room.v);
        // The keys have done their work: what is mixed takes their place.
        attend(heads, &room.q, &[&segment], None, &mut room.k);
        let mixed = Activations::new(&room.k, width);
        products(&mixed, &mut [Job::new(&self.out, x, Then::Add)]);

        self.norm2.layer(x, &mut room.normed);
        let normed = Activations::new(&room.normed, width);
        products(
            &normed,
            &mut [Job::new(&self.fc1, &mut room.inner, Then::Gelu)],
        );
        let activated = Activations::new(&room.inner, inner);
        products(&activated, &mut [Job::new(&self.fc2, x, Then::Add)]);
    }
}

impl<P: Place> VisionLayer<P> {
    fn bytes(&self) -> usize {
        let layers = [
            &self.queries,
            &self.keys,
            &self.values,
            &self.out,
            &self.fc1,
            &self.fc2,
        ];
        let layers = layers.map(P::layer_bytes);
        layers.iter().sum::<usize>() + P::norm_bytes(&self.norm1) + P::norm_bytes(&self.norm2)
    }
}

/// A tile [3, side, side] as patches, row by row, [T, 3 x patch x patch].
pub(super) fn cut(values: &[f32], side: usize, patch: usize) -> Vec<f32> {
    let across = side / patch;
    let mut out = Vec::with_capacity(values.len());
    for at in 0..across * across {
        let (row, column) = (at / across * patch, at % across * patch);
        for channel in values.chunks_exact(side * side) {
            for y in row..row + patch {
                out.extend_from_slice(&channel[y * side + column..][..patch]);
            }
        }
    }
    out
}

/// Folds `scale` x `scale` neighbouring patches into the channels of one token: [T, C] to [T / scale², C x scale²].
/// Idefics3 calls this pixel shuffle; it is the reverse of torch's.
fn fold_patches(x: &[f32], c: usize, scale: usize) -> Vec<f32> {
    let side = (x.len() / c).isqrt();
    let folded = side / scale;
    let mut out = Vec::with_capacity(x.len());
    for token in 0..folded * folded {
        let (row, column) = (token / folded * scale, token % folded * scale);
        for y in row..row + scale {
            out.extend_from_slice(&x[(y * side + column) * c..][..scale * c]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_takes_a_square_of_patches_into_one_token() {
        let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let expected = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
        assert_eq!(fold_patches(&x, 1, 2), expected.map(|i| i as f32));
    }

    #[test]
    fn a_tile_is_cut_into_patches_channel_by_channel() {
        // Two channels are enough to see the order: 4 x 4 pixels, patches of 2 x 2.
        let values: Vec<f32> = (0..32).map(|i| i as f32).collect();
        let first = [0, 1, 4, 5, 16, 17, 20, 21].map(|i| i as f32);
        let last = [10, 11, 14, 15, 26, 27, 30, 31].map(|i| i as f32);
        let patches = cut(&values, 4, 2);
        assert_eq!(patches[..8], first);
        assert_eq!(patches[24..], last);
    }
}
