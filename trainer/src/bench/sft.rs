//! `cropvlm bench sft`: seconds of an SFT step by its parts, and whether a device computes what the processor does.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::optim::GradientsParams;
use policy::Policy;

use crate::device::DeviceKind;
use crate::sft::{self, Batch, SftConfig, Work};
use crate::train::{AdamW, by_name, norm, peak_memory};

/// Measure an SFT step of a configuration: batch, loss, gradients, update.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm bench sft --config trainer/configs/forms.toml
  cropvlm bench sft --config trainer/configs/forms.toml --device cuda --set pages=32 --check --json

Parts: batch (one thread draws the views; training draws ahead, on several), loss (forward, with what is read back
from the device), gradients, update (AdamW). One batch at a time is measured; `sft` computes those of a step side by side on a
processor (`accumulation`), which is faster. --check computes the loss and the gradients of one batch on the processor,
too, and prints how far they are apart: |difference| / |processor's|, by norms, over all and for the worst tensor.")]
pub struct SftArgs {
    /// Configuration of `cropvlm sft`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides a key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Steps that are measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    steps: u64,
    /// Steps before, not measured
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: u64,
    /// Compare loss and gradients of one batch with the processor's
    #[arg(long)]
    check: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

const PARTS: [&str; 4] = ["batch", "loss", "gradients", "update"];

/// Runs the command.
///
/// # Errors
/// A configuration or data that cannot be read, a device that is not there or fails.
pub fn run(args: &SftArgs) -> Result<()> {
    let config = SftConfig::read(&args.config, &args.set, None)?;
    let mut policy = sft::start(&config, args.device)?;
    let work = Work::open(&config, &policy)?;
    let check = match args.check {
        true => Some(compare(&config, &policy, &work.make(&config, 0)?)?),
        false => None,
    };
    let mut optimizer = AdamW::new(&config.optimizer);
    let mut sums = [0.0; PARTS.len()];
    for step in 0..args.warmup + args.steps.max(1) {
        let seconds;
        (policy, seconds) = one(&config, &work, policy, &mut optimizer, step)?;
        let shown = PARTS.iter().zip(seconds);
        let shown: Vec<String> = shown.map(|(name, s)| format!("{name} {s:.3}")).collect();
        eprintln!("step {}: {} s", step + 1, shown.join(", "));
        if step >= args.warmup {
            sums.iter_mut().zip(seconds).for_each(|(sum, s)| *sum += s);
        }
    }
    let means = sums.map(|sum| sum / args.steps.max(1) as f64);
    report(args, &config, means, check)
}

/// One step; seconds of its [`PARTS`].
fn one(
    config: &SftConfig,
    work: &Work,
    policy: Policy,
    optimizer: &mut AdamW,
    step: u64,
) -> Result<(Policy, [f64; 4])> {
    let device = policy.device();
    let settle = || {
        let done = device.sync();
        done.map_err(|e| anyhow::anyhow!("the device failed: {e:?}"))
    };
    let mut at = Instant::now();
    let mut lap = || {
        let seconds = at.elapsed().as_secs_f64();
        at = Instant::now();
        seconds
    };
    let batch = work.make(config, step)?;
    let drawn = lap();
    let loss = batch.loss(config, &policy)?;
    settle()?;
    let forward = lap();
    let gradients = policy.gradients(&mut loss.total.backward());
    settle()?;
    let backward = lap();
    let (policy, _) = optimizer.step(policy, gradients, 1e-6)?;
    settle()?;
    Ok((policy, [drawn, forward, backward, lap()]))
}

/// How far a device is from the processor.
struct Apart {
    loss: f64,
    gradients: f64,
    worst: (String, f64),
}

fn compare(config: &SftConfig, policy: &Policy, batch: &Batch) -> Result<Apart> {
    let there = step_of(config, policy, batch)?;
    let here = sft::start(config, DeviceKind::Cpu)?;
    let weights = policy.weights()?.into_iter().collect();
    let here = step_of(config, &here.with_weights(weights)?, batch)?;
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let (mut far, mut whole, mut worst) = (0.0, 0.0, (String::new(), 0.0));
    for (name, own) in &here.1 {
        let other = there.1.get(name);
        let other = other.with_context(|| format!("{name}: no gradient on the device"))?;
        let pairs = own.iter().zip(other);
        let apart = square(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let size = square(&mut own.iter().map(|v| f64::from(*v)));
        far += apart;
        whole += size;
        let share = (apart / size.max(f64::MIN_POSITIVE)).sqrt();
        if share > worst.1 {
            worst = (name.clone(), share);
        }
    }
    Ok(Apart {
        loss: (there.0 - here.0).abs() / here.0.abs(),
        gradients: (far / whole).sqrt(),
        worst,
    })
}

/// Loss and gradients of a batch.
fn step_of(
    config: &SftConfig,
    policy: &Policy,
    batch: &Batch,
) -> Result<(f64, std::collections::BTreeMap<String, Vec<f32>>)> {
    let loss = batch.loss(config, policy)?;
    let value = f64::from(loss.total.clone().into_scalar::<f32>());
    let gradients: GradientsParams = policy.gradients(&mut loss.total.backward());
    eprintln!(
        "loss {value:.6}, gradient's norm {:.6}",
        norm(policy, &gradients)
    );
    Ok((value, by_name(policy, &gradients)?))
}

fn report(args: &SftArgs, config: &SftConfig, means: [f64; 4], check: Option<Apart>) -> Result<()> {
    let computed: f64 = means[1..].iter().sum();
    let pages = (config.pages as f64) / computed;
    let memory = peak_memory();
    if args.json {
        let seconds: serde_json::Map<_, _> = PARTS
            .iter()
            .zip(means)
            .map(|(n, s)| (n.to_string(), s.into()))
            .collect();
        let apart = check.map(|c| {
            serde_json::json!({"loss": c.loss, "gradients": c.gradients, "worst_tensor": c.worst.0, "worst": c.worst.1})
        });
        let line = serde_json::json!({
            "seconds": seconds, "pages": config.pages, "pages_per_second": pages, "apart": apart,
            "peak_memory_bytes": memory,
        });
        println!("{line}");
        return Ok(());
    }
    println!("| part | seconds |\n|---|---|");
    for (name, seconds) in PARTS.iter().zip(means) {
        println!("| {name} | {seconds:.3} |");
    }
    println!(
        "\n{} pages a step, {pages:.1} pages a second without drawing them",
        config.pages
    );
    if let Some(apart) = check {
        println!(
            "from the processor: loss {:.1e}, gradients {:.1e}, worst tensor {} {:.1e}",
            apart.loss, apart.gradients, apart.worst.0, apart.worst.1
        );
    }
    Ok(())
}
