//! Tables of questions beside pictures: JSON, JSON lines and CSV, in other people's columns.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::record::{self, Record};

/// Records in their order, each with the place where it stands (`line 3`).
pub type Records = Vec<(String, Record)>;

/// Whether a file of JSON lines has our own columns, which are read strictly: it has them all, or
/// nothing that could be read otherwise.
///
/// # Errors
/// A file that cannot be read.
pub fn is_ours(path: &Path) -> Result<bool> {
    let text = read_text(path)?;
    let first = text.lines().find(|line| !line.trim().is_empty());
    let Some(Ok(Value::Object(record))) = first.map(serde_json::from_str) else {
        return Ok(true);
    };
    let ours = ["id", "image", "question", "width", "height"];
    let asks =
        record::first(&record, record::QUESTION).is_some() || record.contains_key(record::SEVERAL);
    let shows = record::first(&record, record::PATH).is_some();
    Ok(ours.iter().all(|name| record.contains_key(*name)) || !asks || !shows)
}

/// Reads a table by the ending of its name.
///
/// # Errors
/// A file that cannot be read or parsed, by its line.
pub fn read(path: &Path) -> Result<Records> {
    let text = read_text(path)?;
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let records = match ending.to_ascii_lowercase().as_str() {
        "json" => json(&text),
        "csv" => csv(&text, ','),
        "tsv" => csv(&text, '\t'),
        _ => json_lines(&text),
    };
    let records = records.with_context(|| path.display().to_string())?;
    if records.is_empty() {
        bail!("{}: holds no question", path.display());
    }
    Ok(records)
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
}

fn json_lines(text: &str) -> Result<Records> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            let place = format!("line {}", i + 1);
            let record = serde_json::from_str(line)
                .with_context(|| format!("{place}: not what is expected"))?;
            Ok((place, record))
        })
        .collect()
}

/// A list of records, or a record that holds one, as the challenges' files do (`data`).
fn json(text: &str) -> Result<Records> {
    let value: Value = serde_json::from_str(text).context("no readable JSON")?;
    let (name, list) = match value {
        Value::Array(list) => ("entry", list),
        Value::Object(mut fields) => {
            let held = ["data", "questions", "annotations", "samples"]
                .into_iter()
                .find(|name| fields.get(*name).is_some_and(Value::is_array));
            match held.map(|name| (name, fields.remove(name))) {
                Some((name, Some(Value::Array(list)))) => (name, list),
                _ => bail!(
                    "a list of questions is needed, or a field data that holds one; there are {}",
                    fields.keys().cloned().collect::<Vec<_>>().join(", ")
                ),
            }
        }
        _ => bail!("a list of questions is needed"),
    };
    list.into_iter()
        .enumerate()
        .map(|(i, value)| match value {
            Value::Object(record) => Ok((format!("{name} {i}"), record)),
            _ => bail!("{name} {i}: a record with fields is needed"),
        })
        .collect()
}

/// Records of a CSV file with a line of names. A field that holds a JSON list is one.
fn csv(text: &str, separator: char) -> Result<Records> {
    let mut rows = split(text.trim_start_matches('\u{feff}'), separator)?.into_iter();
    let Some((_, names)) = rows.next() else {
        bail!("holds no question");
    };
    rows.map(|(line, fields)| {
        let place = format!("line {line}");
        if fields.len() != names.len() {
            bail!(
                "{place}: it has {} fields, but the first line names {}",
                fields.len(),
                names.len()
            );
        }
        let record = names.iter().cloned().zip(fields.into_iter().map(cell));
        Ok((place, record.collect()))
    })
    .collect()
}

fn cell(text: String) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if text.starts_with('[')
        && let Ok(list @ Value::Array(_)) = serde_json::from_str(&text)
    {
        return list;
    }
    Value::String(text)
}

/// Rows with the line each begins on (RFC 4180: quotes around fields, doubled inside them; line breaks
/// may stand in quotes).
fn split(text: &str, separator: char) -> Result<Vec<(usize, Vec<String>)>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut line, mut start) = (false, 1, 1);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            c if quoted => field.push(c),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                row.push(std::mem::take(&mut field));
                let whole = std::mem::take(&mut row);
                if whole != [""] {
                    rows.push((start, whole));
                }
                start = line;
            }
            c if c == separator => row.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if quoted {
        bail!("line {start}: a quotation mark is never closed");
    }
    row.push(field);
    if row != [""] {
        rows.push((start, row));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_quotes_breaks_and_lists() {
        let text = "\u{feff}file_name,question,answers\r\na.png,\"Who, \"\"he\"\"\nor she?\",\"[\"\"x\"\",\"\"y\"\"]\"\r\n\nb.png,When?,\n";
        let records = csv(text, ',').expect("csv");
        assert_eq!(records[0].1["question"], "Who, \"he\"\nor she?");
        assert_eq!(records[0].1["answers"], serde_json::json!(["x", "y"]));
        assert_eq!(
            (records[1].0.as_str(), &records[1].1["answers"]),
            ("line 5", &Value::Null)
        );
        let said = csv("a,b\n1,2,3\n", ',').expect_err("refused").to_string();
        assert!(said.contains("line 2: it has 3 fields"), "{said}");
        assert!(csv("a\n\"b", ',').is_err());
    }

    #[test]
    fn json_is_a_list_or_holds_one() {
        for text in [
            r#"[{"question": "a"}]"#,
            r#"{"dataset": "x", "data": [{"question": "a"}]}"#,
        ] {
            assert_eq!(json(text).expect("json")[0].1["question"], "a");
        }
        let said = json(r#"{"a": 1, "b": 2}"#)
            .expect_err("refused")
            .to_string();
        assert!(said.contains("there are a, b"), "{said}");
        assert!(
            json("[1]")
                .expect_err("refused")
                .to_string()
                .contains("entry 0")
        );
    }
}
