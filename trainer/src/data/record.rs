//! One record of somebody else's data set, by the names of its columns, to samples.
//!
//! Layouts that this understands, as they are on the hub or in the challenges' own files:
//!
//! | data set | id | question | answers | picture |
//! |---|---|---|---|---|
//! | TextVQA (lmms-lab/textvqa) | `question_id` | `question` | `answers`, 10 of them | `image`, `image_id` |
//! | DocVQA, InfographicsVQA (lmms-lab/DocVQA, HuggingFaceM4/DocumentVQA) | `questionId` | `question` | `answers` | `image` |
//! | ST-VQA (lmms-lab/ST-VQA: test only, no answers) | `question_id` | `question` | | `image` |
//! | several questions a row (`qas`: a list of question and answers) | | `qas.question` | `qas.answers` | `image` |
//! | vidore/infovqa_train and its kind | `questionId` | `query` | `answer` | `image` |
//! | the challenges' JSON | `questionId`, `question_id` | `question` | `answers` | `image`, `image_local_name`, `file_path`, `image_id` |
//! | an imagefolder's metadata | | `question` | `answer` | `file_name` |
//! | SQuAD's answers | | `question` | `answers.text` | |

use anyhow::{Context, Result, bail};
use grounding::Sample;
use serde_json::{Map, Value};

/// A record: column to value.
pub type Record = Map<String, Value>;

/// Columns of the question's id, the first that is there counts.
pub const ID: &[&str] = &["id", "question_id", "questionId", "qid"];
/// Columns of the question.
pub const QUESTION: &[&str] = &["question", "query"];
/// Columns of the answers.
pub const ANSWERS: &[&str] = &["answers", "answer"];
/// Columns of the kind of question.
pub const KIND: &[&str] = &["kind", "question_types", "answer_type", "question_type"];
/// Columns of the picture's width in pixels.
pub const WIDTH: &[&str] = &["width", "image_width"];
/// Columns of the picture's height in pixels.
pub const HEIGHT: &[&str] = &["height", "image_height"];
/// The column of the longest edge to which the full image may be shrunk.
pub const FULL_EDGE: &str = "full_edge";
/// Columns of a picture's path. ST-VQA's `file_name` lacks the folder that its `file_path` has.
pub const PATH: &[&str] = &[
    "image",
    "image_path",
    "image_local_name",
    "file_path",
    "file_name",
    "filename",
    "image_id",
];
/// The column of several questions about one picture.
pub const SEVERAL: &str = "qas";
/// Every column that is read, the picture's aside.
pub const READ: &[&[&str]] = &[
    ID,
    QUESTION,
    ANSWERS,
    KIND,
    WIDTH,
    HEIGHT,
    &[
        "boxes", "nested", FULL_EDGE, "source", "licence", "image_id", SEVERAL,
    ],
];

/// The first of these columns that holds a value.
pub fn first<'a>(record: &'a Record, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
    let mut filled = names.iter().filter_map(|&n| Some((n, record.get(n)?)));
    filled.find(|(_, value)| !value.is_null())
}

/// Refuses a set of columns in which there is no question.
///
/// # Errors
/// The columns that there are, and those of which one is needed.
pub fn require_question<'a>(columns: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
    if columns
        .clone()
        .any(|name| QUESTION.contains(&name) || name == SEVERAL)
    {
        return Ok(());
    }
    let found: Vec<&str> = columns.collect();
    bail!(
        "no column holds questions: one of {}, {SEVERAL} is needed; there are {}",
        QUESTION.join(", "),
        if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        }
    )
}

/// Width and height, where the record says them.
///
/// # Errors
/// A size that is no whole number above 0.
pub fn size(record: &Record) -> Result<Option<(u32, u32)>> {
    Ok(pixels(record, WIDTH)?.zip(pixels(record, HEIGHT)?))
}

/// Pixels, a whole number above 0, where one of these columns says them.
fn pixels(record: &Record, names: &[&'static str]) -> Result<Option<u32>> {
    let Some((name, value)) = first(record, names) else {
        return Ok(None);
    };
    // CSV has numbers as text.
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().and_then(|v| u32::try_from(v).ok()),
    };
    match number {
        Some(side) if side > 0 => Ok(Some(side)),
        _ => bail!(
            "column {name}: {}, but a size in pixels is needed",
            short(value)
        ),
    }
}

