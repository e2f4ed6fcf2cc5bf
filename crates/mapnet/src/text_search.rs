//! Finding a text among what was read on a picture.
//!
//! Exact dynamic programming over the frames of every row: each character stays, or is followed by the next one, or (in
//! a crowd) by the one after it. A key is looked for as whole words, so that "TO" is not found in "TOTAL"; a long
//! one also in parts, because labels go on in the next line.

use std::sync::OnceLock;

use kernels::larger;

use crate::char_logits::{CLASSES, CharLogits, SKIP, classes_of, is_mark};
use crate::words::{Line, Words};

/// What a frame costs that is read in the row above or below, nats: a text's own row comes first.
const BESIDE: f32 = 0.1;

/// What a frame may count against a text at most, nats: one misread character loses no line.
const FLOOR: f32 = -5.0;

/// Not a character: the end of a word, shown by a frame of anything but letters and digits.
const EDGE: u8 = CLASSES as u8;

/// Values of a frame: those of all classes, then that of [`EDGE`].
const WIDTH: usize = CLASSES + 1;

/// How much a word's end counts beside a character: small print has no room for it.
const EDGE_WEIGHT: f32 = 0.2;

/// What each character costs that is left out at a long text's beginning or end, nats.
const MISSING: f32 = 2.0;

/// Characters of which parts are looked for, too; a part has at least two fifths of them.
const LONG: usize = 12;

/// A text to look for.
#[derive(Debug, Clone)]
pub struct Text {
    /// Classes, and word ends.
    states: Vec<u8>,
    /// What it costs to begin at a state, at most 0; not at most states.
    starts: Vec<f32>,
    /// What it costs to end at a state.
    ends: Vec<f32>,
    /// Characters.
    length: usize,
}

impl Text {
    /// The text alone, wherever it stands.
    pub fn anywhere(text: &str) -> Self {
        Self::of(classes_of(text))
    }

    /// The text as whole words; where it is long, parts of it are looked for, too.
    pub fn words(text: &str) -> Self {
        let classes = classes_of(text);
        let length = classes.len();
        if length == 0 {
            return Self::of(classes);
        }
        let mut states = vec![EDGE];
        states.extend(&classes);
        states.push(EDGE);
        let mut text = Self {
            length,
            ..Self::of(states)
        };
        let gaps = (0..length).filter(|i| length >= LONG && classes[*i] == 0);
        for gap in gaps {
            // The gap is the state after the first edge and `gap` characters; `gap` are before it.
            let after = length - gap - 1;
            let state = gap + 1;
            if 5 * after >= 2 * length {
                text.starts[state] = -MISSING * gap as f32;
            }
            if 5 * gap >= 2 * length {
                text.ends[state] = -MISSING * after as f32;
            }
        }
        text
    }

    fn of(states: Vec<u8>) -> Self {
        let n = states.len();
        let only = |at: Option<usize>| {
            let mut costs = vec![f32::NEG_INFINITY; n];
            at.and_then(|at| costs.get_mut(at))
                .into_iter()
                .for_each(|cost| *cost = 0.0);
            costs
        };
        Self {
            starts: only(Some(0)),
            ends: only(n.checked_sub(1)),
            length: n,
            states,
        }
    }

    /// Whether a state is a gap between words, of which a place has no frame.
    fn is_gap(&self, state: usize) -> bool {
        matches!(self.states[state], 0 | EDGE)
    }

    /// Characters that are looked for.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A place where a text may be printed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Row of cells.
    pub row: usize,
    /// First frame.
    pub from: usize,
    /// Last frame.
    pub to: usize,
    /// Nats a character by which the text is less likely than the best reading; at most 0.
    pub score: f32,
}

/// What was read on one picture, ready for finding texts.
#[derive(Debug, Clone)]
pub struct TextIndex {
    /// Rows of cells.
    pub rows: usize,
    /// Frames in a row.
    pub columns: usize,
    /// `[rows, columns, WIDTH]`
    ratios: Vec<f32>,
    /// What was read with a table of words, once a question wanted it.
    lines: OnceLock<Vec<Line>>,
}

/// First frame of a text of which there was nothing but a gap yet.
const NONE_YET: u32 = u32::MAX;

/// One state of the alignment: score and first frame.
#[derive(Clone, Copy)]
struct State {
    score: f32,
    from: u32,
}

impl State {
    const NEVER: Self = Self {
        score: f32::NEG_INFINITY,
        from: NONE_YET,
    };
}

