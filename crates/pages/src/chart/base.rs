//! What all charts have: data, colours, headline, notes, legend.

use crate::canvas::{Color, luma, mix};
use crate::dice::Dice;
use crate::geometry::Rect;
use crate::page::Page;
use crate::text::{Pen, Printed};
use crate::words::{self, say};

/// Title, type and data of a chart.
pub struct Chart<'a> {
    pub page: Page,
    pub dice: &'a mut Dice,
    pub pen: Pen,
    pub bold: Pen,
    pub title: Pen,
    pub small: Pen,
    pub ink: Color,
    pub colors: Vec<Color>,
    pub labels: Vec<String>,
    pub series: Vec<String>,
    /// By label, then by series.
    pub values: Vec<Vec<f32>>,
    pub unit: usize,
    /// Left, top, right, bottom of the room that is left for the drawing.
    pub area: Rect,
}

pub const PALETTES: [[Color; 5]; 7] = [
    [
        [31, 119, 180],
        [255, 127, 14],
        [44, 160, 44],
        [214, 39, 40],
        [148, 103, 189],
    ],
    [
        [67, 106, 130],
        [148, 178, 195],
        [206, 217, 224],
        [191, 152, 87],
        [230, 210, 170],
    ],
    [
        [120, 130, 60],
        [190, 196, 140],
        [220, 224, 190],
        [140, 80, 50],
        [200, 160, 130],
    ],
    [
        [90, 90, 90],
        [150, 150, 150],
        [195, 195, 195],
        [60, 60, 60],
        [220, 220, 220],
    ],
    [
        [0, 90, 160],
        [0, 150, 200],
        [120, 200, 230],
        [240, 180, 0],
        [200, 60, 40],
    ],
    [
        [200, 80, 70],
        [240, 170, 90],
        [250, 215, 130],
        [110, 160, 130],
        [60, 100, 120],
    ],
    [
        [76, 60, 130],
        [140, 120, 190],
        [200, 190, 225],
        [230, 120, 150],
        [250, 200, 210],
    ],
];

pub fn number(value: f32, unit: usize, first: bool) -> String {
    match unit {
        0 => format!("{value:.0}"),
        1 => format!("{value:.0}%"),
        2 => format!("{value:.1}"),
        3 => format!("{value:.1}%"),
        4 => format!("${:.1}M", value / 3.0),
        5 => words::grouped((value * 37.0) as i64 * 100, '.', ',')
            .trim_end_matches("00")
            .trim_end_matches('.')
            .to_string(),
        6 => format!("${value:.0}"),
        // The sign with the first number only, as many editors have it.
        7 if first => format!("{value:.0}%"),
        _ => format!("{value:.0}"),
    }
}

pub fn readable_on(color: Color) -> Color {
    if luma(color) > 140.0 {
        [20, 20, 20]
    } else {
        [255, 255, 255]
    }
}

impl Chart<'_> {
    /// Breaks `text` into lines and prints them from `y`; returns them.
    pub fn block(&mut self, which: usize, text: &str, color: Color) -> Vec<Printed> {
        let pen = [
            &mut self.title,
            &mut self.pen,
            &mut self.small,
            &mut self.bold,
        ]
        .into_iter()
        .nth(which);
        let Some(pen) = pen else { return Vec::new() };
        let (x1, x2) = (self.area.x1, self.area.x2);
        let mut printed = Vec::new();
        let mut line = String::new();
        for word in text.split(' ').chain([""]) {
            let longer = if line.is_empty() {
                word.to_string()
            } else {
                format!("{line} {word}")
            };
            if word.is_empty() || pen.width(&longer) > x2 - x1 {
                self.area.y1 += pen.size * 1.2;
                let at = (x1, self.area.y1 - pen.size * 0.2);
                printed.extend(self.page.print(self.dice, pen, at, &line, color));
                line = word.to_string();
            } else {
                line = longer;
            }
        }
        printed
    }

    pub fn head_and_notes(&mut self) {
        let ink = self.ink;
        if self.dice.chance(0.85) {
            let title = say(self.dice, "us", "c.title");
            let lines = self.block(0, &title, ink);
            if let Some(all) = lines.iter().map(|l| l.rect).reduce(Rect::union) {
                let text: Vec<&str> = lines.iter().map(|l| l.text.as_str()).collect();
                let text = text.join(" ");
                self.page.ask(
                    self.dice,
                    "chart_title",
                    "q.chart_title",
                    "",
                    &text,
                    vec![all],
                );
            }
        }
        if self.dice.chance(0.45) {
            let text = if self.dice.chance(0.5) {
                say(self.dice, "us", "c.title")
            } else {
                [
                    "in percent",
                    "% saying ...",
                    "in millions",
                    "Index",
                    "thousand units",
                    "Number per year",
                ][self.dice.index(6)]
                .to_string()
            };
            let grey = mix(ink, self.page.paper, 0.35);
            self.block(1, &text, grey);
        }
        self.area.y1 += self.pen.size * 0.8;
        if self.dice.chance(0.7) {
            let note = say(self.dice, "us", "c.note");
            let grey = mix(ink, self.page.paper, 0.3);
            let keep = self.area.y1;
            let lines = (self.small.width(&note) / self.area.width())
                .ceil()
                .max(1.0)
                + 0.3;
            let top = self.area.y2 - lines * self.small.size * 1.25;
            self.area.y1 = top;
            let printed = self.block(2, &note, grey);
            if let Some(all) = printed.iter().map(|l| l.rect).reduce(Rect::union) {
                let text: Vec<&str> = printed.iter().map(|l| l.text.as_str()).collect();
                let text = text.join(" ");
                if text.starts_with("Source") || text.starts_with("Data") {
                    self.page.ask(
                        self.dice,
                        "chart_source",
                        "q.chart_source",
                        "",
                        &text,
                        vec![all],
                    );
                }
            }
            self.area.y1 = keep;
            self.area.y2 = top - self.pen.size * 0.6;
        }
    }

    /// Names of the series with their colours in a row.
    pub fn legend(&mut self) {
        let mut x = self.area.x1;
        let size = self.pen.size;
        let y = self.area.y1 + size;
        for (i, name) in self.series.clone().iter().enumerate() {
            let color = self.colors[i % 5];
            self.page.canvas.fill(
                Rect::new(x, y - size * 0.65, x + size * 0.65, y),
                color,
                1.0,
            );
            let Some(p) = self
                .page
                .print(self.dice, &mut self.pen, (x + size, y), name, self.ink)
            else {
                continue;
            };
            x = p.rect.x2 + size;
        }
        self.area.y1 = y + size * 0.8;
    }

    pub fn noted(&mut self, label: usize, series: usize, text: &str, rect: Rect) {
        let name = self.labels[label].clone();
        if self.series.is_empty() {
            for _ in 0..2 {
                self.page.ask(
                    self.dice,
                    "chart_value",
                    "q.chart_value",
                    &name,
                    text,
                    vec![rect],
                );
            }
        } else {
            let question = say(self.dice, "", "q.chart_series")
                .replace('=', &name)
                .replace('~', &self.series[series]);
            self.page
                .ask_as("chart_series", question, vec![text.to_string()], vec![rect]);
        }
    }
}
