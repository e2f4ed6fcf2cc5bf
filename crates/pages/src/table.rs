//! Tables: league tables, price lists, timetables, nutrition facts; ruled, striped or plain.

use anyhow::Result;

use super::canvas::mix;
use super::dice::Dice;
use super::fonts::Style;
use super::geometry::Rect;
use super::page::{Page, Studio, View};
use super::text::{Pen, Printed};
use super::words::{self, say};

/// How the cells of a column look.
struct Column {
    head: String,
    form: String,
    /// Hundredths: typical size of its numbers.
    scale: i64,
}

/// The text of one cell.
pub fn cell(dice: &mut Dice, form: &str, scale: i64) -> String {
    match form {
        "money" => format!(
            "{}{}",
            ["$", "", "€", "£"][(scale % 4) as usize],
            words::grouped(dice.int(50, scale.max(100)), '.', ',')
        ),
        "int" => {
            let text = words::grouped(dice.int(1, scale.max(10)) * 100, '.', ',');
            text.trim_end_matches("00")
                .trim_end_matches('.')
                .to_string()
        }
        "small" => dice.int(1, 30).to_string(),
        "dec" => format!("{:.1}", dice.real(0.1, scale as f32 / 100.0 + 1.0)),
        "percent" => format!("{}%", dice.int(1, 99)),
        "signed" => format!("{:+.1}%", dice.real(-9.9, 9.9)),
        "date" => say(dice, "", "date"),
        "clock" => say(dice, "", "clock"),
        "code" => say(dice, "", "CODE"),
        "country" => say(dice, "", "countryname"),
        "city" => say(dice, "us", "city"),
        "phone" => say(dice, "us", "phone"),
        "sizev" => say(dice, "", "size"),
        other => say(dice, "", other),
    }
}

