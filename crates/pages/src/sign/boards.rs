//! Flat signs of eight kinds.

use anyhow::Result;

use super::Board;
use crate::canvas::Color;
use crate::dice::Dice;
use crate::fonts::Style;
use crate::geometry::Rect;
use crate::marks;
use crate::page::{Page, Studio};
use crate::text::{Pen, Printed};
use crate::words::{self, say};

/// Lines of text with sizes, centred on a board of their own size.
struct Draft {
    lines: Vec<(String, f32)>,
    paper: Color,
    ink: Color,
    style: Style,
    align: f32,
    /// Shape around the text: 0 none, 1 frame, 2 double frame, 3 disc.
    shape: usize,
}

/// Draws a draft; text is at least about 11 pixels high in the picture.
fn board(studio: &mut Studio<'_>, draft: &Draft, size: f32) -> Result<(Board, Vec<Printed>)> {
    let Studio { fonts, dice } = studio;
    let dark = dice.chance(0.6);
    let face = fonts.pick(dice, draft.style, dark);
    let stretch = dice.real(0.8, 1.1);
    let mut pens = Vec::new();
    for (_, share) in &draft.lines {
        pens.push(Pen::new(fonts, face, (size * share).max(13.0), stretch)?);
    }
    let widest = draft
        .lines
        .iter()
        .zip(&pens)
        .map(|((t, _), p)| p.width(&p.spell(t)))
        .fold(10.0, f32::max);
    let tall: f32 = pens.iter().map(|p| p.size * 1.3).sum();
    let pad = size * dice.real(0.35, 1.0);
    let (mut w, mut h) = (widest + 2.0 * pad, tall + 2.0 * pad * 0.8);
    if draft.shape == 3 {
        w = w.max(h) * 1.25;
        h = w;
    }
    let mut page = Page::new(w as usize, h as usize, draft.paper);
    let t = (size * 0.07).max(1.0);
    match draft.shape {
        1 => page
            .canvas
            .frame(Rect::new(t, t, w - t, h - t), t, draft.ink),
        2 => {
            page.canvas
                .frame(Rect::new(0.0, 0.0, w, h), t * 1.5, draft.ink);
            page.canvas.frame(
                Rect::new(3.0 * t, 3.0 * t, w - 3.0 * t, h - 3.0 * t),
                t * 0.7,
                draft.ink,
            );
        }
        3 => page.canvas.disc(
            (w * 0.5, h * 0.5),
            w * 0.48,
            w * 0.40,
            1.0,
            [200, 30, 30],
            1.0,
        ),
        _ => {}
    }
    let mut y = (h - tall) * 0.5;
    let mut printed = Vec::new();
    for ((text, _), pen) in draft.lines.iter().zip(&mut pens) {
        y += pen.size * 1.3;
        let base = y - pen.size * 0.3;
        printed.extend(page.print_in(
            dice,
            pen,
            (pad, w - pad, draft.align),
            base,
            text,
            draft.ink,
        ));
    }
    Ok((page, printed))
}

fn whole(lines: &[Printed]) -> Option<(String, Rect)> {
    let rect = lines.iter().map(|l| l.rect).reduce(Rect::union)?;
    Some((
        lines
            .iter()
            .map(|l| l.text.as_str())
            .collect::<Vec<_>>()
            .join(" "),
        rect,
    ))
}

const SCHEMES: [(Color, Color); 10] = [
    ([250, 250, 248], [20, 20, 20]),
    ([20, 90, 60], [250, 250, 250]),
    ([25, 60, 140], [250, 250, 250]),
    ([250, 200, 30], [15, 15, 15]),
    ([190, 25, 30], [252, 250, 245]),
    ([30, 30, 32], [240, 235, 220]),
    ([95, 60, 35], [245, 235, 210]),
    ([245, 240, 220], [120, 30, 30]),
    ([235, 120, 30], [20, 20, 20]),
    ([120, 120, 125], [250, 250, 250]),
];

