//! Charts with printed numbers: bars, columns, stacked bars, pies, lines.

mod bars;
mod base;
mod pie;

use anyhow::Result;

use super::canvas::readable;
use super::dice::Dice;
use super::fonts::Style;
use super::geometry::Rect;
use super::page::{Page, Studio, View};
use super::text::Pen;
use super::words::say;
use base::{Chart, PALETTES};

fn labels(dice: &mut Dice, n: usize, list: &str) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for _ in 0..n * 10 {
        let label = say(dice, "us", list);
        if labels.len() < n && !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

/// Draws one chart and everything that can be asked about it.
pub fn make(studio: &mut Studio<'_>) -> Result<Page> {
    let Studio { fonts, dice } = studio;
    let kind = dice.weighted(&[4.0, 2.5, 3.0, 2.0, 1.5]);
    let size = dice.real(10.5, 19.0);
    let style = [Style::Sans, Style::Serif, Style::Display][dice.weighted(&[6.0, 1.5, 0.7])];
    let face = fonts.pick(dice, style, false);
    let heavy = fonts.sister(face, true);
    let title_face = if dice.chance(0.3) {
        fonts.pick(dice, Style::Serif, true)
    } else {
        heavy
    };
    let stretch = dice.real(0.88, 1.05);
    let n = match kind {
        0 | 1 => dice.int(3, 14),
        3 => dice.int(2, 6),
        _ => dice.int(3, 9),
    } as usize;
    // In a row of columns long names do not fit.
    let lists: &[&str] = if matches!(kind, 2 | 4) {
        &["month3", "year", "agegroup", "region", "Pseudo", "c.label"]
    } else {
        &[
            "countryname",
            "c.label",
            "opinion",
            "mood",
            "thing",
            "agegroup",
            "people",
            "education",
            "Pseudo",
            "region",
            "dept",
            "c.label",
        ]
    };
    let list = dice.pick(lists);
    let labels = labels(dice, n, list);
    let several = matches!(kind, 1) || (matches!(kind, 0 | 2 | 4) && dice.chance(0.3));
    let series: Vec<String> = if several {
        let m = dice.int(2, 4) as usize;
        let list = if kind == 1 && dice.chance(0.5) {
            "opinion"
        } else {
            "c.series"
        };
        self::labels(dice, m, list)
    } else {
        Vec::new()
    };
    let m = series.len().max(1);
    let decimals = [2, 3][dice.index(2)];
    let unit = [0, 1, decimals, 4, 5, 6, 7][dice.weighted(&[4.0, 3.0, 1.5, 0.5, 0.8, 0.5, 2.0])];
    let values: Vec<Vec<f32>> = labels
        .iter()
        .map(|_| {
            (0..m)
                .map(|_| dice.real(2.0, if kind == 1 { 60.0 } else { 98.0 }))
                .collect()
        })
        .collect();
    let width = dice.real(250.0, 900.0).max(size * 22.0);
    let rows = labels.len() as f32 * if kind == 0 { m as f32 } else { 1.0 };
    let height = match kind {
        0 | 1 => size * (rows * dice.real(1.5, 2.6) + 10.0),
        _ => width * dice.real(0.5, 0.95) + size * 4.0,
    };
    let dark = dice.chance(0.06);
    let paper = if dark {
        [25, 28, 36]
    } else {
        [
            [255, 255, 255],
            [250, 250, 248],
            [240, 244, 248],
            [255, 250, 240],
            [238, 238, 238],
        ][dice.weighted(&[6.0, 1.0, 1.0, 0.7, 0.6])]
    };
    let mut page = Page::new(width as usize, height as usize, paper);
    page.view = if dice.chance(0.1) {
        View::Sheet
    } else {
        View::Screen
    };
    let margin = size * dice.real(0.6, 2.0);
    let mut colors = PALETTES[dice.index(PALETTES.len())].to_vec();
    dice.shuffle(&mut colors);
    for color in &mut colors {
        *color = readable(*color, paper, 40.0);
    }
    let mut chart = Chart {
        page,
        pen: Pen::new(fonts, face, size, stretch)?,
        bold: Pen::new(fonts, heavy, size, stretch)?,
        title: Pen::new(fonts, title_face, size * dice.real(1.1, 1.7), stretch)?,
        small: Pen::new(fonts, face, (size * 0.8).max(9.5), stretch)?,
        ink: if dark {
            [230, 230, 232]
        } else {
            [[15, 15, 15], [65, 65, 70]][dice.index(2)]
        },
        colors,
        labels,
        series,
        values,
        unit,
        area: Rect::new(margin, margin, width - margin, height - margin),
        dice,
    };
    chart.head_and_notes();
    if !chart.series.is_empty() {
        chart.legend();
    }
    match kind {
        0 => chart.bars(false),
        1 => chart.bars(true),
        2 => chart.columns(),
        3 => chart.pie(),
        _ => chart.line(),
    }
    extremes(&mut chart);
    Ok(chart.page)
}

/// Questions about the largest and the smallest number, where there is one only.
fn extremes(chart: &mut Chart<'_>) {
    if !chart.series.is_empty() {
        return;
    }
    let mut order: Vec<usize> = (0..chart.labels.len()).collect();
    order.sort_by(|&a, &b| chart.values[a][0].total_cmp(&chart.values[b][0]));
    let asked = |page: &Page, name: &str| {
        page.asks
            .iter()
            .find(|a| a.kind == "chart_value" && a.question.contains(&format!("\"{name}\"")))
            .cloned()
    };
    let all_shown = chart.labels.iter().all(|l| asked(&chart.page, l).is_some());
    if !all_shown || order.len() < 3 {
        return;
    }
    for (i, list) in [(order.len() - 1, "q.chart_maxv"), (0, "q.chart_minv")] {
        let rival = if i == 0 { 1 } else { i - 1 };
        let (at, other) = (order[i], order[rival]);
        let differ = (chart.values[at][0] - chart.values[other][0]).abs() > 1.5;
        if let Some(ask) = asked(&chart.page, &chart.labels[at]).filter(|_| differ) {
            chart.page.ask(
                chart.dice,
                "chart_extreme",
                list,
                "",
                &ask.answers[0],
                ask.rects,
            );
        }
    }
}
