//! The one error enum of this crate.
//!
//! A completion that holds no box is no error in this sense but data (see [`crate::ParseError`]).

use thiserror::Error;

/// What can be wrong with a box or a sample that somebody hands in.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GroundingError {
    /// Four numbers that are no box in percent.
    #[error(
        "[{0}, {1}, {2}, {3}] is no box: four numbers between 0 and 100 are needed, x2 > x1 and y2 > y1",
        edges[0], edges[1], edges[2], edges[3]
    )]
    NoBox {
        /// x1, y1, x2, y2 as they came.
        edges: [f32; 4],
    },
    /// Text that is not `x1,y1,x2,y2`.
    #[error("\"{text}\" is no box: expected x1,y1,x2,y2 in percent, for example 10,20,63,57")]
    NoBoxText {
        /// The text as it came, cut after 80 characters.
        text: String,
    },
    /// Four pixel edges of which nothing lies inside the image.
    #[error(
        "[{0}, {1}, {2}, {3}] is no box in an image of {width} x {height} pixels",
        edges[0], edges[1], edges[2], edges[3]
    )]
    OutsideImage {
        /// x1, y1, x2, y2 in pixels as they came.
        edges: [f32; 4],
        /// Width of the image in pixels.
        width: u32,
        /// Height of the image in pixels.
        height: u32,
    },
    /// True boxes that are not one inside the other.
    #[error("the true boxes: {reason}")]
    Nested {
        /// What is wrong, as a sentence without its full stop.
        reason: String,
    },
    /// A sample whose annotation cannot be used.
    #[error("sample \"{id}\": {reason}")]
    Sample {
        /// The sample's id.
        id: String,
        /// What is wrong, as a sentence without its full stop.
        reason: String,
    },
}
