//! `cropvlm eval`: propose a box for every question of a data set and measure it, and measure what a
//! target VLM makes of it.
//!
//! Beside the policy stands the best fixed box for each kind of question at the policy's own mean
//! size, fitted on the very same items, which flatters it: a policy that does not beat it knows
//! only where things usually stand.
//!
//! With a target (`--target`, `--target-url`; `sweep.rs`) every question is answered with the full image
//! alone, with the crop, and so on (`conditions.rs`); the answers are scored as in the papers. Departures:
//! an invalid box leaves the full image alone, and is counted; a model's closing full stop is not scored.
//!
//! `--lift` asks the same of a reader that cannot be told a question: Tesseract (`lift.rs`).

mod ask;
mod conditions;
mod diagnostic;
mod items;
mod lift;
mod proposers;
mod refusal;
mod summary;
mod sweep;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use grounding::metrics::{self, Summary};
use grounding::{FixedBoxes, NormBox, Sample};
use policy::ProposeOptions;
use serde::Deserialize;

use self::ask::End;
use self::lift::LiftArgs;
use self::proposers::ProposerArgs;
use self::sweep::SweepArgs;
use self::words::percent;
pub use self::words::sentences;
use crate::counting::Counting;
use crate::data::{self, DataSet};
use crate::device::DeviceKind;
use crate::model::ModelArgs;
use crate::proposer::Proposer;
use crate::stop::Stop;
use crate::vlm::TargetArgs;
use crate::write;

/// Measure proposed boxes on a data set, beside the best fixed box of the same size, and what a target
/// VLM answers with them.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm eval --model models/default --data trainer/smoke/held
  cropvlm eval --model models/default --data data/dev.jsonl --out boxes.jsonl --limit 50 --json
  cropvlm eval --model models/default --data data/dev.jsonl --lift --readings readings.jsonl
  cropvlm eval --boxes boxes.jsonl --data data/dev.jsonl --target SmolVLM-256M-Instruct --items answers.jsonl
  cropvlm eval --boxes boxes.jsonl --data data/dev.jsonl --items answers.jsonl \\
      --target-url https://api.openai.com/v1 --target-model gpt-4.1-nano --target-key-env OPENAI_API_KEY
  cropvlm eval --boxes boxes.jsonl --data data/dev.jsonl --items answers.jsonl \\
      --provider gemini --target-model gemini-3.5-flash-lite --target-key-env GEMINI_API_KEY
  cropvlm eval --boxes boxes.jsonl --data data/dev.jsonl --target SmolVLM-256M-Instruct \\
      --conditions full,full+crop,crop --expand 1,1.5,2,4 --target-longest-edge 512,1024
  cropvlm eval --model models/default --data data/dev.jsonl --target SmolVLM-256M-Instruct --items answers.jsonl \\
      --conditions full,full+crop,crop,true,noise,blank
  cropvlm eval --model models/default --data data/dev.jsonl --attention SmolVLM-256M-Instruct --searched searched.jsonl

Scores (percent in the table, 0 to 1 in JSON): VQA accuracy (mean over leave-one-out of min(1, matches / 3)
for ten answers; three or fewer are spellings of one), ANLS with threshold 0.5, exact match; the best over
the accepted answers, without a closing full stop. \"VQA to full\" is the mean difference to the full image
alone. An answer that is empty, marked by the provider, or opens with \"I'm sorry\", \"I cannot\" and the
like counts as refused. Errors are in no mean, and are asked again by the same command with --items.
--expand is a factor of the crop's area. A longest edge bounds every picture of a question. Where the crop was replaced
(true, noise, blank) a second table says whether it matters: gain with the true box, drop with noise and grey, and the
share of answers beside the crop that the full image alone has given already; with 95 % bootstrap intervals over pictures.
--attention and --searched put training-free and searched boxes into one table with the learned, fixed and true ones.")]
pub struct Args {
    /// Model folder that proposes the boxes: models/default, or any Hugging Face folder of an
    /// Idefics3 model (SmolVLM)
    #[arg(long, value_name = "DIR", conflicts_with = "boxes")]
    model: Option<PathBuf>,
    /// LoRA adapter to put on it: a PEFT folder (adapter_config.json and adapter_model.safetensors)
    #[arg(long, value_name = "PEFT_DIR", requires = "model")]
    adapter: Option<PathBuf>,
    /// Boxes that were proposed before, one {"id","box"} a line, as --out writes them
    #[arg(long, value_name = "FILE")]
    boxes: Option<PathBuf>,
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
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    others: ProposerArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    lift: LiftArgs,
}

/// What is proposed for a sample.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proposed {
    /// The box, where there is one.
    pub bbox: Option<NormBox>,
    /// How likely the evidence lies inside, where the policy says so.
    pub confidence: Option<f64>,
    /// How likely the picture holds the answer at all.
    pub present: Option<f64>,
}

