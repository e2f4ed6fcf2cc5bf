//! `cropvlm sft`: supervised training of a policy on questions with true boxes, or of a reader on
//! questions with answers (`task = "answer"`).
//!
//! ```text
//! config + data -> pages -> batch of step s (augmented; depends on seed and s only)
//!   -> policy loss -> gradient -> AdamW -> checkpoint -> model folder
//! ```
//!
//! A step's batch follows from the seed and the step's number, and a checkpoint holds weights,
//! optimizer and step, so a run that was stopped, at whatever point, goes on bit for bit as if it
//! had not been.

mod ahead;
mod answer;
mod augment;
mod batch;
mod config;
mod found;
mod pages;
mod reword;
mod work;

pub use self::config::SftConfig;
pub use self::work::{Batch, Work};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use burn::optim::GradientsParams;
use burn::tensor::Device;
use policy::{ModelFiles, Policy};

use self::ahead::Ahead;
use self::config::Task;
use crate::data::DataSet;
use crate::device::DeviceKind;
use crate::eval::sentences;
use crate::metrics::{self, Metrics};
use crate::model;
use crate::proposer::Proposer;
use crate::reader::RewardModel;
use crate::stop::Stop;
use crate::train::{self, Accumulator, AdamW, Checkpoint, Progress, RunFolder};

/// Train a policy on questions with true boxes, or a reader on answers (supervised fine-tuning).
///
/// The run's folder gets the resolved config, metrics.jsonl and the same for TensorBoard
/// (tensorboard/), a checkpoint and, at every checkpoint, model/: the folder that every other command
/// loads. Ctrl-C, SIGTERM and a lost terminal save and end, with status 130, 143 and 129; the same command goes
/// on from the last checkpoint.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm sft --config trainer/configs/default.toml --out runs/first
  cropvlm sft --config trainer/configs/default.toml --out runs/short --steps 500
  cropvlm sft --config trainer/configs/smoke-policy.toml --out runs/second --set seed=2 --set model.coverage=0.5")]
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
    /// Overrides a key of the configuration: seed=2, optimizer.lr=1e-3; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go on with a run that was begun with another configuration; changes.jsonl in its folder says what changed
    #[arg(long)]
    continue_with_changes: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print evaluations as JSON lines on standard output, in place of sentences
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Configuration, data, a loss that is not finite, a disk that is full.
pub fn run(args: Args) -> Result<()> {
    let config = SftConfig::read(&args.config, &args.set, args.steps)?;
    let folder = RunFolder::take(&args.out, "sft")?;
    folder.compare(&config, args.continue_with_changes)?;
    let stop = Stop::listen()?;

    let policy = start(&config, args.device)?;
    let mut optimizer = AdamW::new(&config.optimizer);
    let place = Checkpoint::new(&args.out);
    let (policy, step) = place.load(policy, &mut optimizer)?;
    let weights = policy.trainable_weights();
    eprintln!(
        "{:.2} M weights; step {step} of {}",
        weights as f64 / 1e6,
        config.steps
    );

    let work = Work::open(&config, &policy)?;
    let evaluation = config
        .eval
        .as_ref()
        .map(|e| -> Result<DataSet> {
            let mut set = DataSet::open_usable(&e.data, None, e.limit)?;
            set.keep_readable(config.max_bad)?;
            Ok(set)
        })
        .transpose()?;
    folder.record(&config)?;
    let metrics = Metrics::open(&args.out, step)?;
    let run = Run {
        config: &config,
        out: &args.out,
        place,
        work: &work,
        evaluation,
        json: args.json,
        stop,
    };
    run.go(policy, optimizer, metrics, step)
}

/// A run in progress.
struct Run<'a> {
    config: &'a SftConfig,
    out: &'a Path,
    place: Checkpoint,
    work: &'a Work,
    evaluation: Option<DataSet>,
    /// Whether evaluations are printed as JSON.
    json: bool,
    stop: Stop,
}

