//! `cropvlm grpo`: the policy draws boxes, a frozen reader says what they are worth, and the policy
//! makes the better ones of each group likelier.
//!
//! ```text
//! config -> prompts in order -> groups (step.rs) -> rewards (rewards.rs) -> loss (policy::grpo)
//!   -> gradient -> AdamW -> checkpoint -> model folder; metrics.jsonl, rollouts.jsonl
//! ```
//!
//! A step's prompts and rollouts follow from the seed and the step's number, and a checkpoint holds
//! weights, optimizer and step; so a run that was stopped, at whatever point, goes on bit for bit (on
//! the CPU) as if it had not been.
//!
//! Departures from TRL, where the method's numbers come from: a step is one batch of rollouts with
//! all its `num_iterations` updates (TRL counts each update), and an adapter's dropout is off, so that
//! rollouts and log-probabilities come from one and the same policy.

mod config;
mod estimate;
mod measure;
mod prompts;
mod rewards;
mod step;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::{ModelFiles, Policy};
use serde_json::Value;

pub use self::config::GrpoConfig;
use self::prompts::{Order, Prompt};
use self::rewards::Rewards;
use self::step::{Draw, Trainer};
use crate::device::DeviceKind;
use crate::metrics::{self, Metrics};
use crate::reader::RewardModel;
use crate::train::{
    self, Accumulator, AdamW, Checkpoint, Journal, Progress, Stop, finite, read_settings,
};

/// Train a policy by the rewards of its own boxes (GRPO), from an SFT policy.
///
/// The run's folder gets config.toml (resolved), metrics.jsonl, rollouts.jsonl, a checkpoint and, at
/// every checkpoint, model/: the folder that every other command loads (and adapter/, a PEFT folder,
/// where an adapter is trained). Ctrl-C saves and ends; the same command goes on from the last
/// checkpoint.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm grpo --config trainer/configs/smoke.toml
  cropvlm grpo --config trainer/configs/grpo.toml --out runs/grpo --dry-run
  cropvlm grpo --config trainer/configs/smoke.toml --out runs/acc --set rewards.accuracy=1 --set rewards.likelihood=0

Lines of metrics.jsonl: step, reward, reward_std, frac_reward_zero_std, rewards/<name>/mean, kl, entropy
(mean of -log p of the drawn tokens), clip_ratio, completions/mean_length, loss, grad_norm, lr,
step_time; and of measurements step, eval/reward, eval/rewards/<name> (of the boxes proposed for
held-out prompts), eval/full_recall and other box metrics where true boxes are known.")]
pub struct Args {
    /// Configuration (TOML); every key is described in trainer/configs/grpo.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the run [default: runs/ and the configuration's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overrides the number of steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Overrides a key of the configuration, such as rewards.accuracy=1; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Measure one group, print what the run will need in time and memory, and end
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Configuration, models, data, a reward or loss that is no number, a disk that is full.
pub fn run(args: Args) -> Result<()> {
    let mut config: GrpoConfig = read_settings(&args.config, &args.set)?;
    if let Some(steps) = args.steps {
        config.steps = Some(steps);
    }
    config
        .check()
        .with_context(|| format!("{}", args.config.display()))?;
    let out = args.out.clone().unwrap_or_else(|| {
        let name = args.config.file_stem().unwrap_or("grpo".as_ref());
        Path::new("runs").join(name)
    });
    let device = args.device.open()?;
    let prompts = prompts::open(&config.data)?;
    let held_out = match &config.eval.samples {
        Some(file) => prompts::read(file, config.eval.root.as_deref(), config.eval.limit)?,
        None => Vec::new(),
    };
    config.steps = Some(config.steps(prompts.len()));
    let policy = load_policy(&config, &device.clone().autodiff())?;
    let reader = load_reader(&config, &device)?;
    let rewards = Rewards::new(&config, reader.as_ref());
    for prompt in prompts.iter().chain(&held_out) {
        rewards.check(&prompt.sample)?;
    }
    let reference = (config.beta > 0.0).then(|| policy.reference());
    let mut run = Run {
        trainer: Trainer {
            config: &config,
            reference: reference.as_ref(),
            rewards: &rewards,
        },
        config: &config,
        prompts: &prompts,
        held_out: &held_out,
        out: &out,
        optimizer: AdamW::new(&config.optimizer),
    };
    if args.dry_run {
        return run.dry(&policy);
    }
    train::open_folder(&out, &config)?;
    run.go(policy)
}

/// The policy that is trained, with its adapter.
fn load_policy(config: &GrpoConfig, device: &Device) -> Result<Policy> {
    let dir = &config.policy;
    let mut policy = Policy::load(&ModelFiles::from_dir(dir)?, device)
        .with_context(|| format!("policy {}", dir.display()))?;
    if let Some(dir) = &config.policy_adapter {
        policy
            .load_adapter(&ModelFiles::from_dir(dir)?)
            .with_context(|| format!("policy_adapter {}", dir.display()))?;
    }
    if let Policy::Text(text) = &mut policy {
        text.set_case(config.case);
        // What SFT learned becomes part of the weights: the reference has it, too.
        if text.model().adapter().is_some() {
            *text = text.with_model(text.model().clone().merge_adapter());
        }
    }
    if let Some(adapter) = &config.adapter {
        policy.add_adapter(adapter, config.seed)?;
    }
    Ok(policy)
}

fn load_reader(config: &GrpoConfig, device: &Device) -> Result<Option<RewardModel>> {
    let reader = &config.reward_model;
    if reader.path.as_os_str().is_empty() {
        return Ok(None);
    }
    let edge = reader.longest_edge;
    RewardModel::load(&reader.path, device, config.case, edge).map(Some)
}

/// A run in progress.
struct Run<'a> {
    trainer: Trainer<'a>,
    config: &'a GrpoConfig,
    prompts: &'a [Prompt],
    held_out: &'a [Prompt],
    out: &'a Path,
    optimizer: AdamW,
}

