//! The encoder on a graphics card: a picture in, what questions need of it out.

use wgpu::BufferUsages;

use super::conv::{GpuBlock, GpuConv, Of};
use super::device::{Gpu, GpuError};
use super::grow::add_grown;
use super::log_softmax::log_softmax;
use super::maps::GpuMaps;
use super::norm::GpuNorm;
use super::run::Run;
use super::stem::Stem;
use crate::encoder::{Features, HALVES};
use crate::maps::Then;
use crate::tensors::{KernelError, Tensors};

/// A stride begins: strided convolution, group norm, blocks.
#[derive(Debug)]
struct Stage {
    down: GpuConv,
    norm: GpuNorm,
    blocks: Vec<GpuBlock>,
}

impl Stage {
    fn of(gpu: &Gpu, t: &Tensors, name: &str) -> Result<Self, KernelError> {
        let there = |i: &usize| t.has(&format!("{name}.blocks.{i}.first.weight"));
        let blocks = (0..).take_while(there);
        Ok(Self {
            down: GpuConv::of(gpu, t, &format!("{name}.down"), [2, 2])?,
            norm: GpuNorm::of(gpu, t, &format!("{name}.norm"))?,
            blocks: blocks
                .map(|i| GpuBlock::of(gpu, t, &format!("{name}.blocks.{i}")))
                .collect::<Result<_, _>>()?,
        })
    }

    fn run(&self, run: &mut Run, x: &GpuMaps) -> GpuMaps {
        let x = self.down.apply(run, x, Of::Positive, Then::Set);
        self.norm.run(run, &x);
        self.blocks.iter().for_each(|block| block.run(run, &x));
        x
    }
}

/// The encoder with its weights on a graphics card; the same network as [`crate::Encoder`].
#[derive(Debug)]
pub struct GpuEncoder {
    gpu: Gpu,
    /// Channels of the largest map, that of stride 2.
    widest: usize,
    stem: Stem,
    stem_deep: GpuConv,
    stem_norm: GpuNorm,
    stages: [Stage; 3],
    coarse_to_middle: GpuConv,
    middle_out: GpuBlock,
    middle_to_fine: GpuConv,
    fine_out: GpuBlock,
    characters: GpuConv,
    project: [GpuConv; 3],
}

impl GpuEncoder {
    /// Uploads the encoder's weights.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn of(gpu: &Gpu, t: &Tensors) -> Result<Self, KernelError> {
        let plain = |name: &str| GpuConv::plain(gpu, t, name);
        let stem = t.conv("stem")?;
        let ([widest, ..], ..) = stem;
        Ok(Self {
            widest,
            stem: Stem::new(gpu, stem, [2, 2]),
            stem_deep: GpuConv::of(gpu, t, "stem_deep", [2, 2])?,
            stem_norm: GpuNorm::of(gpu, t, "stem_norm")?,
            stages: [
                Stage::of(gpu, t, "stages.0")?,
                Stage::of(gpu, t, "stages.1")?,
                Stage::of(gpu, t, "stages.2")?,
            ],
            coarse_to_middle: plain("coarse_to_middle")?,
            middle_out: GpuBlock::of(gpu, t, "middle_out")?,
            middle_to_fine: plain("middle_to_fine")?,
            fine_out: GpuBlock::of(gpu, t, "fine_out")?,
            characters: plain("characters")?,
            project: [
                plain("project.0")?,
                plain("project.1")?,
                plain("project.2")?,
            ],
            gpu: gpu.clone(),
        })
    }

    /// The card.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Encodes a picture of `height * width` values, sides multiples of 32. Natively the thread waits for the card.
    ///
    /// # Errors
    /// A picture too large for the card; a card that failed.
    pub async fn encode(
        &self,
        pixels: &[f32],
        [height, width]: [usize; 2],
    ) -> Result<Features, GpuError> {
        self.check(height * width)?;
        let gpu = &self.gpu;
        let mut recorded = Run::new(gpu);
        let run = &mut recorded;
        let picture = gpu.filled(bytemuck::cast_slice(pixels), BufferUsages::STORAGE);
        let picture = run.own(picture);
        let x = self.stem.apply_relu(run, &picture, [height, width]); // [H/2, W/2, C2]
        let x = self.stem_deep.apply(run, &x, Of::All, Then::Set); // [H/4, W/4, C4]
        self.stem_norm.run(run, &x);
        let fine = self.stages[0].run(run, &x); // [H/8, W/8, C8]
        let middle = self.stages[1].run(run, &fine); // [H/16, W/16, C16]
        let coarse = self.stages[2].run(run, &middle); // [H/32, W/32, C32]
        let up = self
            .coarse_to_middle
            .apply(run, &coarse, Of::All, Then::Set);
        add_grown(run, &middle, &up, [2, 2]);
        self.middle_out.run(run, &middle);
        let up = self.middle_to_fine.apply(run, &middle, Of::All, Then::Set);
        add_grown(run, &fine, &up, [2, 2]);
        self.fine_out.run(run, &fine);
        let mut of = |conv: &GpuConv, maps| conv.apply(run, maps, Of::Positive, Then::Set);
        let characters = of(&self.characters, &fine); // [H/8, W/8, 2K]
        let levels = [
            of(&self.project[0], &fine),
            of(&self.project[1], &middle),
            of(&self.project[2], &coarse),
        ];
        log_softmax(run, &characters, HALVES);
        let [a, b, c] = &levels;
        let found = recorded.finish([&characters, a, b, c]).await?;
        let [characters, a, b, c] = found;
        Ok(Features {
            characters,
            levels: [a, b, c],
        })
    }

    /// Refuses what the card has no room for.
    fn check(&self, pixels: usize) -> Result<(), GpuError> {
        let lanes = self.widest.next_multiple_of(super::maps::DEPTH);
        let (wanted, given) = ((pixels * lanes) as u64, self.gpu.room());
        if wanted <= given {
            return Ok(());
        }
        Err(GpuError::TooLarge {
            adapter: self.gpu.name().to_owned(),
            pixels,
            wanted,
            given,
        })
    }
}
