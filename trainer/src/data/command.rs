//! `cropvlm data`: what a data set holds, and the same in our own form; `cropvlm data gap` is in `gap.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grounding::Sample;

use super::gap::{self, GapArgs};
use super::set::Kind;
use super::{DataSet, PictureSource};
use crate::write;

/// Show what a data set holds, or write it as JSON lines with pictures beside them.
///
/// What is read, here and by every command with --data: our JSON lines; Hugging Face parquet, one file
/// or a folder of them (TextVQA, DocVQA, ST-VQA and InfographicsVQA as they are on the hub); a .json,
/// .jsonl or .csv of questions beside pictures, or a folder with one, such as an imagefolder's
/// metadata.jsonl. Columns are known by their names: question or query; answers or answer; id,
/// question_id or questionId; image, or file_name and the like for a path; boxes, true ones in pixels; nested, those of
/// one place from the smallest to the largest; full_edge, to how many pixels the full image may shrink (`data gap`).
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  cropvlm data --data data/dev.jsonl
  cropvlm data --data data/dev.jsonl --check
  cropvlm data --data \"textvqa/data/train-*.parquet\" --limit 1000
  cropvlm data --data DocVQA/DocVQA --limit 200 --out data/docvqa
  cropvlm data gap --model SmolVLM-256M-Instruct --data data/train.jsonl --out data/train-gap.jsonl")]
pub struct Args {
    #[command(subcommand)]
    adding: Option<Adding>,
    /// File, folder, or a pattern in quotation marks
    #[arg(long, value_name = "PATH", required = true)]
    data: Option<PathBuf>,
    /// Folder that the pictures' paths start from [default: the file's folder, or the one above]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Decode every picture and name the broken ones; the exit status is 1 if there are any
    #[arg(long)]
    check: bool,
    /// Write data.jsonl and images/ into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// What is found out about the questions and added to them.
#[derive(clap::Subcommand, Debug)]
enum Adding {
    Gap(GapArgs),
}

/// Runs the command.
///
/// # Errors
/// Data that cannot be read, a folder that cannot be written; with `--check` a broken picture.
pub fn run(args: Args) -> Result<()> {
    if let Some(Adding::Gap(args)) = &args.adding {
        return gap::run(args);
    }
    let data = args.data.context("--data: name the questions")?;
    if let Some(out) = &args.out {
        write::check_folder(out)?;
    }
    let open = match args.check {
        true => DataSet::open_usable,
        false => DataSet::open,
    };
    let set = open(&data, args.root.as_deref(), args.limit)?;
    let mut found = describe(&set);
    let broken = args.check.then(|| super::check::broken(&set));
    if let Some(broken) = &broken {
        found["broken"] = serde_json::json!(broken);
    }
    if args.json {
        println!("{found}");
    } else {
        print(&found);
    }
    if let Some(broken) = broken.filter(|broken| !broken.is_empty()) {
        broken.iter().for_each(|line| eprintln!("{line}"));
        bail!(
            "{} of {} questions cannot be used because of their pictures; training skips them as long as they are \
             at most max_bad of all",
            broken.len(),
            set.samples.len() + set.unusable.len()
        );
    }
    if let Some(out) = &args.out {
        let pictures = convert(&set, out)?;
        eprintln!(
            "{}: {} questions, {pictures} pictures",
            out.join(LINES).display(),
            set.samples.len()
        );
    }
    Ok(())
}

/// Name of the questions' file that is written.
const LINES: &str = "data.jsonl";

fn describe(set: &DataSet) -> serde_json::Value {
    let samples = &set.samples;
    let count = |holds: &dyn Fn(&Sample) -> bool| samples.iter().filter(|s| holds(s)).count();
    let pictures: BTreeSet<&str> = samples.iter().map(|s| s.image.as_str()).collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in samples {
        *kinds.entry(&sample.kind).or_default() += 1;
    }
    let edges = |s: &Sample| s.width.max(s.height);
    let size = |s: Option<&Sample>| s.map(|s| [s.width, s.height]);
    let answers: usize = samples.iter().map(|s| s.answers.len()).sum();
    serde_json::json!({
        "form": match set.kind {
            Kind::Lines => "JSON lines",
            Kind::Table => "table",
            Kind::Parquet => "parquet",
        },
        "files": set.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
        "columns": set.columns.iter().map(|(name, kind)| [name, kind]).collect::<Vec<_>>(),
        "questions": samples.len(),
        "pictures": pictures.len(),
        "answers": answers,
        "without_answer": count(&|s| s.answers.is_empty()),
        "with_boxes": count(&|s| !s.boxes.is_empty()),
        "with_full_edge": count(&|s| s.full_edge.is_some()),
        "kinds": kinds,
        "smallest": size(samples.iter().min_by_key(|s| edges(s))),
        "largest": size(samples.iter().max_by_key(|s| edges(s))),
        "first": samples.first(),
    })
}

fn print(found: &serde_json::Value) {
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    let files = found["files"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let first = files.first().and_then(|f| f.as_str()).unwrap_or_default();
    let more = match files.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    println!("{:<10} {} ({first}{more})", "form", text("form"));
    if let Some(columns) = found["columns"].as_array().filter(|c| !c.is_empty()) {
        let columns: Vec<String> = columns
            .iter()
            .map(|c| {
                format!(
                    "{} ({})",
                    c[0].as_str().unwrap_or_default(),
                    c[1].as_str().unwrap_or_default()
                )
            })
            .collect();
        println!("{:<10} {}", "columns", columns.join(", "));
    }
    println!(
        "{:<10} {} about {} pictures",
        "questions", found["questions"], found["pictures"]
    );
    println!(
        "{:<10} {}; {} questions without",
        "answers", found["answers"], found["without_answer"]
    );
    println!(
        "{:<10} {} questions with some",
        "boxes", found["with_boxes"]
    );
    let size = |v: &serde_json::Value| format!("{} x {}", v[0], v[1]);
    println!(
        "{:<10} {} to {} pixels",
        "sizes",
        size(&found["smallest"]),
        size(&found["largest"])
    );
    if let Some(kinds) = found["kinds"].as_object() {
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, n)| format!("{} {n}", if kind.is_empty() { "(none)" } else { kind }))
            .collect();
        println!("{:<10} {}", "kinds", kinds.join(", "));
    }
    let sample = &found["first"];
    println!(
        "{:<10} {}: {} {}",
        "first",
        sample["id"].as_str().unwrap_or_default(),
        sample["question"],
        sample["answers"]
    );
}

