//! What training needs of a policy, whichever kind it is: a loss, its gradients, its weights.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, GradientCheckpointingStrategy, Gradients, Tensor};
use grounding::NormBox;
use mapnet::canvas::canvas_size;
use mapnet::manifest::VECTORS_NAME;
use picture::RgbImage;
use tensors::Values;

use crate::map::loss::{Loss, Targets};
use crate::map::weights;
use crate::map::{MapConfig, MapPolicy, loss};
use crate::{ModelFiles, Policy, PolicyError, Result, TextPolicy};
use smolvlm::{LoraConfig, Precision, SmolVlm};

impl Policy {
    /// The same policy with the weights under its adapter in another precision; without an adapter
    /// nothing changes, because trained weights stay f32.
    pub fn with_frozen(self, precision: Precision) -> Self {
        match self {
            Self::Text(text) if text.model().adapter().is_some() => {
                let model = text.model().clone().with_precision(precision);
                Self::Text(text.with_model(model))
            }
            other => other,
        }
    }

    /// The same map policy on a canvas of `pixels`: it gets to see pictures larger or smaller.
    ///
    /// # Errors
    /// [`PolicyError::Config`]: a text policy, a canvas that cannot be.
    pub fn with_canvas(self, pixels: usize) -> Result<Self> {
        let Self::Map(mut policy) = self else {
            let only = "canvas_pixels is a map policy's; a text policy has longest_edge";
            return Err(PolicyError::Config(only.into()));
        };
        policy.config.canvas_pixels = pixels;
        policy.config.check()?;
        Ok(Self::Map(policy))
    }

    /// The same map policy with more residual blocks at strides 8, 16 and 32; the new ones begin by changing nothing.
    ///
    /// # Errors
    /// [`PolicyError::Config`]: a text policy, fewer blocks than there are.
    pub fn with_blocks(self, blocks: [usize; 3], seed: u64) -> Result<Self> {
        let Self::Map(policy) = self else {
            let only = "a text policy has no blocks; they are a map policy's";
            return Err(PolicyError::Config(only.into()));
        };
        let before = policy.config.blocks;
        if before.iter().zip(blocks).any(|(old, new)| new < *old) {
            let fewer = format!("the policy has {before:?}, and can only get more than that");
            return Err(PolicyError::Config(fewer));
        }
        let config = MapConfig {
            blocks,
            ..policy.config.clone()
        };
        let mut grown = MapPolicy::random(&config, seed, &policy.device)?;
        let mut known: HashMap<String, Values> =
            weights::collect(policy.net())?.into_iter().collect();
        for (name, (shape, mut values)) in weights::collect(grown.net())? {
            // A block adds what its second convolution makes: nothing, where that is zero.
            if name.contains(".second.") {
                values.fill(0.0);
            }
            known.entry(name).or_insert((shape, values));
        }
        grown.replace(known)?;
        Ok(Self::Map(grown))
    }

    /// The same map policy with a table of words ([`mapnet::words`]), which begins by changing nothing: the tensors `words.letters`
    /// and `words.vectors`.
    ///
    /// # Errors
    /// [`PolicyError::Config`]: a text policy, one that has a table already; tensors that are missing or misshapen.
    pub fn with_words(self, table: HashMap<String, Values>, seed: u64) -> Result<Self> {
        let Self::Map(policy) = self else {
            let only = "a text policy knows words by itself; a table of them is a map policy's";
            return Err(PolicyError::Config(only.into()));
        };
        if policy.config.words > 0 {
            let has = "the policy has a table of words already; leave words out";
            return Err(PolicyError::Config(has.into()));
        }
        let config = MapConfig {
            words: table
                .get(VECTORS_NAME)
                .and_then(|(shape, _)| shape.first().copied())
                .unwrap_or(1),
            ..policy.config.clone()
        };
        let mut grown = MapPolicy::random(&config, seed, &policy.device)?;
        let mut known: HashMap<String, Values> =
            weights::collect(policy.net())?.into_iter().collect();
        for (name, (shape, mut values)) in weights::collect(grown.net())? {
            match known.get_mut(&name) {
                // The further maps are the last inputs of the decoder's first layer: `[to, from, 3, 3]`, zeros for them.
                Some((own, weights)) if *own != shape => {
                    let [before, after] = [own[1] * 9, shape[1] * 9];
                    values.fill(0.0);
                    let rows = values.chunks_exact_mut(after);
                    for (row, known) in rows.zip(weights.chunks_exact(before)) {
                        row[..before].copy_from_slice(known);
                    }
                    known.insert(name, (shape, values));
                }
                Some(_) => {}
                None => {
                    values.fill(0.0);
                    known.insert(name, (shape, values));
                }
            }
        }
        known.extend(table);
        grown.replace(known)?;
        Ok(Self::Map(grown))
    }

