//! What the target is shown: the conditions of the papers, and the sweeps over them.
//!
//! Full image, crop or both are CropVLM's comparison; the true box is the ceiling; an empty or noisy
//! picture in the crop's place is LFPC's question whether the crop is looked at at all. Crops grow by an
//! area factor (CropVLM, Appendix G), and every picture is bounded by a longest edge (Appendix D).

use anyhow::{Result, bail};
use grounding::{NormBox, Sample};
use image::Rgb;
use picture::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::proposers::Boxes;

/// Pictures that come with the question.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
pub enum Condition {
    /// The full image alone
    #[value(name = "full")]
    #[serde(rename = "full")]
    Full,
    /// The full image, then the proposed crop
    #[value(name = "full+crop")]
    #[serde(rename = "full+crop")]
    FullCrop,
    /// The proposed crop alone
    #[value(name = "crop")]
    #[serde(rename = "crop")]
    Crop,
    /// The full image, then the true box
    #[value(name = "full+true", alias = "true")]
    #[serde(rename = "full+true")]
    FullTrue,
    /// The full image, then an evenly grey picture of the crop's size
    #[value(name = "full+blank", alias = "blank")]
    #[serde(rename = "full+blank")]
    FullBlank,
    /// The full image, then random noise of the crop's size
    #[value(name = "full+noise", alias = "noise")]
    #[serde(rename = "full+noise")]
    FullNoise,
    /// The full image, then the best fixed box of the policy's size
    #[value(name = "full+fixed", alias = "fixed")]
    #[serde(rename = "full+fixed")]
    FullFixed,
    /// The full image, then the box of --searched
    #[value(name = "full+searched", alias = "searched")]
    #[serde(rename = "full+searched")]
    FullSearched,
    /// The full image, then the training-free box of --attention
    #[value(name = "full+attention", alias = "attention")]
    #[serde(rename = "full+attention")]
    FullAttention,
}

impl Condition {
    /// As it is written on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::FullCrop => "full+crop",
            Self::Crop => "crop",
            Self::FullTrue => "full+true",
            Self::FullBlank => "full+blank",
            Self::FullNoise => "full+noise",
            Self::FullFixed => "full+fixed",
            Self::FullSearched => "full+searched",
            Self::FullAttention => "full+attention",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Full => "the full image alone",
            Self::FullCrop => "the full image and the crop",
            Self::Crop => "the crop alone",
            Self::FullTrue => "the full image and the true box",
            Self::FullBlank => "the full image and a grey picture",
            Self::FullNoise => "the full image and noise",
            Self::FullFixed => "the full image and the fixed box",
            Self::FullSearched => "the full image and the searched box",
            Self::FullAttention => "the full image and the training-free box",
        }
    }

    /// Whether the policy's box matters.
    pub fn needs_box(self) -> bool {
        let others = [
            Self::Full,
            Self::FullTrue,
            Self::FullSearched,
            Self::FullAttention,
        ];
        !others.contains(&self)
    }

    /// Whether the crop's content matters, so that growing it changes something to see.
    fn grows(self) -> bool {
        !matches!(self, Self::Full | Self::FullBlank | Self::FullNoise)
    }
}

/// One cell of the summary: a condition at one expansion and one resolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Pictures.
    pub condition: Condition,
    /// By how much the crop's area grows, 1 and more.
    pub expand: f32,
    /// Longest edge of every picture, in pixels; `None`: the target's own, or no bound.
    pub longest_edge: Option<u32>,
}

/// All cells, in the order of the table: by resolution, then condition, then expansion.
///
/// # Errors
/// An expansion below 1.
pub fn cells(conditions: &[Condition], expand: &[f32], edges: &[u32]) -> Result<Vec<Cell>> {
    if let Some(wrong) = expand
        .iter()
        .find(|&&factor| !(factor >= 1.0 && factor.is_finite()))
    {
        bail!("--expand {wrong}: an area factor is 1 (as proposed) or more");
    }
    let edges: Vec<Option<u32>> = match edges {
        [] => vec![None],
        edges => edges.iter().copied().map(Some).collect(),
    };
    let mut cells: Vec<Cell> = Vec::new();
    for &longest_edge in &edges {
        for &condition in conditions {
            let factors = if condition.grows() { expand } else { &[1.0] };
            for &expand in factors {
                let cell = Cell {
                    condition,
                    expand,
                    longest_edge,
                };
                if !cells.contains(&cell) {
                    cells.push(cell);
                }
            }
        }
    }
    Ok(cells)
}

