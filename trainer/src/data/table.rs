//! Tables of questions beside pictures: JSON, JSON lines and CSV, in other people's columns.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::lines::{Place, json_line, numbered, read_text};
use super::record::{self, Record};

/// Records in their order, each with the place where it stands.
pub type Records = Vec<(Place, Record)>;

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

fn json_lines(text: &str) -> Result<Records> {
    numbered(text)
        .map(|(number, line)| {
            let place = Place("line", number);
            Ok((place, json_line(line).with_context(|| place.to_string())?))
        })
        .collect()
}

/// A list of records, or a record that holds one, as the challenges' files do (`data`).
fn json(text: &str) -> Result<Records> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        // Many a .json holds a record a line.
        Err(_) if is_record(text.lines().next().unwrap_or_default()) => return json_lines(text),
        Err(error) => return Err(error).context("no readable JSON"),
    };
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
            Value::Object(record) => Ok((Place(name, i), record)),
            _ => bail!("{name} {i}: a record with fields is needed"),
        })
        .collect()
}

fn is_record(line: &str) -> bool {
    serde_json::from_str::<Record>(line).is_ok()
}

/// Records of a CSV file with a line of names. A field that holds a list, as JSON or as Python writes it, is one.
/// The separator is `usual` unless the names are found by another, as spreadsheets of many countries write it.
fn csv(text: &str, usual: char) -> Result<Records> {
    let first = text.lines().next().unwrap_or_default();
    // Excel's own first line.
    let named = first
        .strip_prefix("sep=")
        .and_then(|rest| rest.chars().next());
    let separators = [usual, ';', '\t', ','];
    let separator = named.or_else(|| separators.into_iter().find(|s| names_a_question(first, *s)));
    let rows = split(text, separator.unwrap_or(usual))?;
    let mut rows = rows.into_iter().skip(usize::from(named.is_some()));
    let Some((_, names)) = rows.next() else {
        bail!("holds no question");
    };
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    rows.map(|(line, fields)| {
        let place = Place("line", line);
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

/// Whether a line of names has that of a question, split so.
fn names_a_question(line: &str, separator: char) -> bool {
    let mut names = line.split(separator).map(|n| n.trim().trim_matches('"'));
    names.any(|name| record::QUESTION.contains(&name) || name == record::SEVERAL)
}

fn cell(text: String) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if text.starts_with('[') {
        if let Ok(list @ Value::Array(_)) = serde_json::from_str(&text) {
            return list;
        }
        if let Some(list) = python_list(&text) {
            return list;
        }
    }
    Value::String(text)
}

/// A list of texts as Python prints it: `['a', "b's"]`.
fn python_list(text: &str) -> Option<Value> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut list = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| "'\"".contains(*c))?;
        let (mut item, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if std::mem::take(&mut escaped) => item.push(c),
                '\\' => escaped = true,
                c if c == quote => {
                    end = Some(at + 1);
                    break;
                }
                c => item.push(c),
            }
        }
        list.push(Value::String(item));
        rest = rest[end?..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(list.into())
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
        let text = "file_name,question,answers\r\na.png,\"Who, \"\"he\"\"\nor she?\",\"[\"\"x\"\",\"\"y\"\"]\"\r\n\nb.png,When?,\n";
        let records = csv(text, ',').expect("csv");
        assert_eq!(records[0].1["question"], "Who, \"he\"\nor she?");
        assert_eq!(records[0].1["answers"], serde_json::json!(["x", "y"]));
        assert_eq!(
            (records[1].0, &records[1].1["answers"]),
            (Place("line", 5), &Value::Null)
        );
        let said = csv("a,b\n1,2,3\n", ',').expect_err("refused").to_string();
        assert!(said.contains("line 2: it has 3 fields"), "{said}");
        assert!(csv("a\n\"b", ',').is_err());
    }

    #[test]
    fn csv_is_split_where_its_names_are() {
        for text in [
            "image;question;answer\na.png;Who, and when?;\"a;b\"\n",
            "sep=;\nimage;question;answer\na.png;Who, and when?;a;b\n",
            "image\tquestion\tanswer\na.png\tWho, and when?\ta;b\n",
            "image, question, answer\na.png,\"Who, and when?\",a;b\n",
        ] {
            let records = csv(&text.replace(";a;b\n", ";\"a;b\"\n"), ',').expect(text);
            assert_eq!(records[0].1["question"], "Who, and when?", "{text}");
            assert_eq!(records[0].1["answer"], "a;b", "{text}");
        }
        let text = "image;question;answer\na.png;Who?\n";
        let said = csv(text, ',').expect_err("refused").to_string();
        assert!(said.contains("line 2: it has 2 fields"), "{said}");
    }

    #[test]
    fn lists_as_python_prints_them_are_lists() {
        for (text, expected) in [
            (
                "['a', \"b's\", 'c\\'d']",
                serde_json::json!(["a", "b's", "c'd"]),
            ),
            ("['a']", serde_json::json!(["a"])),
            ("[sic] 'a'", Value::String("[sic] 'a'".into())),
            ("['a' 'b']", Value::String("['a' 'b']".into())),
        ] {
            assert_eq!(cell(text.to_owned()), expected);
        }
    }

    #[test]
    fn json_is_a_list_or_holds_one() {
        for text in [
            r#"[{"question": "a"}]"#,
            r#"{"dataset": "x", "data": [{"question": "a"}]}"#,
            "{\"question\": \"a\"}\n{\"question\": \"b\"}",
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