    /// A map policy with random weights.
    ///
    /// # Errors
    /// A configuration that cannot be.
    pub fn random_map(config: &MapConfig, seed: u64, device: &Device) -> Result<Self> {
        Ok(Self::Map(MapPolicy::random(config, seed, device)?))
    }

    /// A policy to start training from: a model folder, or, for a Hugging Face folder without
    /// weights, random ones of its shape.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn start(files: &ModelFiles, seed: u64, device: &Device) -> Result<Self> {
        if files.names().any(|name| name.ends_with(".safetensors")) {
            return Self::load(files, device);
        }
        let model = SmolVlm::random(files, seed, device)?;
        Ok(Self::Text(TextPolicy::new(model)?))
    }

    /// How the policy sees pictures of any proportions in training.
    pub fn canvas(&self) -> Canvas {
        match self {
            Self::Map(policy) => Canvas::Pixels(policy.config.canvas_pixels),
            Self::Text(policy) => Canvas::Edge(policy.model().images().tile() as u32),
        }
    }

    /// Puts a fresh adapter on: from here on only its factors are trained.
    ///
    /// # Errors
    /// The map policy, which has none; a configuration that does not fit the model.
    pub fn add_adapter(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        match self {
            Self::Map(_) => Err(PolicyError::NoAdapter("adapter".into())),
            Self::Text(policy) => Ok(policy.model_mut().add_adapter(config, seed)?),
        }
    }

    /// Puts a PEFT folder's adapter on.
    ///
    /// # Errors
    /// The map policy, which has none; a folder that does not fit the model, by name.
    pub fn load_adapter(&mut self, files: &ModelFiles) -> Result<()> {
        match self {
            Self::Map(_) => Err(PolicyError::NoAdapter(smolvlm::ADAPTER_CONFIG.into())),
            Self::Text(policy) => Ok(policy.model_mut().load_adapter(files)?),
        }
    }

    /// The adapter that is on, if there is one.
    pub fn adapter(&self) -> Option<&LoraConfig> {
        match self {
            Self::Map(_) => None,
            Self::Text(policy) => policy.model().adapter(),
        }
    }

    /// The adapter as a PEFT folder; `None` where there is no adapter.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub async fn adapter_files(&self) -> Result<Option<ModelFiles>> {
        match self {
            Self::Text(policy) if policy.model().adapter().is_some() => {
                Ok(Some(policy.model().save_adapter().await?))
            }
            _ => Ok(None),
        }
    }

    /// Turns the adapter's dropout on for a step of training (what is dropped follows `seed`), or
    /// off. Without an adapter nothing is ever dropped.
    pub fn set_dropout(&mut self, seed: Option<u64>) {
        if let Self::Text(policy) = self {
            if let Some(seed) = seed {
                policy.model().device().seed(seed);
            }
            policy.model_mut().set_dropout(seed.is_some());
        }
    }

    /// The same weights without gradients: for rollouts and for measuring.
    pub fn without_gradients(&self) -> Self {
        match self {
            Self::Map(policy) => Self::Map(policy.without_gradients()),
            Self::Text(policy) => Self::Text(policy.without_gradients()),
        }
    }

    /// The same weights with a history of their own, so that gradients of several batches can be computed at
    /// once: burn keeps a lock on all that hangs together.
    pub fn fork(&self) -> Self {
        let same = match self {
            Self::Map(policy) => Self::Map(policy.clone()),
            Self::Text(policy) => Self::Text(policy.with_model(policy.model().clone())),
        };
        same.map(&mut Fork)
    }

    /// The model that KL is measured against, without gradients: the policy with its adapter off,
    /// or, where all weights are trained, a copy of the present ones.
    pub fn reference(&self) -> Self {
        match self {
            Self::Map(policy) => Self::Map(policy.without_gradients()),
            Self::Text(policy) => Self::Text(policy.reference()),
        }
    }

    /// Which weights are trained, by name: the adapter's where there is one, else all.
    fn trained(&self) -> fn(&str) -> bool {
        match self.adapter() {
            Some(_) => |name| name.contains(".lora."),
            None => |_| true,
        }
    }

    /// Walks the trainable weights; with an adapter on also the frozen ones, which have no gradient.
    pub fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        match self {
            Self::Map(policy) => policy.net().visit(visitor),
            Self::Text(policy) => policy.model().net.visit(visitor),
        }
    }

    /// Replaces the trainable weights, one by one.
    pub fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        match &mut self {
            Self::Map(policy) => policy.change(|net| net.map(mapper)),
            Self::Text(policy) => {
                let net = &mut policy.model_mut().net;
                *net = net.clone().map(mapper);
            }
        }
        self
    }

    /// The gradients of the trainable weights.
    pub fn gradients(&self, gradients: &mut Gradients) -> GradientsParams {
        match self {
            Self::Map(policy) => GradientsParams::from_module(gradients, policy.net()),
            Self::Text(policy) => GradientsParams::from_module(gradients, &policy.model().net),
        }
    }

    /// The trainable weights by name, in order of declaration: with an adapter on, its factors only.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub fn weights(&self) -> Result<Vec<(String, Values)>> {
        match self {
            Self::Map(policy) => weights::collect(policy.net()),
            Self::Text(policy) => weights::collect_where(&policy.model().net, self.trained()),
        }
    }

    /// How many numbers the trainable weights hold; nothing leaves the device.
    pub fn trainable_weights(&self) -> usize {
        match self {
            Self::Map(policy) => weights::count_where(policy.net(), self.trained()),
            Self::Text(policy) => weights::count_where(&policy.model().net, self.trained()),
        }
    }

    /// The policy with other trainable weights.
    ///
    /// # Errors
    /// Missing, extra and misshapen tensors, by name.
    pub fn with_weights(mut self, tensors: HashMap<String, Values>) -> Result<Self> {
        let trained = self.trained();
        match &mut self {
            Self::Map(policy) => policy.replace(tensors)?,
            Self::Text(policy) => {
                let net = &mut policy.model_mut().net;
                *net = weights::apply_where(net.clone(), tensors, trained)?;
            }
        }
        Ok(self)
    }

    /// The device that the policy computes on.
    pub fn device(&self) -> Device {
        match self {
            Self::Map(policy) => policy.device.clone(),
            Self::Text(policy) => policy.model().device(),
        }
    }

    /// The files of a model folder, in full precision; an adapter is merged into it.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub async fn files(&self) -> Result<ModelFiles> {
        match self {
            Self::Map(policy) => policy.files(false),
            Self::Text(policy) => policy.files(Precision::F32).await,
        }
    }

    /// What SFT minimises on a batch: the map policy's dense targets, or the text policy's mean
    /// -ln p over all completion tokens (a space, the true box as text, `<end_of_utterance>`), free of
    /// any grammar, as in the paper. Of several places that answer, the text policy is taught the first. `dense`
    /// weighs what its vision tower learns beside the words: the cells that hold the evidence; 0, as in the paper, nothing.
    ///
    /// # Errors
    /// A picture that cannot be processed, a batch without a question.
    pub async fn sft_loss(&self, targets: &Targets, dense: f64) -> Result<Loss> {
        match self {
            Self::Map(policy) if !targets.questions.is_empty() || !targets.lines.is_empty() => {
                loss::sft(policy, targets).await
            }
            Self::Text(policy) if !targets.questions.is_empty() => {
                text_sft(policy, targets, dense).await
            }
            _ => Err(PolicyError::EmptyQuestion),
        }
    }
}

