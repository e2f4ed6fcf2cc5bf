//! The model that reads: full image, then crop, then the question. What `score` and `answer` share,
//! and the reward model that reads many crops of a picture at once: a folder's, or a provider's (`api.rs`).

pub mod api;
mod letters;
mod model;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use grounding::prompt::answer_prompt;
use grounding::{Case, NormBox};
use picture::RgbImage;
use policy::map::MODEL_TYPE as MAP;
use serde::Deserialize;
use smolvlm::{ModelFiles, Precision};

use crate::data;
use crate::device::DeviceKind;
use crate::model::{ModelArgs, there};
use crate::text::{Read, TextModel};

pub use self::api::{ApiConfig, ApiReader, BudgetSpent};
pub use self::letters::{LetterReader, Reading};
pub use self::model::{Crops, FullImage, RewardModel, crop};

/// Model, picture, question: what both commands take.
#[derive(clap::Args, Debug)]
pub struct ReaderArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Picture: JPEG, PNG, GIF, WebP or BMP
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// What is asked about the picture
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    question: String,
    /// Keep the letters' case instead of capitalising as the CropVLM reference does
    #[arg(long)]
    keep_case: bool,
    /// Longest edge that the network gets to see of each picture, in pixels [default: one tile,
    /// 512 for SmolVLM]
    #[arg(long, value_name = "N")]
    longest_edge: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print one JSON line
    #[arg(long)]
    pub json: bool,
}

impl ReaderArgs {
    /// How letters are treated, in question and answer.
    pub fn case(&self) -> Case {
        if self.keep_case {
            Case::Keep
        } else {
            Case::Capitalize
        }
    }
}

/// `model_type` of a folder's configuration, where it names one.
fn kind(dir: &Path) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Kind {
        model_type: Option<String>,
    }
    there(dir)?;
    let files = ModelFiles::from_dir_where(dir, |name| name == "config.json")?;
    let kind: Kind = files
        .json("config.json")
        .with_context(|| format!("model folder {}", dir.display()))?;
    Ok(kind.model_type)
}

/// Who reads for a reward.
#[allow(clippy::large_enum_variant)] // a run holds one
pub enum Reader {
    /// A VLM, as in the paper.
    Vlm(RewardModel),
    /// A map policy's letters.
    Letters(LetterReader),
}

impl Reader {
    /// Loads either, as the folder's `model_type` says. `longest_edge` bounds what it gets to see.
    ///
    /// # Errors
    /// A folder that holds neither, or a broken one.
    pub fn load(dir: &Path, device: &Device, case: Case, edge: Option<usize>) -> Result<Self> {
        Ok(match kind(dir)?.as_deref() {
            Some(MAP) => Self::Letters(LetterReader::load(dir, device, edge)?),
            _ => Self::Vlm(RewardModel::load(dir, device, case, edge)?),
        })
    }

    /// Whether the reader is shown the full image before a crop.
    pub fn with_full_image(self, shown: bool) -> Self {
        match self {
            Self::Vlm(model) => Self::Vlm(model.with_full_image(shown)),
            Self::Letters(letters) => Self::Letters(letters.with_full_image(shown)),
        }
    }

    /// The same reader with a VLM's weights in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        match self {
            Self::Vlm(model) => Self::Vlm(model.with_precision(precision)),
            letters => letters,
        }
    }
}

/// Checks that a folder holds a text model before gigabytes are read.
///
/// # Errors
/// A folder of another kind of model, with what to use instead.
pub fn require_text_model(dir: &Path, command: &str) -> Result<()> {
    match kind(dir)?.as_deref() {
        Some(MAP) => bail!(
            "model folder {}: it holds a map policy, which proposes boxes but writes no text; \
             `{command}` needs a text model, a folder with model_type idefics3 such as \
             SmolVLM-256M-Instruct",
            dir.display()
        ),
        // Other types are refused by the loader, by name.
        _ => Ok(()),
    }
}

/// Loads the model and lets it read picture, crop (where there is a box) and question.
///
/// # Errors
/// A model folder or picture that cannot be read, an empty question, a failed device.
pub fn read(args: &ReaderArgs, bbox: Option<NormBox>, command: &str) -> Result<(TextModel, Read)> {
    if args.question.trim().is_empty() {
        bail!("the question is empty: say what you want to know about the picture");
    }
    // Before gigabytes are read: the kind of model, then the picture.
    require_text_model(&args.model.model, command)?;
    let picture = data::picture(&args.image)?;
    let model = TextModel::open(&args.model, args.device, command)?;
    let crop = bbox.map(|bbox| crop(&picture, Some(bbox)));
    let pictures: Vec<&RgbImage> = std::iter::once(&picture).chain(&crop).collect();
    let (tiles, tokens) = model.encode(&pictures, args.longest_edge)?;
    let text = answer_prompt(&args.question, args.case());
    let prompt = model.read(&tiles, &tokens, &text)?;
    Ok((model, prompt))
}
