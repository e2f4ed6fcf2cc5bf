//! Weights in, each as it is kept in its file.

use std::collections::HashMap;
use std::sync::Arc;

use kernels::packed::{HalfKind, Heads, Linear};
use tensors::{BlockType, ModelFiles, Packed, WeightFile, Weights};

use super::Model;
use super::decoder::{DecoderLayer, TextModel};
use super::vision::{Norm, VisionLayer, VisionModel};
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

/// What came.
#[derive(Default)]
struct Parts {
    /// Matrices: layers, without their biases, and the table.
    layers: HashMap<String, Linear>,
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
            parts: Parts::default(),
            config,
            images,
        })
    }

    /// Matrices that come as f32, f16 or bf16 are packed as they come: what is kept of them is a half (q8) or a quarter (q4)
    /// of bf16. The rounding is to the nearest: `pack` knows the norms around a layer and rounds q4 better.
    pub fn quantize(&mut self, quant: Quant) {
        self.quant = Some(quant);
    }

    /// Takes the weights of a file. A file may also come in parts, each of them a weight file of its name with some of its
    /// tensors (`tensors::Parts` makes them of a file that arrives byte by byte).
    ///
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
            let matrix = tensor.shape().len() > 1 && !name.ends_with("position_embedding.weight");
            match matrix {
                true => drop(self.parts.layers.insert(name, linear(&tensor))),
                false => drop(self.parts.numbers.insert(name, tensor.values())),
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
        let parts = &mut self.parts;
        let vision = vision(&self.config, self.images.tile(), parts);
        let text = text(&self.config, parts);
        Ok(Model {
            config: self.config,
            images: self.images,
            prompts: Arc::new(self.prompts),
            vision: Arc::new(vision),
            text: Arc::new(text),
        })
    }
}

/// A folder's model. Every weight file is opened before any is read, so that a missing one is told at once.
pub(super) fn load(files: &ModelFiles) -> Result<Model> {
    let mut filling = Filling::new(files)?;
    let weights = Weights::open(files)?;
    for file in weights.files() {
        filling.add_file(file)?;
    }
    filling.finish()
}

/// A matrix as it is kept: its first dimension, and all others.
fn linear(tensor: &Packed) -> Linear {
    let [outputs, rest @ ..] = tensor.shape() else {
        unreachable!("matrices only");
    };
    let shape = [*outputs, rest.iter().product()];
    let data = tensor.data();
    match tensor.kind() {
        BlockType::F32 => Linear::f32(shape, &tensor.values(), None),
        BlockType::F16 => Linear::half(shape, HalfKind::F16, data, None),
        BlockType::BF16 => Linear::half(shape, HalfKind::BF16, data, None),
        BlockType::Q8 => Linear::q8(shape, data, &tensor.scales(), None),
        BlockType::Q4 => Linear::q4(shape, data, &tensor.scales(), None),
    }
}

/// The list of tensors was compared with the configuration, so everything is there that is taken here.
impl Parts {
    fn numbers(&mut self, name: &str) -> Vec<f32> {
        self.numbers.remove(name).unwrap_or_default()
    }

    fn layer(&mut self, name: &str) -> Linear {
        let weight = self.layers.remove(&format!("{name}.weight"));
        let Some(weight) = weight else {
            unreachable!("{name} was on the list");
        };
        match self.numbers.remove(&format!("{name}.bias")) {
            Some(bias) => weight.with_bias(&bias),
            None => weight,
        }
    }

    fn norm(&mut self, name: &str, epsilon: f64) -> Norm {
        Norm {
            scale: self.numbers(&format!("{name}.weight")),
            shift: self.numbers(&format!("{name}.bias")),
            epsilon: epsilon as f32,
        }
    }
}

fn vision(config: &Config, tile: usize, parts: &mut Parts) -> VisionModel {
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
        heads: Heads {
            queries: vision.num_attention_heads,
            keys: vision.num_attention_heads,
            dim: width / vision.num_attention_heads,
        },
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

fn text(config: &Config, parts: &mut Parts) -> TextModel {
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
        heads: Heads {
            queries: text.num_attention_heads,
            keys: text.num_key_value_heads,
            dim: text.head_dim,
        },
        hidden: text.hidden_size,
        inner: text.intermediate_size,
        theta: text.rope_theta as f32,
        table: parts.layer(&format!("{root}.embed_tokens")),
        layers,
        norm: parts.norm(&format!("{root}.norm"), epsilon),
        head: (!config.tie_word_embeddings).then(|| parts.layer("lm_head")),
    }
}
