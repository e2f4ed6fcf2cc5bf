//! `cropvlm data gap`: how small a full image may be before a reader answers otherwise (LFPC's offline resolution
//! selection), so that training can show it at that size and leave the details to the crop.
//!
//! ```text
//! picture -> its longest edge, then ever smaller by a factor -> reader -> answers, several edges a batch
//!                                                                  \-> the last edge before the first other answer
//! ```
//!
//! Monotone means here: the search goes down from the original and stops at the first edge at which the answer is
//! another. At every edge tried down to `full_edge` the answer is that on the original; an answer that comes back further
//! down, by chance, is not looked for. Answers are compared without case and closing full stop, right or wrong.
//!
//! The paper gives neither factor nor smallest edge; these are options. A map policy's letters write no answer: theirs is
//! whether the accepted answer can be read, and where that is not so on the original, the original's edge is kept.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grounding::answers::comparable;
use grounding::{Case, Sample};
use picture::RgbImage;
use serde_json::{Value, json};

use super::output::{self, Output};
use super::record::{FULL_EDGE, Record};
use super::set::Kind;
use super::{DataSet, by_picture, json_lines, shrunk};
use crate::counting::Counting;
use crate::device::DeviceKind;
use crate::reader::{Crops, FullImage, LetterReader, Reader, RewardModel};
use crate::stop::Stop;
use crate::write;

/// Find how small each full image may be before a reader's answer departs from the one on the original.
///
/// The picture is shrunk step by step; `full_edge` is the smallest longest edge, in pixels, down to which the reader
/// answers as on the original. The output has every question of the data with its `full_edge`, questions about one
/// picture together. `cropvlm grpo` with information_gap = true then shows policy and reader the full image at that size
/// and cuts crops from the original. Killed or stopped with Ctrl-C, the same command goes on where it ended.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm data gap --model SmolVLM-256M-Instruct --data data/train.jsonl --out data/train-gap.jsonl
  cropvlm data gap --model trainer/smoke/reader --max-tokens 6 --data trainer/smoke/train --out data/gap.jsonl
  cropvlm data gap --model models/default --data data/train.jsonl --out data/gap.jsonl --shrink 0.5

