//! Files: the two JSONL files in page order, the record of settings, resuming.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pages::{Fonts, Mix, Record, VERSION, image_name};
use serde::{Deserialize, Serialize};

use crate::write;

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

/// Appends records in page order.
pub struct Writer {
    root: PathBuf,
    samples: File,
    lines: File,
    next: u64,
    waiting: BTreeMap<u64, Record>,
    /// Two programs would each write the same pages.
    _lock: Option<File>,
}

impl Writer {
    /// Opens `root` and says how many pages it holds already. What a killed run left half written
    /// is cut off.
    ///
    /// Errors: the folder holds pages of other settings; another program writes into it; it cannot be read or written.
    pub fn open(root: &Path, settings: &Settings) -> Result<(Self, u64)> {
        let what = || format!("folder {}", root.display());
        fs::create_dir_all(root.join("images")).with_context(what)?;
        let lock = write::lock(root)?;
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
            _lock: lock,
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
