//! The network of the map policy: picture encoder and question-steered decoder.
//!
//! The encoder is a residual U-Net without a question in it, so a picture is encoded once however
//! many questions follow (in training: about four a picture, which makes them cheap). It also
//! gives every cell a *text vector*: what is printed here, comparable with a quoted key. The
//! decoder compares key and cells, and mixes the match with feature maps that the question
//! modulates (FiLM). Strides 8, 16 and 32; local features want convolutions.
//!
//! No normalisation inside the blocks, one group norm where a stride begins: on a CPU the
//! element-wise passes cost as much as the products.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::MapConfig;
use super::question::{Questions, TextEncoder, Texts};
use crate::{PolicyError, Result, Timings};

/// Output maps a cell: evidence logit, then position and log-scale of the left, top, right and
/// bottom edge.
pub const MAPS: usize = 9;

/// Channels that tell the decoder where the key was found and where each cell is.
const HINTS: usize = 6;

/// Feature maps of pictures, good for any number of questions.
#[derive(Clone, Debug)]
pub struct Features {
    /// Stride 8, `[B, C8, H/8, W/8]`.
    pub fine: Tensor<4>,
    /// Stride 16, `[B, C16, H/16, W/16]`.
    pub middle: Tensor<4>,
    /// Stride 32, `[B, C32, H/32, W/32]`.
    pub coarse: Tensor<4>,
    /// What is printed where: unit vectors at stride 8, `[B, D, H/8, W/8]`.
    pub text: Tensor<4>,
    /// How long encoding took.
    pub timings: Timings,
}

impl Features {
    /// The same without their history of gradients.
    pub fn without_gradients(&self) -> Self {
        let plain = |maps: &Tensor<4>| maps.clone().without_autodiff();
        Self {
            fine: plain(&self.fine),
            middle: plain(&self.middle),
            coarse: plain(&self.coarse),
            text: plain(&self.text),
            timings: self.timings,
        }
    }

    /// Waits until the device has computed them (a lazy device would count the time later).
    ///
    /// # Errors
    /// A failed device.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let probe = self.text.clone().slice([0..1, 0..1, 0..1, 0..1]);
        probe
            .into_data_async()
            .await
            .map(|_| ())
            .map_err(|e| PolicyError::Device(format!("{e:?}")))
    }
}

fn conv(
    from: usize,
    to: usize,
    kernel: usize,
    stride: usize,
    gain: f64,
    device: &Device,
) -> Conv2d {
    // Kernel 3 keeps the size at stride 1 and halves it at stride 2; kernel 8 at stride 4 with
    // padding 2 quarters it.
    let pad = (kernel - 1).min(kernel / 2);
    let pad = if kernel == 8 { 2 } else { pad };
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_initializer(Initializer::KaimingNormal {
            gain,
            fan_out_only: false,
        })
        .init(device)
}

const RELU_GAIN: f64 = std::f64::consts::SQRT_2;

/// `x + conv(relu(conv(relu(x))))`; the second convolution starts small.
#[derive(Module, Debug)]
struct Block {
    first: Conv2d,
    second: Conv2d,
}

impl Block {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            first: conv(channels, channels, 3, 1, RELU_GAIN, device),
            second: conv(channels, channels, 3, 1, 0.3, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.first.forward(relu(x.clone()));
        x + self.second.forward(relu(y)) // [B, C, H, W]
    }
}

/// A stride begins: strided convolution, group norm, blocks.
#[derive(Module, Debug)]
struct Stage {
    down: Conv2d,
    norm: GroupNorm,
    blocks: Vec<Block>,
}

