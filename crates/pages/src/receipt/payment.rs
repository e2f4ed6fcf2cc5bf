//! Sums, tax, payment, change, and what stands below them.

use super::till::{Font, Till};
use crate::geometry::Rect;
use crate::marks;
use crate::text::Printed;
use crate::words;

/// The sums of one receipt while they are printed.
struct Bill {
    /// What is to be paid so far, in hundredths.
    total: i64,
    /// Kind, list of wordings, printed amount.
    asks: Vec<(&'static str, &'static str, Printed)>,
    /// Every place of the total, and whether its label says so.
    places: Vec<(Printed, bool)>,
}

/// One row of a label out of `list` and an amount.
fn row(till: &mut Till<'_>, list: &str, cents: i64, font: Font) -> Option<(Printed, Printed)> {
    let label = till.say(list);
    till.sum(font, &label, cents)
}

/// Subtotal to change.
pub fn sums(till: &mut Till<'_>, goods: i64, rule: usize) {
    let mut bill = Bill {
        total: goods,
        asks: Vec::new(),
        places: Vec::new(),
    };
    if till.dice.chance(0.15) {
        count(till);
    }
    let taxed = till.dice.chance(0.7);
    before_total(till, &mut bill, taxed);
    if till.dice.chance(0.4) {
        till.rule(rule);
    }
    let font = [Font::Normal, Font::Bold, Font::Big][till.dice.weighted(&[3.0, 2.5, 2.5])];
    let twice = till.dice.chance(0.12);
    for font in [font, Font::Normal].iter().take(1 + usize::from(twice)) {
        let printed = row(till, "l.total", bill.total, *font);
        bill.places
            .extend(printed.map(|(_, amount)| (amount, true)));
    }
    if till.dice.chance(0.3) {
        till.rule(rule);
    }
    payment(till, &mut bill);
    let labelled: Vec<Rect> = bill
        .places
        .iter()
        .filter(|p| p.1)
        .map(|p| p.0.rect)
        .collect();
    let all: Vec<Rect> = bill.places.iter().map(|p| p.0.rect).collect();
    if let Some((first, _)) = bill.places.first() {
        // The most wanted question: two wordings of it on a page.
        for _ in 0..2 {
            let rects = labelled.clone();
            till.page
                .ask(till.dice, "total", "q.total", "", &first.text, rects);
        }
        if all.len() > labelled.len() {
            till.page
                .ask(till.dice, "total_any", "q.total", "", &first.text, all);
        }
    }
    for (kind, list, amount) in bill.asks {
        let rect = amount.rect;
        till.page
            .ask(till.dice, kind, list, "", &amount.text, vec![rect]);
    }
    if taxed && till.dice.chance(0.25) {
        tax_table(till, goods);
    }
}

/// How many things were bought.
fn count(till: &mut Till<'_>) {
    let label = till.say("l.count");
    till.feed(Font::Normal);
    let count = till.dice.int(1, 30).to_string();
    let span = (till.left, till.right, 0.0);
    if let Some(p) = till.put(Font::Normal, span, &format!("{label}: {count}")) {
        let rect = p.bytes(p.text.len() - count.len(), p.text.len());
        till.page
            .ask(till.dice, "count", "q.count", "", &count, vec![rect]);
    }
}

/// Subtotal, discount, service, tax, rounding, tip: each on some receipts.
fn before_total(till: &mut Till<'_>, bill: &mut Bill, taxed: bool) {
    let discount = till.dice.chance(0.18);
    let service = till.dice.chance(0.15);
    let goods = bill.total;
    if taxed || discount || till.dice.chance(0.3) {
        let printed = row(till, "l.subtotal", goods, Font::Normal);
        bill.asks
            .extend(printed.map(|p| ("subtotal", "q.subtotal", p.1)));
    }
    let mut add = |till: &mut Till<'_>, kind: &'static str, cents: i64| {
        let lists = match kind {
            "discount" => ("l.discount", "q.discount"),
            "service" => ("l.service", "q.service"),
            "tax" => ("l.tax", "q.tax"),
            "rounding" => ("l.rounding", "q.rounding"),
            _ => ("l.tip", "q.tip"),
        };
        bill.total = (bill.total + cents).max(1);
        if let Some((label, amount)) = row(till, lists.0, cents, Font::Normal) {
            let name = label.text.to_uppercase();
            let list = match kind {
                "tax" if name.contains("GST") => "q.gst",
                "tax" if name.contains("VAT") => "q.vat",
                _ => lists.1,
            };
            bill.asks.push((kind, list, amount));
        }
        bill.total
    };
    let mut total = goods;
    if discount {
        let cents = (total * till.dice.int(3, 30) / 100).max(1);
        total = add(till, "discount", -cents);
    }
    if service {
        total = add(till, "service", (total / 10).max(1));
    }
    if taxed {
        let cents = (total * till.dice.int(5, 21) / 100).max(1);
        total = add(till, "tax", cents);
    }
    if till.dice.chance(0.15) {
        let cents = till.dice.int(-4, 4);
        total = add(till, "rounding", cents);
    }
    if till.dice.chance(0.12) {
        let cents = total * till.dice.int(10, 20) / 100;
        add(till, "tip", cents);
    }
}