/// The largest of a frame's values, eight at a time.
fn top(frame: &[f32]) -> f32 {
    let (eights, rest) = frame.as_chunks::<8>();
    let mut tops = [f32::NEG_INFINITY; 8];
    for eight in eights {
        for (top, value) in tops.iter_mut().zip(eight) {
            *top = larger(*top, *value);
        }
    }
    let all = tops.iter().chain(rest);
    all.fold(f32::NEG_INFINITY, |top, value| larger(top, *value))
}

/// By how much each class is less likely than the frame's best one, at least [`FLOOR`]; of the rows above and below
/// the better one counts too, because lines lean and lie between rows.
fn ratios(values: &[f32], columns: usize) -> Vec<f32> {
    let mut own = vec![0f32; values.len() / CLASSES * WIDTH];
    let marks: [bool; CLASSES] = std::array::from_fn(|class| is_mark(class as u8));
    for (frame, read) in own
        .chunks_exact_mut(WIDTH)
        .zip(values.chunks_exact(CLASSES))
    {
        let top = top(read);
        let mut edge = FLOOR;
        for ((v, read), mark) in frame.iter_mut().zip(read).zip(marks) {
            *v = larger(*read - top, FLOOR);
            edge = larger(edge, if mark { *v } else { FLOOR });
        }
        frame[CLASSES] = EDGE_WEIGHT * edge;
    }
    let mut best = own.clone();
    let width = columns * WIDTH;
    let rows = own.len() / width.max(1);
    for row in 0..rows {
        let to = row * width;
        for near in [row.checked_sub(1), (row + 1 < rows).then_some(row + 1)] {
            let Some(near) = near else { continue };
            for (frame, other) in best[to..to + width]
                .chunks_exact_mut(WIDTH)
                .zip(own[near * width..(near + 1) * width].chunks_exact(WIDTH))
            {
                // "Nothing" is everywhere around a line and would let any text begin anywhere.
                for (v, o) in frame[1..CLASSES].iter_mut().zip(&other[1..CLASSES]) {
                    *v = larger(*v, *o - BESIDE);
                }
            }
        }
    }
    best
}

impl CharLogits {
    /// Prepares for finding texts.
    pub fn index(&self) -> TextIndex {
        TextIndex::new(self.values(), self.rows, self.columns)
    }
}

impl TextIndex {
    /// From log-probabilities, or logits, `[rows, columns, CLASSES]`.
    pub fn new(values: &[f32], rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            ratios: ratios(values, columns),
            lines: OnceLock::new(),
        }
    }

    /// By how much each class is less likely than the best one at a frame, then that of the end of a word, nats.
    pub(crate) fn frame(&self, row: usize, column: usize) -> &[f32] {
        let start = (row * self.columns + column) * WIDTH;
        &self.ratios[start..start + WIDTH]
    }

    /// What a gap between words costs at a frame, nats.
    pub(crate) fn gap(&self, row: usize, column: usize) -> f32 {
        self.frame(row, column)[CLASSES] / EDGE_WEIGHT
    }

    /// What is printed, read as words of a table when first asked for; a picture's questions all have one table.
    pub fn lines(&self, words: &Words) -> &[Line] {
        self.lines.get_or_init(|| words.read(self))
    }

    /// The best places of a text, best first, at most `most`; places that overlap count once.
    pub fn find(&self, text: &Text, most: usize) -> Vec<Match> {
        let n = text.states.len();
        if n == 0 {
            return Vec::new();
        }
        let ends: Vec<usize> = (0..n)
            .filter(|j| text.ends[*j] > f32::NEG_INFINITY)
            .collect();
        let mut found: Vec<Match> = Vec::new();
        let mut states = vec![State::NEVER; n];
        for row in 0..self.rows {
            states.fill(State::NEVER);
            // The best end within reach: a run of good ends is one place.
            let mut best: Option<Match> = None;
            for column in 0..self.columns {
                advance(text, &mut states, self.frame(row, column), column);
                // At the right edge of the picture there is no frame for the gap behind the text.
                let last = column + 1 == self.columns;
                let cut = ends.iter().filter(|j| last && **j > 0 && text.is_gap(**j));
                let cut = cut.map(|j| (*j, states[j - 1], column));
                // Where it ends with a gap, the frame before is its last one.
                let to = |j: usize| column.saturating_sub(usize::from(text.is_gap(j)));
                let ends = ends.iter().map(|j| (*j, states[*j], to(*j)));
                for (j, end, to) in ends.chain(cut) {
                    if end.score == f32::NEG_INFINITY || end.from == NONE_YET {
                        continue;
                    }
                    let place = Match {
                        row,
                        from: end.from as usize,
                        to: to.max(end.from as usize),
                        score: (end.score + text.ends[j]) / text.length as f32,
                    };
                    match &mut best {
                        Some(known) if place.from > known.to => {
                            found.push(*known);
                            best = Some(place);
                        }
                        Some(known) if place.score > known.score => *known = place,
                        None => best = Some(place),
                        Some(_) => {}
                    }
                }
            }
            found.extend(best);
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Match> = Vec::new();
        for place in found {
            let again = |k: &Match| {
                k.row.abs_diff(place.row) <= 1 && k.from <= place.to && place.from <= k.to
            };
            if !kept.iter().any(again) {
                kept.push(place);
                if kept.len() == most {
                    break;
                }
            }
        }
        kept
    }
}

