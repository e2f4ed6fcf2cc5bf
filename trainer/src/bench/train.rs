//! `cropvlm bench train`: seconds of a GRPO step of the text policy, by its parts.
//!
//! One group a step, as the paper trains: a 512 px picture, G = 6 free completions of a fixed length,
//! the likelihood reward over full image and six crops, KL to the reference, one update of the
//! adapter. Weights are random (values do not change the time). `tests/parity/bench_train.py`
//! measures the same step in PyTorch.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::{Device, Distribution, Tensor};
use grounding::{Case, NormBox};
use picture::RgbImage;
use policy::grpo::{self, Group, GrpoSettings};
use policy::{LoraConfig, ModelFiles, Policy, SampleOptions, TextPolicy};
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smolvlm::SmolVlm;
use smolvlm::tiny::smolvlm_256m;

use super::flops::{Flops, Pass};
use crate::device::DeviceKind;
use crate::reader::RewardModel;
use crate::train::{AdamW, OptimizerConfig, peak_memory, training_device};

const QUESTION: &str = "What is the total?";
const ANSWER: &str = "12.50 euros.";

/// Measure a GRPO step of the text policy: rollouts, rewards, update.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm bench train
  cropvlm bench train --model SmolVLM-256M-Instruct --steps 5 --warmup 2 --json
  cropvlm bench train --model crates/smolvlm/tiny --longest-edge 24 --rank 8

Parts: rollout (the policy looks, with what gradients need, and writes), reward (the reward model reads
full image and crops, and scores the answer), update (reference, log-probabilities, backwards, AdamW).
Utilisation: operations of all matrix products of the step, over seconds, over what one large product
reaches on this device (--peak-tflops to compare with a data sheet's number instead).")]
pub struct TrainArgs {
    /// Model folder; without weights in it, random ones [default: SmolVLM-256M's shape, random]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Rollouts of the group
    #[arg(long, value_name = "G", default_value_t = 6)]
    group: usize,
    /// Tokens of each completion
    #[arg(long, value_name = "N", default_value_t = 20)]
    tokens: usize,
    /// Rank of the adapter
    #[arg(long, value_name = "R", default_value_t = 128)]
    rank: usize,
    /// Longest edge of the picture and of what the policy sees, in pixels
    #[arg(long, value_name = "N", default_value_t = 512)]
    longest_edge: u32,
    /// Steps that are measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    steps: usize,
    /// Steps before, not measured
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: usize,
    /// Compute cheap intermediate results again on the way back instead of keeping them
    #[arg(long)]
    checkpointing: bool,
    /// Highest speed of the device, in units of 10^12 operations a second [default: measured]
    #[arg(long, value_name = "X")]
    peak_tflops: Option<f64>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// Seconds of a step's parts.
#[derive(Debug, Clone, Copy, Default)]
struct Parts {
    rollout: f64,
    reward: f64,
    update: f64,
}

impl Parts {
    fn total(self) -> f64 {
        self.rollout + self.reward + self.update
    }
}

/// Everything that a step needs.
struct Bench<'a> {
    args: &'a TrainArgs,
    policy: Policy,
    reference: Policy,
    reader: RewardModel,
    optimizer: AdamW,
    picture: RgbImage,
    rng: ChaCha8Rng,
    device: Device,
}

/// Runs the command.
///
/// # Errors
/// A model folder that cannot be read, a device that fails.
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut bench = Bench::new(args)?;
    for step in 0..args.warmup {
        let parts = bench.step()?;
        eprintln!("warm-up {}: {:.2} s", step + 1, parts.total());
    }
    let mut sum = Parts::default();
    for step in 0..args.steps.max(1) {
        let parts = bench.step()?;
        eprintln!("step {}: {:.2} s", step + 1, parts.total());
        sum.rollout += parts.rollout;
        sum.reward += parts.reward;
        sum.update += parts.update;
    }
    let steps = args.steps.max(1) as f64;
    let parts = Parts {
        rollout: sum.rollout / steps,
        reward: sum.reward / steps,
        update: sum.update / steps,
    };
    bench.report(parts)
}

