//! Charts whose numbers stand at their marks: bars upright or lying, beside or on each other, or points on lines. SVG.

use super::super::page::View;
use super::super::words::grouped;
use super::browser::Viewport;
use super::designs::different;
use super::draft::{Draft, escaped};
use super::figures::Text;

/// Colours of the series.
const PALETTES: [[&str; 4]; 6] = [
    ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1"],
    ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"],
    ["#264653", "#2a9d8f", "#e76f51", "#8a5a44"],
    ["#3366cc", "#dc3912", "#109618", "#990099"],
    ["#08519c", "#3182bd", "#6baed6", "#2171b5"],
    ["#555", "#888", "#333", "#777"],
];

/// What shows the numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    Beside,
    Stacked,
    Lines,
}

/// How numbers are printed.
struct Print {
    /// Digits behind the point.
    decimals: usize,
    point: char,
    comma: char,
    suffix: &'static str,
}

impl Print {
    fn of(&self, value: f64) -> String {
        let text = grouped((value * 100.0).round() as i64, self.point, self.comma);
        let cut = [3, 1, 0][self.decimals];
        format!("{}{}", &text[..text.len() - cut], self.suffix)
    }
}

/// A chart.
struct Plot {
    marks: Marks,
    /// Categories run from top to bottom instead of from left to right.
    lying: bool,
    /// The categories' names.
    labels: Vec<String>,
    /// The series' names; one without a name where there is one only.
    series: Vec<String>,
    colors: [&'static str; 4],
    /// `[categories, series]`.
    values: Vec<Vec<f64>>,
    /// A number's order of magnitude.
    scale: f64,
    print: Print,
    /// Font size, CSS pixels.
    size: f64,
    /// Left, top, width and height of the area between the axes, CSS pixels.
    area: [f64; 4],
    /// The value at the end of its axis.
    top: f64,
}

/// A chart with everything that can be asked about its numbers.
pub fn plot(draft: &mut Draft<'_>) -> (View, Viewport) {
    let plot = Plot::any(draft);
    let title = draft.say("c.title");
    draft.add(&format!("<h2>{}</h2>", escaped(&title)));
    if draft.dice.chance(0.4) {
        let (label, value) = draft.field("period", "chart");
        draft.add(&format!("<p class=quiet>{label}: {value}</p>"));
    }
    let legend_below = draft.dice.chance(0.3);
    let legend = plot.legend();
    if !legend_below {
        draft.add(&legend);
    }
    let [left, _, w, h] = plot.area;
    draft.add(&format!(
        "<svg width={:.0} height={:.0} style='display:block'>",
        left + w + 6.0 * plot.size,
        h + 2.0 * plot.size + plot.foot()
    ));
    if draft.dice.chance(0.7) {
        plot.grid(draft);
    }
    plot.draw(draft);
    draft.add("</svg>");
    if legend_below {
        draft.add(&legend);
    }
    if draft.dice.chance(0.6) {
        let (label, value) = draft.field("source", "chart");
        draft.add(&format!(
            "<p class=quiet><small>{label}: {value}</small></p>"
        ));
    }
    let viewport = Viewport {
        width: (left + w + 8.0 * plot.size + 36.0) as u32,
        height: None,
        scale: [1.0, 1.5, 2.0][draft.dice.weighted(&[3.0, 1.0, 2.0])],
    };
    (View::Display, viewport)
}

/// The names of a chart's categories; years follow each other.
fn categories(draft: &mut Draft<'_>, n: i64) -> Vec<String> {
    let lists = [
        "countryname",
        "month3",
        "agegroup",
        "Pseudo",
        "city",
        "item",
        "c.label",
    ];
    match draft.dice.index(lists.len() + 2) {
        list if list < lists.len() => different(draft, lists[list], n),
        _ => {
            let first = draft.dice.int(1985, 2025 - n);
            (first..first + n).map(|year| year.to_string()).collect()
        }
    }
}

/// A way to print numbers of an order of magnitude.
fn print(draft: &mut Draft<'_>, scale: f64) -> Print {
    let decimals = match scale as i64 {
        10 => draft.dice.int(1, 2),
        100 => draft.dice.int(0, 2),
        _ => 0,
    } as usize;
    let suffix = ["", "", "", "%", " %", "k", " t", " M", " €"][draft.dice.index(9)];
    let (point, comma) = match (draft.language, draft.dice.index(4)) {
        ("", 0) => ('.', ' '),
        ("", _) => ('.', ','),
        _ => (',', '.'),
    };
    Print {
        decimals,
        point,
        comma,
        suffix,
    }
}

impl Plot {
    /// Some chart.
    fn any(draft: &mut Draft<'_>) -> Self {
        let marks =
            [Marks::Beside, Marks::Stacked, Marks::Lines][draft.dice.weighted(&[3.0, 2.5, 2.0])];
        let lying = marks != Marks::Lines && draft.dice.chance(0.4);
        let many = draft.dice.int(3, 12);
        let labels = categories(draft, many);
        let many = match marks {
            Marks::Stacked => draft.dice.int(2, 4),
            _ => draft.dice.weighted(&[3.0, 2.5, 1.0]) as i64 + 1,
        };
        let mut series = different(draft, "c.series", many);
        if many == 1 || series.is_empty() {
            series = vec![String::new()];
        }
        let colors = PALETTES[draft.dice.index(PALETTES.len())];
        let size = f64::from(draft.dice.real(10.0, 17.0));
        let scale = 10f64.powi(draft.dice.int(1, 5) as i32);
        let print = print(draft, scale);
        let mut value = || scale * f64::from(draft.dice.real(0.04, 1.0));
        let row = |_: &String| series.iter().map(|_| value()).collect();
        let values: Vec<Vec<f64>> = labels.iter().map(row).collect();
        let whole = |row: &Vec<f64>| match marks {
            Marks::Stacked => row.iter().sum::<f64>(),
            _ => row.iter().copied().fold(0.0, f64::max),
        };
        let mut plot = Self {
            marks,
            lying,
            top: values.iter().map(whole).fold(0.0, f64::max) * 1.15,
            labels,
            series,
            colors,
            values,
            scale,
            print,
            size,
            area: [0.0; 4],
        };
        plot.lay_out(draft);
        plot
    }

