//! SmolVLM for use: the network on kernels of our own, its weights as they are packed (q8, q4, f16, bf16, f32); on the processor
//! or, with the feature `gpu`, on a graphics card.
//! No training framework; no gradients, no adapters.
//!
//! The way of a picture is that of [`crate::SmolVlm`], whose names these are: [`Model::pictures`] (tiles) →
//! [`Model::encode`] (image tokens) → [`Model::read_pictures`] (the decoder has read them) → [`Model::ask`] (it has read the
//! question) → generation or log-probabilities. Each result can be used again: a picture is encoded once for any number of
//! questions, a question read once for any number of completions; what the processor has read is shared, not copied.
//!
//! What computes is async, because a graphics card answers later. On the processor all is ready at once: natively any executor
//! drives it, such as `pollster::block_on`.
//!
//! `load.rs`: weights in, to where `place.rs` says. `vision.rs`: tower and connector. `decoder.rs`: decoder and KV cache. `card.rs`:
//! all of them on a graphics card. `net.rs`: one face for both. `write.rs`: completions.

#[cfg(feature = "gpu")]
mod card;
mod decoder;
mod load;
mod net;
mod place;
mod vision;
mod write;

use std::sync::Arc;

use picture::RgbImage;
use tensors::ModelFiles;

use crate::config::{Config, ROOM};
use crate::error::{Result, SmolVlmError};
use crate::grammar::BoxGrammar;
use crate::image::{ImageProcessor, Pictures};
use crate::prompt::Prompts;

use net::{Net, Past, Tokens, Wanted};

/// A graphics card, see [`Model::load_on`], and what is wrong with one.
#[cfg(feature = "gpu")]
pub use kernels::gpu::{Gpu, GpuError};
pub use load::Filling;
pub use write::Draft;

/// An Idefics3 model with everything around it.
///
/// A clone is cheap: weights are shared.
#[derive(Debug, Clone)]
pub struct Model {
    config: Config,
    images: ImageProcessor,
    prompts: Arc<Prompts>,
    net: Net,
}

/// Pictures that the decoder has read, before any text.
#[derive(Debug, Clone)]
pub struct Scene {
    past: Past,
    /// What was read.
    ids: Arc<[u32]>,
}

impl Scene {
    /// Tokens of the pictures.
    pub fn tokens(&self) -> usize {
        self.past.len()
    }

    /// Ids of what the decoder has read: the prompt's first part.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }
}

/// A whole prompt that the decoder has read.
#[derive(Debug, Clone)]
pub struct Prompt {
    past: Past,
    /// State after the last token, `[hidden]`.
    last: Vec<f32>,
}

impl Prompt {
    /// Tokens of the prompt.
    pub fn tokens(&self) -> usize {
        self.past.len()
    }
}

impl Model {
    /// Loads a Hugging Face folder as [`crate::SmolVlm::load`] does, or one of packed weights, which stay packed. Weights of a
    /// folder on a disk are read tensor by tensor.
    ///
    /// # Errors
    /// Whatever is missing, unreadable, unknown or misshapen, by file and name.
    pub fn load(files: &ModelFiles) -> Result<Self> {
        load::load(files, Filling::new(files)?)
    }

