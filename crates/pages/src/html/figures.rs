//! Designs that are drawn rather than set: maps, charts with numbers at their marks, floor plans. All are SVG.

use super::super::page::View;
use super::super::words::{expand, grouped};
use super::browser::Viewport;
use super::designs::different;
use super::draft::{Draft, escaped};

/// Where text stands from its point: its start, middle or end.
const ANCHORS: [&str; 3] = ["start", "middle", "end"];

/// One text of a drawing. `mark` is empty where nothing is asked about it.
struct Text<'a> {
    x: f64,
    y: f64,
    size: f64,
    anchor: usize,
    fill: &'a str,
    mark: &'a str,
    text: &'a str,
}

impl Text<'_> {
    fn html(&self) -> String {
        let part = match self.mark {
            "" => String::new(),
            mark => format!(" data-p={mark}"),
        };
        format!(
            "<text x={:.1} y={:.1} font-size={:.1} text-anchor={} fill={}{part}>{}</text>",
            self.x,
            self.y,
            self.size,
            ANCHORS[self.anchor],
            self.fill,
            escaped(self.text)
        )
    }
}

/// A map: streets as lines, names beside dots.
pub fn map(draft: &mut Draft<'_>) -> (View, Viewport) {
    let (w, h) = (draft.dice.int(500, 1000), draft.dice.int(400, 800));
    draft.style.push_str("body{padding:0}svg{display:block}");
    draft.add(&format!(
        "<svg width={w} height={h} style='background:#f1efe9'>"
    ));
    for _ in 0..draft.dice.int(5, 12) {
        let (a, b) = (draft.dice.int(0, h), draft.dice.int(0, h));
        let wide = draft.dice.int(3, 14);
        draft.add(&format!(
            "<path d='M0 {a}L{w} {b}' stroke='#fff' stroke-width={wide} />"
        ));
    }
    let count = draft.dice.int(5, 12);
    let places = different(draft, "s.place", count);
    let rows = places.len().max(1) as i64;
    for (i, place) in places.into_iter().enumerate() {
        let x = draft.dice.int(10, w * 2 / 3);
        let y = (i as i64 * h / rows) + draft.dice.int(14, (h / rows).max(16) - 2);
        let mark = format!("m{i}");
        draft.ask(&mark, "map", "c.where", &place, &place);
        let name = Text {
            x: x as f64 + 8.0,
            y: y as f64,
            size: draft.dice.int(11, 17) as f64,
            anchor: 0,
            fill: "#222",
            mark: &mark,
            text: &place,
        };
        draft.add(&format!("<circle cx={x} cy={y} r=4 fill='#c0392b' />"));
        draft.add(&name.html());
    }
    draft.add("</svg>");
    let viewport = Viewport {
        width: w as u32,
        height: Some(h as u32),
        scale: 1.0,
    };
    (View::Display, viewport)
}

/// How a chart shows its numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    Beside,
    Stacked,
    Lines,
}

/// A chart in the making: `n` categories along one axis, values from 0 to `top` along the other.
struct Plot {
    /// Left, top, width and height of the area between the axes, CSS pixels.
    area: [f64; 4],
    /// Categories run from top to bottom instead of from left to right.
    lying: bool,
    n: usize,
    top: f64,
}

impl Plot {
    /// A point of the drawing: `along` in categories from the first one's edge, `value` in the axis' units.
    fn at(&self, along: f64, value: f64) -> (f64, f64) {
        let [x, y, w, h] = self.area;
        let (along, up) = (along / self.n as f64, value / self.top);
        if self.lying {
            (x + up * w, y + along * h)
        } else {
            (x + along * w, y + h - up * h)
        }
    }

