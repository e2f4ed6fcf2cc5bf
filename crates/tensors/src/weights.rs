//! All weights of a folder: one file, or shards that an index lists, with their hashes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{INDEX, ModelFiles, Packed, Result, SINGLE, TensorError, WeightFile};

/// The list of shards ([`INDEX`]) as Hugging Face writes it, with the shards' hashes beside the size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// What is said about the shards.
    pub metadata: Option<About>,
    /// File by tensor.
    pub weight_map: BTreeMap<String, String>,
}

/// What an index says about its shards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Bytes of all tensors; a number with a point in some published folders.
    pub total_size: serde_json::Value,
    /// SHA-256 by file, in hexadecimal digits; none in folders that others wrote.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
}

impl Index {
    /// The index of a folder; `None` where its weights are one file.
    ///
    /// # Errors
    /// An index that cannot be understood, or that names what is no weight file of the folder.
    pub fn of(files: &ModelFiles) -> Result<Option<Self>> {
        if files.contains(SINGLE) || !files.contains(INDEX) {
            return Ok(None);
        }
        let index: Self = files.json(INDEX)?;
        let strange =
            |name: &&String| name.contains(['/', '\\']) || !name.ends_with(".safetensors");
        match index.weight_map.values().find(strange) {
            None => Ok(Some(index)),
            Some(name) => Err(TensorError::Json {
                file: INDEX.to_string(),
                message: format!("weight_map names {name}, which is no weight file of this folder"),
            }),
        }
    }

    /// Names of the shards, sorted.
    pub fn shards(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.weight_map.values().collect();
        names.into_iter().cloned().collect()
    }

    /// Checks a shard's hash, where the index has one.
    ///
    /// # Errors
    /// [`TensorError::Hash`] naming the file.
    pub fn check(&self, file: &WeightFile) -> Result<()> {
        let about = self.metadata.as_ref();
        let Some(expected) = about.and_then(|about| about.sha256.get(file.name())) else {
            return Ok(());
        };
        let actual = file.sha256()?;
        if actual == expected.to_ascii_lowercase() {
            return Ok(());
        }
        Err(TensorError::Hash {
            file: file.name().to_string(),
            expected: expected.clone(),
            actual,
        })
    }
}

/// The weight files of a folder with their headers read. Tensors are read one by one.
///
/// ```
/// use tensors::{ModelFiles, Precision, SINGLE, Weights, write};
///
/// let weights = [("a".to_string(), (vec![2], vec![1.0, 2.0]))];
/// let files = ModelFiles::from_memory([(SINGLE.to_string(), write(SINGLE, weights, Precision::F16)?)]);
/// let weights = Weights::open(&files)?;
/// assert_eq!(weights.tensor("a")?.values(), [1.0, 2.0]);
/// # Ok::<(), tensors::TensorError>(())
/// ```
pub struct Weights<'a> {
    files: Vec<WeightFile<'a>>,
    index: Index,
}

impl<'a> Weights<'a> {
    /// Opens [`SINGLE`], or every shard that [`INDEX`] lists.
    ///
    /// # Errors
    /// A missing file, one that is no safetensors file, or a part of one, by name.
    pub fn open(files: &'a ModelFiles) -> Result<Self> {
        let index = Index::of(files)?;
        let names = match &index {
            Some(index) => index.shards(),
            None => vec![SINGLE.to_string()],
        };
        let opened = names.iter().map(|name| WeightFile::open(files, name));
        Ok(Self {
            files: opened.collect::<Result<_>>()?,
            index: index.unwrap_or_default(),
        })
    }

    /// The files, sorted by name.
    pub fn files(&self) -> &[WeightFile<'a>] {
        &self.files
    }

    /// Checks a file's hash, see [`Index::check`].
    ///
    /// # Errors
    /// As [`Index::check`].
    pub fn check(&self, file: &WeightFile) -> Result<()> {
        self.index.check(file)
    }

    /// The file that holds a tensor.
    ///
    /// # Errors
    /// None does.
    pub fn find(&self, name: &str) -> Result<&WeightFile<'a>> {
        let has = |file: &&WeightFile| file.has(name);
        self.files.iter().find(has).ok_or_else(|| {
            let names: Vec<&str> = self.files.iter().map(WeightFile::name).collect();
            TensorError::Tensors {
                file: names.join(", "),
                problem: format!("tensor {name} is missing"),
            }
        })
    }

    /// A tensor as it is kept.
    ///
    /// # Errors
    /// As [`Weights::find`] and [`WeightFile::tensor`].
    pub fn tensor(&self, name: &str) -> Result<Packed<'a>> {
        self.find(name)?.tensor(name)
    }

    /// The values of a tensor as f32.
    ///
    /// # Errors
    /// As [`Weights::find`] and [`WeightFile::values`].
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        self.find(name)?.values(name)
    }
}
