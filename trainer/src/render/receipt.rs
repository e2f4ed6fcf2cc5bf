//! Receipts: header, numbers and dates, goods, sums, payment, footer, in many layouts.

use anyhow::Result;

use super::canvas::{Color, mix};
use super::dice::Dice;
use super::fonts::Style;
use super::geometry::Rect;
use super::marks;
use super::money::Money;
use super::page::{Page, Studio};
use super::text::{Pen, Printed};
use super::words::{self, say};

/// How letters are capitalized on the whole receipt.
#[derive(Clone, Copy)]
enum Case {
    Upper,
    Mixed,
}

/// A till: a page with a moving print line.
struct Till<'a> {
    page: Page,
    dice: &'a mut Dice,
    normal: Pen,
    bold: Pen,
    big: Pen,
    y: f32,
    left: f32,
    right: f32,
    leading: f32,
    ink: Color,
    case: Case,
    money: Money,
    /// Where labels of sums begin and how amounts are written.
    sums: Sums,
}

#[derive(Clone, Copy)]
struct Sums {
    /// Share of the width where the label starts.
    start: f32,
    /// Labels end at a common right edge.
    flush: bool,
    colon: bool,
    signed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Font {
    Normal,
    Bold,
    Big,
}

impl Till<'_> {
    fn cased(&self, text: &str) -> String {
        match self.case {
            Case::Upper => text.to_uppercase(),
            Case::Mixed => text.to_string(),
        }
    }

    fn say(&mut self, key: &str) -> String {
        let country = self.money.country.clone();
        say(self.dice, &country, key)
    }

    /// Goes to the next print line of `font`.
    fn feed(&mut self, font: Font) {
        let size = match font {
            Font::Normal => self.normal.size,
            Font::Bold => self.bold.size,
            Font::Big => self.big.size,
        };
        self.y += (size * self.leading).round();
    }

    fn gap(&mut self, share: f32) {
        self.y += self.normal.size * share;
    }

