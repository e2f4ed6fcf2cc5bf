//! Answers as JSON lines: what is asked once is not asked again.
//!
//! A line is written when its answer comes, so that neither Ctrl-C nor a kill loses one. A file may hold
//! the answers of several targets, policies and sweeps: a line counts for a question if id, condition,
//! expansion, resolution, box and target are the same. A line with an error does not: it is asked again,
//! and the newest line counts.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use grounding::NormBox;
use serde::{Deserialize, Serialize};

use super::conditions::{Cell, Condition};
use crate::data;
use crate::write;

/// One answer, or the error in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The question's id.
    pub id: String,
    /// Pictures that came with it.
    pub condition: Condition,
    /// By how much the crop's area grew.
    pub expand: f32,
    /// Longest edge of every picture.
    pub longest_edge: Option<u32>,
    /// The box that was cut out, grown; null where there was none.
    #[serde(rename = "box")]
    pub bbox: Option<NormBox>,
    /// Who answered.
    pub target: String,
    /// The answer; null where there is an error.
    pub answer: Option<String>,
    /// Whether it refuses (see `refusal.rs`).
    #[serde(default)]
    pub refused: bool,
    /// VQA accuracy, 0 to 1.
    pub vqa: Option<f64>,
    /// ANLS, 0 to 1.
    pub anls: Option<f64>,
    /// Whether the answer is an accepted one, letter by letter.
    pub exact: Option<bool>,
    /// Milliseconds that the answer took, waiting for the provider included.
    pub ms: f64,
    /// Tokens of prompt and answer, where they are known.
    pub tokens: Option<(u64, u64)>,
    /// log p of the accepted answer, nats; model folders only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f64>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What tells one answer from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    id: String,
    condition: Condition,
    expand: u32,
    longest_edge: Option<u32>,
    bbox: Option<[u32; 4]>,
    target: String,
}

impl Key {
    /// The key of a question in a cell.
    pub fn new(id: &str, cell: &Cell, bbox: Option<NormBox>, target: &str) -> Self {
        Self {
            id: id.to_owned(),
            condition: cell.condition,
            expand: cell.expand.to_bits(),
            longest_edge: cell.longest_edge,
            bbox: bbox.map(|bbox| bbox.to_array().map(f32::to_bits)),
            target: target.to_owned(),
        }
    }
}

impl Item {
    /// What tells it from others.
    pub fn key(&self) -> Key {
        let cell = Cell {
            condition: self.condition,
            expand: self.expand,
            longest_edge: self.longest_edge,
        };
        Key::new(&self.id, &cell, self.bbox, &self.target)
    }
}

/// Answers that are there, and where further ones go.
pub struct Items {
    state: Mutex<State>,
}

struct State {
    done: HashMap<Key, Item>,
    file: Option<File>,
}

impl Items {
    /// Opens a file of answers, which need not be there; without one they are held in memory.
    ///
    /// # Errors
    /// A file that cannot be read or written; a line that is no answer.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let mut state = State {
            done: HashMap::new(),
            file: None,
        };
        if let Some(path) = path {
            let file = write::append_lines(path)?;
            let items: Vec<Item> = data::json_lines(path)?;
            state.done = items.into_iter().map(|item| (item.key(), item)).collect();
            state.file = Some(file);
        }
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    /// Whether there is an answer, errors aside.
    pub fn has(&self, key: &Key) -> bool {
        self.lock()
            .done
            .get(key)
            .is_some_and(|item| item.error.is_none())
    }

    /// What is there: an answer or an error.
    pub fn get(&self, key: &Key) -> Option<Item> {
        self.lock().done.get(key).cloned()
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn push(&self, item: Item) -> Result<()> {
        let mut state = self.lock();
        if let Some(file) = &mut state.file {
            let line = format!("{}\n", serde_json::to_string(&item)?);
            file.write_all(line.as_bytes())
                .context("the answers' file cannot be written (is the disk full?)")?;
        }
        state.done.insert(item.key(), item);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn item(id: &str, error: Option<&str>) -> Item {
        Item {
            id: id.to_owned(),
            condition: Condition::FullCrop,
            expand: 1.5,
            longest_edge: Some(512),
            bbox: NormBox::new(0.1, 0.2, 33.3, 40.0).ok(),
            target: "t".to_owned(),
            answer: error.is_none().then(|| "9.00".to_owned()),
            refused: false,
            vqa: None,
            anls: None,
            exact: None,
            ms: 1.5,
            tokens: None,
            logprob: None,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn answers_are_there_after_a_kill_and_errors_are_asked_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("items.jsonl");
        let items = Items::open(Some(&path)).expect("opens");
        items.push(item("a", None)).expect("written");
        items.push(item("b", Some("500"))).expect("written");
        drop(items);
        let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
        file.write_all(b"{\"id\": \"c\", \"condi").expect("written");
        let items = Items::open(Some(&path)).expect("opens");
        assert!(items.has(&item("a", None).key()));
        assert!(!items.has(&item("b", None).key()));
        assert_eq!(
            items.get(&item("b", None).key()),
            Some(item("b", Some("500")))
        );
        items.push(item("b", None)).expect("written");
        let items = Items::open(Some(&path)).expect("opens");
        assert!(items.has(&item("b", None).key()));
        let text = std::fs::read_to_string(&path).expect("lines");
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn another_box_or_target_is_another_question() {
        let one = item("a", None);
        let mut other = one.clone();
        other.target = "u".to_owned();
        assert_ne!(one.key(), other.key());
        let mut other = one.clone();
        other.bbox = None;
        assert_ne!(one.key(), other.key());
        let mut other = one.clone();
        (other.ms, other.answer) = (7.0, None);
        assert_eq!(one.key(), other.key());
    }
}