/// The states after one more frame.
fn advance(text: &Text, states: &mut [State], frame: &[f32], column: usize) {
    for j in (0..states.len()).rev() {
        let mut best = states[j];
        let mut offer = |score: f32, from: u32| {
            if score > best.score {
                best = State { score, from };
            }
        };
        let here = column as u32;
        // A text that was a gap so far begins here.
        let begun = |from: u32| if from == NONE_YET { here } else { from };
        if j > 0 {
            offer(states[j - 1].score, begun(states[j - 1].from));
        }
        if j > 1 {
            offer(states[j - 2].score + SKIP, begun(states[j - 2].from));
        }
        // At the left edge of the picture there is no frame for the gap before the text.
        if column == 0 && j > 0 && text.is_gap(j - 1) {
            offer(text.starts[j - 1], here);
        }
        let first = if text.is_gap(j) { NONE_YET } else { here };
        offer(text.starts[j], first);
        best.score += frame[text.states[j] as usize];
        states[j] = best;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::char_logits::tests::read;

    fn find(letters: &CharLogits, text: Text, most: usize) -> Vec<Match> {
        letters.index().find(&text, most)
    }

    #[test]
    fn a_text_is_found_where_it_stands() {
        let letters = read(&["date 12/03", "", "  total 9.50", "", "subtotal 9.00"]);
        for text in [Text::anywhere("Total"), Text::words("Total")] {
            let found = find(&letters, text, 3);
            assert_eq!((found[0].row, found[0].from, found[0].to), (2, 2, 6));
            assert!(found[0].score > -0.01, "{found:?}");
            assert_eq!(found[1].row, 4);
        }
        let absent = find(&letters, Text::anywhere("cashier"), 1);
        assert!(absent.first().is_none_or(|m| m.score < -1.5), "{absent:?}");
        assert!(find(&letters, Text::words(" "), 1).is_empty());
    }

    #[test]
    fn words_are_not_found_in_longer_ones() {
        let letters = read(&[
            "tomorrow 3",
            "",
            "",
            "total (to):",
            "",
            "",
            "to",
            "",
            "photo",
        ]);
        let found = find(&letters, Text::words("TO"), 8);
        let sure = |score: f32| score > -0.1;
        let places: Vec<(usize, usize)> = found
            .iter()
            .filter(|m| sure(m.score))
            .map(|m| (m.row, m.from))
            .collect();
        assert_eq!(places, [(3, 7), (6, 0)], "{found:?}");
        let anywhere = find(&letters, Text::anywhere("TO"), 8);
        assert_eq!(anywhere.iter().filter(|m| sure(m.score)).count(), 5);
    }

    #[test]
    fn a_long_text_is_found_in_parts() {
        let rows = ["  name and address", "", "", "of the manufacturer: acme"];
        let letters = read(&rows);
        let found = find(
            &letters,
            Text::words("Name and address of the manufacturer"),
            4,
        );
        let places: Vec<(usize, usize, usize)> = found
            .iter()
            .take(2)
            .map(|m| (m.row, m.from, m.to))
            .collect();
        assert_eq!(places, [(3, 0, 18), (0, 2, 17)], "{found:?}");
        let halves = find(&letters, Text::words("Name and address of the maker"), 4);
        assert_eq!(
            (halves[0].row, halves[0].from, halves[0].to),
            (0, 2, 17),
            "{halves:?}"
        );
        assert!(halves[0].score > -1.0, "{halves:?}");
        // In one piece it is worth more.
        let whole = read(&["name and address of the maker"]);
        assert!(find(&whole, Text::words("Name and address of the maker"), 1)[0].score > -0.01);
    }

    #[test]
    fn one_misread_or_missing_character_does_not_hide_a_text() {
        for text in [Text::anywhere("cashier"), Text::words("cashier")] {
            let found = find(&read(&["xx cashjer xx"]), text.clone(), 1);
            assert_eq!((found[0].from, found[0].to), (3, 9));
            let found = find(&read(&["xx cashr xx"]), text, 1);
            assert!(found[0].score > -1.5, "{found:?}");
        }
    }
}
