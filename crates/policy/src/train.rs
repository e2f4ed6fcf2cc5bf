//! What training needs of a policy, whichever kind it is: a loss, its gradients, its weights.

use burn::module::{Module, ModuleMapper, ModuleVisitor};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor};
use grounding::NormBox;
use picture::RgbImage;

use crate::map::loss::{Loss, Targets};
use crate::map::weights::{self, Values};
use crate::map::{MapConfig, MapPolicy, input, loss};
use crate::{ModelFiles, Policy, PolicyError, Result, TextPolicy};
use smolvlm::{Precision, SmolVlm};

impl Policy {
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

    /// Walks the trainable weights.
    pub fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        match self {
            Self::Map(policy) => policy.net.visit(visitor),
            Self::Text(policy) => policy.model().net.visit(visitor),
        }
    }

    /// Replaces the trainable weights, one by one.
    pub fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        match &mut self {
            Self::Map(policy) => policy.net = policy.net.clone().map(mapper),
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
            Self::Map(policy) => GradientsParams::from_module(gradients, &policy.net),
            Self::Text(policy) => GradientsParams::from_module(gradients, &policy.model().net),
        }
    }

    /// The trainable weights by name, in order of declaration.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub fn weights(&self) -> Result<Vec<(String, Values)>> {
        match self {
            Self::Map(policy) => weights::collect(&policy.net),
            Self::Text(policy) => weights::collect(&policy.model().net),
        }
    }

    /// The policy with other weights.
    ///
    /// # Errors
    /// Missing, extra and misshapen tensors, by name.
    pub fn with_weights(
        mut self,
        tensors: std::collections::HashMap<String, Values>,
    ) -> Result<Self> {
        match &mut self {
            Self::Map(policy) => policy.net = weights::apply(policy.net.clone(), tensors)?,
            Self::Text(policy) => {
                let net = &mut policy.model_mut().net;
                *net = weights::apply(net.clone(), tensors)?;
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

    /// The files of a model folder, in full precision.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub async fn files(&self) -> Result<ModelFiles> {
        match self {
            Self::Map(policy) => policy.files(false),
            Self::Text(policy) => policy.files(Precision::F32).await,
        }
    }

    /// What SFT minimises on a batch: the map policy's dense targets, or -ln p of a true box that
    /// the text policy writes (the first one, where several answer).
    ///
    /// The text policy gets the grey canvases as grey RGB pictures.
    ///
    /// # Errors
    /// A picture that cannot be processed, a batch without a question.
    pub async fn sft_loss(&self, targets: &Targets) -> Result<Loss> {
        if targets.questions.is_empty() {
            return Err(PolicyError::EmptyQuestion);
        }
        let policy = match self {
            Self::Map(policy) => {
                return Ok(loss::sft(
                    &policy.net,
                    &policy.config,
                    targets,
                    &policy.device,
                ));
            }
            Self::Text(policy) => policy,
        };
        let mut terms: Vec<Tensor<1>> = Vec::new();
        for (page, canvas) in targets.canvases.iter().enumerate() {
            let rows = (0..targets.questions.len()).filter(|q| targets.owners[*q] == page);
            let rows: Vec<usize> = rows.collect();
            if rows.is_empty() {
                continue;
            }
            let rgb = canvas.iter().flat_map(|v| [*v; 3]).collect();
            let Some(picture) = RgbImage::from_raw(targets.width, targets.height, rgb) else {
                return Err(PolicyError::Config("a canvas of another size".into()));
            };
            let seen = policy.look(&picture, None).await?;
            for row in rows {
                let bbox = outward(targets.boxes[row][0]);
                let question = &targets.questions[row];
                terms.push(-policy.log_probs(&seen, question, &[bbox]).await?);
            }
        }
        let nll = Tensor::cat(terms, 0).mean();
        Ok(Loss {
            total: nll.clone(),
            parts: vec![("box", nll)],
        })
    }
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
    /// Width and height for a page of this aspect (width divided by height).
    pub fn size(self, aspect: f64) -> [u32; 2] {
        match self {
            Self::Pixels(pixels) => {
                input::canvas_size(pixels, (aspect * 1000.0).max(1.0) as u32, 1000)
            }
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
