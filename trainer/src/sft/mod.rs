//! `cropvlm sft`: supervised training of a policy on questions with true boxes.
//!
//! ```text
//! config + data -> pages -> batch of step s (augmented; depends on seed and s only)
//!   -> policy loss -> gradient -> AdamW -> checkpoint -> model folder
//! ```
//!
//! A step's batch follows from the seed and the step's number, and a checkpoint holds weights,
//! optimizer and step, so a run that was stopped, at whatever point, goes on bit for bit as if it
//! had not been.

mod augment;
mod batch;
mod checkpoint;
mod config;
mod optimizer;
mod pages;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::{ModelFiles, Policy};

use self::batch::Batches;
use self::checkpoint::Checkpoint;
use self::config::SftConfig;
use self::optimizer::AdamW;
use crate::data::DataSet;
use crate::device::DeviceKind;
use crate::metrics::{self, Metrics};

/// Train a policy on questions with true boxes (supervised fine-tuning).
///
/// The run's folder gets the resolved config, metrics.jsonl and the same for TensorBoard
/// (tensorboard/), a checkpoint and, at every checkpoint, model/: the folder that every other command
/// loads. Ctrl-C saves and ends; the same command goes on from the last checkpoint.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm sft --config trainer/configs/default.toml --out runs/first
  cropvlm sft --config trainer/configs/default.toml --out runs/short --steps 500")]
