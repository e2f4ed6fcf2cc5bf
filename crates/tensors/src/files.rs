//! A model folder in memory: file names and their bytes.
//!
//! The browser has no file system and the command line has one; both hand their model over as
//! a [`ModelFiles`], so that everything behind it is the same code. A Hugging Face folder is
//! flat, hence names without a path. Weight files of a folder on a disk stay there until somebody wants their bytes;
//! [`crate::Weights`] reads them tensor by tensor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::file::is_page;
use crate::{Result, TensorError};

/// Names and bytes of the files of a model folder (`config.json`, `model.safetensors`, ...).
///
/// ```
/// use tensors::ModelFiles;
/// let files = ModelFiles::from_memory([("config.json".to_string(), b"{\"a\": 1}".to_vec())]);
/// let config: serde_json::Value = files.json("config.json")?;
/// assert_eq!(config["a"], 1);
/// assert!(files.get("model.safetensors").is_err());
/// # Ok::<(), tensors::TensorError>(())
/// ```
#[derive(Clone, Default)]
pub struct ModelFiles {
    files: BTreeMap<String, Content>,
}

/// A file's bytes, or where they are.
#[derive(Clone)]
pub(crate) enum Content {
    /// In memory.
    Memory(Vec<u8>),
    /// On a disk; kept here once all of them were asked for.
    Disk(PathBuf, OnceLock<Vec<u8>>),
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> TensorError {
    let path = path.display().to_string();
    move |source| TensorError::Io {
        path: path.clone(),
        source,
    }
}

impl Content {
    fn bytes(&self) -> Result<&[u8]> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::Disk(path, kept) => {
                if kept.get().is_none() {
                    // Where two threads read at once, one of the equal copies stays.
                    let _ = kept.set(std::fs::read(path).map_err(io(path))?);
                }
                Ok(kept.get().map_or(&[], Vec::as_slice))
            }
        }
    }

    fn len(&self) -> Option<usize> {
        match self {
            Self::Memory(bytes) => Some(bytes.len()),
            Self::Disk(path, _) => std::fs::metadata(path).ok().map(|it| it.len() as usize),
        }
    }
}

impl ModelFiles {
    /// Endings that belong to a model folder; anything else in it (pictures of a model card,
    /// optimizer state, ONNX files) is not read into memory.
    const ENDINGS: [&'static str; 4] = [".json", ".safetensors", ".txt", ".jinja"];

    /// Whether a file of this name is read as part of a model folder.
    pub fn is_one(name: &str) -> bool {
        Self::ENDINGS.iter().any(|ending| name.ends_with(ending))
    }

    /// The model files of a folder, not its subfolders. Weight files are read when they are wanted.
    ///
    /// # Errors
    /// [`TensorError::Io`] naming the folder or the file.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        Self::from_dir_where(dir, |_| true)
    }

    /// As [`ModelFiles::from_dir`], but only files whose name is wanted: settings without gigabytes
    /// of weights.
    ///
    /// # Errors
    /// [`TensorError::Io`] naming the folder or the file.
    pub fn from_dir_where(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(io(dir))? {
            let path = entry.map_err(io(dir))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if Self::is_one(name) && wanted(name) && path.is_file() {
                let content = if name.ends_with(".safetensors") {
                    Content::Disk(path.clone(), OnceLock::new())
                } else {
                    Content::Memory(std::fs::read(&path).map_err(io(&path))?)
                };
                files.insert(name.to_string(), content);
            }
        }
        Ok(Self { files })
    }

    /// Takes files that were fetched or made elsewhere. A later file of the same name wins.
    pub fn from_memory(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let files = files.into_iter();
        Self {
            files: files
                .map(|(name, bytes)| (name, Content::Memory(bytes)))
                .collect(),
        }
    }

    /// Writes every file into `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`TensorError::Io`] naming the folder or the file.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(io(dir))?;
        for (name, content) in &self.files {
            let path = dir.join(name);
            std::fs::write(&path, content.bytes()?).map_err(io(&path))?;
        }
        Ok(())
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.files.insert(name.into(), Content::Memory(bytes));
    }

    /// Takes a file out, so that large weights need not be held twice; nothing where it is not there or cannot be read.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        match self.files.remove(name)? {
            Content::Memory(bytes) => Some(bytes),
            Content::Disk(path, kept) => kept.into_inner().or_else(|| std::fs::read(path).ok()),
        }
    }

    /// Whether the folder has this file.
    pub fn contains(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Names of all files, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Bytes of a file.
    ///
    /// # Errors
    /// [`TensorError::MissingFile`] naming the file and those that are there; [`TensorError::Io`].
    pub fn get(&self, name: &str) -> Result<&[u8]> {
        self.content(name)?.bytes()
    }

    /// A file's bytes, or where they are.
    pub(crate) fn content(&self, name: &str) -> Result<&Content> {
        self.files
            .get(name)
            .ok_or_else(|| TensorError::MissingFile {
                file: name.to_string(),
                present: if self.files.is_empty() {
                    "no model files at all".to_string()
                } else {
                    self.names().collect::<Vec<_>>().join(", ")
                },
            })
    }

    /// A JSON file as a value of type `T`.
    ///
    /// # Errors
    /// [`TensorError::MissingFile`], or [`TensorError::Json`] naming the file, line and column.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = self.get(name)?;
        serde_json::from_slice(bytes).map_err(|error| TensorError::Json {
            file: name.to_string(),
            message: match is_page(bytes) {
                true => "it is a web page, where JSON is meant".to_string(),
                false => error.to_string(),
            },
        })
    }
}

impl std::fmt::Debug for ModelFiles {
    /// Names and sizes, never the bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(
                self.files
                    .iter()
                    .map(|(name, content)| (name, content.len())),
            )
            .finish()
    }
}