/// The samples of a record: one, or several where it has a list of questions. `fallback` is the id
/// where it has none.
///
/// # Errors
/// The column that is missing or of another type than expected.
pub fn samples(
    record: &Record,
    image: &str,
    (width, height): (u32, u32),
    fallback: &str,
) -> Result<Vec<Sample>> {
    let id = match first(record, ID) {
        Some((name, value)) => text(name, value)?,
        None => fallback.to_owned(),
    };
    let plain = |name: &str| match record.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(value) => text(name, value),
    };
    let sample = |id: String, asked: &Record| -> Result<Sample> {
        let (name, value) = first(asked, QUESTION).with_context(|| {
            format!("column {}: is empty, but a question is needed", QUESTION[0])
        })?;
        let question = text(name, value)?;
        if question.trim().is_empty() {
            bail!("column {name}: is empty, but a question is needed");
        }
        Ok(Sample {
            id,
            image: image.to_owned(),
            question,
            answers: answers(asked)?,
            boxes: boxes(asked, "boxes")?,
            nested: boxes(asked, "nested")?,
            full_edge: pixels(asked, &[FULL_EDGE])?,
            kind: kind(asked),
            width,
            height,
            source: plain("source")?,
            licence: plain("licence")?,
        })
    };
    let Some(several) = record.get(SEVERAL).filter(|v| !v.is_null()) else {
        return Ok(vec![sample(id, record)?]);
    };
    let list = several.as_array().with_context(|| {
        format!(
            "column {SEVERAL}: {}, but a list of questions is needed",
            short(several)
        )
    })?;
    let each = list.iter().enumerate().map(|(i, item)| {
        let asked = item
            .as_object()
            .with_context(|| format!("column {SEVERAL}: entry {i} has no fields"))?;
        sample(format!("{id}-{i}"), asked).with_context(|| format!("column {SEVERAL}, entry {i}"))
    });
    each.collect()
}

/// A text; numbers count as such, for ids and for answers like 1987.
fn text(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        value => number(value)
            .with_context(|| format!("column {name}: {}, but text is needed", short(value))),
    }
}

/// A number as a person writes it: a whole one without a fraction, though tables in which some cells are empty hold
/// 1987.0.
pub fn number(value: &Value) -> Option<String> {
    let Value::Number(number) = value else {
        return None;
    };
    let whole = number
        .as_f64()
        .filter(|v| number.is_f64() && v.fract() == 0.0 && v.abs() < 1e15);
    Some(whole.map_or_else(|| number.to_string(), |v| format!("{v:.0}")))
}

/// The accepted answers, however they are written: one or a list, text or numbers, records that hold them in `answer`
/// (VQAv2) or `text` (SQuAD, whose record of lists holds several).
///
/// # Errors
/// The column, where it holds something else.
pub fn answers(record: &Record) -> Result<Vec<String>> {
    match first(record, ANSWERS) {
        Some((name, value)) => answers_of(name, value),
        None => Ok(Vec::new()),
    }
}

fn answers_of(name: &str, value: &Value) -> Result<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => {
            let each = list.iter().map(|value| answers_of(name, value));
            Ok(each.collect::<Result<Vec<_>>>()?.concat())
        }
        Value::Object(fields) => match fields.get("answer").or_else(|| fields.get("text")) {
            Some(value) => answers_of(name, value),
            None => bail!("column {name}: its entries have no field answer or text"),
        },
        value => Ok(vec![text(name, value)?]),
    }
}

fn boxes(record: &Record, column: &str) -> Result<Vec<[f32; 4]>> {
    match record.get(column) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(value) => serde_json::from_value(value.clone()).map_err(|_| {
            anyhow::anyhow!(
                "column {column}: {}, but a list of boxes is needed, each x1, y1, x2, y2 in pixels",
                short(value)
            )
        }),
    }
}

