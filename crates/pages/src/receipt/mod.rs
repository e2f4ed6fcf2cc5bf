//! Receipts: header, numbers and dates, goods, sums, payment, footer, in many layouts.

mod goods;
mod header;
mod payment;
mod till;

use anyhow::Result;

use super::fonts::Style;
use super::money::Money;
use super::page::{Page, Studio};
use super::text::Pen;
use till::{Case, Sums, Till};

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
    let hand_face = fonts.pick(dice, Style::Hand, false);
    let mut hand = Pen::new(fonts, hand_face, size * dice.real(1.3, 1.9), 1.0)?;
    hand.thick = true;
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
        inline: dice.chance(0.06),
        apart: dice.chance(0.2),
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
        hand,
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
    header::header(&mut till);
    till.rule(rule);
    header::details(&mut till, true);
    till.rule(rule);
    let total = goods::goods(&mut till, rule);
    till.rule(rule);
    let slip = till
        .dice
        .chance(if matches!(till.money.country.as_str(), "us" | "ca") {
            0.3
        } else {
            0.05
        });
    if slip {
        payment::slip(&mut till, total);
    } else {
        payment::sums(&mut till, total, rule);
    }
    if till.dice.chance(0.35) {
        till.rule(rule);
        header::details(&mut till, false);
    }
    payment::footer(&mut till);
    till.y += till.dice.real(1.0, 5.0) * size;
    let mut page = till.page;
    let bottom = (till.y as usize).min(page.canvas.h);
    // Lines of a very long receipt that are below the canvas go with it.
    page.keep_rows(0, bottom);
    Ok(page)
}