    /// Prints within `x1..x2` on the current line, smaller type where it does not fit.
    fn put(&mut self, font: Font, span: (f32, f32, f32), text: &str) -> Option<Printed> {
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
    fn block(&mut self, font: Font, align: f32, text: &str) -> Vec<Printed> {
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
    fn sum(&mut self, font: Font, label: &str, cents: i64) -> Option<(Printed, Printed)> {
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
        let start = left + (right - left) * sums.start;
        let cut = left + (right - left) * 0.68;
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
        let amount = self.put(font, (label.rect.x2 + 4.0, right, 1.0), &amount)?;
        Some((label, amount))
    }

    /// A separating line, of characters or drawn; none on some receipts.
    fn rule(&mut self, style: usize) {
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

struct Item {
    name: String,
    qty: i64,
    price: i64,
}

/// Draws one receipt and everything that can be asked about it.
pub fn make(studio: &mut Studio<'_>) -> Result<Page> {
    let Studio { fonts, dice } = studio;
    let money = Money::new(dice);
    let width = dice.int(380, 900) as f32;
    let style = [Style::Mono, Style::Sans, Style::Serif, Style::Display]
        [dice.weighted(&[0.6, 0.32, 0.04, 0.04])];
    let dark = dice.chance(0.15);
    let face = fonts.pick(dice, style, dark);
    let heavy = fonts.sister(face, true);
    let columns = dice.real(26.0, 46.0);
    let margin = width * dice.real(0.03, 0.12);
    let stretch = if style == Style::Mono {
        dice.real(0.72, 1.05)
    } else {
        dice.real(0.85, 1.1)
    };
    let mut normal = Pen::new(fonts, face, 20.0, stretch)?;
    // Size that puts `columns` letters on a line.
    let size =
        (20.0 * (width - 2.0 * margin) / columns / (normal.width("0123456789abcdefghij") / 20.0))
            .clamp(13.0, 34.0);
    normal = Pen::new(fonts, face, size, stretch)?;
    let mut bold = Pen::new(fonts, heavy, size, stretch)?;
    let head = [Style::Sans, Style::Display, Style::Serif, Style::Hand]
        [dice.weighted(&[2.0, 3.0, 1.5, 0.7])];
    let big_face = if dice.chance(0.3) {
        fonts.pick(dice, head, true)
    } else {
        heavy
    };
    let mut big = Pen::new(
        fonts,
        big_face,
        size * dice.real(1.15, 2.0),
        stretch * dice.real(0.8, 1.1),
    )?;
    let wear = if dice.chance(0.3) {
        dice.real(0.1, 1.0)
    } else {
        0.0
    };
    (normal.wear, bold.wear, big.wear) = (wear, wear, wear * 0.7);
    let paper = [
        [255, 255, 255],
        [250, 250, 247],
        [246, 244, 236],
        [240, 240, 238],
        [252, 246, 226],
        [236, 240, 246],
    ][dice.weighted(&[4.0, 3.0, 2.0, 2.0, 0.6, 0.4])];
    let ink = [
        [20, 20, 22],
        [55, 55, 60],
        [85, 85, 92],
        [40, 45, 120],
        [75, 50, 110],
    ][dice.weighted(&[5.0, 3.0, 1.0, 0.8, 0.3])];
    let sums = Sums {
        start: [0.0, 0.15, 0.3, 0.4][dice.weighted(&[6.0, 1.0, 1.5, 1.0])],
        flush: dice.chance(0.2),
        colon: dice.chance(0.3),
        signed: dice.chance(0.6),
    };
    let mut page = Page::new(width as usize, 3600, paper);
    page.paper = paper;
    let case = if dice.chance(0.45) {
        Case::Upper
    } else {
        Case::Mixed
    };
    let mut till = Till {
        page,
        normal,
        bold,
        big,
        y: size * 0.5,
        left: margin,
        right: width - margin,
        leading: dice.real(1.2, 1.65),
        ink,
        case,
        money,
        sums,
        dice,
    };
    let rule = till.dice.weighted(&[1.5, 1.5, 0.6, 3.0, 1.0, 0.6, 1.0]);
    till.y += till.dice.real(0.5, 4.0) * size;
    header(&mut till);
    till.rule(rule);
    details(&mut till, true);
    till.rule(rule);
    let total = goods(&mut till, rule);
    till.rule(rule);
    sums_and_payment(&mut till, total, rule);
    if till.dice.chance(0.35) {
        till.rule(rule);
        details(&mut till, false);
    }
    footer(&mut till);
    till.y += till.dice.real(1.0, 5.0) * size;
    let mut page = till.page;
    let bottom = (till.y as usize).min(page.canvas.h);
    page.canvas.keep_rows(0, bottom);
    Ok(page)
}

fn rects(lines: &[Printed]) -> Vec<Rect> {
    lines.iter().map(|l| l.rect).collect()
}

fn joined(lines: &[Printed]) -> String {
    lines
        .iter()
        .map(|l| l.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

fn header(till: &mut Till<'_>) {
    let align = if till.dice.chance(0.85) { 0.5 } else { 0.0 };
    if till.dice.chance(0.25) {
        let size = till.normal.size * till.dice.real(2.5, 5.0);
        let x = till.left + (till.right - till.left) * till.dice.real(0.35, 0.65);
        marks::logo(
            till.dice,
            &mut till.page.canvas,
            (x, till.y + size * 0.5),
            size,
            till.ink,
        );
        till.y += size * 1.15;
    }
    let company = till.say("company");
    let font = [Font::Big, Font::Normal, Font::Bold][till.dice.weighted(&[3.0, 1.5, 1.5])];
    let lines = till.block(font, align, &company);
    let answer = joined(&lines);
    till.page.ask(
        till.dice,
        "company",
        "q.company",
        "",
        &answer,
        rects(&lines),
    );
    if till.dice.chance(0.4) {
        let label = if till.dice.chance(0.5) {
            till.say("l.regno") + ": "
        } else {
            String::new()
        };
        let value = till.say("regno");
        till.block(Font::Normal, align, &(label + &value));
    }
    let address = till.say("address");
    let mut lines = Vec::new();
    for part in address.split(" / ") {
        lines.extend(till.block(Font::Normal, align, part));
    }
    let answer = joined(&lines);
    till.page.ask(
        till.dice,
        "address",
        "q.address",
        "",
        &answer,
        rects(&lines),
    );
    let mut extra: Vec<(&str, &str, &'static str, &str)> = vec![
        ("l.tel", "phone", "tel", "q.tel"),
        ("l.fax", "phone", "fax", "q.fax"),
        ("l.taxid", "taxid", "tax_id", "q.taxid"),
    ];
    let keep = [0.85, 0.25, 0.55];
    if till.dice.chance(0.3) {
        extra.swap(0, 2);
    }
    let joint = ["", ": ", " : ", " ", ". "][till.dice.weighted(&[0.0, 4.0, 1.5, 2.0, 0.5])];
    for (label, value, kind, list) in extra {
        let p = keep[["tel", "fax", "tax_id"]
            .iter()
            .position(|k| *k == kind)
            .unwrap_or(0)];
        if !till.dice.chance(p) {
            continue;
        }
        let label = till.say(label);
        let value = till.say(value);
        let bare = kind == "tel" && till.dice.chance(0.2);
        let text = if bare {
            value.clone()
        } else {
            format!("{}{joint}{value}", label.trim_end_matches(" :"))
        };
        let printed = till.block(Font::Normal, align, &text);
        if let [line] = printed.as_slice() {
            let value = till.cased(&value);
            let rect = line.part(&value);
            till.page.ask(till.dice, kind, list, "", &value, vec![rect]);
        }
    }
    if till.dice.chance(0.3) {
        let site = format!("www.{}.com", words::pseudo(till.dice));
        till.block(Font::Normal, align, &site);
    }
    if till.dice.chance(0.6) {
        till.gap(0.4);
        let font = if till.dice.chance(0.3) {
            Font::Bold
        } else {
            Font::Normal
        };
        let title = till.say("title");
        till.block(font, 0.5, &title);
    }
}

/// Pairs of a label and a value: number, date, time, cashier and the like.
fn details(till: &mut Till<'_>, first: bool) {
    let date = words::day(till.dice);
    let (h, m, s) = (
        till.dice.int(7, 22),
        till.dice.int(0, 59),
        till.dice.int(0, 59),
    );
    let (date, time) = (till.money.date(date), till.money.time(h, m, s));
    // (label, value, kind, list of questions, date and time in one)
    let mut pairs: Vec<(String, String, &'static str, &str)> = Vec::new();
    let with_time = till.dice.chance(0.45);
    if first {
        let label = till.say("l.date");
        let value = if with_time {
            format!("{date} {time}")
        } else {
            date.clone()
        };
        pairs.push((label, value, "date", "q.date"));
        if !with_time && till.dice.chance(0.6) {
            let label = till.say("l.time");
            pairs.push((label, time.clone(), "time", "q.time"));
        }
    }
    let more: &[(&str, &str, &'static str, &str, f32)] = if first {
        &[
            ("l.invoice", "v.invoice", "invoice", "q.invoice", 0.8),
            ("l.cashier", "v.cashier", "cashier", "q.cashier", 0.65),
            ("l.table", "v.table", "label", "q.table", 0.15),
            ("l.counter", "v.counter", "label", "q.label", 0.3),
            ("l.guests", "v.table", "label", "q.label", 0.1),
            ("l.member", "v.member", "label", "q.member", 0.15),
        ]
    } else {
        &[
            ("l.auth", "v.auth", "label", "q.auth", 0.8),
            ("l.auth", "v.auth", "label", "q.auth", 0.7),
            ("l.auth", "v.auth", "label", "q.auth", 0.5),
            ("l.points", "v.counter", "label", "q.label", 0.4),
            ("l.member", "v.member", "label", "q.label", 0.3),
        ]
    };
    for (label, value, kind, list, p) in more {
        if till.dice.chance(*p) {
            let (label, value) = (till.say(label), till.say(value));
            if pairs.iter().all(|p| p.0 != label) {
                pairs.push((label, value, kind, list));
            }
        }
    }
    till.dice.shuffle(&mut pairs);
    let layout = till.dice.weighted(&[3.0, 2.5, 2.0, 1.0]);
    let joint = [": ", " : ", " ", ":"][till.dice.weighted(&[4.0, 2.0, 1.5, 1.0])];
    let (left, right) = (till.left, till.right);
    let middle = left + (right - left) * till.dice.real(0.48, 0.6);
    let tab = left + (right - left) * till.dice.real(0.26, 0.42);
    let bare_date = first && till.dice.chance(0.3);
    let mut column = 0;
    for (label, value, kind, list) in pairs {
        let bare = kind == "date" && bare_date;
        let font = if till.dice.chance(0.05) {
            Font::Bold
        } else {
            Font::Normal
        };
        let text = if bare {
            value.clone()
        } else {
            format!("{label}{joint}{value}")
        };
        // Layouts: one a line; label and value in two columns; two a line; value at the right edge.
        let printed = match layout {
            1 | 3 if !bare => {
                till.feed(font);
                let colon = if joint.trim().is_empty() {
                    String::new()
                } else {
                    joint.trim_end().to_string()
                };
                let edge = if layout == 1 { tab } else { right };
                if till
                    .put(
                        font,
                        (left, if layout == 1 { edge } else { middle }, 0.0),
                        &format!("{label}{colon}"),
                    )
                    .is_none()
                {
                    continue;
                }
                let span = if layout == 1 {
                    (edge + 4.0, right, 0.0)
                } else {
                    (middle + 4.0, right, 1.0)
                };
                till.put(font, span, &value)
            }
            2 if till.normal.width(&text) < (middle - left) * 0.95 => {
                if column == 0 {
                    till.feed(font);
                }
                let span = if column == 0 {
                    (left, middle, 0.0)
                } else {
                    (middle, right, 0.0)
                };
                column = 1 - column;
                till.put(font, span, &text)
            }
            _ => {
                till.feed(font);
                column = 0;
                till.put(font, (left, right, 0.0), &text)
            }
        };
        let Some(printed) = printed else { continue };
        let shown = |v: &str| printed.text.contains(v).then(|| v.to_string());
        let value = till.cased(&value);
        let (date, time) = (till.cased(&date), till.cased(&time));
        let key = till.cased(&label);
        if kind == "date" {
            if let Some(date) = shown(&date) {
                let rect = printed.part(&date);
                till.page
                    .ask(till.dice, "date", "q.date", "", &date, vec![rect]);
            }
            if let Some(time) = shown(&time).filter(|_| with_time) {
                let rect = printed.part(&time);
                till.page
                    .ask(till.dice, "time", "q.time", "", &time, vec![rect]);
            }
        } else if let Some(value) = shown(&value) {
            // The value may also stand in the label ("1"): look behind it.
            let from = printed.text.rfind(&value).unwrap_or(0);
            let rect = printed.bytes(from, from + value.len());
            till.page
                .ask(till.dice, kind, list, &key, &value, vec![rect]);
            if kind != "label" && till.page.is_unique(&key) {
                till.page
                    .ask(till.dice, "label", "q.label", &key, &value, vec![rect]);
            }
        }
    }
}

/// The goods; returns the sum of their prices in hundredths.
fn goods(till: &mut Till<'_>, rule: usize) -> i64 {
    let layout = till.dice.weighted(&[3.0, 2.0, 2.0, 1.5, 1.0]);
    let n = [
        till.dice.int(1, 4),
        till.dice.int(3, 9),
        till.dice.int(8, 20),
    ][till.dice.weighted(&[3.0, 4.0, 1.5])];
    let food = till.dice.chance(0.35);
    let dear = [3000, 10_000, 100_000][till.dice.weighted(&[4.0, 3.0, 1.0])];
    let items: Vec<Item> = (0..n)
        .map(|_| {
            let key = if food && till.dice.chance(0.8) {
                "thing.food"
            } else {
                "item"
            };
            let qty = if till.dice.chance(0.7) {
                1
            } else {
                till.dice.int(2, 12)
            };
            let step = if till.dice.chance(0.5) { 5 } else { 1 };
            Item {
                name: till.say(key),
                qty,
                price: till.dice.int(20, dear) / step * step,
            }
        })
        .collect();
    let (left, right) = (till.left, till.right);
    let room = right - left;
    let mark = if till.dice.chance(0.15) {
        [" T", " SR", " A", "*"][till.dice.index(4)]
    } else {
        ""
    };
    let c_qty = left + room * till.dice.real(0.45, 0.58);
    let c_price = left + room * till.dice.real(0.70, 0.8);
    if layout == 2 || till.dice.chance(0.3) {
        till.feed(Font::Normal);
        let heads: &[(&str, (f32, f32, f32))] = if layout == 2 {
            &[
                ("h.item", (left, c_qty - 30.0, 0.0)),
                ("h.qty", (left, c_qty, 1.0)),
                ("h.price", (c_qty, c_price, 1.0)),
                ("h.amount", (c_price, right, 1.0)),
            ]
        } else {
            &[
                ("h.item", (left, c_qty, 0.0)),
                ("h.amount", (c_qty, right, 1.0)),
            ]
        };
        for (key, span) in heads {
            let text = till.say(key);
            till.put(Font::Normal, *span, &text);
        }
        till.rule(rule);
    }
    let mut sum = 0;
    for item in items {
        let cost = item.qty * item.price;
        sum += cost;
        let amount = if till.sums.signed && till.dice.chance(0.5) {
            till.money.signed(cost)
        } else {
            till.money.bare(cost)
        } + mark;
        let unit = till.money.bare(item.price);
        till.feed(Font::Normal);
        let cut = right - till.normal.width(&amount) - till.normal.size;
        let (name, price, qty) = match layout {
            // Name, and below it quantity, price and amount.
            1 => {
                let name = till.put(Font::Normal, (left, right, 0.0), &item.name);
                till.feed(Font::Normal);
                let count = [
                    format!("{} X {unit}", item.qty),
                    format!("{} @ {unit}", item.qty),
                    format!("{} x {unit}", item.qty),
                ][till.dice.index(3)]
                .clone();
                let indent = left + room * [0.05, 0.2, 0.4][till.dice.index(3)];
                till.put(Font::Normal, (indent, cut, 0.0), &count);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    None,
                )
            }
            // A table.
            2 => {
                let name = till.put(
                    Font::Normal,
                    (left, c_qty - till.normal.size * 2.2, 0.0),
                    &item.name,
                );
                let qty = till.put(Font::Normal, (left, c_qty, 1.0), &item.qty.to_string());
                till.put(Font::Normal, (c_qty + 4.0, c_price, 1.0), &unit);
                (
                    name,
                    till.put(Font::Normal, (c_price + 4.0, right, 1.0), &amount),
                    qty,
                )
            }
            // Quantity first.
            3 => {
                let qty = till.put(
                    Font::Normal,
                    (left, left + room * 0.1, 0.0),
                    &item.qty.to_string(),
                );
                let name = till.put(Font::Normal, (left + room * 0.12, cut, 0.0), &item.name);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    qty,
                )
            }
            // Code above the name.
            4 => {
                let code = till.say("CODE");
                till.put(Font::Normal, (left, cut, 0.0), &code);
                till.feed(Font::Normal);
                let name = till.put(Font::Normal, (left, cut, 0.0), &item.name);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    None,
                )
            }
            _ => {
                let name = till.put(Font::Normal, (left, cut, 0.0), &item.name);
                (
                    name,
                    till.put(Font::Normal, (cut, right, 1.0), &amount),
                    None,
                )
            }
        };
        if let (Some(name), Some(price)) = (name, price) {
            let key = name.text.clone();
            let number = price.text.trim_end_matches(mark).to_string();
            let rect = price.part(&number);
            till.page.ask(
                till.dice,
                "item_price",
                "q.item_price",
                &key,
                &number,
                vec![rect],
            );
            if let Some(qty) = qty {
                till.page.ask(
                    till.dice,
                    "item_qty",
                    "q.item_qty",
                    &key,
                    &qty.text,
                    vec![qty.rect],
                );
            }
        }
    }
    sum
}

fn sums_and_payment(till: &mut Till<'_>, goods: i64, rule: usize) {
    let mut total = goods;
    let mut places: Vec<(Printed, bool)> = Vec::new();
    let mut asks: Vec<(&'static str, &str, Printed)> = Vec::new();
    let add = |till: &mut Till<'_>, label: &str, cents: i64, font: Font| {
        let label = till.say(label);
        till.sum(font, &label, cents)
    };
    if till.dice.chance(0.15) {
        let label = till.say("l.count");
        till.feed(Font::Normal);
        let count = till.dice.int(1, 30).to_string();
        let (left, right) = (till.left, till.right);
        let printed = till.put(
            Font::Normal,
            (left, right, 0.0),
            &format!("{label}: {count}"),
        );
        if let Some(p) = printed {
            let rect = p.bytes(p.text.len() - count.len(), p.text.len());
            till.page
                .ask(till.dice, "count", "q.count", "", &count, vec![rect]);
        }
    }
    let taxed = till.dice.chance(0.7);
    let discount = till.dice.chance(0.18);
    let service = till.dice.chance(0.15);
    if taxed || discount || till.dice.chance(0.3) {
        if let Some((_, amount)) = add(till, "l.subtotal", total, Font::Normal) {
            asks.push(("subtotal", "q.subtotal", amount));
        }
    }
    if discount {
        let cents = (total * till.dice.int(3, 30) / 100).max(1);
        total -= cents;
        if let Some((_, amount)) = add(till, "l.discount", -cents, Font::Normal) {
            asks.push(("discount", "q.discount", amount));
        }
    }
    if service {
        let cents = (total / 10).max(1);
        total += cents;
        if let Some((_, amount)) = add(till, "l.service", cents, Font::Normal) {
            asks.push(("service", "q.service", amount));
        }
    }
    if taxed {
        let cents = (total * till.dice.int(5, 21) / 100).max(1);
        total += cents;
        if let Some((label, amount)) = add(till, "l.tax", cents, Font::Normal) {
            let name = label.text.to_uppercase();
            let list = if name.contains("GST") {
                "q.gst"
            } else if name.contains("VAT") {
                "q.vat"
            } else {
                "q.tax"
            };
            asks.push(("tax", list, amount));
        }
    }
    if till.dice.chance(0.15) {
        let cents = till.dice.int(-4, 4);
        total = (total + cents).max(1);
        if let Some((_, amount)) = add(till, "l.rounding", cents, Font::Normal) {
            asks.push(("rounding", "q.rounding", amount));
        }
    }
    if till.dice.chance(0.12) {
        let cents = total * till.dice.int(10, 20) / 100;
        if let Some((_, amount)) = add(till, "l.tip", cents, Font::Normal) {
            asks.push(("tip", "q.tip", amount));
        }
        total += cents;
    }
    if till.dice.chance(0.4) {
        till.rule(rule);
    }
    let font = [Font::Normal, Font::Bold, Font::Big][till.dice.weighted(&[3.0, 2.5, 2.5])];
    if let Some((_, amount)) = add(till, "l.total", total, font) {
        places.push((amount, true));
    }
    if till.dice.chance(0.12) {
        if let Some((_, amount)) = add(till, "l.total", total, Font::Normal) {
            places.push((amount, true));
        }
    }
    if till.dice.chance(0.3) {
        till.rule(rule);
    }
    if till.dice.chance(0.12) {
        till.feed(Font::Normal);
        let (label, value) = (till.say("l.paymode"), till.say("v.paymode"));
        let (left, right) = (till.left, till.right);
        till.put(
            Font::Normal,
            (left, right * 0.6, 0.0),
            &format!("{label} :"),
        );
        till.put(Font::Normal, (right * 0.6, right, 1.0), &value);
    }
    match till.dice.weighted(&[5.0, 3.0, 2.0]) {
        0 => {
            let given = if till.dice.chance(0.3) {
                total
            } else {
                (total / 1000 + 1) * 1000 + [0, 0, 1000, 4000][till.dice.index(4)]
            };
            if let Some((_, amount)) = add(till, "l.cash", given, Font::Normal) {
                if given == total {
                    places.push((amount, false));
                } else {
                    asks.push(("cash", "q.cash", amount));
                }
            }
            if let Some((_, amount)) = add(till, "l.change", given - total, Font::Normal) {
                asks.push(("change", "q.change", amount));
            }
        }
        1 => {
            if let Some((_, amount)) = add(till, "l.card", total, Font::Normal) {
                places.push((amount, false));
            }
        }
        _ => {}
    }
    let labelled: Vec<Rect> = places.iter().filter(|p| p.1).map(|p| p.0.rect).collect();
    let all: Vec<Rect> = places.iter().map(|p| p.0.rect).collect();
    if let Some((first, _)) = places.first().cloned() {
        // The most wanted question: two wordings of it on a page.
        for _ in 0..2 {
            till.page.ask(
                till.dice,
                "total",
                "q.total",
                "",
                &first.text,
                labelled.clone(),
            );
        }
        if all.len() > labelled.len() {
            till.page
                .ask(till.dice, "total_any", "q.total", "", &first.text, all);
        }
    }
    for (kind, list, amount) in asks {
        let rect = amount.rect;
        till.page
            .ask(till.dice, kind, list, "", &amount.text, vec![rect]);
    }
    if taxed && till.dice.chance(0.25) {
        tax_table(till, goods);
    }
}

fn tax_table(till: &mut Till<'_>, net: i64) {
    till.gap(0.8);
    let (left, right) = (till.left, till.right);
    let room = right - left;
    let heads = [
        ["GST Summary", "Amount(RM)", "Tax(RM)"],
        ["Tax Code", "Net", "Tax"],
        ["VAT Rate", "Net", "VAT"],
        ["Tax", "Amt", "Tax Amt"],
    ][till.dice.index(4)];
    let codes = [
        "SR @ 6%", "ZRL @ 0%", "S = 6%", "A 20%", "B 10%", "SR", "GST S@6%", "Z @ 0%",
    ];
    let spans = [
        (left, left + room * 0.45, 0.0),
        (left, left + room * 0.72, 1.0),
        (left, right, 1.0),
    ];
    till.feed(Font::Normal);
    for (head, span) in heads.iter().zip(spans) {
        till.put(Font::Normal, span, head);
    }
    for _ in 0..till.dice.int(1, 3) {
        till.feed(Font::Normal);
        let code = till.dice.pick(&codes);
        let net = net * till.dice.int(10, 100) / 100;
        let cells = [
            code.to_string(),
            till.money.bare(net),
            till.money.bare(net * 6 / 100),
        ];
        for (cell, span) in cells.iter().zip(spans) {
            till.put(Font::Normal, span, cell);
        }
    }
}

fn footer(till: &mut Till<'_>) {
    till.gap(1.0);
    for _ in 0..till.dice.int(0, 5) {
        let text = till.say("footer");
        let align = if till.dice.chance(0.9) { 0.5 } else { 0.0 };
        till.block(Font::Normal, align, &text);
    }
    if till.dice.chance(0.3) {
        till.gap(1.0);
        let (left, right) = (till.left, till.right);
        let inset = (right - left) * till.dice.real(0.05, 0.25);
        let h = till.normal.size * till.dice.real(1.5, 4.0);
        let area = Rect::new(left + inset, till.y, right - inset, till.y + h);
        if till.dice.chance(0.75) {
            marks::barcode(till.dice, &mut till.page.canvas, area, till.ink);
        } else {
            let side = (till.normal.size * 6.0).min(right - left);
            let x = (left + right - side) * 0.5;
            marks::qr(
                till.dice,
                &mut till.page.canvas,
                Rect::new(x, till.y, x + side, till.y + side),
                till.ink,
            );
            till.y += side - h;
        }
        till.y += h;
        if till.dice.chance(0.7) {
            let number = words::expand(till.dice, "", "{^}############");
            till.gap(0.3);
            till.block(Font::Normal, 0.5, &number);
        }
    }
}
