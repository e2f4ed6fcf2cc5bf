//! `cropvlm export`: the model folder of a run, quantized for shipping.

use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::{MapPolicy, ModelFiles};

/// Turn a run's model into one that ships: int8 weights, one scale a row.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm export --model runs/first/model --out models/default
  cropvlm export --model runs/first/model --out full --full --coverage 0.95")]
pub struct Args {
    /// Model folder to read
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Model folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Keep the weights in full precision
    #[arg(long)]
    full: bool,
    /// Set the probability with which each proposed edge covers the evidence (map policy)
    #[arg(long, value_name = "P")]
    coverage: Option<f64>,
    /// Set the probability that the whole picture's area has to be worth (map policy)
    #[arg(long, value_name = "PRICE")]
    area_price: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// A folder that does not hold a map policy, or a folder that cannot be written.
pub fn run(args: Args) -> Result<()> {
    let files = ModelFiles::from_dir(&args.model)?;
    let mut policy = MapPolicy::load(&files, &Device::flex())
        .with_context(|| format!("model folder {}", args.model.display()))?;
    if let Some(coverage) = args.coverage {
        policy.config.coverage = coverage;
    }
    if let Some(price) = args.area_price {
        policy.config.area_price = price;
    }
    policy.config.check()?;
    let out = policy.files(!args.full)?;
    out.save(&args.out)?;
    let bytes = out.get("model.safetensors")?.len();
    println!(
        "{}: {:.2} MB of weights",
        args.out.display(),
        bytes as f64 / 1e6
    );
    Ok(())
}
