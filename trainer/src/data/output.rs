//! Lines of questions that a command writes: whole ones only, appended as they are done or replaced together.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grounding::{NormBox, Sample};
use serde_json::Value;

use super::{DataSet, PictureSource};
use crate::write;

/// A sample as a line, with its box in pixels (its own boxes where there is none), where the box comes
/// from, and what else there is to say.
///
/// # Errors
/// A picture that is not there.
pub fn line(
    set: &DataSet,
    out: &Path,
    sample: &Sample,
    bbox: Option<NormBox>,
    source: &str,
    more: &[(&str, Value)],
) -> Result<String> {
    let mut sample = sample.clone();
    if let Some(bbox) = bbox {
        // Hundredths of a pixel: finer than any percent of a picture, and short to read.
        let edge = |percent: f32, side: u32| (percent * side as f32).round() / 100.0;
        let (w, h) = (sample.width, sample.height);
        let [x1, y1, x2, y2] = bbox.to_array();
        sample.boxes = vec![[edge(x1, w), edge(y1, h), edge(x2, w), edge(y2, h)]];
    }
    let mut value = plain(set, out, &sample)?;
    value["box_source"] = source.into();
    for (name, what) in more {
        value[*name] = what.clone();
    }
    Ok(value.to_string())
}

/// A sample as it stands, its picture named so that it is found from where the output lies.
///
/// # Errors
/// A picture that is not there.
pub fn plain(set: &DataSet, out: &Path, sample: &Sample) -> Result<Value> {
    let mut value = serde_json::to_value(sample)?;
    value["image"] = image_from(set, out, &sample.image)?.into();
    value["boxes"] = sample.boxes.iter().copied().map(short).collect();
    if !sample.nested.is_empty() {
        value["nested"] = sample.nested.iter().copied().map(short).collect();
    }
    Ok(value)
}

/// Numbers as f32 prints them: JSON's own would be f64, 293.98 becoming 293.9800109863281.
pub fn short(edges: [f32; 4]) -> Value {
    let short = |edge: f32| edge.to_string().parse::<f64>().unwrap_or(f64::from(edge));
    edges.map(short).to_vec().into()
}

/// The name by which a picture is found from where the output lies: as it is, if that leads to the same
/// file, else its whole path.
fn image_from(set: &DataSet, out: &Path, image: &str) -> Result<String> {
    let (path, row) = match set.source(image)? {
        PictureSource::File(path) => (path, None),
        PictureSource::Row(shard, row) => (shard.path().to_owned(), Some(row)),
    };
    let whole = path
        .canonicalize()
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let name = if row.is_some() {
        image.rsplit_once('#').map_or(image, |(file, _)| file)
    } else {
        image
    };
    let found = crate::data::find_image(out, None, name).ok();
    let same = found
        .and_then(|p| p.canonicalize().ok())
        .is_some_and(|p| p == whole);
    let name = if same {
        name.to_owned()
    } else {
        whole.display().to_string()
    };
    Ok(match row {
        Some(row) => format!("{name}#{row}"),
        None => name,
    })
}

/// An output that grows line by line.
pub struct Output {
    path: PathBuf,
    file: File,
    /// Ids of the questions that are done.
    pub done: HashSet<String>,
}

impl Output {
    /// Opens an output, or goes on with one that was begun with the same settings. A last line that was
    /// cut off is dropped.
    ///
    /// # Errors
    /// An output of other settings, or one that is none of ours.
    pub fn open(path: &Path, settings: &Value) -> Result<Self> {
        let beside = settings_path(path);
        let reading = || format!("{}: cannot be read", path.display());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(reading),
        };
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole > 0 {
            let before: Option<Value> = std::fs::read(&beside)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if before.as_ref() != Some(settings) {
                bail!(
                    "{}: was begun with other settings ({}); remove it, or name another --out",
                    path.display(),
                    differences(before.as_ref(), settings)
                );
            }
        }
        let mut done = HashSet::new();
        for (number, line) in text[..whole].lines().enumerate() {
            let id = serde_json::from_str::<Value>(line)
                .ok()
                .and_then(|v| Some(v.get("id")?.as_str()?.to_owned()));
            done.insert(id.with_context(|| {
                format!(
                    "{}, line {}: not what is expected",
                    path.display(),
                    number + 1
                )
            })?);
        }
        write::file(&beside, settings.to_string().as_bytes())?;
        let writing = || format!("{}: cannot be written", path.display());
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(writing)?;
        file.set_len(whole as u64).with_context(writing)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            done,
        })
    }

    /// Appends a line, whole or not at all.
    ///
    /// # Errors
    /// A disk that is full; the lines before stay.
    pub fn push(&mut self, line: &str) -> Result<()> {
        let before = self.file.metadata().map(|m| m.len());
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        if let (Err(_), Ok(length)) = (&written, before) {
            // Half a line; the next run would drop it, too.
            let _ = self.file.set_len(length);
        }
        written.with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    /// Writes all lines at once, in place of what was there.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn write(path: &Path, lines: &[String]) -> Result<()> {
        let mut text = lines.join("\n");
        text.push('\n');
        write::file(path, text.as_bytes())
    }
}

fn settings_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".settings");
    name.into()
}

/// `grid: 5, now 4`, for every setting that differs.
fn differences(before: Option<&Value>, now: &Value) -> String {
    let Some(before) = before else {
        return "they are not known".to_owned();
    };
    let fields = now.as_object().into_iter().flatten();
    let differing: Vec<String> = fields
        .filter(|(name, value)| before.get(name) != Some(value))
        .map(|(name, value)| {
            format!(
                "{name}: {}, now {value}",
                before.get(name).unwrap_or(&Value::Null)
            )
        })
        .collect();
    differing.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_output_goes_on_behind_its_last_whole_line() {
        let place = tempfile::tempdir().expect("folder");
        let path = place.path().join("boxes.jsonl");
        let settings = json!({"grid": 5, "seed": 0});
        let mut output = Output::open(&path, &settings).expect("new");
        output.push("{\"id\": \"a\"}").expect("written");
        output.push("{\"id\": \"b\"}").expect("written");
        drop(output);
        let whole = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, format!("{whole}{{\"id\": \"c\", \"ques")).expect("written");
        let mut output = Output::open(&path, &settings).expect("again");
        assert!(output.done.len() == 2 && output.done.contains("b"));
        output.push("{\"id\": \"c\"}").expect("written");
        assert_eq!(
            std::fs::read_to_string(&path).expect("text"),
            format!("{whole}{{\"id\": \"c\"}}\n")
        );
        let said = Output::open(&path, &json!({"grid": 4, "seed": 0}))
            .err()
            .expect("refused")
            .to_string();
        assert!(
            said.contains("grid: 5, now 4") && !said.contains("seed"),
            "{said}"
        );
        std::fs::write(&path, "no json\n").expect("written");
        let said = Output::open(&path, &settings)
            .err()
            .expect("refused")
            .to_string();
        assert!(said.contains("line 1"), "{said}");
    }
}
