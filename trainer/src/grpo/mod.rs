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
#[cfg(test)]
mod loop_tests;
mod measure;
mod prompts;
mod replica;
mod reward_config;
mod reward_functions;
mod rewards;
mod step;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::Policy;
use policy::grpo::ScaleRewards;
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
use crate::model;
use crate::reader::Reader;
use crate::stop::Stop;
use crate::train::reduce::{Reduce, add_up};
use crate::train::{self, AdamW, Checkpoint, Journal, Progress, RunFolder, read_settings};

/// Train a policy by the rewards of its own boxes (GRPO), from an SFT policy.
///
/// The run's folder gets config.toml (resolved), metrics.jsonl, rollouts.jsonl, a checkpoint and, at
/// every checkpoint, model/: the folder that every other command loads (and adapter/, a PEFT folder,
/// where an adapter is trained). Ctrl-C, SIGTERM and a lost terminal save and end, with status 130, 143 and 129;
/// the same command goes on from the last checkpoint.
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
    /// Go on with a run that was begun with another configuration; changes.jsonl in its folder says what changed
    #[arg(long)]
    continue_with_changes: bool,
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
    /// Print evaluations as JSON lines on standard output, in place of sentences
    #[arg(long)]
    json: bool,
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
    let folder = match args.dry_run {
        true => None,
        false => Some(RunFolder::take(&out, "grpo")?),
    };
    let devices = args.device.open_many(args.devices)?;
    let prompts = Prompts::open(&config.data)?;
    let mut held_out = Prompts::default();
    if let Some(file) = &config.eval.samples {
        held_out.read(file, config.eval.root.as_deref(), config.eval.limit)?;
    }
    let (prompts, skipped) = prompts.usable(config.max_bad, |prompt| {
        prompt.check_gap(config.information_gap)?;
        Rewards::check(&config, &prompt.sample)
    })?;
    // Those that are measured again and again are read once before.
    let (held_out, _) = held_out.usable(config.max_bad, |prompt| {
        Rewards::check(&config, &prompt.sample)?;
        prompt.picture().map(drop)
    })?;
    config.steps = Some(config.steps(prompts.len()));
    if let Some(folder) = &folder {
        folder.compare(&config, args.continue_with_changes)?;
    }
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
        json: args.json,
        reduce: match args.device {
            DeviceKind::Cuda => Reduce::Cards,
            _ => Reduce::Host,
        },
    };
    let Some(folder) = &folder else {
        return run.dry(&replicas[0]);
    };
    folder.record(&config)?;
    run.go(replicas)
}

