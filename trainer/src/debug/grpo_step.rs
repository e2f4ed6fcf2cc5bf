//! `cropvlm debug grpo-step`: the numbers of one GRPO step over given rollouts, for comparing with
//! other implementations (tests/parity/grpo_step.py does). Nothing is drawn and nothing is updated.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use policy::grpo::{Group, GrpoSettings, step};
use policy::{Encoded, Policy, Rollout};
use pollster::block_on;
use serde::{Deserialize, Serialize};

use crate::data;
use crate::device::DeviceKind;
use crate::grpo::GrpoConfig;
use crate::model::ModelArgs;
use crate::train::{self, Accumulator, read_settings};

/// Compute one GRPO step over given rollouts: log-probabilities, k3, advantages, loss, gradient norm.
///
/// The groups of the file are one batch, as if they went through the network together; where the configuration says
/// `accumulation`, they are accumulated one by one, as `cropvlm grpo` does (bnpo alone tells the difference: it divides by
/// the completion tokens of a local batch). The rollouts are taken as drawn by the present weights (ratio 1), the
/// reference is the model with its adapter off, dropout is off.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  cropvlm debug grpo-step --model SmolVLM-256M-Instruct --adapter runs/sft/adapter --rollouts rollouts.json \\
      --config trainer/configs/grpo.toml --json

