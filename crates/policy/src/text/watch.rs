//! What a text policy sees and where it looks, for showing: its view of a picture, its prompt, its attention.

use grounding::prompt::policy_prompt;
use grounding::relative::{GENERIC, stands_out};
use picture::RgbImage;
use serde::{Deserialize, Serialize};
use smolvlm::{Scene, SmolVlm, Tiles};

use super::{TextEncoded, TextPolicy};
use crate::{EvidenceMap, PolicyError, Result};
use grounding::NormBox;

/// Where the decoder looks in its middle, and the box that follows without any training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Attention to the cells of the global image relative to a generic prompt's, from 0 (the least) to 1.
    pub map: EvidenceMap,
    /// The training-free box (see [`grounding::relative`]), percent.
    pub bbox: NormBox,
}

impl TextPolicy {
    /// A picture as the network gets it, with the `longest_edge` of [`TextPolicy::encode`].
    ///
    /// # Errors
    /// As [`TextPolicy::encode`].
    pub fn tiles(&self, picture: &RgbImage, longest_edge: Option<u32>) -> Result<Tiles> {
        let longest_edge = longest_edge.map(|edge| edge as usize);
        let pictures = self.model.pictures(&[picture], longest_edge)?;
        let tokens = self.model.prompts().tokens_per_tile();
        let tiles = self.model.images().view(&pictures, tokens);
        tiles.ok_or_else(|| PolicyError::Config("a picture without tiles".into()))
    }

    /// Side of a tile, pixels; `longest_edge` is best a multiple of it.
    pub fn tile(&self) -> usize {
        self.model.images().tile()
    }

    /// The prompt as the decoder reads it, special tokens included, image tokens counted.
    ///
    /// # Errors
    /// A tokenizer that fails.
    pub fn prompt(&self, encoded: &TextEncoded, question: &str) -> Result<String> {
        let asked = policy_prompt(question, self.case);
        let prompts = self.model.prompts();
        Ok(prompts.show_prompt(encoded.scene.ids(), &asked)?)
    }

    /// Where the decoder looks for a question, see [`relative_attention`]. Costs reading two prompts.
    ///
    /// # Errors
    /// A question too long for the model; a failed device.
    pub async fn attention(&self, encoded: &TextEncoded, question: &str) -> Result<Attention> {
        let asked = policy_prompt(question, self.case);
        let generic = generic_attention(&self.model, &encoded.scene).await?;
        relative_attention(&self.model, &encoded.scene, &asked, &generic).await
    }
}

/// The decoder's middle layer.
fn middle(model: &SmolVlm) -> usize {
    model.net.text_model.layers.len() / 2
}

/// Attention to a picture's image tokens for a generic prompt: what [`relative_attention`] divides by, good for any
/// number of questions about the picture.
///
/// # Errors
/// A failed device.
pub async fn generic_attention(model: &SmolVlm, scene: &Scene) -> Result<Vec<f32>> {
    Ok(model.attention(scene, GENERIC, middle(model)).await?)
}

/// Where a decoder looks for a prompt: attention of its last token at the middle layer, averaged over heads, divided by
/// that for the generic prompt (ViCrop); and the box that follows without any training.
///
/// # Errors
/// A prompt too long for the model; a failed device.
pub async fn relative_attention(
    model: &SmolVlm,
    scene: &Scene,
    asked: &str,
    generic: &[f32],
) -> Result<Attention> {
    let asked = model.attention(scene, asked, middle(model)).await?;
    // The global image comes last; its cells lie in a square.
    let cells = model.prompts().tokens_per_tile();
    let found = stands_out(&asked, generic, cells);
    let (values, bbox) = found.ok_or_else(|| PolicyError::Device("attention is no map".into()))?;
    let side = cells.isqrt();
    Ok(Attention {
        map: EvidenceMap {
            width: side,
            height: side,
            values,
        },
        bbox,
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use pollster::block_on;
    use smolvlm::tiny;

    use super::*;

    #[test]
    fn attention_is_a_map_with_a_box_and_depends_on_the_question() {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let policy = TextPolicy::new(model).expect("policy");
        let picture = RgbImage::from_fn(60, 80, |x, y| [x as u8 * 3, y as u8 * 2, 90].into());
        let encoded = block_on(policy.encode(&picture, None)).expect("encodes");
        let one = block_on(policy.attention(&encoded, "What is the total?")).expect("attention");
        let EvidenceMap {
            width,
            height,
            values,
        } = &one.map;
        assert_eq!(values.len(), width * height);
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)) && values.contains(&1.0));
        let other = block_on(policy.attention(&encoded, "Who?")).expect("attention");
        assert_ne!(one.map, other.map);
        // The same with more tiles: the global image is the last of them.
        let encoded = block_on(policy.encode(&picture, Some(96))).expect("encodes");
        let tiled = block_on(policy.attention(&encoded, "Who?")).expect("attention");
        assert_eq!(tiled.map.values.len(), values.len());
    }

    #[test]
    fn the_view_is_the_picture_and_the_prompt_has_its_question() {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let policy = TextPolicy::new(model).expect("policy");
        let picture = RgbImage::from_pixel(60, 80, [200, 30, 90].into());
        let view = policy.tiles(&picture, None).expect("view");
        assert_eq!((view.rows, view.columns, view.images.len()), (0, 0, 1));
        let side = policy.tile() as u32;
        assert_eq!(view.images[0].dimensions(), (side, side));
        assert!(
            view.images[0].pixels().all(|p| p.0 == [200, 30, 90]),
            "levels survive"
        );
        let encoded = block_on(policy.encode(&picture, None)).expect("encodes");
        let prompt = policy.prompt(&encoded, "WHAT is it?").expect("prompt");
        assert!(
            prompt.contains("What is it?\nOutline the region"),
            "{prompt}"
        );
        let cells = policy.model.prompts().tokens_per_tile();
        assert!(prompt.contains(&format!("<image> × {cells}")), "{prompt}");
        assert!(prompt.ends_with("Assistant:"), "{prompt}");
        assert_eq!(view.tokens, cells);
    }

    #[test]
    fn tiles_stand_row_by_row_and_the_global_image_comes_last() {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let policy = TextPolicy::new(model).expect("policy");
        let side = policy.tile() as u32;
        // Left half dark, right half light; as high as wide.
        let picture = RgbImage::from_fn(4 * side, 4 * side, |x, _| {
            [if x < 2 * side { 20 } else { 220 }; 3].into()
        });
        let tiles = policy.tiles(&picture, Some(2 * side)).expect("tiles");
        assert_eq!((tiles.rows, tiles.columns, tiles.images.len()), (2, 2, 5));
        let middle = |tile: usize| tiles.images[tile].get_pixel(side / 2, side / 2).0[0];
        assert_eq!([0, 1, 2, 3].map(middle), [20, 220, 20, 220]);
        let global = &tiles.images[4];
        assert_eq!(global.get_pixel(1, 1).0[0], 20);
        assert_eq!(global.get_pixel(side - 2, 1).0[0], 220);
        let encoded = block_on(policy.encode(&picture, Some(2 * side))).expect("encodes");
        assert_eq!(tiles.tokens, 5 * policy.model.prompts().tokens_per_tile());
        let prompt = policy.prompt(&encoded, "Who?").expect("prompt");
        assert!(prompt.contains("<row_2_col_2>"), "{prompt}");
    }
}