/// A sign of a kind that the photo does not show yet.
pub fn any(studio: &mut Studio<'_>, photo: &Page) -> Result<Board> {
    const KINDS: [&str; 8] = [
        "sign",
        "sign_street",
        "sign_speed",
        "sign_shop",
        "sign_number",
        "sign_distance",
        "sign_price",
        "sign_label",
    ];
    let free: Vec<usize> = (0..KINDS.len())
        .filter(|&k| photo.asks.iter().all(|a| a.kind != KINDS[k]))
        .collect();
    let weights: Vec<f32> = free
        .iter()
        .map(|&k| [4.0, 2.0, 0.7, 3.0, 1.0, 1.3, 1.5, 1.6][k])
        .collect();
    let kind = free[studio.dice.weighted(&weights)];
    let size = studio.dice.real(18.0, 64.0);
    let dice = &mut *studio.dice;
    let (paper, ink) = SCHEMES[dice.index(SCHEMES.len())];
    let style = [Style::Sans, Style::Display, Style::Serif, Style::Hand]
        [dice.weighted(&[5.0, 3.0, 1.5, 0.8])];
    let country = if dice.chance(0.5) {
        "us".to_string()
    } else {
        say(dice, "", "country")
    };
    let mut draft = Draft {
        lines: Vec::new(),
        paper,
        ink,
        style,
        align: 0.5,
        shape: dice.index(3),
    };
    match KINDS[kind] {
        "sign_street" => {
            draft.shape = dice.index(2);
            let street = say(dice, &country, "street");
            let name = format!("{street} ").replace(" {^}", "").trim().to_string();
            draft.lines.push((
                if dice.chance(0.5) {
                    name.to_uppercase()
                } else {
                    name
                },
                1.0,
            ));
            if dice.chance(0.3) {
                draft.lines.push((say(dice, &country, "city"), 0.5));
            }
            finish(studio, &draft, size, "sign_street", "q.sign_street", 0..1)
        }
        "sign_speed" => {
            draft.shape = if dice.chance(0.6) { 3 } else { 1 };
            (draft.paper, draft.ink) = ([250, 250, 248], [15, 15, 18]);
            draft.style = Style::Sans;
            let number = dice.pick(&[
                "20", "25", "30", "35", "40", "45", "50", "55", "60", "65", "70", "80", "90",
                "100", "110", "120", "5", "10", "15",
            ]);
            if draft.shape == 1 {
                draft.lines.push(("SPEED".to_string(), 0.5));
                draft.lines.push(("LIMIT".to_string(), 0.5));
            }
            draft.lines.push((number.to_string(), 1.3));
            let n = draft.lines.len();
            finish(studio, &draft, size, "sign_speed", "q.sign_speed", n - 1..n)
        }
        "sign_shop" => {
            let name = say(dice, &country, "sign.shop");
            let names: Vec<&str> = name.split(" / ").collect();
            let upper = dice.chance(0.5);
            draft.lines = names
                .iter()
                .map(|n| {
                    (
                        if upper {
                            n.to_uppercase()
                        } else {
                            n.to_string()
                        },
                        1.2,
                    )
                })
                .collect();
            let n = draft.lines.len();
            if dice.chance(0.55) {
                draft.lines.push((say(dice, "us", "sign.under"), 0.45));
            }
            finish(studio, &draft, size, "sign_shop", "q.sign_shop", 0..n)
        }
        "sign_number" => {
            let number = if dice.chance(0.8) {
                dice.int(1, 999).to_string()
            } else {
                format!("{}{}", dice.int(1, 99), dice.pick(&["A", "b", "B", "/2"]))
            };
            draft.lines.push((number, 1.0));
            finish(studio, &draft, size, "sign_number", "q.sign_number", 0..1)
        }
        "sign_distance" | "sign_price" => {
            list_sign(studio, KINDS[kind], paper, ink, &country, size)
        }
        "sign_label" => label_board(studio, paper, ink, size),
        _ => {
            let text = say(dice, &country, "sign.text");
            let text = if dice.chance(0.7) {
                text.to_uppercase()
            } else {
                words::capitalized(&text.to_lowercase())
            };
            draft.lines = text.split(" / ").map(|t| (t.to_string(), 1.0)).collect();
            let n = draft.lines.len();
            finish(studio, &draft, size, "sign", "q.sign", 0..n)
        }
    }
}

