//! A till: a page with a print line that moves down, and the habits of one shop.

use crate::canvas::{Color, mix};
use crate::dice::Dice;
use crate::money::Money;
use crate::page::Page;
use crate::text::{Pen, Printed};
use crate::words::say;

/// How letters are capitalized on the whole receipt.
#[derive(Clone, Copy)]
pub enum Case {
    Upper,
    Mixed,
}

/// A till: a page with a moving print line.
pub struct Till<'a> {
    pub page: Page,
    pub dice: &'a mut Dice,
    pub normal: Pen,
    pub bold: Pen,
    pub big: Pen,
    /// A person's handwriting.
    pub hand: Pen,
    pub y: f32,
    pub left: f32,
    pub right: f32,
    pub leading: f32,
    pub ink: Color,
    pub case: Case,
    pub money: Money,
    /// Where labels of sums begin and how amounts are written.
    pub sums: Sums,
}

#[derive(Clone, Copy)]
pub struct Sums {
    /// Share of the width where the label starts.
    pub start: f32,
    /// Labels end at a common right edge.
    pub flush: bool,
    pub colon: bool,
    pub signed: bool,
    /// Label and amount as one run of text.
    pub inline: bool,
    /// The sign of the currency in a column of its own.
    pub apart: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Font {
    Normal,
    Bold,
    Big,
}

impl Till<'_> {
    pub fn cased(&self, text: &str) -> String {
        match self.case {
            Case::Upper => text.to_uppercase(),
            Case::Mixed => text.to_string(),
        }
    }

    pub fn say(&mut self, key: &str) -> String {
        let country = self.money.country.clone();
        say(self.dice, &country, key)
    }

    /// Goes to the next print line of `font`.
    pub fn feed(&mut self, font: Font) {
        let size = match font {
            Font::Normal => self.normal.size,
            Font::Bold => self.bold.size,
            Font::Big => self.big.size,
        };
        self.y += (size * self.leading).round();
    }

    pub fn gap(&mut self, share: f32) {
        self.y += self.normal.size * share;
    }

    /// Prints within `x1..x2` on the current line, smaller type where it does not fit.
    pub fn put(&mut self, font: Font, span: (f32, f32, f32), text: &str) -> Option<Printed> {
        let text = self.cased(text);
        let room = span.1 - span.0 + 1.0;
        let pen = match font {
            Font::Normal => &mut self.normal,
            Font::Bold => &mut self.bold,
            Font::Big => &mut self.big,
        };
        let mut text = pen.spell(&text);
        // Names are cut off, as tills do; amounts at the right edge never.
        let amount = span.2 == 1.0 && text.ends_with(|c: char| !c.is_alphabetic());
        while !amount && pen.width(&text) > room && text.chars().count() > 3 {
            text.pop();
        }
        self.page
            .print_in(self.dice, pen, span, self.y, text.trim(), self.ink)
    }

    /// Prints `text` in as many lines as it needs.
    pub fn block(&mut self, font: Font, align: f32, text: &str) -> Vec<Printed> {
        let text = self.cased(text);
        let room = self.right - self.left;
        let mut lines: Vec<String> = Vec::new();
        for word in text.split(' ') {
            let pen = match font {
                Font::Normal => &self.normal,
                Font::Bold => &self.bold,
                Font::Big => &self.big,
            };
            match lines.last_mut() {
                Some(last) if pen.width(&format!("{last} {word}")) <= room => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_string()),
            }
        }
        let mut printed = Vec::new();
        for line in lines {
            self.feed(font);
            printed.extend(self.put(font, (self.left, self.right, align), &line));
        }
        printed
    }

    /// Label at the left, value at the right edge or close behind, on one line.
    pub fn sum(&mut self, font: Font, label: &str, cents: i64) -> Option<(Printed, Printed)> {
        let amount = if self.sums.signed {
            self.money.signed(cents)
        } else {
            self.money.bare(cents)
        };
        self.feed(font);
        let (sums, left, right) = (self.sums, self.left, self.right);
        let label = if sums.colon && !label.ends_with(':') {
            format!("{label} :")
        } else {
            label.to_string()
        };
        if sums.inline && font != Font::Big {
            let text = format!("{label} {amount}");
            let line = self.put(font, (left, right, 0.0), &text)?;
            let at = line.text.rfind(&amount)?;
            return Some((line.slice(0, at.max(1)), line.slice(at, line.text.len())));
        }
        let start = left + (right - left) * sums.start;
        let amount_width = match font {
            Font::Normal => self.normal.width(&amount),
            Font::Bold => self.bold.width(&amount),
            Font::Big => self.big.width(&amount),
        };
        let end = right - amount_width - self.normal.size * 0.6;
        let cut = if sums.flush || sums.apart {
            end.min(left + (right - left) * 0.68)
        } else {
            end
        };
        let span = if sums.flush {
            (start, cut, 1.0)
        } else {
            (start, cut, 0.0)
        };
        // A big font may need more room than its column has.
        let span = if font == Font::Big {
            (
                left,
                right - self.big.width(&amount) - self.big.size,
                span.2,
            )
        } else {
            span
        };
        let label = self.put(font, span, &label)?;
        let sign = self.money.before.trim().to_string();
        if sums.apart && font != Font::Big && !sign.is_empty() && amount.starts_with(&sign) {
            let number = amount[sign.len()..].trim().to_string();
            let middle = left + (right - left) * 0.72;
            self.put(font, (middle, right, 0.0), &sign);
            let amount = self.put(font, (middle, right, 1.0), &number)?;
            return Some((label, amount));
        }
        let amount = self.put(font, (label.rect.x2 + 4.0, right, 1.0), &amount)?;
        Some((label, amount))
    }

    /// A separating line, of characters or drawn; none on some receipts.
    pub fn rule(&mut self, style: usize) {
        self.gap(0.45);
        let (x1, x2, t) = (self.left, self.right, (self.normal.size * 0.07).max(1.0));
        let ink = mix(self.ink, self.page.paper, 0.15);
        match style {
            0 => self.page.canvas.rule(x1, x2, self.y, t, 0.0, ink),
            1 => self
                .page
                .canvas
                .rule(x1, x2, self.y, t, self.normal.size * 0.3, ink),
            2 => {
                self.page.canvas.rule(x1, x2, self.y, t, 0.0, ink);
                self.page.canvas.rule(x1, x2, self.y + 3.0 * t, t, 0.0, ink);
            }
            3..=5 => {
                let sign = ["-", "=", "*"][style - 3];
                let n = ((x2 - x1) / self.normal.width(sign).max(2.0)) as usize;
                let y = self.y + self.normal.size * 0.4;
                // Separators are print, but no text that anybody reads.
                let _ = self.normal.print(
                    self.dice,
                    &mut self.page.canvas,
                    (x1, y),
                    &sign.repeat(n),
                    ink,
                );
                self.gap(0.3);
            }
            _ => self.gap(0.25),
        }
        self.gap(0.25);
    }
}
