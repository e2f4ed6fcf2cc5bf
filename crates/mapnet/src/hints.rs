//! What reading tells the decoder: where the texts of a question are printed.
//!
//! A quoted key (`What is the "DATE"?`) is found on the page; the best places are drawn as maps,
//! with rows, columns and distances from them, because a value stands right of its key or below
//! it. Of a question without a quoted key, its words are looked for instead: on a receipt the word
//! "total" is often printed beside the total. Where the model has a table of words ([`crate::words`]), what is printed is compared with
//! what such a question means, too: "HEIGHT" with "How tall is he?".

use crate::char_logits::HALVES;
use crate::question::key_of;
use crate::text_search::{Match, Text, TextIndex};
use crate::words::{Line, Words, dot};

/// Maps that a question gets, see [`of_question`].
pub const HINTS: usize = 11;

/// Maps more that a question gets where the model has a table of words, see [`of_meaning`].
pub const MEANINGS: usize = 9;

/// How much likelier a line of print is the right one for being this much liker the question: `exp(SHARP (c - best))`.
const SHARP: f32 = 6.0;

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

/// A question's own words that a table knows.
pub fn known(table: &Words, question: &str) -> Vec<usize> {
    let words = words(question);
    words.iter().filter_map(|word| table.find(word)).collect()
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

/// The maps of a question about a picture: those of [`of_letters`], and where there is a table of words those of [`of_meaning`].
pub fn of_question(index: &TextIndex, words: Option<&Words>, question: &str) -> Vec<f32> {
    let mut maps = of_letters(index, question);
    if let Some(words) = words {
        let cells = index.rows * (index.columns / HALVES);
        let own = 7 * cells..8 * cells;
        let more = of_meaning(index, words, question, &maps[own]);
        maps.extend(more);
    }
    maps
}

/// How well a question's words are found on a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Support {
    /// Whether the question quotes a key.
    pub quoted: bool,
    /// How well the key reads, or the best of the question's words: 0 to 1.
    pub letters: f32,
    /// How well a line of print fits what the words mean: the cosines of its best word and of all of it, added up.
    pub meaning: f32,
}

impl Support {
    /// From the maps of [`of_question`]; `meaning` where the model has a table of words.
    pub fn of(maps: &[f32], question: &str, meaning: bool) -> Self {
        let cells = maps.len() / if meaning { HINTS + MEANINGS } else { HINTS };
        let most = |map: usize| {
            let values = maps[map * cells..(map + 1) * cells].iter();
            values.copied().fold(0.0, f32::max)
        };
        let quoted = key_of(question).is_some();
        Self {
            quoted,
            letters: most(if quoted { 8 } else { 7 }),
            meaning: if meaning { most(HINTS + 8) } else { 0.0 },
        }
    }
}

