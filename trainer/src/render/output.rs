//! Files: JPEG pictures, the two JSONL files in page order, the record of settings, resuming.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::canvas::{Canvas, luma};
use super::fonts::Fonts;
use super::geometry::Rect;
use super::kinds::Mix;
use super::scene::{Backgrounds, Picture};
use crate::write;

/// Goes up when the same seed would give other pages.
const VERSION: u32 = 4;
/// Print that differs less than this from its ground cannot be read: it is neither asked about nor
/// listed.
const VISIBLE: f32 = 14.0;
const SOURCE: &str = "cropvlm render";
const LICENCE: &str =
    "MIT OR Apache-2.0 (drawn by this project; a photo background keeps its own licence)";

/// What must be the same for a folder to be gone on with.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
pub struct Settings {
    version: u32,
    seed: u64,
    kinds: String,
    fonts: usize,
    fonts_hash: String,
    backgrounds: usize,
    #[serde(default)]
    debug_boxes: bool,
}

impl Settings {
    /// The settings of this run.
    pub fn new(seed: u64, mix: &Mix, fonts: &Fonts, backgrounds: usize, debug_boxes: bool) -> Self {
        // FNV-1a: stable from one version of the compiler to the next.
        let hash = fonts
            .names
            .iter()
            .flat_map(|n| n.bytes().chain([0]))
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
            });
        Self {
            version: VERSION,
            seed,
            kinds: mix.text(),
            fonts: fonts.names.len(),
            fonts_hash: format!("{hash:016x}"),
            backgrounds,
            debug_boxes,
        }
    }
}

#[derive(Serialize)]
struct SampleLine<'a> {
    id: String,
    image: &'a str,
    question: &'a str,
    answers: &'a [String],
    boxes: Vec<[i64; 4]>,
    kind: &'a str,
    width: usize,
    height: usize,
    source: &'a str,
    licence: &'a str,
}

#[derive(Serialize, Deserialize)]
struct TextLine {
    #[serde(rename = "box")]
    bbox: [i64; 4],
    text: String,
}

#[derive(Serialize, Deserialize)]
struct LinesLine {
    image: String,
    width: usize,
    height: usize,
    lines: Vec<TextLine>,
}

/// What a page adds to the two files.
#[derive(PartialEq)]
pub struct Record {
    /// Lines of `samples.jsonl`.
    pub samples: String,
    /// Its line of `lines.jsonl`.
    pub lines: String,
}

/// File name of page `index`.
pub fn image_name(index: u64) -> String {
    format!("page_{index:06}.jpg")
}

/// Whole pixels inside the picture; None where nothing is left.
pub fn pixels(r: Rect, w: usize, h: usize) -> Option<[i64; 4]> {
    let (w, h) = (w as f32, h as f32);
    let b = [
        r.x1.floor().max(0.0),
        r.y1.floor().max(0.0),
        r.x2.ceil().min(w),
        r.y2.ceil().min(h),
    ];
    (b[2] - b[0] >= 2.0 && b[3] - b[1] >= 2.0).then(|| b.map(|v| v as i64))
}