impl Run<'_> {
    /// Takes the steps from `first` on.
    fn go(
        &self,
        mut policy: Policy,
        mut optimizer: AdamW,
        mut metrics: Metrics,
        first: u64,
    ) -> Result<()> {
        let (config, work, steps) = (self.config, self.work, self.config.steps);
        let mut step = first;
        std::thread::scope(|scope| -> Result<()> {
            // The next batches are prepared while this one is computed.
            let numbers = first * config.accumulation..steps * config.accumulation;
            let mut batches = Ahead::start(scope, numbers, move |number| work.make(config, number));
            let mut progress = Progress::new(first, steps).within(config.minutes);
            self.catch_up(first, &policy, &optimizer, &mut metrics, &progress)?;
            let mut smooth = f64::NAN;
            let mut passed = 0.0;
            while step < steps && passed < 1.0 {
                let learned = learn(config, &mut policy, &mut batches, step);
                let Learned {
                    gradients,
                    loss: total,
                    parts,
                    questions,
                } = learned.map_err(|error| {
                    train::save_before(error, &self.place, step, &policy, &optimizer, &[])
                })?;
                passed = progress.passed();
                let rate = config
                    .optimizer
                    .rate_at(((step + 1) as f64 / steps as f64).max(passed));
                let norm;
                (policy, norm) = optimizer
                    .step(policy, gradients, rate)
                    .with_context(|| format!("step {}, questions {questions:?}", step + 1))?;
                step += 1;
                smooth = if smooth.is_nan() {
                    total
                } else {
                    0.98 * smooth + 0.02 * total
                };
                progress.step(step, questions.len().max(config.pages), || {
                    let parts: Vec<String> =
                        parts.iter().map(|(n, v)| format!("{n} {v:.2}")).collect();
                    format!("loss {smooth:.3} ({})", parts.join(", "))
                });
                let last = step == steps || passed >= 1.0;
                if step.is_multiple_of(config.log_every) || last {
                    let mut line = serde_json::json!({
                        "step": step, "loss": total, "lr": rate, "grad_norm": norm,
                        "samples_per_second": progress.rate(),
                    });
                    for (name, value) in &parts {
                        line[*name] = (*value).into();
                    }
                    metrics.write(&line)?;
                }
                let stopped = self.stop.raised() && !last;
                if step.is_multiple_of(config.checkpoint_every) || last || stopped {
                    self.place.save(step, &policy, &optimizer, &[])?;
                    train::save_model(self.out, &train::averaged(&policy, &optimizer)?)?;
                    if !stopped {
                        self.measure(step, &mut metrics, &progress)?;
                    }
                }
                if (last || stopped)
                    && let Some(skipped) = work.skipped().sentence()
                {
                    progress.say(&skipped);
                }
                if stopped {
                    progress.end();
                    return Err(self.stop.interrupted(format!(
                        "stopped at step {step}; the same command goes on from here"
                    )));
                }
            }
            Ok(())
        })?;
        let data = config.eval.as_ref().map(|e| e.data.as_path());
        let reader = config.task == Task::Answer;
        eprintln!("{}", train::ending(self.out, data, reader));
        Ok(())
    }

    /// A kill may have come between a checkpoint and what follows it, the model's folder and its measuring; and a run
    /// that is stopped does not measure. That is done first.
    fn catch_up(
        &self,
        step: u64,
        policy: &Policy,
        optimizer: &AdamW,
        metrics: &mut Metrics,
        progress: &Progress,
    ) -> Result<()> {
        let due = step.is_multiple_of(self.config.checkpoint_every) || step >= self.config.steps;
        if step == 0 || !due {
            return Ok(());
        }
        let lost = self.evaluation.is_some() && !metrics::measured(self.out, step);
        if lost || step >= self.config.steps {
            train::save_model(self.out, &train::averaged(policy, optimizer)?)?;
        }
        if lost {
            self.measure(step, metrics, progress)?;
        }
        Ok(())
    }

    /// Measures `model/`, where there is a data set for it.
    fn measure(&self, step: u64, metrics: &mut Metrics, progress: &Progress) -> Result<()> {
        let Some(set) = &self.evaluation else {
            return Ok(());
        };
        let found = evaluate(self.out, self.config, set)?;
        let line = metrics::prefixed("eval", &found, step);
        match self.json {
            true => println!("{line}"),
            false => progress.say(&format!("Step {step}. {}", sentences(&found))),
        }
        metrics.write(&line)
    }
}

