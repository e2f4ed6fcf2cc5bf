//! The decoder: maps of boxes for one question about an encoded picture.

use crate::conv::Conv;
use crate::maps::{Maps, Then};
use crate::tensors::{Block, KernelError, Tensors};

/// The decoder's weights in the order of these kernels; names as in the policy's network.
#[derive(Debug)]
pub struct Decoder {
    enter: Conv,
    down_middle: Conv,
    down_coarse: Conv,
    coarse: Block,
    up_middle: Conv,
    middle: Block,
    up_fine: Conv,
    fine: Block,
    head: Conv,
}

impl Decoder {
    /// Whether a tensor of the network is the decoder's.
    pub fn wants(name: &str) -> bool {
        let starts = [
            "enter.",
            "down_middle.",
            "down_coarse.",
            "coarse.",
            "up_middle.",
            "middle.",
            "up_fine.",
            "fine.",
            "head.",
        ];
        starts.iter().any(|start| name.starts_with(start))
    }

    /// Copies the decoder's weights.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn of(t: &Tensors) -> Result<Self, KernelError> {
        Ok(Self {
            enter: t.strided("enter", [1, 2])?,
            down_middle: t.strided("down_middle", [2, 1])?,
            down_coarse: t.strided("down_coarse", [2, 2])?,
            coarse: t.block("coarse")?,
            up_middle: t.point("up_middle")?,
            middle: t.block("middle")?,
            up_fine: t.point("up_fine")?,
            fine: t.block("fine")?,
            head: t.point("head")?,
        })
    }

    /// Maps of hints that a question has.
    pub fn hints(&self) -> usize {
        self.enter.channels()[0] - self.enter.channels()[1]
    }

    /// Scales and shifts that a question steers the network with.
    pub fn steering(&self) -> usize {
        let [fine, middle, coarse] =
            [&self.enter, &self.down_middle, &self.down_coarse].map(|conv| conv.channels()[1]);
        2 * (fine + middle + coarse + fine)
    }

    /// Decodes one question: `levels` of [`crate::Encoded`], `hints` `[hints, h, w]`, `steer` scales and shifts of the
    /// four places in the order of the network. Result `[maps, h, w/2]`.
    pub fn decode(&self, levels: &[Maps; 3], hints: &[f32], steer: &[f32]) -> Vec<f32> {
        rayon::scope(|_| self.draw(levels, hints, steer))
    }

    fn draw(&self, levels: &[Maps; 3], hints: &[f32], mut steer: &[f32]) -> Vec<f32> {
        let mut film = |maps: &mut Maps| {
            let (own, rest) = steer.split_at(2 * maps.channels);
            steer = rest;
            let (gamma, beta) = own.split_at(maps.channels);
            let scale: Vec<f32> = gamma.iter().map(|gamma| gamma + 1.0).collect();
            maps.scale(&scale, beta);
        };
        let [mut fine, mut middle, mut coarse] = levels.clone();
        for maps in [&mut fine, &mut middle, &mut coarse] {
            film(maps);
        }
        let mut fine = self.enter.apply(&beside(&fine, hints)); // [h, w/2, C]
        self.down_middle.run(&fine.relu(), &mut middle, Then::Add);
        self.down_coarse.run(&middle.relu(), &mut coarse, Then::Add);
        self.coarse.run(&mut coarse);
        middle.add_grown(&self.up_middle.apply(&coarse), [2, 2]);
        self.middle.run(&mut middle);
        fine.add_grown(&self.up_fine.apply(&middle), [2, 1]);
        film(&mut fine);
        self.fine.run(&mut fine);
        by_channel(&self.head.apply(&fine.relu())) // [maps, h, w/2]
    }
}

/// Values of maps without a frame, one channel after the other.
pub(crate) fn by_channel(maps: &Maps) -> Vec<f32> {
    let (n, cells) = (maps.channels, maps.height * maps.width);
    let mut out = vec![0f32; n * cells];
    for (cell, values) in maps.values.chunks_exact(n).enumerate() {
        for (map, value) in values.iter().enumerate() {
            out[map * cells + cell] = *value;
        }
    }
    out
}

/// Maps with a question's hints, `[hints, h, w]`, as further channels, and a frame.
pub(crate) fn beside(maps: &Maps, hints: &[f32]) -> Maps {
    let (n, cells) = (maps.channels, maps.height * maps.width);
    let more = hints.len() / cells;
    let mut values = Vec::with_capacity(cells * (n + more));
    for (cell, own) in maps.values.chunks_exact(n).enumerate() {
        values.extend_from_slice(own);
        values.extend((0..more).map(|hint| hints[hint * cells + cell]));
    }
    Maps::from_values(maps.height, maps.width, n + more, values).with_frame()
}