impl Stage {
    fn new(from: usize, to: usize, blocks: usize, device: &Device) -> Self {
        Self {
            down: conv(from, to, 3, 2, RELU_GAIN, device),
            norm: GroupNormConfig::new(8.min(to), to).init(device),
            blocks: (0..blocks).map(|_| Block::new(to, device)).collect(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm.forward(self.down.forward(relu(x))); // [B, C, H/2, W/2]
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}

/// Nearest-neighbour doubling, `[B, C, H, W]` → `[B, C, 2H, 2W]`.
fn double(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h, 1, w, 1])
        .expand([b, c, h, 2, w, 2])
        .reshape([b, c, 2 * h, 2 * w])
}

/// Scale and shift of channels by a question: `x * (1 + gamma) + beta`.
fn film(x: Tensor<4>, steer: Tensor<2>) -> Tensor<4> {
    let [n, c, _, _] = x.dims();
    let gamma = steer.clone().slice([0..n, 0..c]).reshape([n, c, 1, 1]);
    let beta = steer.slice([0..n, c..2 * c]).reshape([n, c, 1, 1]);
    x * (gamma + 1.0) + beta // [Q, C, H, W]
}

/// The whole network.
#[derive(Module, Debug)]
pub struct MapNet {
    stem: Conv2d,
    stem_norm: GroupNorm,
    stages: Vec<Stage>,
    coarse_to_middle: Conv2d,
    middle_out: Block,
    middle_to_fine: Conv2d,
    fine_out: Block,
    text: Conv2d,
    /// Reads whole questions.
    pub questions: TextEncoder,
    /// Reads keys and printed lines.
    pub keys: TextEncoder,
    match_scale: Param<Tensor<1>>,
    project: Vec<Conv2d>,
    steer: Vec<Linear>,
    enter: Conv2d,
    down_middle: Conv2d,
    down_coarse: Conv2d,
    coarse: Block,
    up_middle: Conv2d,
    middle: Block,
    up_fine: Conv2d,
    fine: Block,
    head: Conv2d,
}

impl MapNet {
    /// Random weights.
    pub fn new(config: &MapConfig, device: &Device) -> Self {
        let [c4, c8, c16, c32] = config.channels;
        let [d8, d16, d32] = config.decoder_channels;
        let point = |from, to| conv(from, to, 1, 1, 1.0, device);
        let steer = |to: usize| {
            LinearConfig::new(config.question_dim, 2 * to)
                .with_initializer(Initializer::Normal {
                    mean: 0.0,
                    std: 0.02,
                })
                .init(device)
        };
        let mut head = conv(d8, MAPS, 1, 1, 0.1, device);
        // Evidence is rare: start near its share of the cells (about 1 %), not at one half.
        let mut bias = [0f32; MAPS];
        bias[0] = -4.0;
        head.bias = Some(Param::from_data(TensorData::from(bias), device));
        Self {
            stem: conv(1, c4, 8, 4, 1.0, device),
            stem_norm: GroupNormConfig::new(8.min(c4), c4).init(device),
            stages: vec![
                Stage::new(c4, c8, config.blocks[0], device),
                Stage::new(c8, c16, config.blocks[1], device),
                Stage::new(c16, c32, config.blocks[2], device),
            ],
            coarse_to_middle: point(c32, c16),
            middle_out: Block::new(c16, device),
            middle_to_fine: point(c16, c8),
            fine_out: Block::new(c8, device),
            text: point(c8, config.text_dim),
            questions: TextEncoder::new(config.question_dim, device),
            keys: TextEncoder::new(config.text_dim, device),
            match_scale: Param::from_data(TensorData::from([10f32]), device),
            project: vec![point(c8, d8), point(c16, d16), point(c32, d32)],
            steer: vec![steer(d8), steer(d16), steer(d32), steer(d8)],
            enter: conv(d8 + HINTS, d8, 3, 1, RELU_GAIN, device),
            down_middle: conv(d8, d16, 3, 2, RELU_GAIN, device),
            down_coarse: conv(d16, d32, 3, 2, RELU_GAIN, device),
            coarse: Block::new(d32, device),
            up_middle: point(d32, d16),
            middle: Block::new(d16, device),
            up_fine: point(d16, d8),
            fine: Block::new(d8, device),
            head,
        }
    }

    /// Encodes pictures, `[B, 1, H, W]` with sides that are multiples of 32.
    pub fn encode(&self, pixels: Tensor<4>) -> Features {
        let x = self.stem_norm.forward(self.stem.forward(pixels)); // [B, C4, H/4, W/4]
        let fine = self.stages[0].forward(x); // [B, C8, H/8, W/8]
        let middle = self.stages[1].forward(fine.clone()); // [B, C16, H/16, W/16]
        let coarse = self.stages[2].forward(middle.clone()); // [B, C32, H/32, W/32]
        let middle = middle + double(self.coarse_to_middle.forward(coarse.clone()));
        let middle = self.middle_out.forward(middle); // [B, C16, H/16, W/16]
        let fine = fine + double(self.middle_to_fine.forward(middle.clone()));
        let fine = self.fine_out.forward(fine); // [B, C8, H/8, W/8]
        let text = unit(self.text.forward(relu(fine.clone())), 1); // [B, D, H/8, W/8]
        Features {
            fine,
            middle,
            coarse,
            text,
            timings: Timings::default(),
        }
    }