    /// As [`Model::load`], the weights in the memory of a graphics card, this one or the best, where everything is computed.
    ///
    /// # Errors
    /// As [`Model::load`] and [`Filling::on_card`].
    #[cfg(feature = "gpu")]
    pub async fn load_on(files: &ModelFiles, gpu: Option<Gpu>) -> Result<Self> {
        let mut filling = Filling::new(files)?;
        filling.on_card(gpu).await?;
        load::load(files, filling)
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

    /// The graphics card that computes, if one does.
    #[cfg(feature = "gpu")]
    pub fn card(&self) -> Option<&Gpu> {
        self.net.card()
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> usize {
        self.net.bytes()
    }

    /// The grammar of boxes in this model's tokens.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`] if the tokenizer does not write digits one by one.
    pub fn grammar(&self) -> Result<BoxGrammar> {
        BoxGrammar::new(&self.prompts)
    }

    /// Tiles of the pictures of one prompt. `longest_edge` in pixels; without one, each picture becomes one tile.
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
    ///
    /// # Errors
    /// Here and below also `SmolVlmError::Card`: a graphics card that failed.
    pub async fn encode(&self, pictures: &Pictures) -> Result<Vec<f32>> {
        self.net.encode(&pictures.values, pictures.side).await
    }

    /// Lets the decoder read the pictures: `image_tokens` are those of [`Model::encode`].
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`]; [`SmolVlmError::PromptTooLong`]; image tokens of other pictures.
    pub async fn read_pictures(&self, pictures: &Pictures, image_tokens: &[f32]) -> Result<Scene> {
        let ids = self.prompts.head(pictures)?;
        let mut past = self.net.past();
        self.read_prompt(&ids, image_tokens, &mut past, Wanted::Nothing)
            .await?;
        Ok(Scene {
            past: past.shared(),
            ids: ids.into(),
        })
    }

    /// Lets the decoder read the text of the user's message and the beginning of the answer's.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`]; [`SmolVlmError::PromptTooLong`].
    pub async fn ask(&self, scene: &Scene, text: &str) -> Result<Prompt> {
        let ids = self.prompts.tail(text)?;
        let mut past = scene.past.clone();
        let last = self.read_prompt(&ids, &[], &mut past, Wanted::Last).await?;
        Ok(Prompt {
            past: past.shared(),
            last,
        })
    }

    /// How much the prompt's last token looks at each image token of the scene at one decoder layer, averaged over heads; see
    /// [`crate::SmolVlm::attention`].
    ///
    /// # Errors
    /// As [`Model::ask`]; [`SmolVlmError::Argument`] for a layer that is not there.
    pub async fn attention(&self, scene: &Scene, text: &str, layer: usize) -> Result<Vec<f32>> {
        let layers = self.config.text.num_hidden_layers;
        if layer >= layers {
            return Err(SmolVlmError::Argument {
                item: "layer".to_string(),
                expected: format!("one of {layers}"),
                actual: layer.to_string(),
            });
        }
        let ids = self.prompts.tail(text)?;
        let mut past = scene.past.clone();
        let weights = self
            .read_prompt(&ids, &[], &mut past, Wanted::Looked(layer))
            .await?;
        let looked = scene.ids.iter().zip(weights);
        let images = looked.filter(|(id, _)| **id == self.config.image_token_id);
        Ok(images.map(|(_, weight)| weight).collect())
    }

    /// Logits of the whole prompt, [T, V], in one pass without a cache: for tests and for comparing with transformers.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`]; [`SmolVlmError::PromptTooLong`].
    pub async fn logits(&self, pictures: &Pictures, ids: &[u32]) -> Result<Vec<f32>> {
        let images = self.encode(pictures).await?;
        let mut past = self.net.past();
        let states = self
            .read_prompt(ids, &images, &mut past, Wanted::States)
            .await?;
        self.net.logits(&states, None).await
    }

    /// Reads a part of a prompt: at the n-th `<image>` stands the n-th row of `images` [N, hidden].
    async fn read_prompt(
        &self,
        ids: &[u32],
        images: &[f32],
        past: &mut Past,
        wanted: Wanted<'_>,
    ) -> Result<Vec<f32>> {
        self.check_length(past.len() + ids.len())?;
        let or_image = |&id: &u32| (id != self.config.image_token_id).then_some(id);
        let ids: Vec<Option<u32>> = ids.iter().map(or_image).collect();
        let expected = ids.iter().filter(|id| id.is_none()).count();
        let actual = images.len() / self.config.text.hidden_size;
        if expected != actual {
            return Err(SmolVlmError::Argument {
                item: "image tokens".to_string(),
                expected: expected.to_string(),
                actual: actual.to_string(),
            });
        }
        let tokens = Tokens {
            ids: &ids,
            rows: 1,
            images,
        };
        self.net.read(tokens, past, wanted).await
    }

    /// Leaves room for a completion.
    fn check_length(&self, tokens: usize) -> Result<()> {
        let most = self.config.text.max_position_embeddings;
        let expected = most.saturating_sub(ROOM);
        if tokens > expected {
            return Err(SmolVlmError::PromptTooLong {
                expected,
                actual: tokens,
            });
        }
        Ok(())
    }
}
