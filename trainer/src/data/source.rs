//! Where a picture's bytes come from: a file of its own, or a row of a parquet file.

use std::fmt;
use std::path::{Path, PathBuf};
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
    /// The picture that a path means, as [`PictureSource::place`] writes it.
    ///
    /// # Errors
    /// A parquet file that cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        if !path.is_file()
            && let Some((file, row)) = path.to_str().and_then(|text| text.rsplit_once('#'))
            && let Ok(row) = row.parse()
            && Path::new(file).is_file()
        {
            return Ok(Self::Row(
                Shard::open(Path::new(file), file.to_owned())?,
                row,
            ));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// Where it is, for other commands to find: a path, or `file.parquet#row`.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Row(shard, row) => format!("{}#{row}", shard.path().display()),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_leads_back_to_the_picture() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let set =
            crate::data::DataSet::open(&folder.join("docvqa.parquet"), None, None).expect("set");
        let source = set.source(&set.samples[2].image).expect("source");
        assert!(
            source.place().ends_with("docvqa.parquet#2"),
            "{}",
            source.place()
        );
        let again = PictureSource::at(Path::new(&source.place())).expect("source");
        assert_eq!(
            again.bytes().expect("bytes"),
            source.bytes().expect("bytes")
        );
        let file = folder.join("beside.png");
        let again = PictureSource::at(&file).expect("source");
        assert_eq!(
            (
                again.place(),
                again.picture().expect("picture").dimensions()
            ),
            (file.display().to_string(), (14, 16))
        );
        let said = format!(
            "{:#}",
            crate::data::picture(Path::new("absent.parquet#2")).expect_err("refused")
        );
        assert!(said.contains("absent.parquet#2: cannot be read"), "{said}");
    }
}