/// Difference of print and ground inside `b`, 0..=255, little moved by grain: of the means of 2 x 2
/// pixels, the darkest and the middle ones, or the brightest.
fn contrast(canvas: &Canvas, b: [i64; 4]) -> f32 {
    let mut means = Vec::new();
    let [x1, y1, x2, y2] = b.map(|v| v as usize);
    for y in (y1..y2 - 1).step_by(2) {
        for x in (x1..x2 - 1).step_by(2) {
            let at = |x: usize, y: usize| {
                let i = (y * canvas.w + x) * 3;
                luma([canvas.data[i], canvas.data[i + 1], canvas.data[i + 2]])
            };
            means.push((at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) * 0.25);
        }
    }
    means.sort_by(f32::total_cmp);
    let share = |k: f32| {
        means
            .get((means.len() as f32 * k) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    (share(0.6) - share(0.04)).max(share(0.96) - share(0.4))
}

/// Encodes a picture and writes its lines of the two files.
pub fn finish(
    mut picture: Picture,
    page_kind: &str,
    index: u64,
    debug_boxes: bool,
) -> Result<(Vec<u8>, Record)> {
    let (w, h) = (picture.page.canvas.w, picture.page.canvas.h);
    let image = format!("images/{}", image_name(index));
    let seen =
        |r: Rect, canvas: &Canvas| pixels(r, w, h).filter(|b| contrast(canvas, *b) >= VISIBLE);
    let lines: Vec<TextLine> = picture
        .page
        .lines
        .iter()
        .filter_map(|l| {
            Some(TextLine {
                bbox: seen(l.rect, &picture.page.canvas)?,
                text: l.text.trim().to_string(),
            })
        })
        .collect();
    let mut samples = String::new();
    for (i, ask) in picture.page.asks.iter().enumerate() {
        let boxes: Vec<[i64; 4]> = ask
            .rects
            .iter()
            .filter_map(|r| seen(*r, &picture.page.canvas))
            .collect();
        if boxes.len() != ask.rects.len() {
            continue;
        }
        let line = SampleLine {
            id: format!("{page_kind}_{index:06}_{i}"),
            image: &image,
            question: &ask.question,
            answers: &ask.answers,
            boxes,
            kind: ask.kind,
            width: w,
            height: h,
            source: SOURCE,
            licence: LICENCE,
        };
        samples.push_str(&serde_json::to_string(&line)?);
        samples.push('\n');
    }
    if debug_boxes {
        picture.grey = false;
        let canvas = &mut picture.page.canvas;
        for line in &picture.page.lines {
            canvas.frame(line.rect, 1.0, [120, 120, 120]);
        }
        for rect in picture.page.asks.iter().flat_map(|a| &a.rects) {
            canvas.frame(rect.grown(1.0), 2.0, [230, 30, 30]);
        }
    }
    let lines = serde_json::to_string(&LinesLine {
        image,
        width: w,
        height: h,
        lines,
    })? + "\n";
    Ok((jpeg(&picture)?, Record { samples, lines }))
}

fn jpeg(picture: &Picture) -> Result<Vec<u8>> {
    let canvas = &picture.page.canvas;
    let (w, h) = (u16::try_from(canvas.w)?, u16::try_from(canvas.h)?);
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, picture.quality);
    if picture.quality < 90 {
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
    }
    if picture.grey {
        let grey: Vec<u8> = canvas.data.chunks_exact(3).map(|p| p[1]).collect();
        encoder.encode(&grey, w, h, jpeg_encoder::ColorType::Luma)?;
    } else {
        encoder.encode(&canvas.data, w, h, jpeg_encoder::ColorType::Rgb)?;
    }
    Ok(bytes)
}

/// Appends records in page order.
pub struct Writer {
    root: PathBuf,
    samples: File,
    lines: File,
    next: u64,
    waiting: BTreeMap<u64, Record>,
}

impl Writer {
    /// Opens `root` and says how many pages it holds already. What a killed run left half written
    /// is cut off.
    ///
    /// Errors: the folder holds pages of other settings; it cannot be read or written.
    pub fn open(root: &Path, settings: &Settings) -> Result<(Self, u64)> {
        let what = || format!("folder {}", root.display());
        fs::create_dir_all(root.join("images")).with_context(what)?;
        let record = root.join("render.json");
        if record.exists() {
            let old: Settings =
                serde_json::from_str(&fs::read_to_string(&record).with_context(what)?)
                    .with_context(|| format!("reading {}", record.display()))?;
            if old != *settings {
                bail!(
                    "{} holds pages of other settings ({}); name another --out, or the same seed, kinds, fonts and backgrounds",
                    root.display(),
                    serde_json::to_string(&old)?
                );
            }
        } else {
            write::file(
                &record,
                (serde_json::to_string_pretty(settings)? + "\n").as_bytes(),
            )?;
        }
        let (lines_at, samples_at) = (root.join("lines.jsonl"), root.join("samples.jsonl"));
        let lines = whole_lines(&lines_at)?;
        let done = lines.len() as u64;
        cut(&lines_at, lines.last().map_or(0, |l| l.0))?;
        // A page's questions are written before its line: those of later pages go.
        let of_page = |text: &str| -> Option<u64> {
            let image = serde_json::from_str::<serde_json::Value>(text)
                .ok()?
                .get("image")?
                .as_str()?
                .to_string();
            image
                .strip_prefix("images/page_")?
                .strip_suffix(".jpg")?
                .parse()
                .ok()
        };
        let kept = whole_lines(&samples_at)?
            .into_iter()
            .take_while(|(_, text)| of_page(text).is_some_and(|i| i < done))
            .last()
            .map_or(0, |l| l.0);
        cut(&samples_at, kept)?;
        let append = |path: &Path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .with_context(|| format!("opening {}", path.display()))
        };
        let writer = Self {
            root: root.to_path_buf(),
            samples: append(&samples_at)?,
            lines: append(&lines_at)?,
            next: done,
            waiting: BTreeMap::new(),
        };
        Ok((writer, done))
    }

    /// Folder of the pictures.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Whether the picture of page `index` is there.
    pub fn has_image(&self, index: u64) -> bool {
        self.images().join(image_name(index)).exists()
    }

    /// Number of pages written.
    pub fn pages(&self) -> u64 {
        self.next
    }

    /// Takes the record of page `index` and writes all whose turn it is.
    pub fn add(&mut self, index: u64, record: Record) -> Result<()> {
        self.waiting.insert(index, record);
        while let Some(record) = self.waiting.remove(&self.next) {
            self.samples
                .write_all(record.samples.as_bytes())
                .context("writing samples.jsonl")?;
            self.lines
                .write_all(record.lines.as_bytes())
                .context("writing lines.jsonl")?;
            self.next += 1;
        }
        Ok(())
    }

    /// Makes sure that everything is on the disk.
    pub fn flush(&mut self) -> Result<()> {
        self.samples.sync_all().context("writing samples.jsonl")?;
        self.lines.sync_all().context("writing lines.jsonl")
    }
}

