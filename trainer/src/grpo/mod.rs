//! `cropvlm grpo`: the policy draws boxes, a frozen reader says what they are worth, and the policy
//! makes the better ones of each group likelier.
//!
//! ```text
//! config -> prompts in order (run.rs) -> groups (step.rs), dealt to devices (replica.rs) -> rewards (rewards.rs)
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
mod replay;
mod replica;
mod reward_config;
mod reward_functions;
mod rewards;
mod run;
mod step;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use policy::Policy;
use smolvlm::Precision;

pub use self::config::GrpoConfig;
use self::prompts::Prompts;
use self::replica::Replica;
use self::rewards::Rewards;
use self::run::Run;
use self::step::Trainer;
use crate::device::DeviceKind;
use crate::model;
use crate::reader::{ApiReader, Reader};
use crate::stop::Stop;
use crate::train::reduce::Reduce;
use crate::train::{self, AdamW, RunFolder, read_settings};

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
  cropvlm grpo --config trainer/configs/smoke.toml --out runs/mine --set reward_model.path=\"\" \\
      --set reward_model.api.model=gpt-4.1-nano --set reward_model.api.key_env=OPENAI_API_KEY \\
      --set reward_model.api.max_calls=2000 --set rewards.accuracy=1 --set rewards.likelihood=0

Lines of metrics.jsonl: step, reward, reward_std, frac_reward_zero_std, rewards/<name>/mean, kl, entropy
(mean of -log p of the drawn tokens), clip_ratio, completions/mean_length, loss, grad_norm, lr,
step_time; frac_replayed with replay_buffer_size, reward_model/calls and /cost with [reward_model.api]; and of measurements step, eval/reward, eval/rewards/<name> (of the boxes proposed for
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
    let stop = Stop::default();
    let api = load_api(&config, folder.as_ref().map(|_| out.as_path()), &stop)?;
    let rewards: Vec<Rewards> = readers
        .iter()
        .map(|reader| Rewards::new(&config, reader.as_ref()).with_api(api.as_ref()))
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
        api: api.as_ref(),
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
    run.go(replicas, &stop)
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

/// A provider that reads; its answers are kept in the run's folder.
fn load_api(config: &GrpoConfig, folder: Option<&Path>, stop: &Stop) -> Result<Option<ApiReader>> {
    let reader = &config.reward_model;
    let Some(api) = &reader.api else {
        return Ok(None);
    };
    let shown = (config.case, reader.full_image, reader.longest_edge);
    ApiReader::open(api, shown, folder, stop.clone()).map(Some)
}