/// What is proposed for samples, in their order.
///
/// # Errors
/// Pictures that cannot be read, a model that fails.
pub fn boxes(
    proposer: &Proposer,
    samples: &[Sample],
    longest_edge: Option<u32>,
    picture: impl Fn(&str) -> Result<picture::RgbImage>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Proposed>> {
    let mut boxes = Vec::with_capacity(samples.len());
    let mut current = None;
    for (i, sample) in samples.iter().enumerate() {
        // Questions about one picture usually follow each other: it is encoded once.
        if current
            .as_ref()
            .is_none_or(|(image, _)| *image != sample.image)
        {
            let picture = picture(&sample.image)?;
            let encoded = proposer
                .encode(&picture, longest_edge)
                .with_context(|| format!("picture {}", sample.image))?;
            current = Some((sample.image.clone(), encoded));
        }
        let Some((_, encoded)) = &current else {
            continue;
        };
        let options = ProposeOptions::default();
        let proposal = proposer
            .propose(encoded, &sample.question, &options)
            .with_context(|| format!("question {}", sample.id))?;
        boxes.push(Proposed {
            bbox: proposal.bbox,
            confidence: proposal.confidence,
            present: proposal
                .present
                .or_else(|| proposal.evidence.map(|map| map.peak())),
        });
        progress(i + 1);
    }
    Ok(boxes)
}

/// Adds what the confidences are worth: `confidence`, their mean over questions with evidence; `calibration_error`; and
/// `answerable_auc` where there are questions without evidence, too. Nothing without any confidence.
fn add_confidence(result: &mut serde_json::Value, samples: &[Sample], proposed: &[Proposed]) {
    let mut claims = Vec::new();
    // With an answer, and without one.
    let mut present = [Vec::new(), Vec::new()];
    for (sample, proposed) in samples.iter().zip(proposed) {
        present[usize::from(sample.boxes.is_empty())].extend(proposed.present);
        let Some(confidence) = proposed.confidence else {
            continue;
        };
        if sample.boxes.is_empty() {
            continue;
        }
        let inside = |bbox| metrics::score(sample, bbox).full_recall;
        claims.push((confidence, proposed.bbox.is_some_and(inside)));
    }
    if !claims.is_empty() {
        let sum: f64 = claims.iter().map(|claim| claim.0).sum();
        result["confidence"] = (sum / claims.len() as f64).into();
        result["calibration_error"] = metrics::calibration_error(&claims).into();
    }
    let [there, none] = &present;
    if let Some(area) = metrics::area_under_curve(there, none) {
        result["answerable_auc"] = area.into();
    }
}

/// The sentence that goes with it.
fn print_confidence(result: &serde_json::Value) {
    if let (Some(mean), Some(error)) = (
        result["confidence"].as_f64(),
        result["calibration_error"].as_f64(),
    ) {
        println!("\nconfidence: mean {mean:.2}, expected calibration error {error:.2}");
    }
    if let Some(area) = result["answerable_auc"].as_f64() {
        println!(
            "with an answer against without one, by the likeliest cell: area under the curve {area:.2}"
        );
    }
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

impl Args {
    /// Refuses outputs that cannot be written, or that would overwrite what is read, before anything is computed.
    fn check_outputs(&self, set: &DataSet) -> Result<()> {
        let read = [
            self.boxes.as_deref(),
            self.model.as_deref(),
            self.adapter.as_deref(),
            self.others.attention.as_deref(),
            self.others.searched.as_deref(),
        ];
        let read = read.into_iter().flatten();
        let inputs: Vec<&Path> = read.chain(set.files.iter().map(PathBuf::as_path)).collect();
        let outputs = [&self.out, &self.sweep.items, &self.lift.readings];
        for out in outputs.into_iter().flatten() {
            write::not_an_input(out, &inputs)?;
            write::check_file(out)?;
        }
        Ok(())
    }
}

/// Runs the command.
///
/// # Errors
/// Anything that keeps an item from being measured.
pub fn run(args: Args) -> Result<()> {
    let has_boxes = args.model.is_some() || args.boxes.is_some();
    args.sweep
        .check(args.target.is_given(), has_boxes, &args.others)?;
    let set = DataSet::open(&args.data, args.root.as_deref(), args.limit)?;
    args.check_outputs(&set)?;
    let stop = Stop::default();
    // Before the boxes, which take a while: a wrong folder or a missing key shows at once.
    let target = args.target.open(args.device, stop.clone())?;
    let proposed = proposed(&args, &set)?;
    let mut result = match &proposed {
        Some((proposed, ms)) => report(&set.samples, &only_boxes(proposed), *ms),
        None => serde_json::json!({ "n": set.samples.len() }),
    };
    if let Some((proposed, _)) = &proposed {
        add_confidence(&mut result, &set.samples, proposed);
        if !args.json {
            println!("{}\n", sentences(&result));
            print_table(&result);
            print_confidence(&result);
        }
    }
    if args.lift.lift {
        let Some((proposed, _)) = &proposed else {
            bail!("--lift needs boxes: name a policy with --model, or boxes with --boxes");
        };
        result["lift"] = lift::measure(&args.lift, &set, &only_boxes(proposed))?;
        if !args.json {
            println!("\n{}", lift::sentence(&result["lift"]));
        }
    }
    if target.is_some() || args.others.attention.is_some() {
        stop.on_ctrl_c()?;
    }
    let proposed = proposed.map(|(proposed, _)| only_boxes(&proposed));
    let boxes = match target.is_some() || args.others.is_given() {
        true => args.others.add(&set, args.device, &stop, proposed)?,
        false => Vec::new(),
    };
    if args.others.is_given() {
        result["proposers"] = proposers::report(
            &set.samples,
            &boxes,
            match args.boxes.is_some() {
                true => "given",
                false => "learned",
            },
        );
        if !args.json {
            println!("\n{}", proposers::markdown(&result["proposers"]));
        }
    }
    let mut end = End::Complete;
    if let Some(target) = target {
        let (answers, text);
        (answers, text, end) = args
            .sweep
            .ask(&target, &set, boxes, has_boxes, &args.others)?;
        result["target"] = answers;
        if !args.json {
            println!("\n{text}");
        }
    }
    if args.json {
        println!("{result}");
    }
    match (end, &args.sweep.items) {
        (End::Complete, _) => Ok(()),
        (End::Stopped, Some(path)) => Err(stop.interrupted(format!(
            "stopped; {} keeps the answers, and the same command goes on from there",
            path.display()
        ))),
        (End::Stopped, None) => {
            Err(stop.interrupted("stopped; with --items FILE the answers would be kept"))
        }
    }
}

/// The boxes alone.
pub fn only_boxes(proposed: &[Proposed]) -> Vec<Option<NormBox>> {
    proposed.iter().map(|proposed| proposed.bbox).collect()
}

/// What was proposed with the milliseconds that one took, by the policy or in a file; `None` without either.
fn proposed(args: &Args, set: &DataSet) -> Result<Option<(Vec<Proposed>, f64)>> {
    let samples = &set.samples;
    let proposed = match (&args.model, &args.boxes) {
        (Some(model), _) => {
            let model = ModelArgs {
                model: model.clone(),
                adapter: args.adapter.clone(),
            };
            let proposer = Proposer::open(&model, args.device)?;
            let start = Instant::now();
            let total = samples.len();
            let counting = Counting::to(total, "questions");
            let picture = |image: &str| set.picture(image);
            let edge = args.longest_edge;
            let boxes = boxes(&proposer, samples, edge, picture, |done| {
                counting.done(done)
            })?;
            drop(counting);
            let ms = start.elapsed().as_secs_f64() * 1e3 / total.max(1) as f64;
            (boxes, ms)
        }
        // Nobody knows how long they took: NaN, null in JSON.
        (None, Some(path)) => {
            let boxes = read_boxes(path, samples)?.into_iter();
            let proposed = boxes.map(|bbox| Proposed {
                bbox,
                ..Proposed::default()
            });
            (proposed.collect(), f64::NAN)
        }
        (None, None) => return Ok(None),
    };
    if let Some(path) = &args.out {
        let mut text = Vec::new();
        for (sample, proposed) in samples.iter().zip(&proposed.0) {
            let mut line = serde_json::json!({"id": sample.id, "box": proposed.bbox});
            for (key, value) in [
                ("confidence", proposed.confidence),
                ("present", proposed.present),
            ] {
                if let Some(value) = value {
                    line[key] = value.into();
                }
            }
            writeln!(text, "{line}")?;
        }
        write::file(path, &text)?;
    }
    Ok(Some(proposed))
}

/// Boxes of a file for samples, in their order.
///
/// # Errors
/// A file that cannot be read, or that lacks a sample.
pub fn read_boxes(path: &Path, samples: &[Sample]) -> Result<Vec<Option<NormBox>>> {
    #[derive(Deserialize)]
    struct Line {
        id: String,
        #[serde(rename = "box")]
        bbox: Option<NormBox>,
    }
    let lines: Vec<Line> = data::json_lines(path)?;
    let mut known: HashMap<String, Option<NormBox>> = HashMap::new();
    for line in lines {
        if let Some(other) = known.insert(line.id.clone(), line.bbox)
            && other != line.bbox
        {
            bail!(
                "{}: holds two boxes for question {}; which one is meant?",
                path.display(),
                line.id
            );
        }
    }
    let missing = samples.iter().filter(|s| !known.contains_key(&s.id));
    if let Some(first) = missing.clone().next() {
        bail!(
            "{}: holds no box for question {} (and {} others); was it made from the same data?",
            path.display(),
            first.id,
            missing.count() - 1
        );
    }
    let of = |s: &Sample| known.get(&s.id).copied().flatten();
    Ok(samples.iter().map(of).collect())
}

fn print_table(report: &serde_json::Value) {
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
}