    /// Finds room for all names and numbers.
    fn lay_out(&mut self, draft: &mut Draft<'_>) {
        let size = self.size;
        let bars = self.labels.len()
            * match self.marks {
                Marks::Beside => self.series.len(),
                _ => 1,
            };
        let (w, h) = if self.lying {
            let high = bars as f64 * size * f64::from(draft.dice.real(1.5, 2.6));
            (f64::from(draft.dice.real(380.0, 900.0)), high + 3.0 * size)
        } else {
            // As wide as the longest number needs, or a little less: now and then two touch.
            let texts = self.values.iter().flatten().map(|v| self.print.of(*v));
            let widest = texts.map(|text| self.wide(&text)).fold(0.0, f64::max);
            let column = widest * f64::from(draft.dice.real(0.95, 2.0));
            (
                (bars as f64 * column).clamp(280.0, 1400.0),
                f64::from(draft.dice.real(220.0, 520.0)),
            )
        };
        let left = if self.lying {
            self.longest()
        } else {
            4.0 * size
        };
        self.area = [left + size, 2.0 * size, w, h];
    }

    /// About how wide a text is, CSS pixels.
    fn wide(&self, text: &str) -> f64 {
        text.chars().count() as f64 * self.size * 0.6
    }

    /// Width of the longest category's name.
    fn longest(&self) -> f64 {
        let wide = self.labels.iter().map(|label| self.wide(label));
        wide.fold(self.size * 0.6, f64::max)
    }

    /// Whether the categories' names are turned: they are too long to stand beside each other.
    fn turned(&self) -> bool {
        !self.lying && self.longest() > self.area[2] / self.labels.len() as f64
    }

    /// Room below the axes.
    fn foot(&self) -> f64 {
        match self.turned() {
            true => self.longest() * 0.75 + 2.0 * self.size,
            false => 2.5 * self.size,
        }
    }

    /// A point of the drawing: `along` in categories from the first one's edge, `value` in the axis' units.
    fn at(&self, along: f64, value: f64) -> (f64, f64) {
        let [x, y, w, h] = self.area;
        let (along, up) = (along / self.labels.len() as f64, value / self.top);
        if self.lying {
            (x + up * w, y + along * h)
        } else {
            (x + along * w, y + h - up * h)
        }
    }

    /// The series' names beside their colours.
    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let entry = |(name, color): (&String, &&str)| {
            format!(
                "<span style='margin-right:1.2em'><span style='display:inline-block;width:.8em;height:.8em;background:{color}'></span> {}</span>",
                escaped(name)
            )
        };
        let entries: String = self.series.iter().zip(&self.colors).map(entry).collect();
        format!("<div style='font-size:{:.1}px'>{entries}</div>", self.size)
    }

    /// Lines across, with the axis' numbers.
    fn grid(&self, draft: &mut Draft<'_>) {
        for i in 0..=5 {
            let value = self.top * f64::from(i) / 5.0;
            let (a, b) = (
                self.at(0.0, value),
                self.at(self.labels.len() as f64, value),
            );
            draft.add(&format!(
                "<path d='M{:.1} {:.1}L{:.1} {:.1}' stroke='#8885' />",
                a.0, a.1, b.0, b.1
            ));
            let (x, y, anchor) = match self.lying {
                true => (a.0, b.1 + 1.4 * self.size, 1),
                false => (a.0 - 6.0, a.1 + 0.35 * self.size, 2),
            };
            let tick = Text {
                x,
                y,
                size: self.size * 0.85,
                anchor,
                fill: "#888",
                mark: "",
                text: &self
                    .print
                    .of((value / self.scale * 20.0).round() / 20.0 * self.scale),
            };
            draft.add(&tick.html());
        }
    }

