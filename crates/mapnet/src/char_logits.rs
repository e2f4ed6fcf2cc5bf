//! Reading: which character stands where.
//!
//! The encoder gives every half cell (4 px wide, 8 px high) a probability for each character. This
//! is all the reading that pointing needs: a quoted key is *found* by aligning its characters with a
//! row of the page ([`crate::text_search`]), as in keyword spotting in speech, and training aligns each
//! printed line with its own cells the same way ([`CharLogits::align`]), so nobody has to say where in
//! a line a character stands. Both are exact dynamic programs on the CPU; nothing is differentiated
//! through them.

/// What leaving out a character costs in an alignment, nats: narrow ones may fall between frames.
pub const SKIP: f32 = -2.5;

/// Probability of print below which a frame does not count for the usual frequencies of characters.
const EMPTY: f32 = 0.02;

/// Characters that are told apart, beside "nothing" (class 0, spaces included) and "other" (last).
/// Lower case stands for both cases.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789.,:;-/()%$#&*'\"!?@+=_[]<>";

/// Classes of a half cell: nothing, the alphabet, any other character.
pub const CLASSES: usize = ALPHABET.len() + 2;

/// Half cells in a cell, side by side.
pub use kernels::HALVES;

/// Class of a character.
pub fn class_of(c: char) -> u8 {
    if c.is_whitespace() {
        return 0;
    }
    let plain = plain(c).to_ascii_lowercase();
    let found = ALPHABET.iter().position(|a| char::from(*a) == plain);
    found.map_or(CLASSES as u8 - 1, |i| i as u8 + 1)
}

/// The character of a class; `None` of nothing, and of what is not in the alphabet.
pub fn char_of(class: u8) -> Option<char> {
    let at = usize::from(class).checked_sub(1)?;
    ALPHABET.get(at).map(|c| char::from(*c))
}

/// Whether a class is neither letter nor digit: nothing, or a mark.
pub fn is_mark(class: u8) -> bool {
    match class.checked_sub(1) {
        None => true,
        Some(i) => ALPHABET
            .get(usize::from(i))
            .is_some_and(|c| !c.is_ascii_alphanumeric()),
    }
}

/// Letters without their accents, typographic marks as the plain ones.
fn plain(c: char) -> char {
    match c {
        'à'..='å' | 'À'..='Å' => 'a',
        'ç' | 'Ç' => 'c',
        'è'..='ë' | 'È'..='Ë' => 'e',
        'ì'..='ï' | 'Ì'..='Ï' => 'i',
        'ñ' | 'Ñ' => 'n',
        'ò'..='ö' | 'Ò'..='Ö' | 'ø' | 'Ø' => 'o',
        'ù'..='ü' | 'Ù'..='Ü' => 'u',
        '’' | '‘' => '\'',
        '“' | '”' => '"',
        '–' | '—' | '−' => '-',
        other => other,
    }
}

/// Usual width of a class's glyph relative to its height, for a first guess of where it stands.
fn advance(class: u8) -> f32 {
    if class == 0 {
        return 0.4;
    }
    match ALPHABET.get(class as usize - 1) {
        Some(
            b'i' | b'l' | b'.' | b',' | b':' | b';' | b'\'' | b'!' | b'(' | b')' | b'[' | b']',
        ) => 0.32,
        Some(b't' | b'f' | b'r' | b'j' | b'1' | b'-' | b'/' | b'"') => 0.42,
        Some(b'm' | b'w' | b'%' | b'@') => 0.8,
        _ => 0.56,
    }
}

/// A text as classes: spaces folded to one and cut off at the ends.
pub fn classes_of(text: &str) -> Vec<u8> {
    let mut classes: Vec<u8> = Vec::with_capacity(text.len());
    for c in text.chars() {
        let class = class_of(c);
        if class != 0 || classes.last().is_some_and(|last| *last != 0) {
            classes.push(class);
        }
    }
    while classes.last() == Some(&0) {
        classes.pop();
    }
    classes
}

/// Where each character of a text begins and ends, as shares of its length, by usual widths.
pub fn extents(classes: &[u8]) -> Vec<(f32, f32)> {
    let total: f32 = classes.iter().map(|c| advance(*c)).sum();
    let mut at = 0.0;
    classes
        .iter()
        .map(|class| {
            let from = at;
            at += advance(*class) / total;
            (from, at)
        })
        .collect()
}

/// What was read on one picture: log-probabilities of characters, frame by frame.
#[derive(Debug, Clone)]
pub struct CharLogits {
    /// Rows of cells.
    pub rows: usize,
    /// Frames in a row: half cells.
    pub columns: usize,
    /// `[rows, columns, CLASSES]`, nats.
    values: Vec<f32>,
}

