//! `cropvlm grpo`: the policy draws boxes, a frozen reader says what they are worth, and the policy
//! makes the better ones of each group likelier.
//!
//! ```text
//! config -> prompts in order -> groups (step.rs), dealt to devices (replica.rs) -> rewards (rewards.rs)
//!   -> loss (policy::grpo) -> gradient, added up over devices -> AdamW -> checkpoint -> model folder; metrics.jsonl, rollouts.jsonl
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
mod replica;
mod rewards;
mod step;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::{ModelFiles, Policy};
use serde_json::Value;
use smolvlm::Precision;

pub use self::config::GrpoConfig;
use self::prompts::{Order, Prompt, Prompts};
use self::replica::{Replica, Share, deal, each, gather};
use self::rewards::Rewards;
use self::step::{Draw, Trainer};
use crate::data::Skipped;
use crate::device::DeviceKind;
use crate::metrics::{self, Metrics};
use crate::reader::Reader;
use crate::stop::Stop;
use crate::train::reduce::{Reduce, add_up};
use crate::train::{self, AdamW, Checkpoint, Journal, Progress, finite, read_settings};

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
    /// Replicas of the policy, one a card, that share a step's groups (with --device cpu all on the
    /// same processor, for checking)
    #[arg(long, value_name = "N", default_value_t = 1)]
    devices: usize,
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
    let devices = args.device.open_many(args.devices)?;
    let prompts = Prompts::open(&config.data)?;
    let mut held_out = Prompts::default();
    if let Some(file) = &config.eval.samples {
        held_out.read(file, config.eval.root.as_deref(), config.eval.limit)?;
    }
    let (prompts, skipped) =
        prompts.usable(config.max_bad, |p| Rewards::check(&config, &p.sample))?;
    // Those that are measured again and again are read once before.
    let (held_out, _) = held_out.usable(config.max_bad, |prompt| {
        Rewards::check(&config, &prompt.sample)?;
        prompt.picture().map(drop)
    })?;
    config.steps = Some(config.steps(prompts.len()));
    let frozen = config.frozen.precision(args.device);
    let trained =
        |device: &Device| train::training_device(device.clone(), config.gradient_checkpointing);
    let policies = devices
        .iter()
        .map(|device| load_policy(&config, &trained(device), frozen))
        .collect::<Result<Vec<_>>>()?;
    let readers = devices
        .iter()
        .map(|device| load_reader(&config, device, frozen))
        .collect::<Result<Vec<_>>>()?;
    let rewards: Vec<Rewards> = readers
        .iter()
        .map(|reader| Rewards::new(&config, reader.as_ref()))
        .collect();
    let references: Vec<Option<Policy>> = policies
        .iter()
        .map(|policy| (config.beta > 0.0).then(|| policy.reference()))
        .collect();
    let models = policies.into_iter().zip(&references).zip(&rewards);
    let replicas: Vec<Replica> = models
        .map(|((policy, reference), rewards)| Replica {
            trainer: Trainer {
                config: &config,
                reference: reference.as_ref(),
                rewards,
            },
            policy,
            optimizer: AdamW::new(&config.optimizer),
        })
        .collect();
    let run = Run {
        config: &config,
        prompts: &prompts,
        held_out: &held_out,
        skipped: &skipped,
        out: &out,
        reduce: match args.device {
            DeviceKind::Cuda => Reduce::Cards,
            _ => Reduce::Host,
        },
    };
    if args.dry_run {
        return run.dry(&replicas[0]);
    }
    train::open_folder(&out, &config)?;
    run.go(replicas)
}

/// The policy that is trained, with its adapter.
fn load_policy(config: &GrpoConfig, device: &Device, frozen: Precision) -> Result<Policy> {
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
    Ok(policy.with_frozen(frozen))
}

fn load_reader(config: &GrpoConfig, device: &Device, frozen: Precision) -> Result<Option<Reader>> {
    let reader = &config.reward_model;
    if reader.path.as_os_str().is_empty() {
        return Ok(None);
    }
    let edge = reader.longest_edge;
    let model = Reader::load(&reader.path, device, config.case, edge)?;
    let model = model.with_full_image(reader.full_image);
    Ok(Some(model.with_precision(frozen)))
}

