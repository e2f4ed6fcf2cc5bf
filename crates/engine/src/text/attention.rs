//! Where the decoder looks, relative to a generic prompt, and the box that follows without any training (ViCrop).

use grounding::NormBox;
use grounding::prompt::policy_prompt;
use grounding::relative::{GENERIC, stands_out};
use mapnet::{EvidenceMap, MapError};

use super::{Text, TextEncoded};
use crate::{EngineError, Result};

/// Where the decoder looks in its middle, and the box that follows without any training.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Attention to the cells of the global image relative to a generic prompt's, from 0 (the least) to 1.
    pub map: EvidenceMap,
    /// The training-free box (see [`grounding::relative`]), percent.
    pub bbox: NormBox,
}

impl Text {
    /// Where the decoder looks for a question: attention of its last token at the middle layer, averaged over heads, divided by
    /// that for the generic prompt. Costs reading two prompts.
    ///
    /// # Errors
    /// A question too long for the model.
    pub async fn attention(&self, encoded: &TextEncoded, question: &str) -> Result<Attention> {
        let middle = self.model.config().text.num_hidden_layers / 2;
        let (model, scene) = (&self.model, &encoded.scene);
        let asked = policy_prompt(question, self.case);
        let asked = model.attention(scene, &asked, middle).await?;
        let generic = model.attention(scene, GENERIC, middle).await?;
        // The global image comes last; its cells lie in a square.
        let cells = self.model.prompts().tokens_per_tile();
        let found = stands_out(&asked, &generic, cells);
        let no_map = || EngineError::Device(MapError::Device("attention is no map".into()));
        let (values, bbox) = found.ok_or_else(no_map)?;
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
}