/// The lines of a file that end in a line break, each with the offset behind it.
fn whole_lines(path: &Path) -> Result<Vec<(u64, String)>> {
    let Ok(file) = File::open(path) else {
        return Ok(Vec::new());
    };
    let mut reader = BufReader::new(file);
    let (mut at, mut lines) = (0, Vec::new());
    loop {
        let mut line = String::new();
        let n = reader
            .read_line(&mut line)
            .with_context(|| format!("reading {}", path.display()))?;
        if n == 0 || !line.ends_with('\n') {
            return Ok(lines);
        }
        at += n as u64;
        lines.push((at, line));
    }
}

fn cut(path: &Path, len: u64) -> Result<()> {
    if path.exists() {
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        file.set_len(len)
            .with_context(|| format!("cutting {}", path.display()))?;
    }
    Ok(())
}

/// Reads every picture of a folder, in the order of their names.
///
/// Errors: no folder, or no picture in it.
pub fn read_backgrounds(folder: &Path) -> Result<Backgrounds> {
    let what = || format!("backgrounds folder {}", folder.display());
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(what)?
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    paths.sort();
    let is_picture = |p: &PathBuf| {
        p.extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| ["jpg", "jpeg", "png", "webp"].contains(&e.to_lowercase().as_str()))
    };
    let mut tiles = Vec::new();
    for path in paths.iter().filter(|p| is_picture(p)) {
        let picture = image::open(path)
            .with_context(|| format!("reading {}", path.display()))?
            .into_rgb8();
        let (w, h) = (picture.width() as usize, picture.height() as usize);
        if w >= 32 && h >= 32 {
            tiles.push(Canvas {
                w,
                h,
                data: picture.into_raw(),
            });
        }
    }
    if tiles.is_empty() {
        bail!("no picture in {}", folder.display());
    }
    Ok(Backgrounds(tiles))
}
