//! `cropvlm eval`: propose a box for every question of a data set and measure it.
//!
//! Beside the policy stands the best fixed box for each kind of question at the policy's own mean
//! size, fitted on the very same items, which flatters it: a policy that does not beat it knows
//! only where things usually stand.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use grounding::metrics::Summary;
use grounding::{FixedBoxes, NormBox, Sample};
use policy::{Policy, ProposeOptions};

use crate::data::DataSet;
use crate::device::DeviceKind;
use crate::model::ModelArgs;

/// Measure proposed boxes on a data set, beside the best fixed box of the same size.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm eval --model models/default --data data/dev.jsonl
  cropvlm eval --model models/default --data data/dev.jsonl --out boxes.jsonl --limit 50 --json")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Questions: JSON lines, parquet, or a folder (see `cropvlm data --help`)
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder that the pictures' paths start from [default: the file's folder, or the one above]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write one {"id","box"} a line
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Longest edge that the network gets to see, in pixels [default: the model's own]
    #[arg(long, value_name = "N")]
    longest_edge: Option<u32>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// Boxes of a policy on samples, in their order.
///
/// # Errors
/// Pictures that cannot be read, a policy that fails.
pub fn boxes(
    policy: &Policy,
    samples: &[Sample],
    longest_edge: Option<u32>,
    picture: impl Fn(&str) -> Result<picture::RgbImage>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Option<NormBox>>> {
    let mut boxes = Vec::with_capacity(samples.len());
    let mut current = None;
    for (i, sample) in samples.iter().enumerate() {
        // Questions about one picture usually follow each other: it is encoded once.
        if current
            .as_ref()
            .is_none_or(|(image, _)| *image != sample.image)
        {
            let picture = picture(&sample.image)?;
            let seen = pollster::block_on(policy.look(&picture, longest_edge))
                .with_context(|| format!("picture {}", sample.image))?;
            current = Some((sample.image.clone(), seen));
        }
        let Some((_, seen)) = &current else { continue };
        let options = ProposeOptions::default();
        let proposal = pollster::block_on(policy.propose(seen, &sample.question, &options))
            .with_context(|| format!("question {}", sample.id))?;
        boxes.push(proposal.bbox);
        progress(i + 1);
    }
    Ok(boxes)
}

/// Measures as the contract names them.
pub fn report(samples: &[Sample], boxes: &[Option<NormBox>], ms: f64) -> serde_json::Value {
    let summary = Summary::over(samples.iter().zip(boxes.iter().copied()));
    let fixed = FixedBoxes::fit(samples, summary.size);
    let baseline = fixed.summary(samples);
    let part = |s: &Summary| {
        serde_json::json!({
            "iou": s.iou, "recall": s.recall, "full_recall": s.full_recall, "size": s.size,
        })
    };
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, sample) in samples.iter().enumerate() {
        kinds.entry(&sample.kind).or_default().push(i);
    }
    let kinds: serde_json::Map<String, serde_json::Value> = kinds
        .into_iter()
        .map(|(kind, items)| {
            let own = Summary::over(items.iter().map(|i| (&samples[*i], boxes[*i])));
            let base = fixed.summary(items.iter().map(|i| &samples[*i]));
            let mut value = part(&own);
            value["n"] = own.n.into();
            value["baseline_full_recall"] = base.full_recall.into();
            (kind.to_string(), value)
        })
        .collect();
    serde_json::json!({
        "n": summary.n, "valid": summary.valid, "iou": summary.iou, "recall": summary.recall,
        "full_recall": summary.full_recall, "size": summary.size, "ms_per_item": ms,
        "baseline": part(&baseline), "kinds": kinds,
    })
}

/// Runs the command.
///
/// # Errors
/// Anything that keeps an item from being measured.
pub fn run(args: Args) -> Result<()> {
    let device = args.device.open()?;
    let policy = args.model.policy(&device)?;
    let set = DataSet::open(&args.data, args.root.as_deref(), args.limit)?;
    let samples = &set.samples;
    let start = Instant::now();
    let total = samples.len();
    let boxes = boxes(
        &policy,
        samples,
        args.longest_edge,
        |image| set.picture(image),
        |done| {
            if done % 20 == 0 || done == total {
                eprint!("\r{done} of {total} questions");
            }
        },
    )?;
    eprintln!();
    let ms = start.elapsed().as_secs_f64() * 1e3 / total.max(1) as f64;
    if let Some(path) = &args.out {
        let mut text = Vec::new();
        for (sample, bbox) in samples.iter().zip(&boxes) {
            writeln!(
                text,
                "{}",
                serde_json::json!({"id": sample.id, "box": bbox})
            )?;
        }
        std::fs::write(path, text)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let report = report(samples, &boxes, ms);
    if args.json {
        println!("{report}");
        return Ok(());
    }
    print_table(&report);
    Ok(())
}

fn print_table(report: &serde_json::Value) {
    let percent = |v: &serde_json::Value| format!("{:.1}", 100.0 * v.as_f64().unwrap_or(f64::NAN));
    println!("| kind | n | wholly inside | fixed box | recall | IoU | size |");
    println!("|---|---|---|---|---|---|---|");
    let row = |name: &str, v: &serde_json::Value, fixed: &serde_json::Value| {
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            v["n"],
            percent(&v["full_recall"]),
            percent(fixed),
            percent(&v["recall"]),
            percent(&v["iou"]),
            percent(&v["size"]),
        );
    };
    if let Some(kinds) = report["kinds"].as_object() {
        for (kind, v) in kinds {
            row(kind, v, &v["baseline_full_recall"]);
        }
    }
    row("all", report, &report["baseline"]["full_recall"]);
    println!(
        "\n{:.1} ms a question",
        report["ms_per_item"].as_f64().unwrap_or(f64::NAN)
    );
}