The search goes down and stops at the first edge at which the answer is another, compared without case and closing full
stop; whether the answer is right does not matter. Where even the first step changes it, full_edge is the original's;
where no step does, it is the smallest edge that was tried. A map policy (models/default) writes no answer: for it the
question is whether the accepted answer can still be read, and where it cannot be read on the original, that is kept.")]
pub struct GapArgs {
    /// Reader: a Hugging Face folder of an Idefics3 model (SmolVLM), or a map policy's folder, whose letters then read
    #[arg(long, value_name = "READER")]
    model: PathBuf,
    /// Questions: JSON lines, parquet, or a folder (see `cropvlm data --help`)
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// JSON lines to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder that the pictures' paths start from [default: the file's folder, or the one above]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Only the first N questions
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// What the longest edge is multiplied with at each step, between 0 and 1
    #[arg(long, value_name = "FACTOR", default_value_t = 0.75)]
    shrink: f64,
    /// Smallest longest edge that is tried, in pixels
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    smallest: u32,
    /// Sizes of a picture that are read together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    batch: u8,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Longest edge that the reader gets to see, in pixels, as in training; smaller pictures are blown up to it
    /// [default: one tile, 512 for SmolVLM]
    #[arg(long, value_name = "N")]
    longest_edge: Option<usize>,
    /// Keep the letters' case instead of capitalising as the CropVLM reference does
    #[arg(long)]
    keep_case: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print progress and result as JSON lines
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Data or a reader that cannot be used; an output that was begun with other settings; a factor that is none.
pub fn run(args: &GapArgs) -> Result<()> {
    if !(args.shrink > 0.0 && args.shrink < 1.0) {
        bail!(
            "--shrink {}: a factor between 0 and 1 is needed, such as 0.75",
            args.shrink
        );
    }
    let set = DataSet::open(&args.data, args.root.as_deref(), args.limit)?;
    let inputs: Vec<&Path> = set.files.iter().map(PathBuf::as_path).collect();
    write::not_an_input(&args.out, &inputs)?;
    write::check_file(&args.out)?;
    let records = records(&set)?;
    let stop = Stop::listen()?;
    let mut output = Output::open(&args.out, &settings_of(args, &set))?;
    let case = match args.keep_case {
        true => Case::Keep,
        false => Case::Capitalize,
    };
    let reader = Reader::load(&args.model, &args.device.open()?, case, args.longest_edge)?;
    let is_done = |sample: &Sample| output.done.contains(&sample.id);
    let mut done = set.samples.iter().filter(|s| is_done(s)).count();
    let counting = Counting::to(set.samples.len(), "questions")
        .json(args.json)
        .from(done);
    for samples in by_picture(&set.samples) {
        let left = samples.into_iter().filter(|s| !output.done.contains(&s.id));
        let samples: Vec<&Sample> = left.collect();
        let Some(first) = samples.first() else {
            continue;
        };
        if stop.raised() {
            break;
        }
        let picture = set.picture(&first.image)?;
        let edges = edges(longest(&picture), args.shrink, args.smallest);
        let sizes = sizes(picture, &edges);
        let seen = Seen::new(&reader, &sizes, args);
        for sample in samples {
            if stop.raised() {
                break;
            }
            let edge = edges[seen
                .last(sample)
                .with_context(|| format!("question {}", sample.id))?];
            output.push(&line(&set, &args.out, sample, &records, edge)?)?;
            done += 1;
            counting.done(done);
        }
    }
    drop(counting);
    drop(output);
    report(args, &set)?;
    if stop.raised() {
        return Err(stop.interrupted("stopped; the same command goes on from here"));
    }
    Ok(())
}

/// What an output depends on. Not the limit, which may grow, nor the batch, which changes nothing.
fn settings_of(args: &GapArgs, set: &DataSet) -> Value {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    json!({
        "way": "gap",
        "data": set.files.iter().map(|f| whole(f)).collect::<Vec<_>>(),
        "model": whole(&args.model),
        "shrink": args.shrink,
        "smallest": args.smallest,
        "max_tokens": args.max_tokens,
        "longest_edge": args.longest_edge,
        "keep_case": args.keep_case,
    })
}

/// Our own lines by their questions' ids, for what they say beside a sample's fields; nothing of other kinds of data.
fn records(set: &DataSet) -> Result<HashMap<&str, Record>> {
    let (Kind::Lines, Some(file)) = (set.kind, set.files.first()) else {
        return Ok(HashMap::new());
    };
    let lines: Vec<Record> = json_lines(file)?;
    let ids = set.samples.iter().map(|s| s.id.as_str());
    Ok(ids.zip(lines).collect())
}

/// A question with its `full_edge`; fields that we do not know stay.
fn line(
    set: &DataSet,
    out: &Path,
    sample: &Sample,
    records: &HashMap<&str, Record>,
    edge: u32,
) -> Result<String> {
    let mut value = output::plain(set, out, sample)?;
    value[FULL_EDGE] = edge.into();
    if let Some(record) = records.get(sample.id.as_str()) {
        for (name, more) in record.iter().filter(|(name, _)| *name != "answer") {
            if value.get(name).is_none() {
                value[name] = more.clone();
            }
        }
    }
    Ok(value.to_string())
}

fn longest(picture: &RgbImage) -> u32 {
    picture.width().max(picture.height())
}

/// Longest edges that are tried: the original's, then ever smaller ones.
fn edges(longest: u32, factor: f64, smallest: u32) -> Vec<u32> {
    let mut edges = vec![longest];
    let mut exact = f64::from(longest) * factor;
    while exact.round() >= f64::from(smallest.max(1)) {
        let edge = exact.round() as u32;
        if edges.last().is_some_and(|&last| edge < last) {
            edges.push(edge);
        }
        exact *= factor;
    }
    edges
}

/// The picture at each of these edges, the original first.
fn sizes(picture: RgbImage, edges: &[u32]) -> Vec<RgbImage> {
    let small = edges.iter().skip(1);
    let small: Vec<RgbImage> = small.filter_map(|&edge| shrunk(&picture, edge)).collect();
    std::iter::once(picture).chain(small).collect()
}

/// Number of the last size, from the first on without a gap, whose answer is that of the first. Answers are asked for
/// `batch` sizes at a time, and none after a batch with another answer.
fn last_alike<T: PartialEq>(
    sizes: usize,
    batch: usize,
    mut answers: impl FnMut(Range<usize>) -> Result<Vec<T>>,
) -> Result<usize> {
    let mut first: Option<T> = None;
    let batch = batch.max(1);
    for start in (0..sizes).step_by(batch) {
        let range = start..(start + batch).min(sizes);
        for (at, answer) in range.clone().zip(answers(range)?) {
            match &first {
                None => first = Some(answer),
                Some(first) if *first != answer => return Ok(at - 1),
                Some(_) => {}
            }
        }
    }
    Ok(sizes.saturating_sub(1))
}

/// A picture in all its sizes; a VLM's image tokens are computed once, whatever the number of questions.
struct Seen<'a> {
    reader: &'a Reader,
    sizes: &'a [RgbImage],
    batch: usize,
    max_tokens: usize,
    batches: Vec<OnceCell<(FullImage<'a>, Crops)>>,
}

impl<'a> Seen<'a> {
    fn new(reader: &'a Reader, sizes: &'a [RgbImage], args: &GapArgs) -> Self {
        let batch = usize::from(args.batch);
        let batches = sizes.chunks(batch).map(|_| OnceCell::new()).collect();
        Self {
            reader,
            sizes,
            batch,
            max_tokens: args.max_tokens as usize,
            batches,
        }
    }

    /// Number of the smallest size down to which the answer is that on the original.
    fn last(&self, sample: &Sample) -> Result<usize> {
        match self.reader {
            Reader::Vlm(reader) => last_alike(self.sizes.len(), self.batch, |range| {
                self.answers(reader, range, &sample.question)
            }),
            Reader::Letters(reader) => self.legible(reader, sample),
        }
    }

