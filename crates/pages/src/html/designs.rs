//! The designs: what people take screenshots and photographs of. Each fills a [`Draft`] and says how it is looked at.

use super::super::page::View;
use super::bare::{card, notice, nutrition, packet, sentences, ticket};
use super::browser::Viewport;
use super::draft::{Draft, escaped};
use super::figures::{map, plan};
use super::flow::flow;
use super::lists::{feed, gauge, ledger};
use super::plot::plot;
use super::rows::{folders, journeys, quote, ranks, switches};

/// A design: fills the draft, says whether it is paper or a screen and what window it has.
type Design = fn(&mut Draft<'_>) -> (View, Viewport);

/// Every design with its weight.
const DESIGNS: [(Design, f32); 27] = [
    (menu, 2.0),
    (timetable, 2.0),
    (settings, 2.0),
    (dashboard, 1.5),
    (chat, 1.5),
    (label, 2.0),
    (letter, 2.0),
    (shop, 1.5),
    (slide, 1.0),
    (sheet, 1.0),
    (map, 1.0),
    (plot, 3.0),
    (plan, 1.0),
    (feed, 2.0),
    (ledger, 1.0),
    (gauge, 1.5),
    (card, 1.5),
    (ticket, 1.5),
    (packet, 2.0),
    (nutrition, 2.0),
    (notice, 2.5),
    (switches, 2.0),
    (folders, 1.5),
    (journeys, 1.5),
    (ranks, 2.0),
    (quote, 1.5),
    (flow, 2.5),
];

/// Fills a draft with one of the designs.
pub fn any(draft: &mut Draft<'_>) -> (View, Viewport) {
    let weights: Vec<f32> = DESIGNS.iter().map(|d| d.1).collect();
    DESIGNS[draft.dice.weighted(&weights)].0(draft)
}

/// A sheet of so many CSS pixels' width, as high as what it holds.
pub fn paper(draft: &mut Draft<'_>, low: i64, high: i64) -> (View, Viewport) {
    let viewport = Viewport {
        width: draft.dice.int(low, high) as u32,
        height: None,
        scale: f64::from(draft.dice.real(1.0, 2.0)),
    };
    (View::Sheet, viewport)
}

/// A phone's window.
pub fn phone(draft: &mut Draft<'_>) -> (View, Viewport) {
    let viewport = Viewport {
        width: draft.dice.int(340, 430) as u32,
        // A screen seldom filled is cut to what it holds.
        height: draft
            .dice
            .chance(0.4)
            .then(|| draft.dice.int(640, 930) as u32),
        scale: [1.0, 1.5, 2.0, 3.0][draft.dice.weighted(&[2.0, 1.0, 2.0, 1.0])],
    };
    (View::Display, viewport)
}

/// A desktop window.
pub fn desk(draft: &mut Draft<'_>) -> (View, Viewport) {
    let viewport = Viewport {
        width: draft.dice.int(760, 1440) as u32,
        height: draft
            .dice
            .chance(0.5)
            .then(|| draft.dice.int(520, 900) as u32),
        scale: [1.0, 1.25, 1.5][draft.dice.weighted(&[4.0, 1.0, 1.0])],
    };
    (View::Display, viewport)
}

/// One of the two.
pub fn window(draft: &mut Draft<'_>) -> (View, Viewport) {
    if draft.dice.chance(0.5) {
        phone(draft)
    } else {
        desk(draft)
    }
}

/// Different texts of a list, each in no other.
pub fn different(draft: &mut Draft<'_>, key: &str, n: i64) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for _ in 0..3 * n {
        let next = draft.say(key);
        if found.len() < n as usize && !found.contains(&next) && !next.is_empty() {
            found.push(next);
        }
    }
    found
}