pub struct Args {
    /// Configuration (TOML); every key is described in trainer/configs/default.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Overrides the number of steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

/// Runs the command.
///
/// # Errors
/// Configuration, data, a loss that is not finite, a disk that is full.
pub fn run(args: Args) -> Result<()> {
    let mut config = SftConfig::read(&args.config)?;
    if let Some(steps) = args.steps {
        config.steps = steps;
    }
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot be made", args.out.display()))?;
    let resolved = toml::to_string_pretty(&config)?;
    std::fs::write(args.out.join("config.toml"), resolved)
        .with_context(|| format!("{}: cannot be written", args.out.display()))?;

    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;

    let device = args.device.open()?.autodiff();
    let mut policy = match &config.init {
        Some(dir) => Policy::start(&ModelFiles::from_dir(dir)?, config.seed, &device)
            .with_context(|| format!("init {}", dir.display()))?,
        None => Policy::random_map(&config.model, config.seed, &device)?,
    };
    if let Some(adapter) = &config.adapter {
        policy
            .add_adapter(adapter, config.seed)
            .context("[adapter]")?;
    }
    let mut optimizer = AdamW::new(&config.optimizer);
    let place = Checkpoint::new(&args.out);
    let (mut policy, mut step) = place.load(policy, &mut optimizer)?;
    let weights: usize = policy.weights()?.iter().map(|(_, (_, v))| v.len()).sum();
    eprintln!(
        "{:.2} M weights; step {step} of {}",
        weights as f64 / 1e6,
        config.steps
    );

    let batches = Batches::open(&config, policy.canvas())?;
    eprintln!(
        "{} pages, {} questions, {} printed lines",
        batches.pages(),
        batches.questions(),
        batches.lines()
    );
    let evaluation = config
        .eval
        .as_ref()
        .map(|e| DataSet::open(&e.data, None, Some(e.limit)))
        .transpose()?;

    let mut metrics = Metrics::open(&args.out, step)?;
    let (sender, receiver) = mpsc::sync_channel(2);
    let first = step;
    let steps = config.steps;
    std::thread::scope(|scope| -> Result<()> {
        // The next batches are prepared while this one is computed.
        let batches = &batches;
        let config = &config;
        scope.spawn(move || {
            for step in first..steps {
                if sender.send(batches.make(config, step)).is_err() {
                    break;
                }
            }
        });
        let receiver = receiver;
        let mut progress = Progress::new(first, steps);
        while step < steps {
            let targets = receiver.recv().context("the data thread ended")??;
            // An adapter's dropout follows seed and step, as the batch does.
            policy.set_dropout(Some(config.seed.wrapping_add(step)));
            let loss = pollster::block_on(policy.sft_loss(&targets))?;
            policy.set_dropout(None);
            let total: f64 = f64::from(loss.total.clone().into_scalar::<f32>());
            if !total.is_finite() {
                anyhow::bail!(
                    "the loss of step {step} is {total}; the last good checkpoint is kept; questions: {:?}",
                    targets.questions
                );
            }
            let parts: Vec<(&str, f64)> = loss
                .parts
                .iter()
                .map(|(name, part)| (*name, f64::from(part.clone().into_scalar::<f32>())))
                .collect();
            let mut gradients = loss.total.backward();
            let gradients = policy.gradients(&mut gradients);
            let rate = config.optimizer.rate(step, steps);
            let norm;
            (policy, norm) = optimizer.step(policy, gradients, rate);
            step += 1;
            progress.step(step, total, &parts, targets.questions.len());
            if step % config.log_every == 0 || step == steps {
                let mut line = serde_json::json!({
                    "step": step, "loss": total, "lr": rate, "grad_norm": norm,
                    "samples_per_second": progress.rate(),
                });
                for (name, value) in &parts {
                    line[*name] = (*value).into();
                }
                metrics.write(&line)?;
            }
            let stopped = stop.load(Ordering::SeqCst);
            if step % config.checkpoint_every == 0 || step == steps || stopped {
                place.save(step, &policy, &optimizer)?;
                save_model(&args.out, &policy, &optimizer)?;
                if let Some(set) = &evaluation
                    && !stopped
                {
                    let line = evaluate(&args.out, set, step)?;
                    eprintln!("\n{line}");
                    metrics.write(&line)?;
                }
            }
            if stopped {
                eprintln!("\nstopped at step {step}; the same command goes on from here");
                break;
            }
        }
        drop(receiver);
        Ok(())
    })
}

/// Writes the averaged weights as a model folder that every command loads; an adapter is merged into
/// it, and stands beside it as a PEFT folder.
fn save_model(out: &Path, policy: &Policy, optimizer: &AdamW) -> Result<()> {
    let averaged = policy
        .without_gradients()
        .with_weights(optimizer.averaged(policy)?)?;
    pollster::block_on(averaged.files())?.save(&out.join("model"))?;
    if let Some(adapter) = pollster::block_on(averaged.adapter_files())? {
        adapter.save(&out.join("adapter"))?;
    }
    Ok(())
}

fn evaluate(out: &Path, set: &DataSet, step: u64) -> Result<serde_json::Value> {
    let files = ModelFiles::from_dir(&out.join("model"))?;
    let policy = Policy::load(&files, &Device::flex())?;
    let picture = |image: &str| set.picture(image);
    let boxes = crate::eval::boxes(&policy, &set.samples, None, picture, |_| ())?;
    let report = crate::eval::report(&set.samples, &boxes, 0.0);
    Ok(metrics::prefixed("eval", &report, step))
}

/// A line that says how far the run is.
struct Progress {
    start: Instant,
    first: u64,
    steps: u64,
    step: u64,
    samples: usize,
    loss: f64,
    terminal: bool,
}

impl Progress {
    fn new(first: u64, steps: u64) -> Self {
        Self {
            start: Instant::now(),
            first,
            steps,
            step: first,
            samples: 0,
            loss: f64::NAN,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn rate(&self) -> f64 {
        self.samples as f64 / self.start.elapsed().as_secs_f64()
    }

    fn step(&mut self, step: u64, loss: f64, parts: &[(&str, f64)], samples: usize) {
        self.step = step;
        self.samples += samples;
        self.loss = if self.loss.is_nan() {
            loss
        } else {
            0.98 * self.loss + 0.02 * loss
        };
        if !self.terminal && step % 50 != 0 {
            return;
        }
        let done = (step - self.first) as f64;
        let left = self.start.elapsed().as_secs_f64() / done * (self.steps - step) as f64;
        let parts: Vec<String> = parts.iter().map(|(n, v)| format!("{n} {v:.2}")).collect();
        let line = format!(
            "step {step}/{} loss {:.3} ({}) {:.1} samples/s, {} left",
            self.steps,
            self.loss,
            parts.join(", "),
            self.rate(),
            duration(left)
        );
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
        } else {
            eprintln!("{line}");
        }
    }
}

fn duration(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min", s / 60),
        _ => format!("{:.1} h", s as f64 / 3600.0),
    }
}
