//! Reading data sets: questions, printed text, and the pictures that they are about.
//!
//! [`DataSet`] reads questions however they come: our JSON lines, Hugging Face parquet as TextVQA,
//! DocVQA, ST-VQA and InfographicsVQA are laid out on the hub, or a folder of pictures with a table.
//! `files.rs` and `set.rs` find out which, `lines.rs` reads ours, `parquet.rs` and `table.rs` read records, `record.rs`
//! makes samples of them by the names of their columns, `size.rs` compares what they say with the pictures. [`PictureSource`] says where a picture's bytes come from.
//! `output.rs` writes questions; `gap.rs` adds how small their full images may be.

mod check;
mod command;
mod files;
mod gap;
mod lines;
mod moment;
pub mod output;
mod parquet;
mod record;
mod set;
mod size;
mod skipped;
mod source;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use command::{Args, run};
pub use set::{DataSet, by_picture};
pub use size::{alike, probe, shrunk};
pub use skipped::{MAX_BAD, Skipped, check_max_bad};
pub use source::PictureSource;

/// One page's printed lines, as `render` and the data sets write them.
#[derive(Debug, Clone, Deserialize)]
pub struct PageLines {
    /// Path of the picture, relative to the data's root folder.
    pub image: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One printed line.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// Pixels x1, y1, x2, y2, the last two exclusive.
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
    /// What it says.
    pub text: String,
}

/// Every line of a JSON lines file.
///
/// # Errors
/// A file that cannot be read, or a line that does not parse, with its number.
pub fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = lines::read_text(path)?;
    lines::numbered(&text)
        .map(|(number, line)| {
            lines::json_line(line).with_context(|| format!("{}, line {number}", path.display()))
        })
        .collect()
}

/// Where a data file's pictures lie: under `root`, else under the file's folder, else the folder
/// above it.
///
/// # Errors
/// A picture that is in none of them; all places that were tried are named.
pub fn find_image(data: &Path, root: Option<&Path>, image: &str) -> Result<PathBuf> {
    // The folder of a file that is named from inside it is empty.
    let folder = match data.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let places: Vec<PathBuf> = root
        .into_iter()
        .map(Path::to_path_buf)
        .chain([folder.to_path_buf()])
        .chain(
            folder
                .canonicalize()
                .ok()
                .and_then(|f| f.parent().map(Path::to_path_buf)),
        )
        .map(|place| place.join(image))
        .collect();
    places
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .with_context(|| {
            let tried: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            format!(
                "picture {image} is not there; tried {} (set --root)",
                tried.join(", ")
            )
        })
}

/// Reads and decodes a picture: a file, or a row of a parquet file, `file.parquet#row`.
///
/// # Errors
/// Named by its path.
pub fn picture(path: &Path) -> Result<picture::RgbImage> {
    PictureSource::at(path)?.picture()
}