    /// The categories with their names, marks and numbers.
    fn draw(&self, draft: &mut Draft<'_>) {
        // In the middle of a bar, at its end inside it, or beyond its end.
        let place = draft.dice.weighted(&[1.0, 1.0, 2.0]);
        let gap = f64::from(draft.dice.real(0.1, 0.4));
        for (i, row) in self.values.iter().enumerate() {
            self.name(draft, i);
            let mut below = 0.0;
            for (j, value) in row.iter().enumerate() {
                let from = match self.marks {
                    Marks::Stacked => below,
                    _ => 0.0,
                };
                below = from + value;
                let first = i as f64 + gap / 2.0;
                let along = match self.marks {
                    Marks::Beside => {
                        let part = (1.0 - gap) / row.len() as f64;
                        [first + j as f64 * part, first + (j + 1) as f64 * part]
                    }
                    _ => [first, first + 1.0 - gap],
                };
                self.mark(draft, [i, j], along, [from, below]);
                self.number(draft, [i, j], along, [from, below], place);
            }
        }
    }

    /// A category's name.
    fn name(&self, draft: &mut Draft<'_>, i: usize) {
        let (x, y) = self.at(i as f64 + 0.5, 0.0);
        let (x, y, anchor) = match self.lying {
            true => (x - 6.0, y + 0.35 * self.size, 2),
            false => (x, y + 1.5 * self.size, 1),
        };
        let name = Text {
            x,
            y,
            size: self.size,
            anchor: if self.turned() { 2 } else { anchor },
            fill: "currentColor",
            mark: "",
            text: &self.labels[i],
        };
        let html = name.html();
        draft.add(&match self.turned() {
            true => format!("<g transform='rotate(-35 {x:.1} {y:.1})'>{html}</g>"),
            false => html,
        });
    }

    /// A bar, or a point and the line to it from the one before.
    fn mark(&self, draft: &mut Draft<'_>, [i, j]: [usize; 2], along: [f64; 2], value: [f64; 2]) {
        let color = self.colors[j % 4];
        if self.marks == Marks::Lines {
            let (x, y) = self.at(i as f64 + 0.5, value[1]);
            draft.add(&format!(
                "<circle cx={x:.1} cy={y:.1} r=3.5 fill={color} />"
            ));
            if i > 0 {
                let (a, b) = self.at(i as f64 - 0.5, self.values[i - 1][j]);
                draft.add(&format!(
                    "<path d='M{a:.1} {b:.1}L{x:.1} {y:.1}' stroke={color} stroke-width=2 />"
                ));
            }
            return;
        }
        let (a, b) = (self.at(along[0], value[0]), self.at(along[1], value[1]));
        draft.add(&format!(
            "<rect x={:.1} y={:.1} width={:.1} height={:.1} fill={color} />",
            a.0.min(b.0),
            a.1.min(b.1),
            (a.0 - b.0).abs(),
            (a.1 - b.1).abs()
        ));
    }

    /// A mark's number, where there is room for it, and the question for it.
    fn number(
        &self,
        draft: &mut Draft<'_>,
        [i, j]: [usize; 2],
        along: [f64; 2],
        value: [f64; 2],
        place: usize,
    ) {
        let Self { size, lying, .. } = *self;
        let stacked = self.marks == Marks::Stacked;
        let row = &self.values[i];
        let text = self.print.of(row[j]);
        let middle = f64::midpoint(along[0], along[1]);
        let (start, end) = (self.at(middle, value[0]), self.at(middle, value[1]));
        let long = (start.0 - end.0).abs() + (start.1 - end.1).abs();
        let [_, _, w, h] = self.area;
        let thick = if lying { h } else { w } / self.labels.len() as f64 * (along[1] - along[0]);
        let (needed, thin) = match lying {
            true => (self.wide(&text) + 8.0, thick < size),
            false => (size + 8.0, thick < self.wide(&text)),
        };
        let inside = self.marks != Marks::Lines && place < 2 && long > needed && !thin;
        // A segment that is too short for its number has none, nor has a point beside another one.
        let near = |other: &f64| (self.at(middle, *other).1 - end.1).abs() < size * 1.2;
        let crowded = self.marks == Marks::Lines && row[..j].iter().any(near);
        let last = j + 1 == row.len();
        if crowded || (stacked && !inside && (long <= needed || !last)) {
            return;
        }
        let (x, y, anchor) = match (lying, inside, place == 0 || stacked) {
            (_, true, true) => (
                f64::midpoint(start.0, end.0),
                f64::midpoint(start.1, end.1) + 0.35 * size,
                1,
            ),
            (true, true, false) => (end.0 - 5.0, end.1 + 0.35 * size, 2),
            (false, true, false) => (end.0, end.1 + size + 2.0, 1),
            (true, false, _) => (end.0 + 5.0, end.1 + 0.35 * size, 0),
            (false, false, _) => (end.0, end.1 - 5.0, 1),
        };
        let mark = format!("v{i}_{j}");
        let number = Text {
            x,
            y,
            size,
            anchor,
            fill: if inside { "#fff" } else { "currentColor" },
            mark: &mark,
            text: &text,
        };
        draft.add(&number.html());
        let (series, label) = (&self.series[j], &self.labels[i]);
        let question = if series.is_empty() {
            draft.say("c.bar")
        } else {
            draft.say("c.chart").replace('=', series)
        };
        draft.put(&mark, "chart", question.replace('~', label), &text);
    }
}
