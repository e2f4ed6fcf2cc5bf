//! `cropvlm export`: a model folder for use elsewhere. A map policy is quantized for shipping; a text
//! policy gets its adapter merged and its number type chosen, as a folder that transformers loads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use policy::{MapPolicy, ModelFiles, Policy, TextPolicy};
use smolvlm::Precision;

use crate::model::ModelArgs;
use crate::write;

/// Number types of a text policy's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Type {
    /// 32 bits: nothing is lost.
    F32,
    /// 16 bits, 10 of them fraction.
    F16,
    /// 16 bits with f32's range: what SmolVLM is published in.
    Bf16,
}

impl From<Type> for Precision {
    fn from(kind: Type) -> Self {
        match kind {
            Type::F32 => Precision::F32,
            Type::F16 => Precision::F16,
            Type::Bf16 => Precision::BF16,
        }
    }
}

/// Turn a run's model into one for use elsewhere.
///
/// A map policy becomes one that ships: int8 weights, one scale a row. A text policy becomes a plain
/// folder that transformers loads: its adapter, if there is one, is added to the weights.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm export --model runs/first/model --out models/mine
  cropvlm export --model runs/first/model --out full --full --coverage 0.95
  cropvlm export --model SmolVLM-256M-Instruct --adapter runs/grpo/adapter --out models/crop --precision bf16")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Model folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number type of the weights (text policy) [default: f32]
    #[arg(long, value_enum)]
    precision: Option<Type>,
    /// Keep the weights in full precision (map policy)
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
/// A folder that holds no policy, an option of the other kind of policy, a folder that cannot be
/// written.
pub fn run(args: Args) -> Result<()> {
    let inputs = [Some(&args.model.model), args.model.adapter.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    write::not_an_input(&args.out, &inputs)?;
    write::check_model_folder(&args.out)?;
    let out = match args.model.policy(&Device::flex())? {
        Policy::Map(policy) => map(&args, policy)?,
        Policy::Text(policy) => text(&args, &policy)?,
    };
    write::folder(&args.out, |new| {
        out.save(new)?;
        keep_others(&args.out, new)
    })?;
    let bytes = out.get("model.safetensors")?.len();
    println!(
        "{}: {:.2} MB of weights",
        args.out.display(),
        bytes as f64 / 1e6
    );
    eprintln!("Every command takes it: --model {}", args.out.display());
    Ok(())
}

/// Takes what lies beside a model (its card, a licence) over from the folder that is replaced. Of the old model's own
/// files none stays.
fn keep_others(old: &Path, new: &Path) -> Result<()> {
    if !old.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(old)? {
        let from = entry?.path();
        let name = from.file_name().unwrap_or_default();
        let to = new.join(name);
        if !ModelFiles::is_one(&name.to_string_lossy()) && !to.exists() {
            std::fs::copy(&from, &to)
                .with_context(|| format!("{}: cannot be copied", from.display()))?;
        }
    }
    Ok(())
}

fn map(args: &Args, mut policy: MapPolicy) -> Result<ModelFiles> {
    if args.precision.is_some() {
        bail!(
            "--precision is for text policies; a map policy has int8 weights, or f32 with --full"
        );
    }
    if let Some(coverage) = args.coverage {
        policy.config.coverage = coverage;
    }
    if let Some(price) = args.area_price {
        policy.config.area_price = price;
    }
    policy.config.check()?;
    Ok(policy.files(!args.full)?)
}

fn text(args: &Args, policy: &TextPolicy) -> Result<ModelFiles> {
    if args.coverage.is_some() || args.area_price.is_some() {
        bail!("--coverage and --area-price are for map policies; this folder holds a text policy");
    }
    if args.full && args.precision.is_some_and(|kind| kind != Type::F32) {
        bail!("--full means f32: leave out one of --full and --precision");
    }
    let precision = args.precision.unwrap_or(Type::F32).into();
    pollster::block_on(policy.files(precision))
        .with_context(|| format!("model folder {}", args.model.model.display()))
}
