//! Business invoices: letterhead, customer, numbers, a table of goods, sums at the lower right.

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

/// The sheet with its pens and measures.
struct Sheet<'a> {
    page: Page,
    dice: &'a mut Dice,
    money: Money,
    body: Pen,
    bold: Pen,
    head: Pen,
    ink: Color,
    accent: Color,
    left: f32,
    right: f32,
    row: f32,
    y: f32,
}

impl Sheet<'_> {
    fn say(&mut self, key: &str) -> String {
        let country = self.money.country.clone();
        say(self.dice, &country, key)
    }

    fn put(&mut self, bold: bool, span: (f32, f32, f32), y: f32, text: &str) -> Option<Printed> {
        let pen = if bold { &mut self.bold } else { &mut self.body };
        let mut text = pen.spell(text);
        while pen.width(&text) > span.1 - span.0 && span.2 < 1.0 && text.chars().count() > 3 {
            text.pop();
        }
        self.page
            .print_in(self.dice, pen, span, y, text.trim(), self.ink)
    }

    /// Lines of an address from `y` down; returns their boxes and their text.
    fn block(&mut self, span: (f32, f32, f32), y: f32, text: &str) -> (Vec<Rect>, String, f32) {
        let (mut rects, mut all, mut y) = (Vec::new(), Vec::new(), y);
        for part in text.split(" / ") {
            if let Some(p) = self.put(false, span, y, part) {
                rects.push(p.rect);
                all.push(p.text);
            }
            y += self.row;
        }
        (rects, all.join(" "), y)
    }
}

/// Draws one invoice and everything that can be asked about it.
pub fn make(studio: &mut Studio<'_>) -> Result<Page> {
    let Studio { fonts, dice } = studio;
    let width = dice.real(760.0, 1500.0);
    let height = width * dice.real(1.25, 1.42);
    let size = (width / dice.real(52.0, 80.0)).clamp(13.0, 26.0);
    let style = [Style::Sans, Style::Serif, Style::Mono][dice.weighted(&[6.0, 1.5, 1.5])];
    let face = fonts.pick(dice, style, false);
    let heavy = fonts.sister(face, true);
    let stretch = dice.real(0.88, 1.05);
    let margin = width * dice.real(0.05, 0.11);
    let accents = [
        [30, 60, 120],
        [140, 30, 40],
        [30, 100, 70],
        [60, 60, 65],
        [200, 110, 20],
    ];
    let paper =
        [[255, 255, 255], [252, 252, 250], [248, 245, 236]][dice.weighted(&[5.0, 2.0, 1.0])];
    let mut sheet = Sheet {
        page: Page::new(width as usize, height as usize, paper),
        money: Money::new(dice),
        body: Pen::new(fonts, face, size, stretch)?,
        bold: Pen::new(fonts, heavy, size, stretch)?,
        head: Pen::new(fonts, heavy, size * dice.real(1.4, 2.4), stretch)?,
        ink: [[18, 18, 20], [55, 55, 60]][dice.index(2)],
        accent: accents[dice.index(accents.len())],
        left: margin,
        right: width - margin,
        row: size * dice.real(1.3, 1.6),
        y: height * dice.real(0.03, 0.07),
        dice,
    };
    letterhead(&mut sheet);
    parties(&mut sheet);
    let (sum, edges) = goods(&mut sheet, height);
    sums(&mut sheet, sum, edges);
    let y = (height - margin * 0.6).min(sheet.y + sheet.row * sheet.dice.real(2.0, 6.0));
    let mut y = y.max(sheet.y + sheet.row);
    for _ in 0..sheet.dice.int(0, 4) {
        let text = sheet.say("i.bank");
        if y < height - size {
            sheet.put(false, (sheet.left, sheet.right, 0.0), y, &text);
        }
        y += sheet.row;
    }
    Ok(sheet.page)
}

