//! What crops do for a reader that nobody here trained: Tesseract, which reads print and knows no question.
//!
//! It is shown the full image and a crop, each fitted to 512 pixels, SmolVLM's tile. An answer counts as read when
//! its letters and digits stand in what was recognised, in either. Lift 0 is the full image alone, lift 1 is the
//! full image with the true box; beside it stands the best fixed box for each kind of question at a tenth of the
//! picture, fitted on these very items, which flatters it.
//!
//! Whatever Tesseract was shown once it is not shown again: readings are kept by the pixels' hash, so a model that
//! changes a few boxes costs a few readings.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use grounding::{FixedBoxes, NormBox, Sample};
use picture::{Filter, GrayImage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::counting::Counting;
use crate::data::{self, DataSet};
use crate::write;

/// Longest edge of everything that is shown, pixels.
const EDGE: u32 = 512;
/// Around the true box, as a share of its height: print that touches the edge is not recognised.
const MARGIN: f64 = 0.3;
/// Size of the fixed boxes as a share of the picture.
const FIXED_SIZE: f64 = 0.1;
/// The true box has to help by this much (share of the questions) for a lift to mean something.
const LEAST_ROOM: f64 = 0.1;
/// Shorter answers stand as a word of their own; longer ones anywhere.
const WORD: usize = 4;

/// Whether, and where readings are kept.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Unseen reader")]
pub struct LiftArgs {
    /// Also measure what the crops do for Tesseract, which had no part in training (the program
    /// `tesseract` has to be installed)
    #[arg(long)]
    pub lift: bool,
    /// What Tesseract read, one line a picture that it was shown; what stands there is not read again
    #[arg(long, value_name = "FILE", requires = "lift")]
    pub readings: Option<PathBuf>,
}

/// Shares of the questions, 0 to 1, as JSON.
///
/// # Errors
/// Tesseract is missing or fails; pictures that cannot be read; no question with an answer and a true box.
pub fn measure(args: &LiftArgs, set: &DataSet, boxes: &[Option<NormBox>]) -> Result<Value> {
    let reader = Tesseract::open("tesseract".as_ref(), args.readings.as_deref())?;
    let fixed = FixedBoxes::fit(&set.samples, FIXED_SIZE);
    let mut pictures: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for (sample, &proposed) in set.samples.iter().zip(boxes) {
        let truth = sample.evidence().first().copied();
        if let (Some(truth), true) = (truth, sample.answers.iter().any(|a| !letters(a).is_empty()))
        {
            let fixed = fixed.get(&sample.kind);
            pictures.entry(&sample.image).or_default().push(Item {
                sample,
                truth,
                proposed,
                fixed,
            });
        }
    }
    let n: usize = pictures.values().map(Vec::len).sum();
    if n == 0 {
        bail!("--lift needs questions that have an answer and a true box; the data has none");
    }
    let read = read_all(&reader, set, &pictures.into_iter().collect::<Vec<_>>())?;
    let share = |of: fn(&Read) -> bool| read.iter().filter(|r| of(r)).count() as f64 / n as f64;
    let (full, truth) = (share(|r| r.full), share(|r| r.truth));
    let lift = |part: f64| (truth - full >= LEAST_ROOM).then(|| (part - full) / (truth - full));
    let (crop, fixed) = (share(|r| r.crop), share(|r| r.fixed));
    Ok(json!({
        "reader": reader.name, "edge": EDGE, "n": n,
        "full": full, "full_crop": crop, "full_true": truth, "lift": lift(crop),
        "fixed": { "size": FIXED_SIZE, "full_crop": fixed, "lift": lift(fixed) },
    }))
}

/// The measures in a sentence.
pub fn sentence(found: &Value) -> String {
    let percent = |v: &Value| format!("{:.1}", 100.0 * v.as_f64().unwrap_or(f64::NAN));
    let lift = |v: &Value| match v["lift"].as_f64() {
        Some(lift) => format!("lift {lift:.3}"),
        None => "no lift to speak of: it cannot read the true boxes either".to_owned(),
    };
    format!(
        "{} at {} px reads the answers of {} questions: full image {} %, with the crop {} %, with the true box {} %; {}\n\
         fixed boxes of {} % of the picture: {} %, {}",
        found["reader"].as_str().unwrap_or_default(),
        found["edge"],
        found["n"],
        percent(&found["full"]),
        percent(&found["full_crop"]),
        percent(&found["full_true"]),
        lift(found),
        percent(&found["fixed"]["size"]),
        percent(&found["fixed"]["full_crop"]),
        lift(&found["fixed"]),
    )
}

/// A question with the boxes that are cut out for it.
struct Item<'a> {
    sample: &'a Sample,
    truth: NormBox,
    proposed: Option<NormBox>,
    fixed: Option<NormBox>,
}

/// Whether the answer of a question was read, by what was shown.
#[derive(Clone, Copy)]
struct Read {
    full: bool,
    crop: bool,
    truth: bool,
    fixed: bool,
}