rollouts.json: [{\"image\", \"question\", \"completions\": [\"[10, 20, 63, 57].\", ...], \"rewards\": [...]}]; pictures
are looked up from the working folder, else beside the file or in the folder above it. A completion's
tokens are those of a space, the text and <end_of_utterance>.

The configuration is one of `cropvlm grpo`; beta, num_generations, max_completion_length and loss_type
(dr_grpo, grpo, bnpo, dapo, cispo, sapo) are read, scale_rewards and the other settings of the loss too, and
may stand alone; left out: those of the paper. Log-probabilities are taken at logprob_temperature, else at temperature; where neither is said, at 1.

With --json one line: loss; logprobs, ref_logprobs and kl (by prompt, completion, token); advantages (by
prompt, completion); grad_norm (over the adapter's parameters, not clipped); tokens.")]
pub struct StepArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Groups of rollouts with their rewards
    #[arg(long, value_name = "FILE.json")]
    rollouts: PathBuf,
    /// Settings of the loss
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// Longest edge in pixels [default: one tile, 512 for SmolVLM]
    #[arg(long, value_name = "N")]
    longest_edge: Option<u32>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// A group as the file has it.
#[derive(Deserialize)]
struct Given {
    image: String,
    question: String,
    completions: Vec<String>,
    rewards: Vec<f64>,
}

/// What is printed.
#[derive(Default, Serialize)]
struct Report {
    loss: f64,
    logprobs: Vec<Vec<Vec<f32>>>,
    ref_logprobs: Vec<Vec<Vec<f32>>>,
    kl: Vec<Vec<Vec<f32>>>,
    advantages: Vec<Vec<f64>>,
    grad_norm: f64,
    tokens: usize,
}

/// Runs the command.
///
/// # Errors
/// Files that cannot be read or do not fit each other, a failed device.
pub fn run(args: &StepArgs) -> Result<()> {
    let (settings, accumulated) = settings(&args.config)?;
    let groups = groups(&args.rollouts, &settings)?;
    let policy = args.model.policy(&args.device.open()?.autodiff())?;
    let (report, _) = compute(args, &settings, accumulated, &groups, &policy)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("loss           {:.6}", report.loss);
    println!("gradient norm  {:.6}", report.grad_norm);
    let places = report.advantages.iter().zip(&report.logprobs);
    for (group, (given, (advantages, logprobs))) in groups.iter().zip(places).enumerate() {
        println!("group {}: {}", group + 1, given.question);
        let rows = given.completions.iter().zip(advantages).zip(logprobs);
        for (row, ((text, advantage), each)) in rows.enumerate() {
            let sum: f32 = each.iter().sum();
            let kl: f32 = report.kl[group][row].iter().sum();
            println!("  advantage {advantage:8.4}  log p {sum:9.4}  k3 {kl:9.5}  {text}");
        }
    }
    Ok(())
}

/// The settings of the loss, and whether groups are accumulated; `num_generations` is 0 where the file does not say it.
fn settings(path: &Path) -> Result<(GrpoSettings, bool)> {
    let config: GrpoConfig = read_settings(path, &[])?;
    let said = std::fs::read_to_string(path)?.parse::<toml::Table>()?;
    let mut settings = config.settings();
    if !said.contains_key("num_generations") {
        settings.num_generations = 0;
    }
    // Rollouts that somebody hands in were drawn at 1 unless it is said.
    if !said.contains_key("temperature") && !said.contains_key("logprob_temperature") {
        settings.logprob_temperature = 1.0;
    }
    Ok((settings, said.contains_key("accumulation")))
}

fn groups(path: &Path, settings: &GrpoSettings) -> Result<Vec<Given>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let groups: Vec<Given> = serde_json::from_str(&text)
        .with_context(|| format!("{}: not a list of groups of rollouts", path.display()))?;
    if groups.is_empty() {
        bail!("{}: holds no group", path.display());
    }
    for (i, group) in groups.iter().enumerate() {
        let (n, rewards) = (group.completions.len(), group.rewards.len());
        let about = format!("{}, group {}", path.display(), i + 1);
        if n == 0 || n != rewards {
            bail!("{about}: {n} completions and {rewards} rewards; each completion needs one");
        }
        let expected = settings.num_generations;
        if expected != 0 && n != expected {
            bail!(
                "{about}: {n} completions, but the configuration's num_generations is {expected}"
            );
        }
    }
    Ok(groups)
}

/// Rows of a `[G, T]` tensor, each as long as its completion.
fn rows(tensor: Tensor<2>, rollouts: &[Rollout]) -> Result<Vec<Vec<f32>>> {
    let [_, t] = tensor.dims();
    let values = block_on(smolvlm::read(tensor, "log-probabilities"))?;
    let lengths = rollouts.iter().map(|rollout| rollout.ids.len().max(1));
    Ok(values
        .chunks(t)
        .zip(lengths)
        .map(|(row, length)| row[..length].to_vec())
        .collect())
}

/// The numbers of the step, and the gradient of its loss.
fn compute(
    args: &StepArgs,
    settings: &GrpoSettings,
    accumulated: bool,
    groups: &[Given],
    policy: &Policy,
) -> Result<(Report, GradientsParams)> {
    let rollouts: Vec<Vec<Rollout>> = groups
        .iter()
        .map(|group| {
            let each = group.completions.iter().map(|text| policy.rollout(text));
            each.collect::<policy::Result<_>>()
        })
        .collect::<policy::Result<_>>()?;
    let count = |group: &[Rollout]| group.iter().map(|row| row.ids.len().max(1)).sum::<usize>();
    let tokens: usize = rollouts.iter().map(|group| count(group)).sum();
    let all: usize = rollouts.iter().map(Vec::len).sum();

    let rewards: Vec<f64> = groups
        .iter()
        .flat_map(|group| group.rewards.clone())
        .collect();
    let reference = policy.reference();
    let mut report = Report {
        tokens,
        ..Report::default()
    };
    let mut sum = Accumulator::default();
    for (given, drawn) in groups.iter().zip(&rollouts) {
        let about = || format!("picture {}", given.image);
        let picture = data::picture(&find(&args.rollouts, &given.image)?)?;
        let encode = |model: &Policy| -> Result<Encoded> {
            block_on(model.encode(&picture, args.longest_edge)).with_context(about)
        };
        let group = Group::new(&given.question, drawn.clone(), &given.rewards, settings);
        let mut group = group.with_context(about)?;
        group.scale_by(&rewards);
        group.refer_to(&reference, &encode(&reference)?, settings)?;
        let own = (drawn.len(), count(drawn) as f64);
        let weight = match accumulated {
            true => settings.loss_type.accumulated(groups.len(), tokens as f64),
            false => settings.loss_type.in_one_batch(own, (all, tokens as f64)),
        };
        let encoded = encode(policy)?;
        let found =
            block_on(step(policy, &encoded, &group, settings, weight)).with_context(about)?;
        report.logprobs.push(rows(found.logprobs, drawn)?);
        for (list, values) in [
            (&mut report.ref_logprobs, group.reference().cloned()),
            (&mut report.kl, found.k3),
        ] {
            if let Some(values) = values {
                list.push(rows(values, drawn)?);
            }
        }
        report.loss += found.loss;
        report.advantages.push(group.advantages);
        sum.add(policy, found.gradients);
    }
    let gradients = sum.take(policy, 1.0);
    report.grad_norm = train::norm(policy, &gradients);
    Ok((report, gradients))
}

/// The picture as named from the working folder, else where data sets have theirs.
fn find(rollouts: &Path, image: &str) -> Result<PathBuf> {
    let here = PathBuf::from(image);
    if here.is_file() {
        return Ok(here);
    }
    data::find_image(rollouts, None, image)
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use smolvlm::{ADAPTER_WEIGHTS, tiny};

    use super::*;
    use crate::train::{AdamW, OptimizerConfig};

    fn floats(bytes: &[u8]) -> Vec<f32> {
        let chunks = bytes.as_chunks().0.iter();
        chunks.map(|&b| f32::from_le_bytes(b)).collect()
    }

    /// `crates/policy/goldens/make.py` made the same step with torch.optim.AdamW. At a higher rate the
    /// few entries whose gradient is no more than rounding (1e-7 of the others) would tell f32 from f64.
    #[test]
    fn one_step_of_adamw_is_that_of_pytorch() {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/policy/goldens");
        let place = tempfile::tempdir().expect("folder");
        let mut files = tiny::files();
        let weights = include_bytes!("../../../crates/smolvlm/goldens/model.safetensors");
        files.insert("model.safetensors", weights.to_vec());
        files.save(place.path()).expect("model");
        let args = StepArgs {
            model: ModelArgs {
                model: place.path().to_path_buf(),
                adapter: Some(goldens.join("adapter")),
            },
            rollouts: goldens.join("rollouts.json"),
            config: PathBuf::new(),
            longest_edge: None,
            device: DeviceKind::Cpu,
            json: true,
        };
        let settings = GrpoSettings {
            num_generations: 3,
            logprob_temperature: 1.0,
            ..GrpoSettings::default()
        };
        let device = DeviceKind::Cpu.open().expect("device").autodiff();
        let policy = args.model.policy(&device).expect("policy");
        let groups = groups(&args.rollouts, &settings).expect("groups");
        let (report, gradients) = compute(&args, &settings, false, &groups, &policy).expect("step");
        let mut optimizer = AdamW::new(&OptimizerConfig {
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            grad_clip: 0.1,
            average: 0.0,
            ..OptimizerConfig::default()
        });
        let (policy, norm) = optimizer.step(policy, gradients, 1e-4).expect("step");
        assert_eq!(norm, report.grad_norm);
        assert!(norm > 0.5, "{norm}: the gradient is clipped");

        let files = block_on(policy.adapter_files())
            .expect("files")
            .expect("an adapter");
        let bytes = files.get(ADAPTER_WEIGHTS).expect("weights");
        let found = SafeTensors::deserialize(bytes).expect("weights");
        let mut names = found.names();
        names.sort_unstable();
        let actual = names
            .into_iter()
            .flat_map(|name| floats(found.tensor(name).expect("tensor").data()));
        let actual: Vec<f32> = actual.collect();
        let bytes = std::fs::read(goldens.join("grpo.safetensors")).expect("goldens");
        let golden = SafeTensors::deserialize(&bytes).expect("goldens");
        let expected = floats(golden.tensor("updated").expect("updated").data());
        assert_eq!(actual.len(), expected.len());
        for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
            assert!((a - e).abs() < 1e-5, "{i}: {a} instead of {e}");
        }
    }
}
