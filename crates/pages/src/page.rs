//! One page while it is made: its picture, every printed line, and what can be asked about it.

use std::collections::{BTreeMap, HashSet};

use super::canvas::{Canvas, Color};
use super::dice::Dice;
use super::fonts::Fonts;
use super::geometry::Rect;
use super::text::{Pen, Printed};
use super::words;

/// What every page maker gets.
pub struct Studio<'a> {
    /// The fonts that there are.
    pub fonts: &'a Fonts,
    /// The page's dice.
    pub dice: &'a mut Dice,
}

/// A question about a page, with its answer and where that is printed.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Kind of question, as in the data format.
    pub kind: &'static str,
    /// The question.
    pub question: String,
    /// Answers, the one as printed first.
    pub answers: Vec<String>,
    /// Boxes in page pixels: alternatives, or the lines of a `company` or an `address`.
    pub rects: Vec<Rect>,
}

/// What kind of picture a page becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// A sheet of paper: scanned, photographed, or as it was printed.
    Sheet,
    /// A sheet out of an archive: copied or faxed, then scanned small, in black and white.
    Archive,
    /// A picture out of a document or off a screen.
    Screen,
    /// A screen: as it is, or photographed.
    Display,
    /// A photo already, with its own perspective.
    Street,
}

/// A drawn page in its own flat pixels.
pub struct Page {
    /// The picture.
    pub canvas: Canvas,
    /// Every printed line.
    pub lines: Vec<Printed>,
    /// What can be asked.
    pub asks: Vec<Ask>,
    /// Colour of the paper around the print.
    pub paper: Color,
    /// How it may be shown.
    pub view: View,
}

impl Page {
    /// An empty sheet.
    pub fn new(w: usize, h: usize, paper: Color) -> Self {
        Self {
            canvas: Canvas::new(w, h, paper),
            lines: Vec::new(),
            asks: Vec::new(),
            paper,
            view: View::Sheet,
        }
    }

    /// Prints a line and notes it.
    pub fn print(
        &mut self,
        dice: &mut Dice,
        pen: &mut Pen,
        at: (f32, f32),
        text: &str,
        color: Color,
    ) -> Option<Printed> {
        let printed = pen.print(dice, &mut self.canvas, at, text, color)?;
        self.lines.push(printed.clone());
        Some(printed)
    }

    /// Prints a line whose place is `align` (0 left, 0.5 centre, 1 right) of `x1..x2`.
    pub fn print_in(
        &mut self,
        dice: &mut Dice,
        pen: &mut Pen,
        (x1, x2, align): (f32, f32, f32),
        base: f32,
        text: &str,
        color: Color,
    ) -> Option<Printed> {
        let x = x1 + (x2 - x1 - pen.width(&pen.spell(text))) * align;
        self.print(dice, pen, (x, base), text, color)
    }

    /// Adds a question of `kind` in one of its wordings; `key` is the quoted text.
    pub fn ask(
        &mut self,
        dice: &mut Dice,
        kind: &'static str,
        list: &str,
        key: &str,
        answer: &str,
        rects: Vec<Rect>,
    ) {
        let question = words::say(dice, "", list).replace('=', key);
        self.ask_as(kind, question, vec![answer.to_string()], rects);
    }

    /// Adds a question as it stands.
    pub fn ask_as(
        &mut self,
        kind: &'static str,
        question: String,
        answers: Vec<String>,
        rects: Vec<Rect>,
    ) {
        if question.is_empty()
            || rects.is_empty()
            || answers.first().is_none_or(|a| a.trim().is_empty())
        {
            return;
        }
        self.asks.push(Ask {
            kind,
            question,
            answers,
            rects,
        });
    }

    /// Whether `key` is printed once only: as a whole line, and not as whole words of another.
    pub fn is_unique(&self, key: &str) -> bool {
        let key = plain(key);
        self.lines
            .iter()
            .filter(|l| holds(&plain(&l.text), &key))
            .count()
            == 1
    }