/// The policy that a configuration starts from, with gradients, on a device.
///
/// # Errors
/// A device that is not there, a folder that cannot be read or does not fit the configuration.
pub fn start(config: &SftConfig, device: DeviceKind) -> Result<Policy> {
    let kind = device;
    let device = train::training_device(device.open()?, config.gradient_checkpointing);
    let mut policy = match &config.init {
        Some(dir) => Policy::start(&model::files(dir)?, config.seed, &device)
            .with_context(|| format!("init {}", dir.display()))?,
        None => Policy::random_map(&config.model, config.seed, &device)?,
    };
    if let Some(blocks) = config.blocks {
        policy = policy.with_blocks(blocks, config.seed).context("blocks")?;
    }
    if let Some(pixels) = config.canvas_pixels {
        policy = policy.with_canvas(pixels)?;
    }
    let can = policy.abilities();
    if let Some(path) = config.words.as_ref().filter(|_| !can.has_words) {
        let read = || -> Result<Policy> {
            let table = tensors::read(&path.display().to_string(), &std::fs::read(path)?)?;
            Ok(policy.with_words(table, config.seed)?)
        };
        policy = read().with_context(|| format!("words {}", path.display()))?;
    }
    if config.dense > 0.0 && !can.dense_beside_text {
        bail!("dense is a text policy's; a map policy's targets are dense always");
    }
    if config.absent > 0.0 && !can.learns_absence {
        bail!(
            "absent is a map policy's: a text policy is taught boxes as text, and these questions have none"
        );
    }
    if let Some(adapter) = &config.adapter {
        policy
            .add_adapter(adapter, config.seed)
            .context("[adapter]")?;
    }
    Ok(policy.with_frozen(config.frozen.precision(kind)))
}