fn letterhead(sheet: &mut Sheet<'_>) {
    let right = sheet.dice.chance(0.3);
    let align = if right { 1.0 } else { 0.0 };
    let (x1, x2) = (sheet.left, sheet.right);
    if sheet.dice.chance(0.4) {
        let size = sheet.head.size * 1.8;
        let x = if right { x1 + size } else { x2 - size };
        marks::logo(
            sheet.dice,
            &mut sheet.page.canvas,
            (x, sheet.y + size * 0.5),
            size,
            sheet.accent,
        );
    }
    sheet.y += sheet.head.size;
    let company = sheet.say("company");
    let color = if sheet.dice.chance(0.4) {
        sheet.accent
    } else {
        sheet.ink
    };
    let y = sheet.y;
    if sheet.head.width(&company) < (x2 - x1) * 0.75
        && let Some(p) = sheet.page.print_in(
            sheet.dice,
            &mut sheet.head,
            (x1, x2, align),
            y,
            &company,
            color,
        )
    {
        sheet.page.ask(
            sheet.dice,
            "company",
            "q.company",
            "",
            &p.text,
            vec![p.rect],
        );
    }
    sheet.y += sheet.row * 1.2;
    let address = sheet.say("address");
    let y = sheet.y;
    let (rects, text, y) = sheet.block((x1, x2, align), y, &address);
    sheet
        .page
        .ask(sheet.dice, "address", "q.address", "", &text, rects);
    sheet.y = y;
    let (label, phone) = (sheet.say("l.tel"), sheet.say("phone"));
    let y = sheet.y;
    if sheet.dice.chance(0.7)
        && let Some(p) = sheet.put(false, (x1, x2, align), y, &format!("{label}: {phone}"))
    {
        let rect = p.part(&phone);
        sheet
            .page
            .ask(sheet.dice, "tel", "q.tel", "", &phone, vec![rect]);
        sheet.y += sheet.row;
    }
    sheet.y += sheet.row * 0.6;
    let title = sheet.say("i.title");
    let align = [0.0, 0.5, 1.0][sheet.dice.index(3)];
    sheet.y += sheet.head.size;
    let (y, color) = (sheet.y, sheet.accent);
    if let Some(p) = sheet.page.print_in(
        sheet.dice,
        &mut sheet.head,
        (x1, x2, align),
        y,
        &title,
        color,
    ) {
        sheet.page.ask(
            sheet.dice,
            "form_title",
            "q.form_title",
            "",
            &p.text,
            vec![p.rect],
        );
    }
    sheet.y += sheet.row;
}

/// Customer at one side, numbers and date at the other.
fn parties(sheet: &mut Sheet<'_>) {
    let (x1, x2) = (sheet.left, sheet.right);
    let middle = x1 + (x2 - x1) * sheet.dice.real(0.5, 0.62);
    let label = sheet.say("i.to");
    let top = sheet.y + sheet.row;
    sheet.put(true, (x1, middle, 0.0), top, &label);
    let key = if sheet.dice.chance(0.5) {
        "company"
    } else {
        "person"
    };
    let person = sheet.say(key);
    let y = top + sheet.row;
    if let Some(p) = sheet.put(false, (x1, middle - 10.0, 0.0), y, &person) {
        sheet.page.ask(
            sheet.dice,
            "form_value",
            "q.bill_to",
            "",
            &p.text,
            vec![p.rect],
        );
    }
    let address = say(sheet.dice, "us", "address");
    let (_, _, low) = sheet.block((x1, middle - 10.0, 0.0), y + sheet.row, &address);
    let mut y = top;
    let (label, date) = (sheet.say("l.date"), words::day(sheet.dice));
    let mut pairs = vec![(label, sheet.money.date(date), "date")];
    let list = words::options("i.meta");
    for _ in 0..sheet.dice.int(1, 5) {
        let (label, key) = sheet
            .dice
            .pick(list)
            .split_once('=')
            .unwrap_or(("Ref", "v.auth"));
        if pairs.iter().all(|p| p.0 != label) {
            let value = sheet.say(key);
            let kind = if label.starts_with("Invoice") {
                "invoice"
            } else {
                "form_value"
            };
            pairs.push((label.to_string(), value, kind));
        }
    }
    sheet.dice.shuffle(&mut pairs);
    let tab = middle + (x2 - middle) * 0.48;
    let align = if sheet.dice.chance(0.4) { 1.0 } else { 0.0 };
    let colon = if sheet.dice.chance(0.6) { ":" } else { "" };
    for (label, value, kind) in pairs {
        let printed = sheet.put(true, (middle, tab, 0.0), y, &format!("{label}{colon}"));
        if let (Some(_), Some(p)) = (printed, sheet.put(false, (tab + 6.0, x2, align), y, &value)) {
            let list = match kind {
                "date" => "q.date",
                "invoice" => "q.invoice",
                _ => "q.form_value",
            };
            sheet
                .page
                .ask(sheet.dice, kind, list, &label, &p.text, vec![p.rect]);
            sheet.page.ask(
                sheet.dice,
                "form_value",
                "q.form_value",
                &label,
                &p.text,
                vec![p.rect],
            );
        }
        y += sheet.row;
    }
    sheet.y = low.max(y) + sheet.row;
}