/// The policy that is trained, with its adapter.
fn load_policy(config: &GrpoConfig, device: &Device, frozen: Precision) -> Result<Policy> {
    let dir = &config.policy;
    let mut policy = Policy::load(&model::files(dir)?, device)
        .with_context(|| format!("policy {}", dir.display()))?;
    if let Some(dir) = &config.policy_adapter {
        policy
            .load_adapter(&model::files(dir)?)
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
    /// Evaluations as JSON lines.
    json: bool,
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
        let draw = Draw::new(self.config, prompt, picture, 0);
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
            self.measure(&replicas[0], 0, &mut metrics, &|text| eprintln!("{text}"))?;
        } else {
            self.catch_up(step, &replicas[0], &mut metrics)?;
        }
        std::thread::scope(|scope| -> Result<()> {
            let (sender, draws) = mpsc::sync_channel(4);
            let (config, prompts, skipped) = (self.config, self.prompts, self.skipped);
            scope.spawn(move || read_ahead(config, prompts, first..steps, skipped, &sender));
            let mut progress = Progress::new(first, steps).every(10);
            while step < steps {
                let line = self.step(&mut replicas, step, &draws, &mut rollouts);
                let line =
                    line.map_err(|error| self.save_before(error, &place, step, &replicas))?;
                step += 1;
                progress.step(step, self.config.accumulation, || {
                    let of = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
                    format!("reward {:.3} kl {:.4}", of("reward"), of("kl"))
                });
                if step % self.config.log_every == 0 || step == steps {
                    metrics.write(&line)?;
                }
                let stopped = stop.raised() && step < steps;
                let lead = &replicas[0];
                if self.measures_at(step) && !stopped {
                    self.measure(lead, step, &mut metrics, &|text| progress.say(text))?;
                }
                if step % self.config.checkpoint_every == 0 || step == steps || stopped {
                    place.save(step, &lead.policy, &lead.optimizer)?;
                    train::save_model(self.out, &lead.averaged()?)?;
                }
                if stopped {
                    progress.end();
                    return Err(stop.interrupted(format!(
                        "stopped at step {step}; the same command goes on from here"
                    )));
                }
            }
            drop(draws);
            if let Some(skipped) = self.skipped.sentence() {
                progress.say(&skipped);
            }
            Ok(())
        })?;
        let data = self.config.eval.samples.as_deref();
        eprintln!("{}", train::ending(self.out, data, false));
        Ok(())
    }

    /// Whether the held-out prompts are measured after a step.
    fn measures_at(&self, step: u64) -> bool {
        step.is_multiple_of(self.config.eval.every) || step >= self.steps()
    }

    /// A kill may have come between checkpoint and model folder, and a run that is stopped does not measure. That is
    /// done first.
    fn catch_up(&self, step: u64, replica: &Replica, metrics: &mut Metrics) -> Result<()> {
        if step >= self.steps() {
            train::save_model(self.out, &replica.averaged()?)?;
        }
        if self.measures_at(step) && !metrics::measured(self.out, step) {
            self.measure(replica, step, metrics, &|text| eprintln!("{text}"))?;
        }
        Ok(())
    }

    /// As [`train::save_before`], unless the step had begun to move the weights.
    fn save_before(
        &self,
        error: anyhow::Error,
        place: &Checkpoint,
        step: u64,
        replicas: &[Replica],
    ) -> anyhow::Error {
        let updates = step * self.config.num_iterations.max(1) as u64;
        match replicas {
            [lead, ..] if lead.optimizer.steps == updates => {
                train::save_before(error, place, step, &lead.policy, &lead.optimizer)
            }
            _ => error,
        }
    }

    /// One step: groups, and the updates that follow from them. Returns its line of metrics.
    fn step(
        &self,
        replicas: &mut Vec<Replica<'_>>,
        step: u64,
        draws: &mpsc::Receiver<Result<Draw<'_>>>,
        rollouts: &mut Journal,
    ) -> Result<Value> {
        let start = Instant::now();
        let config = self.config;
        let rate = config.optimizer.rate(step, self.steps());
        let (mut passes, mut norm) = (Vec::new(), 0.0);
        let mut shares: Vec<Share> = Vec::new();
        let mut by = 0.0;
        for pass in 0..config.num_iterations.max(1) {
            if pass == 0 {
                let dealt = deal(self.draw(draws)?, replicas.len());
                shares = self.first(replicas, dealt)?;
            } else {
                again(replicas, &mut shares)?;
            }
            let numbers = gather(shares.iter().map(|s| s.numbers.clone()).collect());
            if pass == 0 {
                let tokens = numbers.iter().map(|n| n.tokens).sum();
                by = replicas[0].trainer.share(numbers.len(), tokens);
            }
            passes.push(numbers);
            norm = self.update(replicas, &mut shares, by, rate)?;
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
        Ok(line)
    }

    /// The first pass over a step's groups. Where all their rewards scale the advantages, all groups are drawn before.
    fn first<'d>(
        &self,
        replicas: &[Replica<'_>],
        dealt: Vec<Vec<Draw<'d>>>,
    ) -> Result<Vec<Share<'d>>> {
        if self.config.settings().scale() != ScaleRewards::Batch {
            return each(replicas, dealt, |replica, draws| replica.first(draws));
        }
        let mut shares = each(replicas, dealt, |replica, draws| replica.draw(draws))?;
        let groups = || shares.iter().flat_map(|share| &share.groups);
        let rewards: Vec<f64> = groups().flat_map(|group| group.totals()).collect();
        for group in shares.iter_mut().flat_map(|share| &mut share.groups) {
            group.drawn.scale_by(&rewards);
        }
        again(replicas, &mut shares)?;
        Ok(shares)
    }

    /// The prompts of a step, with their pictures.
    fn draw<'d>(&self, draws: &mpsc::Receiver<Result<Draw<'d>>>) -> Result<Vec<Draw<'d>>> {
        let next = || draws.recv().context("the thread that reads pictures ended");
        (0..self.config.accumulation).map(|_| next()?).collect()
    }

    /// One update of every replica by the gradients of all, added up; returns their norm.
    fn update(
        &self,
        replicas: &mut Vec<Replica<'_>>,
        shares: &mut [Share],
        by: f64,
        rate: f64,
    ) -> Result<f64> {
        let gradients = replicas.iter().zip(shares.iter_mut());
        let gradients = gradients.map(|(r, share)| r.gradients(share, by)).collect();
        let policies: Vec<&Policy> = replicas.iter().map(|r| &r.policy).collect();
        let gradients = add_up(self.reduce, &policies, gradients)?;
        let mut norm = 0.0;
        let moved = replicas.drain(..).zip(gradients).map(|(replica, g)| {
            let moved;
            (moved, norm) = replica.update(g, rate)?;
            anyhow::Ok(moved)
        });
        let moved = moved.collect::<Result<Vec<_>>>().with_context(|| {
            let groups = shares.iter().flat_map(|share| &share.groups);
            let ids: Vec<&str> = groups.map(|g| g.draw.prompt.sample.id.as_str()).collect();
            format!("samples {ids:?}")
        })?;
        *replicas = moved;
        Ok(norm)
    }

    /// Measures a policy on the held-out prompts, where there are any, and says what it found.
    fn measure(
        &self,
        replica: &Replica,
        step: u64,
        metrics: &mut Metrics,
        say: &dyn Fn(&str),
    ) -> Result<()> {
        if self.held_out.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let frozen = replica.averaged()?;
        let rewards = replica.trainer.rewards;
        let found = measure::measure(self.config, &frozen, rewards, self.held_out)?;
        let sentence = measure::sentence(&found, self.held_out.len());
        let mut line = Value::Object(found);
        line["step"] = step.into();
        line["eval/time"] = start.elapsed().as_secs_f64().into();
        match self.json {
            true => println!("{line}"),
            false => say(&format!("Step {step}. {sentence}")),
        }
        metrics.write(&line)
    }
}

/// A pass of every replica over its share.
fn again(replicas: &[Replica<'_>], shares: &mut [Share]) -> Result<()> {
    let shares = shares.iter_mut().collect();
    each(replicas, shares, |replica, share| replica.again(share)).map(drop)
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
        let draw = drawn.map(|(prompt, picture)| Draw::new(config, prompt, picture, number));
        if sender.send(draw).is_err() {
            break;
        }
    }
}

/// Weights that are trained.
fn count(policy: &Policy) -> Result<usize> {
    Ok(policy.weights()?.iter().map(|(_, (_, v))| v.len()).sum())
}
