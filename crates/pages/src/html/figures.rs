//! Designs that are drawn rather than set, as SVG: maps and floor plans (charts: `plot.rs`).

use super::super::page::View;
use super::super::words::expand;
use super::browser::Viewport;
use super::designs::different;
use super::draft::{Draft, escaped};

/// Where text stands from its point: its start, middle or end.
const ANCHORS: [&str; 3] = ["start", "middle", "end"];

/// One text of a drawing.
pub struct Text<'a> {
    /// Where it starts, has its middle or ends, on its base line, CSS pixels.
    pub x: f64,
    /// See `x`.
    pub y: f64,
    /// Font size, CSS pixels.
    pub size: f64,
    /// Which of [`ANCHORS`].
    pub anchor: usize,
    /// Colour.
    pub fill: &'a str,
    /// Its mark as a part; empty where nothing is asked about it.
    pub mark: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl Text<'_> {
    /// As an element.
    pub fn html(&self) -> String {
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
