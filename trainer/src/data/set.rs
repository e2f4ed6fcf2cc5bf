//! A data set from whatever `--data` names: which kind it is, its questions, and how to get from a
//! question to its picture.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use grounding::Sample;
use sha2::{Digest, Sha256};

use super::files::{files, has_ending, stem};
use super::parquet::Shard;
use super::{PictureSource, find_image, record, table};

/// Bytes in which a picture's size usually stands.
const HEADER: u64 = 256 << 10;
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
        let files = files(path)?;
        let limit = limit.unwrap_or(usize::MAX);
        let file = files
            .first()
            .with_context(|| format!("{}: holds no data", path.display()))?;
        let mut set = Self {
            samples: Vec::new(),
            kind: Kind::Parquet,
            columns: Vec::new(),
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
            set.samples = super::samples(file)?;
            set.samples.truncate(limit);
        } else {
            set.kind = Kind::Table;
            set.read_table(file, limit)?;
        }
        if set.samples.is_empty() {
            bail!("{}: holds no question", path.display());
        }
        Ok(set)
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

    fn read_shards(&mut self, limit: usize) -> Result<()> {
        let mut names = Names::default();
        let mut progress = Progress::new();
        for path in self.files.clone() {
            if self.samples.len() >= limit {
                break;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let shard = Shard::open(&path, name.into_owned())?;
            let shards = self
                .shards
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            shards.push(shard.clone());
            if self.columns.is_empty() {
                self.columns = shard.columns();
            }
            let stem = stem(&path);
            for (row, found) in shard.records()?.enumerate() {
                let found = found?;
                let place = || format!("{}, row {row}", path.display());
                let size = record::size(&found).with_context(place)?;
                let (image, size) = self.shard_picture(&shard, row, &found, size, &mut names)?;
                let read = record::samples(&found, &image, size, &format!("{stem}-{row}"));
                self.add(read.with_context(place)?, row, &mut names, place)?;
                progress.show(&path, self.samples.len());
                if self.samples.len() >= limit {
                    self.samples.truncate(limit);
                    break;
                }
            }
        }
        progress.end();
        Ok(())
    }

    /// The name of a row's picture and its size. Rows that show the same picture get the same name,
    /// so that it is encoded once for all of them.
    fn shard_picture(
        &self,
        shard: &Shard,
        row: usize,
        found: &record::Record,
        size: Option<(u32, u32)>,
        names: &mut Names,
    ) -> Result<(String, (u32, u32))> {
        let own = format!("{}#{row}", shard.name());
        // TextVQA says id and size, so that its gigabytes of pictures need not be read for them.
        if let (Some(size), Some(id)) = (size, found.get("image_id").filter(|v| !v.is_null())) {
            let name = names.pictures.entry(id.to_string()).or_insert((own, size));
            return Ok(name.clone());
        }
        let place = || format!("{}, row {row}, column of pictures", shard.path().display());
        let Some(bytes) = shard.picture(row)? else {
            let path = shard
                .picture_path(row)?
                .with_context(|| format!("{}: is empty: no bytes and no path", place()))?;
            let size = match size {
                Some(size) => size,
                None => probe(&self.source(&path).with_context(place)?)?,
            };
            return Ok((path, size));
        };
        let key = format!("{:x}", Sha256::digest(&bytes));
        if let Some(known) = names.pictures.get(&key) {
            return Ok(known.clone());
        }
        let size = match size {
            Some(size) => size,
            None => {
                let seen = picture::probe(&bytes).with_context(place)?;
                (seen.width, seen.height)
            }
        };
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
            let place = || format!("{}, {place}", file.display());
            record::require_question(found.keys().map(String::as_str)).with_context(place)?;
            let image = self.table_picture(found).with_context(place)?;
            let size = match (
                record::size(found).with_context(place)?,
                names.pictures.get(&image),
            ) {
                (Some(size), _) => size,
                (None, Some((_, size))) => *size,
                (None, None) => probe(&self.source(&image)?).with_context(place)?,
            };
            names.pictures.insert(image.clone(), (image.clone(), size));
            let read = record::samples(found, &image, size, &format!("{stem}-{row}"));
            self.add(read.with_context(place)?, row, &mut names, place)?;
        }
        self.samples.truncate(limit);
        self.columns = columns.into_iter().collect();
        Ok(())
    }

    /// A table's picture by the first of its columns that leads to a file.
    fn table_picture(&self, found: &record::Record) -> Result<String> {
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
                        return Ok(image);
                    }
                }
            }
            first.get_or_insert(image);
        }
        match first {
            Some(image) => bail!(self.source(&image).err().map_or(image, |e| e.to_string())),
            None => bail!(
                "no column names a picture: one of {} is needed",
                record::PATH.join(", ")
            ),
        }
    }

    /// Takes samples, each with an id that no other has, and checks them.
    fn add(
        &mut self,
        samples: Vec<Sample>,
        row: usize,
        names: &mut Names,
        place: impl Fn() -> String,
    ) -> Result<()> {
        for mut sample in samples {
            if !names.ids.insert(sample.id.clone()) {
                sample.id = format!("{}-row{row}", sample.id);
                names.ids.insert(sample.id.clone());
            }
            sample.validate().with_context(&place)?;
            self.samples.push(sample);
        }
        Ok(())
    }
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

/// Width and height of a picture, from its first bytes where they are enough.
fn probe(source: &PictureSource) -> Result<(u32, u32)> {
    if let PictureSource::File(path) = source {
        let mut header = Vec::new();
        let file = std::fs::File::open(path).with_context(|| source.to_string())?;
        file.take(HEADER)
            .read_to_end(&mut header)
            .with_context(|| source.to_string())?;
        if let Ok(seen) = picture::probe(&header) {
            return Ok((seen.width, seen.height));
        }
    }
    let seen = picture::probe(&source.bytes()?).with_context(|| source.to_string())?;
    Ok((seen.width, seen.height))
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