impl Cell {
    /// The box whose crop the target sees in this cell; `None` where there is none, that is for the
    /// full image alone and where the policy's completion was invalid.
    pub fn bbox(&self, sample: &Sample, boxes: &Boxes) -> Option<NormBox> {
        let bbox = match self.condition {
            Condition::Full => None,
            Condition::FullTrue => sample.evidence().first().copied(),
            Condition::FullFixed => boxes.fixed,
            Condition::FullSearched => boxes.searched,
            Condition::FullAttention => boxes.attention,
            Condition::FullCrop | Condition::Crop | Condition::FullBlank | Condition::FullNoise => {
                boxes.proposed
            }
        };
        bbox.map(|bbox| bbox.grow(self.expand))
    }

    /// Whether the cell is about this sample: one without a true box cannot show it.
    pub fn takes(&self, sample: &Sample) -> bool {
        self.condition != Condition::FullTrue || !sample.evidence().is_empty()
    }

    /// The picture that comes in the crop's place.
    pub fn picture(&self, id: &str, full: &RgbImage, bbox: NormBox) -> RgbImage {
        let (width, height) = full.dimensions();
        let pixels = bbox.to_pixels(width, height);
        let (width, height) = (pixels.width(), pixels.height());
        match self.condition {
            Condition::FullBlank => RgbImage::from_pixel(width, height, Rgb([127; 3])),
            Condition::FullNoise => noise(id, width, height),
            _ => picture::crop(full, pixels),
        }
    }
}

/// Noise that is the same at every run: its seed is the question's id.
fn noise(id: &str, width: u32, height: u32) -> RgbImage {
    // FNV-1a, 64 bits.
    let seed = id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut picture = RgbImage::new(width, height);
    rng.fill_bytes(&mut picture);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(boxes: Vec<[f32; 4]>) -> Sample {
        let line = serde_json::json!({
            "id": "a", "image": "a.png", "question": "?", "boxes": boxes, "width": 100, "height": 50,
        });
        serde_json::from_value(line).expect("a sample")
    }

    #[test]
    fn only_what_shows_a_crop_is_swept_over_expansions() {
        let conditions = [Condition::Full, Condition::FullCrop, Condition::FullBlank];
        let cells = cells(&conditions, &[1.0, 2.0], &[512, 1024]).expect("cells");
        let of = |condition| cells.iter().filter(|c| c.condition == condition).count();
        assert_eq!(conditions.map(of), [2, 4, 2]);
        assert!(super::cells(&conditions, &[0.5], &[]).is_err());
        assert!(super::cells(&conditions, &[f32::NAN], &[]).is_err());
    }

    #[test]
    fn boxes_come_from_policy_or_truth_and_grow() {
        let cell = |condition, expand| Cell {
            condition,
            expand,
            longest_edge: None,
        };
        let proposed = Boxes {
            proposed: NormBox::new(40.0, 40.0, 60.0, 60.0).ok(),
            attention: NormBox::new(1.0, 2.0, 3.0, 4.0).ok(),
            ..Boxes::default()
        };
        let truth = sample(vec![[10.0, 10.0, 30.0, 20.0]]);
        assert_eq!(cell(Condition::Full, 4.0).bbox(&truth, &proposed), None);
        assert_eq!(
            cell(Condition::Crop, 4.0).bbox(&truth, &proposed),
            NormBox::new(30.0, 30.0, 70.0, 70.0).ok()
        );
        assert_eq!(
            cell(Condition::FullTrue, 1.0).bbox(&truth, &proposed),
            NormBox::new(10.0, 20.0, 30.0, 40.0).ok()
        );
        assert_eq!(
            cell(Condition::FullAttention, 1.0).bbox(&truth, &proposed),
            proposed.attention
        );
        let nothing = Boxes::default();
        for condition in [
            Condition::FullCrop,
            Condition::FullFixed,
            Condition::FullSearched,
        ] {
            assert_eq!(cell(condition, 1.0).bbox(&truth, &nothing), None);
        }
        assert!(!cell(Condition::FullTrue, 1.0).takes(&sample(Vec::new())));
    }

    #[test]
    fn blank_and_noise_have_the_crops_size_and_nothing_of_it() {
        let full = RgbImage::from_pixel(40, 20, Rgb([255, 0, 0]));
        let bbox = NormBox::new(0.0, 0.0, 50.0, 50.0).expect("box");
        let of = |condition, id| {
            let cell = Cell {
                condition,
                expand: 1.0,
                longest_edge: None,
            };
            cell.picture(id, &full, bbox)
        };
        assert_eq!(of(Condition::Crop, "a").get_pixel(3, 3).0, [255, 0, 0]);
        assert!(
            of(Condition::FullBlank, "a")
                .pixels()
                .all(|p| p.0 == [127; 3])
        );
        let noise = of(Condition::FullNoise, "a");
        assert_eq!(noise.dimensions(), (20, 10));
        assert_eq!(noise, of(Condition::FullNoise, "a"));
        assert_ne!(noise, of(Condition::FullNoise, "b"));
    }
}