impl<'a> Bench<'a> {
    fn new(args: &'a TrainArgs) -> Result<Self> {
        let device = args.device.open()?;
        let files = match &args.model {
            Some(dir) => ModelFiles::from_dir(dir)
                .with_context(|| format!("model folder {}", dir.display()))?,
            None => smolvlm_256m()?,
        };
        let weights = files.names().any(|name| name.ends_with(".safetensors"));
        let load = |device: &Device| match weights {
            true => SmolVlm::load(&files, device),
            false => SmolVlm::random(&files, 1, device),
        };
        let trained = training_device(device.clone(), args.checkpointing);
        let mut policy = Policy::Text(TextPolicy::new(load(&trained)?)?);
        let lora = LoraConfig {
            r: args.rank,
            lora_alpha: 2.0 * args.rank as f64,
            ..LoraConfig::default()
        };
        policy.add_adapter(&lora, 1)?;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let side = args.longest_edge;
        let noise = (0..side * side * 3).map(|_| rng.random::<u8>()).collect();
        Ok(Self {
            args,
            reference: policy.reference(),
            reader: RewardModel::new(load(&device)?, Case::default(), None),
            policy,
            optimizer: AdamW::new(&OptimizerConfig {
                lr: 5e-6,
                grad_clip: 0.1,
                weight_decay: 0.0,
                average: 0.0,
                ..OptimizerConfig::default()
            }),
            picture: RgbImage::from_raw(side, side, noise).context("a picture")?,
            rng,
            device,
        })
    }

    /// One step, by its parts.
    fn step(&mut self) -> Result<Parts> {
        let args = self.args;
        let edge = Some(args.longest_edge);
        let start = Instant::now();
        let frozen = self.policy.without_gradients();
        let encoded = block_on(self.policy.encode(&self.picture, edge))?;
        let options = SampleOptions {
            n: args.group,
            unconstrained: true,
            max_tokens: args.tokens,
            ..SampleOptions::default()
        };
        let plain = encoded.without_gradients();
        let drawn = frozen.sample(&plain, QUESTION, &options, &mut self.rng);
        let rollouts = block_on(drawn)?;
        let rollout = start.elapsed().as_secs_f64();

        // Random weights write no boxes: crops are drawn instead, so that the reward is computed
        // as after a real rollout.
        let start = Instant::now();
        let boxes: Vec<Option<NormBox>> = (0..args.group).map(|_| Some(self.draw_box())).collect();
        let full = self.reader.encode(&self.picture)?;
        let scores = self.reader.score(&full, &boxes, QUESTION, ANSWER)?;
        let rewards = scores
            .iter()
            .map(|row| row.iter().map(|v| f64::from(*v)).sum());
        let rewards: Vec<f64> = rewards.collect();
        let reward = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let settings = GrpoSettings {
            max_completion_length: args.tokens,
            num_generations: args.group,
            ..GrpoSettings::default()
        };
        let mut group = Group::new(QUESTION, rollouts, &rewards, &settings)?;
        let before = block_on(self.reference.encode(&self.picture, edge))?;
        group.refer_to(&self.reference, &before, &settings)?;
        let found = block_on(grpo::step(&self.policy, &encoded, &group, &settings, 1.0))?;
        let gradients = found.gradients;
        let policy = std::mem::replace(&mut self.policy, self.reference.without_gradients());
        let (policy, _) = self.optimizer.step(policy, gradients, 5e-6)?;
        self.policy = policy;
        settled(&self.policy)?;
        let update = start.elapsed().as_secs_f64();
        Ok(Parts {
            rollout,
            reward,
            update,
        })
    }

    fn draw_box(&mut self) -> NormBox {
        let rng = &mut self.rng;
        let (x, y) = (rng.random_range(0.0..50f32), rng.random_range(0.0..50f32));
        let (w, h) = (rng.random_range(20.0..50f32), rng.random_range(20.0..50f32));
        NormBox {
            x1: x.round(),
            y1: y.round(),
            x2: (x + w).round(),
            y2: (y + h).round(),
        }
    }

