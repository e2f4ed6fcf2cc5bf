//! Boxes and arrows, as SVG: what follows what, who stands above whom.

use super::super::page::View;
use super::browser::Viewport;
use super::designs::different;
use super::draft::{Draft, escaped};
use super::figures::Text;

/// One box: its middle, its text.
struct Node {
    x: f64,
    y: f64,
    text: String,
    mark: String,
}

/// Colours of boxes: ground and ink.
const BOXES: [[&str; 2]; 5] = [
    ["#fff", "#222"],
    ["#e3f2fd", "#0d2b45"],
    ["#fff3e0", "#4a2b00"],
    ["#263238", "#eceff1"],
    ["#e8f5e9", "#123524"],
];

/// A chain down or across, or a tree below one box.
pub fn flow(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.language = "";
    draft.style.push_str("svg{display:block}");
    let tree = draft.dice.chance(0.5);
    let count = draft.dice.int(4, 9);
    let list = draft.dice.pick(&["v.step", "v.step", "item"]);
    let texts = different(draft, list, count);
    let size = f64::from(draft.dice.real(11.0, 16.0));
    let longest = texts.iter().map(|t| t.chars().count()).max().unwrap_or(8) as f64;
    let (bw, bh) = (
        longest * size * 0.58 + 18.0,
        size * f64::from(draft.dice.real(2.0, 3.2)),
    );
    let gap = f64::from(draft.dice.real(22.0, 60.0));
    let across = draft.dice.chance(0.35);
    // Where each box stands in rows and columns, and which it hangs from.
    let places: Vec<(usize, usize, Option<usize>)> = (0..texts.len())
        .map(|i| match (tree, i) {
            (_, 0) => (0, 0, None),
            (true, i) if i <= 3 => (1, i - 1, Some(0)),
            (true, i) => (2 + (i - 4) / 3, (i - 4) % 3, Some(i - 3)),
            // A chain in rows of three, or straight down.
            (false, i) if across => (i / 3, i % 3, Some(i - 1)),
            (false, i) => (i, 0, Some(i - 1)),
        })
        .collect();
    let mut nodes = Vec::new();
    for (text, (row, column, _)) in texts.into_iter().zip(&places) {
        let mark = draft.mark();
        nodes.push(Node {
            x: 16.0 + bw / 2.0 + *column as f64 * (bw + gap),
            y: 16.0 + bh / 2.0 + *row as f64 * (bh + gap),
            text,
            mark,
        });
    }
    if tree {
        nodes[0].x += bw + gap;
    }
    let w = nodes.iter().map(|n| n.x).fold(0.0, f64::max) + bw / 2.0 + 16.0;
    let h = nodes.iter().map(|n| n.y).fold(0.0, f64::max) + bh / 2.0 + 16.0;
    let [ground, ink] = BOXES[draft.dice.index(BOXES.len())];
    let round = draft.dice.int(0, 10);
    draft.add(&format!(
        "<svg width={w:.0} height={h:.0}><defs><marker id=a viewBox='0 0 8 8' refX=8 refY=4 markerWidth=8 markerHeight=8 orient=auto>\
         <path d='M0 0L8 4L0 8z' fill='#777'/></marker></defs>"
    ));
    for (node, (_, _, from)) in nodes.iter().zip(&places) {
        let Some(from) = from else { continue };
        let start = &nodes[*from];
        let same = (start.y - node.y).abs() < 1.0;
        let (x1, y1, x2, y2) = match same {
            true => (start.x + bw / 2.0, start.y, node.x - bw / 2.0, node.y),
            false => (start.x, start.y + bh / 2.0, node.x, node.y - bh / 2.0),
        };
        draft.add(&format!(
            "<path d='M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}' stroke='#777' stroke-width=1.5 marker-end='url(#a)'/>"
        ));
    }
    for node in &nodes {
        draft.add(&format!(
            "<rect x={:.1} y={:.1} width={bw:.1} height={bh:.1} rx={round} fill='{ground}' stroke='#777'/>",
            node.x - bw / 2.0,
            node.y - bh / 2.0
        ));
        let text = Text {
            x: node.x,
            y: node.y + size * 0.35,
            size,
            anchor: 1,
            fill: ink,
            mark: &node.mark,
            text: &node.text,
        };
        draft.add(&text.html());
    }
    draft.add("</svg>");
    if draft.dice.chance(0.3) {
        let prose = draft.say("s.prose");
        draft.add(&format!("<p class=quiet>{}</p>", escaped(&prose)));
    }
    // What follows, where one box alone does; the ends.
    for (i, (_, _, from)) in places.iter().enumerate() {
        let Some(from) = *from else { continue };
        let alone = places.iter().filter(|p| p.2 == Some(from)).count() == 1;
        if alone {
            draft.ask(
                &nodes[i].mark,
                "map",
                "c.after",
                &nodes[from].text,
                &nodes[i].text,
            );
        }
        if draft.dice.chance(0.4) {
            draft.ask(
                &nodes[from].mark,
                "map",
                "c.before",
                &nodes[i].text,
                &nodes[from].text,
            );
        }
    }
    let list = if tree && draft.dice.chance(0.5) {
        "b.top"
    } else {
        "b.first"
    };
    draft.ask(&nodes[0].mark, "map", list, "", &nodes[0].text);
    if !tree && let Some(last) = nodes.last() {
        draft.ask(&last.mark, "map", "b.last", "", &last.text);
    }
    let viewport = Viewport {
        width: w as u32 + 40,
        height: None,
        scale: [1.0, 1.5, 2.0][draft.dice.index(3)],
    };
    (View::Display, viewport)
}