    /// Unit vectors of keys or printed lines, `[N, L]` → `[N, D]`.
    pub fn read_keys(&self, texts: &Texts) -> Tensor<2> {
        unit(self.keys.forward(texts), 1)
    }

    /// How sharply keys and cells are compared: cosines are multiplied by this.
    pub fn sharpness(&self) -> Tensor<1> {
        self.match_scale.val()
    }

    /// Decodes questions; question `q` is about picture `owners[q]`. Result `[Q, 9, H/8, W/8]`.
    pub fn decode(&self, seen: &Features, owners: &[usize], questions: Questions) -> Tensor<4> {
        let device = seen.fine.device();
        let n = owners.len();
        let [pictures, _, h, w] = seen.fine.dims();
        let own = |x: Tensor<4>| {
            if pictures == 1 && n == 1 {
                return x;
            }
            let owners: Vec<i32> = owners.iter().map(|i| *i as i32).collect();
            let owners = Tensor::<1, Int>::from_data(TensorData::new(owners, [n]), &device);
            x.select(0, owners)
        };
        let steer = self.questions.forward(&questions.whole); // [Q, D]
        let steer = |level: usize| self.steer[level].forward(steer.clone()); // [Q, 2C]
        let level = |level: usize, x: &Tensor<4>| {
            let x = own(self.project[level].forward(relu(x.clone())));
            film(x, steer(level)) // [Q, C, ...]
        };

        let keys = self.read_keys(&questions.keys); // [Q, D]
        let hints = self.hints(own(seen.text.clone()), keys); // [Q, 6, h, w]
        let x = Tensor::cat(vec![level(0, &seen.fine), hints], 1);
        let fine = self.enter.forward(x); // [Q, C, h, w]
        let middle = self.down_middle.forward(relu(fine.clone())) + level(1, &seen.middle);
        let coarse = self.down_coarse.forward(relu(middle.clone())) + level(2, &seen.coarse);
        let coarse = self.coarse.forward(coarse);
        let middle = self
            .middle
            .forward(middle + double(self.up_middle.forward(coarse)));
        let fine = film(fine + double(self.up_fine.forward(middle)), steer(3));
        let maps = self.head.forward(relu(self.fine.forward(fine)));
        debug_assert_eq!(maps.dims(), [n, MAPS, h, w]);
        maps // [Q, 9, h, w]
    }

    /// Where the key stands: cosine, best match, its rows and columns; and each cell's position.
    fn hints(&self, text: Tensor<4>, keys: Tensor<2>) -> Tensor<4> {
        let device = text.device();
        let [n, d, h, w] = text.dims();
        let cosine = keys.reshape([n, 1, d]).matmul(text.reshape([n, d, h * w])); // [Q, 1, hw]
        let sharp = cosine.clone() * self.sharpness().reshape([1, 1, 1]);
        let best = softmax(sharp, 2); // [Q, 1, hw]
        let best = best.clone() / (best.max_dim(2) + 1e-6);
        let best = best.reshape([n, 1, h, w]);
        let row = best.clone().max_dim(3).expand([n, 1, h, w]);
        let column = best.clone().max_dim(2).expand([n, 1, h, w]);
        let at = |size: usize| {
            let values = (0..size).map(|i| (i as f32 + 0.5) / size as f32 * 2.0 - 1.0);
            TensorData::new(values.collect::<Vec<_>>(), [size])
        };
        let x = Tensor::<1>::from_data(at(w), &device)
            .reshape([1, 1, 1, w])
            .expand([n, 1, h, w]);
        let y = Tensor::<1>::from_data(at(h), &device)
            .reshape([1, 1, h, 1])
            .expand([n, 1, h, w]);
        Tensor::cat(
            vec![cosine.reshape([n, 1, h, w]), best, row, column, x, y],
            1,
        )
    }
}

/// Unit length along `dim`.
fn unit<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    let length = (x.clone() * x.clone()).sum_dim(dim).add_scalar(1e-6).sqrt();
    x / length
}