/// The kind of question; of several the first. It only sorts tables, so nothing fails over it.
fn kind(record: &Record) -> String {
    let value = first(record, KIND).map(|(_, value)| value);
    let value = match value {
        Some(Value::Array(list)) => list.first(),
        value => value,
    };
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A value as it stands, cut for a message.
fn short(value: &Value) -> String {
    let text = value.to_string();
    let kind = match value {
        Value::Null => return "is empty".to_owned(),
        Value::Bool(_) => "is a truth value",
        Value::Number(_) => "is a number",
        Value::String(_) => "is text",
        Value::Array(_) => "is a list",
        Value::Object(_) => "is a record",
    };
    let cut: String = text.chars().take(40).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{kind} ({cut}{more})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Vec<Sample>> {
        let record = value.as_object().expect("record").clone();
        samples(&record, "a.png", (10, 20), "set-0")
    }

    #[test]
    fn columns_are_known_by_their_names() {
        let s = read(
            json!({"questionId": 337, "question": "Who?", "answers": ["a", "b"], "question_types": ["form", "layout"]}),
        );
        let s = &s.expect("sample")[0];
        assert_eq!((s.id.as_str(), s.kind.as_str()), ("337", "form"));
        assert_eq!(s.answers, ["a", "b"]);
        let s = read(json!({"query": "When?", "answer": 1987})).expect("sample");
        assert_eq!(
            (s[0].id.as_str(), s[0].answers[0].as_str()),
            ("set-0", "1987")
        );
        let s = read(json!({"question": "Yes?", "answers": [{"answer": "yes", "answer_id": 1}]}));
        assert_eq!(s.expect("sample")[0].answers, ["yes"]);
        let s = read(json!({"question": "Test split?", "answers": null})).expect("sample");
        assert!(s[0].answers.is_empty());
    }

    #[test]
    fn answers_are_read_however_they_are_written() {
        for (answers, expected) in [
            (
                json!({"text": ["a", "b"], "answer_start": [1, 2]}),
                vec!["a", "b"],
            ),
            (
                json!([{"text": "a", "answer_start": 1}, {"text": "b"}]),
                vec!["a", "b"],
            ),
            (json!({"text": [], "answer_start": []}), vec![]),
            (
                json!([1987, 12.5, 3.0, "x", null]),
                vec!["1987", "12.5", "3", "x"],
            ),
            (json!(-7), vec!["-7"]),
        ] {
            let read = read(json!({"question": "Q?", "answers": answers})).expect("sample");
            assert_eq!(read[0].answers, expected, "{answers}");
        }
        let read = read(json!({"question": "Q?", "question_id": 49153.0})).expect("sample");
        assert_eq!(read[0].id, "49153");
    }

    #[test]
    fn several_questions_of_a_row_have_ids_of_their_own() {
        let qas =
            json!([{"question": "A?", "answers": ["1"]}, {"question": "B?", "answers": ["2"]}]);
        let s = read(json!({"qas": qas})).expect("samples");
        assert_eq!((s[0].id.as_str(), s[1].id.as_str()), ("set-0-0", "set-0-1"));
        assert_eq!(s[1].answers, ["2"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_column() {
        for (record, expected) in [
            (
                json!({"question": ["a"]}),
                "column question: is a list ([\"a\"]), but text is needed",
            ),
            (json!({"question": null}), "column question: is empty"),
            (json!({"question": " "}), "column question: is empty"),
            (
                json!({"question": "a", "answers": true}),
                "column answers: is a truth value",
            ),
            (
                json!({"question": "a", "answers": [{"label": "b"}]}),
                "column answers: its entries have no field answer or text",
            ),
            (
                json!({"question": "a", "boxes": [[1, 2, 3]]}),
                "column boxes",
            ),
            (json!({"qas": "a"}), "column qas: is text"),
            (json!({"qas": [{"question": "a"}, {}]}), "entry 1"),
        ] {
            let said = format!("{:#}", read(record.clone()).expect_err("refused"));
            assert!(said.contains(expected), "{record}: {said}");
        }
        let record = json!({"width": 10, "height": 0}).as_object().cloned();
        let said = size(&record.expect("record"))
            .expect_err("refused")
            .to_string();
        assert!(said.contains("column height: is a number (0)"), "{said}");
        let said = require_question(["image", "label"].into_iter()).expect_err("refused");
        assert!(
            said.to_string().contains("there are image, label"),
            "{said}"
        );
    }
}