impl Run<'_> {
    fn steps(&self) -> u64 {
        self.config.steps(self.prompts.len())
    }

    fn dry(&self, policy: &Policy) -> Result<()> {
        let steps = self.steps();
        let first = Order::new(self.config.seed, self.prompts.len()).at(0);
        let prompt = &self.prompts[first];
        let draw = Draw {
            picture: prompt.picture()?,
            prompt,
            number: 0,
        };
        let plan = estimate::Plan {
            steps,
            groups: self.config.accumulation,
            trained: count(policy)?,
            held_out: (self.held_out.len(), steps / self.config.eval.every + 2),
        };
        estimate::estimate(&self.trainer, policy, draw, &plan)
    }

    fn go(&mut self, policy: Policy) -> Result<()> {
        let stop = Stop::listen()?;
        let place = Checkpoint::new(self.out);
        let (mut policy, mut step) = place.load(policy, &mut self.optimizer)?;
        let (first, steps) = (step, self.steps());
        eprintln!(
            "{:.2} M weights are trained on {} prompts; step {step} of {steps}, {} groups of {} a step",
            count(&policy)? as f64 / 1e6,
            self.prompts.len(),
            self.config.accumulation,
            self.config.num_generations
        );
        if step == 0 {
            // A run killed before its first checkpoint measures its start again.
            let _ = std::fs::remove_file(self.out.join(metrics::FILE));
        }
        let mut metrics = Metrics::open(self.out, step)?;
        let mut rollouts = Journal::open(&self.out.join("rollouts.jsonl"), step)?;
        if step == 0 {
            let found = self.measure(&policy, 0, &mut metrics)?;
            found.iter().for_each(|line| eprintln!("{line}"));
        } else if step >= steps {
            train::save_model(self.out, &policy)?; // a kill may have come between checkpoint and folder
        }
        std::thread::scope(|scope| -> Result<()> {
            let (sender, draws) = mpsc::sync_channel(4);
            let (config, prompts) = (self.config, self.prompts);
            scope.spawn(move || read_ahead(config, prompts, first..steps, &sender));
            let mut progress = Progress::new(first, steps).every(10);
            while step < steps {
                let line;
                (policy, line) = self.step(policy, step, &draws, &mut rollouts)?;
                step += 1;
                progress.step(step, self.config.accumulation, || {
                    let of = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
                    format!("reward {:.3} kl {:.4}", of("reward"), of("kl"))
                });
                if step % self.config.log_every == 0 || step == steps {
                    metrics.write(&line)?;
                }
                let stopped = stop.raised();
                if !stopped && (step % self.config.eval.every == 0 || step == steps) {
                    let found = self.measure(&policy, step, &mut metrics)?;
                    found.iter().for_each(|line| progress.say(line));
                }
                if step % self.config.checkpoint_every == 0 || step == steps || stopped {
                    place.save(step, &policy, &self.optimizer)?;
                    train::save_model(self.out, &policy)?;
                }
                if stopped {
                    progress.say(&format!(
                        "stopped at step {step}; the same command goes on from here"
                    ));
                    break;
                }
            }
            drop(draws);
            Ok(())
        })
    }

    /// One step: groups, and the updates that follow from them. Returns its line of metrics.
    fn step(
        &mut self,
        policy: Policy,
        step: u64,
        draws: &mpsc::Receiver<Result<Draw<'_>>>,
        rollouts: &mut Journal,
    ) -> Result<(Policy, Value)> {
        let start = Instant::now();
        let config = self.config;
        let mut sum = Accumulator::default();
        let (mut groups, mut numbers) = (Vec::new(), Vec::new());
        let frozen = policy.without_gradients();
        for _ in 0..config.accumulation {
            let draw = draws
                .recv()
                .context("the thread that reads pictures ended")??;
            let (group, found) = self.trainer.first(&policy, &frozen, draw, &mut sum)?;
            groups.push(group);
            numbers.push(found);
        }
        let tokens: f64 = numbers.iter().map(|n| n.tokens).sum();
        let share = self.trainer.share(groups.len(), tokens);
        let ids: Vec<&str> = groups
            .iter()
            .map(|g| g.draw.prompt.sample.id.as_str())
            .collect();
        let about = format!("samples {ids:?}");
        let rate = config.optimizer.rate(step, self.steps());
        let mut passes = vec![numbers];
        let (mut policy, mut norm) = self.update(policy, &mut sum, share, rate, &about)?;
        for _ in 1..config.num_iterations {
            let again = |group| self.trainer.again(&policy, group, &mut sum);
            passes.push(groups.iter_mut().map(again).collect::<Result<_>>()?);
            (policy, norm) = self.update(policy, &mut sum, share, rate, &about)?;
        }
        let done = step + 1;
        let every = config.log_rollouts_every;
        if every > 0 && (done % every == 0 || done == 1) {
            for group in &groups {
                rollouts.write(&step::record(done, group))?;
            }
        }
        let mut line = step::summary(&groups, &passes, share);
        line["step"] = done.into();
        line["grad_norm"] = norm.into();
        line["lr"] = rate.into();
        line["step_time"] = start.elapsed().as_secs_f64().into();
        Ok((policy, line))
    }

    /// One update by the gradients added up.
    fn update(
        &mut self,
        policy: Policy,
        sum: &mut Accumulator,
        share: f64,
        rate: f64,
        about: &str,
    ) -> Result<(Policy, f64)> {
        let gradients = sum.take(&policy, share);
        let (policy, norm) = self.optimizer.step(policy, gradients, rate);
        finite(norm, "the gradient's norm", about)?;
        Ok((policy, norm))
    }

    /// Measures the policy on the held-out prompts, where there are any; what it found, in a line.
    fn measure(&self, policy: &Policy, step: u64, metrics: &mut Metrics) -> Result<Option<String>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let start = Instant::now();
        let frozen = policy.without_gradients();
        let found = measure::measure(self.config, &frozen, self.trainer.rewards, self.held_out)?;
        let shown: Vec<String> = found
            .iter()
            .map(|(name, value)| {
                let name = name.trim_start_matches("eval/");
                format!("{name} {:.3}", value.as_f64().unwrap_or(f64::NAN))
            })
            .collect();
        let mut line = Value::Object(found);
        line["step"] = step.into();
        line["eval/time"] = start.elapsed().as_secs_f64().into();
        metrics.write(&line)?;
        Ok(Some(format!(
            "held out at step {step}: {}",
            shown.join(", ")
        )))
    }
}

/// Reads the pictures of the steps to come, in their order, until nobody wants them any more.
fn read_ahead<'a>(
    config: &GrpoConfig,
    prompts: &'a [Prompt],
    steps: std::ops::Range<u64>,
    sender: &mpsc::SyncSender<Result<Draw<'a>>>,
) {
    let mut order = Order::new(config.seed, prompts.len());
    let groups = config.accumulation as u64;
    for number in steps.start * groups..steps.end * groups {
        let prompt = &prompts[order.at(number)];
        let draw = prompt.picture().map(|picture| Draw {
            prompt,
            picture,
            number,
        });
        if sender.send(draw).is_err() {
            break;
        }
    }
}

/// Weights that are trained.
fn count(policy: &Policy) -> Result<usize> {
    Ok(policy.weights()?.iter().map(|(_, (_, v))| v.len()).sum())
}
