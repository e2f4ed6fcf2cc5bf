//! The decoder on a graphics card: maps of boxes for one question about an encoded picture.

use super::beside::beside;
use super::conv::{GpuBlock, GpuConv, Of};
use super::device::{Gpu, GpuError};
use super::film::film;
use super::grow::add_grown;
use super::maps::GpuMaps;
use super::norm;
use super::run::Run;
use crate::decoder::by_channel;
use crate::maps::{Maps, Then};
use crate::tensors::{KernelError, Tensors};

/// The decoder with its weights on a graphics card; the same network as [`crate::Decoder`].
#[derive(Debug)]
pub struct GpuDecoder {
    gpu: Gpu,
    enter: GpuConv,
    down_middle: GpuConv,
    down_coarse: GpuConv,
    coarse: GpuBlock,
    up_middle: GpuConv,
    middle: GpuBlock,
    up_fine: GpuConv,
    fine: GpuBlock,
    head: GpuConv,
}

impl GpuDecoder {
    /// Uploads the decoder's weights.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn of(gpu: &Gpu, t: &Tensors) -> Result<Self, KernelError> {
        let plain = |name: &str| GpuConv::plain(gpu, t, name);
        let block = |name: &str| GpuBlock::of(gpu, t, name);
        Ok(Self {
            enter: GpuConv::of(gpu, t, "enter", [1, 2])?,
            down_middle: GpuConv::of(gpu, t, "down_middle", [2, 1])?,
            down_coarse: GpuConv::of(gpu, t, "down_coarse", [2, 2])?,
            coarse: block("coarse")?,
            up_middle: plain("up_middle")?,
            middle: block("middle")?,
            up_fine: plain("up_fine")?,
            fine: block("fine")?,
            head: plain("head")?,
            gpu: gpu.clone(),
        })
    }

    /// Decodes one question, as [`crate::Decoder::decode`]: `[maps, h, w/2]`. Natively the thread waits for the card.
    ///
    /// # Errors
    /// A card that failed.
    pub async fn decode(
        &self,
        levels: &[Maps; 3],
        hints: &[f32],
        mut steer: &[f32],
    ) -> Result<Vec<f32>, GpuError> {
        let gpu = &self.gpu;
        let mut recorded = Run::new(gpu);
        let run = &mut recorded;
        let mut steered = |run: &mut Run, maps: &GpuMaps| {
            let (own, rest) = steer.split_at(2 * maps.channels);
            steer = rest;
            let (gamma, beta) = own.split_at(maps.channels);
            let scale: Vec<f32> = gamma.iter().map(|gamma| gamma + 1.0).collect();
            let affine = run.own(gpu.upload(&norm::affine(&scale, beta)));
            film(run, maps, &affine);
        };
        let [fine, middle, coarse] = levels.each_ref().map(|maps| GpuMaps::upload(gpu, maps));
        for maps in [&fine, &middle, &coarse] {
            run.own(maps.buffer.clone());
            steered(run, maps);
        }
        let entered = beside(run, &fine, hints);
        let fine = self.enter.apply(run, &entered, Of::All, Then::Set); // [h, w/2, C]
        let positive = Of::Positive;
        self.down_middle
            .run(run, &fine, positive, &middle, Then::Add);
        self.down_coarse
            .run(run, &middle, positive, &coarse, Then::Add);
        self.coarse.run(run, &coarse);
        let up = self.up_middle.apply(run, &coarse, Of::All, Then::Set);
        add_grown(run, &middle, &up, [2, 2]);
        self.middle.run(run, &middle);
        let up = self.up_fine.apply(run, &middle, Of::All, Then::Set);
        add_grown(run, &fine, &up, [2, 1]);
        steered(run, &fine);
        self.fine.run(run, &fine);
        let maps = self.head.apply(run, &fine, positive, Then::Set); // [h, w/2, maps]
        let [maps] = recorded.finish([&maps]).await?;
        Ok(by_channel(&maps))
    }
}
