//! The map policy's network on a CPU, for looking and proposing only: no gradients, one picture at a time.
//!
//! burn turns a convolution into columns and a matrix product. Four fifths of this network's multiplications are
//! 3 x 3 convolutions of stride 1, of which Winograd's algorithm needs a fourth; the rest is read in place. The same
//! plain Rust serves native programs and wasm, by threads where there are some, and computes the same bits on all.
//!
//! Files: [`maps`] feature maps and what is done element by element, [`gemm`] the inner loop, [`conv`] convolutions of
//! any stride, [`winograd`] those of 3 x 3; here, the network. Weights are copied out of the module once
//! ([`Net::of`]): whoever changes the module drops this copy ([`super::MapPolicy::change`]).

mod conv;
mod gemm;
mod maps;
#[cfg(test)]
mod tests;
mod winograd;

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use conv::Conv;
use maps::{Maps, Then};
use winograd::Winograd;

use super::hints::HINTS;
use super::letters::{CLASSES, HALVES};
use super::net::{Features, GROUPS, MAPS, MapNet};
use super::weights::{self, Values};
use crate::{PolicyError, Result, Timings};

/// Whether this serves a device: the CPU, where no gradients are wanted.
pub fn serves(device: &Device) -> bool {
    !device.is_autodiff() && *device == Device::flex()
}

/// What the decoder wants of a picture, whatever the question: its maps in the decoder's channels.
#[derive(Debug)]
pub struct Seen {
    levels: [Maps; 3],
}

/// `x + conv(relu(conv(relu(x))))`.
#[derive(Debug)]
struct Block {
    first: Winograd,
    second: Winograd,
}

impl Block {
    fn run(&self, x: &mut Maps) {
        let mut y = Maps::framed(x.height, x.width, x.channels);
        self.first.run(&x.relu(), &mut y, Then::Relu);
        self.second.run(&y, x, Then::Add);
    }
}

/// Group norm's scale and shift of each channel.
#[derive(Debug)]
struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Norm {
    fn run(&self, x: &mut Maps) {
        x.group_norm(GROUPS.min(x.channels), &self.gamma, &self.beta);
    }
}

#[derive(Debug)]
struct Stage {
    down: Conv,
    norm: Norm,
    blocks: Vec<Block>,
}

impl Stage {
    fn run(&self, x: &Maps) -> Maps {
        let mut x = self.down.apply(&x.relu());
        self.norm.run(&mut x);
        self.blocks.iter().for_each(|block| block.run(&mut x));
        x
    }
}

/// The network's weights in the order of these kernels; names as in [`MapNet`].
#[derive(Debug)]
pub struct Net {
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

/// The module's tensors by name.
struct Tensors(HashMap<String, Values>);

impl Tensors {
    fn get(&self, name: &str) -> Result<&Values> {
        let missing = || PolicyError::Config(format!("the network has no tensor {name}"));
        self.0.get(name).ok_or_else(missing)
    }

    fn vector(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.get(name)?.1.clone())
    }

    /// Shape, weights and bias of a convolution.
    fn conv(&self, name: &str) -> Result<([usize; 4], &[f32], &[f32])> {
        let (shape, weights) = self.get(&format!("{name}.weight"))?;
        let shape = <[usize; 4]>::try_from(shape.as_slice())
            .map_err(|_| PolicyError::Config(format!("{name} has shape {shape:?}")))?;
        let (_, bias) = self.get(&format!("{name}.bias"))?;
        Ok((shape, weights, bias))
    }

    fn strided(&self, name: &str, stride: [usize; 2]) -> Result<Conv> {
        let (shape, weights, bias) = self.conv(name)?;
        Ok(Conv::new(shape, weights, bias, stride))
    }

    fn point(&self, name: &str) -> Result<Conv> {
        self.strided(name, [1, 1])
    }

    fn winograd(&self, name: &str) -> Result<Winograd> {
        let ([to, from, ..], weights, bias) = self.conv(name)?;
        Ok(Winograd::new([to, from], weights, bias))
    }

