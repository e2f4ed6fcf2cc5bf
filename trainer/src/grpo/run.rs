//! A run in progress: groups, rewards, gradients, updates, step by step, with what it writes to its folder.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use policy::Policy;
use policy::grpo::ScaleRewards;
use pollster::block_on;
use serde_json::Value;

use super::config::GrpoConfig;
use super::prompts::{self, Order, Prompt};
use super::replay::{self, Entry, Replay};
use super::replica::{Replica, Share, deal, each, gather};
use super::step::{self, Draw, Group};
use super::{estimate, measure};
use crate::data::Skipped;
use crate::metrics::{self, Metrics};
use crate::reader::{ApiReader, BudgetSpent};
use crate::stop::{Interrupted, Stop};
use crate::train::reduce::{Reduce, add_up};
use crate::train::{self, Checkpoint, Journal, Progress};

/// A run in progress.
pub struct Run<'a> {
    /// Configuration.
    pub config: &'a GrpoConfig,
    /// What is asked.
    pub prompts: &'a [Prompt],
    /// What is measured.
    pub held_out: &'a [Prompt],
    /// Prompts that cannot be used.
    pub skipped: &'a Skipped,
    /// The run's folder.
    pub out: &'a Path,
    /// A provider that reads.
    pub api: Option<&'a ApiReader>,
    /// Evaluations as JSON lines.
    pub json: bool,
    /// How gradients of several devices are added up.
    pub reduce: Reduce,
}

impl<'a> Run<'a> {
    fn steps(&self) -> u64 {
        self.config.steps(self.prompts.len())
    }

    /// Measures one group and prints what the run will need.
    ///
    /// # Errors
    /// Whatever the first step would fail of.
    pub fn dry(&self, replica: &Replica) -> Result<()> {
        let steps = self.steps();
        let mut order = Order::new(self.config.seed, self.prompts.len());
        let (prompt, picture) = prompts::draw(self.prompts, &mut order, 0, self.skipped)?;
        let draw = Draw::new(self.config, prompt, picture, 0);
        let plan = estimate::Plan {
            steps,
            groups: self.config.accumulation,
            trained: replica.policy.trainable_weights(),
            held_out: (self.held_out.len(), steps / self.config.eval.every + 2),
        };
        estimate::estimate(&replica.trainer, &replica.policy, draw, &plan)?;
        if let Some(api) = self.api {
            let (groups, rollouts) = (plan.groups as u64, self.config.num_generations as u64);
            let measured = plan.held_out.0 as u64 * plan.held_out.1;
            println!(
                "reward model          at most {} questions a step, {} for the run; equal ones are asked once; so far {}",
                groups * rollouts,
                steps * groups * rollouts + measured,
                spent(api)
            );
        }
        Ok(())
    }