/// Writes our own form; returns the number of pictures. The questions come last and at once, so that
/// a folder with them is whole.
fn convert(set: &DataSet, out: &Path) -> Result<usize> {
    let lines = out.join(LINES);
    if lines.exists() {
        bail!(
            "{}: is already there; name another folder, or remove it",
            lines.display()
        );
    }
    let images = out.join("images");
    std::fs::create_dir_all(&images)
        .with_context(|| format!("{}: cannot be made", images.display()))?;
    let mut names: HashMap<&str, String> = HashMap::new();
    let mut text = Vec::new();
    for sample in &set.samples {
        if !names.contains_key(sample.image.as_str()) {
            let source = set.source(&sample.image)?;
            let bytes = source.bytes()?;
            let name = format!("images/{}", file_name(&source, &bytes, names.len()));
            write::file(&out.join(&name), &bytes)?;
            names.insert(&sample.image, name);
        }
        let mut sample = sample.clone();
        if let Some(name) = names.get(sample.image.as_str()) {
            sample.image.clone_from(name);
        }
        writeln!(text, "{}", serde_json::to_string(&sample)?)?;
    }
    write::file(&lines, &text)?;
    Ok(names.len())
}

/// A name that no other picture of the set has.
fn file_name(source: &PictureSource, bytes: &[u8], number: usize) -> String {
    let (stem, ending) = match source {
        PictureSource::File(path) => (path.file_stem(), path.extension()),
        PictureSource::Row(shard, _) => (Path::new(shard.name()).file_stem(), None),
    };
    let stem = stem.unwrap_or_default().to_string_lossy();
    let ending = match ending {
        Some(ending) => ending.to_string_lossy().into_owned(),
        None => match picture::probe(bytes).map(|seen| seen.format) {
            Ok(picture::Format::Png) => "png".to_owned(),
            Ok(picture::Format::Gif) => "gif".to_owned(),
            Ok(picture::Format::WebP) => "webp".to_owned(),
            Ok(picture::Format::Bmp) => "bmp".to_owned(),
            _ => "jpg".to_owned(),
        },
    };
    format!("{number:06}-{stem}.{ending}")
}
