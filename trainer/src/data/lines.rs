//! Text files of data, and our own JSON lines: one question a line, read strictly.
//!
//! What is wrong is said with the file and the number of its line, and no other number of a line: JSON's own
//! counts from the line's beginning, so only its character is kept.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use grounding::Sample;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::record::{self, Record};

/// Where a record stands in its file: `line 3`, `row 0`, `entry 7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(pub &'static str, pub usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// A text file without the byte-order mark that some editors and spreadsheets put first; UTF-16 with one is read, too.
///
/// # Errors
/// A file that cannot be read or is no such text, with the line.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let units = |number: fn([u8; 2]) -> u16| -> Vec<u16> {
        let (pairs, _) = bytes[2..].as_chunks();
        pairs.iter().map(|&pair| number(pair)).collect()
    };
    let wide = match bytes.get(..2) {
        Some([0xff, 0xfe]) => Some(units(u16::from_le_bytes)),
        Some([0xfe, 0xff]) => Some(units(u16::from_be_bytes)),
        _ => None,
    };
    if let Some(wide) = wide {
        return String::from_utf16(&wide).map_err(|_| {
            let path = path.display();
            anyhow!("{path}: begins as UTF-16 text and is none; save it as UTF-8")
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
        anyhow!(
            "{}, line {line}: holds bytes that are no UTF-8 text; save the file as UTF-8",
            path.display()
        )
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The lines that say something, with their numbers.
pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines.filter(|(_, line)| !line.trim().is_empty())
}

/// A value from one line of JSON.
///
/// # Errors
/// What is wrong and at which character; the line's number is the caller's to say.
pub fn json_line<T: DeserializeOwned>(line: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let said = text.strip_suffix(&place).unwrap_or(&text);
        anyhow!(
            "not what is expected: {said}, at character {}",
            error.column()
        )
    })
}

/// Our own questions, every one of them checked, with the numbers of their lines.
///
/// # Errors
/// A line that does not parse, a question whose boxes cannot be, an id that two questions have, each with file and line;
/// an empty file.
pub fn samples(path: &Path) -> Result<Vec<(Place, Sample)>> {
    let text = read_text(path)?;
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut samples = Vec::new();
    for (number, line) in numbered(&text) {
        let place = || format!("{}, line {number}", path.display());
        let sample = sample(line).with_context(place)?;
        sample.validate().with_context(place)?;
        if let Some(first) = known.insert(sample.id.clone(), number) {
            bail!(
                "{}: its id \"{}\" is that of line {first} as well; boxes and answers are kept by id, so every \
                 question needs one of its own",
                place(),
                sample.id
            );
        }
        samples.push((Place("line", number), sample));
    }
    if samples.is_empty() {
        bail!("{}: holds no question", path.display());
    }
    Ok(samples)
}

/// One question. Answers may be written as in tables: one, several, numbers, SQuAD's.
fn sample(line: &str) -> Result<Sample> {
    let mut record: Record = json_line(line)?;
    let answers = record::answers(&record)?;
    record.remove("answer");
    record.insert("answers".to_owned(), answers.into());
    if let Some(id) = record.get("id").and_then(record::number) {
        record.insert("id".to_owned(), id.into());
    }
    serde_json::from_value(Value::Object(record))
        .map_err(|error| anyhow!("not what is expected: {error}"))
}