/// What reading letters tells, `HINTS` maps of `rows` x `columns / 2` cells:
///
/// * 0 the key's places, by how well they read; 1 the same relative to the best place;
/// * 2, 3 the largest of map 1 in the cell's row and column;
/// * 4, 5, 6 distance from the best place's right end, left end (64 px are a unit) and row (16 px);
/// * 7 places of the question's own words, where it quotes nothing; 8 how well the best place reads;
/// * 9, 10 the cell's position, -1 to 1.
pub fn of_letters(index: &TextIndex, question: &str) -> Vec<f32> {
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

/// What words mean, `MEANINGS` maps of `rows` x `columns / 2` cells; all zero where the question quotes a key. `own` is map 7 of
/// [`of_letters`]: words that are not in the table (names) are known by their letters alone.
///
/// * 0 how much a printed word means what a word of the question says (cosine), or how well its letters read;
/// * 1 how much its line means what the question says; their sum, over a line the best, is how well a line fits;
/// * 2 how well a line fits relative to the best one; 3, 4 the largest of map 2 in the cell's row and column;
/// * 5, 6, 7 distance from the best line's best word, as maps 4 to 6 of letters; 8 how well the best line fits.
fn of_meaning(index: &TextIndex, words: &Words, question: &str, own: &[f32]) -> Vec<f32> {
    let (height, width) = (index.rows, index.columns / HALVES);
    let cells = height * width;
    let mut maps = vec![0f32; MEANINGS * cells];
    if key_of(question).is_some() {
        return maps;
    }
    let asked = known(words, question);
    let each: Vec<_> = asked.iter().map(|id| words.sum([*id])).collect();
    let whole = words.sum(asked.iter().copied());
    // Fit of each line, and the cells of its best word.
    let mut fits: Vec<(f32, &Line, (usize, usize))> = Vec::new();
    for line in index.lines(words) {
        let row = line.row * width;
        let ends = |from: usize, to: usize| (from / HALVES, (to / HALVES).min(width - 1));
        let (from, to) = ends(line.from, line.to);
        let mut best = (0f32, (from, to));
        for word in &line.words {
            let vector = words.sum([word.id]);
            let alike = each
                .iter()
                .map(|asked| dot(asked, &vector))
                .fold(0f32, f32::max);
            let (from, to) = ends(word.from, word.to);
            for cell in &mut maps[row + from..=row + to] {
                *cell = cell.max(alike);
            }
            if alike > best.0 {
                best = (alike, (from, to));
            }
        }
        for x in from..=to {
            let read = own[row + x];
            maps[row + x] = maps[row + x].max(read);
            if read > best.0 {
                best = (read, (x, x));
            }
        }
        let alike = dot(&whole, &words.sum(line.words.iter().map(|word| word.id))).max(0.0);
        maps[cells + row + from..=cells + row + to].fill(alike);
        fits.push((best.0 + alike, line, best.1));
    }
    let Some((top, line, (from, to))) = fits.iter().max_by(|a, b| a.0.total_cmp(&b.0)).copied()
    else {
        return maps;
    };
    if top <= 0.0 {
        return maps;
    }
    for (fit, line, _) in &fits {
        let row = 2 * cells + line.row * width;
        let to = (line.to / HALVES).min(width - 1);
        maps[row + line.from / HALVES..=row + to].fill((SHARP * (fit - top)).exp());
    }
    cross(&mut maps[2 * cells..5 * cells], width, height);
    let place = (line.row, from, to);
    distances(&mut maps[5 * cells..8 * cells], width, height, place);
    maps[8 * cells..].fill(top);
    maps
}

/// Of three maps the second and the third: the largest value of the first one in the cell's row, and in its column.
fn cross(maps: &mut [f32], width: usize, height: usize) {
    let (places, more) = maps.split_at_mut(width * height);
    let (rows, columns) = more.split_at_mut(width * height);
    for (row, values) in rows.chunks_exact_mut(width).zip(places.chunks_exact(width)) {
        row.fill(values.iter().fold(0.0, |a, b| b.max(a)));
    }
    for x in 0..width {
        let of = |y: usize| y * width + x;
        let top = (0..height).map(|y| places[of(y)]).fold(0.0, f32::max);
        (0..height).for_each(|y| columns[of(y)] = top);
    }
}

/// Three maps: distance of each cell from a place's right end, left end (64 px are a unit) and row (16 px).
fn distances(maps: &mut [f32], width: usize, height: usize, place: (usize, usize, usize)) {
    let cells = width * height;
    let (row, from, to) = place;
    let (row, from, to) = (row as f32, from as f32, to as f32);
    for y in 0..height {
        for x in 0..width {
            let cell = y * width + x;
            // Cells are 8 px wide and high.
            maps[cell] = ((x as f32 - to) / 8.0).tanh();
            maps[cells + cell] = ((x as f32 - from) / 8.0).tanh();
            maps[2 * cells + cell] = ((y as f32 - row) / 2.0).tanh();
        }
    }
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
    cross(&mut maps[cells..4 * cells], width, height);
    let place = (best.row, best.from / HALVES, best.to / HALVES);
    distances(&mut maps[4 * cells..7 * cells], width, height, place);
    maps[8 * cells..9 * cells].fill(best.score.exp());
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
        let maps = of_question(&index, None, "What is the \"Date:\"?");
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
        let maps = of_question(&index, None, "What is the date?");
        assert_eq!(maps[7 * 12 + 4..7 * 12 + 8], [0.0, 1.0, 1.0, 0.0]);
        assert!(maps[..7 * 12].iter().all(|v| *v == 0.0));
    }

    #[test]
    fn a_word_that_means_the_same_lights_its_line_and_the_places_beside_it() {
        let rows = [
            "name paul                     ",
            "                              ",
            "height 180                    ",
            "                              ",
            "weight 80                     ",
        ];
        let index = crate::char_logits::tests::read(&rows).index();
        let words = crate::words::tests::table(&[
            ("tall", [1.0, 0.1]),
            ("height", [0.9, 0.2]),
            ("weight", [0.3, 1.0]),
            ("name", [-0.5, 1.0]),
        ]);
        let of = |question: &str| of_question(&index, Some(&words), question);
        let maps = of("How tall is he?");
        let cells = index.rows * (index.columns / HALVES);
        assert_eq!(maps.len(), (HINTS + MEANINGS) * cells);
        let (letters, maps) = maps.split_at(HINTS * cells);
        assert_eq!(letters, of_letters(&index, "How tall is he?"));
        let width = index.columns / HALVES;
        let at = |map: usize, row: usize, x: usize| maps[map * cells + row * width + x];
        assert!(at(0, 2, 0) > 0.98 && at(0, 4, 0) < 0.5, "the words");
        assert_eq!(at(0, 2, 4), 0.0, "the number is no word");
        assert_eq!(at(2, 2, 0), 1.0, "the line");
        assert!(at(2, 4, 0) < 0.1, "another line");
        assert_eq!(at(3, 2, 12), 1.0, "its row");
        assert_eq!(at(4, 0, 1), 1.0, "its columns");
        assert!(at(5, 2, 4) > 0.0 && at(5, 2, 1) < 0.0, "right of the word");
        assert!(at(7, 0, 0) < 0.0 && at(7, 4, 0) > 0.0, "above and below");
        assert!(at(8, 0, 0) > 1.5, "how well it fits");
        // A name is in no table; its letters are on the page.
        let maps = of("Where is Paul?");
        assert_eq!(maps[(HINTS + 2) * cells], 1.0);
        // A quoted key has maps of its own.
        let quoted = of("What is the \"height\"?");
        assert!(quoted[HINTS * cells..].iter().all(|v| *v == 0.0));
    }

    #[test]
    fn what_is_printed_supports_a_question_and_what_is_not_does_not() {
        let index = crate::char_logits::tests::read(&["height 180                    "]).index();
        let words = crate::words::tests::table(&[
            ("tall", [1.0, 0.1]),
            ("height", [0.9, 0.2]),
            ("name", [-0.5, 1.0]),
        ]);
        let of = |question: &str| {
            let maps = of_question(&index, Some(&words), question);
            Support::of(&maps, question, true)
        };
        let (printed, other, missing) = (of("What height?"), of("How tall?"), of("What name?"));
        assert!(!printed.quoted && printed.letters > 0.9 && printed.meaning > 1.9);
        assert!(other.letters < 0.5 && other.meaning > 1.9, "{other:?}");
        assert!(
            missing.letters < 0.5 && missing.meaning < 0.5,
            "{missing:?}"
        );
        let (key, none) = (of("Find \"height\"."), of("Find \"weight of it\"."));
        assert!(key.quoted && key.letters > 0.9 && key.meaning == 0.0);
        assert!(none.quoted && none.letters < key.letters);
        // Without a table of words nothing is known of meaning.
        let maps = of_question(&index, None, "What height?");
        let alone = Support::of(&maps, "What height?", false);
        assert_eq!((alone.letters, alone.meaning), (printed.letters, 0.0));
    }
}
