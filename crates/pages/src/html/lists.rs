//! Designs of screens that list things: posts with who wrote them and when, and what came in and went out of an account.

use super::super::page::View;
use super::browser::Viewport;
use super::designs::{different, fields, phone, window};
use super::draft::{Draft, escaped};
use super::rows::status_bar;

/// The bar at the top: the site's name, a few words to click, who is logged in.
fn header(draft: &mut Draft<'_>) {
    let site = draft.say("company");
    let count = draft.dice.int(1, 4);
    let words: String = different(draft, "s.button", count)
        .iter()
        .map(|word| format!("<span class=quiet>{}</span> ", escaped(word)))
        .collect();
    let (label, user) = draft.field("user", "ui");
    let bare = draft.dice.chance(0.6);
    let label = if bare {
        String::new()
    } else {
        format!("{label} ")
    };
    draft.add(&format!(
        "<div class='row card'><b>{}</b><span>{words}</span><small>{label}{user}</small></div>",
        escaped(&site)
    ));
}

/// A list of posts, or one post: a title, and in small quiet letters who wrote it, when, and how many answered.
pub fn feed(draft: &mut Draft<'_>) -> (View, Viewport) {
    header(draft);
    let one = draft.dice.chance(0.35);
    let aside = draft.dice.chance(0.4);
    if aside {
        draft
            .style
            .push_str(".two{display:grid;grid-template-columns:3fr 1fr;gap:1.5em}");
        draft.add("<div class=two><div>");
    }
    let between = [" · ", " | ", " ", ", "][draft.dice.index(4)];
    let form = draft.dice.index(3);
    if one {
        let title = draft.say("subject");
        let mut facts = draft.some(&["author", "posted", "replies", "views"], 2, 4);
        // Who wrote it stands first.
        facts.sort_by_key(|fact| *fact != "author");
        let facts: Vec<String> = facts
            .into_iter()
            .map(|fact| {
                let (label, value) = draft.field(fact, "ui");
                format!("{label} {value}")
            })
            .collect();
        draft.add(&format!(
            "<h1>{}</h1><small class=quiet>{}</small>",
            escaped(&title),
            facts.join(between)
        ));
        for _ in 0..draft.dice.int(1, 4) {
            let prose = draft.say("s.prose");
            draft.add(&format!("<p>{}</p>", escaped(&prose)));
        }
    } else {
        let count = draft.dice.int(3, 12);
        for title in different(draft, "subject", count) {
            let mut facts = Vec::new();
            for (concept, list) in [
                ("author", "c.author"),
                ("posted", "c.posted"),
                ("replies", "c.replies"),
            ] {
                if form != 0 && draft.dice.chance(0.3) {
                    continue;
                }
                if !draft.shown.contains(&concept) {
                    draft.shown.push(concept);
                }
                let text = draft.value(concept);
                let (html, mark) = draft.marked(&text);
                draft.ask(&mark, "ui", list, &title, &text);
                let label = draft.say(&format!("s.{concept}"));
                facts.push(match draft.dice.chance(0.6) {
                    true => format!("{} {html}", escaped(&label)),
                    false => html,
                });
            }
            let facts = facts.join(between);
            draft.add(&match form {
                0 => format!(
                    "<div class=row><span class=accent>{}</span><small class=quiet>{facts}</small></div>",
                    escaped(&title)
                ),
                1 => format!(
                    "<div class=card><b>{}</b><br><small class=quiet>{facts}</small></div>",
                    escaped(&title)
                ),
                _ => format!(
                    "<p><small class=quiet>{facts}</small><br><span class=accent>{}</span></p>",
                    escaped(&title)
                ),
            });
        }
    }
    if aside {
        draft.add("</div><div><small>");
        let concepts = draft.some(&["users", "orders", "version", "storage", "views"], 2, 4);
        fields(draft, &concepts, "ui");
        draft.add("</small></div></div>");
    }
    window(draft)
}

/// An account: what is on it, and what came in and went out, each with a second, quiet line.
pub fn ledger(draft: &mut Draft<'_>) -> (View, Viewport) {
    let (label, value) = draft.field("balance", "phone");
    draft.add(&format!(
        "<div class=card><div class=quiet>{label}</div><div class=big>{value}</div></div>"
    ));
    let flows = draft.some(&["rent", "power", "salary", "groceries", "phonebill"], 2, 5);
    let count = draft.dice.int(1, 5);
    let mut goods = different(draft, "item", count);
    let mut rows: Vec<(String, String)> = Vec::new();
    for concept in flows {
        rows.push(draft.field(concept, "phone"));
    }
    while let Some(item) = goods.pop() {
        let price = draft.money(300, 40_000);
        let price = format!(
            "{}{price}",
            ["-", "", "+"][draft.dice.weighted(&[3.0, 2.0, 1.0])]
        );
        let (html, mark) = draft.marked(&price);
        draft.ask(&mark, "phone", "c.price", &item, &price);
        rows.push((escaped(&item), html));
    }
    draft.dice.shuffle(&mut rows);
    let second = draft.dice.index(3);
    for (label, value) in rows {
        let quiet = match second {
            0 => draft.date(),
            1 => draft.say("company"),
            _ => String::new(),
        };
        draft.add(&format!(
            "<div class=row><span>{label}<br><small class=quiet>{}</small></span><b>{value}</b></div>",
            escaped(&quiet)
        ));
    }
    phone(draft)
}

/// A phone's app that shows a few states of things large: weather, a player, a home.
pub fn gauge(draft: &mut Draft<'_>) -> (View, Viewport) {
    status_bar(draft);
    let name = draft.say("city");
    let place = draft.bare_text("town", &name, "phone");
    let sky = draft.bare("sky", "phone");
    draft.add(&format!("<h2>{place}</h2><p>{sky}</p>"));
    let from = [
        "temperature",
        "humidity",
        "wind",
        "brightness",
        "duration",
        "storage",
        "wifi",
    ];
    let concepts = draft.some(&from, 3, 6);
    let (label, value) = draft.field(concepts[0], "phone");
    let form = draft.dice.index(2);
    draft.add(&match form {
        0 => format!(
            "<div class=big style='font-size:3em'>{value}</div><div class=quiet>{label}</div>"
        ),
        _ => format!(
            "<div class=quiet>{label}</div><div class=big style='font-size:2.4em'>{value}</div>"
        ),
    });
    let columns = draft.dice.int(1, 3);
    draft.style.push_str(&format!(
        ".grid{{grid-template-columns:repeat({columns},1fr)}}"
    ));
    draft.add("<div class=grid>");
    let above = draft.dice.chance(0.5);
    for concept in &concepts[1..] {
        let (label, value) = draft.field(concept, "phone");
        draft.add(&if above {
            format!("<div class=card><small class=quiet>{label}</small><br>{value}</div>")
        } else {
            format!("<div class=card>{value}<br><small class=quiet>{label}</small></div>")
        });
    }
    draft.add("</div>");
    phone(draft)
}