    /// A bar between two places along the categories and two values, as SVG.
    fn bar(&self, along: [f64; 2], value: [f64; 2], fill: &str) -> String {
        let (a, b) = (self.at(along[0], value[0]), self.at(along[1], value[1]));
        format!(
            "<rect x={:.1} y={:.1} width={:.1} height={:.1} fill={fill} />",
            a.0.min(b.0),
            a.1.min(b.1),
            (a.0 - b.0).abs(),
            (a.1 - b.1).abs()
        )
    }
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

/// A chart whose numbers stand at its marks: bars upright or lying, beside or on each other, or points on lines.
pub fn plot(draft: &mut Draft<'_>) -> (View, Viewport) {
    const PALETTES: [[&str; 4]; 6] = [
        ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1"],
        ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"],
        ["#264653", "#2a9d8f", "#e76f51", "#8a5a44"],
        ["#3366cc", "#dc3912", "#109618", "#990099"],
        ["#08519c", "#3182bd", "#6baed6", "#2171b5"],
        ["#555", "#888", "#333", "#777"],
    ];
    let marks =
        [Marks::Beside, Marks::Stacked, Marks::Lines][draft.dice.weighted(&[3.0, 2.5, 2.0])];
    let lying = marks != Marks::Lines && draft.dice.chance(0.4);
    let many = draft.dice.int(3, 12);
    let labels = categories(draft, many);
    let n = labels.len().max(1);
    let m = match marks {
        Marks::Stacked => draft.dice.int(2, 4),
        _ => draft.dice.weighted(&[3.0, 2.5, 1.0]) as i64 + 1,
    };
    let series = match different(draft, "c.series", m) {
        series if m > 1 => series,
        _ => vec![String::new()],
    };
    let m = series.len();
    let colors = PALETTES[draft.dice.index(PALETTES.len())];
    let size = f64::from(draft.dice.real(10.0, 17.0));
    let rows = n as f64
        * if marks == Marks::Beside {
            m as f64
        } else {
            1.0
        };
    let scale = 10f64.powi(draft.dice.int(1, 5) as i32);
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
    let printed = |value: f64| {
        let text = grouped((value * 100.0).round() as i64, point, comma);
        let cut = [3, 1, 0][decimals];
        format!("{}{suffix}", &text[..text.len() - cut])
    };
    let values: Vec<Vec<f64>> = (0..n)
        .map(|_| {
            (0..m)
                .map(|_| scale * f64::from(draft.dice.real(0.04, 1.0)))
                .collect()
        })
        .collect();
    // As wide as the longest number needs, or a little less: now and then two touch.
    let digits = values
        .iter()
        .flatten()
        .map(|value| printed(*value).chars().count());
    let wide = digits.max().unwrap_or(1) as f64 * size * 0.6;
    let (w, h) = if lying {
        let high = rows * size * f64::from(draft.dice.real(1.5, 2.6));
        (f64::from(draft.dice.real(380.0, 900.0)), high + 3.0 * size)
    } else {
        let column = wide * f64::from(draft.dice.real(0.95, 2.0));
        (
            (rows * column).clamp(280.0, 1400.0),
            f64::from(draft.dice.real(220.0, 520.0)),
        )
    };
    let whole = |row: &Vec<f64>| match marks {
        Marks::Stacked => row.iter().sum::<f64>(),
        _ => row.iter().copied().fold(0.0, f64::max),
    };
    let longest = labels.iter().map(|l| l.chars().count()).max().unwrap_or(1) as f64;
    let left = if lying {
        longest * size * 0.6
    } else {
        4.0 * size
    };
    let plot = Plot {
        area: [left + size, 2.0 * size, w, h],
        lying,
        n,
        top: values.iter().map(whole).fold(0.0, f64::max) * 1.15,
    };

    let title = draft.say("c.title");
    draft.add(&format!("<h2>{}</h2>", escaped(&title)));
    if draft.dice.chance(0.4) {
        let (label, value) = draft.field("period", "chart");
        draft.add(&format!("<p class=quiet>{label}: {value}</p>"));
    }
    let legend_below = draft.dice.chance(0.3);
    let legend = if m > 1 {
        let entry = |(name, color): (&String, &&str)| {
            format!(
                "<span style='margin-right:1.2em'><span style='display:inline-block;width:.8em;height:.8em;background:{color}'></span> {}</span>",
                escaped(name)
            )
        };
        let entries: String = series.iter().zip(&colors).map(entry).collect();
        format!("<div style='font-size:{size:.1}px'>{entries}</div>")
    } else {
        String::new()
    };
    if !legend_below {
        draft.add(&legend);
    }
    // An upright chart's long names are turned.
    let turned = !lying && longest * size * 0.6 > w / n as f64;
    let foot = if turned {
        longest * size * 0.45 + 2.0 * size
    } else {
        2.5 * size
    };
    draft.add(&format!(
        "<svg width={:.0} height={:.0} style='display:block'>",
        left + w + 7.0 * size,
        h + 2.0 * size + foot
    ));
    if draft.dice.chance(0.7) {
        for i in 0..=5 {
            let value = plot.top * f64::from(i) / 5.0;
            let (a, b) = (plot.at(0.0, value), plot.at(n as f64, value));
            draft.add(&format!(
                "<path d='M{:.1} {:.1}L{:.1} {:.1}' stroke='#8885' />",
                a.0, a.1, b.0, b.1
            ));
            let tick = Text {
                x: a.0 - if lying { 0.0 } else { 6.0 },
                y: if lying {
                    b.1 + 1.4 * size
                } else {
                    a.1 + 0.35 * size
                },
                size: size * 0.85,
                anchor: if lying { 1 } else { 2 },
                fill: "#888",
                mark: "",
                text: &printed((value / scale * 20.0).round() / 20.0 * scale),
            };
            draft.add(&tick.html());
        }
    }
    // In the middle of a bar, at its end inside it, or beyond its end.
    let place = draft.dice.weighted(&[1.0, 1.0, 2.0]);
    let gap = f64::from(draft.dice.real(0.1, 0.4));
    for (i, (label, row)) in labels.iter().zip(&values).enumerate() {
        let (x, y) = plot.at(i as f64 + 0.5, 0.0);
        let name = Text {
            x: if lying { x - 6.0 } else { x },
            y: if lying {
                y + 0.35 * size
            } else {
                y + 1.5 * size
            },
            size,
            anchor: if lying { 2 } else { 1 },
            fill: "currentColor",
            mark: "",
            text: label,
        };
        if turned {
            draft.add(&format!(
                "<g transform='rotate(-35 {:.1} {:.1})'>{}</g>",
                name.x,
                name.y,
                Text { anchor: 2, ..name }.html()
            ));
        } else {
            draft.add(&name.html());
        }
        let mut below = 0.0;
        for (j, (value, series)) in row.iter().zip(&series).enumerate() {
            let (from, to) = match marks {
                Marks::Stacked => (below, below + value),
                _ => (0.0, *value),
            };
            below = to;
            let part = (1.0 - gap) / m as f64;
            let along = match marks {
                Marks::Beside => {
                    let at = i as f64 + gap / 2.0 + j as f64 * part;
                    [at, at + part]
                }
                _ => [i as f64 + gap / 2.0, (i + 1) as f64 - gap / 2.0],
            };
            let middle = f64::midpoint(along[0], along[1]);
            let (start, end) = (plot.at(middle, from), plot.at(middle, to));
            let long = (start.0 - end.0).abs() + (start.1 - end.1).abs();
            let text = printed(*value);
            let wide = text.chars().count() as f64 * size * 0.6;
            let thick = if lying { h } else { w } / n as f64 * (along[1] - along[0]);
            let (needed, thin) = if lying {
                (wide + 8.0, thick < size)
            } else {
                (size + 8.0, thick < wide)
            };
            if marks == Marks::Lines {
                draft.add(&format!(
                    "<circle cx={:.1} cy={:.1} r=3.5 fill={} />",
                    end.0,
                    end.1,
                    colors[j % 4]
                ));
                if i > 0 {
                    let before = plot.at(i as f64 - 0.5, values[i - 1][j]);
                    draft.add(&format!(
                        "<path d='M{:.1} {:.1}L{:.1} {:.1}' stroke={} stroke-width=2 />",
                        before.0,
                        before.1,
                        end.0,
                        end.1,
                        colors[j % 4]
                    ));
                }
            } else {
                draft.add(&plot.bar(along, [from, to], colors[j % 4]));
            }
            let inside = marks != Marks::Lines && place < 2 && long > needed && !thin;
            // A segment that is too short for its number has none, nor has a point beside another one.
            let crowded = marks == Marks::Lines
                && row[..j]
                    .iter()
                    .any(|other| (plot.at(middle, *other).1 - end.1).abs() < size * 1.2);
            if crowded || (marks == Marks::Stacked && !inside && (long <= needed || j + 1 < m)) {
                continue;
            }
            let beyond = if lying { 5.0 } else { -5.0 };
            let (x, y) = match (inside, place == 0 || marks == Marks::Stacked) {
                (true, true) => (
                    f64::midpoint(start.0, end.0),
                    f64::midpoint(start.1, end.1) + 0.35 * size,
                ),
                (true, false) if lying => (end.0 - 5.0, end.1 + 0.35 * size),
                (true, false) => (end.0, end.1 + size + 2.0),
                (false, _) if lying => (end.0 + beyond, end.1 + 0.35 * size),
                (false, _) => (end.0, end.1 + beyond),
            };
            let anchor = match (lying, inside) {
                (true, false) => 0,
                (true, true) if place == 1 && marks != Marks::Stacked => 2,
                _ => 1,
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
            let question = if series.is_empty() {
                draft.say("c.bar").replace('~', label)
            } else {
                draft
                    .say("c.chart")
                    .replace('=', series)
                    .replace('~', label)
            };
            draft.put(&mark, "chart", question, &text);
        }
    }
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
        width: (left + w + 9.0 * size + 36.0) as u32,
        height: None,
        scale: [1.0, 1.5, 2.0][draft.dice.weighted(&[3.0, 1.0, 2.0])],
    };
    (View::Display, viewport)
}

/// A floor plan: rooms with their names and sizes, in metres and in feet.
pub fn plan(draft: &mut Draft<'_>) -> (View, Viewport) {
    let (w, h) = (draft.dice.int(480, 900), draft.dice.int(360, 700));
    let (metric, imperial) =
        [(true, true), (true, false), (false, true)][draft.dice.weighted(&[3.0, 1.0, 1.0])];
    let (label, value) = draft.field("storey", "map");
    let named = draft.dice.chance(0.5);
    let before = if named {
        format!("{label}: ")
    } else {
        String::new()
    };
    draft.add(&format!("<h2>{before}{value}</h2>"));
    let count = draft.dice.int(4, 9);
    let names = different(draft, "s.room", count);
    let mut rooms = vec![[10.0, 10.0, w as f64 - 20.0, h as f64 - 20.0]];
    while rooms.len() < names.len() {
        // The largest room is cut across its longer side.
        let area = |r: &[f64; 4]| r[2] * r[3];
        rooms.sort_by(|a, b| area(a).total_cmp(&area(b)));
        let Some([x, y, rw, rh]) = rooms.pop() else {
            break;
        };
        let at = f64::from(draft.dice.real(0.38, 0.62));
        if rw > rh {
            rooms.push([x, y, rw * at, rh]);
            rooms.push([x + rw * at, y, rw * (1.0 - at), rh]);
        } else {
            rooms.push([x, y, rw, rh * at]);
            rooms.push([x, y + rh * at, rw, rh * (1.0 - at)]);
        }
    }
    let size = f64::from(draft.dice.real(9.5, 14.0));
    let shift = f64::from(draft.dice.real(0.35, 0.6));
    draft.add(&format!(
        "<svg width={w} height={h} style='display:block;background:#fff'>"
    ));
    for (i, (name, [x, y, rw, rh])) in names.iter().zip(rooms).enumerate() {
        draft.add(&format!(
            "<rect x={x:.1} y={y:.1} width={rw:.1} height={rh:.1} fill=none stroke='#222' stroke-width=4 />"
        ));
        let metres = expand(draft.dice, "", "{^}.## x {^}.##");
        let metres = format!("{metres}{}", ["m", " m", ""][draft.dice.index(3)]);
        let feet = expand(draft.dice, "", "{^}#'{^} x {^}'{^}");
        let texts = [
            (name.as_str(), ""),
            (if metric { metres.as_str() } else { "" }, "c.metres"),
            (if imperial { feet.as_str() } else { "" }, "c.feet"),
        ];
        let shown = texts.iter().filter(|(text, _)| !text.is_empty());
        for (row, (text, list)) in shown.enumerate() {
            let mark = format!("r{i}_{row}");
            let line = Text {
                x: x + rw / 2.0,
                y: y + rh * shift + row as f64 * size * 1.3,
                size,
                anchor: 1,
                fill: "#222",
                mark: &mark,
                text,
            };
            draft.add(&line.html());
            let list = match (*list, metric && imperial) {
                ("", _) => continue,
                (list, true) => list,
                (_, false) => "c.room",
            };
            draft.ask(&mark, "map", list, name, text);
        }
    }
    draft.add("</svg>");
    let (label, value) = draft.field("area", "map");
    draft.add(&format!("<p>{label}: {value}</p>"));
    let viewport = Viewport {
        width: w as u32 + 40,
        height: None,
        scale: [1.0, 1.5][draft.dice.index(2)],
    };
    let view = [View::Display, View::Sheet][draft.dice.index(2)];
    (view, viewport)
}
