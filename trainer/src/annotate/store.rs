//! The pictures of a folder and the questions about them: found once, saved at every change.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grounding::Sample;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::data::output::short;
use crate::data::{self, PictureSource};
use crate::write;

/// Why something was not done, in a sentence.
#[derive(Debug)]
pub enum Refused {
    /// A picture or question that there is not.
    NotThere(String),
    /// What was sent cannot be saved.
    Wrong(String),
    /// Somebody else has written the file meanwhile.
    Changed(String),
    /// The disk did not take it, or a picture cannot be read.
    Disk(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotThere(text) | Self::Wrong(text) | Self::Changed(text) | Self::Disk(text)) =
            self;
        f.write_str(text)
    }
}

/// A picture of the folder.
struct Picture {
    /// Its path from the folder, parts divided by `/`.
    name: String,
    /// As it is shown, that is upright.
    size: (u32, u32),
}

/// A line of the output.
struct Line {
    /// The name of its picture, where that is one of the folder's.
    picture: Option<String>,
    fields: Map<String, Value>,
}

impl Line {
    fn id(&self) -> &str {
        let id = self.fields.get("id").and_then(Value::as_str);
        id.unwrap_or_default()
    }
}

/// What a page sends to be saved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    id: Option<String>,
    image: String,
    question: String,
    #[serde(default)]
    answers: Vec<String>,
    boxes: Option<Vec<[f32; 4]>>,
    #[serde(default)]
    nested: Vec<[f32; 4]>,
}

/// Pictures and questions.
pub struct Store {
    folder: PathBuf,
    out: PathBuf,
    pictures: Vec<Picture>,
    /// Name and reason of what is no picture.
    skipped: Vec<(String, String)>,
    lines: Vec<Line>,
    /// The file as this program knows it.
    written: String,
}

impl Store {
    /// Looks through a folder, and reads what was annotated before.
    ///
    /// # Errors
    /// A folder without a picture; a file whose lines are no questions, with the line.
    pub fn open(folder: &Path, out: &Path) -> Result<Self> {
        let whole = folder
            .canonicalize()
            .with_context(|| format!("{}: there is no such folder", folder.display()))?;
        let mut store = Self {
            folder: whole,
            out: out.to_owned(),
            pictures: Vec::new(),
            skipped: Vec::new(),
            lines: Vec::new(),
            written: String::new(),
        };
        store.look("")?;
        store.pictures.sort_by(|a, b| a.name.cmp(&b.name));
        store.skipped.sort();
        if store.pictures.is_empty() {
            bail!(
                "{}: holds no picture (JPEG, PNG, GIF, WebP or BMP), but {} other files",
                folder.display(),
                store.skipped.len()
            );
        }
        store.read()?;
        Ok(store)
    }

    /// Adds the pictures of a folder within, `""` or `part/`; hidden files and the output are passed by.
    fn look(&mut self, within: &str) -> Result<()> {
        let folder = self.folder.join(within);
        let about = || format!("{}: cannot be read", folder.display());
        let out = self.out.canonicalize().ok();
        for entry in std::fs::read_dir(&folder).with_context(about)? {
            let entry = entry.with_context(about)?;
            let name = entry.file_name();
            let Some(part) = name.to_str() else {
                let name = name.to_string_lossy().into_owned();
                self.skipped.push((name, "its name is no text".to_owned()));
                continue;
            };
            let name = format!("{within}{part}");
            if part.starts_with('.') || (out.is_some() && entry.path().canonicalize().ok() == out) {
                continue;
            }
            let kind = entry.file_type().with_context(about)?;
            if kind.is_dir() {
                self.look(&format!("{name}/"))?;
                continue;
            }
            match self.size(&name) {
                Ok(size) => self.pictures.push(Picture { name, size }),
                Err(reason) => self.skipped.push((name, reason)),
            }
        }
        Ok(())
    }

    /// Size of a picture, or why it is none of this folder.
    fn size(&self, name: &str) -> Result<(u32, u32), String> {
        let path = self.folder.join(name);
        let whole = path.canonicalize();
        let whole = whole.map_err(|_| "it leads to nothing".to_owned())?;
        if !whole.starts_with(&self.folder) {
            return Err("it leads out of the folder".to_owned());
        }
        if !whole.is_file() {
            return Err("it is no file".to_owned());
        }
        data::probe(&PictureSource::File(path)).map_err(|error| error.root_cause().to_string())
    }

