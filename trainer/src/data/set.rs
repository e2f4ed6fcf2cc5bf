//! A data set from whatever `--data` names: which kind it is, its questions, and how to get from a
//! question to its picture.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use grounding::Sample;
use sha2::{Digest, Sha256};

use super::files::{files, has_ending, stem};
use super::lines::{self, Place};
use super::parquet::Shard;
use super::size::{probe, settle};
use super::{PictureSource, Skipped, find_image, record, table};

/// Folders and endings that are tried where a table gives a picture by its number only.
const FOLDERS: [&str; 4] = ["", "images/", "train_images/", "test_images/"];
const ENDINGS: [&str; 4] = ["", ".jpg", ".png", ".jpeg"];

/// What `--data` turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our JSON lines.
    Lines,
    /// A table of somebody else's: JSON, JSON lines or CSV.
    Table,
    /// Parquet files.
    Parquet,
}

/// Questions and the way to their pictures.
pub struct DataSet {
    /// The questions, checked. `image` is a path, or `file.parquet#row`, rows counted from 0.
    pub samples: Vec<Sample>,
    /// What was found.
    pub kind: Kind,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Columns and their types, where the kind says them.
    pub columns: Vec<(String, String)>,
    /// Why questions were left out of a set that was opened with [`DataSet::open_usable`]: file, place in it, picture.
    pub unusable: Vec<anyhow::Error>,
    /// Where each question stands: number of its file, place in it.
    places: Vec<(usize, Place)>,
    root: Option<PathBuf>,
    shards: Mutex<Vec<Arc<Shard>>>,
}

impl DataSet {
    /// Reads the questions of a file, a folder, or a pattern such as `data/train-*.parquet`; with a
    /// limit only the first so many. Pictures stay where they are. `root` is a folder that their
    /// paths may start from, too.
    ///
    /// # Errors
    /// Whatever is missing or not understood, by file, row and column; a folder of which it is not
    /// clear what is meant, with what can be said instead.
    pub fn open(path: &Path, root: Option<&Path>, limit: Option<usize>) -> Result<Self> {
        let mut set = Self::open_usable(path, root, limit)?;
        if set.unusable.is_empty() {
            return Ok(set);
        }
        Err(set.unusable.swap_remove(0))
    }

    /// As [`DataSet::open`], but a question whose picture is already seen to be missing or broken is left out and kept
    /// in `unusable`. Others may turn out so when their picture is read.
    ///
    /// # Errors
    /// As [`DataSet::open`], pictures aside.
    pub fn open_usable(path: &Path, root: Option<&Path>, limit: Option<usize>) -> Result<Self> {
        let files = files(path)?;
        let limit = limit.unwrap_or(usize::MAX);
        let file = files
            .first()
            .with_context(|| format!("{}: holds no data", path.display()))?;
        let mut set = Self {
            samples: Vec::new(),
            kind: Kind::Parquet,
            columns: Vec::new(),
            unusable: Vec::new(),
            places: Vec::new(),
            root: root.map(Path::to_owned),
            shards: Mutex::default(),
            files: files.clone(),
        };
        if has_ending(file, "parquet") {
            set.read_shards(limit)?;
        } else if !has_ending(file, "json")
            && !has_ending(file, "csv")
            && !has_ending(file, "tsv")
            && table::is_ours(file)?
        {
            set.kind = Kind::Lines;
            set.read_lines(file, limit)?;
        } else {
            set.kind = Kind::Table;
            set.read_table(file, limit)?;
        }
        if !set.samples.is_empty() {
            return Ok(set);
        }
        match set.unusable.pop() {
            Some(error) => Err(error),
            None => bail!("{}: holds no question", path.display()),
        }
    }

    /// Where a question stands: file, and line, row or entry.
    pub fn place(&self, sample: usize) -> String {
        match self.places.get(sample) {
            Some(&(file, place)) => format!("{}, {place}", self.files[file].display()),
            None => format!("question {sample}"),
        }
    }

    /// Where the picture of a sample is.
    ///
    /// # Errors
    /// A picture that is nowhere, with the places that were tried.
    pub fn source(&self, image: &str) -> Result<PictureSource> {
        if let Some((name, row)) = image.rsplit_once('#')
            && let Ok(row) = row.parse()
            && let Some(shard) = self.shard(name)?
        {
            return Ok(PictureSource::Row(shard, row));
        }
        self.find(image).map(PictureSource::File)
    }

    fn find(&self, name: &str) -> Result<PathBuf> {
        let file = self.files.first().map(PathBuf::as_path);
        find_image(file.unwrap_or(Path::new(".")), self.root.as_deref(), name)
    }

