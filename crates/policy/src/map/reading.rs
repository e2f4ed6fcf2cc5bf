//! Learning to read: every printed line says which character each of its frames shows.
//!
//! Where in a line a character stands is not given. Each step the line's text is aligned with what
//! the network reads by now ([`CharLogits::align`]), as speech recognisers were trained: at first usual
//! glyph widths decide, later the network's own reading does.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mapnet::char_logits::{CLASSES, CharLogits, classes_of, extents};
use rayon::prelude::*;

use super::net::Features;
use super::targets::Targets;

pub use super::targets::Line;

/// Frames a character below which a line is too small to be read; it is left out.
const CROWDED: f32 = 0.6;

/// Rows above which a line is larger than the network sees at once; it is left out.
const HUGE: f32 = 9.0;

/// Frames without print that are learned: one of so many.
const EMPTY_EACH: usize = 5;

/// Weight of a frame without print that is learned, beside 1 for one with print.
const EMPTY_WEIGHT: f32 = 0.3;

/// Standard deviation of a character's place about its usual one, in characters.
const SPREAD: f32 = 1.0;

/// What a frame is to learn.
#[derive(Clone, Copy, PartialEq)]
enum Label {
    /// Nothing is printed here.
    Empty,
    /// Not known: inside a line, off its middle.
    Unknown,
    /// This class.
    Class(u8),
}

/// Labels of a canvas, frame by frame.
struct Labels {
    rows: usize,
    columns: usize,
    values: Vec<Label>,
}

impl Labels {
    fn new(letters: &CharLogits) -> Self {
        Self {
            rows: letters.rows,
            columns: letters.columns,
            values: vec![Label::Empty; letters.rows * letters.columns],
        }
    }

    /// What the frames of a canvas are to learn from its lines.
    fn of<'a>(lines: impl Iterator<Item = &'a Line> + Clone, letters: &CharLogits) -> Self {
        let mut labels = Self::new(letters);
        lines.clone().for_each(|line| labels.cover(line));
        let prior = letters.prior();
        lines.for_each(|line| labels.write(line, letters, &prior));
        labels
    }

    /// Nothing is known of the line's area until [`Labels::write`].
    fn cover(&mut self, line: &Line) {
        let place = Place::of(line, self.rows, self.columns);
        let half = place.height / 2.0;
        for column in place.columns(self.columns) {
            let y = place.y(column);
            let first = (y - half).floor().max(0.0) as usize;
            let last = (y + half).ceil().max(0.0) as usize;
            for row in first..last.min(self.rows) {
                self.values[row * self.columns + column] = Label::Unknown;
            }
        }
    }

    /// Writes a line's characters along its middle.
    fn write(&mut self, line: &Line, letters: &CharLogits, prior: &[f32; CLASSES]) {
        let place = Place::of(line, self.rows, self.columns);
        let rows = self.rows as f32;
        let inside = |y: f32| (0.0..rows).contains(&y);
        if place.height > HUGE || !inside(place.from[1]) || !inside(place.to[1]) {
            return;
        }
        let Some((classes, ends)) = place.cut(classes_of(&line.text), self.columns) else {
            return;
        };
        if (ends.1 - ends.0) < CROWDED * classes.len() as f32 {
            return;
        }
        let row_at = |column: usize| (place.y(column).max(0.0) as usize).min(self.rows - 1);
        let Some((first, found)) = letters.align(&classes, prior, ends, row_at, SPREAD) else {
            return;
        };
        for (i, class) in found.into_iter().enumerate() {
            let column = first + i;
            let y = place.y(column);
            let row = row_at(column);
            self.values[row * self.columns + column] = Label::Class(class);
            // A middle close to the next row is read in both.
            let part = y - row as f32;
            let next = match part {
                p if p > 0.75 && row + 1 < self.rows => row + 1,
                p if p < 0.25 && row > 0 => row - 1,
                _ => continue,
            };
            self.values[next * self.columns + column] = Label::Class(class);
        }
    }
}

/// A line in frames and rows.
struct Place {
    from: [f32; 2],
    to: [f32; 2],
    height: f32,
}

impl Place {
    fn of(line: &Line, rows: usize, columns: usize) -> Self {
        let at = |[x, y]: [f32; 2]| [x / 100.0 * columns as f32, y / 100.0 * rows as f32];
        Self {
            from: at(line.from),
            to: at(line.to),
            height: line.height / 100.0 * rows as f32,
        }
    }

    fn y(&self, column: usize) -> f32 {
        let width = (self.to[0] - self.from[0]).max(1e-3);
        let share = ((column as f32 + 0.5 - self.from[0]) / width).clamp(0.0, 1.0);
        self.from[1] + (self.to[1] - self.from[1]) * share
    }