    /// Keeps the rows `y1..y2` only; lines that are cut and questions about them go.
    pub fn keep_rows(&mut self, y1: usize, y2: usize) {
        let (top, low) = (y1 as f32, y2 as f32);
        self.canvas.keep_rows(y1, y2);
        let kept = |r: &Rect| r.y1 >= top && r.y2 <= low;
        self.asks.retain(|a| a.rects.iter().all(kept));
        self.lines.retain(|l| kept(&l.rect));
        self.map_rects(|r| Rect {
            y1: r.y1 - top,
            y2: r.y2 - top,
            ..r
        });
    }

    /// Moves every box.
    pub fn map_rects(&mut self, mut f: impl FnMut(Rect) -> Rect) {
        for line in &mut self.lines {
            line.rect = f(line.rect);
        }
        for rect in self.asks.iter_mut().flat_map(|a| &mut a.rects) {
            *rect = f(*rect);
        }
    }

    /// Adds questions about neighbours: what stands to the right of, below, above a quoted line.
    pub fn ask_neighbours(&mut self, dice: &mut Dice, most: usize) {
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        dice.shuffle(&mut order);
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for i in order {
            let line = &self.lines[i];
            let key = line.text.trim().to_string();
            let sized = (2..=42).contains(&key.chars().count());
            if !sized || !key.chars().any(char::is_alphanumeric) || !self.is_unique(&key) {
                continue;
            }
            let key = key.trim_end_matches([':', ' ', '.']).to_string();
            let found = [
                ("right_of", "q.right_of", self.right_of(i)),
                ("below", "q.below", self.below(i)),
                ("above", "q.above", self.above(i)),
                ("left_of", "q.left_of", self.left_of(i)),
            ];
            for (kind, list, other) in found {
                let limit = if matches!(kind, "above" | "left_of") {
                    most / 3
                } else {
                    most
                };
                let Some(other) = other else { continue };
                let used = left.entry(kind).or_default();
                let answer = self.lines[other].text.trim().to_string();
                if *used < limit && answer.chars().any(char::is_alphanumeric) && !key.is_empty() {
                    *used += 1;
                    let rect = self.lines[other].rect;
                    self.ask(dice, kind, list, &key, &answer, vec![rect]);
                }
            }
            let used = left.entry("where").or_default();
            if *used < most.div_ceil(4) && dice.chance(0.2) {
                *used += 1;
                let rect = self.lines[i].rect;
                self.ask(dice, "where", "q.where", &key, &key, vec![rect]);
            }
        }
    }

    fn same_row(a: Rect, b: Rect) -> bool {
        a.overlap_y(b) > 0.55 * a.height().min(b.height())
            && a.overlap_y(b) > 0.4 * a.height().max(b.height())
    }

    /// The next line in the same row to the right.
    fn right_of(&self, i: usize) -> Option<usize> {
        let a = self.lines[i].rect;
        let right = |j: &usize| *j != i && self.lines[*j].rect.x1 >= a.x2 - 2.0;
        let next = (0..self.lines.len())
            .filter(right)
            .filter(|&j| self.lines[j].rect.overlap_y(a) > 0.0)
            .min_by(|&j, &k| self.lines[j].rect.x1.total_cmp(&self.lines[k].rect.x1))?;
        Self::same_row(a, self.lines[next].rect).then_some(next)
    }

    fn left_of(&self, i: usize) -> Option<usize> {
        let found: Vec<usize> = (0..self.lines.len())
            .filter(|&j| self.right_of(j) == Some(i))
            .collect();
        (found.len() == 1).then(|| found[0])
    }

