//! Boxes in percent ([`NormBox`]) and in pixels ([`PixelBox`]), and the way between them.
//!
//! The policy speaks in percent of width and height, because one text then fits every size of
//! picture; the crop is cut in pixels of the original. Departure from Pillow's `crop`, which the
//! reference uses: a box so thin that both edges round to the same pixel gives one pixel here, where
//! Pillow gives an empty picture that no model can read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::GroundingError;

/// A box in percent of image width and height, 0 to 100, `x2 > x1`, `y2 > y1`.
///
/// Made by [`NormBox::new`], which refuses anything else; the fields are public for reading and for
/// patterns. In JSON it is an array `[x1, y1, x2, y2]`; as text (`Display`, `FromStr`) `x1,y1,x2,y2`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f32; 4]", into = "[f32; 4]")]
pub struct NormBox {
    /// Left edge, percent of the width.
    pub x1: f32,
    /// Upper edge, percent of the height.
    pub y1: f32,
    /// Right edge, percent of the width.
    pub x2: f32,
    /// Lower edge, percent of the height.
    pub y2: f32,
}

/// A box in pixels; `x2` and `y2` are the first column and row outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "[u32; 4]", into = "[u32; 4]")]
pub struct PixelBox {
    /// First column inside.
    pub x1: u32,
    /// First row inside.
    pub y1: u32,
    /// First column outside, to the right.
    pub x2: u32,
    /// First row outside, below.
    pub y2: u32,
}

impl NormBox {
    /// The whole image.
    pub const FULL: NormBox = NormBox {
        x1: 0.0,
        y1: 0.0,
        x2: 100.0,
        y2: 100.0,
    };

    /// A box from its edges in percent.
    ///
    /// # Errors
    /// [`GroundingError::NoBox`] unless all four are between 0 and 100, `x2 > x1` and `y2 > y1`
    /// (so also for NaN).
    pub fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Result<NormBox, GroundingError> {
        let inside = |v: f32| (0.0..=100.0).contains(&v);
        if [x1, y1, x2, y2].into_iter().all(inside) && x2 > x1 && y2 > y1 {
            // `+ 0.0` turns the negative zero into the positive one, which prints as "0".
            Ok(NormBox {
                x1: x1 + 0.0,
                y1: y1 + 0.0,
                x2,
                y2,
            })
        } else {
            Err(GroundingError::NoBox {
                edges: [x1, y1, x2, y2],
            })
        }
    }

    /// A box from pixel edges (`x2`, `y2` exclusive) in an image of `width` x `height` pixels.
    /// What hangs over the image's edge is cut off, as annotations sometimes do by a pixel.
    ///
    /// # Errors
    /// [`GroundingError::OutsideImage`] if nothing of it lies inside the image.
    pub fn from_pixels(
        edges: [f32; 4],
        width: u32,
        height: u32,
    ) -> Result<NormBox, GroundingError> {
        let percent =
            |v: f32, side: u32| (f64::from(v) * 100.0 / f64::from(side)).clamp(0.0, 100.0) as f32;
        let [x1, y1, x2, y2] = edges;
        NormBox::new(
            percent(x1, width),
            percent(y1, height),
            percent(x2, width),
            percent(y2, height),
        )
        .map_err(|_| GroundingError::OutsideImage {
            edges,
            width,
            height,
        })
    }

    /// The pixels to cut from an image of `width` x `height` (each at least 1).
    ///
    /// Each edge is percent x side / 100, rounded to the nearest pixel, half to even, as Pillow's
    /// `crop` does. The result always holds at least one pixel and lies inside the image: where both
    /// edges round to the same place, it is the pixel under the middle of the two.
    pub fn to_pixels(self, width: u32, height: u32) -> PixelBox {
        let (x1, x2) = edges_to_pixels(self.x1, self.x2, width);
        let (y1, y2) = edges_to_pixels(self.y1, self.y2, height);
        PixelBox { x1, y1, x2, y2 }
    }

    /// Edges as an array x1, y1, x2, y2.
    pub fn to_array(self) -> [f32; 4] {
        [self.x1, self.y1, self.x2, self.y2]
    }

    /// Width in percent of the image's width.
    pub fn width(self) -> f32 {
        self.x2 - self.x1
    }

    /// Height in percent of the image's height.
    pub fn height(self) -> f32 {
        self.y2 - self.y1
    }

    /// Area as a share of the image, 0 to 1.
    pub fn area(self) -> f32 {
        self.width() * self.height() / 10_000.0
    }

    /// The part that two boxes share, if any.
    pub fn intersection(self, other: NormBox) -> Option<NormBox> {
        NormBox::new(
            self.x1.max(other.x1),
            self.y1.max(other.y1),
            self.x2.min(other.x2),
            self.y2.min(other.y2),
        )
        .ok()
    }

