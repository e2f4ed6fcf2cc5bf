//! Words of the page and what they mean: reading with a vocabulary, and how alike two words are.
//!
//! A question seldom names a thing as the page does ("How tall is he?", "HEIGHT"). So a model may carry a table of words, each with
//! its letters and a vector (static embeddings, see `models/words`). What is printed is read as such words, by a beam over a trie of
//! their letters whose steps are those of [`crate::text_search`]: a letter stays, or is followed by the next one, or (in small
//! print) by the one after it. [`crate::hints`] draws where words stand that mean what the question says.

use crate::TextIndex;
use crate::char_logits::{CLASSES, SKIP, char_of, class_of};

/// Numbers of a word's vector.
pub const DIMENSIONS: usize = 64;

/// Letters of a word at most.
pub const LETTERS: usize = 12;

/// What a character costs that is in no known word, nats.
const UNKNOWN: f32 = 0.9;

/// What a word costs, nats: most strings of letters are none.
const WORD: f32 = 2.0;

/// What it costs to go from a word to the next one without a gap, nats: small print has no room for it.
const JOINED: f32 = 2.0;

/// A frame that says less than this for a letter ends what wants that letter, nats.
const WORST: f32 = -4.5;

/// The last class: any other character.
const OTHER: f32 = (CLASSES - 1) as f32;

/// Hypotheses that are kept from frame to frame, and how much worse than the best one they may be, nats.
const BEAM: usize = 12;
const BEHIND: f32 = 7.0;

/// Frames without print within a line at most: 40 px.
const GAP: usize = 10;

/// A word that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Its place in the table.
    pub id: usize,
    /// Row of cells.
    pub row: usize,
    /// First frame.
    pub from: usize,
    /// Last frame.
    pub to: usize,
}

/// Print without a wide gap in one row, and the known words in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Row of cells.
    pub row: usize,
    /// First frame with print.
    pub from: usize,
    /// Last frame with print.
    pub to: usize,
    /// Known words, from left to right.
    pub words: Vec<Word>,
}

/// Words by their letters, and their vectors.
#[derive(Debug, Clone)]
pub struct Words {
    /// `[V, DIMENSIONS]`
    vectors: Vec<f32>,
    trie: Trie,
}

/// Letters of words as a tree. The children of a node lie side by side.
#[derive(Debug, Clone)]
struct Trie {
    nodes: Vec<Node>,
}

/// A letter after those above it.
#[derive(Debug, Clone, Copy)]
struct Node {
    class: u8,
    children: (u32, u32),
    /// The word that ends here, [`NONE`] where none does.
    word: u32,
}

/// No word, no entry.
const NONE: u32 = u32::MAX;

/// States of a row that are no letter: a gap, or print that is no known word.
const IN_GAP: u32 = u32::MAX;
const IN_UNKNOWN: u32 = u32::MAX - 1;

impl Trie {
    /// From words as classes; empty ones are no words.
    fn new(words: &[Vec<u8>]) -> Self {
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by(|a, b| words[*a].cmp(&words[*b]));
        let mut nodes = vec![Node {
            class: 0,
            children: (0, 0),
            word: NONE,
        }];
        // Nodes whose children are still to be found: node, its words in `order`, how many letters it has.
        let mut open = std::collections::VecDeque::from([(0, 0..order.len(), 0)]);
        while let Some((node, mut range, depth)) = open.pop_front() {
            while range.start < range.end && words[order[range.start]].len() == depth {
                if depth > 0 {
                    nodes[node].word = order[range.start] as u32;
                }
                range.start += 1;
            }
            let first = nodes.len() as u32;
            while range.start < range.end {
                let class = words[order[range.start]][depth];
                let same = range.clone();
                let same = same.take_while(|i| words[order[*i]][depth] == class);
                let end = range.start + same.count();
                open.push_back((nodes.len(), range.start..end, depth + 1));
                nodes.push(Node {
                    class,
                    children: (0, 0),
                    word: NONE,
                });
                range.start = end;
            }
            nodes[node].children = (first, nodes.len() as u32);
        }
        Self { nodes }
    }

    fn children(&self, node: usize) -> impl Iterator<Item = u32> + use<> {
        let (from, to) = self.nodes[node].children;
        from..to
    }

