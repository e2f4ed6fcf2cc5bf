//! Weights in, each as it is kept in its file.

use std::collections::HashMap;
use std::sync::Arc;

use kernels::packed::Heads;
use tensors::{BlockType, ModelFiles, Packed, WeightFile, Weights};

use super::Model;
#[cfg(feature = "gpu")]
use super::card::OnCard;
use super::decoder::{DecoderLayer, TextModel};
use super::net::Net;
use super::place::{Here, Place};
use super::vision::{VisionLayer, VisionModel};
use crate::checklist::Checklist;
use crate::config::Config;
use crate::error::Result;
use crate::image::ImageProcessor;
use crate::positions::position_ids;
use crate::prompt::Prompts;
use crate::quant::Quant;

/// A model whose weight files arrive one after the other, each for as long as it is read: a browser that fetches shards
/// never holds two of them.
///
/// ```
/// # use smolvlm::{infer::Filling, tiny};
/// # let weights = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/model.safetensors"));
/// let mut filling = Filling::new(&tiny::files())?; // no weights in it
/// filling.add("model.safetensors", weights)?;
/// let model = filling.finish()?;
/// # Ok::<(), smolvlm::SmolVlmError>(())
/// ```
pub struct Filling {
    config: Config,
    images: ImageProcessor,
    prompts: Prompts,
    list: Checklist,
    quant: Option<Quant>,
    parts: Parts,
}

/// What came, and where it lies.
enum Parts {
    Here(PartsAt<Here>),
    #[cfg(feature = "gpu")]
    Card(PartsAt<OnCard>),
}

struct PartsAt<P: Place> {
    place: P,
    /// Matrices: layers, without their biases, and the table.
    layers: HashMap<String, P::Layer>,
    /// Vectors, and the table of positions.
    numbers: HashMap<String, Vec<f32>>,
}

impl Filling {
    /// A model without weights. `files` is its folder; weights in it are left aside, its list of shards is not.
    ///
    /// # Errors
    /// As [`Model::load`], weights aside.
    pub fn new(files: &ModelFiles) -> Result<Self> {
        let config = Config::from_files(files)?;
        let images = ImageProcessor::from_files(files)?;
        Ok(Self {
            prompts: Prompts::from_files(files, &config, images.tile())?,
            list: Checklist::new(files, &config)?,
            quant: None,
            parts: Parts::Here(PartsAt::new(Here)),
            config,
            images,
        })
    }

    /// Matrices that come as f32, f16 or bf16 are packed as they come: what is kept of them is a half (q8) or a quarter (q4)
    /// of bf16. The rounding is to the nearest: `pack` knows the norms around a layer and rounds q4 better.
    pub fn quantize(&mut self, quant: Quant) {
        self.quant = Some(quant);
    }

    /// Weights go to a graphics card as they come, to this one or to the best, and the network runs there. Its kernels are
    /// compared with the processor first. Called before any weights came.
    ///
    /// # Errors
    /// [`Card`](crate::SmolVlmError::Card): a card that computes something else, or fails;
    /// [`Unsupported`](crate::SmolVlmError::Unsupported): a network whose
    /// sizes are no multiples of four.
    #[cfg(feature = "gpu")]
    pub async fn on_card(&mut self, gpu: Option<kernels::gpu::Gpu>) -> Result<()> {
        let place = OnCard::new(gpu, &self.config).await?;
        self.parts = Parts::Card(PartsAt::new(place));
        Ok(())
    }

    /// Takes the weights of a file. A file may also come in parts, each of them a weight file of its name with some of its
    /// tensors (`tensors::Parts` makes them of a file that arrives byte by byte).
    ///
    /// # Errors
    /// Bytes that are no weights, that are cut, or that have another hash than the list of shards says; misshapen tensors,
    /// unknown number types and values that are no numbers, by name and file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.add_file(&WeightFile::of(name, bytes)?)
    }

    fn add_file(&mut self, file: &WeightFile) -> Result<()> {
        for name in self.list.check_file(file)? {
            let tensor = file.numbers(&name)?;
            let tensor = self.packed(&name, tensor)?;
            match &mut self.parts {
                Parts::Here(parts) => parts.add(name, &tensor),
                #[cfg(feature = "gpu")]
                Parts::Card(parts) => parts.add(name, &tensor),
            }
        }
        Ok(())
    }

    /// A tensor, packed where that is wished and has not happened yet.
    fn packed<'a>(&self, name: &str, tensor: Packed<'a>) -> Result<Packed<'a>> {
        let wide = matches!(
            tensor.kind(),
            BlockType::F32 | BlockType::F16 | BlockType::BF16
        );
        let Some(quant) = self.quant.filter(|_| wide && tensor.shape().len() > 1) else {
            return Ok(tensor);
        };
        let kind = quant.block_type(name, self.config.tie_word_embeddings);
        let values = tensor.values();
        Ok(Packed::pack(name, kind, tensor.shape(), &values, &[])?)
    }

    /// The model, all of its weights there.
    ///
    /// # Errors
    /// Missing and extra tensors, by name and file.
    pub fn finish(mut self) -> Result<Model> {
        self.list.finish()?;
        let (config, tile) = (&self.config, self.images.tile());
        let net = match &mut self.parts {
            Parts::Here(parts) => {
                let vision = vision(config, tile, parts);
                Net::Here(Arc::new(vision), Arc::new(text(config, parts)))
            }
            #[cfg(feature = "gpu")]
            Parts::Card(parts) => {
                let vision = vision(config, tile, parts);
                let text = text(config, parts);
                Net::Card(Arc::new(parts.place.net(vision, text)))
            }
        };
        Ok(Model {
            config: self.config,
            images: self.images,
            prompts: Arc::new(self.prompts),
            net,
        })
    }
}

