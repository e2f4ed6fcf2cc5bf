//! The network of the map policy: picture encoder and question-steered decoder.
//!
//! The encoder is a residual U-Net without a question in it, so a picture is encoded once however
//! many questions follow (in training: about three a picture, which makes them cheap). It also
//! reads: every half cell gets a probability for each character ([`mapnet::char_logits`]). The decoder
//! mixes what reading found of the question ([`mapnet::hints`]) with feature maps that the question
//! modulates (FiLM). Strides 8, 16 and 32; local features want convolutions. Lines of text are wide
//! and thin, and so are the decoder's cells: 16 px wide, 8 px high.
//!
//! No normalisation inside the blocks, one group norm where a stride begins: on a CPU the
//! element-wise passes cost as much as the products.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kernels::GROUPS;
use mapnet::boxes::MAPS;
use mapnet::char_logits::{CLASSES, CharLogits, HALVES};
use mapnet::words::{DIMENSIONS, LETTERS};
use mapnet::{TextIndex, Words};
use rayon::prelude::*;

use super::batch;
use super::conv::convolve;
use super::question::{TextEncoder, Texts};
use super::readback::finite;
use super::{MapConfig, Turn};
use crate::{Result, Timings};

/// Feature maps of pictures, good for any number of questions.
#[derive(Clone, Debug)]
pub struct Features {
    /// Stride 8, `[B, C8, H/8, W/8]`.
    pub fine: Tensor<4>,
    /// Stride 16, `[B, C16, H/16, W/16]`.
    pub middle: Tensor<4>,
    /// Stride 32, `[B, C32, H/32, W/32]`.
    pub coarse: Tensor<4>,
    /// Logits of characters, `[B, H/8, W/4, CLASSES]`.
    pub characters: Tensor<4>,
    /// What was read, picture by picture; empty until [`Features::read`].
    pub text: Arc<Vec<TextIndex>>,
    /// How long encoding took.
    pub timings: Timings,
    /// How the picture was turned before it was encoded; boxes are given on the picture as it lies.
    pub turn: Turn,
    /// What the CPU's own decoder wants, where its encoder made this.
    pub(super) fast: Option<Arc<[kernels::Maps; 3]>>,
}

impl Features {
    /// The same without their history of gradients.
    pub fn without_gradients(&self) -> Self {
        let plain = |maps: &Tensor<4>| maps.clone().without_autodiff();
        Self {
            fine: plain(&self.fine),
            middle: plain(&self.middle),
            coarse: plain(&self.coarse),
            characters: plain(&self.characters),
            text: self.text.clone(),
            timings: self.timings,
            turn: self.turn,
            fast: self.fast.clone(),
        }
    }

    /// Log-probabilities of characters, picture by picture, from the device.
    ///
    /// # Errors
    /// A failed device, numbers that are none.
    pub async fn char_logits(&self) -> Result<Vec<CharLogits>> {
        let [_, rows, columns, _] = self.characters.dims();
        let logits = self.characters.clone().detach();
        let values = finite(log_softmax(logits, 3)).await?;
        let pages = values.par_chunks_exact(rows * columns * CLASSES);
        Ok(pages
            .map(|page| CharLogits::new(page.to_vec(), rows, columns))
            .collect())
    }

    /// Reads the pictures, so that questions can be decoded.
    ///
    /// # Errors
    /// As [`Features::char_logits`].
    pub async fn read(self) -> Result<Self> {
        // Finding compares classes within a frame: logits serve as well as log-probabilities.
        let values = finite(self.characters.clone().detach()).await?;
        Ok(self.index(&values))
    }

    /// As [`Features::read`], from the logits of characters, which are back from the device already.
    pub(super) fn index(mut self, values: &[f32]) -> Self {
        let [_, rows, columns, _] = self.characters.dims();
        let pages = values.par_chunks_exact(rows * columns * CLASSES);
        let indices = pages.map(|page| TextIndex::new(page, rows, columns));
        self.text = Arc::new(indices.collect());
        self
    }