    fn block(&self, name: &str) -> Result<Block> {
        Ok(Block {
            first: self.winograd(&format!("{name}.first"))?,
            second: self.winograd(&format!("{name}.second"))?,
        })
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            gamma: self.vector(&format!("{name}.gamma"))?,
            beta: self.vector(&format!("{name}.beta"))?,
        })
    }

    fn stage(&self, name: &str) -> Result<Stage> {
        let there = |i: &usize| {
            let first = format!("{name}.blocks.{i}.first.weight");
            self.0.contains_key(&first)
        };
        let blocks = (0..).take_while(there);
        Ok(Stage {
            down: self.strided(&format!("{name}.down"), [2, 2])?,
            norm: self.norm(&format!("{name}.norm"))?,
            blocks: blocks
                .map(|i| self.block(&format!("{name}.blocks.{i}")))
                .collect::<Result<_>>()?,
        })
    }
}

impl Net {
    /// Copies the weights of a module.
    ///
    /// # Errors
    /// A device that does not deliver its tensors.
    pub fn of(net: &MapNet) -> Result<Self> {
        let t = Tensors(weights::collect(net)?.into_iter().collect());
        Ok(Self {
            stem: t.strided("stem", [2, 2])?,
            stem_deep: t.strided("stem_deep", [2, 2])?,
            stem_norm: t.norm("stem_norm")?,
            stages: [
                t.stage("stages.0")?,
                t.stage("stages.1")?,
                t.stage("stages.2")?,
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

    /// [`MapNet::encode`] of one picture, `height * width` values; what the decoder wants comes with it.
    pub fn encode(&self, pixels: Vec<f32>, [height, width]: [usize; 2]) -> Features {
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
        let characters = self.characters.apply(&positive); // [H/8, W/8, 2K]
        let levels = [
            self.project[0].apply(&positive),
            self.project[1].apply(&middle.relu()),
            self.project[2].apply(&coarse.relu()),
        ];
        let shape = [1, characters.height, characters.width * HALVES, CLASSES];
        let characters = TensorData::new(characters.values, shape);
        Features {
            fine: tensor(fine),
            middle: tensor(middle),
            coarse: tensor(coarse),
            characters: Tensor::from_data(characters, &Device::flex()),
            letters: Arc::default(),
            timings: Timings::default(),
            fast: Some(Arc::new(Seen { levels })),
        }
    }

    /// [`MapNet::decode`] of one question: `hints` `[HINTS, h, w]`, `steer` scales and shifts of the four places
    /// in the order of the module. Result `[9, h, w/2]`.
    pub fn decode(&self, seen: &Seen, hints: &[f32], steer: &[f32]) -> Vec<f32> {
        let mut steer = steer;
        let mut film = |maps: &mut Maps| {
            let (own, rest) = steer.split_at(2 * maps.channels);
            steer = rest;
            let (gamma, beta) = own.split_at(maps.channels);
            let scale: Vec<f32> = gamma.iter().map(|gamma| gamma + 1.0).collect();
            maps.scale(&scale, beta);
        };
        let [mut fine, mut middle, mut coarse] = seen.levels.clone();
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
        let maps = self.head.apply(&fine.relu()); // [h, w/2, 9]
        let cells = maps.height * maps.width;
        let mut out = vec![0f32; MAPS * cells];
        for (cell, values) in maps.values.chunks_exact(MAPS).enumerate() {
            for (map, value) in values.iter().enumerate() {
                out[map * cells + cell] = *value;
            }
        }
        out
    }
}

/// Maps with a question's hints, `[HINTS, h, w]`, as further channels, and a frame.
fn beside(maps: &Maps, hints: &[f32]) -> Maps {
    let (n, cells) = (maps.channels, maps.height * maps.width);
    let mut values = Vec::with_capacity(cells * (n + HINTS));
    for (cell, own) in maps.values.chunks_exact(n).enumerate() {
        values.extend_from_slice(own);
        values.extend((0..HINTS).map(|hint| hints[hint * cells + cell]));
    }
    Maps::from_values(maps.height, maps.width, n + HINTS, values).with_frame()
}

/// Maps without a frame as burn has them, `[1, C, H, W]`.
fn tensor(maps: Maps) -> Tensor<4> {
    let shape = [1, maps.height, maps.width, maps.channels];
    Tensor::from_data(TensorData::new(maps.values, shape), &Device::flex()).permute([0, 3, 1, 2])
}
