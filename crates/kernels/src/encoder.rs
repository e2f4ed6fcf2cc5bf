//! The encoder: a picture's feature maps and letters, before any question.

use crate::conv::Conv;
use crate::maps::Maps;
use crate::tensors::{Block, KernelError, Norm, Tensors};

/// A stride begins: strided convolution, group norm, blocks.
#[derive(Debug)]
struct Stage {
    down: Conv,
    norm: Norm,
    blocks: Vec<Block>,
}

impl Stage {
    fn of(t: &Tensors, name: &str) -> Result<Self, KernelError> {
        let there = |i: &usize| t.has(&format!("{name}.blocks.{i}.first.weight"));
        let blocks = (0..).take_while(there);
        Ok(Self {
            down: t.strided(&format!("{name}.down"), [2, 2])?,
            norm: t.norm(&format!("{name}.norm"))?,
            blocks: blocks
                .map(|i| t.block(&format!("{name}.blocks.{i}")))
                .collect::<Result<_, _>>()?,
        })
    }

    fn run(&self, x: &Maps) -> Maps {
        let mut x = self.down.apply(&x.relu());
        self.norm.run(&mut x);
        self.blocks.iter().for_each(|block| block.run(&mut x));
        x
    }
}

/// The encoder's weights in the order of these kernels; names as in the policy's network.
#[derive(Debug)]
pub struct Encoder {
    stem: Conv,
    stem_deep: Conv,
    stem_norm: Norm,
    stages: [Stage; 3],
    coarse_to_middle: Conv,
    middle_out: Block,
    middle_to_fine: Conv,
    fine_out: Block,
    characters: Conv,
    project: [Conv; 3],
}

/// Feature maps of a picture of H x W, all without a frame.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Stride 8, `[H/8, W/8, C8]`.
    pub fine: Maps,
    /// Stride 16.
    pub middle: Maps,
    /// Stride 32.
    pub coarse: Maps,
    /// Logits of characters, `[H/8, W/8, 2 K]`: left half cells, then right ones.
    pub characters: Maps,
    /// The three strides in the decoder's channels, before a question steers them.
    pub levels: [Maps; 3],
}

/// Half cells in a cell, side by side: each has logits of its own.
pub const HALVES: usize = 2;

/// What questions need of an encoded picture: the ends of the encoder, without the maps on the way.
#[derive(Clone, Debug)]
pub struct Features {
    /// Logits of characters, `[H/8, W/8, 2 K]`; a graphics card gives them as log-probabilities.
    pub characters: Maps,
    /// The three strides in the decoder's channels, before a question steers them.
    pub levels: [Maps; 3],
}

impl From<Encoded> for Features {
    fn from(encoded: Encoded) -> Self {
        Self {
            characters: encoded.characters,
            levels: encoded.levels,
        }
    }
}

impl Features {
    /// All maps: the characters, then the levels.
    pub fn parts(&self) -> [&Maps; 4] {
        let [fine, middle, coarse] = &self.levels;
        [&self.characters, fine, middle, coarse]
    }

    /// From [`Features::parts`].
    pub fn from_parts([characters, fine, middle, coarse]: [Maps; 4]) -> Self {
        Self {
            characters,
            levels: [fine, middle, coarse],
        }
    }
}

impl Encoder {
    /// Whether a tensor of the network is the encoder's.
    pub fn wants(name: &str) -> bool {
        let starts = [
            "stem",
            "stages.",
            "coarse_to_middle.",
            "middle_out.",
            "middle_to_fine.",
            "fine_out.",
            "characters.",
            "project.",
        ];
        starts.iter().any(|start| name.starts_with(start))
    }

    /// Copies the encoder's weights.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn of(t: &Tensors) -> Result<Self, KernelError> {
        Ok(Self {
            stem: t.strided("stem", [2, 2])?,
            stem_deep: t.strided("stem_deep", [2, 2])?,
            stem_norm: t.norm("stem_norm")?,
            stages: [
                Stage::of(t, "stages.0")?,
                Stage::of(t, "stages.1")?,
                Stage::of(t, "stages.2")?,
            ],
            coarse_to_middle: t.point("coarse_to_middle")?,
            middle_out: t.block("middle_out")?,
            middle_to_fine: t.point("middle_to_fine")?,
            fine_out: t.block("fine_out")?,
            characters: t.point("characters")?,
            project: [
                t.point("project.0")?,
                t.point("project.1")?,
                t.point("project.2")?,
            ],
        })
    }

    /// Encodes a picture of `height * width` values, sides multiples of 32.
    pub fn encode(&self, pixels: Vec<f32>, size: [usize; 2]) -> Encoded {
        // In one go: a thread outside of the pool would wait for it at every step.
        rayon::scope(|_| self.see(pixels, size))
    }

    fn see(&self, pixels: Vec<f32>, [height, width]: [usize; 2]) -> Encoded {
        let x = Maps::from_values(height, width, 1, pixels).with_frame();
        let x = self.stem.apply_relu(&x); // [H/2, W/2, C2]
        let mut x = self.stem_deep.apply(&x); // [H/4, W/4, C4]
        self.stem_norm.run(&mut x);
        let mut fine = self.stages[0].run(&x); // [H/8, W/8, C8]
        let mut middle = self.stages[1].run(&fine); // [H/16, W/16, C16]
        let coarse = self.stages[2].run(&middle); // [H/32, W/32, C32]
        middle.add_grown(&self.coarse_to_middle.apply(&coarse), [2, 2]);
        self.middle_out.run(&mut middle);
        fine.add_grown(&self.middle_to_fine.apply(&middle), [2, 2]);
        self.fine_out.run(&mut fine);
        let positive = fine.relu();
        Encoded {
            characters: self.characters.apply(&positive), // [H/8, W/8, 2K]
            levels: [
                self.project[0].apply(&positive),
                self.project[1].apply(&middle.relu()),
                self.project[2].apply(&coarse.relu()),
            ],
            fine,
            middle,
            coarse,
        }
    }
}
