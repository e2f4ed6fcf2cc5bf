//! The network: vision tower, connector, decoder, output layer, put together as Idefics3 does.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::config::Config;
use crate::decoder::{KvCache, TextModel};
use crate::precision::to_f32;
use crate::vision::{Connector, VisionModel, image_tokens};

/// Idefics3 for conditional generation. Fields carry the names of the checkpoint's keys.
#[derive(Module, Debug)]
pub struct Idefics3 {
    /// Vision tower.
    pub vision_model: VisionModel,
    /// Pixel shuffle and projection.
    pub connector: Connector,
    /// Decoder.
    pub text_model: TextModel,
    /// Output layer; absent where the embedding table serves as such.
    pub lm_head: Option<Linear>,
    image_token_id: u32,
}

impl Idefics3 {
    /// The network of a configuration. Parameters are made on first use, so that loading into a
    /// fresh network costs no memory.
    pub fn init(config: &Config, device: &Device) -> Self {
        let text = &config.text;
        Self {
            vision_model: VisionModel::init(&config.vision, device),
            connector: Connector::init(config, device),
            text_model: TextModel::init(text, device),
            lm_head: (!config.tie_word_embeddings).then(|| {
                LinearConfig::new(text.hidden_size, text.vocab_size)
                    .with_bias(false)
                    .init(device)
            }),
            image_token_id: config.image_token_id,
        }
    }

    /// Tiles [N, 3, H, W] to image tokens [N x tokens a tile, hidden].
    pub fn encode_images(&self, pixel_values: Tensor<4>) -> Tensor<2> {
        image_tokens(&self.vision_model, &self.connector, pixel_values)
    }

    /// Embeddings of a prompt, [1, T, hidden]: at the n-th `<image>` stands the n-th row of
    /// `images` [N, hidden].
    ///
    /// # Panics
    /// If there are more `<image>` than rows; [`crate::SmolVlm`] never makes such a prompt.
    pub fn embed_prompt(&self, ids: &[u32], images: Option<&Tensor<2>>) -> Tensor<3> {
        let t = ids.len();
        let device = self.text_model.embed_tokens.weight.device();
        let text = self.text_model.embed(id_tensor(ids, &device)); // [1, T, hidden]
        let Some(images) = images else { return text };
        // One lookup in [text; images] instead of a scatter: differentiable everywhere.
        let rows = images.dims()[0];
        let mut next = 0;
        let index: Vec<i32> = ids
            .iter()
            .enumerate()
            .map(|(i, &id)| {
                if id == self.image_token_id {
                    next += 1;
                    (t + next - 1) as i32
                } else {
                    i as i32
                }
            })
            .collect();
        assert!(
            next <= rows,
            "{next} image tokens in the prompt, {rows} from the pictures"
        );
        let both = Tensor::cat(vec![text.squeeze_dim::<2>(0), images.clone()], 0);
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [t]), &device);
        both.select(0, index).unsqueeze_dim(0) // [1, T, hidden]
    }

    /// Normed states [B, T, hidden] of embeddings that follow what `cache` has read.
    pub fn states(&self, embeddings: Tensor<3>, cache: &mut KvCache) -> Tensor<3> {
        self.text_model.forward(embeddings, cache)
    }

    /// Logits [B, T, V] of normed states [B, T, hidden], in f32.
    pub fn logits(&self, states: Tensor<3>) -> Tensor<3> {
        let logits = match &self.lm_head {
            Some(head) => head.forward(states),
            None => {
                // The table as the left factor: the CPU multiplies by its turned view far slower.
                let [b, t, hidden] = states.dims();
                let table = self.text_model.embed_tokens.weight.val(); // [V, hidden]
                let logits = table.matmul(states.reshape([b * t, hidden]).transpose()); // [V, B*T]
                let [v, _] = logits.dims();
                logits.transpose().reshape([b, t, v])
            }
        };
        to_f32(logits)
    }

    /// Logits [B, T, n] of `n` tokens only: far cheaper than the whole vocabulary where a
    /// grammar leaves a dozen of them.
    pub fn logits_of(&self, states: Tensor<3>, ids: &[u32]) -> Tensor<3> {
        let index: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let index =
            Tensor::<1, Int>::from_data(TensorData::new(index, [ids.len()]), &states.device());
        let columns = match &self.lm_head {
            Some(head) => head.weight.val().select(1, index), // [hidden, n]
            None => self
                .text_model
                .embed_tokens
                .weight
                .val()
                .select(0, index)
                .transpose(),
        };
        to_f32(states.matmul(columns.unsqueeze()))
    }
}

/// Token ids of one row as [1, T].
pub(crate) fn id_tensor(ids: &[u32], device: &Device) -> Tensor<2, Int> {
    id_rows(&[ids], device)
}

/// Token ids of rows of equal length as [B, T].
pub(crate) fn id_rows(rows: &[&[u32]], device: &Device) -> Tensor<2, Int> {
    let t = rows.first().map_or(0, |row| row.len());
    let ids: Vec<i32> = rows
        .iter()
        .flat_map(|row| row.iter().map(|&id| id as i32))
        .collect();
    Tensor::from_data(TensorData::new(ids, [rows.len(), t]), device)
}