    /// The word of these classes.
    fn find(&self, classes: &[u8]) -> Option<usize> {
        let mut node = 0;
        for class in classes {
            let mut children = self.children(node);
            node = children.find(|c| self.nodes[*c as usize].class == *class)? as usize;
        }
        let word = self.nodes[node].word;
        (word != NONE).then_some(word as usize)
    }
}

/// One reading of a row up to a frame.
#[derive(Clone, Copy)]
struct Reading {
    state: u32,
    score: f32,
    /// First frame of the word that is being read.
    from: u32,
    /// The last word that was read, in the list of all.
    last: u32,
}

/// What a frame says, nats.
struct Frame<'a> {
    /// By how much each class is less likely than the best one.
    values: &'a [f32],
    /// Of a gap.
    gap: f32,
    /// Of print that is no known word: a character that begins here.
    unknown: f32,
    at: u32,
}

/// A word that some reading holds.
struct Read {
    id: u32,
    from: u32,
    to: u32,
    before: u32,
}

impl Words {
    /// From the tensors of a model: letters `[V, LETTERS]` as ids of characters, 0 after a word's end, vectors `[V, DIMENSIONS]`.
    pub fn new(letters: &[f32], vectors: Vec<f32>) -> Self {
        let words: Vec<Vec<u8>> = letters
            .chunks_exact(LETTERS)
            .map(|row| {
                // A file may hold any number; what is no character's id is "other", which no table spells.
                let classes = row.iter().map(|id| id.round().clamp(0.0, OTHER) as u8);
                classes.take_while(|class| *class != 0).collect()
            })
            .collect();
        Self {
            trie: Trie::new(&words),
            vectors,
        }
    }

    /// The place of a word in the table.
    pub fn find(&self, word: &str) -> Option<usize> {
        let classes: Vec<u8> = word.chars().map(class_of).collect();
        self.trie.find(&classes)
    }

    /// Every word of the table, as it is spelled there; of words spelled alike the first is empty.
    pub fn spellings(&self) -> Vec<String> {
        let mut found = vec![String::new(); self.vectors.len() / DIMENSIONS];
        let mut open = vec![(0, String::new())];
        while let Some((node, spelled)) = open.pop() {
            for child in self.trie.children(node) {
                let mut longer = spelled.clone();
                longer.extend(char_of(self.trie.nodes[child as usize].class));
                open.push((child as usize, longer));
            }
            let word = self.trie.nodes[node].word;
            if word != NONE {
                found[word as usize] = spelled;
            }
        }
        found
    }

