//! The upper part: shop, address, numbers; then date, time, cashier and the like.

use super::till::{Font, Till};
use crate::geometry::Rect;
use crate::marks;
use crate::text::Printed;
use crate::words;

pub fn rects(lines: &[Printed]) -> Vec<Rect> {
    lines.iter().map(|l| l.rect).collect()
}

pub fn joined(lines: &[Printed]) -> String {
    lines
        .iter()
        .map(|l| l.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Name, address, telephone, tax number, title.
pub fn header(till: &mut Till<'_>) {
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
pub fn details(till: &mut Till<'_>, first: bool) {
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
            2 if till.normal.width(&till.cased(&text))
                < (right - middle).min(middle - left) * 0.95 =>
            {
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