/// A run in progress.
struct Run<'a> {
    config: &'a GrpoConfig,
    prompts: &'a [Prompt],
    held_out: &'a [Prompt],
    skipped: &'a Skipped,
    out: &'a Path,
    reduce: Reduce,
}

impl Run<'_> {
    fn steps(&self) -> u64 {
        self.config.steps(self.prompts.len())
    }

    fn dry(&self, replica: &Replica) -> Result<()> {
        let steps = self.steps();
        let mut order = Order::new(self.config.seed, self.prompts.len());
        let (prompt, picture) = prompts::draw(self.prompts, &mut order, 0, self.skipped)?;
        let draw = Draw {
            picture,
            prompt,
            number: 0,
        };
        let plan = estimate::Plan {
            steps,
            groups: self.config.accumulation,
            trained: count(&replica.policy)?,
            held_out: (self.held_out.len(), steps / self.config.eval.every + 2),
        };
        estimate::estimate(&replica.trainer, &replica.policy, draw, &plan)
    }

    fn go(&self, replicas: Vec<Replica>) -> Result<()> {
        let stop = Stop::listen()?;
        let place = Checkpoint::new(self.out);
        let mut step = 0;
        let loaded = replicas.into_iter().map(|mut replica| {
            (replica.policy, step) = place.load(replica.policy, &mut replica.optimizer)?;
            Ok(replica)
        });
        let mut replicas = loaded.collect::<Result<Vec<_>>>()?;
        let (first, steps) = (step, self.steps());
        eprintln!(
            "{:.2} M weights are trained on {} prompts; step {step} of {steps}, {} groups of {} a step{}",
            count(&replicas[0].policy)? as f64 / 1e6,
            self.prompts.len(),
            self.config.accumulation,
            self.config.num_generations,
            match replicas.len() {
                1 => String::new(),
                n => format!(", shared by {n} replicas"),
            }
        );
        if step == 0 {
            // A run killed before its first checkpoint measures its start again.
            let _ = std::fs::remove_file(self.out.join(metrics::FILE));
        }
        let mut metrics = Metrics::open(self.out, step)?;
        let mut rollouts = Journal::open(&self.out.join("rollouts.jsonl"), step)?;
        if step == 0 {
            let found = self.measure(&replicas[0], 0, &mut metrics)?;
            found.iter().for_each(|line| eprintln!("{line}"));
        } else if step >= steps {
            // A kill may have come between checkpoint and folder.
            train::save_model(self.out, &replicas[0].policy)?;
        }
        std::thread::scope(|scope| -> Result<()> {
            let (sender, draws) = mpsc::sync_channel(4);
            let (config, prompts, skipped) = (self.config, self.prompts, self.skipped);
            scope.spawn(move || read_ahead(config, prompts, first..steps, skipped, &sender));
            let mut progress = Progress::new(first, steps).every(10);
            while step < steps {
                let line;
                (replicas, line) = self.step(replicas, step, &draws, &mut rollouts)?;
                step += 1;
                progress.step(step, self.config.accumulation, || {
                    let of = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
                    format!("reward {:.3} kl {:.4}", of("reward"), of("kl"))
                });
                if step % self.config.log_every == 0 || step == steps {
                    metrics.write(&line)?;
                }
                let stopped = stop.raised();
                let lead = &replicas[0];
                if !stopped && (step % self.config.eval.every == 0 || step == steps) {
                    let found = self.measure(lead, step, &mut metrics)?;
                    found.iter().for_each(|line| progress.say(line));
                }
                if step % self.config.checkpoint_every == 0 || step == steps || stopped {
                    place.save(step, &lead.policy, &lead.optimizer)?;
                    train::save_model(self.out, &lead.policy)?;
                }
                if stopped {
                    progress.say(&format!(
                        "stopped at step {step}; the same command goes on from here"
                    ));
                    break;
                }
            }
            drop(draws);
            if let Some(skipped) = self.skipped.sentence() {
                progress.say(&skipped);
            }
            Ok(())
        })
    }

    /// One step: groups, and the updates that follow from them. Returns its line of metrics.
    fn step<'a>(
        &self,
        replicas: Vec<Replica<'a>>,
        step: u64,
        draws: &mpsc::Receiver<Result<Draw<'_>>>,
        rollouts: &mut Journal,
    ) -> Result<(Vec<Replica<'a>>, Value)> {
        let start = Instant::now();
        let config = self.config;
        let rate = config.optimizer.rate(step, self.steps());
        let (mut replicas, mut passes, mut norm) = (replicas, Vec::new(), 0.0);
        let mut shares: Vec<Share> = Vec::new();
        let mut by = 0.0;
        for pass in 0..config.num_iterations.max(1) {
            if pass == 0 {
                let dealt = deal(self.draw(draws)?, replicas.len());
                shares = each(&replicas, dealt, |replica, draws| replica.first(draws))?;
            } else {
                let shares = shares.iter_mut().collect();
                each(&replicas, shares, |replica, share| replica.again(share))?;
            }
            let numbers = gather(shares.iter().map(|s| s.numbers.clone()).collect());
            if pass == 0 {
                let tokens = numbers.iter().map(|n| n.tokens).sum();
                by = replicas[0].trainer.share(numbers.len(), tokens);
            }
            passes.push(numbers);
            (replicas, norm) = self.update(replicas, &mut shares, by, rate)?;
        }
        let groups = gather(shares.into_iter().map(|s| s.groups).collect());
        let done = step + 1;
        let every = config.log_rollouts_every;
        if every > 0 && (done.is_multiple_of(every) || done == 1) {
            for group in &groups {
                rollouts.write(&step::record(done, group))?;
            }
        }
        let mut line = step::summary(&groups, &passes, by);
        line["step"] = done.into();
        line["grad_norm"] = norm.into();
        line["lr"] = rate.into();
        line["step_time"] = start.elapsed().as_secs_f64().into();
        Ok((replicas, line))
    }

    /// The prompts of a step, with their pictures.
    fn draw<'d>(&self, draws: &mpsc::Receiver<Result<Draw<'d>>>) -> Result<Vec<Draw<'d>>> {
        let next = || draws.recv().context("the thread that reads pictures ended");
        (0..self.config.accumulation).map(|_| next()?).collect()
    }

    /// One update of every replica by the gradients of all, added up.
    fn update<'a>(
        &self,
        replicas: Vec<Replica<'a>>,
        shares: &mut [Share],
        by: f64,
        rate: f64,
    ) -> Result<(Vec<Replica<'a>>, f64)> {
        let gradients = replicas.iter().zip(shares.iter_mut());
        let gradients = gradients.map(|(r, share)| r.gradients(share, by)).collect();
        let policies: Vec<&Policy> = replicas.iter().map(|r| &r.policy).collect();
        let gradients = add_up(self.reduce, &policies, gradients)?;
        let mut norm = 0.0;
        let moved = replicas.into_iter().zip(gradients).map(|(replica, g)| {
            let moved;
            (moved, norm) = replica.update(g, rate);
            moved
        });
        let replicas = moved.collect();
        let ids: Vec<&str> = shares
            .iter()
            .flat_map(|share| &share.groups)
            .map(|group| group.draw.prompt.sample.id.as_str())
            .collect();
        finite(norm, "the gradient's norm", &format!("samples {ids:?}"))?;
        Ok((replicas, norm))
    }

    /// Measures a policy on the held-out prompts, where there are any; what it found, in a line.
    fn measure(
        &self,
        replica: &Replica,
        step: u64,
        metrics: &mut Metrics,
    ) -> Result<Option<String>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let start = Instant::now();
        let frozen = replica.policy.without_gradients();
        let rewards = replica.trainer.rewards;
        let found = measure::measure(self.config, &frozen, rewards, self.held_out)?;
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
    skipped: &Skipped,
    sender: &mpsc::SyncSender<Result<Draw<'a>>>,
) {
    let mut order = Order::new(config.seed, prompts.len());
    let groups = config.accumulation as u64;
    for number in steps.start * groups..steps.end * groups {
        let drawn = prompts::draw(prompts, &mut order, number, skipped);
        let draw = drawn.map(|(prompt, picture)| Draw {
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