    /// Prepares for finding texts among letters that are there already.
    pub(super) fn find_in(&mut self, read: &[CharLogits]) {
        self.text = Arc::new(read.par_iter().map(CharLogits::index).collect());
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
    strided(from, to, kernel, [stride, stride], gain, device)
}

fn strided(
    from: usize,
    to: usize,
    kernel: usize,
    stride: [usize; 2],
    gain: f64,
    device: &Device,
) -> Conv2d {
    // Kernel 3 keeps the size at stride 1 and halves it at stride 2, as kernel 4 does.
    let pad = (kernel - 1) / 2;
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride(stride)
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
        let y = convolve(&self.first, relu(x.clone()));
        x + convolve(&self.second, relu(y)) // [B, C, H, W]
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
            norm: GroupNormConfig::new(GROUPS.min(to), to).init(device),
            blocks: (0..blocks).map(|_| Block::new(to, device)).collect(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm.forward(convolve(&self.down, relu(x))); // [B, C, H/2, W/2]
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

/// Nearest-neighbour doubling of the height, `[B, C, H, W]` → `[B, C, 2H, W]`.
fn taller(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h, 1, w])
        .expand([b, c, h, 2, w])
        .reshape([b, c, 2 * h, w])
}

/// Scale and shift of channels by a question: `x * (1 + gamma) + beta`.
fn film(x: Tensor<4>, steer: Tensor<2>) -> Tensor<4> {
    let [n, c, _, _] = x.dims();
    let gamma = steer.clone().slice([0..n, 0..c]).reshape([n, c, 1, 1]);
    let beta = steer.slice([0..n, c..2 * c]).reshape([n, c, 1, 1]);
    x * (gamma + 1.0) + beta // [Q, C, H, W]
}

/// A table of words, which stays as it is, and the layer through which what a question's words mean steers the decoder.
#[derive(Module, Debug)]
struct WordTable {
    letters: Param<Tensor<2>>,
    vectors: Param<Tensor<2>>,
    question: Linear,
}

impl WordTable {
    /// An empty table of `words` words.
    fn new(words: usize, question_dim: usize, device: &Device) -> Self {
        let zeros = |columns| Param::from_tensor(Tensor::zeros([words, columns], device));
        let small = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        Self {
            letters: zeros(LETTERS),
            vectors: zeros(DIMENSIONS),
            question: LinearConfig::new(DIMENSIONS, question_dim)
                .with_initializer(small)
                .init(device),
        }
    }
}

/// The whole network.
#[derive(Module, Debug)]
pub struct MapNet {
    stem: Conv2d,
    stem_deep: Conv2d,
    stem_norm: GroupNorm,
    stages: Vec<Stage>,
    coarse_to_middle: Conv2d,
    middle_out: Block,
    middle_to_fine: Conv2d,
    fine_out: Block,
    characters: Conv2d,
    questions: TextEncoder,
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
    words: Option<WordTable>,
}

impl MapNet {
    /// Random weights.
    pub fn new(config: &MapConfig, device: &Device) -> Self {
        let [c4, c8, c16, c32] = config.channels;
        let c2 = c4 / 2;
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
            stem: conv(1, c2, 4, 2, RELU_GAIN, device),
            stem_deep: conv(c2, c4, 3, 2, RELU_GAIN, device),
            stem_norm: GroupNormConfig::new(GROUPS.min(c4), c4).init(device),
            stages: vec![
                Stage::new(c4, c8, config.blocks[0], device),
                Stage::new(c8, c16, config.blocks[1], device),
                Stage::new(c16, c32, config.blocks[2], device),
            ],
            coarse_to_middle: point(c32, c16),
            middle_out: Block::new(c16, device),
            middle_to_fine: point(c16, c8),
            fine_out: Block::new(c8, device),
            characters: point(c8, HALVES * CLASSES),
            questions: TextEncoder::new(config.question_dim, device),
            project: vec![point(c8, d8), point(c16, d16), point(c32, d32)],
            steer: vec![steer(d8), steer(d16), steer(d32), steer(d8)],
            enter: strided(d8 + config.hints(), d8, 3, [1, 2], RELU_GAIN, device),
            down_middle: strided(d8, d16, 3, [2, 1], RELU_GAIN, device),
            down_coarse: conv(d16, d32, 3, 2, RELU_GAIN, device),
            coarse: Block::new(d32, device),
            up_middle: point(d32, d16),
            middle: Block::new(d16, device),
            up_fine: point(d16, d8),
            fine: Block::new(d8, device),
            head,
            words: (config.words > 0)
                .then(|| WordTable::new(config.words, config.question_dim, device)),
        }
    }

