//! `cropvlm export`: a model folder for use elsewhere. A map policy is quantized for shipping; a text
//! policy gets its adapter merged and its number type chosen, as a folder that transformers loads, or its weights packed into
//! blocks and shards (`--quant`), tensor by tensor.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use mapnet::Doubt;
use mapnet::manifest::is_table;
use policy::{MapConfig, MapPolicy, ModelFiles, Policy, TextPolicy};
use smolvlm::{Precision, Quant};
use tensors::{SINGLE, Values};

use crate::model::{self, ModelArgs};
use crate::reader::require_text_model;
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

/// Blocks of a text policy's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Blocks {
    /// int8 in blocks of 32 with an f16 scale: 8.5 bits a weight.
    Q8,
    /// 4 bits in blocks of 32 with an f16 scale, q8 where that is too coarse.
    Q4,
}

impl From<Blocks> for Quant {
    fn from(blocks: Blocks) -> Self {
        match blocks {
            Blocks::Q8 => Quant::Q8,
            Blocks::Q4 => Quant::Q4,
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
  cropvlm export --model runs/more/model --mix models/default --mix-share 0.25 --out models/mine
  cropvlm export --model models/default --words models/words/words.safetensors --out models/mine

A network that learned more from where another one ended, and the other one, may be mixed weight by weight: between them
lie networks that have learned the new and forgotten less of the old (Wortsman et al., arXiv 2109.01903).

A text policy with an adapter:
  cropvlm export --model SmolVLM-256M-Instruct --adapter runs/grpo/adapter --out models/crop --precision bf16

Packed, in shards of at most 64 MB with their SHA-256 in model.safetensors.index.json; every command takes such a folder
(SmolVLM-256M-Instruct: q8 273 MB, q4 163 MB, bf16 513 MB):
  cropvlm export --quant q8 --model SmolVLM-256M-Instruct --out models/smolvlm-q8
  cropvlm export --quant q4 --model SmolVLM-256M-Instruct --adapter runs/grpo/adapter --out models/crop-q4")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Model folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number type of the weights (text policy) [default: f32]
    #[arg(long, value_enum)]
    precision: Option<Type>,
    /// Pack the weights into blocks and shards (text policy)
    #[arg(long, value_enum, conflicts_with_all = ["precision", "full", "coverage", "area_price", "doubt_below", "mix", "words"])]
    quant: Option<Blocks>,
    /// Keep the weights in full precision (map policy)
    #[arg(long)]
    full: bool,
    /// Set the probability with which each proposed edge covers the evidence (map policy)
    #[arg(long, value_name = "P")]
    coverage: Option<f64>,
    /// Set the probability that the whole picture's area has to be worth (map policy)
    #[arg(long, value_name = "PRICE")]
    area_price: Option<f64>,
    /// Propose a wider box where a box holds less than this share of the distribution (map policy); 0 never
    #[arg(long, value_name = "SHARE")]
    doubt_below: Option<f64>,
    /// The price of area there, at most --area-price
    #[arg(long, value_name = "PRICE", requires = "doubt_below")]
    doubt_price: Option<f64>,
    /// Mix the weights with those of this model folder, of the same shape (map policy)
    #[arg(long, value_name = "DIR", requires = "mix_share")]
    mix: Option<PathBuf>,
    /// Share of the folder of --mix in every weight, 0 to 1; the rest is --model's
    #[arg(long, value_name = "SHARE", requires = "mix")]
    mix_share: Option<f32>,
    /// Put another table of what words mean in the place of the model's own, with as many words (map policy)
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A folder that holds no policy, an option of the other kind of policy, a folder that cannot be
/// written.
pub fn run(args: Args) -> Result<()> {
    let inputs = [
        Some(&args.model.model),
        args.model.adapter.as_ref(),
        args.mix.as_ref(),
        args.words.as_ref(),
    ];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    write::not_an_input(&args.out, &inputs)?;
    write::check_model_folder(&args.out)?;
    if let Some(blocks) = args.quant {
        return packed(&args, blocks.into());
    }
    let out = match args.model.policy(&Device::flex())? {
        Policy::Map(policy) => map(&args, policy)?,
        Policy::Text(policy) => text(&args, &policy)?,
    };
    write::folder(&args.out, |new| {
        out.save(new)?;
        keep_others(&args.out, new)
    })?;
    done(&args.out, out.get("model.safetensors")?.len());
    Ok(())
}

fn done(out: &Path, bytes: usize) {
    let shown = out.display();
    println!("{shown}: {:.2} MB of weights", bytes as f64 / 1e6);
    eprintln!("Every command takes it: --model {shown}");
}

/// Writes a text model's folder with its weights in blocks; no more than a shard of them is in memory.
fn packed(args: &Args, quant: Quant) -> Result<()> {
    require_text_model(&args.model.model, "export --quant")?;
    let files = model::files(&args.model.model)?;
    let adapter = args.model.adapter.as_deref().map(model::files);
    let adapter = adapter.transpose()?;
    let about = || match &args.model.adapter {
        None => format!("model folder {}", args.model.model.display()),
        Some(adapter) => format!(
            "model folder {} with adapter folder {}",
            args.model.model.display(),
            adapter.display()
        ),
    };
    let mut bytes = 0;
    write::folder(&args.out, |new| {
        let put = |name: &str, content: Vec<u8>| {
            if name.ends_with(".safetensors") {
                bytes += content.len();
                eprintln!("{name}: {:.2} MB", content.len() as f64 / 1e6);
            }
            let path = new.join(name);
            std::fs::write(&path, content)
                .with_context(|| format!("{}: cannot be written", path.display()))
        };
        smolvlm::pack(&files, adapter.as_ref(), quant, put).with_context(about)?;
        keep_others(&args.out, new)
    })?;
    done(&args.out, bytes);
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
    if let (Some(other), Some(share)) = (&args.mix, args.mix_share) {
        policy = mixed(&policy, other, share)?;
    }
    if let Some(table) = &args.words {
        policy = with_table(&policy, table)?;
    }
    if let Some(coverage) = args.coverage {
        policy.config.coverage = coverage;
    }
    if let Some(price) = args.area_price {
        policy.config.area_price = price;
    }
    if let Some(below) = args.doubt_below {
        let before = policy.config.doubt.map(|doubt| doubt.area_price);
        let area_price = args.doubt_price.or(before);
        policy.config.doubt = match area_price {
            _ if below == 0.0 => None,
            Some(area_price) => Some(Doubt { below, area_price }),
            None => bail!(
                "--doubt-below needs --doubt-price: what area costs where the policy is not sure"
            ),
        };
    }
    policy.config.check()?;
    Ok(policy.files(!args.full)?)
}

/// Tensors by name.
type Weights = HashMap<String, Values>;

/// A policy whose every weight is `1 - share` of the policy's and `share` of the other one's.
fn mixed(policy: &MapPolicy, other: &Path, share: f32) -> Result<MapPolicy> {
    if !(0.0..=1.0).contains(&share) {
        bail!("--mix-share {share}: has to be between 0 and 1");
    }
    let about = || format!("--mix {}", other.display());
    let files = ModelFiles::from_dir(other).with_context(about)?;
    let mut out = policy.files(false)?;
    let mut weights = tensors::read(SINGLE, out.get(SINGLE)?)?;
    let mut theirs = their_weights(&files, policy, &weights).with_context(about)?;
    for (name, (shape, values)) in &mut weights {
        let Some((_, other)) = theirs.remove(name).filter(|(other, _)| other == shape) else {
            bail!(
                "{}: has no tensor {name} of shape {shape:?}; mix with a model of the same shape",
                about()
            );
        };
        for (value, other) in values.iter_mut().zip(other) {
            *value += share * (other - *value);
        }
    }
    if let Some(name) = theirs.keys().next() {
        bail!(
            "{}: has a tensor {name} more; mix with a model of the same shape",
            about()
        );
    }
    let bytes = tensors::write(SINGLE, weights, tensors::Precision::F32)?;
    out.insert(SINGLE, bytes);
    Ok(MapPolicy::load(&out, &Device::flex())?)
}

/// A policy with another table of words, as long as its own.
fn with_table(policy: &MapPolicy, path: &Path) -> Result<MapPolicy> {
    let about = || format!("--words {}", path.display());
    let read = || -> Result<Weights> {
        let bytes = std::fs::read(path)?;
        Ok(tensors::read(&path.display().to_string(), &bytes)?)
    };
    let table = read().with_context(about)?;
    let mut out = policy.files(false)?;
    let mut weights = tensors::read(SINGLE, out.get(SINGLE)?)?;
    for (name, values) in table {
        let own = weights.get_mut(&name).filter(|own| own.0 == values.0);
        let Some(own) = own else {
            bail!(
                "{}: its {name} of shape {:?} is not the shape of the model's table; one of as many words is needed",
                about(),
                values.0
            );
        };
        *own = values;
    }
    let bytes = tensors::write(SINGLE, weights, tensors::Precision::F32)?;
    out.insert(SINGLE, bytes);
    Ok(MapPolicy::load(&out, &Device::flex())?)
}

/// The weights of the model that is mixed in; where it has no table of words and the policy has, with that table, which changes nothing.
fn their_weights(files: &ModelFiles, policy: &MapPolicy, own: &Weights) -> Result<Weights> {
    let has_table = || Ok::<bool, anyhow::Error>(files.json::<MapConfig>("config.json")?.words > 0);
    if policy.config.words == 0 || has_table()? {
        return Ok(tensors::read(SINGLE, files.get(SINGLE)?)?);
    }
    let table = own.iter().filter(|(name, _)| is_table(name));
    let table = table.map(|(name, values)| (name.clone(), values.clone()));
    let other = Policy::load(files, &Device::flex())?.with_words(table.collect(), 0)?;
    Ok(other.weights()?.into_iter().collect())
}

fn text(args: &Args, policy: &TextPolicy) -> Result<ModelFiles> {
    if args.coverage.is_some() || args.area_price.is_some() || args.doubt_below.is_some() {
        bail!(
            "--coverage, --area-price and --doubt-below are for map policies; this folder holds a text policy"
        );
    }
    if args.mix.is_some() {
        bail!("--mix is for map policies; this folder holds a text policy");
    }
    if args.words.is_some() {
        bail!("--words is for map policies; this folder holds a text policy");
    }
    if args.full && args.precision.is_some_and(|kind| kind != Type::F32) {
        bail!("--full means f32: leave out one of --full and --precision");
    }
    let precision = args.precision.unwrap_or(Type::F32).into();
    pollster::block_on(policy.files(precision))
        .with_context(|| format!("model folder {}", args.model.model.display()))
}
