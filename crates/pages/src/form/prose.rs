//! Running text of forms and memos, and fields whose value takes several lines.

use super::sheet::Sheet;
use crate::geometry::Rect;
use crate::text::{Pen, Printed};

/// `text` broken into lines that fit: the first into `first` pixels, the others into `room`.
fn broken(pen: &Pen, text: &str, first: f32, room: f32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let width = if lines.len() == 1 { first } else { room };
        let Some(line) = lines.last_mut() else { break };
        let longer = if line.is_empty() {
            word.to_string()
        } else {
            format!("{line} {word}")
        };
        if pen.width(&longer) > width && !line.is_empty() {
            lines.push(word.to_string());
        } else {
            *line = longer;
        }
    }
    lines
}

/// A label on as many lines as it takes in `room` pixels; `None` where it takes more than three, or a word is too long.
pub fn wrapped(pen: &Pen, label: &str, room: f32) -> Option<Vec<String>> {
    let lines = broken(pen, &pen.spell(label), room, room);
    let fits = lines.len() <= 3 && lines.iter().all(|line| pen.width(line) <= room);
    fits.then_some(lines)
}

impl Sheet<'_> {
    /// Prints a label, underlined where the form's labels are.
    pub fn name(&mut self, x: f32, base: f32, text: &str) -> Option<Printed> {
        let printed = self
            .page
            .print(self.dice, &mut self.label, (x, base), text, self.ink)?;
        if self.under {
            let t = (self.label.size * 0.06).max(1.0);
            // Typewriters underline close enough to cut through descenders.
            let y = base + self.label.size * self.dice.real(0.04, 0.16);
            let r = printed.rect;
            self.page.canvas.rule(r.x1, r.x2, y, t, 0.0, self.ink);
        }
        Some(printed)
    }

    /// Running text.
    pub fn prose(&mut self, sentences: usize) {
        self.y += self.row * 0.5;
        let text: Vec<String> = (0..sentences).map(|_| self.say("f.sentence")).collect();
        let room = self.right - self.left;
        let typed = self.dice.chance(0.5);
        let pen = if typed {
            &mut self.value
        } else {
            &mut self.label
        };
        for line in broken(pen, &pen.spell(&text.join(" ")), room, room) {
            self.y += pen.line_height() * 1.05;
            let at = (self.left, self.y);
            self.page.print(self.dice, pen, at, &line, self.ink);
        }
        self.y += self.row * 0.3;
    }

    /// Labels with values of one to four lines: beside the label, in a column, or below it; now and
    /// then on ruled lines.
    pub fn paragraphs(&mut self, count: usize) {
        let wide = self.right - self.left;
        // Where values begin: behind their label, in a column of their own, or under the label.
        let kind = self.dice.weighted(&[1.0, 1.6, 1.0]);
        let column = self.left + wide * self.dice.real(0.16, 0.34);
        let ruled = self.dice.chance(0.3);
        let gap = self.dice.real(1.0, 1.5);
        for _ in 0..count {
            self.y += self.row * self.dice.real(0.9, 1.4);
            let field = self.field();
            let text = if self.dice.chance(0.5) {
                let n = self.dice.int(1, 3);
                let said: Vec<String> = (0..n).map(|_| self.say("f.sentence")).collect();
                said.join(" ")
            } else {
                field.value
            };
            let label = format!("{}:", field.label);
            let (left, y) = (self.left, self.y);
            let Some(printed) = self.name(left, y, &label) else {
                continue;
            };
            let behind = printed.rect.x2 + self.label.size;
            let (first, rest) = match kind {
                0 => (behind, left),
                1 => (column.max(behind), column.max(behind)),
                _ => (left, left),
            };
            if kind == 2 {
                self.y += self.value.line_height() * gap;
            }
            self.several(first, rest, gap, ruled, &field.label, &text);
        }
        self.y += self.row * 0.4;
    }

    /// Prints a value on as many lines as it takes, and asks about it as a whole.
    fn several(&mut self, first: f32, rest: f32, gap: f32, ruled: bool, label: &str, text: &str) {
        let text = self.value.spell(text);
        let lines = broken(&self.value, &text, self.right - first, self.right - rest);
        let mut said = Vec::new();
        let mut all: Option<Rect> = None;
        for (i, line) in lines.iter().take(4).enumerate() {
            let x = if i == 0 { first } else { rest };
            if i > 0 {
                self.y += self.value.line_height() * gap;
            }
            let y = self.y;
            if ruled {
                let low = y + self.value.size * self.dice.real(0.04, 0.2);
                self.rule(x, self.right, low);
            }
            let pen = &mut self.value;
            if let Some(p) = self.page.print(self.dice, pen, (x, y), line, self.pen_ink) {
                all = Some(all.map_or(p.rect, |r| r.union(p.rect)));
                said.push(p.text);
            }
        }
        if let Some(rect) = all {
            self.ask_at(label, &said.join(" "), rect);
        }
    }
}