/// The table; returns the sum in hundredths and the right edges of its columns.
fn goods(sheet: &mut Sheet<'_>, height: f32) -> (i64, Vec<f32>) {
    let (x1, x2) = (sheet.left, sheet.right);
    let room = x2 - x1;
    let edges: Vec<f32> = [0.08, 0.56, 0.68, 0.84, 1.0]
        .iter()
        .map(|k| x1 + room * k)
        .collect();
    let pad = sheet.body.size * 0.4;
    let span = |c: usize| {
        let left = if c == 0 { x1 } else { edges[c - 1] };
        (left + pad, edges[c] - pad, if c < 2 { 0.0 } else { 1.0 })
    };
    let banner = sheet.dice.chance(0.5);
    let row = sheet.row * sheet.dice.real(1.05, 1.4);
    let base = |y: f32, size: f32| y + row * 0.5 + size * 0.35;
    let top = sheet.y;
    if banner {
        let color = mix(sheet.accent, [255, 255, 255], 0.75);
        sheet
            .page
            .canvas
            .fill(Rect::new(x1, top, x2, top + row), color, 1.0);
    }
    let heads = ["No", "h.item", "h.qty", "h.price", "h.amount"];
    for (c, key) in heads.iter().enumerate() {
        let text = if c == 0 {
            (*key).to_string()
        } else {
            sheet.say(key)
        };
        let y = base(top, sheet.bold.size);
        sheet.put(true, span(c), y, &text);
    }
    sheet.y += row;
    let most = ((height * 0.72 - sheet.y) / row) as i64;
    let n = sheet.dice.int(1, 14).min(most.max(1));
    let lines = sheet.dice.chance(0.5);
    let mut sum = 0;
    for i in 0..n {
        let y = sheet.y;
        if lines {
            sheet
                .page
                .canvas
                .rule(x1, x2, y, 1.0, 0.0, mix(sheet.ink, [255, 255, 255], 0.5));
        }
        let (qty, price) = (sheet.dice.int(1, 40), sheet.dice.int(100, 60_000));
        sum += qty * price;
        let name = sheet.say("item");
        let cells = [
            (i + 1).to_string(),
            name,
            qty.to_string(),
            sheet.money.bare(price),
            sheet.money.bare(qty * price),
        ];
        let y = base(y, sheet.body.size);
        let printed: Vec<Option<Printed>> = cells
            .iter()
            .enumerate()
            .map(|(c, text)| sheet.put(false, span(c), y, text))
            .collect();
        if let [_, Some(name), Some(qty), _, Some(amount)] = printed.as_slice() {
            let (key, dice) = (name.text.clone(), &mut *sheet.dice);
            sheet.page.ask(
                dice,
                "item_price",
                "q.item_amount",
                &key,
                &amount.text,
                vec![amount.rect],
            );
            sheet.page.ask(
                dice,
                "item_qty",
                "q.item_qty",
                &key,
                &qty.text,
                vec![qty.rect],
            );
        }
        sheet.y += row;
    }
    let y = sheet.y;
    for at in [top, top + row, y] {
        sheet.page.canvas.rule(x1, x2, at, 1.0, 0.0, sheet.ink);
    }
    if sheet.dice.chance(0.5) {
        for x in edges.iter().copied().chain([x1]) {
            sheet
                .page
                .canvas
                .fill(Rect::new(x, top, x + 1.0, y), sheet.ink, 1.0);
        }
    }
    (sum, edges)
}

fn sums(sheet: &mut Sheet<'_>, goods: i64, edges: Vec<f32>) {
    let tax = goods * sheet.dice.int(5, 21) / 100;
    let rows = [
        ("l.subtotal", goods, "subtotal", "q.subtotal"),
        ("l.tax", tax, "tax", "q.tax"),
        ("l.total", goods + tax, "total", "q.total"),
    ];
    sheet.y += sheet.row * 0.4;
    for (label, cents, kind, list) in rows {
        if kind != "total" && sheet.dice.chance(0.15) {
            continue;
        }
        sheet.y += sheet.row;
        let bold = kind == "total";
        let (label, y, pad) = (sheet.say(label), sheet.y, sheet.body.size * 0.4);
        sheet.put(bold, (edges[1], edges[3] - pad, 0.0), y, &label);
        let text = sheet.money.signed(cents);
        if let Some(p) = sheet.put(bold, (edges[2], edges[4] - pad, 1.0), y, &text) {
            for _ in 0..2 {
                sheet
                    .page
                    .ask(sheet.dice, kind, list, "", &p.text, vec![p.rect]);
            }
        }
    }
    sheet.y += sheet.row;
}