    /// Trains, from the checkpoint on if there is one.
    ///
    /// # Errors
    /// Models, data, a reward or loss that is no number, a budget that is used up, a disk that is full; what was done is
    /// saved.
    pub fn go(&self, replicas: Vec<Replica<'a>>, stop: &Stop) -> Result<()> {
        stop.on_ctrl_c()?;
        let place = Checkpoint::new(self.out);
        let mut step = 0;
        let loaded = replicas.into_iter().map(|mut replica| {
            (replica.policy, step) = place.load(replica.policy, &mut replica.optimizer)?;
            Ok(replica)
        });
        let mut replicas = loaded.collect::<Result<Vec<_>>>()?;
        let mut replay = match self.config.replay_buffer_size {
            0 => None,
            size => Some(Replay::open(size, place.further(replay::FILE)?.as_deref())?),
        };
        let (first, steps) = (step, self.steps());
        eprintln!(
            "{:.2} M weights are trained on {} prompts; step {step} of {steps}, {} groups of {} a step{}",
            replicas[0].policy.trainable_weights() as f64 / 1e6,
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
                let line = self.step(&mut replicas, step, &draws, &mut rollouts, &mut replay);
                let line = line.map_err(|error| {
                    self.save_before(error, &place, step, &replicas, replay.as_ref())
                })?;
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
                    let further = further(replay.as_ref())?;
                    place.save(step, &lead.policy, &lead.optimizer, &further)?;
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
            if let Some(api) = self.api {
                progress.say(&format!("{}.", spent(api)));
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

    /// As [`train::save_before`], unless the step had begun to move the weights. A run that was stopped, or whose budget is
    /// used up, leaves its model folder, too.
    fn save_before(
        &self,
        error: anyhow::Error,
        place: &Checkpoint,
        step: u64,
        replicas: &[Replica],
        replay: Option<&Replay>,
    ) -> anyhow::Error {
        let updates = step * self.config.num_iterations.max(1) as u64;
        let lead = match replicas {
            [lead, ..] if lead.optimizer.steps == updates => lead,
            _ => return error,
        };
        let asked = error.is::<Interrupted>() || error.is::<BudgetSpent>();
        if asked {
            let saved = lead.averaged();
            if let Err(lost) = saved.and_then(|policy| train::save_model(self.out, &policy)) {
                return error.context(format!("{lost:#}"));
            }
        }
        // A step changes the buffer only after it has moved the weights.
        match further(replay) {
            Ok(files) => {
                train::save_before(error, place, step, &lead.policy, &lead.optimizer, &files)
            }
            Err(lost) => error.context(format!("{lost:#}")),
        }
    }

    /// One step: groups, and the updates that follow from them. Returns its line of metrics.
    fn step(
        &self,
        replicas: &mut Vec<Replica<'_>>,
        step: u64,
        draws: &mpsc::Receiver<Result<Draw<'a>>>,
        rollouts: &mut Journal,
        replay: &mut Option<Replay>,
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
                shares = self.first(replicas, dealt, replay.as_ref())?;
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
        if let Some(replay) = replay {
            for group in groups.iter().filter(|group| !group.is_level()) {
                if let Some(kept) = block_on(group.drawn.keep())? {
                    let deviation = grounding::reward::deviation(&group.totals());
                    replay.add(Entry::new(&group.draw.prompt.sample, kept, deviation));
                }
            }
        }
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
        if replay.is_some() {
            let replayed = groups.iter().filter(|group| group.replay.is_some()).count();
            line["frac_replayed"] = (replayed as f64 / groups.len().max(1) as f64).into();
        }
        if let Some(spent) = self.api.map(ApiReader::spent) {
            line["reward_model/calls"] = spent.calls.into();
            line["reward_model/cost"] = spent.cost.into();
        }
        line["step_time"] = start.elapsed().as_secs_f64().into();
        Ok(line)
    }

    /// The first pass over a step's groups. Where they depend on each other (all their rewards scale the advantages, groups
    /// are replaced) or are rewarded at the same time, all of them are drawn before.
    fn first(
        &self,
        replicas: &[Replica<'_>],
        dealt: Vec<Vec<Draw<'a>>>,
        replay: Option<&Replay>,
    ) -> Result<Vec<Share<'a>>> {
        let scaled = self.config.settings().scale() == ScaleRewards::Batch;
        if !scaled && replay.is_none() && self.api.is_none() {
            return each(replicas, dealt, |replica, draws| replica.first(draws));
        }
        let mut shares = each(replicas, dealt, |replica, draws| replica.draw(draws))?;
        let groups = || shares.iter().flat_map(|share| &share.groups);
        let rewards: Vec<f64> = groups().flat_map(|group| group.totals()).collect();
        for group in shares.iter_mut().flat_map(|share| &mut share.groups) {
            group.drawn.scale_by(&rewards);
        }
        if let Some(replay) = replay {
            self.replace(replicas, &mut shares, replay)?;
        }
        again(replicas, &mut shares)?;
        Ok(shares)
    }

    /// Puts groups of earlier steps in place of those whose rewards are all equal.
    fn replace(
        &self,
        replicas: &[Replica<'_>],
        shares: &mut [Share<'a>],
        replay: &Replay,
    ) -> Result<()> {
        let with_replica = shares.iter_mut().zip(replicas);
        let mut level: Vec<(&Replica, &mut Group<'a>)> = with_replica
            .flat_map(|(share, replica)| share.groups.iter_mut().map(move |g| (replica, g)))
            .filter(|(_, group)| group.is_level())
            .collect();
        // In the order of the run, however many devices share the step.
        level.sort_by_key(|(_, group)| group.draw.number);
        let mut taken = Vec::new();
        for (replica, group) in level {
            let number = group.draw.number;
            let Some(entry) = replay.draw(self.config.seed, number, &mut taken) else {
                break;
            };
            // Data that was changed between two legs of a run may lack it.
            let Some(prompt) = entry.prompt(self.prompts) else {
                continue;
            };
            let draw = Draw::new(self.config, prompt, prompt.picture()?, number);
            let found = replica
                .trainer
                .replayed(&replica.policy, &entry.group, draw)?;
            group.replay = Some(Box::new(found));
        }
        Ok(())
    }

    /// The prompts of a step, with their pictures.
    fn draw(&self, draws: &mpsc::Receiver<Result<Draw<'a>>>) -> Result<Vec<Draw<'a>>> {
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

/// What a checkpoint holds beside weights, optimizer and step.
fn further(replay: Option<&Replay>) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let files = replay.map(|replay| Ok((replay::FILE, replay.bytes()?)));
    files.into_iter().collect()
}

/// What a provider was asked, for a person.
pub fn spent(api: &ApiReader) -> String {
    let spent = api.spent();
    let cost = match spent.cost > 0.0 {
        true => format!(", {:.4} by the prices of the configuration", spent.cost),
        false => String::new(),
    };
    format!("{} was asked {} questions{cost}", api.name(), spent.calls)
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