    /// Encodes pictures, `[B, 1, H, W]` with sides that are multiples of 32.
    pub fn encode(&self, pixels: Tensor<4>) -> Features {
        let x = relu(convolve(&self.stem, pixels)); // [B, C2, H/2, W/2]
        let x = self.stem_norm.forward(convolve(&self.stem_deep, x)); // [B, C4, H/4, W/4]
        let fine = self.stages[0].forward(x); // [B, C8, H/8, W/8]
        let middle = self.stages[1].forward(fine.clone()); // [B, C16, H/16, W/16]
        let coarse = self.stages[2].forward(middle.clone()); // [B, C32, H/32, W/32]
        let middle = middle + double(convolve(&self.coarse_to_middle, coarse.clone()));
        let middle = self.middle_out.forward(middle); // [B, C16, H/16, W/16]
        let fine = fine + double(convolve(&self.middle_to_fine, middle.clone()));
        let fine = self.fine_out.forward(fine); // [B, C8, H/8, W/8]
        let characters = convolve(&self.characters, relu(fine.clone())); // [B, 2K, H/8, W/8]
        let [b, _, h, w] = characters.dims();
        let characters = characters
            .reshape([b, HALVES, CLASSES, h, w])
            .permute([0, 3, 4, 1, 2])
            .reshape([b, h, w * HALVES, CLASSES]); // [B, H/8, W/4, K]
        Features {
            fine,
            middle,
            coarse,
            characters,
            text: Arc::default(),
            timings: Timings::default(),
            turn: Turn::none(1, 1),
            fast: None,
        }
    }

    /// Vectors of questions, `[Q, D]`: of their bytes, and of what their words mean.
    fn read(&self, texts: &Texts) -> Tensor<2> {
        let read = self.questions.forward(texts);
        match (&self.words, &texts.meaning) {
            (Some(table), Some(meaning)) => read + table.question.forward(meaning.clone()),
            _ => read,
        }
    }

    /// How questions steer the decoder: scales and shifts of its four places one after the other, `[Q, ...]`.
    pub fn steering(&self, texts: &Texts) -> Tensor<2> {
        let read = self.read(texts); // [Q, D]
        let steer = self.steer.iter().map(|steer| steer.forward(read.clone()));
        Tensor::cat(steer.collect(), 1)
    }

    /// Decodes questions; question `q` is about picture `owners[q]`, and pictures have been read
    /// ([`Features::read`]); `words` is the model's table of words. Result `[Q, 9, H/8, W/16]`.
    pub fn decode<S: AsRef<str> + Sync>(
        &self,
        encoded: &Features,
        owners: &[usize],
        questions: &[S],
        texts: &Texts,
        words: Option<&Words>,
    ) -> Tensor<4> {
        let device = encoded.fine.device();
        let n = owners.len();
        let [pictures, _, h, w] = encoded.fine.dims();
        let own = |x: Tensor<4>| {
            if pictures == 1 && n == 1 {
                return x;
            }
            let owners: Vec<i32> = owners.iter().map(|i| *i as i32).collect();
            let owners = Tensor::<1, Int>::from_data(TensorData::new(owners, [n]), &device);
            x.select(0, owners)
        };
        let read = self.read(texts); // [Q, D]
        let steer = |level: usize| self.steer[level].forward(read.clone()); // [Q, 2C]
        let level = |level: usize, x: &Tensor<4>| {
            let x = own(convolve(&self.project[level], relu(x.clone())));
            film(x, steer(level)) // [Q, C, ...]
        };

        let hints = batch::hints(&encoded.text, owners, questions, words, &device); // [Q, hints, h, w]
        let x = Tensor::cat(vec![level(0, &encoded.fine), hints], 1);
        let fine = convolve(&self.enter, x); // [Q, C, h, w/2]
        let middle = convolve(&self.down_middle, relu(fine.clone())) + level(1, &encoded.middle);
        let coarse = convolve(&self.down_coarse, relu(middle.clone())) + level(2, &encoded.coarse);
        let coarse = self.coarse.forward(coarse);
        let middle = self
            .middle
            .forward(middle + double(convolve(&self.up_middle, coarse)));
        let fine = film(fine + taller(convolve(&self.up_fine, middle)), steer(3));
        let maps = convolve(&self.head, relu(self.fine.forward(fine)));
        debug_assert_eq!(maps.dims(), [n, MAPS, h, w / 2]);
        maps // [Q, 9, h, w/2]
    }
}