/// What one step learns.
struct Learned {
    gradients: GradientsParams,
    loss: f64,
    parts: Vec<(&'static str, f64)>,
    questions: Vec<String>,
}

/// The batches of one step: their mean loss and its gradient. On a processor several of them are computed at once, a
/// core each; elsewhere one batch's history at a time is in memory.
fn learn(
    config: &SftConfig,
    policy: &mut Policy,
    batches: &mut Ahead<Batch>,
    step: u64,
) -> Result<Learned> {
    let count = config.accumulation;
    let share = 1.0 / count as f64;
    let mut sum = Accumulator::default();
    let (mut total, mut parts, mut questions) = (0.0, Vec::new(), Vec::new());
    let mut numbers = step * count..(step + 1) * count;
    while !numbers.is_empty() {
        let some: Vec<u64> = numbers.by_ref().take(at_once(policy)).collect();
        let drawn = some.iter().map(|_| batches.take());
        let drawn = drawn.collect::<Result<Vec<_>>>()?;
        let learned = match drawn.as_slice() {
            [batch] => vec![of_batch(config, policy, batch, some[0])?],
            drawn => side_by_side(config, policy, drawn, &some)?,
        };
        for one in learned {
            total += share * one.loss;
            for (i, (name, part)) in one.parts.iter().enumerate() {
                if i == parts.len() {
                    parts.push((*name, 0.0));
                }
                parts[i].1 += share * part;
            }
            sum.add(policy, one.gradients);
            questions.extend(one.questions);
        }
    }
    Ok(Learned {
        gradients: sum.take(policy, share),
        loss: total,
        parts,
        questions,
    })
}

/// Batches that are computed at once. An adapter's dropout draws from the one source of chance of a device, so that there
/// batches come one after the other.
fn at_once(policy: &Policy) -> usize {
    let processor = policy.device().without_autodiff() == Device::flex();
    match processor && policy.adapter().is_none() {
        true => std::thread::available_parallelism().map_or(1, usize::from),
        false => 1,
    }
}

/// Batches at once, a thread each; in their order.
fn side_by_side(
    config: &SftConfig,
    policy: &Policy,
    batches: &[Batch],
    numbers: &[u64],
) -> Result<Vec<Learned>> {
    std::thread::scope(|scope| {
        let threads = batches.iter().zip(numbers).map(|(batch, number)| {
            let mut policy = policy.fork();
            scope.spawn(move || of_batch(config, &mut policy, batch, *number))
        });
        let threads: Vec<_> = threads.collect();
        let ended = threads.into_iter().map(|thread| {
            let panicked = |_| Err(anyhow!("a thread that computed gradients ended badly"));
            thread.join().unwrap_or_else(panicked)
        });
        ended.collect()
    })
}

/// Loss and gradient of one batch.
fn of_batch(
    config: &SftConfig,
    policy: &mut Policy,
    batch: &Batch,
    number: u64,
) -> Result<Learned> {
    let questions = batch.questions().to_vec();
    // An adapter's dropout follows seed and number, as the batch does.
    policy.set_dropout(Some(config.seed.wrapping_add(number)));
    let loss = batch.loss(config, policy)?;
    policy.set_dropout(None);
    let value = f64::from(loss.total.clone().into_scalar::<f32>());
    let parts = loss.parts.iter();
    let parts = parts.map(|(name, part)| (*name, f64::from(part.clone().into_scalar::<f32>())));
    let what = || format!("questions {questions:?}");
    Ok(Learned {
        loss: train::finite(value, &format!("the loss of batch {number}")).with_context(what)?,
        parts: parts.collect(),
        gradients: policy.gradients(&mut loss.total.backward()),
        questions,
    })
}

/// What the model in a run's folder is worth, as [`sentences`] reads it.
fn evaluate(out: &Path, config: &SftConfig, set: &DataSet) -> Result<serde_json::Value> {
    let device = Device::flex();
    if config.task == Task::Answer {
        let (case, edge) = (config.answer.case, config.answer.longest_edge);
        let reader = RewardModel::load(&out.join("model"), &device, case, edge)?;
        return answer::measure(&config.answer, set, &reader);
    }
    let files = ModelFiles::from_dir(&out.join("model"))?;
    let proposer = Proposer::on_cpu(&files)?;
    let picture = |image: &str| set.picture(image);
    let boxes = crate::eval::boxes(&proposer, &set.samples, None, picture, |_| ())?;
    let boxes = crate::eval::only_boxes(&boxes);
    let mut report = crate::eval::report(&set.samples, &boxes, 0.0);
    let lines = config.eval.as_ref().and_then(|e| e.lines.as_ref());
    if let Some(file) = lines
        && let Policy::Map(policy) = Policy::load(&files, &device)?
    {
        report["lines_found"] = found::share(&policy, file)?.into();
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use policy::map::loss::Targets;
    use policy::{MapConfig, Policy};

    use super::*;
    use crate::train::by_name;

    /// A canvas with a dark square on it, and where it is.
    fn batch(seed: u8) -> Batch {
        let (side, at) = (96usize, 8 * usize::from(seed));
        let inside =
            |i: usize| (at..at + 16).contains(&(i / side)) && (at..at + 16).contains(&(i % side));
        let canvas = (0..side * side).map(|i| if inside(i) { 20 } else { 230 });
        let percent = |pixel: usize| pixel as f32 / side as f32 * 100.0;
        let [low, high] = [percent(at), percent(at + 16)];
        Batch::Boxes(Targets {
            canvases: vec![canvas.collect()],
            width: side as u32,
            height: side as u32,
            owners: vec![0],
            questions: vec![format!("Where is square {seed}?")],
            boxes: vec![vec![[low, low, high, high]]],
            lines: Vec::new(),
        })
    }

    #[test]
    fn batches_side_by_side_are_those_one_after_the_other() {
        let config = "steps = 1\npages = 1\nquestions = 1\naccumulation = 3\ncheckpoint_every = 1\ndata = []";
        let config: SftConfig = toml::from_str(config).unwrap();
        let device = Device::flex().autodiff();
        let mut policy = Policy::random_map(&MapConfig::tiny(), 1, &device).unwrap();
        let batches: Vec<Batch> = (1..4).map(batch).collect();
        let together = side_by_side(&config, &policy, &batches, &[0, 1, 2]).unwrap();
        for (number, (batch, other)) in batches.iter().zip(&together).enumerate() {
            let alone = of_batch(&config, &mut policy, batch, number as u64).unwrap();
            assert_eq!(alone.loss, other.loss);
            assert_eq!(alone.questions, other.questions);
            let [own, others] =
                [&alone, other].map(|learned| by_name(&policy, &learned.gradients).unwrap());
            assert!(own.values().flatten().any(|value| *value != 0.0));
            assert_eq!(own, others);
        }
        assert_ne!(together[0].loss, together[1].loss);
    }
}
