//! `cropvlm debug`: what goes into a model and what a training step computes, for comparing with other
//! implementations.

mod grpo_step;
mod reward;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use grounding::Case;
use grounding::prompt::policy_prompt;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use smolvlm::{Config, ImageProcessor, ModelFiles, Prompts};

use crate::data;
use crate::reader::require_text_model;
use crate::write;

/// Look into what the other commands compute with.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Inputs(InputsArgs),
    GrpoStep(grpo_step::StepArgs),
    Reward(reward::RewardArgs),
}

/// Write the inputs of a text policy: pixel_values [1, tiles, 3, H, W] f32, input_ids [1, T] i64.
///
/// The prompt is the policy's; transformers makes the same with the Pillow image processor
/// (`AutoImageProcessor.from_pretrained(DIR, backend="pil")`). Weights are not read.
#[derive(clap::Args, Debug)]
struct InputsArgs {
    /// Model folder: a Hugging Face folder of an Idefics3 model
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Picture: JPEG, PNG, GIF, WebP or BMP
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// What is asked about the picture
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    question: String,
    /// Keep the letters' case instead of capitalising as the CropVLM reference does
    #[arg(long)]
    keep_case: bool,
    /// Longest edge in pixels [default: one tile, 512 for SmolVLM]
    #[arg(long, value_name = "N")]
    longest_edge: Option<usize>,
    /// Where the tensors go
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A model folder or picture that cannot be read, an empty question, a file that cannot be written.
pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Inputs(args) => inputs(&args),
        What::GrpoStep(args) => grpo_step::run(&args),
        What::Reward(args) => reward::run(&args),
    }
}

fn inputs(args: &InputsArgs) -> Result<()> {
    if args.question.trim().is_empty() {
        bail!("the question is empty: say what you want to know about the picture");
    }
    write::not_an_input(&args.out, &[&args.image, &args.model])?;
    write::check_file(&args.out)?;
    require_text_model(&args.model, "debug inputs")?;
    let picture = data::picture(&args.image)?;
    let folder = || format!("model folder {}", args.model.display());
    let files = ModelFiles::from_dir_where(&args.model, |name| !name.ends_with(".safetensors"))?;
    let config = Config::from_files(&files).with_context(folder)?;
    let images = ImageProcessor::from_files(&files).with_context(folder)?;
    let prompts = Prompts::from_files(&files, &config, images.tile()).with_context(folder)?;

    let edge = args.longest_edge.unwrap_or(images.tile());
    let tiles = images.process(&[&picture], edge)?;
    let case = if args.keep_case {
        Case::Keep
    } else {
        Case::Capitalize
    };
    let mut ids = prompts.head(&tiles)?;
    ids.extend(prompts.tail(&policy_prompt(&args.question, case))?);

    let pixels: Vec<u8> = tiles.values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let longs: Vec<u8> = ids
        .iter()
        .flat_map(|&id| i64::from(id).to_le_bytes())
        .collect();
    let shape = vec![1, tiles.tiles(), 3, tiles.side, tiles.side];
    let tensors = [
        ("pixel_values", TensorView::new(Dtype::F32, shape, &pixels)?),
        (
            "input_ids",
            TensorView::new(Dtype::I64, vec![1, ids.len()], &longs)?,
        ),
    ];
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(tensors, Some(metadata))?;
    write::file(&args.out, &bytes)?;
    eprintln!(
        "{}: {} tiles of {} pixels, {} tokens",
        args.out.display(),
        tiles.tiles(),
        tiles.side,
        ids.len()
    );
    Ok(())
}