/// All questions, pictures shared out among the processor's cores. The order is not kept.
fn read_all(
    reader: &Tesseract,
    set: &DataSet,
    pictures: &[(&str, Vec<Item>)],
) -> Result<Vec<Read>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let counting = Counting::to(pictures.len(), "pictures read");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || -> Result<Vec<Read>> {
        let mut read = Vec::new();
        while let Some((image, items)) = pictures.get(next.fetch_add(1, Ordering::SeqCst)) {
            let about = || format!("picture {image}");
            let whole = grey(&set.picture(image)?);
            read.extend(read_picture(reader, &whole, items).with_context(about)?);
            counting.done(done.fetch_add(1, Ordering::SeqCst) + 1);
        }
        Ok(read)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(pictures.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(read) => all.extend(read?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

fn read_picture(reader: &Tesseract, whole: &GrayImage, items: &[Item]) -> Result<Vec<Read>> {
    let text = reader.read(&fitted(whole))?;
    let (width, height) = whole.dimensions();
    let read = items.iter().map(|item| {
        let answers = &item.sample.answers;
        let full = stands_in(&text, answers);
        let with = |edges: Option<[u32; 4]>| -> Result<bool> {
            Ok(match edges {
                Some(edges) if !full => {
                    stands_in(&reader.read(&fitted(&cut(whole, edges)))?, answers)
                }
                _ => full,
            })
        };
        Ok(Read {
            full,
            truth: with(Some(true_edges(item.truth, width, height)))?,
            crop: with(item.proposed.map(|b| edges(b, width, height)))?,
            fixed: with(item.fixed.map(|b| edges(b, width, height)))?,
        })
    });
    read.collect()
}

/// Luminance as Pillow computes it (ITU-R 601-2, 16-bit fixed point).
fn grey(picture: &picture::RgbImage) -> GrayImage {
    let (width, height) = picture.dimensions();
    GrayImage::from_fn(width, height, |x, y| {
        let [r, g, b] = picture.get_pixel(x, y).0.map(u32::from);
        image::Luma([((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8])
    })
}

/// Fitted to [`EDGE`], smaller ones made larger.
fn fitted(picture: &GrayImage) -> GrayImage {
    let (width, height) = picture.dimensions();
    let scale = f64::from(EDGE) / f64::from(width.max(height));
    let side = |side: u32| (f64::from(side) * scale).round_ties_even().max(1.0) as u32;
    picture::resize_gray(picture, side(width), side(height), Filter::Lanczos)
}

fn cut(picture: &GrayImage, [x1, y1, x2, y2]: [u32; 4]) -> GrayImage {
    image::imageops::crop_imm(picture, x1, y1, x2 - x1, y2 - y1).to_image()
}

/// Pixels of a proposed box: left and upper edges down, the others to the nearest, at least one pixel.
fn edges(bbox: NormBox, width: u32, height: u32) -> [u32; 4] {
    let span = |low: f32, high: f32, side: u32| {
        let at = |percent: f32| f64::from(percent) * f64::from(side) / 100.0;
        let low = (at(low) as u32).min(side.saturating_sub(1));
        (
            low,
            (at(high).round_ties_even() as u32).clamp(low + 1, side),
        )
    };
    let (x1, x2) = span(bbox.x1, bbox.x2, width);
    let (y1, y2) = span(bbox.y1, bbox.y2, height);
    [x1, y1, x2, y2]
}

/// Pixels of a true box with its margin.
fn true_edges(bbox: NormBox, width: u32, height: u32) -> [u32; 4] {
    // Annotations are pixels; percent in f32 must not move them by one.
    let pixel = |percent: f32, side: u32| {
        (f64::from(percent) * f64::from(side) / 100.0 * 1000.0).round() / 1000.0
    };
    let margin = MARGIN * (pixel(bbox.y2, height) - pixel(bbox.y1, height));
    let span = |low: f32, high: f32, side: u32| {
        let low = (pixel(low, side) - margin).max(0.0) as u32;
        let high = (pixel(high, side) + margin) as u32 + 1;
        (low, high.min(side))
    };
    let (x1, x2) = span(bbox.x1, bbox.x2, width);
    let (y1, y2) = span(bbox.y1, bbox.y2, height);
    [x1, y1, x2, y2]
}

/// Latin letters in lower case and digits: what is compared.
fn letters(text: &str) -> String {
    let lower = text.to_lowercase();
    lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        .collect()
}

/// Whether one of the answers stands in a recognised text.
fn stands_in(text: &str, answers: &[String]) -> bool {
    let joined = letters(text);
    answers.iter().map(|a| letters(a)).any(|answer| {
        if answer.len() >= WORD {
            joined.contains(&answer)
        } else {
            !answer.is_empty() && text.split_whitespace().any(|word| letters(word) == answer)
        }
    })
}

/// The program, and what it has read.
struct Tesseract {
    program: PathBuf,
    /// Name and version.
    name: String,
    known: Mutex<HashMap<String, String>>,
    file: Option<Mutex<File>>,
}

/// A line of the file of readings.
#[derive(Serialize, Deserialize)]
struct Reading {
    /// Of the program's name, its setting, and the pixels.
    key: String,
    text: String,
}

impl Tesseract {
    fn open(program: &Path, readings: Option<&Path>) -> Result<Self> {
        let output = Command::new(program).arg("--version").output().context(
            "--lift needs the program `tesseract` (Debian, Ubuntu: apt install tesseract-ocr; macOS: brew install tesseract)",
        )?;
        // Older versions say it on standard error.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let name = said.lines().next().unwrap_or("tesseract").trim().to_owned();
        let (mut known, mut file) = (HashMap::new(), None);
        if let Some(path) = readings {
            let opened = write::append_lines(path)?;
            let lines: Vec<Reading> = data::json_lines(path)?;
            known = lines.into_iter().map(|r| (r.key, r.text)).collect();
            file = Some(Mutex::new(opened));
        }
        Ok(Self {
            program: program.to_path_buf(),
            name,
            known: Mutex::new(known),
            file,
        })
    }

    /// What stands in a picture.
    fn read(&self, picture: &GrayImage) -> Result<String> {
        let (width, height) = picture.dimensions();
        let head = format!("P5\n{width} {height}\n255\n");
        let mut hash = Sha256::new();
        hash.update(&self.name);
        hash.update(&head);
        hash.update(picture.as_raw());
        let key = format!("{:x}", hash.finalize());
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = lock().get(&key) {
            return Ok(text.clone());
        }
        let text = recognise(&self.program, &[head.as_bytes(), picture.as_raw()].concat())?;
        if let Some(file) = &self.file {
            let line = serde_json::to_string(&Reading {
                key: key.clone(),
                text: text.clone(),
            })?;
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(format!("{line}\n").as_bytes())
                .context("--readings: the file cannot be written (is the disk full?)")?;
        }
        lock().insert(key, text.clone());
        Ok(text)
    }
}

/// Runs the program on a grey picture (a PGM file): one block of text, one thread.
fn recognise(program: &Path, file: &[u8]) -> Result<String> {
    let mut child = Command::new(program)
        .args(["stdin", "stdout", "--psm", "6"])
        .env("OMP_THREAD_LIMIT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("tesseract cannot be started")?;
    if let Some(mut stdin) = child.stdin.take() {
        // Closed at the end of this block: the program waits for it.
        stdin
            .write_all(file)
            .context("tesseract does not take the picture")?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "tesseract ended with {}: are its English data installed (tesseract-ocr-eng)?",
            output.status
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_are_words_and_long_ones_stand_anywhere() {
        let read = |answer: &str| stands_in("TOTAL: RM 9.00\nNo.1234-5", &[answer.to_owned()]);
        assert!(read("9.00") && read("Total") && read("12345") && read("rm9.00"));
        // "23" stands in 12345, but not as a word; nothing at all stands nowhere.
        assert!(!read("23") && !read("8.00") && !read("--"));
        assert!(stands_in("a 23, b", &["7".to_owned(), "23".to_owned()]));
    }

    #[test]
    fn boxes_become_pixels_inside_the_picture() {
        let bbox = |e: [f32; 4]| NormBox::new(e[0], e[1], e[2], e[3]).expect("box");
        // 12.5 and 37.5 pixels: down on the left, half to even on the right.
        assert_eq!(edges(bbox([25., 0., 75., 100.]), 50, 7), [12, 0, 38, 7]);
        assert_eq!(edges(bbox([99., 99., 100., 100.]), 3, 3), [2, 2, 3, 3]);
        // A line 10 px high gets 3 px around it, but not beyond the picture.
        let truth = NormBox::from_pixels([20., 1., 60., 11.], 61, 33).expect("box");
        assert_eq!(true_edges(truth, 61, 33), [17, 0, 61, 15]);
    }

    #[test]
    #[cfg(unix)] // a shell is the stand-in
    fn readings_are_kept_and_a_torn_line_is_dropped() {
        // A stand-in, so that a machine without Tesseract tests as much.
        let folder = tempfile::tempdir().expect("folder");
        let program = folder.path().join("reader");
        let script = "#!/bin/sh\n[ $1 = --version ] && echo stand-in 1.0 && exit\ncat > /dev/null\necho as read\n";
        std::fs::write(&program, script).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("may run");
        let path = folder.path().join("readings.jsonl");
        let white = GrayImage::from_pixel(40, 30, image::Luma([255]));
        let reader = Tesseract::open(&program, Some(&path)).expect("opens");
        let text = reader.read(&white).expect("reads");
        assert_eq!(text.trim(), "as read");
        drop(reader);
        // What the file says is believed: the program is not asked again.
        let line = std::fs::read_to_string(&path).expect("line");
        let mut reading: Reading = serde_json::from_str(&line).expect("a reading");
        reading.text = "from the file".to_owned();
        let line = serde_json::to_string(&reading).expect("json");
        std::fs::write(&path, format!("{line}\n{{\"key\": \"to")).expect("written");
        let reader = Tesseract::open(&program, Some(&path)).expect("opens");
        assert_eq!(reader.read(&white).expect("reads"), "from the file");
        let black = GrayImage::from_pixel(40, 30, image::Luma([0]));
        assert_eq!(reader.read(&black).expect("reads").trim(), "as read");
        let text = std::fs::read_to_string(&path).expect("lines");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
