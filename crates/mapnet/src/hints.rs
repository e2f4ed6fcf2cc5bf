//! What reading tells the decoder: where the texts of a question are printed.
//!
//! A quoted key (`What is the "DATE"?`) is found on the page; the best places are drawn as maps,
//! with rows, columns and distances from them, because a value stands right of its key or below
//! it. Of a question without a quoted key, its words are looked for instead: on a receipt the word
//! "total" is often printed beside the total.

use crate::char_logits::HALVES;
use crate::question::key_of;
use crate::text_search::{Match, Text, TextIndex};

/// Maps that a question gets, see [`of_question`].
pub const HINTS: usize = 11;

/// Places of a key and of a word that are drawn.
const KEY_PLACES: usize = 8;
const WORD_PLACES: usize = 3;

/// Words that say nothing about what is printed.
const COMMON: [&str; 36] = [
    "what", "which", "where", "when", "who", "how", "much", "many", "is", "are", "was", "were",
    "the", "this", "that", "there", "of", "on", "in", "to", "for", "and", "a", "an", "does", "do",
    "did", "written", "printed", "shown", "stands", "say", "says", "read", "here", "it",
];

/// Words of a question that may be printed on the page.
fn words(question: &str) -> Vec<&str> {
    let parts = question.split(|c: char| !c.is_alphanumeric());
    let mut words: Vec<&str> = parts.filter(|w| w.chars().count() >= 3).collect();
    words.retain(|w| !COMMON.contains(&w.to_lowercase().as_str()));
    words.truncate(8);
    words
}

/// One map in the making.
struct Canvas<'a> {
    values: &'a mut [f32],
    width: usize,
}

impl Canvas<'_> {
    /// Raises the cells of a place to `value`.
    fn paint(&mut self, place: &Match, value: f32) {
        let row = place.row * self.width;
        for cell in &mut self.values[row + place.from / HALVES..=row + place.to / HALVES] {
            *cell = cell.max(value);
        }
    }
}

/// The maps of a question about a picture, `HINTS` of `rows` x `columns / 2` cells:
///
/// * 0 the key's places, by how well they read; 1 the same relative to the best place;
/// * 2, 3 the largest of map 1 in the cell's row and column;
/// * 4, 5, 6 distance from the best place's right end, left end (64 px are a unit) and row (16 px);
/// * 7 places of the question's own words, where it quotes nothing; 8 how well the best place reads;
/// * 9, 10 the cell's position, -1 to 1.
pub fn of_question(index: &TextIndex, question: &str) -> Vec<f32> {
    let (height, width) = (index.rows, index.columns / HALVES);
    let cells = height * width;
    let mut maps = vec![0f32; HINTS * cells];
    if let Some(key) = key_of(question) {
        key_maps(index, key, &mut maps, width, height);
    } else {
        for word in words(question) {
            let mut map = Canvas {
                values: &mut maps[7 * cells..8 * cells],
                width,
            };
            for place in index.find(&Text::words(word), WORD_PLACES) {
                map.paint(&place, place.score.exp());
            }
        }
    }
    for y in 0..height {
        for x in 0..width {
            let at = |i: usize, n: usize| (i as f32 + 0.5) / n as f32 * 2.0 - 1.0;
            maps[9 * cells + y * width + x] = at(x, width);
            maps[10 * cells + y * width + x] = at(y, height);
        }
    }
    maps
}

/// Maps 0 to 6 and 8.
fn key_maps(index: &TextIndex, key: &str, maps: &mut [f32], width: usize, height: usize) {
    let cells = width * height;
    // Marks around a key ("Date:") may be missing in print.
    let key = key.trim_matches(|c: char| !c.is_alphanumeric());
    let text = Text::words(key);
    let places = index.find(&text, KEY_PLACES);
    let Some(best) = places.first().copied() else {
        return;
    };
    for place in &places {
        let nats = (place.score - best.score) * text.length() as f32;
        for (map, value) in [(0, place.score.exp()), (1, (0.5 * nats).exp())] {
            let values = &mut maps[map * cells..(map + 1) * cells];
            Canvas { values, width }.paint(place, value);
        }
    }
    for y in 0..height {
        let row = (0..width)
            .map(|x| maps[cells + y * width + x])
            .fold(0.0, f32::max);
        maps[2 * cells + y * width..][..width].fill(row);
    }
    for x in 0..width {
        let column = (0..height)
            .map(|y| maps[cells + y * width + x])
            .fold(0.0, f32::max);
        for y in 0..height {
            maps[3 * cells + y * width + x] = column;
        }
    }
    let (from, to) = ((best.from / HALVES) as f32, (best.to / HALVES) as f32);
    for y in 0..height {
        for x in 0..width {
            let cell = y * width + x;
            // Cells are 8 px wide and high.
            maps[4 * cells + cell] = ((x as f32 - to) / 8.0).tanh();
            maps[5 * cells + cell] = ((x as f32 - from) / 8.0).tanh();
            maps[6 * cells + cell] = ((y as f32 - best.row as f32) / 2.0).tanh();
            maps[8 * cells + cell] = best.score.exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::char_logits::{CLASSES, CharLogits, class_of};

    #[test]
    fn words_that_may_be_printed() {
        let found = words("What is the total amount on this receipt?");
        assert_eq!(found, ["total", "amount", "receipt"]);
        assert!(words("What is it?").is_empty());
    }

    #[test]
    fn a_quoted_key_lights_its_cells_and_its_row() {
        let rows = ["        ", "  date  ", "        "];
        let mut values = Vec::new();
        for row in rows {
            for c in row.chars() {
                let mut frame = [-8f32; CLASSES];
                frame[class_of(c) as usize] = 0.0;
                values.extend(frame);
            }
        }
        let index = CharLogits::new(values, 3, 8).index();
        let maps = of_question(&index, "What is the \"Date:\"?");
        let map = |i: usize| &maps[i * 12..(i + 1) * 12];
        assert_eq!(map(0)[4..8], [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(map(2)[4..8], [1.0; 4]);
        assert!(map(2)[..4].iter().all(|v| *v < 1e-3));
        // Elsewhere there is next to nothing: a place that hardly reads like the key.
        let shown = |map: &[f32]| {
            map.iter()
                .map(|v| (v * 100.0).round() / 100.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&map(3)[0..4]), [0.0, 1.0, 1.0, 0.0]);
        assert!(map(4)[7] > 0.0 && map(4)[4] < 0.0);
        let maps = of_question(&index, "What is the date?");
        assert_eq!(maps[7 * 12 + 4..7 * 12 + 8], [0.0, 1.0, 1.0, 0.0]);
        assert!(maps[..7 * 12].iter().all(|v| *v == 0.0));
    }
}
