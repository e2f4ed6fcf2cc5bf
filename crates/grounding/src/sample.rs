//! One question about one picture: a line of a data set's JSONL file.

use serde::{Deserialize, Serialize};

use crate::reward::grounding::Nested;
use crate::{GroundingError, NormBox};

/// Kinds of questions whose several boxes are the lines of one value, to be joined.
pub const JOINED_KINDS: [&str; 2] = ["company", "address"];

/// One line of a data set. Fields that are not named here are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Unique in its set.
    pub id: String,
    /// Path of the picture, relative to the data's root folder.
    pub image: String,
    /// What is asked, free text.
    pub question: String,
    /// Accepted answers; `answers[0]` is the annotation.
    #[serde(default)]
    pub answers: Vec<String>,
    /// True boxes in pixels, x1, y1, x2, y2, the last two exclusive; see [`Sample::evidence`].
    #[serde(default)]
    pub boxes: Vec<[f32; 4]>,
    /// One place from the smallest true box to ever larger ones around it, in pixels as in `boxes`; see
    /// [`Sample::nested_evidence`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nested: Vec<[f32; 4]>,
    /// Longest edge in pixels to which the full image may be shrunk before a reader's answer departs from that on the
    /// original (`cropvlm data gap`; LFPC's information gap); nothing where that has not been found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_edge: Option<u32>,
    /// Kind of question (`total`, `address`, ...); empty where a set has none.
    #[serde(default)]
    pub kind: String,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Under which licence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
}

impl Sample {
    /// The true boxes in percent, any of which answers the question (every place where the value is
    /// printed). The lines of one value, kinds `company` and `address`, are joined to one box.
    /// Boxes outside the picture are left out; [`Sample::validate`] names them.
    pub fn evidence(&self) -> Vec<NormBox> {
        let boxes = self
            .boxes
            .iter()
            .filter_map(|&edges| NormBox::from_pixels(edges, self.width, self.height).ok());
        if JOINED_KINDS.contains(&self.kind.as_str()) {
            boxes.reduce(NormBox::join).into_iter().collect()
        } else {
            boxes.collect()
        }
    }

    /// The true places, each as nested boxes in percent: `nested` where the sample has it, else each box of
    /// [`Sample::evidence`] alone.
    ///
    /// # Errors
    /// [`GroundingError::OutsideImage`], [`GroundingError::Nested`]: boxes outside the picture, or not one inside the other.
    pub fn nested_evidence(&self) -> Result<Vec<Nested>, GroundingError> {
        if self.nested.is_empty() {
            return Ok(self.evidence().into_iter().map(Nested::from).collect());
        }
        let boxes = self.nested.iter();
        let boxes = boxes.map(|&edges| NormBox::from_pixels(edges, self.width, self.height));
        Ok(vec![Nested::new(boxes.collect::<Result<_, _>>()?)?])
    }

    /// Whether the annotation can be used: for readers of files to call, once a line.
    ///
    /// # Errors
    /// [`GroundingError::Sample`] with the id: a picture without size, a box without area inside it, nested boxes that
    /// are not nested, a full image of no pixels.
    pub fn validate(&self) -> Result<(), GroundingError> {
        let wrong = |reason: String| GroundingError::Sample {
            id: self.id.clone(),
            reason,
        };
        if self.width == 0 || self.height == 0 {
            return Err(wrong(format!(
                "the picture's size is given as {} x {} pixels",
                self.width, self.height
            )));
        }
        for &edges in &self.boxes {
            NormBox::from_pixels(edges, self.width, self.height)
                .map_err(|e| wrong(e.to_string()))?;
        }
        self.nested_evidence().map_err(|e| wrong(e.to_string()))?;
        if self.full_edge == Some(0) {
            return Err(wrong(
                "full_edge: is 0, but a longest edge in pixels is needed".to_string(),
            ));
        }
        Ok(())
    }
}
