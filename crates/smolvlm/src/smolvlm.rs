//! A model ready for use: network, image processor, tokenizer, and the files they came from.
//!
//! The way of a picture: [`SmolVlm::pictures`] (tiles) → [`SmolVlm::encode`] (image tokens) →
//! [`SmolVlm::read_pictures`] (the decoder has read them) → [`SmolVlm::ask`] (it has read the
//! question) → generation or log-probabilities, in `generate.rs` and `likelihood.rs`. Each step's
//! result is a value that can be used again: many questions for one picture, many rollouts for
//! one question.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use picture::RgbImage;
use tensors::{INDEX, ModelFiles, Precision, SINGLE};

use crate::adapter::LoraConfig;
use crate::config::{Config, ROOM};
use crate::decoder::KvCache;
use crate::error::{Result, SmolVlmError};
use crate::grammar::BoxGrammar;
use crate::image::{ImageProcessor, Pictures};
use crate::model::{Idefics3, id_tensor};
use crate::params;
use crate::prompt::Prompts;

use crate::weights;

/// Standard deviation of random weights, transformers' `initializer_range`.
const RANDOM_STD: f32 = 0.02;
/// Weights that a model without a weight file may have: 16 GB of them. With a file, the file says how many there are.
const MOST_RANDOM: u64 = 4_000_000_000;

/// An Idefics3 model with everything around it.
///
/// ```
/// # use burn::tensor::Device;
/// # use smolvlm::{Sampling, SmolVlm, tiny};
/// use picture::RgbImage;
/// use rand::SeedableRng;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { pollster::block_on(async {
/// let model = SmolVlm::random(&tiny::files(), 1, &Device::flex())?;
/// let picture = RgbImage::new(64, 48);
/// let pictures = model.pictures(&[&picture], None)?;
/// let scene = model.read_pictures(&pictures, &model.encode(&pictures))?;
/// let prompt = model.ask(&scene, &grounding::prompt::policy_prompt("Total?", Default::default()))?;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let grammar = model.grammar()?;
/// let boxes = model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng).await?;
/// println!("{} with a chance of {}", boxes[0].bbox.completion(), boxes[0].logprob.exp());
/// # Ok(()) }) }
/// ```
#[derive(Debug, Clone)]
pub struct SmolVlm {
    /// The network; public for training (`autodiff`, adapters, optimizers).
    pub net: Idefics3,
    config: Config,
    images: ImageProcessor,
    // Shared, because copies of a model (reference, rollouts) differ in their weights only.
    prompts: Arc<Prompts>,
    /// The folder without its weights, for saving.
    files: Arc<ModelFiles>,
    pub(crate) adapter: Option<LoraConfig>,
}

/// Pictures that the decoder has read, before any text.
#[derive(Debug, Clone)]
pub struct Scene {
    pub(crate) cache: KvCache,
    /// What was read.
    ids: Arc<[u32]>,
}

impl Scene {
    /// Tokens of the pictures.
    pub fn tokens(&self) -> usize {
        self.cache.len()
    }

    /// The same without its history of gradients: what is written from it trains nothing.
    pub fn without_gradients(&self) -> Self {
        Self {
            cache: self.cache.without_gradients(),
            ids: self.ids.clone(),
        }
    }

    /// Ids of what the decoder has read: the prompt's first part.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Waits until the device has read the pictures, for taking times.
    ///
    /// # Errors
    /// [`SmolVlmError::Readback`].
    pub async fn settle(&self) -> Result<()> {
        match self.cache.newest() {
            Some(keys) => settle(keys).await,
            None => Ok(()),
        }
    }
}

/// Waits until the device has computed a tensor: GPUs return from a call before they have done
/// the work, so without this the time of one step would be counted to the next.
///
/// # Errors
/// [`SmolVlmError::Readback`].
pub async fn settle<const D: usize>(tensor: &Tensor<D>) -> Result<()> {
    let one = tensor
        .clone()
        .slice(std::array::from_fn::<_, D, _>(|_| 0..1));
    crate::generate::read_any(one, "a finished step")
        .await
        .map(drop)
}

/// A whole prompt that the decoder has read.
#[derive(Debug, Clone)]
pub struct Prompt {
    pub(crate) cache: KvCache,
    /// State after the last token, [1, 1, hidden].
    pub(crate) last: Tensor<3>,
}

impl Prompt {
    /// Tokens of the prompt.
    pub fn tokens(&self) -> usize {
        self.cache.len()
    }