    fn columns(&self, columns: usize) -> std::ops::Range<usize> {
        let first = self.from[0].max(0.0).floor() as usize;
        let last = self.to[0].max(0.0).ceil() as usize;
        first.min(columns)..last.min(columns)
    }

    /// The characters that lie on the canvas, by usual widths, and their ends in frames.
    fn cut(&self, classes: Vec<u8>, columns: usize) -> Option<(Vec<u8>, (f32, f32))> {
        let (from, to) = (self.from[0], self.to[0]);
        if from >= 0.0 && to <= columns as f32 {
            return Some((classes, (from, to)));
        }
        let width = to - from;
        let kept: Vec<(u8, f32, f32)> = extents(&classes)
            .into_iter()
            .zip(classes)
            .map(|((a, b), class)| (class, from + a * width, from + b * width))
            .filter(|(_, a, b)| *a >= 0.0 && *b <= columns as f32)
            .collect();
        let ends = (kept.first()?.1, kept.last()?.2);
        Some((kept.into_iter().map(|(class, ..)| class).collect(), ends))
    }
}

/// Weighted cross-entropy of the characters of all lines, `[1]`.
pub fn reading(
    encoded: &Features,
    letters: &[CharLogits],
    targets: &Targets,
    device: &Device,
) -> Tensor<1> {
    let [b, rows, columns, _] = encoded.characters.dims();
    let (mut index, mut wanted, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let labels: Vec<Labels> = letters
        .par_iter()
        .enumerate()
        .map(|(canvas, read)| {
            let lines = targets.lines.iter().filter(|l| l.canvas == canvas);
            Labels::of(lines, read)
        })
        .collect();
    for (canvas, labels) in labels.iter().enumerate() {
        for (i, label) in labels.values.iter().enumerate() {
            let (class, weight) = match label {
                Label::Class(class) => (*class, if *class == 0 { EMPTY_WEIGHT } else { 1.0 }),
                Label::Empty if (i + canvas) % EMPTY_EACH == 0 => (0, EMPTY_WEIGHT),
                _ => continue,
            };
            index.push((canvas * rows * columns + i) as i32);
            wanted.push(i32::from(class));
            weights.push(weight);
        }
    }
    let n = index.len();
    if n == 0 {
        return Tensor::zeros([1], device);
    }
    let total: f32 = weights.iter().sum();
    let ints = |values: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(values, [n]), device);
    let frames = encoded
        .characters
        .clone()
        .reshape([b * rows * columns, CLASSES]);
    let logs = log_softmax(frames.select(0, ints(index)), 1); // [N, K]
    let own = logs.gather(1, ints(wanted).reshape([n, 1])); // [N, 1]
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [n, 1]), device);
    -(own * weights).sum().div_scalar(f64::from(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(rows: usize, columns: usize) -> CharLogits {
        CharLogits::new(vec![-4.0; rows * columns * CLASSES], rows, columns)
    }

    fn line(from: [f32; 2], to: [f32; 2]) -> Line {
        Line {
            canvas: 0,
            text: "abcd".into(),
            from,
            to,
            height: 20.0,
        }
    }

    fn shown(labels: &Labels, row: usize) -> String {
        let row = &labels.values[row * labels.columns..(row + 1) * labels.columns];
        let one = |label: &Label| match label {
            Label::Empty => '.',
            Label::Unknown => '?',
            Label::Class(class) => char::from(b'a' + class - 1),
        };
        row.iter().map(one).collect()
    }

    #[test]
    fn a_line_is_written_along_its_middle() {
        let letters = blank(10, 10);
        let mut labels = Labels::new(&letters);
        let line = line([10.0, 45.0], [90.0, 45.0]);
        labels.cover(&line);
        labels.write(&line, &letters, &letters.prior());
        assert_eq!(shown(&labels, 4), ".aabbccdd.");
        assert_eq!(shown(&labels, 3), ".????????.");
        assert_eq!(shown(&labels, 2), "..........");
    }

    #[test]
    fn a_leaning_line_changes_rows_and_a_cut_one_loses_characters() {
        let letters = blank(10, 8);
        let mut labels = Labels::new(&letters);
        labels.write(
            &line([0.0, 45.0], [100.0, 55.0]),
            &letters,
            &letters.prior(),
        );
        assert!(shown(&labels, 4).starts_with("aabb"));
        assert!(shown(&labels, 5).ends_with("ccdd"));
        let mut labels = Labels::new(&letters);
        labels.write(
            &line([-100.0, 45.0], [100.0, 45.0]),
            &letters,
            &letters.prior(),
        );
        assert_eq!(shown(&labels, 4), "ccccdddd");
    }
}