fn finish(
    studio: &mut Studio<'_>,
    draft: &Draft,
    size: f32,
    kind: &'static str,
    list: &str,
    asked: std::ops::Range<usize>,
) -> Result<Board> {
    let (mut page, printed) = board(studio, draft, size)?;
    if let Some((text, rect)) = printed.get(asked).and_then(whole) {
        for _ in 0..2 {
            page.ask(studio.dice, kind, list, "", &text, vec![rect]);
        }
        if kind != "sign" && printed.len() == 1 {
            page.ask(studio.dice, "sign", "q.sign", "", &text, vec![rect]);
        }
        let first = text.split(' ').next().unwrap_or(&text).to_string();
        if first.len() > 2 && first != text {
            page.ask(
                studio.dice,
                "sign_with",
                "q.sign_with",
                &first,
                &text,
                vec![rect],
            );
        }
    }
    Ok(page)
}

/// Names at the left, distances, prices or hours at the right.
fn list_sign(
    studio: &mut Studio<'_>,
    kind: &'static str,
    paper: Color,
    ink: Color,
    country: &str,
    size: f32,
) -> Result<Board> {
    let Studio { fonts, dice } = studio;
    let size = size.min(40.0);
    let n = dice.int(2, if kind == "sign_price" { 8 } else { 4 }) as usize;
    let hours = kind == "sign_price" && dice.chance(0.35);
    let sign = dice.pick(&["$", "", "€", "£"]);
    let mut rows: Vec<(String, String)> = Vec::new();
    for _ in 0..n * 5 {
        let (left, right) = match kind {
            "sign_distance" => {
                let city = if dice.chance(0.5) {
                    say(dice, country, "city")
                } else {
                    say(dice, "", "city.uk")
                };
                (
                    city,
                    if dice.chance(0.5) {
                        dice.int(1, 399).to_string()
                    } else {
                        format!("{} km", dice.int(1, 399))
                    },
                )
            }
            _ if hours => (say(dice, "", "sign.day"), say(dice, "", "sign.hours")),
            _ => (
                say(dice, "", "thing.food"),
                format!("{sign}{}", words::grouped(dice.int(10, 400) * 5, '.', ',')),
            ),
        };
        if rows.len() < n && rows.iter().all(|r| r.0 != left) {
            rows.push((left, right));
        }
    }
    let style = [Style::Sans, Style::Display, Style::Hand, Style::Serif]
        [dice.weighted(&[5.0, 2.0, if kind == "sign_price" { 3.0 } else { 0.0 }, 1.0])];
    let dark = dice.chance(0.5);
    let face = fonts.pick(dice, style, dark);
    let stretch = dice.real(0.85, 1.05);
    let mut pen = Pen::new(fonts, face, size.max(14.0), stretch)?;
    let mut big = Pen::new(fonts, face, size.max(14.0) * 1.4, 1.0)?;
    let pad = size * 0.8;
    let head = match kind {
        "sign_price" if hours => Some(
            dice.pick(&["OPENING HOURS", "HOURS", "We are open", "Business hours"])
                .to_string(),
        ),
        "sign_price" => dice.chance(0.6).then(|| {
            dice.pick(&["MENU", "Today", "SPECIALS", "DRINKS", "PRICES", "Lunch"])
                .to_string()
        }),
        _ => None,
    };
    let left_w = rows.iter().map(|r| pen.width(&r.0)).fold(0.0, f32::max);
    let right_w = rows.iter().map(|r| pen.width(&r.1)).fold(0.0, f32::max);
    let head_w = head.as_ref().map_or(0.0, |h| big.width(h));
    let w = (left_w + right_w + size * dice.real(1.0, 4.0)).max(head_w) + 2.0 * pad;
    let row = pen.size * dice.real(1.35, 1.8);
    let h = row * rows.len() as f32 + 2.0 * pad + if head.is_some() { big.size * 1.5 } else { 0.0 };
    let mut page = Page::new(w as usize, h as usize, paper);
    if dice.chance(0.5) {
        page.canvas.frame(
            Rect::new(2.0, 2.0, w - 2.0, h - 2.0),
            (size * 0.07).max(1.0),
            ink,
        );
    }
    let mut y = pad;
    if let Some(head) = head {
        y += big.size;
        page.print_in(dice, &mut big, (pad, w - pad, 0.5), y, &head, ink);
        y += big.size * 0.5;
    }
    let list = if kind == "sign_distance" {
        "q.sign_distance"
    } else if hours {
        "q.sign_time"
    } else {
        "q.sign_price"
    };
    for (left, right) in &rows {
        y += row;
        let base = y - row * 0.3;
        let key = page.print_in(dice, &mut pen, (pad, w - pad, 0.0), base, left, ink);
        let value = page.print_in(dice, &mut pen, (pad, w - pad, 1.0), base, right, ink);
        if let (Some(key), Some(value)) = (key, value) {
            let quoted = words::options(list)
                .iter()
                .filter(|q| q.contains('='))
                .count()
                > 0;
            let question = loop_until_quoted(dice, list, quoted).replace('=', &key.text);
            page.ask_as(kind, question, vec![value.text.clone()], vec![value.rect]);
        }
    }
    Ok(page)
}