    /// A parquet file that was read, or one that our JSON lines name, as `cropvlm boxes` writes them.
    fn shard(&self, name: &str) -> Result<Option<Arc<Shard>>> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shards.iter().find(|s| s.name() == name) {
            return Ok(Some(known.clone()));
        }
        if !has_ending(Path::new(name), "parquet") {
            return Ok(None);
        }
        let shard = Shard::open(&self.find(name)?, name.to_owned())?;
        shards.push(shard.clone());
        Ok(Some(shard))
    }

    /// The picture of a sample, decoded and upright.
    ///
    /// # Errors
    /// As [`DataSet::source`]; a picture that cannot be read, named.
    pub fn picture(&self, image: &str) -> Result<picture::RgbImage> {
        self.source(image)?.picture()
    }

    /// Our own lines. A size that is stated gives way to that of the picture, where that can be read.
    fn read_lines(&mut self, file: &Path, limit: usize) -> Result<()> {
        let mut read = lines::samples(file)?;
        read.truncate(limit);
        let mut sizes: HashMap<String, Option<(u32, u32)>> = HashMap::new();
        for (place, mut sample) in read {
            let own = |image: &str| match self.source(image) {
                // A row's picture stands behind all before it: too far for a look.
                Ok(source @ PictureSource::File(_)) => probe(&source).ok(),
                _ => None,
            };
            let size = match sizes.get(&sample.image) {
                Some(size) => *size,
                None => {
                    let size = own(&sample.image);
                    sizes.insert(sample.image.clone(), size);
                    size
                }
            };
            if let Some(size) = size {
                settle(&mut sample, size)
                    .with_context(|| format!("{}, {place}", file.display()))?;
            }
            self.samples.push(sample);
            self.places.push((0, place));
        }
        Ok(())
    }

    /// Leaves out every question whose picture cannot be decoded, after those that were left out at opening.
    ///
    /// # Errors
    /// Too many of them.
    pub fn keep_readable(&mut self, max_bad: f64) -> Result<()> {
        let skipped = Skipped::new(self.samples.len() + self.unusable.len(), max_bad);
        for error in self.unusable.drain(..) {
            skipped.skip(&error.to_string(), &error)?;
        }
        let mut known: HashMap<&str, bool> = HashMap::new();
        let mut keep = Vec::with_capacity(self.samples.len());
        for (at, sample) in self.samples.iter().enumerate() {
            let good = match known.get(sample.image.as_str()) {
                Some(good) => *good,
                None => {
                    let read = self.picture(&sample.image);
                    let named = read.with_context(|| self.place(at));
                    let good = named.is_ok();
                    if let Err(error) = named {
                        skipped.skip(&sample.image, &error)?;
                    }
                    known.insert(&sample.image, good);
                    good
                }
            };
            keep.push(good);
        }
        let mut kept = keep.iter();
        self.samples.retain(|_| kept.next() == Some(&true));
        let mut kept = keep.iter();
        self.places.retain(|_| kept.next() == Some(&true));
        Ok(())
    }

    fn read_shards(&mut self, limit: usize) -> Result<()> {
        let mut names = Names::default();
        let mut progress = Progress::new();
        for (number, path) in self.files.clone().iter().enumerate() {
            if self.samples.len() >= limit {
                break;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let shard = Shard::open(path, name.into_owned())?;
            let shards = self
                .shards
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            shards.push(shard.clone());
            if self.columns.is_empty() {
                self.columns = shard.columns();
            }
            let stem = stem(path);
            for (row, found) in shard.records()?.enumerate() {
                let found = found?;
                let at = (number, Place("row", row));
                let place = || format!("{}, row {row}", path.display());
                let stated = record::size(&found).with_context(place)?;
                let picture = self.shard_picture(&shard, row, &found, stated, &mut names);
                let (image, own) = match picture {
                    Ok(picture) => picture,
                    Err(error) => {
                        self.unusable.push(error);
                        continue;
                    }
                };
                let fallback = format!("{stem}-{row}");
                let read = samples(&found, &image, (stated, own), &fallback);
                self.add(read.with_context(place)?, row, &mut names, at);
                progress.show(path, self.samples.len());
                if self.samples.len() >= limit {
                    break;
                }
            }
        }
        self.truncate(limit);
        progress.end();
        Ok(())
    }

    fn truncate(&mut self, limit: usize) {
        self.samples.truncate(limit);
        self.places.truncate(limit);
    }

    /// The name of a row's picture and its size. Rows that show the same picture get the same name,
    /// so that it is encoded once for all of them.
    fn shard_picture(
        &self,
        shard: &Shard,
        row: usize,
        found: &record::Record,
        stated: Option<(u32, u32)>,
        names: &mut Names,
    ) -> Result<(String, (u32, u32))> {
        let own = format!("{}#{row}", shard.name());
        // TextVQA says id and size, so that its gigabytes of pictures need not be read for them.
        if let (Some(size), Some(id)) = (stated, found.get("image_id").filter(|v| !v.is_null())) {
            let name = names.pictures.entry(id.to_string()).or_insert((own, size));
            return Ok(name.clone());
        }
        let place = || format!("{}, row {row}, column of pictures", shard.path().display());
        let Some(bytes) = shard.picture(row)? else {
            let path = shard
                .picture_path(row)?
                .with_context(|| format!("{}: is empty: no bytes and no path", place()))?;
            let source = self.source(&path).with_context(place)?;
            let size = probe(&source).with_context(place)?;
            return Ok((path, size));
        };
        let key = format!("{:x}", Sha256::digest(&bytes));
        if let Some(known) = names.pictures.get(&key) {
            return Ok(known.clone());
        }
        let seen = picture::probe(&bytes).with_context(place)?;
        let size = (seen.width, seen.height);
        names.pictures.insert(key, (own.clone(), size));
        Ok((own, size))
    }

    fn read_table(&mut self, file: &Path, limit: usize) -> Result<()> {
        let records = table::read(file)?;
        let stem = stem(file);
        let mut columns = BTreeMap::new();
        let mut names = Names::default();
        for (row, (place, found)) in records.iter().enumerate() {
            for (name, value) in found {
                columns
                    .entry(name.clone())
                    .or_insert_with(|| type_of(value));
            }
            if self.samples.len() >= limit {
                break;
            }
            let at = (0, *place);
            let place = || format!("{}, {place}", file.display());
            record::require_question(found.keys().map(String::as_str)).with_context(place)?;
            let stated = record::size(found).with_context(place)?;
            let image = match self.table_picture(found).with_context(place)? {
                Ok(image) => image,
                Err(error) => {
                    self.unusable.push(error.context(place()));
                    continue;
                }
            };
            let own = match names.pictures.get(&image) {
                Some((_, size)) => Ok(*size),
                None => self.source(&image).and_then(|source| probe(&source)),
            };
            let own = match own {
                Ok(size) => size,
                Err(error) => {
                    self.unusable.push(error.context(place()));
                    continue;
                }
            };
            names.pictures.insert(image.clone(), (image.clone(), own));
            let fallback = format!("{stem}-{row}");
            let read = samples(found, &image, (stated, own), &fallback);
            self.add(read.with_context(place)?, row, &mut names, at);
        }
        self.truncate(limit);
        self.columns = columns.into_iter().collect();
        Ok(())
    }

    /// A table's picture by the first of its columns that leads to a file; inside: a picture that is not there.
    fn table_picture(&self, found: &record::Record) -> Result<Result<String>> {
        let mut first = None;
        for name in record::PATH {
            let image = match found.get(*name) {
                Some(serde_json::Value::String(text)) if !text.is_empty() => text.clone(),
                Some(serde_json::Value::Number(number)) => number.to_string(),
                _ => continue,
            };
            for folder in FOLDERS {
                for ending in ENDINGS {
                    let image = format!("{folder}{image}{ending}");
                    if self.source(&image).is_ok() {
                        return Ok(Ok(image));
                    }
                }
            }
            first.get_or_insert(image);
        }
        match first {
            Some(image) => Ok(Err(match self.source(&image) {
                Err(error) => error,
                Ok(_) => anyhow!("picture {image} is not there"),
            })),
            None => bail!(
                "no column names a picture: one of {} is needed",
                record::PATH.join(", ")
            ),
        }
    }

    /// Takes samples, each with an id that no other has.
    fn add(&mut self, samples: Vec<Sample>, row: usize, names: &mut Names, at: (usize, Place)) {
        for mut sample in samples {
            let own = sample.id.clone();
            let mut again = 0;
            while !names.ids.insert(sample.id.clone()) {
                again += 1;
                sample.id = match again {
                    1 => format!("{own}-row{row}"),
                    n => format!("{own}-row{row}-{n}"),
                };
            }
            self.samples.push(sample);
            self.places.push(at);
        }
    }
}