impl CharLogits {
    /// From log-probabilities `[rows, columns, CLASSES]`.
    ///
    /// # Panics
    /// Where `values` has another length: a programming error.
    pub fn new(values: Vec<f32>, rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns * CLASSES, "another size");
        Self {
            rows,
            columns,
            values,
        }
    }

    fn frame(&self, row: usize, column: usize) -> &[f32] {
        let start = (row * self.columns + column) * CLASSES;
        &self.values[start..start + CLASSES]
    }

    /// Mean probability of each class where something is printed, as logarithms: what this page's
    /// reader says before it looks.
    pub fn prior(&self) -> [f32; CLASSES] {
        let mut sums = [1e-3f32; CLASSES];
        for frame in self.values.chunks_exact(CLASSES) {
            let printed = 1.0 - frame[0].exp();
            // Most frames are empty, and say nothing.
            if printed < EMPTY {
                continue;
            }
            for (sum, value) in sums.iter_mut().zip(frame) {
                *sum += printed * value.exp();
            }
        }
        let total: f32 = sums.iter().sum();
        sums.map(|sum| (sum / total).ln())
    }

    /// All log-probabilities, `[rows, columns, CLASSES]`, nats.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Which class each frame of a line shows, by the best alignment of its text with the frames
    /// between `from` and `to` (frame positions of the line's ends, fractions allowed).
    ///
    /// `row_at` gives the row of a frame. A character is drawn to its usual place with the weight
    /// of `spread` (standard deviation in characters), so that a network that cannot read yet learns
    /// from usual places, and one that reads corrects them. What counts is by how much a class is
    /// likelier than usual ([`CharLogits::prior`]), as in hybrid speech recognisers: frequent letters
    /// would take the frames of rare ones otherwise. Result: first frame, class of each.
    pub fn align(
        &self,
        classes: &[u8],
        prior: &[f32; CLASSES],
        (from, to): (f32, f32),
        row_at: impl Fn(usize) -> usize,
        spread: f32,
    ) -> Option<(usize, Vec<u8>)> {
        let first = from.max(0.0).floor() as usize;
        let last = (to.ceil() as usize).min(self.columns);
        if classes.is_empty() || last <= first || to - from < 1.0 {
            return None;
        }
        let extents = extents(classes);
        let (n, frames) = (classes.len(), last - first);
        let length = to - from;
        let mean = length / n as f32;
        // Cost of character j at a frame: how badly it reads there, and how far it is from home.
        let cost = |j: usize, t: usize| {
            let at = (first + t) as f32 + 0.5 - from;
            let (a, b) = (extents[j].0 * length, extents[j].1 * length);
            let away = (a - at).max(at - b).max(0.0) / (mean * spread);
            let read = self.frame(row_at(first + t), first + t)[classes[j] as usize];
            (read - prior[classes[j] as usize]).clamp(-3.0, 5.0) - 0.5 * away * away
        };
        // Each character stays, or is followed by the next, or (in a crowd) by the one after it.
        let mut score = vec![f32::NEG_INFINITY; n];
        let mut came: Vec<u8> = vec![0; n * frames];
        for (j, score) in score.iter_mut().enumerate().take(2) {
            *score = cost(j, 0) + SKIP * j as f32;
        }
        for t in 1..frames {
            for j in (0..n).rev() {
                let stay = score[j];
                let next = if j > 0 {
                    score[j - 1]
                } else {
                    f32::NEG_INFINITY
                };
                let jump = if j > 1 {
                    score[j - 2] + SKIP
                } else {
                    f32::NEG_INFINITY
                };
                let (step, best) = if stay >= next && stay >= jump {
                    (0, stay)
                } else if next >= jump {
                    (1, next)
                } else {
                    (2, jump)
                };
                came[t * n + j] = step;
                score[j] = best + cost(j, t);
            }
        }
        let mut j = n - 1;
        if n > 1 && score[n - 2] + SKIP > score[n - 1] {
            j = n - 2;
        }
        if score[j] == f32::NEG_INFINITY {
            // Fewer frames than half the characters: too small to be read.
            return None;
        }
        let mut out = vec![0u8; frames];
        for t in (0..frames).rev() {
            out[t] = classes[j];
            j -= came[t * n + j] as usize;
        }
        Some((first, out))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows of text, one frame a character, as a sure reader would have read them.
    pub(crate) fn read(rows: &[&str]) -> CharLogits {
        let columns = rows.iter().map(|r| r.chars().count()).max().unwrap_or(0);
        let mut values = Vec::new();
        for row in rows {
            let mut classes: Vec<u8> = row.chars().map(class_of).collect();
            classes.resize(columns, 0);
            for class in classes {
                let mut frame = [-9f32; CLASSES];
                frame[class as usize] = -0.01;
                values.extend(frame);
            }
        }
        CharLogits::new(values, rows.len(), columns)
    }

    #[test]
    fn texts_fold_to_classes() {
        assert_eq!(classes_of("  Tax  No."), classes_of("TAX no."));
        assert_eq!(class_of('é'), class_of('E'));
        assert_eq!(class_of('漢') as usize, CLASSES - 1);
        assert_eq!(class_of(' '), 0);
    }

    #[test]
    fn alignment_corrects_usual_places() {
        // "ill" is narrow and "WWW" wide by usual widths; here every character is two frames wide.
        let text = "ill www";
        let wide: String = text.chars().flat_map(|c| [c, c]).collect();
        let letters = read(&[&wide]);
        let classes = classes_of(text);
        let (first, frames) = letters
            .align(&classes, &letters.prior(), (0.0, 14.0), |_| 0, 2.0)
            .expect("an alignment");
        assert_eq!(first, 0);
        let expected: Vec<u8> = wide.chars().map(class_of).collect();
        assert_eq!(frames, expected);
        // A reader that knows nothing leaves the usual places.
        let blank = CharLogits::new(vec![-4.0; 14 * CLASSES], 1, 14);
        let (_, frames) = blank
            .align(&classes, &blank.prior(), (0.0, 14.0), |_| 0, 1.0)
            .expect("usual");
        assert_eq!(frames.iter().filter(|c| **c == class_of('w')).count(), 9);
    }

    #[test]
    fn a_line_too_short_for_its_text_has_no_alignment() {
        let blank = CharLogits::new(vec![-4.0; 3 * CLASSES], 1, 3);
        assert!(
            blank
                .align(
                    &classes_of("abcdefghij"),
                    &blank.prior(),
                    (0.0, 3.0),
                    |_| 0,
                    1.0
                )
                .is_none()
        );
    }
}
