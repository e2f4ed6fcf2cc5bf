//! Charts with printed numbers: bars, columns, stacked bars, pies, lines.

use anyhow::Result;

use super::canvas::{Color, luma, mix, readable};
use super::dice::Dice;
use super::fonts::Style;
use super::geometry::Rect;
use super::page::{Page, Studio, View};
use super::text::{Pen, Printed};
use super::words::{self, say};

/// Title, type and data of a chart.
struct Chart<'a> {
    page: Page,
    dice: &'a mut Dice,
    pen: Pen,
    bold: Pen,
    title: Pen,
    small: Pen,
    ink: Color,
    colors: Vec<Color>,
    labels: Vec<String>,
    series: Vec<String>,
    /// By label, then by series.
    values: Vec<Vec<f32>>,
    unit: usize,
    /// Left, top, right, bottom of the room that is left for the drawing.
    area: Rect,
}

const PALETTES: [[Color; 5]; 7] = [
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

fn number(value: f32, unit: usize, first: bool) -> String {
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

fn readable_on(color: Color) -> Color {
    if luma(color) > 140.0 {
        [20, 20, 20]
    } else {
        [255, 255, 255]
    }
}

impl Chart<'_> {
    /// Breaks `text` into lines and prints them from `y`; returns them.
    fn block(&mut self, which: usize, text: &str, color: Color) -> Vec<Printed> {
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

    fn head_and_notes(&mut self) {
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
    fn legend(&mut self) {
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

    fn noted(&mut self, label: usize, series: usize, text: &str, rect: Rect) {
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

    /// Bars from left to right, one or several to a label, or one made of parts.
    fn bars(&mut self, stacked: bool) {
        let n = self.labels.len();
        let m = self.series.len().max(1);
        let widest = self
            .labels
            .iter()
            .map(|l| self.pen.width(l))
            .fold(0.0, f32::max);
        let room = self.area.width();
        let label_w = widest.min(room * 0.5) + self.pen.size * 0.6;
        let x0 = self.area.x1 + label_w;
        let value_w = self.pen.size * 3.4;
        let most = if stacked {
            self.values
                .iter()
                .map(|v| v.iter().sum::<f32>())
                .fold(1.0, f32::max)
        } else {
            self.values
                .iter()
                .flatten()
                .fold(1.0, |a: f32, b| a.max(*b))
        };
        let scale = (room - label_w - value_w).max(40.0) / most;
        let pitch = self.area.height() / n as f32;
        let thick = (pitch * self.dice.real(0.5, 0.85))
            .min(self.pen.size * 3.0 * m as f32)
            .max(if stacked {
                6.0
            } else {
                self.pen.size * 0.95 * m as f32
            });
        let flush = self.dice.chance(0.7);
        let inside = self.dice.chance(0.35) || stacked;
        let tick = self.dice.chance(0.3);
        for l in 0..n {
            let top = self.area.y1 + l as f32 * pitch + (pitch - thick) * 0.5;
            let base = top + thick * 0.5 + self.pen.size * 0.35;
            let name = self.labels[l].clone();
            let span = (
                self.area.x1,
                x0 - self.pen.size * 0.5,
                if flush { 1.0 } else { 0.0 },
            );
            self.page
                .print_in(self.dice, &mut self.pen, span, base, &name, self.ink);
            let mut x = x0;
            for s in 0..m {
                let value = self.values[l][s];
                let length = value * scale;
                let color = self.colors[s % 5];
                let part = thick / m as f32;
                let bar = if stacked {
                    Rect::new(x, top, x + length, top + thick)
                } else {
                    Rect::new(
                        x0,
                        top + s as f32 * part,
                        x0 + length,
                        top + (s as f32 + 0.92) * part,
                    )
                };
                self.page.canvas.fill(bar, color, 1.0);
                let text = number(value, self.unit, l == 0);
                let w = self.pen.width(&text);
                let base = bar.center().1 + self.pen.size * 0.35;
                let fits = w + 4.0 < length;
                let p = if inside && fits {
                    let at = if stacked {
                        bar.center().0 - w * 0.5
                    } else {
                        bar.x2 - w - 4.0
                    };
                    self.page.print(
                        self.dice,
                        &mut self.pen,
                        (at, base),
                        &text,
                        readable_on(color),
                    )
                } else if stacked {
                    None
                } else {
                    let at = bar.x2 + self.pen.size * 0.35;
                    self.page
                        .print(self.dice, &mut self.pen, (at, base), &text, self.ink)
                };
                if let Some(p) = p {
                    self.noted(l, s, &p.text, p.rect);
                }
                x += length;
            }
        }
        if tick {
            self.page.canvas.fill(
                Rect::new(x0 - 1.0, self.area.y1, x0, self.area.y2),
                mix(self.ink, self.page.paper, 0.4),
                1.0,
            );
        }
    }

    /// Columns side by side with their labels below.
    fn columns(&mut self) {
        let n = self.labels.len();
        let m = self.series.len().max(1);
        let pitch = self.area.width() / n as f32;
        let floor = self.area.y2 - self.pen.size * 1.6;
        let most = self
            .values
            .iter()
            .flatten()
            .fold(1.0, |a: f32, b| a.max(*b));
        let scale = (floor - self.area.y1 - self.pen.size * 1.3).max(30.0) / most;
        let share = self.dice.real(0.5, 0.88);
        let grey = mix(self.ink, self.page.paper, 0.6);
        if self.dice.chance(0.4) {
            for i in 0..=4 {
                let y = floor - most * scale * i as f32 / 4.0;
                self.page.canvas.rule(
                    self.area.x1,
                    self.area.x2,
                    y,
                    1.0,
                    0.0,
                    mix(grey, self.page.paper, 0.5),
                );
            }
        }
        self.page
            .canvas
            .rule(self.area.x1, self.area.x2, floor, 1.0, 0.0, grey);
        for l in 0..n {
            let x1 = self.area.x1 + (l as f32 + 0.5 - share * 0.5) * pitch;
            let w = pitch * share / m as f32;
            let name = self.labels[l].clone();
            let span = (x1, x1 + pitch * share, 0.5);
            let base = floor + self.pen.size * 1.15;
            self.page
                .print_in(self.dice, &mut self.pen, span, base, &name, self.ink);
            for s in 0..m {
                let value = self.values[l][s];
                let bar = Rect::new(
                    x1 + s as f32 * w,
                    floor - value * scale,
                    x1 + (s as f32 + 0.94) * w,
                    floor,
                );
                self.page.canvas.fill(bar, self.colors[s % 5], 1.0);
                let text = number(value, self.unit, l == 0);
                if self.pen.width(&text) > w * 1.1 {
                    continue;
                }
                let inside = self.dice.chance(0.1) && value * scale > self.pen.size * 1.6;
                let (base, color) = if inside {
                    (bar.y1 + self.pen.size, readable_on(self.colors[s % 5]))
                } else {
                    (bar.y1 - self.pen.size * 0.25, self.ink)
                };
                if let Some(p) = self.page.print_in(
                    self.dice,
                    &mut self.pen,
                    (bar.x1, bar.x2, 0.5),
                    base,
                    &text,
                    color,
                ) {
                    self.noted(l, s, &p.text, p.rect);
                }
            }
        }
    }

    /// A pie or a ring; label and number beside or in each part.
    fn pie(&mut self) {
        let total: f32 = self.values.iter().map(|v| v[0]).sum();
        let r = (self.area.width().min(self.area.height()) * 0.3).max(30.0);
        let (cx, cy) = self.area.center();
        let hole = if self.dice.chance(0.4) { r * 0.55 } else { 0.0 };
        let mut a = self.dice.real(0.0, 6.28);
        let joined = self.dice.chance(0.4);
        let mut taken: Vec<Rect> = Vec::new();
        for l in 0..self.labels.len() {
            let share = self.values[l][0] / total;
            let end = a + share * std::f32::consts::TAU;
            let color = if l < 5 {
                self.colors[l]
            } else {
                mix(self.colors[l % 5], [255, 255, 255], 0.4)
            };
            let steps = (share * 60.0).ceil().max(2.0) as usize;
            let arc = |r: f32, k: usize| {
                let t = a + (end - a) * k as f32 / steps as f32;
                (cx + r * t.cos(), cy + r * t.sin())
            };
            let mut points: Vec<(f32, f32)> = (0..=steps).map(|k| arc(r, k)).collect();
            if hole > 0.0 {
                points.extend((0..=steps).rev().map(|k| arc(hole, k)));
            } else {
                points.push((cx, cy));
            }
            self.page.canvas.polygon(&points, color, 1.0);
            let middle = (a + end) * 0.5;
            a = end;
            let text = number(self.values[l][0], self.unit, l == 0);
            let name = self.labels[l].clone();
            let (w, size) = (
                self.pen.width(&name).max(self.pen.width(&text)),
                self.pen.size,
            );
            let gap = size * 0.8;
            let (px, py) = (cx + (r + gap) * middle.cos(), cy + (r + gap) * middle.sin());
            let x = if middle.cos() >= 0.0 { px } else { px - w };
            let place = Rect::new(x, py - size, x + w, py + size * 1.3);
            let free = taken
                .iter()
                .all(|t| t.overlap_x(place) <= 0.0 || t.overlap_y(place) <= 0.0);
            if !free || x < 1.0 || x + w > self.page.canvas.w as f32 {
                continue;
            }
            taken.push(place);
            if joined {
                let line = format!("{name} {text}");
                if x + self.pen.width(&line) < self.page.canvas.w as f32
                    && let Some(p) = self.page.print(
                        self.dice,
                        &mut self.pen,
                        (x, py + size * 0.35),
                        &line,
                        self.ink,
                    )
                {
                    let rect = p.bytes(p.text.len() - text.len().min(p.text.len()), p.text.len());
                    taken.push(p.rect);
                    self.noted(l, 0, &text, rect);
                }
                continue;
            }
            self.page
                .print(self.dice, &mut self.pen, (x, py), &name, self.ink);
            let inner = (r + hole) * 0.5 + if hole > 0.0 { 0.0 } else { r * 0.15 };
            let p = if share > 0.09 && self.dice.chance(0.7) {
                let at = (
                    cx + inner * middle.cos() - self.bold.width(&text) * 0.5,
                    cy + inner * middle.sin() + size * 0.35,
                );
                self.page
                    .print(self.dice, &mut self.bold, at, &text, readable_on(color))
            } else {
                self.page.print(
                    self.dice,
                    &mut self.bold,
                    (x, py + size * 1.15),
                    &text,
                    self.ink,
                )
            };
            if let Some(p) = p {
                self.noted(l, 0, &p.text, p.rect);
            }
        }
    }

    /// A line through points with their numbers.
    fn line(&mut self) {
        let n = self.labels.len();
        let m = self.series.len().max(1);
        let pitch = self.area.width() / n as f32;
        let floor = self.area.y2 - self.pen.size * 1.6;
        let most = self
            .values
            .iter()
            .flatten()
            .fold(1.0, |a: f32, b| a.max(*b));
        let scale = (floor - self.area.y1 - self.pen.size * 1.6).max(30.0) / most;
        self.page.canvas.rule(
            self.area.x1,
            self.area.x2,
            floor,
            1.0,
            0.0,
            mix(self.ink, self.page.paper, 0.5),
        );
        for s in 0..m {
            let at =
                |l: usize, v: f32| (self.area.x1 + (l as f32 + 0.5) * pitch, floor - v * scale);
            let points: Vec<(f32, f32)> = (0..n).map(|l| at(l, self.values[l][s])).collect();
            let color = self.colors[s % 5];
            self.page
                .canvas
                .path(&points, (self.pen.size * 0.15).max(1.5), color, 1.0);
            for (l, &(x, y)) in points.iter().enumerate() {
                self.page
                    .canvas
                    .disc((x, y), self.pen.size * 0.22, 0.0, 1.0, color, 1.0);
                let text = number(self.values[l][s], self.unit, l == 0);
                let span = (x - pitch * 0.5, x + pitch * 0.5, 0.5);
                let clash = m > 1
                    && (0..m).any(|o| {
                        o != s
                            && (self.values[l][o] - self.values[l][s]).abs() * scale
                                < self.pen.size * 2.2
                    });
                let base = y - self.pen.size * 0.5;
                if !clash
                    && let Some(p) = self.page.print_in(
                        self.dice,
                        &mut self.pen,
                        span,
                        base,
                        &text,
                        readable(color, self.page.paper, 90.0),
                    )
                {
                    self.noted(l, s, &p.text, p.rect);
                }
            }
        }
        for l in 0..n {
            let name = self.labels[l].clone();
            let span = (
                self.area.x1 + l as f32 * pitch,
                self.area.x1 + (l as f32 + 1.0) * pitch,
                0.5,
            );
            let base = floor + self.pen.size * 1.2;
            self.page
                .print_in(self.dice, &mut self.pen, span, base, &name, self.ink);
        }
    }
}

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