    /// The smallest box around both.
    pub fn join(self, other: NormBox) -> NormBox {
        NormBox {
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
            x2: self.x2.max(other.x2),
            y2: self.y2.max(other.y2),
        }
    }

    /// Whether the other box lies wholly inside this one (edges may touch).
    pub fn contains(self, other: NormBox) -> bool {
        self.join(other) == self
    }

    /// The same box with whole percents, each edge rounded to the nearest (half to even). An edge
    /// pair that falls together is moved apart by one percent, inside the image.
    pub fn rounded(self) -> NormBox {
        let (x1, x2) = apart(self.x1.round_ties_even(), self.x2.round_ties_even());
        let (y1, y2) = apart(self.y1.round_ties_even(), self.y2.round_ties_even());
        NormBox { x1, y1, x2, y2 }
    }

    /// The smallest box of whole percents around this one: for targets that must not lose evidence
    /// to rounding.
    pub fn rounded_out(self) -> NormBox {
        NormBox {
            x1: self.x1.floor(),
            y1: self.y1.floor(),
            x2: self.x2.ceil(),
            y2: self.y2.ceil(),
        }
    }

    /// A box of a part of the picture, percent of that part, in percent of the whole picture.
    pub fn out_of(self, part: NormBox) -> NormBox {
        let edge = |percent: f32, low: f32, high: f32| {
            (low + percent / 100.0 * (high - low)).clamp(0.0, 100.0)
        };
        NormBox {
            x1: edge(self.x1, part.x1, part.x2),
            y1: edge(self.y1, part.y1, part.y2),
            x2: edge(self.x2, part.x1, part.x2),
            y2: edge(self.y2, part.y1, part.y2),
        }
    }

    /// What a policy writes for this box, [rounded](NormBox::rounded) to whole percents:
    /// `[10, 20, 63, 57].`
    pub fn completion(self) -> String {
        let NormBox { x1, y1, x2, y2 } = self.rounded();
        format!("[{x1}, {y1}, {x2}, {y2}].")
    }
}

impl PixelBox {
    /// Columns inside.
    pub fn width(self) -> u32 {
        self.x2.saturating_sub(self.x1)
    }

    /// Rows inside.
    pub fn height(self) -> u32 {
        self.y2.saturating_sub(self.y1)
    }
}

/// Two edges in percent of a side, as whole pixels with at least one between them.
fn edges_to_pixels(low: f32, high: f32, side: u32) -> (u32, u32) {
    let side = side.max(1);
    // In f64, as Python computes: in f32 a half could come out a little beside the half.
    let (low, high) = (
        f64::from(low) * f64::from(side) / 100.0,
        f64::from(high) * f64::from(side) / 100.0,
    );
    let (first, end) = (low.round_ties_even() as u32, high.round_ties_even() as u32);
    if end > first {
        (first, end.min(side))
    } else {
        let middle = (((low + high) / 2.0).floor() as u32).min(side - 1);
        (middle, middle + 1)
    }
}

/// Two whole percents, moved apart by one where they are equal.
fn apart(low: f32, high: f32) -> (f32, f32) {
    if high > low {
        (low, high)
    } else if high < 100.0 {
        (low, low + 1.0)
    } else {
        (99.0, 100.0)
    }
}

impl TryFrom<[f32; 4]> for NormBox {
    type Error = GroundingError;

    fn try_from([x1, y1, x2, y2]: [f32; 4]) -> Result<NormBox, GroundingError> {
        NormBox::new(x1, y1, x2, y2)
    }
}

impl From<NormBox> for [f32; 4] {
    fn from(bbox: NormBox) -> [f32; 4] {
        bbox.to_array()
    }
}

impl From<[u32; 4]> for PixelBox {
    fn from([x1, y1, x2, y2]: [u32; 4]) -> PixelBox {
        PixelBox { x1, y1, x2, y2 }
    }
}

impl From<PixelBox> for [u32; 4] {
    fn from(b: PixelBox) -> [u32; 4] {
        [b.x1, b.y1, b.x2, b.y2]
    }
}

/// `x1,y1,x2,y2`, as `data-box` on the page and `--box` on the command line have it.
impl fmt::Display for NormBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.x1, self.y1, self.x2, self.y2)
    }
}

/// Reads `x1,y1,x2,y2`: decimal numbers, spaces around each allowed, nothing else.
impl FromStr for NormBox {
    type Err = GroundingError;

    fn from_str(text: &str) -> Result<NormBox, GroundingError> {
        let edges: Option<Vec<f32>> = text.split(',').map(|p| p.trim().parse().ok()).collect();
        match edges.as_deref() {
            Some(&[x1, y1, x2, y2]) => NormBox::new(x1, y1, x2, y2),
            _ => Err(GroundingError::NoBoxText {
                text: text.chars().take(80).collect(),
            }),
        }
    }
}