    /// Reads the output, where there is one.
    fn read(&mut self) -> Result<()> {
        if !self.out.exists() {
            return Ok(());
        }
        let about = || format!("{}", self.out.display());
        self.written = std::fs::read_to_string(&self.out).with_context(about)?;
        let names: HashMap<PathBuf, String> = self
            .pictures
            .iter()
            .filter_map(|p| {
                Some((
                    self.folder.join(&p.name).canonicalize().ok()?,
                    p.name.clone(),
                ))
            })
            .collect();
        // Checked as every command does, then kept with the fields that a sample has not.
        let samples: Vec<Sample> = data::json_lines(&self.out)?;
        let fields: Vec<Map<String, Value>> = data::json_lines(&self.out)?;
        for (sample, fields) in samples.into_iter().zip(fields) {
            let file = data::find_image(&self.out, None, &sample.image).ok();
            let file = file.and_then(|file| file.canonicalize().ok());
            let picture = file.and_then(|file| names.get(&file).cloned());
            self.lines.push(Line { picture, fields });
        }
        Ok(())
    }

    /// What was left out, a sentence each.
    pub fn skipped(&self) -> impl Iterator<Item = String> {
        let each = self.skipped.iter();
        each.map(|(name, reason)| format!("{name}: {reason}"))
    }

    /// Number of pictures.
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// Number of questions, those about other pictures in the same file included.
    pub fn questions(&self) -> usize {
        self.lines.len()
    }

    /// Everything that the page begins with.
    pub fn list(&self) -> Value {
        let about = |name: &str| {
            let of = |line: &&Line| line.picture.as_deref() == Some(name);
            self.lines.iter().filter(of).count()
        };
        let pictures = self.pictures.iter().map(|p| {
            json!({"name": p.name, "width": p.size.0, "height": p.size.1, "questions": about(&p.name)})
        });
        let skipped = self.skipped.iter();
        let skipped = skipped.map(|(name, reason)| json!({"name": name, "reason": reason}));
        json!({
            "folder": self.folder.display().to_string(),
            "out": self.out.display().to_string(),
            "pictures": pictures.collect::<Vec<_>>(),
            "skipped": skipped.collect::<Vec<_>>(),
        })
    }

    fn find(&self, name: &str) -> Result<&Picture, Refused> {
        let found = self.pictures.iter().find(|p| p.name == name);
        found.ok_or_else(|| {
            let folder = self.folder.display();
            Refused::NotThere(format!("there is no picture {name} in {folder}"))
        })
    }

    /// The file of a picture of the list.
    ///
    /// # Errors
    /// A name that is not in it.
    pub fn file(&self, name: &str) -> Result<PathBuf, Refused> {
        Ok(self.folder.join(&self.find(name)?.name))
    }

    /// The questions about a picture, in the order in which they were asked.
    ///
    /// # Errors
    /// A name that is not in the list.
    pub fn about(&self, name: &str) -> Result<Value, Refused> {
        let name = &self.find(name)?.name;
        let lines = self.lines.iter();
        let of = lines.filter(|line| line.picture.as_ref() == Some(name));
        Ok(of.map(|line| Value::Object(line.fields.clone())).collect())
    }

