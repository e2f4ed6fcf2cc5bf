//! The shape of a model, read from a Hugging Face folder's `config.json`.
//!
//! Keys that are absent take the defaults of transformers' `Idefics3Config`,
//! `Idefics3VisionConfig` and `LlamaConfig` (5.x). Unknown keys are let pass, because checkpoints
//! carry many that describe training; keys that would change the computation in a way that is
//! not implemented here are refused by name.

use serde::Deserialize;
use serde_json::Value;
use tensors::ModelFiles;

use crate::error::{Result, SmolVlmError};

const FILE: &str = "config.json";
/// `quantization_config.quant_method` of a folder of blocks.
pub(crate) const QUANT_METHOD: &str = "cropvlm";
/// Tokens of the context that a prompt leaves free for its completion.
pub(crate) const ROOM: usize = 64;

/// Whether a folder holds a model of this crate in packed blocks, as far as its `config.json` says.
pub fn is_packed(files: &ModelFiles) -> bool {
    let Ok(raw) = files.json::<Raw>(FILE) else {
        return false;
    };
    let named = |given: Option<String>, known: &[&str]| {
        given.is_some_and(|it| known.contains(&it.as_str()))
    };
    let method = raw.quantization_config.and_then(|it| it.quant_method);
    named(raw.model_type, &MODEL_TYPES) && named(method, &[QUANT_METHOD])
}

/// `model_type`s that are loaded. SmolVLM2's pictures go the way of Idefics3's, tensor by tensor; only videos are new there.
pub const MODEL_TYPES: [&str; 2] = ["idefics3", "smolvlm"];

/// SigLIP-like vision tower (`vision_config`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colour channels; always 3 here.
    pub num_channels: usize,
    /// Side in pixels that the position embeddings were made for.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Activation of the MLP.
    pub hidden_act: String,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1152,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 16,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: "gelu_pytorch_tanh".to_string(),
            layer_norm_eps: 1e-6,
        }
    }
}

impl VisionConfig {
    /// Patches along one side of an `image_size` picture.
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size
    }
}

/// Llama decoder (`text_config`).
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Entries of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads, H.
    pub num_attention_heads: usize,
    /// Key and value heads, shared by H / this many query heads each.
    pub num_key_value_heads: usize,
    /// Width of one head, D; H x D need not be `hidden_size`.
    pub head_dim: usize,
    /// Longest sequence in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether the attention projections have biases.
    pub attention_bias: bool,
    /// Whether the MLP's projections have biases.
    pub mlp_bias: bool,
    /// Tokens at which generation ends, where `config.json` names any.
    pub eos_token_id: Vec<u32>,
}

/// The whole model (`Idefics3Config`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Vision tower.
    pub vision: VisionConfig,
    /// Decoder.
    pub text: TextConfig,
    /// Pixel shuffle: `scale_factor` x `scale_factor` patches become one image token.
    pub scale_factor: usize,
    /// Id of `<image>`, the place holder of one image token.
    pub image_token_id: u32,
    /// Whether the embedding table serves as the output layer, too.
    pub tie_word_embeddings: bool,
}

#[derive(Deserialize)]
#[serde(default)]
struct RawText {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_act: String,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_parameters: Option<Value>,
    rope_scaling: Option<Value>,
    attention_bias: bool,
    mlp_bias: bool,
    eos_token_id: Option<OneOrMany>,
    qk_layer_norms: bool,
    rope_interleaved: bool,
    use_resampler: bool,
}