    /// Operations of the step by its parts.
    fn operations(&self) -> Result<Parts> {
        // The operations of a map policy are not counted.
        let Policy::Text(policy) = &self.policy else {
            return Ok(Parts::default());
        };
        let (model, args) = (policy.model(), self.args);
        let own = Flops::new(model.config(), model.adapter());
        let plain = Flops::new(model.config(), None);
        let tiles = model.pictures(&[&self.picture], Some(args.longest_edge as usize))?;
        let head = model.prompts().head(&tiles)?.len();
        let text = grounding::prompt::policy_prompt(QUESTION, Case::default());
        let tail = model.prompts().tail(&text)?.len();
        let (g, n) = (args.group, args.tokens);
        let pass = |rows, past, tokens, logits| Pass {
            rows,
            past,
            tokens,
            logits,
        };
        // Looking: tiles and the picture's place in the prompt. Asking: the question.
        let encode =
            |f: &Flops| f.vision(tiles.tiles(), tiles.side) + f.decoder(pass(1, 0, head, 0));
        let ask = |f: &Flops| f.decoder(pass(1, head, tail, 1));
        let write = |f: &Flops| f.decoder(pass(g, head + tail, n - 1, n));

        let one = model.pictures(&[&self.picture], None)?;
        let read = model.prompts().head(&one)?.len();
        let question = grounding::prompt::answer_prompt(QUESTION, Case::default());
        let question = model.prompts().tail(&question)?.len();
        let answer = model.prompts().completion(ANSWER)?.len();
        let reward = plain.vision((1 + g) * one.tiles(), one.side)
            + plain.decoder(pass(1, 0, read, 0))
            + plain.decoder(pass(g, read, read + question + answer, answer));
        // Backwards through frozen weights: one product of the same size; the factors' own gradients
        // are a small second one, which is not counted.
        let forward = ask(&own) + write(&own);
        let backward = encode(&own) + forward;
        Ok(Parts {
            rollout: encode(&own) + forward,
            reward,
            update: encode(&plain) + ask(&plain) + write(&plain) + forward + backward,
        })
    }

    fn report(&self, seconds: Parts) -> Result<()> {
        let work = self.operations()?;
        let peak = match self.args.peak_tflops {
            Some(peak) => peak * 1e12,
            None => peak(&self.device)?,
        };
        let total = seconds.total();
        let tokens = (self.args.group * self.args.tokens) as f64;
        let memory = peak_memory().unwrap_or(f64::NAN);
        let utilisation = work.total() / total / peak;
        let trained: usize = self
            .policy
            .weights()?
            .iter()
            .map(|(_, (_, v))| v.len())
            .sum();
        if self.args.json {
            let parts = |p: Parts| {
                serde_json::json!({
                    "rollout": p.rollout, "reward": p.reward, "update": p.update, "total": p.total(),
                })
            };
            let line = serde_json::json!({
                "seconds": parts(seconds), "operations": parts(work), "utilisation": utilisation,
                "peak_operations_per_second": peak, "tokens_per_second": tokens / total,
                "peak_memory_bytes": memory, "trained_weights": trained, "group": self.args.group,
                "tokens": self.args.tokens, "longest_edge": self.args.longest_edge,
                "rank": self.args.rank,
            });
            println!("{line}");
            return Ok(());
        }
        println!("| part | seconds | 10^9 operations | of the peak |");
        println!("|---|---|---|---|");
        let rows = [
            ("rollout", seconds.rollout, work.rollout),
            ("reward", seconds.reward, work.reward),
            ("update", seconds.update, work.update),
            ("step", total, work.total()),
        ];
        for (name, seconds, work) in rows {
            println!(
                "| {name} | {seconds:.2} | {:.0} | {:.1} % |",
                work / 1e9,
                100.0 * work / seconds / peak
            );
        }
        println!(
            "\nG = {}, {} tokens each: {:.1} tokens a second of the whole step, {:.1} of the rollout; {:.1} M \
             weights trained;\npeak of the device {:.0} x 10^9 operations a second; peak memory {:.2} GB{}",
            self.args.group,
            self.args.tokens,
            tokens / total,
            tokens / seconds.rollout,
            trained as f64 / 1e6,
            peak / 1e9,
            memory / 1e9,
            match self.args.device {
                DeviceKind::Cpu => "",
                _ => " (of this process, the device's own aside)",
            }
        );
        Ok(())
    }
}

/// Waits until the device has computed the last update.
fn settled(policy: &Policy) -> Result<()> {
    let Policy::Text(policy) = policy else {
        return Ok(());
    };
    for (_, layer) in policy.model().projections() {
        if let Some(lora) = layer.lora {
            block_on(smolvlm::settle(&lora.b.val().inner()))?;
        }
    }
    Ok(())
}

/// Operations a second that one large product of f32 matrices reaches, the best of three.
fn peak(device: &Device) -> Result<f64> {
    const SIDE: usize = 2048;
    let make = || Tensor::<2>::random([SIDE, SIDE], Distribution::Default, device);
    let (a, b) = (make(), make());
    let mut best = 0f64;
    for _ in 0..3 {
        let start = Instant::now();
        let product = a.clone().matmul(b.clone());
        block_on(smolvlm::settle(&product))?;
        let seconds = start.elapsed().as_secs_f64();
        best = best.max(2.0 * (SIDE as f64).powi(3) / seconds);
    }
    Ok(best)
}
