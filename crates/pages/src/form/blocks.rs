//! The blocks of a form: rows of fields, boxes, ledgers, grids.

use super::prose::wrapped;
use super::sheet::{Field, Sheet};
use crate::geometry::Rect;
use crate::words;

impl Sheet<'_> {
    /// Fields in `columns`, label and value on one line.
    pub fn lines(&mut self, rows: usize, columns: usize) {
        let width = (self.right - self.left) / columns as f32;
        let colon = [":", "", " :", ".", "#:"][self.dice.weighted(&[6.0, 2.0, 1.0, 0.3, 0.1])];
        let underline = self.dice.chance(0.45);
        let tab = self
            .dice
            .chance(0.5)
            .then(|| self.dice.real(0.25, 0.45) * width);
        for _ in 0..rows {
            self.y += self.row;
            for c in 0..columns {
                let x1 = self.left + c as f32 * width;
                let x2 = x1 + width - self.label.size * 0.8;
                let field = self.field();
                let text = format!("{}{colon}", field.label);
                let y = self.y;
                let Some(label) = self.name(x1, y, &text) else {
                    continue;
                };
                let start = label.rect.x2 + self.label.size * 0.4;
                let start = tab.map_or(start, |t| start.max(x1 + t));
                if underline {
                    self.rule(start, x2, y + self.label.size * 0.15);
                }
                if let Some(value) = self.fill(start, y, x2 - start, &field.value) {
                    self.ask(&field.label, &value);
                }
            }
        }
    }

    /// Labels in a row, the values on the line below them.
    pub fn stacks(&mut self, rows: usize, columns: usize) {
        let width = (self.right - self.left) / columns as f32;
        let underline = self.dice.chance(0.4);
        // Labels above what was filled in, or below it as under a signature.
        let above = self.dice.chance(0.75);
        for _ in 0..rows {
            self.y += self.row * 1.1;
            let low = self.y + self.value.size * self.dice.real(1.15, 1.5);
            for c in 0..columns {
                let x1 = self.left + c as f32 * width;
                let room = width - self.label.size;
                let field = self.field();
                let (label_y, value_y) = if above { (self.y, low) } else { (low, self.y) };
                let pen = if above {
                    &mut self.label
                } else {
                    &mut self.small
                };
                if pen.width(&field.label) > room {
                    continue;
                }
                self.page
                    .print(self.dice, pen, (x1, label_y), &field.label, self.ink);
                if underline || !above {
                    self.rule(x1, x1 + room, value_y + self.label.size * 0.18);
                }
                if let Some(value) = self.fill(x1, value_y, room, &field.value) {
                    self.ask(&field.label, &value);
                }
            }
            self.y = low;
        }
        self.y += self.row * 0.3;
    }

    /// A ruled table: heads above, one or several rows filled in below.
    pub fn grid(&mut self, rows: usize, columns: usize) {
        let t = (self.label.size * 0.06).max(1.0);
        self.y += self.row * 0.5;
        let (top, width) = (self.y, (self.right - self.left) / columns as f32);
        let height = self.row * 1.05;
        let fields: Vec<Field> = (0..columns).map(|_| self.field()).collect();
        let inset = self.label.size * 0.35;
        let base = |y: f32, size: f32| y + height * 0.5 + size * 0.35;
        let heads = fields.iter();
        let heads = heads.map(|field| wrapped(&self.small, &field.label, width - 2.0 * inset));
        let heads: Vec<Option<Vec<String>>> = heads.collect();
        let lines = heads.iter().flatten().map(Vec::len).max().unwrap_or(1);
        let pitch = self.small.size * 1.15;
        for (c, head) in heads.iter().enumerate() {
            let x = self.left + c as f32 * width + inset;
            for (i, line) in head.iter().flatten().enumerate() {
                let y = base(self.y, self.small.size) + i as f32 * pitch;
                self.page
                    .print(self.dice, &mut self.small, (x, y), line, self.ink);
            }
        }
        let head = height + (lines - 1) as f32 * pitch;
        self.y += head - height;
        for r in 0..rows {
            self.y += height;
            for (c, field) in fields.iter().enumerate() {
                let x1 = self.left + c as f32 * width + inset;
                let text = if r == 0 {
                    field.value.clone()
                } else {
                    self.another(&field.label)
                };
                let y = base(self.y, self.value.size);
                let value = self.fill(x1, y, width - 2.0 * inset, &text);
                // With several rows, or without its head, nobody could say which value is meant.
                if let Some(value) = value.filter(|_| rows == 1 && heads[c].is_some()) {
                    self.ask(&field.label, &value);
                }
            }
        }
        self.y += height;
        for r in 0..rows + 2 {
            let y = match r {
                0 => top,
                r => top + head + (r - 1) as f32 * height,
            };
            self.page
                .canvas
                .rule(self.left, self.right, y, t, 0.0, self.ink);
        }
        for c in 0..=columns {
            let x = self.left + c as f32 * width;
            self.page
                .canvas
                .fill(Rect::new(x, top, x + t, self.y), self.ink, 1.0);
        }
        self.y += self.row * 0.4;
    }

    /// Another value for the same label.
    fn another(&mut self, label: &str) -> String {
        let fields = words::options("f.field");
        let same = |f: &&&str| {
            f.split('=')
                .next()
                .is_some_and(|l| l.trim().eq_ignore_ascii_case(label))
        };
        let pattern = fields
            .iter()
            .find(same)
            .and_then(|f| f.split_once('='))
            .map_or("{Pseudo}", |f| f.1);
        words::expand(self.dice, &self.country, pattern)
    }

    /// A grid of boxes; the label is small in the upper left corner, the value below it.
    pub fn boxes(&mut self, rows: usize) {
        let t = (self.label.size * 0.07).max(1.0);
        let height = (self.small.size + self.value.size) * self.dice.real(1.35, 1.8);
        self.y += self.row * 0.5;
        let mut cuts: Vec<f32> = Vec::new();
        for r in 0..rows {
            if r == 0 || self.dice.chance(0.5) {
                let n = self.dice.int(1, 4);
                cuts = (1..n)
                    .map(|i| (i as f32 + self.dice.real(-0.25, 0.25)) / n as f32)
                    .collect();
            }
            let width = self.right - self.left;
            let mut edges = vec![self.left];
            edges.extend(cuts.iter().map(|c| self.left + c * width));
            edges.push(self.right);
            for pair in edges.windows(2) {
                let cell = Rect::new(pair[0], self.y, pair[1] + t, self.y + height + t);
                self.page.canvas.frame(cell, t, self.ink);
                let field = self.field();
                let inset = self.label.size * 0.3;
                let base = self.y + self.small.size * 1.05;
                let label = self.small.spell(&field.label);
                if self.small.width(&label) > cell.width() - 2.0 * inset {
                    continue;
                }
                self.page.print(
                    self.dice,
                    &mut self.small,
                    (cell.x1 + inset, base),
                    &label,
                    self.ink,
                );
                let base = self.y + height - self.value.size * 0.35;
                if let Some(value) = self.fill(
                    cell.x1 + inset * 2.0,
                    base,
                    cell.width() - inset * 3.0,
                    &field.value,
                ) {
                    self.ask(&field.label, &value);
                }
            }
            self.y += height;
        }
        self.y += self.row * 0.4;
    }

    /// Two columns, ruled: label left, value right.
    pub fn ledger(&mut self, rows: usize) {
        let t = (self.label.size * 0.06).max(1.0);
        let middle = self.left + (self.right - self.left) * self.dice.real(0.16, 0.5);
        let height = self.row * 1.05;
        self.y += self.row * 0.6;
        let top = self.y;
        let last = self.dice.chance(0.4);
        for _ in 0..rows {
            let field = self.field();
            let base = self.y + height * 0.72;
            let inset = self.label.size * 0.4;
            self.page
                .canvas
                .rule(self.left, self.right, self.y, t, 0.0, self.ink);
            let room = middle - self.left - 2.0 * inset;
            let label = wrapped(&self.label, &field.label, room).unwrap_or_default();
            let pitch = self.label.size * 1.15;
            for (i, line) in label.iter().enumerate() {
                let at = (self.left + inset, base + i as f32 * pitch);
                self.page
                    .print(self.dice, &mut self.label, at, line, self.ink);
            }
            // Beside the first line of the label, or beside its last one.
            let more = label.len().saturating_sub(1) as f32 * pitch;
            let low = if last { base + more } else { base };
            if !label.is_empty()
                && let Some(value) = self.fill(
                    middle + inset,
                    low,
                    self.right - middle - 2.0 * inset,
                    &field.value,
                )
            {
                self.ask(&field.label, &value);
            }
            self.y += height + more;
        }
        let bottom = self.y;
        self.page
            .canvas
            .rule(self.left, self.right, bottom, t, 0.0, self.ink);
        for x in [self.left, middle, self.right] {
            self.page
                .canvas
                .fill(Rect::new(x, top, x + t, bottom), self.ink, 1.0);
        }
        self.y += self.row * 0.4;
    }
}