impl Default for RawText {
    fn default() -> Self {
        Self {
            vocab_size: 32000,
            hidden_size: 4096,
            intermediate_size: 11008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".to_string(),
            max_position_embeddings: 2048,
            // Idefics3Config's own default for its decoder; LlamaConfig's is 1e-6.
            rms_norm_eps: 1e-5,
            rope_theta: None,
            rope_parameters: None,
            rope_scaling: None,
            attention_bias: false,
            mlp_bias: false,
            eos_token_id: None,
            qk_layer_norms: false,
            rope_interleaved: false,
            use_resampler: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl From<OneOrMany> for Vec<u32> {
    fn from(ids: OneOrMany) -> Self {
        match ids {
            OneOrMany::One(id) => vec![id],
            OneOrMany::Many(ids) => ids,
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    #[serde(default)]
    vision_config: VisionConfig,
    #[serde(default)]
    text_config: RawText,
    #[serde(default = "two")]
    scale_factor: usize,
    #[serde(default = "idefics3_image_token")]
    image_token_id: u32,
    #[serde(default)]
    tie_word_embeddings: bool,
    quantization_config: Option<RawQuantization>,
}

#[derive(Deserialize)]
struct RawQuantization {
    quant_method: Option<String>,
}

fn two() -> usize {
    2
}

fn idefics3_image_token() -> u32 {
    128_257
}

fn refuse<T>(item: &str, actual: impl ToString, expected: &str) -> Result<T> {
    Err(SmolVlmError::Unsupported {
        file: FILE.to_string(),
        item: item.to_string(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

impl Config {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// A missing or unreadable file, another `model_type` than [`MODEL_TYPES`], and every setting
    /// that this crate does not implement, by name.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let raw: Raw = files.json(FILE)?;
        let model_type = raw.model_type.as_deref().unwrap_or("absent");
        if !MODEL_TYPES.contains(&model_type) {
            let expected = format!("only {} can be loaded here", MODEL_TYPES.join(" and "));
            return refuse("model_type", model_type, &expected);
        }
        if let Some(quantization) = raw.quantization_config {
            let method = quantization.quant_method.as_deref().unwrap_or("absent");
            if method != QUANT_METHOD {
                let expected = format!(
                    "only {QUANT_METHOD} (`cropvlm export --quant`) is read: take the folder that is not quantized"
                );
                return refuse("quantization_config.quant_method", method, &expected);
            }
        }
        let config = Self {
            text: text_config(raw.text_config)?,
            vision: raw.vision_config,
            scale_factor: raw.scale_factor,
            image_token_id: raw.image_token_id,
            tie_word_embeddings: raw.tie_word_embeddings,
        };
        config.check()?;
        Ok(config)
    }

    /// Name and shape of every tensor of a checkpoint, in the network's order.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        crate::checklist::shapes(self)
    }

    /// Image tokens that one tile becomes.
    pub fn tokens_per_tile(&self) -> usize {
        (self.vision.patches_per_side() / self.scale_factor).pow(2)
    }

    fn check(&self) -> Result<()> {
        let vision = &self.vision;
        let text = &self.text;
        // The upper bounds are far above any model, and keep products of two of them inside 32 bits, the browser's
        // numbers. Shapes are compared with the weights before anything is made of them.
        let bounds = [
            ("vision_config.hidden_size", vision.hidden_size, 1, 65_536),
            (
                "vision_config.intermediate_size",
                vision.intermediate_size,
                1,
                65_536,
            ),
            (
                "vision_config.num_hidden_layers",
                vision.num_hidden_layers,
                0,
                1_024,
            ),
            (
                "vision_config.num_attention_heads",
                vision.num_attention_heads,
                1,
                1_024,
            ),
            ("vision_config.patch_size", vision.patch_size, 1, 1_024),
            ("vision_config.image_size", vision.image_size, 1, 16_384),
            ("text_config.vocab_size", text.vocab_size, 1, 1 << 24),
            ("text_config.hidden_size", text.hidden_size, 1, 65_536),
            (
                "text_config.intermediate_size",
                text.intermediate_size,
                1,
                65_536,
            ),
            (
                "text_config.num_hidden_layers",
                text.num_hidden_layers,
                0,
                1_024,
            ),
            (
                "text_config.num_attention_heads",
                text.num_attention_heads,
                1,
                1_024,
            ),
            (
                "text_config.num_key_value_heads",
                text.num_key_value_heads,
                1,
                1_024,
            ),
            ("text_config.head_dim", text.head_dim, 1, 4_096),
            ("scale_factor", self.scale_factor, 1, 64),
        ];
        for (item, value, least, most) in bounds {
            if value < least {
                return refuse(item, value, "a positive number is needed");
            }
            if value > most {
                return refuse(item, value, &format!("at most {most} is loaded here"));
            }
        }
        if vision.hidden_act != "gelu_pytorch_tanh" {
            return refuse(
                "vision_config.hidden_act",
                &vision.hidden_act,
                "only gelu_pytorch_tanh is implemented",
            );
        }
        if vision.num_channels != 3 {
            return refuse(
                "vision_config.num_channels",
                vision.num_channels,
                "only 3 (RGB) is implemented",
            );
        }
        if !vision
            .hidden_size
            .is_multiple_of(vision.num_attention_heads)
        {
            return refuse(
                "vision_config.hidden_size",
                vision.hidden_size,
                "it has to be a multiple of num_attention_heads",
            );
        }
        if vision.patches_per_side() == 0
            || !vision.patches_per_side().is_multiple_of(self.scale_factor)
        {
            return refuse(
                "vision_config.image_size",
                vision.image_size,
                "patches along a side have to be a multiple of scale_factor",
            );
        }
        if !text
            .num_attention_heads
            .is_multiple_of(text.num_key_value_heads)
        {
            return refuse(
                "text_config.num_key_value_heads",
                text.num_key_value_heads,
                "it has to divide num_attention_heads",
            );
        }
        if !text.head_dim.is_multiple_of(2) {
            return refuse(
                "text_config.head_dim",
                text.head_dim,
                "rotary embeddings need an even number",
            );
        }
        if self.image_token_id as usize >= text.vocab_size {
            return refuse(
                "image_token_id",
                self.image_token_id,
                "it has to lie inside text_config.vocab_size",
            );
        }
        Ok(())
    }
}

fn text_config(raw: RawText) -> Result<TextConfig> {
    if raw.hidden_act != "silu" {
        return refuse(
            "text_config.hidden_act",
            &raw.hidden_act,
            "only silu is implemented",
        );
    }
    for (item, set) in [
        ("text_config.qk_layer_norms", raw.qk_layer_norms),
        ("text_config.rope_interleaved", raw.rope_interleaved),
        ("text_config.use_resampler", raw.use_resampler),
    ] {
        if set {
            return refuse(item, true, "only false is implemented");
        }
    }
    let rope = raw.rope_parameters.as_ref().or(raw.rope_scaling.as_ref());
    let mut theta = raw.rope_theta;
    if let Some(Value::Object(rope)) = rope {
        let kind = rope.get("rope_type").or_else(|| rope.get("type"));
        if let Some(kind) = kind.and_then(Value::as_str)
            && kind != "default"
        {
            return refuse(
                "text_config.rope_parameters.rope_type",
                kind,
                "only default is implemented",
            );
        }
        theta = rope.get("rope_theta").and_then(Value::as_f64).or(theta);
    }
    Ok(TextConfig {
        vocab_size: raw.vocab_size,
        hidden_size: raw.hidden_size,
        intermediate_size: raw.intermediate_size,
        num_hidden_layers: raw.num_hidden_layers,
        num_attention_heads: raw.num_attention_heads,
        num_key_value_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
        head_dim: raw
            .head_dim
            .unwrap_or(raw.hidden_size / raw.num_attention_heads.max(1)),
        max_position_embeddings: raw.max_position_embeddings,
        rms_norm_eps: raw.rms_norm_eps,
        rope_theta: theta.unwrap_or(10_000.0),
        attention_bias: raw.attention_bias,
        mlp_bias: raw.mlp_bias,
        eos_token_id: raw.eos_token_id.map(Vec::from).unwrap_or_default(),
    })
}
