//! Filled-in office forms, faxes and memos: labels with values beside or below them.
//!
//! Half of them come out of an archive ([`super::archive`]); many of those were typed throughout.

mod blocks;
mod prose;
mod sheet;

use anyhow::Result;

use super::canvas::mix;
use super::fonts::Style;
use super::marks;
use super::page::{Page, Studio, View};
use super::text::Pen;
use super::words::{self, say};
use sheet::Sheet;

/// Draws one form and everything that can be asked about it.
pub fn make(studio: &mut Studio<'_>) -> Result<Page> {
    let Studio { fonts, dice } = studio;
    let old = dice.chance(0.5);
    let typed = dice.chance(if old { 0.55 } else { 0.1 });
    let width = if old {
        dice.real(760.0, 1150.0)
    } else {
        dice.real(720.0, 1500.0)
    };
    let height = width * dice.real(1.2, 1.42);
    // Letters on a line of the sheet.
    let size = if old {
        (width / dice.real(50.0, 82.0)).clamp(11.0, 24.0)
    } else {
        (width / dice.real(46.0, 80.0)).clamp(13.0, 30.0)
    };
    let style = if typed {
        Style::Typed
    } else {
        [Style::Sans, Style::Serif, Style::Mono][dice.weighted(&[5.0, 3.0, 2.0])]
    };
    let dark = dice.chance(0.3);
    let face = fonts.pick(dice, style, dark);
    let heavy = fonts.sister(face, true);
    let filled = [
        Style::Mono,
        Style::Hand,
        Style::Sans,
        Style::Serif,
        Style::Typed,
    ][dice.weighted(&[2.0, 2.5, 1.5, 1.0, if old { 4.0 } else { 1.5 }])];
    let same = dice.chance(if typed { 0.75 } else { 0.2 });
    let value_face = if same {
        face
    } else {
        fonts.pick(dice, filled, false)
    };
    let stretch = if typed {
        dice.real(0.78, 1.0)
    } else {
        dice.real(0.88, 1.08)
    };
    let label = Pen::new(fonts, face, size, stretch)?;
    let hand = filled == Style::Hand && !same;
    let mut value = Pen::new(
        fonts,
        value_face,
        size * if hand {
            dice.real(1.0, 1.5)
        } else {
            dice.real(0.9, 1.1)
        },
        stretch,
    )?;
    value.wear = if dice.chance(0.3) {
        dice.real(0.0, 0.5)
    } else {
        0.0
    };
    let wobbly = matches!(filled, Style::Mono | Style::Typed);
    value.wobble = if hand || (wobbly && dice.chance(0.4)) {
        size * 0.04
    } else {
        0.0
    };
    value.thick = hand && value.size < 34.0;
    // A typewriter has one size of letters.
    let (large, little) = if typed {
        (dice.real(1.0, 1.3), 1.0)
    } else {
        (dice.real(1.2, 1.9), dice.real(0.65, 0.95))
    };
    let head = Pen::new(fonts, heavy, size * large, stretch)?;
    let small = Pen::new(fonts, face, (size * little).max(11.0), stretch)?;
    let paper = [
        [255, 255, 255],
        [252, 251, 246],
        [244, 240, 228],
        [250, 246, 214],
        [232, 240, 248],
    ][dice.weighted(&[5.0, 2.0, 1.5, 0.4, 0.4])];
    let ink = [[15, 15, 18], [50, 50, 55], [30, 40, 100], [30, 80, 60]]
        [dice.weighted(&[6.0, 2.0, 0.6, 0.3])];
    let pen_ink = if hand {
        [[25, 35, 130], [20, 20, 25], [60, 60, 70]][dice.index(3)]
    } else {
        mix([10, 10, 12], paper, dice.real(0.0, 0.3))
    };
    let margin = width * dice.real(0.05, 0.12);
    let mut sheet = Sheet {
        page: Page::new(width as usize, height as usize, paper),
        label,
        value,
        head,
        small,
        ink,
        pen_ink,
        y: height * dice.real(0.02, 0.08),
        left: margin,
        right: width - margin,
        row: size * dice.real(1.6, 2.4),
        upper: dice.chance(0.4),
        under: dice.chance(if old { 0.25 } else { 0.05 }),
        country: if dice.chance(0.7) {
            "us".to_string()
        } else {
            say(dice, "", "country")
        },
        used: Vec::new(),
        dice,
    };
    if old {
        sheet.page.view = View::Archive;
    }
    sheet.heading();
    let bottom = height - margin * 0.8 - size * 3.0;
    let mut parts = 0;
    while sheet.y < bottom - sheet.row * 5.0 && parts < 12 {
        parts += 1;
        let room = ((bottom - sheet.y) / (sheet.row * 1.5)) as i64;
        let rows = sheet.dice.int(2, 7).min(room.max(1)) as usize;
        let memo = if old { 3.0 } else { 0.8 };
        let blocks = if typed {
            [5.0, 0.7, 0.5, 1.5, 1.0, 1.5, 0.7, memo]
        } else {
            [4.0, 2.5, 1.5, 1.5, 1.2, 1.5, 1.2, memo]
        };
        match sheet.dice.weighted(&blocks) {
            0 => {
                let wide = width / size > 55.0;
                let weights: &[f32] = if wide { &[5.0, 4.0, 0.6] } else { &[7.0, 2.0] };
                let columns = 1 + sheet.dice.weighted(weights);
                sheet.lines(rows, columns);
            }
            1 => sheet.boxes(rows.min(4)),
            2 => sheet.ledger(rows),
            3 => {
                let n = sheet.dice.int(1, 4) as usize;
                sheet.prose(n);
            }
            4 => sheet.checks(),
            5 => {
                let columns = sheet.dice.int(1, 3) as usize;
                sheet.stacks(rows.min(3), columns);
            }
            6 => {
                let (n, columns) = (
                    1 + sheet.dice.weighted(&[3.0, 1.0, 1.0, 1.0]),
                    sheet.dice.int(2, 5),
                );
                sheet.grid(n.min(rows), columns as usize);
            }
            _ => sheet.paragraphs(rows.min(4)),
        }
        if sheet.dice.chance(0.03) {
            break;
        }
    }
    sign_and_number(&mut sheet, height);
    Ok(sheet.page)
}