/// A folder's model. Every weight file is opened before any is read, so that a missing one is told at once.
pub(super) fn load(files: &ModelFiles, mut filling: Filling) -> Result<Model> {
    let weights = Weights::open(files)?;
    for file in weights.files() {
        filling.add_file(file)?;
    }
    filling.finish()
}

/// The list of tensors was compared with the configuration, so everything is there that is taken here.
impl<P: Place> PartsAt<P> {
    fn new(place: P) -> Self {
        Self {
            place,
            layers: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    fn add(&mut self, name: String, tensor: &Packed) {
        let matrix = tensor.shape().len() > 1 && !name.ends_with("position_embedding.weight");
        match matrix {
            true => drop(self.layers.insert(name, self.place.layer(tensor))),
            false => drop(self.numbers.insert(name, tensor.values())),
        }
    }

    fn numbers(&mut self, name: &str) -> Vec<f32> {
        self.numbers.remove(name).unwrap_or_default()
    }

    fn layer(&mut self, name: &str) -> P::Layer {
        let weight = self.layers.remove(&format!("{name}.weight"));
        let Some(weight) = weight else {
            unreachable!("{name} was on the list");
        };
        match self.numbers.remove(&format!("{name}.bias")) {
            Some(bias) => self.place.with_bias(weight, &bias),
            None => weight,
        }
    }

    fn norm(&mut self, name: &str, epsilon: f64) -> P::Norm {
        let scale = self.numbers(&format!("{name}.weight"));
        let shift = self.numbers(&format!("{name}.bias"));
        self.place.norm(scale, shift, epsilon as f32)
    }
}

/// Heads of the vision tower.
pub(super) fn vision_heads(config: &Config) -> Heads {
    let vision = &config.vision;
    Heads {
        queries: vision.num_attention_heads,
        keys: vision.num_attention_heads,
        dim: vision.hidden_size / vision.num_attention_heads,
    }
}

/// Heads of the decoder.
pub(super) fn text_heads(config: &Config) -> Heads {
    let text = &config.text;
    Heads {
        queries: text.num_attention_heads,
        keys: text.num_key_value_heads,
        dim: text.head_dim,
    }
}

fn vision<P: Place>(config: &Config, tile: usize, parts: &mut PartsAt<P>) -> VisionModel<P> {
    let vision = &config.vision;
    let root = "model.vision_model";
    let epsilon = vision.layer_norm_eps;
    let layers = 0..vision.num_hidden_layers;
    let layers = layers.map(|i| {
        let at = format!("{root}.encoder.layers.{i}");
        let mut layer = |name: &str| parts.layer(&format!("{at}.{name}"));
        VisionLayer {
            queries: layer("self_attn.q_proj"),
            keys: layer("self_attn.k_proj"),
            values: layer("self_attn.v_proj"),
            out: layer("self_attn.out_proj"),
            fc1: layer("mlp.fc1"),
            fc2: layer("mlp.fc2"),
            norm1: parts.norm(&format!("{at}.layer_norm1"), epsilon),
            norm2: parts.norm(&format!("{at}.layer_norm2"), epsilon),
        }
    });
    let layers = layers.collect();
    let table = parts.numbers(&format!("{root}.embeddings.position_embedding.weight"));
    let side = tile / vision.patch_size;
    let positions = position_ids(side, side, vision.patches_per_side());
    let width = vision.hidden_size;
    let positions = positions
        .iter()
        .flat_map(|&id| &table[id as usize * width..][..width]);
    VisionModel {
        heads: vision_heads(config),
        width,
        inner: vision.intermediate_size,
        patch: vision.patch_size,
        scale_factor: config.scale_factor,
        positions: positions.copied().collect(),
        patches: parts.layer(&format!("{root}.embeddings.patch_embedding")),
        layers,
        norm: parts.norm(&format!("{root}.post_layernorm"), epsilon),
        connector: parts.layer("model.connector.modality_projection.proj"),
    }
}

fn text<P: Place>(config: &Config, parts: &mut PartsAt<P>) -> TextModel<P> {
    let text = &config.text;
    let root = "model.text_model";
    let epsilon = text.rms_norm_eps;
    let layers = 0..text.num_hidden_layers;
    let layers = layers.map(|i| {
        let at = format!("{root}.layers.{i}");
        let mut layer = |name: &str| parts.layer(&format!("{at}.{name}"));
        DecoderLayer {
            queries: layer("self_attn.q_proj"),
            keys: layer("self_attn.k_proj"),
            values: layer("self_attn.v_proj"),
            out: layer("self_attn.o_proj"),
            gate: layer("mlp.gate_proj"),
            up: layer("mlp.up_proj"),
            down: layer("mlp.down_proj"),
            norm1: parts.norm(&format!("{at}.input_layernorm"), epsilon),
            norm2: parts.norm(&format!("{at}.post_attention_layernorm"), epsilon),
        }
    });
    let layers = layers.collect();
    TextModel {
        heads: text_heads(config),
        hidden: text.hidden_size,
        inner: text.intermediate_size,
        theta: text.rope_theta as f32,
        table: parts.layer(&format!("{root}.embed_tokens")),
        layers,
        norm: parts.norm(&format!("{root}.norm"), epsilon),
        head: (!config.tie_word_embeddings).then(|| parts.layer("lm_head")),
    }
}
