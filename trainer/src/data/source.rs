//! Where a picture's bytes come from: a file of its own, or a row of a parquet file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::parquet::Shard;

/// One picture of a data set, not yet read. Cheap to clone.
#[derive(Clone)]
pub enum PictureSource {
    /// A picture file.
    File(PathBuf),
    /// The picture of one row of a parquet file.
    Row(Arc<Shard>, usize),
}

impl PictureSource {
    /// The picture file's bytes, as they are stored.
    ///
    /// # Errors
    /// A file or row that cannot be read, named.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => {
                std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))
            }
            Self::Row(shard, row) => shard
                .picture(*row)?
                .with_context(|| format!("{self}: the row holds no picture")),
        }
    }

    /// The picture, decoded and upright.
    ///
    /// # Errors
    /// As [`PictureSource::bytes`]; a file that is no picture, named.
    pub fn picture(&self) -> Result<picture::RgbImage> {
        picture::decode(&self.bytes()?).with_context(|| self.to_string())
    }
}

impl fmt::Display for PictureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Row(shard, row) => write!(f, "{}, row {row}", shard.path().display()),
        }
    }
}