/// How a tensor takes part in a history of gradients: what a value that takes its place has to be given.
#[derive(Debug, Clone, Copy)]
pub struct Tracking {
    tracked: bool,
    strategy: Option<GradientCheckpointingStrategy>,
}

impl Tracking {
    /// That of a tensor.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self {
            tracked: tensor.is_require_grad(),
            strategy: tensor.gradient_checkpointing_strategy(),
        }
    }

    /// A value without a history as the beginning of one.
    pub fn begin<const D: usize>(self, value: Tensor<D>) -> Tensor<D> {
        let mut tensor = Tensor::from_inner(value);
        if let Some(strategy) = self.strategy {
            tensor = tensor.with_gradient_checkpointing_strategy(strategy);
        }
        match self.tracked {
            true => tensor.require_grad(),
            false => tensor,
        }
    }
}

/// See [`Policy::fork`].
struct Fork;

impl ModuleMapper for Fork {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tracking = Tracking::of(&tensor);
        Param::from_mapped_value(id, tracking.begin(tensor.inner()), mapper)
    }
}

/// See [`Policy::sft_loss`].
async fn text_sft(policy: &TextPolicy, targets: &Targets, dense: f64) -> Result<Loss> {
    let mut sum: Vec<Tensor<1>> = Vec::new();
    let mut cells: Vec<Tensor<1>> = Vec::new();
    let mut tokens = 0;
    for (page, canvas) in targets.canvases.iter().enumerate() {
        let rows = (0..targets.questions.len()).filter(|q| targets.owners[*q] == page);
        let rows: Vec<usize> = rows.collect();
        if rows.is_empty() {
            continue;
        }
        let picture = RgbImage::from_raw(targets.width, targets.height, canvas.clone());
        let Some(picture) = picture else {
            return Err(PolicyError::Config("a canvas of another size".into()));
        };
        let (encoded, image) = policy.encode_with_tokens(&picture, None).await?;
        if dense > 0.0 {
            let boxes: Vec<[f32; 4]> = rows.iter().map(|row| targets.boxes[*row][0]).collect();
            cells.push(policy.dense_loss(&image, &boxes)?);
        }
        for row in rows {
            let text = outward(targets.boxes[row][0]).completion();
            let rollout = policy.rollout(&text)?;
            tokens += rollout.ids.len();
            let found =
                policy.token_logprobs(&encoded, &targets.questions[row], &[rollout], 1.0)?;
            sum.push(found.logprobs.sum());
        }
    }
    let nll = -Tensor::cat(sum, 0).sum().div_scalar(tokens as f64);
    let mut loss = Loss {
        total: nll.clone(),
        parts: vec![("tokens", nll)],
    };
    if !cells.is_empty() {
        let cells = Tensor::cat(cells, 0).mean();
        loss.total = loss.total + cells.clone().mul_scalar(dense);
        loss.parts.push(("cells", cells));
    }
    Ok(loss)
}