    fn answers(
        &self,
        reader: &RewardModel,
        range: Range<usize>,
        question: &str,
    ) -> Result<Vec<String>> {
        let place = self.batches.get(range.start / self.batch);
        let place = place.context("a size that there is not")?;
        let (nothing, sizes) = match place.get() {
            Some(encoded) => encoded,
            None => {
                let encoded = reader.alone(&self.sizes[range])?;
                place.get_or_init(|| encoded)
            }
        };
        let answers = reader.answer_crops(nothing, sizes, question, self.max_tokens)?;
        Ok(answers.iter().map(|answer| comparable(answer)).collect())
    }

    /// The same for letters; 0 where the answer cannot be read on the original.
    fn legible(&self, reader: &LetterReader, sample: &Sample) -> Result<usize> {
        let Some(answer) = sample.answers.first().filter(|a| !a.trim().is_empty()) else {
            return Ok(0);
        };
        if !reader.reads(&self.sizes[0], answer)? {
            return Ok(0);
        }
        last_alike(self.sizes.len(), 1, |range| {
            let each = self.sizes[range.clone()].iter().zip(range);
            each.map(|(size, at)| Ok(at == 0 || reader.reads(size, answer)?))
                .collect()
        })
    }
}

/// What stands in the output: how many questions' full images may be smaller, and by how much.
fn report(args: &GapArgs, set: &DataSet) -> Result<()> {
    let found: Vec<Sample> = json_lines(&args.out)?;
    let edge = |s: &Sample| s.width.max(s.height);
    let of = |holds: &dyn Fn(&Sample, u32) -> bool| {
        let known = found.iter().filter_map(|s| Some((s, s.full_edge?)));
        known.filter(|(s, full)| holds(s, *full)).count()
    };
    let share = |s: &Sample| f64::from(s.full_edge.unwrap_or(edge(s))) / f64::from(edge(s));
    let mean = found.iter().map(share).sum::<f64>() / found.len().max(1) as f64;
    let kept = of(&|s, full| full >= edge(s));
    let smallest = of(&|s, full| {
        let tried = edges(edge(s), args.shrink, args.smallest);
        tried.len() > 1 && tried.last() == Some(&full)
    });
    let result = json!({
        "questions": found.len(),
        "of": set.samples.len(),
        "kept": kept,
        "smallest": smallest,
        "mean_share": mean,
    });
    if args.json {
        println!("{result}");
        return Ok(());
    }
    println!(
        "{}: {} questions; full images may shrink to {:.0} % of their longest edge in the mean. {kept} stay as they are: \
         the first step already changes the answer, or it cannot be read. {smallest} never changed.",
        args.out.display(),
        found.len(),
        100.0 * mean
    );
    if kept == found.len() && kept > 0 {
        eprintln!(
            "this reader answers no question as before once a picture is smaller: a --shrink nearer to 1 may find a gap, \
             or the reader's answers say nothing about pictures"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_down_and_end_at_the_smallest() {
        assert_eq!(edges(256, 0.5, 16), [256, 128, 64, 32, 16]);
        assert_eq!(edges(256, 0.5, 17), [256, 128, 64, 32]);
        assert_eq!(edges(10, 0.5, 16), [10]);
        // A factor near 1 repeats no edge, and ends.
        let fine = edges(20, 0.99, 1);
        assert!(fine.windows(2).all(|pair| pair[1] < pair[0]), "{fine:?}");
        assert_eq!(fine.last(), Some(&1));
    }

    /// Every pattern of answers over seven sizes: the answer is the original's from there up, and another one below.
    #[test]
    fn the_search_is_monotone_whatever_the_answers_and_the_batch() {
        const SIZES: usize = 7;
        for pattern in 0..3usize.pow(SIZES as u32 - 1) {
            let answers: Vec<usize> = (0..SIZES)
                .map(|at| pattern * 3 / 3usize.pow(at as u32) % 3 * usize::from(at > 0))
                .collect();
            let mut found = Vec::new();
            for batch in 1..=SIZES + 1 {
                let mut asked = 0;
                let last = last_alike(SIZES, batch, |range| {
                    assert_eq!(range.start, asked, "sizes are asked for downwards, once");
                    asked = range.end;
                    Ok(answers[range].to_vec())
                });
                let last = last.expect("a size");
                assert!(answers[..=last].iter().all(|a| *a == answers[0]));
                assert!(last + 1 == SIZES || answers[last + 1] != answers[0]);
                // Nothing is asked after the batch of the first other answer.
                assert!(asked <= ((last + 1) / batch + 1) * batch);
                found.push(last);
            }
            assert!(found.iter().all(|last| *last == found[0]), "{found:?}");
        }
    }

    #[test]
    fn a_failing_reader_is_an_error_and_one_size_is_the_original() {
        let failing = last_alike(3, 2, |range| match range.start {
            0 => Ok(vec![1, 1]),
            _ => bail!("broken"),
        });
        assert!(failing.is_err());
        assert_eq!(last_alike(1, 4, |_| Ok(vec![1])).expect("a size"), 0);
    }
}