/// A wording that quotes its row: others would fit every row of the list.
fn loop_until_quoted(dice: &mut Dice, list: &str, quoted: bool) -> String {
    for _ in 0..20 {
        let question = say(dice, "", list);
        if !quoted || question.contains('=') {
            return question;
        }
    }
    String::new()
}

/// A packet or a poster: a big name, smaller lines.
fn label_board(studio: &mut Studio<'_>, paper: Color, ink: Color, size: f32) -> Result<Board> {
    let dice = &mut *studio.dice;
    let poster = dice.chance(0.5);
    let style = [Style::Display, Style::Serif, Style::Sans, Style::Hand]
        [dice.weighted(&[3.0, 2.0, 3.0, 1.0])];
    let mut draft = Draft {
        lines: Vec::new(),
        paper,
        ink,
        style,
        align: 0.5,
        shape: dice.index(3),
    };
    let date = say(dice, "", "date");
    if poster {
        draft
            .lines
            .push((say(dice, "us", "sign.show").to_uppercase(), 1.5));
        draft.lines.push((date.clone(), 0.6));
        draft.lines.push((say(dice, "us", "sign.place"), 0.6));
        if dice.chance(0.5) {
            draft.lines.push((say(dice, "us", "phone"), 0.5));
        }
    } else {
        draft.lines.push((say(dice, "us", "sign.brand"), 1.5));
        draft.lines.push((say(dice, "us", "sign.what"), 0.7));
        draft.lines.push((say(dice, "us", "size"), 0.5));
        if dice.chance(0.5) {
            draft.lines.push((
                format!(
                    "{} {date}",
                    dice.pick(&["EXP", "Best before", "BB", "USE BY"])
                ),
                0.45,
            ));
        }
    }
    let (mut page, printed) = board(studio, &draft, size)?;
    let dice = &mut *studio.dice;
    if dice.chance(0.2) {
        let at = (page.canvas.w as f32 * 0.5, 6.0);
        marks::logo(dice, &mut page.canvas, at, 10.0, ink);
    }
    if let Some(name) = printed.first() {
        let list = if poster {
            "q.sign_show"
        } else {
            "q.sign_label"
        };
        page.ask(dice, "sign_label", list, "", &name.text, vec![name.rect]);
    }
    let extra: &[(usize, &str)] = if poster {
        &[(1, "q.sign_date"), (2, "q.sign_place"), (3, "q.sign_phone")]
    } else {
        &[(2, "q.sign_size"), (3, "q.sign_expiry")]
    };
    for (i, list) in extra {
        if let Some(line) = printed.get(*i) {
            let answer = if *list == "q.sign_expiry" {
                date.clone()
            } else {
                line.text.clone()
            };
            let rect = line.part(&answer);
            page.ask(dice, "sign_detail", list, "", &answer, vec![rect]);
        }
    }
    Ok(page)
}