/// Sides of the canvas on which training draws a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Canvas {
    /// About so many pixels in all, sides that fit the map policy's strides.
    Pixels(usize),
    /// The longest edge in pixels.
    Edge(u32),
}

impl Canvas {
    /// Values of a pixel: 1 (grey) for the map policy, 3 (RGB) for the text policy.
    pub fn colours(self) -> usize {
        match self {
            Self::Pixels(_) => 1,
            Self::Edge(_) => 3,
        }
    }

    /// Whether another one has at most twice its pixels, or half of them.
    pub fn near(self, other: Self) -> bool {
        match (self, other) {
            (Self::Pixels(a), Self::Pixels(b)) => a <= 2 * b && b <= 2 * a,
            _ => self == other,
        }
    }

    /// Width and height for a page of this aspect (width divided by height).
    pub fn size(self, aspect: f64) -> [u32; 2] {
        match self {
            Self::Pixels(pixels) => canvas_size(pixels, (aspect * 1000.0).max(1.0) as u32, 1000),
            Self::Edge(edge) => {
                let side = |share: f64| (f64::from(edge) * share.min(1.0)).round().max(1.0) as u32;
                [side(aspect), side(1.0 / aspect)]
            }
        }
    }
}

/// The smallest whole-percent box around a box.
fn outward([x1, y1, x2, y2]: [f32; 4]) -> NormBox {
    let low = |v: f32| v.floor().clamp(0.0, 99.0);
    let (x1, y1) = (low(x1), low(y1));
    NormBox {
        x1,
        y1,
        x2: x2.ceil().clamp(x1 + 1.0, 100.0),
        y2: y2.ceil().clamp(y1 + 1.0, 100.0),
    }
}