/// Dishes and prices, with dots between, in columns, or prices below.
fn menu(draft: &mut Draft<'_>) -> (View, Viewport) {
    let title = draft.say("company");
    draft.add(&format!("<h1>{}</h1>", escaped(&title)));
    draft.style.push_str(match draft.dice.index(4) {
        0 => ".fill{flex:1;border-bottom:2px dotted currentColor;margin:0 .3em .3em}",
        1 => ".row{flex-direction:column;gap:0}",
        2 => ".all{columns:2}h2{break-after:avoid}",
        _ => ".row{border-bottom:1px solid #8886}",
    });
    let (sizes, made_of) = (draft.dice.chance(0.2), draft.dice.chance(0.4));
    if sizes {
        draft
            .style
            .push_str(".size{display:inline-block;width:1.5em}");
        let (small, large) = (draft.say("s.small"), draft.say("s.large"));
        draft.add(&format!(
            "<div class='row quiet'><span></span><span>{} <span class=size></span>{}</span></div>",
            escaped(&small),
            escaped(&large)
        ));
    }
    draft.add("<div class=all>");
    let count = draft.dice.int(1, 4);
    let mut dishes = different(draft, "s.dish", 14);
    for section in different(draft, "s.menu", count) {
        draft.add(&format!("<h2>{}</h2>", escaped(&section)));
        for _ in 0..draft.dice.int(2, 6) {
            let Some(dish) = dishes.pop() else { break };
            let price = draft.money(150, 3_200);
            let (mut html, mark) = draft.marked(&price);
            if sizes {
                draft.ask(&mark, "menu", "c.small", &dish, &price);
                let price = draft.money(300, 4_200);
                let (large, mark) = draft.marked(&price);
                draft.ask(&mark, "menu", "c.large", &dish, &price);
                html = format!("<span>{html} <span class=size></span>{large}</span>");
            } else {
                draft.ask(&mark, "menu", "c.price", &dish, &price);
            }
            draft.add(&format!(
                "<div class=row><span>{}</span><span class=fill></span>{html}</div>",
                escaped(&dish)
            ));
            if made_of {
                let count = draft.dice.int(2, 5);
                let parts = different(draft, "t.food", count).join(", ");
                let (html, mark) = draft.marked(&parts);
                draft.ask(&mark, "menu", "c.within", &dish, &parts);
                draft.add(&format!("<div class=quiet><small>{html}</small></div>"));
            } else if draft.dice.chance(0.25) {
                let note = draft.say("s.prose");
                draft.add(&format!(
                    "<div class=quiet><small>{}</small></div>",
                    escaped(&note)
                ));
            }
        }
    }
    draft.add("</div>");
    let concept = ["tel", "open", "address"][draft.dice.index(3)];
    let (label, value) = draft.field(concept, "menu");
    draft.add(&format!("<p>{label}: {value}</p>"));
    if draft.dice.chance(0.3) {
        window(draft)
    } else {
        paper(draft, 420, 900)
    }
}

/// Times in rows: departures, lessons, events.
fn timetable(draft: &mut Draft<'_>) -> (View, Viewport) {
    let title = draft.say("s.place");
    draft.add(&format!("<h1>{}</h1><table>", escaped(&title)));
    let travel = draft.dice.chance(0.5);
    let count = draft.dice.int(4, 14);
    let key = if travel { "city" } else { "s.event" };
    for what in different(draft, key, count) {
        let time = draft.time();
        let (html, mark) = draft.marked(&time);
        draft.ask(&mark, "table", "c.time", &what, &time);
        let gate = draft.value("platform");
        let (gate_html, gate_mark) = draft.marked(&gate);
        let label = draft.say("s.platform");
        let question = draft.say("c.cell").replace('=', &label).replace('~', &what);
        draft.put(&gate_mark, "table", question, &gate);
        draft.add(&format!(
            "<tr><td>{html}</td><td>{}</td><td>{} {gate_html}</td></tr>",
            escaped(&what),
            if travel {
                escaped(&label)
            } else {
                String::new()
            },
        ));
    }
    draft.add("</table>");
    if draft.dice.chance(0.5) {
        window(draft)
    } else {
        paper(draft, 420, 900)
    }
}

/// Rows of label and value.
pub fn fields(draft: &mut Draft<'_>, concepts: &[&'static str], kind: &'static str) {
    let form = draft.dice.index(4);
    for concept in concepts {
        let (label, value) = draft.field(concept, kind);
        draft.add(&match form {
            0 => format!("<div class=row><span>{label}</span>{value}</div>"),
            1 => format!("<div class=card><div class=quiet>{label}</div>{value}</div>"),
            2 => format!("<div>{label}: <b>{value}</b></div>"),
            _ => format!("<div class=row><b>{label}</b><span class=quiet>{value}</span></div>"),
        });
    }
}