/// The samples of each picture, pictures in the order of their first question.
pub fn by_picture(samples: &[Sample]) -> Vec<Vec<&Sample>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Vec<&Sample>> = Vec::new();
    for sample in samples {
        let at = *places.entry(&sample.image).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(sample);
    }
    groups
}

/// The samples of a record, checked, their sizes those of the picture.
fn samples(
    found: &record::Record,
    image: &str,
    (stated, own): (Option<(u32, u32)>, (u32, u32)),
    fallback: &str,
) -> Result<Vec<Sample>> {
    let mut samples = record::samples(found, image, stated.unwrap_or(own), fallback)?;
    for sample in &mut samples {
        sample.validate()?;
        settle(sample, own)?;
    }
    Ok(samples)
}

/// What has been seen so far.
#[derive(Default)]
struct Names {
    ids: HashSet<String>,
    /// Identity of a picture to its name and size.
    pictures: HashMap<String, (String, (u32, u32))>,
}

fn type_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "empty",
        serde_json::Value::Bool(_) => "truth value",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::String(_) => "text",
        serde_json::Value::Array(_) => "list",
        serde_json::Value::Object(_) => "record",
    }
    .to_owned()
}

/// A line on the terminal while many pictures' sizes are read.
struct Progress {
    last: Instant,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            shown: false,
        }
    }

    fn show(&mut self, path: &Path, questions: usize) {
        if self.last.elapsed().as_secs() >= 1 && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[2Kreading {}: {questions} questions", path.display());
            self.last = Instant::now();
            self.shown = true;
        }
    }

    fn end(self) {
        if self.shown {
            eprintln!();
        }
    }
}