    /// Adds a question, or replaces the one of its id; returns the line as it stands in the file now.
    ///
    /// # Errors
    /// What is no question, in a sentence; a disk that is full. Nothing is changed then.
    pub fn save(&mut self, body: &[u8]) -> Result<Value, Refused> {
        let draft: Draft = serde_json::from_slice(body)
            .map_err(|error| Refused::Wrong(format!("this is no question: {error}")))?;
        let (width, height) = self.find(&draft.image)?.size;
        let at = match &draft.id {
            Some(id) => Some(self.place(id)?),
            None => None,
        };
        let id = draft.id.unwrap_or_else(|| self.free_id(&draft.image));
        if draft.question.trim().is_empty() {
            return Err(Refused::Wrong(
                "the question is empty: type what can be asked about the picture".to_owned(),
            ));
        }
        let mut nested = draft.nested;
        nested.sort_by(|a, b| area(a).total_cmp(&area(b)));
        let boxes = draft
            .boxes
            .unwrap_or_else(|| nested.first().copied().into_iter().collect());
        let answers = draft.answers.iter().map(|answer| answer.trim());
        let answers: Vec<&str> = answers.filter(|answer| !answer.is_empty()).collect();
        let edges = |boxes: &[[f32; 4]]| boxes.iter().copied().map(short).collect::<Vec<_>>();
        let mut fields = at.map_or_else(Map::new, |at| self.lines[at].fields.clone());
        for (name, value) in [
            ("id", json!(id)),
            ("image", json!(self.image(&draft.image))),
            ("question", json!(draft.question.trim())),
            ("answers", json!(answers)),
            ("boxes", json!(edges(&boxes))),
            ("nested", json!(edges(&nested))),
            ("width", json!(width)),
            ("height", json!(height)),
        ] {
            fields.insert(name.to_owned(), value);
        }
        let whole = Value::Object(fields.clone());
        let sample: Sample = serde_json::from_value(whole.clone())
            .map_err(|error| Refused::Wrong(format!("this is no question: {error}")))?;
        sample
            .validate()
            .map_err(|error| Refused::Wrong(error.to_string()))?;
        let line = Line {
            picture: Some(draft.image),
            fields,
        };
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        match at {
            Some(at) => lines[at] = &line,
            None => lines.push(&line),
        }
        let text = text(&lines);
        self.write(text)?;
        match at {
            Some(at) => self.lines[at] = line,
            None => self.lines.push(line),
        }
        Ok(whole)
    }

    /// Takes a question out.
    ///
    /// # Errors
    /// One that is not there; a disk that is full.
    pub fn remove(&mut self, id: &str) -> Result<(), Refused> {
        let at = self.place(id)?;
        let rest = self.lines.iter().enumerate().filter(|(i, _)| *i != at);
        let text = text(&rest.map(|(_, line)| line).collect::<Vec<_>>());
        self.write(text)?;
        self.lines.remove(at);
        Ok(())
    }

    fn place(&self, id: &str) -> Result<usize, Refused> {
        let at = self.lines.iter().position(|line| line.id() == id);
        at.ok_or_else(|| Refused::NotThere(format!("there is no question \"{id}\"")))
    }

    /// `photos_cat-0`, and so on: of the picture's name, and of no other question.
    fn free_id(&self, image: &str) -> String {
        let stem = image.rsplit_once('.').map_or(image, |(stem, _)| stem);
        let stem = stem.replace('/', "_");
        let mut number = 0;
        loop {
            let id = format!("{stem}-{number}");
            if self.place(&id).is_err() {
                return id;
            }
            number += 1;
        }
    }

    /// The name by which a picture is found from where the output lies.
    fn image(&self, name: &str) -> String {
        let folder = match self.out.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = self.folder.join(name);
        let inside = folder.canonicalize().ok();
        let inside = inside.and_then(|folder| Some(file.strip_prefix(folder).ok()?.to_owned()));
        let parts = inside.as_deref().unwrap_or(&file);
        match &inside {
            Some(_) => parts.to_string_lossy().replace('\\', "/"),
            None => parts.display().to_string(),
        }
    }

    /// Writes the whole file, unless somebody else has.
    fn write(&mut self, text: String) -> Result<(), Refused> {
        let there = match std::fs::read_to_string(&self.out) {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let out = self.out.display();
                return Err(Refused::Disk(format!("{out}: cannot be read: {error}")));
            }
        };
        if there != self.written {
            return Err(Refused::Changed(format!(
                "{}: was changed by another program, and nothing of that is to be lost; start annotate again",
                self.out.display()
            )));
        }
        write::file(&self.out, text.as_bytes())
            .map_err(|error| Refused::Disk(format!("{error:#}")))?;
        self.written = text;
        Ok(())
    }
}

fn text(lines: &[&Line]) -> String {
    let line = |line: &&Line| format!("{}\n", Value::Object(line.fields.clone()));
    lines.iter().map(line).collect()
}

fn area([x1, y1, x2, y2]: &[f32; 4]) -> f32 {
    (x2 - x1) * (y2 - y1)
}

/// A picture as it is trained on, as PNG.
///
/// # Errors
/// A picture that is broken.
pub fn pixels(file: &Path) -> Result<Vec<u8>, Refused> {
    let read = || -> Result<Vec<u8>> {
        let found = picture::decode_with_notes(&std::fs::read(file)?)?;
        Ok(picture::encode_png_with(
            &found.pixels,
            found.profile.as_ref(),
        )?)
    };
    read().map_err(|error| Refused::Wrong(format!("{}: {error:#}", file.display())))
}