/// Cash and change, a card, or nothing.
fn payment(till: &mut Till<'_>, bill: &mut Bill) {
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
    let total = bill.total;
    match till.dice.weighted(&[5.0, 3.0, 2.0]) {
        0 => {
            let exact = till.dice.chance(0.3);
            let note = (total / 1000 + 1) * 1000 + [0, 0, 1000, 4000][till.dice.index(4)];
            let given = if exact { total } else { note };
            match row(till, "l.cash", given, Font::Normal) {
                Some((_, amount)) if exact => bill.places.push((amount, false)),
                Some((_, amount)) => bill.asks.push(("cash", "q.cash", amount)),
                None => {}
            }
            let printed = row(till, "l.change", given - total, Font::Normal);
            bill.asks
                .extend(printed.map(|p| ("change", "q.change", p.1)));
        }
        1 => {
            let printed = row(till, "l.card", total, Font::Normal);
            bill.places.extend(printed.map(|p| (p.1, false)));
        }
        _ => {}
    }
}

/// A card slip: tip and total are filled in by hand.
pub fn slip(till: &mut Till<'_>, goods: i64) {
    let (left, right) = (till.left, till.right);
    let card = till.say("l.card");
    let pattern =
        ["XXXXXXXXXXXX{^}{^}##", "**** **** **** {^}###", "...{^}###"][till.dice.index(3)];
    let number = words::expand(till.dice, "", pattern);
    till.feed(Font::Normal);
    till.put(
        Font::Normal,
        (left, right, 0.0),
        &format!("{card} {number}"),
    );
    till.gap(0.6);
    let label = ["Amount", "AMOUNT:", "Subtotal", "Sub-Total:", "Purchase"][till.dice.index(5)];
    if let Some((label, amount)) = till.sum(Font::Normal, label, goods) {
        let name = label.text.trim_end_matches([':', ' ']).to_string();
        let sub = name.to_lowercase().starts_with("sub");
        let (kind, list) = if sub {
            ("subtotal", "q.subtotal")
        } else {
            ("label", "q.label")
        };
        till.page.ask(
            till.dice,
            kind,
            list,
            &name,
            &amount.text,
            vec![amount.rect],
        );
    }
    let tip = goods * till.dice.int(8, 25) / 100 / 25 * 25;
    let start = left + (right - left) * till.dice.real(0.3, 0.5);
    let tip_label = ["Tip:", "TIP", "Gratuity:", "+ Tip:", "Tip Amount"][till.dice.index(5)];
    let total_label = ["Total:", "TOTAL", "= Total:", "Total Amount"][till.dice.index(4)];
    for (label, cents, kind, list) in [
        (tip_label, tip, "tip", "q.tip"),
        (total_label, goods + tip, "total", "q.total"),
    ] {
        till.gap(0.8);
        till.feed(Font::Normal);
        till.put(Font::Normal, (left, start, 0.0), label);
        let y = till.y + till.normal.size * 0.15;
        till.page.canvas.rule(start, right, y, 1.0, 0.0, till.ink);
        let text = if till.dice.chance(0.6) {
            till.money.bare(cents)
        } else {
            till.money.signed(cents)
        };
        let x = start + till.normal.size * till.dice.real(0.3, 3.0);
        let x = x.min(right - till.hand.width(&text)).max(start);
        let base = till.y - till.normal.size * till.dice.real(0.0, 0.25);
        let pen_ink = [[25, 35, 130], [20, 20, 28]][till.dice.index(2)];
        if let Some(p) = till
            .page
            .print(till.dice, &mut till.hand, (x, base), &text, pen_ink)
        {
            for _ in 0..2 {
                till.page
                    .ask(till.dice, kind, list, "", &p.text, vec![p.rect]);
            }
        }
    }
    if till.dice.chance(0.7) {
        till.gap(1.8);
        till.feed(Font::Normal);
        let (y, size) = (till.y, till.normal.size);
        till.page.canvas.rule(left, right, y, 1.0, 0.0, till.ink);
        let (a, b) = (
            (left + size, y - size * 0.7),
            (left + (right - left) * 0.6, y - size * 0.5),
        );
        marks::scribble(
            till.dice,
            &mut till.page.canvas,
            a,
            b,
            size * 0.8,
            2.0,
            [25, 30, 90],
        );
        till.feed(Font::Normal);
        till.put(Font::Normal, (left, right, 0.5), "Signature");
    }
}

/// Net and tax by rate.
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

/// Thanks, terms, bar code.
pub fn footer(till: &mut Till<'_>) {
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
