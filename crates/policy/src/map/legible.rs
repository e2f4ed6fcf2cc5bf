//! How well a text can be read in a picture, by a map policy's letters: a reward that needs no VLM.

use mapnet::text_search::Text;
use picture::RgbImage;

use super::MapPolicy;
use crate::Result;

/// Nats a character above which a text counts as read.
pub const READ: f32 = -0.25;

/// Nats a character of a text that is nowhere to be found.
pub const NOWHERE: f32 = -5.0;

/// By how much a text is less likely than the best reading of its best place, nats a character; at
/// most 0, at least [`NOWHERE`]. The reader sees at most `longest_edge` pixels.
///
/// # Errors
/// A failed device.
pub async fn legibility(
    policy: &MapPolicy,
    picture: &RgbImage,
    longest_edge: u32,
    text: &str,
) -> Result<f32> {
    // A crop is not blown up: letters stay of the sizes that the network has learned.
    let edge = longest_edge.min(picture.width().max(picture.height()));
    let encoded = policy.encode(picture, Some(edge)).await?;
    let text = Text::anywhere(text);
    let best = encoded
        .text
        .first()
        .and_then(|i| i.find(&text, 1).first().copied());
    Ok(best.map_or(NOWHERE, |place| place.score.max(NOWHERE)))
}