    /// The `n` other words that are nearest in meaning, nearest first, with their cosine.
    pub fn nearest(&self, id: usize, n: usize) -> Vec<(usize, f32)> {
        let own = self.sum([id]);
        let count = self.vectors.len() / DIMENSIONS;
        let mut all: Vec<(usize, f32)> = (0..count)
            .filter(|other| *other != id)
            .map(|other| {
                let vector = self.vector(other);
                let length = dot(vector, vector).sqrt().max(1e-9);
                (other, dot(&own, vector) / length)
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(n);
        all
    }

    /// A word's vector, as long as the word has weight in a text.
    fn vector(&self, id: usize) -> &[f32] {
        &self.vectors[id * DIMENSIONS..(id + 1) * DIMENSIONS]
    }

    /// The sum of words' vectors, of length 1; zeros of no words.
    pub fn sum(&self, ids: impl IntoIterator<Item = usize>) -> [f32; DIMENSIONS] {
        let mut sum = [0f32; DIMENSIONS];
        for id in ids {
            for (sum, value) in sum.iter_mut().zip(self.vector(id)) {
                *sum += value;
            }
        }
        let length = dot(&sum, &sum).sqrt();
        if length > 0.0 {
            sum.iter_mut().for_each(|value| *value /= length);
        }
        sum
    }

    /// What is printed on a page, line by line.
    pub fn read(&self, page: &TextIndex) -> Vec<Line> {
        let mut all = Vec::new();
        for row in 0..page.rows {
            all.extend(lines(page, row));
        }
        for line in &mut all {
            line.words = self.read_line(page, line);
            // Letters of the row above or below count for a leaning line; a word stands where its own print is.
            line.words.retain(|word| {
                let own = (word.from..=word.to).filter(|t| printed(page, word.row, *t));
                2 * own.count() > word.to - word.from
            });
        }
        all
    }

    /// The words of a line, from left to right.
    fn read_line(&self, page: &TextIndex, line: &Line) -> Vec<Word> {
        let row = line.row;
        let mut read: Vec<Read> = Vec::new();
        let mut now = vec![Reading {
            state: IN_GAP,
            score: 0.0,
            from: 0,
            last: NONE,
        }];
        let mut next: Vec<Reading> = Vec::new();
        let mut before = 0;
        for t in line.from..=line.to {
            let values = page.frame(row, t);
            // The frame's own best class is less likely than itself by nothing.
            let class = values.iter().position(|value| *value == 0.0).unwrap_or(0);
            let frame = Frame {
                values,
                gap: page.gap(row, t),
                unknown: if class == before || class == 0 {
                    0.0
                } else {
                    -UNKNOWN
                },
                at: t as u32,
            };
            before = class;
            next.clear();
            for reading in &now {
                self.follow(reading, &frame, &mut read, &mut next);
            }
            prune(&mut next);
            std::mem::swap(&mut now, &mut next);
        }
        // A word may end with the line.
        let mut best = NONE;
        let mut top = f32::NEG_INFINITY;
        for reading in &now {
            let mut last = reading.last;
            if reading.state < IN_UNKNOWN {
                let word = self.trie.nodes[reading.state as usize].word;
                if word == NONE {
                    continue;
                }
                last = keep(&mut read, reading, word, line.to as u32);
            }
            if reading.score > top {
                (top, best) = (reading.score, last);
            }
        }
        let mut words = Vec::new();
        while let Some(word) = read.get(best as usize) {
            words.push(Word {
                id: word.id as usize,
                row,
                from: word.from as usize,
                to: word.to as usize,
            });
            best = word.before;
        }
        words.reverse();
        words
    }

    /// What may follow a reading at a frame.
    fn follow(
        &self,
        reading: &Reading,
        frame: &Frame,
        read: &mut Vec<Read>,
        next: &mut Vec<Reading>,
    ) {
        let nodes = &self.trie.nodes;
        let t = frame.at;
        let mut go = |state: u32, cost: f32, from: u32, last: u32| {
            next.push(Reading {
                state,
                score: reading.score + cost,
                from,
                last,
            });
        };
        let (from, last) = (reading.from, reading.last);
        match reading.state {
            IN_GAP => {
                go(IN_GAP, frame.gap, t, last);
                go(IN_UNKNOWN, frame.unknown, t, last);
                self.begin(frame.values, -WORD, t, last, &mut go);
            }
            IN_UNKNOWN => {
                go(IN_UNKNOWN, frame.unknown, from, last);
                go(IN_GAP, frame.gap, t, last);
            }
            state => {
                let node = state as usize;
                let own = frame.values[usize::from(nodes[node].class)];
                if own > WORST {
                    go(state, own, from, last);
                }
                for child in self.trie.children(node) {
                    let value = frame.values[usize::from(nodes[child as usize].class)];
                    if value > WORST {
                        go(child, value, from, last);
                    }
                    for after in self.trie.children(child as usize) {
                        let value = frame.values[usize::from(nodes[after as usize].class)];
                        if value + SKIP > WORST {
                            go(after, value + SKIP, from, last);
                        }
                    }
                }
                let word = nodes[node].word;
                if word != NONE {
                    let last = keep(read, reading, word, t.saturating_sub(1));
                    go(IN_GAP, frame.gap, t, last);
                    self.begin(frame.values, -WORD - JOINED, t, last, &mut go);
                }
            }
        }
    }

    /// Words that may begin at a frame.
    fn begin(
        &self,
        values: &[f32],
        cost: f32,
        t: u32,
        last: u32,
        go: &mut impl FnMut(u32, f32, u32, u32),
    ) {
        for child in self.trie.children(0) {
            let value = values[usize::from(self.trie.nodes[child as usize].class)];
            if value > WORST {
                go(child, cost + value, t, last);
            }
        }
    }
}

/// Notes that a reading ends a word at frame `to`.
fn keep(read: &mut Vec<Read>, reading: &Reading, id: u32, to: u32) -> u32 {
    read.push(Read {
        id,
        from: reading.from,
        to,
        before: reading.last,
    });
    read.len() as u32 - 1
}

/// Keeps the best reading of every state, and of them the best [`BEAM`].
fn prune(readings: &mut Vec<Reading>) {
    readings.sort_by(|a, b| a.state.cmp(&b.state).then(b.score.total_cmp(&a.score)));
    readings.dedup_by_key(|reading| reading.state);
    readings.sort_by(|a, b| b.score.total_cmp(&a.score));
    readings.truncate(BEAM);
    let top = readings.first().map_or(0.0, |best| best.score);
    readings.retain(|reading| reading.score > top - BEHIND);
}

/// Whether a frame is print in its own row.
fn printed(page: &TextIndex, row: usize, column: usize) -> bool {
    // Of "nothing" the rows above and below count for nothing (`text_search`).
    page.frame(row, column)[0] < 0.0
}

/// Lines of print in a row, without their words.
fn lines(page: &TextIndex, row: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for t in (0..page.columns).filter(|t| printed(page, row, *t)) {
        match lines.last_mut() {
            Some(line) if t - line.to <= GAP => line.to = t,
            _ => lines.push(Line {
                row,
                from: t,
                to: t,
                words: Vec::new(),
            }),
        }
    }
    lines
}

/// The product of two vectors.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::char_logits::tests::read;

    /// A table of words whose vectors are given by pairs of numbers.
    pub(crate) fn table(words: &[(&str, [f32; 2])]) -> Words {
        let mut letters = Vec::new();
        let mut vectors = Vec::new();
        for (word, [a, b]) in words {
            let mut row = vec![0f32; LETTERS];
            for (to, c) in row.iter_mut().zip(word.chars()) {
                *to = f32::from(class_of(c));
            }
            letters.extend(row);
            vectors.extend([*a, *b]);
            vectors.extend([0.0; DIMENSIONS - 2]);
        }
        Words::new(&letters, vectors)
    }

    fn printed_words(words: &Words, table: &[&str], rows: &[&str]) -> Vec<Vec<String>> {
        let lines = words.read(&read(rows).index());
        let names = |line: &Line| line.words.iter().map(|w| table[w.id].to_string()).collect();
        lines.iter().map(names).collect()
    }

    #[test]
    fn whole_words_are_read_and_others_left_out() {
        let names = ["date", "total", "due", "settings"];
        let words = table(&names.map(|name| (name, [1.0, 0.0])));
        let rows = [
            "  total: 12.50    ",
            "                  ",
            " due date 2024 tot",
        ];
        let found = printed_words(&words, &names, &rows);
        assert_eq!(found, [vec!["total"], vec!["due", "date"]]);
        assert_eq!(words.find("Total"), Some(1));
        assert_eq!(words.find("tot"), None);
    }

    #[test]
    fn doubled_letters_and_small_print_are_read() {
        let names = ["settings", "setting"];
        let words = table(&names.map(|name| (name, [1.0, 0.0])));
        // Every letter twice; two letters in one frame (the second of "tt" has none of its own).
        let rows = [" sseettttiinnggss ", "", "", " setings "];
        let found = printed_words(&words, &names, &rows);
        assert_eq!(found, [vec!["settings"], vec!["settings"]]);
    }

    #[test]
    fn lines_end_at_wide_gaps() {
        let names = ["name", "paul"];
        let words = table(&names.map(|name| (name, [1.0, 0.0])));
        let near = ["name      paul"];
        let far = ["name                    paul"];
        assert_eq!(printed_words(&words, &names, &near).len(), 1);
        assert_eq!(printed_words(&words, &names, &far).len(), 2);
    }

    #[test]
    fn numbers_that_are_no_characters_spell_nothing_that_is_printed() {
        let mut letters = vec![0f32; LETTERS];
        letters[..3].copy_from_slice(&[200.0, 4.0, -7.0]);
        let words = Words::new(&letters, vec![1.0; DIMENSIONS]);
        let lines = words.read(&read(&["date 12"]).index());
        assert!(lines.iter().all(|line| line.words.is_empty()), "{lines:?}");
    }

    #[test]
    fn a_sum_has_length_one() {
        let words = table(&[("a", [3.0, 0.0]), ("b", [0.0, 4.0])]);
        let sum = words.sum([0, 1]);
        assert!((dot(&sum, &sum) - 1.0).abs() < 1e-6);
        assert!((sum[1] / sum[0] - 4.0 / 3.0).abs() < 1e-6);
        assert_eq!(words.sum([]), [0.0; DIMENSIONS]);
    }
}