/// A signature, a page number, an archive's stamp number.
fn sign_and_number(sheet: &mut Sheet<'_>, height: f32) {
    if sheet.dice.chance(0.35) && sheet.y < height - sheet.row * 3.0 {
        sheet.y += sheet.row * 1.5;
        let y = sheet.y;
        let x = sheet.left;
        let w = (sheet.right - sheet.left) * 0.4;
        sheet.rule(x, x + w, y + 2.0);
        let size = sheet.label.size;
        marks::scribble(
            sheet.dice,
            &mut sheet.page.canvas,
            (x + size, y - size * 0.6),
            (x + w * 0.7, y - size * 0.4),
            size * 0.7,
            2.0,
            sheet.pen_ink,
        );
        let text = [
            "Signature of applicant",
            "Authorized signature",
            "Signed",
            "Approved",
        ][sheet.dice.index(4)];
        let base = y + sheet.small.size * 1.3;
        sheet
            .page
            .print(sheet.dice, &mut sheet.small, (x, base), text, sheet.ink);
    }
    if sheet.dice.chance(0.45) {
        let pattern = ["{^}#######", "{@}{@}{^}#####", "{^}### {^}###"][sheet.dice.index(3)];
        let number = words::expand(sheet.dice, "", pattern);
        let y = height - sheet.label.size * sheet.dice.real(0.8, 1.6);
        let align = [0.0, 0.5, 1.0][sheet.dice.index(3)];
        let (x1, x2) = (sheet.left * 0.6, sheet.right);
        let pen = if sheet.dice.chance(0.5) {
            &mut sheet.value
        } else {
            &mut sheet.label
        };
        if let Some(p) =
            sheet
                .page
                .print_in(sheet.dice, pen, (x1, x2, align), y, &number, [20, 20, 20])
        {
            sheet.page.ask(
                sheet.dice,
                "form_number",
                "q.form_number",
                "",
                &p.text,
                vec![p.rect],
            );
        }
    }
}