    /// The line directly below: the only one of the next row that this line's extent touches.
    fn below(&self, i: usize) -> Option<usize> {
        let a = self.lines[i].rect;
        let under = |&j: &usize| {
            let r = self.lines[j].rect;
            j != i && r.overlap_x(a) > 0.0 && r.center().1 > a.y2 - 1.0
        };
        let found: Vec<usize> = (0..self.lines.len()).filter(under).collect();
        let top = |&j: &usize| self.lines[j].rect.y1;
        let first = *found.iter().min_by(|j, k| top(j).total_cmp(&top(k)))?;
        let r = self.lines[first].rect;
        let rival = found
            .iter()
            .any(|&j| j != first && self.lines[j].rect.overlap_y(r) > 0.2 * r.height());
        let near = r.y1 - a.y2 < 1.2 * a.height().min(r.height());
        (near && !rival && r.overlap_x(a) > 0.3 * a.width().min(r.width())).then_some(first)
    }

    fn above(&self, i: usize) -> Option<usize> {
        let found: Vec<usize> = (0..self.lines.len())
            .filter(|&j| self.below(j) == Some(i))
            .collect();
        (found.len() == 1).then(|| found[0])
    }

    /// Chooses at most `most` questions: kinds by weight, a kind's next question less likely
    /// than its last, no wording twice; then some are put as people in a hurry put them.
    pub fn choose_asks(&mut self, dice: &mut Dice, most: usize) {
        let mut asks = std::mem::take(&mut self.asks);
        // What a question quotes must be printed once, or nobody knows which one is meant.
        let quotes = |q: &str| {
            q.split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_string)
                .collect::<Vec<_>>()
        };
        asks.retain(|a| quotes(&a.question).iter().all(|key| self.is_unique(key)));
        dice.shuffle(&mut asks);
        let mut by_kind: BTreeMap<&str, (f32, Vec<Ask>)> = BTreeMap::new();
        for ask in asks {
            by_kind
                .entry(ask.kind)
                .or_insert_with(|| (weight(ask.kind), Vec::new()))
                .1
                .push(ask);
        }
        let mut asked = HashSet::new();
        while self.asks.len() < most {
            by_kind.retain(|_, (_, asks)| !asks.is_empty());
            let weights: Vec<f32> = by_kind.values().map(|k| k.0).collect();
            if weights.is_empty() {
                break;
            }
            let Some((weight, asks)) = by_kind.values_mut().nth(dice.weighted(&weights)) else {
                break;
            };
            // What is wanted most may be asked several times.
            *weight *= if *weight > 2.0 { 0.8 } else { 0.55 };
            if let Some(ask) = asks.pop()
                && asked.insert(ask.question.to_lowercase())
            {
                self.asks.push(ask);
            }
        }
        for ask in &mut self.asks {
            ask.question = casual(dice, &ask.question);
        }
    }
}

/// How much a kind of question is wanted: what people ask counts for more than what is easy to make.
fn weight(kind: &str) -> f32 {
    match kind {
        "total" | "form_value" | "chart_value" | "plate" => 4.0,
        "chart_series" | "cell" | "date" | "company" | "address" => 2.0,
        "right_of" | "below" | "item_price" | "tax" | "subtotal" | "tip" | "time" | "tel" => 1.5,
        "above" | "left_of" | "where" | "item_qty" | "rounding" | "count" | "fax" => 0.4,
        _ => 1.0,
    }
}

/// The same question as it may be typed: lower case, without quotation marks or question mark.
fn casual(dice: &mut Dice, question: &str) -> String {
    let mut text = question.to_string();
    if dice.chance(0.1) {
        text = text.to_lowercase();
    }
    if text.len() > 12 && dice.chance(0.1) {
        text = text.replace('"', "");
    } else if dice.chance(0.04) {
        text = text.replace('"', "'");
    }
    if dice.chance(0.07) {
        text = text.trim_end_matches('?').to_string();
    }
    text
}

/// Letters and digits in lower case, one space between words.
fn plain(text: &str) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether `text` has `key` as whole words.
fn holds(text: &str, key: &str) -> bool {
    !key.is_empty() && format!(" {text} ").contains(&format!(" {key} "))
}