    /// Waits until the device has read the prompt, for taking times.
    ///
    /// # Errors
    /// [`SmolVlmError::Readback`].
    pub async fn settle(&self) -> Result<()> {
        settle(&self.last).await
    }
}

impl SmolVlm {
    /// Loads a Hugging Face folder: `config.json`, `preprocessor_config.json`, `tokenizer.json`
    /// and `model.safetensors` (or shards with their index); other files where they are there.
    /// Weights become f32 on `device`, those in q8 and q4 blocks ([`crate::pack()`]), too; of a folder on a disk they are read
    /// tensor by tensor, of shards whose index has hashes after these were checked.
    ///
    /// # Errors
    /// Whatever is missing, unreadable, unknown or misshapen, by file and name.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self> {
        weights::load(files, device)
    }

    /// A model of the folder's shape with random weights; the folder needs none. The same seed
    /// gives the same weights on every device.
    ///
    /// # Errors
    /// As [`SmolVlm::load`], weights aside.
    pub fn random(files: &ModelFiles, seed: u64, device: &Device) -> Result<Self> {
        let mut model = Self::blank(files, device)?;
        let shapes = model.manifest().into_iter();
        let weights: u64 = shapes
            .map(|(_, shape)| shape.iter().map(|&side| side as u64).product::<u64>())
            .sum();
        if weights > MOST_RANDOM {
            return Err(SmolVlmError::Unsupported {
                file: "config.json".to_string(),
                item: "the number of weights".to_string(),
                expected: format!("random ones are made up to {MOST_RANDOM}"),
                actual: weights.to_string(),
            });
        }
        params::randomize(&mut model.net, seed, RANDOM_STD);
        Ok(model)
    }

    /// A model of the folder's shape, its weights not made yet.
    pub(crate) fn blank(files: &ModelFiles, device: &Device) -> Result<Self> {
        let config = Config::from_files(files)?;
        let images = ImageProcessor::from_files(files)?;
        let prompts = Prompts::from_files(files, &config, images.tile())?;
        let rest = files.names().filter(|name| {
            let weights = name.ends_with(".safetensors") || *name == INDEX;
            !weights && *name != crate::peft::ADAPTER_CONFIG
        });
        let rest: Result<Vec<_>> = rest
            .map(|name| Ok((name.to_string(), files.get(name)?.to_vec())))
            .collect();
        let mut rest = ModelFiles::from_memory(rest?);
        // What is saved has plain numbers, whatever it was loaded from.
        crate::pack::set_quantization(&mut rest, None)?;
        Ok(Self {
            net: Idefics3::init(&config, device),
            files: Arc::new(rest),
            config,
            images,
            prompts: Arc::new(prompts),
            adapter: None,
        })
    }

    /// The folder of this model, with the weights it has now: what [`SmolVlm::load`] and
    /// transformers load. An adapter is no part of it: merge it before, or save it beside.
    ///
    /// # Errors
    /// [`SmolVlmError::Readback`] if the device does not hand the weights over.
    pub async fn save(&self, precision: Precision) -> Result<ModelFiles> {
        let mut files = ModelFiles::clone(&self.files);
        files.insert(SINGLE, weights::save(&self.net, precision).await?);
        Ok(files)
    }

    /// The folder's files without weights: configuration, tokenizer, processor.
    pub(crate) fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// Shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Image processor.
    pub fn images(&self) -> &ImageProcessor {
        &self.images
    }

    /// Tokenizer and chat template.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// Name and shape of every tensor of a checkpoint of this model.
    pub fn manifest(&self) -> Vec<(String, Vec<usize>)> {
        params::manifest(&self.net)
    }

    /// The grammar of boxes in this model's tokens.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`] if the tokenizer does not write digits one by one.
    pub fn grammar(&self) -> Result<BoxGrammar> {
        BoxGrammar::new(&self.prompts)
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.net.text_model.embed_tokens.weight.device()
    }

    /// Tiles of the pictures of one prompt. `longest_edge` in pixels; without one, each picture
    /// becomes one tile.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for a longest edge of 0 or above 6 tiles.
    pub fn pictures(
        &self,
        pictures: &[&RgbImage],
        longest_edge: Option<usize>,
    ) -> Result<Pictures> {
        let edge = longest_edge.unwrap_or(self.images.tile());
        self.images.process(pictures, edge)
    }

    /// Ids of the whole prompt, `[T]`: pictures, then text.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn input_ids(&self, pictures: &Pictures, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.prompts.head(pictures)?;
        ids.extend(self.prompts.tail(text)?);
        Ok(ids)
    }

    /// Image tokens of the tiles, [N x tokens a tile, hidden].
    pub fn encode(&self, pictures: &Pictures) -> Tensor<2> {
        let side = pictures.side;
        let data = TensorData::new(pictures.values.clone(), [pictures.tiles(), 3, side, side]);
        self.net
            .encode_images(Tensor::from_data(data, &self.device()))
    }

    /// Lets the decoder read the pictures: `image_tokens` are those of [`SmolVlm::encode`].
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`]; [`SmolVlmError::PromptTooLong`].
    pub fn read_pictures(&self, pictures: &Pictures, image_tokens: &Tensor<2>) -> Result<Scene> {
        let ids = self.prompts.head(pictures)?;
        self.check_length(ids.len())?;
        let embeddings = self.net.embed_prompt(&ids, Some(image_tokens)); // [1, T, hidden]
        let mut cache = self.net.text_model.empty_cache();
        self.net.states(embeddings, &mut cache);
        Ok(Scene {
            cache,
            ids: ids.into(),
        })
    }

    /// Lets the decoder read the text of the user's message and the beginning of the answer's.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`]; [`SmolVlmError::PromptTooLong`].
    pub fn ask(&self, scene: &Scene, text: &str) -> Result<Prompt> {
        let ids = self.prompts.tail(text)?;
        self.check_length(scene.cache.len() + ids.len())?;
        let mut cache = scene.cache.clone();
        let embeddings = self.net.text_model.embed(id_tensor(&ids, &self.device())); // [1, T, hidden]
        let states = self.net.states(embeddings, &mut cache); // [1, T, hidden]
        let last = states.narrow(1, ids.len() - 1, 1); // [1, 1, hidden]
        Ok(Prompt { cache, last })
    }

    /// How much the prompt's last token looks at each image token of the scene at one decoder layer, averaged over
    /// heads: what training-free cropping reads (ViCrop). Image tokens come in the prompt's order, so that those of
    /// the last picture's global image are the last ones.
    ///
    /// # Errors
    /// As [`SmolVlm::ask`]; [`SmolVlmError::Argument`] for a layer that is not there;
    /// [`SmolVlmError::Readback`].
    pub async fn attention(&self, scene: &Scene, text: &str, layer: usize) -> Result<Vec<f32>> {
        let ids = self.prompts.tail(text)?;
        self.check_length(scene.cache.len() + ids.len())?;
        let mut cache = scene.cache.clone();
        let text_model = &self.net.text_model;
        let embeddings = text_model.embed(id_tensor(&ids, &self.device())); // [1, T, hidden]
        let (_, weights) = text_model.watched(embeddings, &mut cache, layer);
        let weights = weights.ok_or_else(|| SmolVlmError::Argument {
            item: "layer".to_string(),
            expected: format!("one of {}", text_model.layers.len()),
            actual: layer.to_string(),
        })?;
        let [_, heads, t, all] = weights.dims();
        let last = weights
            .narrow(2, t - 1, 1)
            .reshape([heads, all])
            .mean_dim(0); // [1, all]
        let values = crate::generate::read(last, "attention").await?;
        let looked = scene.ids.iter().zip(values);
        let images = looked.filter(|(id, _)| **id == self.config.image_token_id);
        Ok(images.map(|(_, weight)| weight).collect())
    }

    /// Logits of the whole prompt, [1, T, V], in one pass without a cache: for tests and for
    /// comparing with transformers.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`]; [`SmolVlmError::PromptTooLong`].
    pub fn logits(&self, pictures: &Pictures, ids: &[u32]) -> Result<Tensor<3>> {
        self.check_length(ids.len())?;
        let embeddings = self.net.embed_prompt(ids, Some(&self.encode(pictures)));
        let mut cache = self.net.text_model.empty_cache();
        Ok(self.net.logits(self.net.states(embeddings, &mut cache)))
    }

    /// Leaves room for a completion.
    fn check_length(&self, tokens: usize) -> Result<()> {
        let expected = self
            .config
            .text
            .max_position_embeddings
            .saturating_sub(Self::ROOM);
        if tokens > expected {
            return Err(SmolVlmError::PromptTooLong {
                expected,
                actual: tokens,
            });
        }
        Ok(())
    }

    /// Tokens of the context that a prompt leaves free for its completion.
    pub const ROOM: usize = ROOM;
}