/// A screen of settings with buttons.
fn settings(draft: &mut Draft<'_>) -> (View, Viewport) {
    let title = draft.say("s.plan");
    draft.add(&format!("<h1>{}</h1>", escaped(&title)));
    let from = [
        "version", "storage", "wifi", "language", "plan", "email", "tel", "name", "born", "order",
        "due",
    ];
    let concepts = draft.some(&from, 4, 9);
    fields(draft, &concepts, "ui");
    buttons(draft, 3);
    phone(draft)
}

/// Controls that are asked for by name.
fn buttons(draft: &mut Draft<'_>, most: i64) {
    let count = draft.dice.int(1, most);
    for name in different(draft, "s.button", count) {
        let (html, mark) = draft.marked(&name);
        draft.ask(&mark, "ui", "c.where", &name, &name);
        draft.add(&format!("<p><span class=button>{html}</span></p>"));
    }
}

/// Tiles with large numbers and a table below.
fn dashboard(draft: &mut Draft<'_>) -> (View, Viewport) {
    let columns = draft.dice.int(2, 4);
    draft.style.push_str(&format!(
        ".grid{{grid-template-columns:repeat({columns},1fr)}}"
    ));
    draft.add("<div class=grid>");
    let from = ["revenue", "users", "rate", "orders", "total", "storage"];
    for concept in draft.some(&from, 3, 6) {
        let (label, value) = draft.field(concept, "ui");
        draft.add(&format!(
            "<div class=card><div class=quiet>{label}</div><div class=big>{value}</div></div>"
        ));
    }
    draft.add("</div>");
    cells(draft, "city", &["revenue", "users", "rate", "orders"]);
    desk(draft)
}

/// A table whose cells are asked for by row and column.
fn cells(draft: &mut Draft<'_>, rows: &str, columns: &[&'static str]) {
    let columns = draft.some(columns, 2, 4);
    let heads: Vec<String> = columns
        .iter()
        .map(|concept| draft.say(&format!("s.{concept}")))
        .collect();
    draft.add("<table><tr><th></th>");
    for head in &heads {
        draft.add(&format!("<th>{}</th>", escaped(head)));
    }
    draft.add("</tr>");
    let count = draft.dice.int(3, 9);
    for row in different(draft, rows, count) {
        draft.add(&format!("<tr><td>{}</td>", escaped(&row)));
        for (concept, head) in columns.iter().zip(&heads) {
            let text = draft.value(concept);
            let (html, mark) = draft.marked(&text);
            let question = draft.say("c.cell").replace('=', head).replace('~', &row);
            draft.put(&mark, "table", question, &text);
            draft.add(&format!("<td>{html}</td>"));
        }
        draft.add("</tr>");
    }
    draft.add("</table>");
}

/// Bubbles; some hold a fact.
fn chat(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.style.push_str(
        ".b{max-width:75%;border-radius:14px;padding:.4em .8em;margin:.4em 0;width:fit-content}\
         .me{margin-left:auto;background:#2b7fff;color:#fff}.you{background:#8883}",
    );
    let who = draft.say("person");
    draft.add(&format!("<h2>{}</h2>", escaped(&who)));
    // A fact's sentence goes with how it is asked for.
    let facts = ["tel", "total", "due", "order", "salary", "seat"];
    let count = draft.dice.int(0, 4);
    let mut told = sentences(draft, count, "phone");
    let before = draft.shown.len();
    for i in 0..draft.dice.int(6, 12) {
        let side = ["me", "you"][draft.dice.index(2)];
        let fact = i % 3 == 2 || draft.dice.chance(0.3);
        let text = if draft.dice.chance(0.5)
            && let Some(sentence) = told.pop()
        {
            sentence
        } else if fact && draft.shown.len() - before < facts.len() {
            let concept = facts[draft.shown.len() - before];
            let (label, value) = draft.field(concept, "phone");
            format!("{label}: {value}")
        } else if draft.dice.chance(0.4) {
            let time = draft.time();
            let sentence = escaped(&draft.say("s.chat"));
            sentence.replace('~', &time)
        } else {
            escaped(&draft.say("s.talk"))
        };
        let at = draft.time();
        draft.add(&format!(
            "<div class='b {side}'>{text} <small class=quiet>{at}</small></div>"
        ));
    }
    for sentence in told {
        draft.add(&format!("<div class='b you'>{sentence}</div>"));
    }
    phone(draft)
}

