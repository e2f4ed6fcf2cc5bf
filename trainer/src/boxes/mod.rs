//! `cropvlm boxes`: boxes for supervised training, for a data set that has questions and answers only.
//!
//! ```text
//! --search    grid of boxes -> reward model: log p(answer | full, crop, question) -> the best, with noise
//! --teacher   picture and question -> a large VLM -> bbox_2d -> grown by the quintile of its area
//! --given     the boxes that the data has
//! ```
//!
//! Every way writes our JSON lines. What was done is never done again: the search appends finished
//! lines and goes on behind them, the teacher's replies lie in a folder of their own.

mod parse;
mod search;
mod teacher;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use grounding::Case;

use self::parse::Coordinates;
use crate::data::DataSet;
use crate::data::output::{self, Output};
use crate::device::DeviceKind;
use crate::stop::Stop;
use crate::vlm;
use crate::write;

/// Make boxes for supervised training: searched with a reward model, asked of a large model, or given.
///
/// The output has one question a line, as every command reads it, with its box in pixels and, besides,
/// box_source (search, teacher or given) and score (search: log p of the answer with that crop).
/// Questions that cannot get a box (no answer to score, no box in the teacher's reply) are left out and
/// counted. Killed or stopped with Ctrl-C, the same command goes on where it ended.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm boxes --search --reader SmolVLM-256M-Instruct --data \"textvqa/data/train-*.parquet\" --out boxes.jsonl
  cropvlm boxes --teacher --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct \\
      --data data/train.jsonl --out boxes.jsonl
  cropvlm boxes --given --data sroie/train.jsonl --out boxes.jsonl

Search: all boxes on an N x N grid are scored; to the best, noise between 0 and 100/N percent is added on
each side, drawn from --seed and the question's id. The full image is encoded once a picture, each crop
once, whatever the number of questions about it.

Teacher: any OpenAI-compatible server. The picture is sent with both sides a multiple of 28 pixels, the
grid of Qwen2.5-VL, so that its pixels are those that the reply speaks of. Replies lie in FILE.teacher/,
one file each; a question that has one there is not asked again.")]
#[command(group(clap::ArgGroup::new("way").required(true)))]
pub struct Args {
    /// Score boxes on a grid with a reward model
    #[arg(long, group = "way", requires = "reader")]
    search: bool,
    /// Ask a large vision-language model
    #[arg(long, group = "way", requires = "model")]
    teacher: bool,
    /// Copy the boxes that the data has
    #[arg(long, group = "way")]
    given: bool,
    /// Questions: JSON lines, parquet, or a folder (see `cropvlm data --help`)
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder that the pictures' paths start from [default: the file's folder, or the one above]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// JSON lines to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print progress and result as JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    searching: SearchArgs,
    #[command(flatten)]
    asking: TeacherArgs,
}

/// Settings of the search.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Search")]
struct SearchArgs {
    /// Reward model: a Hugging Face folder of an Idefics3 model
    #[arg(long, value_name = "DIR")]
    reader: Option<PathBuf>,
    /// Cells of the grid along each side; N x N cells have (N (N+1) / 2)² boxes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
    grid: u8,
    /// Crops that are computed together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write the best box as it is
    #[arg(long)]
    no_noise: bool,
    /// Keep the letters' case instead of capitalising as the CropVLM reference does
    #[arg(long)]
    keep_case: bool,
    /// Longest edge that the reward model sees of each picture, in pixels [default: one tile, 512 for
    /// SmolVLM]
    #[arg(long, value_name = "N")]
    longest_edge: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

/// Settings of asking.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Teacher")]
struct TeacherArgs {
    /// Who is asked, and so how: openai is OpenAI and everybody who speaks its chat completions
    #[arg(long, default_value = "openai", value_parser = vlm::provider_ids())]
    provider: String,
    /// Base URL of the provider [default: the provider's own, https://api.openai.com/v1 for openai]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The model's name in the provider's spelling
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Environment variable that holds the key; unset means no key [default: OPENAI_API_KEY for openai,
    /// ANTHROPIC_API_KEY for anthropic and so on; none for servers on one's own computer]
    #[arg(long, value_name = "VARIABLE")]
    key_env: Option<String>,
    /// Questions that are asked at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Longest edge of the picture as it is sent, in pixels; larger ones are shrunk
    #[arg(long, value_name = "N", default_value_t = 1288, value_parser = clap::value_parser!(u32).range(56..=8192))]
    send_edge: u32,
    /// What the numbers of a reply mean: pixels of the picture as sent, thousandths of its sides, shares
    /// (0 to 1), or, by their size, one of these
    #[arg(long, value_enum, default_value = "auto")]
    coordinates: Coordinates,
    /// Keep the boxes as tight as the teacher drew them
    #[arg(long)]
    no_grow: bool,
    /// Folder of the replies [default: FILE.teacher beside the output]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl SearchArgs {
    fn case(&self) -> Case {
        if self.keep_case {
            Case::Keep
        } else {
            Case::Capitalize
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Data, model or provider that cannot be used; an output that was begun with other settings.
pub fn run(args: Args) -> Result<()> {
    let set = DataSet::open(&args.data, args.root.as_deref(), args.limit)?;
    let inputs: Vec<&Path> = set.files.iter().map(PathBuf::as_path).collect();
    write::not_an_input(&args.out, &inputs)?;
    write::check_file(&args.out)?;
    let stop = Stop::listen()?;
    let summary = if args.search {
        search::run(&args, &set, &stop)?
    } else if args.teacher {
        teacher::run(&args, &set, &stop)?
    } else {
        given(&args, &set)?
    };
    if args.json {
        println!("{summary}");
    } else {
        println!("{}: {}", args.out.display(), words(&summary));
    }
    if stop.raised() && args.search {
        return Err(stop.interrupted("stopped; the same command goes on from here"));
    }
    Ok(())
}

/// Copies the boxes that are there.
fn given(args: &Args, set: &DataSet) -> Result<serde_json::Value> {
    let boxed: Vec<_> = set.samples.iter().filter(|s| !s.boxes.is_empty()).collect();
    if boxed.is_empty() {
        bail!(
            "{}: none of its {} questions has a box; use --search or --teacher",
            args.data.display(),
            set.samples.len()
        );
    }
    let mut lines = Vec::new();
    for sample in &boxed {
        lines.push(output::line(set, &args.out, sample, None, "given", &[])?);
    }
    Output::write(&args.out, &lines)?;
    Ok(serde_json::json!({
        "questions": boxed.len(),
        "left_out": set.samples.len() - boxed.len(),
    }))
}

/// A summary as a person reads it: `12 questions, 3 left_out`.
fn words(summary: &serde_json::Value) -> String {
    let fields = summary.as_object().into_iter().flatten();
    let words: Vec<String> = fields
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value.as_f64() {
            Some(number) if !value.is_u64() => format!("{number:.2} {}", name.replace('_', " ")),
            _ => format!("{value} {}", name.replace('_', " ")),
        })
        .collect();
    words.join(", ")
}
