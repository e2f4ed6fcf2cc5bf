//! The model that reads: full image, then crop, then the question. What `score` and `answer` share,
//! and the reward model that reads many crops of a picture at once.

mod model;
pub mod rows;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grounding::prompt::answer_prompt;
use grounding::{Case, NormBox};
use picture::RgbImage;
use serde::Deserialize;
use smolvlm::{ModelFiles, Prompt, SmolVlm};

use crate::data;
use crate::device::DeviceKind;
use crate::model::ModelArgs;

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

/// Checks that a folder holds a text model before gigabytes are read.
///
/// # Errors
/// A folder of another kind of model, with what to use instead.
pub fn require_text_model(dir: &Path, command: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Kind {
        model_type: Option<String>,
    }
    let files = ModelFiles::from_dir_where(dir, |name| name == "config.json")?;
    let kind: Kind = files
        .json("config.json")
        .with_context(|| format!("model folder {}", dir.display()))?;
    match kind.model_type.as_deref() {
        Some("cropvlm_map") => bail!(
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
pub fn read(args: &ReaderArgs, bbox: Option<NormBox>, command: &str) -> Result<(SmolVlm, Prompt)> {
    if args.question.trim().is_empty() {
        bail!("the question is empty: say what you want to know about the picture");
    }
    // Before gigabytes are read: the kind of model, then the picture.
    require_text_model(&args.model.model, command)?;
    let picture = data::picture(&args.image)?;
    let model = args.model.text_model(command, &args.device.open()?)?;
    let crop = bbox.map(|bbox| crop(&picture, Some(bbox)));
    let pictures: Vec<&RgbImage> = std::iter::once(&picture).chain(&crop).collect();
    let tiles = model.pictures(&pictures, args.longest_edge)?;
    let scene = model.read_pictures(&tiles, &model.encode(&tiles))?;
    let prompt = model.ask(&scene, &answer_prompt(&args.question, args.case()))?;
    Ok((model, prompt))
}