/// What is printed on a packet.
fn label(draft: &mut Draft<'_>) -> (View, Viewport) {
    let name = draft.say("s.dish");
    draft.add(&format!("<h1>{}</h1>", escaped(&name)));
    let from = ["expiry", "weight", "batch", "address", "tel"];
    let concepts = draft.some(&from, 2, 4);
    fields(draft, &concepts, "label");
    draft.add("<table>");
    let from = ["energy", "fat", "sugar", "salt"];
    for concept in draft.some(&from, 3, 4) {
        let (label, value) = draft.field(concept, "label");
        draft.add(&format!("<tr><td>{label}</td><td>{value}</td></tr>"));
    }
    draft.add("</table>");
    let prose = draft.say("s.prose");
    draft.add(&format!("<p><small>{}</small></p>", escaped(&prose)));
    paper(draft, 260, 480)
}

/// A letter or an e-mail.
fn letter(draft: &mut Draft<'_>) -> (View, Viewport) {
    let from = draft.say("company");
    draft.add(&format!("<p><b>{}</b></p>", escaped(&from)));
    let heads = ["order", "name", "email", "tel", "address"];
    let concepts = draft.some(&heads, 2, 4);
    fields(draft, &concepts, "letter");
    let facts = ["salary", "due", "total", "born", "seat", "open"];
    for concept in draft.some(&facts, 2, 5) {
        let prose = draft.say("s.prose");
        let (label, value) = draft.field(concept, "letter");
        draft.add(&format!("<p>{} {label}: {value}.</p>", escaped(&prose)));
    }
    if draft.dice.chance(0.3) {
        desk(draft)
    } else {
        paper(draft, 560, 860)
    }
}

/// Goods with prices, a total and a button to pay.
fn shop(draft: &mut Draft<'_>) -> (View, Viewport) {
    let columns = draft.dice.int(1, 4);
    draft.style.push_str(&format!(
        ".grid{{grid-template-columns:repeat({columns},1fr)}}.pic{{height:3.5em;background:#8884}}"
    ));
    draft.add("<div class=grid>");
    let count = draft.dice.int(3, 8);
    for item in different(draft, "item", count) {
        let price = draft.money(300, 25_000);
        let (html, mark) = draft.marked(&price);
        draft.ask(&mark, "ui", "c.price", &item, &price);
        draft.add(&format!(
            "<div class=card><div class=pic></div><div>{}</div><b>{html}</b></div>",
            escaped(&item)
        ));
    }
    draft.add("</div>");
    let (label, value) = draft.field("total", "ui");
    draft.add(&format!(
        "<div class='row big'><span>{label}</span>{value}</div>"
    ));
    buttons(draft, 2);
    window(draft)
}

/// A slide: a title and a few large facts.
fn slide(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft
        .style
        .push_str("body{padding:5%}li{margin:.5em 0;font-size:1.4em}");
    let title = draft.say("subject");
    draft.add(&format!("<h1 class=accent>{}</h1><ul>", escaped(&title)));
    let from = ["revenue", "users", "rate", "orders", "name", "due"];
    for concept in draft.some(&from, 3, 5) {
        let (label, value) = draft.field(concept, "map");
        draft.add(&format!("<li>{label}: <b>{value}</b></li>"));
    }
    let count = draft.dice.int(0, 3);
    for sentence in sentences(draft, count, "map") {
        draft.add(&format!("<li>{sentence}</li>"));
    }
    draft.add("</ul>");
    desk(draft)
}

/// A spreadsheet.
fn sheet(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft
        .style
        .push_str("td,th{border:1px solid #9998;white-space:nowrap}body{padding:0}");
    cells(
        draft,
        "person",
        &["salary", "born", "seat", "orders", "rate", "due"],
    );
    desk(draft)
}