fn row_names(dice: &mut Dice, n: usize) -> Vec<String> {
    let list = [
        "countryname",
        "thing",
        "thing.food",
        "Pseudo",
        "person",
        "monthname",
        "city.us",
        "item",
        "c.label",
        "CODE",
    ][dice.weighted(&[3.0, 2.0, 2.0, 1.5, 2.0, 1.0, 1.5, 1.5, 1.0, 0.5])];
    let mut names: Vec<String> = Vec::new();
    for _ in 0..n * 8 {
        let name = say(dice, "us", list);
        if names.len() < n && !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn columns(dice: &mut Dice, n: usize) -> Vec<Column> {
    let heads = words::options("t.head");
    let mut columns: Vec<Column> = Vec::new();
    for _ in 0..n * 6 {
        let (head, form) = dice.pick(heads).split_once('=').unwrap_or(("Value", "int"));
        if columns.len() < n && columns.iter().all(|c| c.head != head) {
            let scale = [100, 1000, 10_000, 200_000][dice.index(4)];
            columns.push(Column {
                head: head.to_string(),
                form: form.to_string(),
                scale,
            });
        }
    }
    columns
}

/// Draws one table and everything that can be asked about it.
pub fn make(studio: &mut Studio<'_>) -> Result<Page> {
    let Studio { fonts, dice } = studio;
    let size = dice.real(12.0, 24.0);
    let style = [Style::Sans, Style::Serif, Style::Mono, Style::Display]
        [dice.weighted(&[6.0, 2.0, 1.2, 0.5])];
    let face = fonts.pick(dice, style, false);
    let heavy = fonts.sister(face, true);
    let stretch = dice.real(0.88, 1.08);
    let mut body = Pen::new(fonts, face, size, stretch)?;
    let mut bold = Pen::new(fonts, heavy, size, stretch)?;
    let mut title_pen = Pen::new(fonts, heavy, size * dice.real(1.1, 1.7), stretch)?;
    let (n_rows, n_columns) = (dice.int(3, 18) as usize, dice.int(1, 6) as usize);
    let names = row_names(dice, n_rows);
    let columns = columns(dice, n_columns);
    let row_head = [
        "", "Name", "Item", "Country", "Product", "Team", "Item", "Station", "Category",
    ][dice.index(9)];
    let cells: Vec<Vec<String>> = names
        .iter()
        .map(|_| {
            columns
                .iter()
                .map(|c| cell(dice, &c.form, c.scale))
                .collect()
        })
        .collect();
    // Widths of the columns, then of the page.
    let pad = size * dice.real(0.5, 1.4);
    let first = names
        .iter()
        .map(|n| body.width(n))
        .fold(bold.width(row_head), f32::max)
        + 2.0 * pad;
    let widths: Vec<f32> = (0..columns.len())
        .map(|c| {
            cells
                .iter()
                .map(|r| bold.width(&r[c]))
                .fold(bold.width(&columns[c].head), f32::max)
                + 2.0 * pad
        })
        .collect();
    let margin = size * dice.real(0.6, 4.0);
    let natural = first + widths.iter().sum::<f32>();
    let spread = (dice.real(1.0, 1.6) * natural).max(260.0) / natural;
    let (first, widths): (f32, Vec<f32>) =
        (first * spread, widths.iter().map(|w| w * spread).collect());
    let width = natural * spread + 2.0 * margin;
    let row = size * dice.real(1.4, 2.3);
    let titled = dice.chance(0.7);
    let total = dice.chance(0.25);
    let height = margin * 2.0
        + row * (names.len() as f32 + 2.0 + f32::from(u8::from(total)))
        + if titled { size * 3.0 } else { 0.0 }
        + size * 2.5;
    let dark = dice.chance(0.07);
    let paper = if dark {
        [30, 32, 38]
    } else {
        [
            [255, 255, 255],
            [250, 250, 250],
            [248, 246, 238],
            [240, 244, 248],
        ][dice.weighted(&[5.0, 2.0, 1.0, 1.0])]
    };
    let ink = if dark {
        [225, 225, 228]
    } else {
        [[20, 20, 22], [60, 60, 65], [30, 40, 80]][dice.weighted(&[5.0, 2.0, 0.7])]
    };
    let mut page = Page::new(width as usize, height as usize, paper);
    page.view = if dice.chance(0.5) {
        View::Sheet
    } else {
        View::Screen
    };
    let mut y = margin;
    if titled {
        let title = say(dice, "us", "c.title");
        let align = if dice.chance(0.5) { 0.0 } else { 0.5 };
        y += title_pen.size;
        if title_pen.width(&title) < width - 2.0 * margin
            && let Some(p) = page.print_in(
                dice,
                &mut title_pen,
                (margin, width - margin, align),
                y,
                &title,
                ink,
            )
        {
            page.ask(
                dice,
                "table_title",
                "q.table_title",
                "",
                &p.text,
                vec![p.rect],
            );
        }
        y += size * 1.2;
    }
    let accent = [
        [40, 70, 130],
        [60, 60, 60],
        [30, 110, 80],
        [140, 40, 50],
        [220, 225, 235],
    ][dice.index(5)];
    let banner = dice.chance(0.4);
    let stripes = dice.chance(0.35);
    let lines = dice.weighted(&[3.0, 3.0, 2.0, 2.0]);
    let rule_color = mix(ink, paper, dice.real(0.0, 0.7));
    let align = [1.0, 0.5, 0.0][dice.weighted(&[4.0, 3.0, 2.0])];
    let top = y;
    let base = |y: f32| y + row * 0.5 + size * 0.35;
    let (x1, x2) = (margin, width - margin);
    let edges: Vec<f32> = std::iter::once(x1)
        .chain(widths.iter().scan(x1 + first, |x, w| {
            let at = *x;
            *x += w;
            Some(at)
        }))
        .chain([x2])
        .collect();
    if banner {
        page.canvas.fill(Rect::new(x1, y, x2, y + row), accent, 1.0);
    }
    let head_ink = if banner && accent[0] < 200 {
        [250, 250, 250]
    } else {
        ink
    };
    let span = |c: usize, align: f32| (edges[c] + pad * 0.5, edges[c + 1] - pad * 0.5, align);
    if !row_head.is_empty() {
        page.print_in(dice, &mut bold, span(0, 0.0), base(y), row_head, head_ink);
    }
    for (c, column) in columns.iter().enumerate() {
        page.print_in(
            dice,
            &mut bold,
            span(c + 1, align),
            base(y),
            &column.head,
            head_ink,
        );
    }
    y += row;
    let mut printed: Vec<(Printed, Vec<Printed>)> = Vec::new();
    for (r, name) in names.iter().enumerate() {
        if stripes && r % 2 == 1 {
            page.canvas
                .fill(Rect::new(x1, y, x2, y + row), mix(paper, ink, 0.08), 1.0);
        }
        if lines == 0 || lines == 1 {
            page.canvas.rule(x1, x2, y, 1.0, 0.0, rule_color);
        }
        let label = page.print_in(dice, &mut body, span(0, 0.0), base(y), name, ink);
        let values: Vec<Printed> = cells[r]
            .iter()
            .enumerate()
            .filter_map(|(c, text)| {
                page.print_in(dice, &mut body, span(c + 1, align), base(y), text, ink)
            })
            .collect();
        if let Some(label) = label.filter(|_| values.len() == columns.len()) {
            printed.push((label, values));
        }
        y += row;
    }
    if total {
        page.canvas.rule(x1, x2, y, 2.0, 0.0, ink);
        page.print_in(dice, &mut bold, span(0, 0.0), base(y), "Total", ink);
        for (c, column) in columns.iter().enumerate() {
            if !["money", "int", "small", "dec"].contains(&column.form.as_str()) {
                continue;
            }
            let text = cell(dice, &column.form, column.scale * 8);
            if let Some(p) = page.print_in(dice, &mut bold, span(c + 1, align), base(y), &text, ink)
            {
                let question = say(dice, "", "q.table_total").replace('~', &column.head);
                page.ask_as("table_total", question, vec![p.text.clone()], vec![p.rect]);
            }
        }
        y += row;
    }
    match lines {
        0 => edges.iter().for_each(|&x| {
            page.canvas
                .fill(Rect::new(x, top, x + 1.0, y), rule_color, 1.0)
        }),
        2 => page.canvas.rule(x1, x2, top + row, 2.0, 0.0, ink),
        _ => {}
    }
    if lines < 3 {
        page.canvas.rule(x1, x2, top, 1.0, 0.0, rule_color);
        page.canvas.rule(x1, x2, y, 1.0, 0.0, rule_color);
    }
    if dice.chance(0.3) {
        let note = say(dice, "us", "c.note");
        if body.width(&note) < x2 - x1 {
            let y = y + size * 1.4;
            page.print(dice, &mut body, (x1, y), &note, mix(ink, paper, 0.3));
        }
    }
    for (label, values) in &printed {
        for (column, value) in columns.iter().zip(values) {
            let question = say(dice, "", "q.cell")
                .replace('=', &label.text)
                .replace('~', &column.head);
            page.ask_as("cell", question, vec![value.text.clone()], vec![value.rect]);
        }
        if let [value] = values.as_slice() {
            page.ask(
                dice,
                "cell",
                "q.label",
                &label.text,
                &value.text,
                vec![value.rect],
            );
        }
    }
    Ok(page)
}
