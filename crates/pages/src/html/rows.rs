//! Designs of rows whose value is far from its name: switches, folders, journeys to choose from, long lists, a share's figures.

use super::super::page::View;
use super::super::words::{expand, options};
use super::browser::Viewport;
use super::designs::{desk, different, paper, phone, window};
use super::draft::{Draft, escaped};

/// Permissions of words/bare.txt, the highest number.
const PERMISSIONS: i64 = 8;

/// A switch, a tick box or a word; and its mark.
fn switch(draft: &mut Draft<'_>, form: usize) -> (String, String, &'static str) {
    let on = draft.dice.chance(0.5);
    let answer = if on { "on" } else { "off" };
    let (html, mark) = match form {
        2 => {
            let words = if on {
                ["On", "ON", "Enabled", "Allowed"]
            } else {
                ["Off", "OFF", "Disabled", "Not allowed"]
            };
            let word = words[draft.dice.index(4)];
            let (html, mark) = draft.marked(word);
            return (html, mark, word);
        }
        1 => {
            let mark = draft.mark();
            (
                format!(
                    "<i class='tick {answer}' data-p=\"{mark}\" data-v={answer}>{}</i>",
                    if on { "✓" } else { "" }
                ),
                mark,
            )
        }
        _ => {
            let mark = draft.mark();
            (
                format!("<i class='sw {answer}' data-p=\"{mark}\" data-v={answer}></i>"),
                mark,
            )
        }
    };
    (html, mark, answer)
}

/// Rows of a name and a switch, below a heading that says what is switched.
pub fn switches(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let form = draft.dice.weighted(&[4.0, 1.0, 1.0]);
    draft.style.push_str(
        ".sw{display:inline-block;width:2.2em;height:1.2em;border-radius:1em;background:#9996;position:relative;flex:none}\
         .sw.on{background:#34a853}.sw::after{content:'';position:absolute;width:1em;height:1em;border-radius:1em;background:#fff;\
         box-shadow:0 0 2px #0008;top:.1em;left:.1em}.sw.on::after{left:1.1em}\
         .tick{display:inline-block;width:1.1em;height:1.1em;border:1px solid currentColor;line-height:1;flex:none;text-align:center}",
    );
    let permissions = draft.language.is_empty() && draft.dice.chance(0.5);
    let sections = if permissions { draft.dice.int(1, 2) } else { 1 };
    let mut numbers: Vec<i64> = (1..=PERMISSIONS).collect();
    draft.dice.shuffle(&mut numbers);
    for number in numbers.into_iter().take(sections as usize) {
        if permissions {
            let (head, note) = (
                draft.say(&format!("h.{number}")),
                draft.say(&format!("d.{number}")),
            );
            draft.add(&format!(
                "<h2>{}</h2><p class=quiet>{}</p>",
                escaped(&head),
                escaped(&note)
            ));
        } else {
            let title = draft.say("s.plan");
            draft.add(&format!("<h1>{}</h1>", escaped(&title)));
        }
        let count = draft.dice.int(3, 9);
        for name in different(draft, if permissions { "v.app" } else { "v.toggle" }, count) {
            let (html, mark, answer) = switch(draft, form);
            let question = match permissions {
                true => {
                    let what = draft.say(&format!("g.{number}"));
                    draft
                        .say("q.allowed")
                        .replace('=', &name)
                        .replace('~', &what)
                }
                false => draft.say("q.on").replace('=', &name),
            };
            draft.put(&mark, "ui", question, answer);
            let quiet = match draft.dice.chance(0.2) {
                true => format!(
                    "<br><small class=quiet>{}</small>",
                    escaped(&draft.say("s.prose"))
                ),
                false => String::new(),
            };
            draft.add(&format!(
                "<div class='row card'><span>{}{quiet}</span>{html}</div>",
                escaped(&name)
            ));
        }
    }
    window(draft)
}

/// The bar of a phone: clock and battery, asked for.
pub fn status_bar(draft: &mut Draft<'_>) {
    let time = draft.time();
    let clock = draft.bare_text("clock", &time, "phone");
    let battery = draft.bare("battery", "phone");
    let carrier = draft.say("Pseudo");
    draft.add(&format!(
        "<div class=row><small>{clock}</small><small>{} {battery}</small></div>",
        escaped(&carrier)
    ));
}

/// Folders with how much is in them, as a mail program lists them.
pub fn folders(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let narrow = draft.dice.chance(0.6);
    if narrow {
        status_bar(draft);
    }
    let title = draft
        .dice
        .pick(&["Mailboxes", "Folders", "Mail", "Library", "All accounts"]);
    draft.add(&format!("<h1>{title}</h1>"));
    draft
        .style
        .push_str(".pill{background:#8884;border-radius:1em;padding:0 .5em}.side{width:17em}");
    let pill = if draft.dice.chance(0.4) {
        "pill"
    } else {
        "quiet"
    };
    if !narrow {
        draft.add("<div class=side>");
    }
    let count = draft.dice.int(5, 12);
    for folder in different(draft, "v.folder", count) {
        let number = draft.say("t.count");
        let (html, mark) = draft.marked(&number);
        let html = if draft.dice.chance(0.75) {
            draft.ask(&mark, "phone", "c.count", &folder, &number);
            html
        } else {
            String::new()
        };
        let icon = draft.dice.pick(&["▸", "✉", "▪", "★", ""]);
        draft.add(&format!(
            "<div class=row><span>{icon} {}</span><span class={pill}>{html}</span></div>",
            escaped(&folder)
        ));
    }
    if narrow {
        return phone(draft);
    }
    draft.add("</div>");
    desk(draft)
}

/// Journeys to choose from: who goes, when, via where, how long, for how much.
pub fn journeys(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let (from, to) = (draft.say("v.town"), draft.say("v.town"));
    let day = draft.date();
    let town = draft.bare_text("from", &from, "ui");
    let other = draft.bare_text("to", &to, "ui");
    let day = draft.bare_text("day", &day, "ui");
    draft.add(&format!(
        "<h2>{town} → {other}</h2><p class=quiet>{day}</p>"
    ));
    let count = draft.dice.int(3, 7);
    draft.shown.extend(["duration", "total"]);
    let form = draft.dice.index(2);
    for carrier in different(draft, "v.airline", count) {
        let start = draft.time();
        let (leaves, mark) = draft.marked(&start);
        draft.ask(&mark, "ui", "c.leaves", &carrier, &start);
        let end = draft.time();
        let text = draft.say("v.takes");
        let (takes, mark) = draft.marked(&text);
        draft.ask(&mark, "ui", "c.takes", &carrier, &text);
        let changes = if draft.dice.chance(0.7) {
            let text = draft.say("v.changes");
            let (html, mark) = draft.marked(&text);
            draft.ask(&mark, "ui", "c.changes", &carrier, &text);
            html
        } else {
            draft
                .dice
                .pick(&["direct", "nonstop", "non-stop"])
                .to_owned()
        };
        let price = draft.money(1_900, 60_000);
        let (cost, mark) = draft.marked(&price);
        draft.ask(&mark, "ui", "c.price", &carrier, &price);
        let carrier = escaped(&carrier);
        draft.add(&match form {
            0 => format!(
                "<div class='row card'><span><b>{leaves} – {end}</b><br><small class=quiet>{carrier}</small></span>\
                 <span>{takes}<br><small class=quiet>{changes}</small></span><b>{cost}</b></div>"
            ),
            _ => format!(
                "<div class=card><b>{carrier}</b> {leaves} – {end}<div class=row><span class=quiet>{takes}, {changes}</span>\
                 <span class=big>{cost}</span></div></div>"
            ),
        });
    }
    window(draft)
}

/// A long list with numbers in small print, in one or two blocks.
pub fn ranks(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let lands = draft.dice.chance(0.6);
    let columns = match lands {
        true => draft.some(&["people", "size", "capital"], 1, 3),
        false => draft.some(&["points", "games"], 1, 2),
    };
    let size = draft.dice.real(0.75, 1.0);
    draft.style.push_str(&format!(
        "table{{font-size:{size:.2}em}}td,th{{padding:1px 5px}}.two{{display:grid;grid-template-columns:1fr 1fr;gap:1em}}"
    ));
    let rows = draft.dice.int(8, 34);
    let names = different(draft, if lands { "s.land" } else { "brand" }, rows);
    let two = names.len() > 16 && draft.dice.chance(0.5);
    let numbered = draft.dice.chance(0.7);
    let blocks: Vec<&[String]> = match two {
        true => names.chunks(names.len().div_ceil(2)).collect(),
        false => vec![&names],
    };
    draft.add(if two { "<div class=two>" } else { "<div>" });
    let mut rank = 0;
    for block in blocks {
        draft.add("<table><tr>");
        if numbered {
            draft.add("<th>#</th>");
        }
        draft.add("<th></th>");
        for column in &columns {
            let head = draft.say(&format!("s.{column}"));
            draft.add(&format!("<th>{}</th>", escaped(&head)));
        }
        draft.add("</tr>");
        for name in block {
            rank += 1;
            draft.add("<tr>");
            if numbered {
                draft.add(&format!("<td>{rank}</td>"));
            }
            let (html, mark) = draft.marked(name);
            if numbered && draft.dice.chance(0.15) {
                draft.ask(&mark, "table", "c.rank", &rank.to_string(), name);
            }
            draft.add(&format!("<td>{html}</td>"));
            for column in &columns {
                let text = match *column {
                    "capital" => draft.say("v.town"),
                    _ => draft.say(&format!("v.{column}")),
                };
                let (html, mark) = draft.marked(&text);
                if draft.dice.chance(0.4) {
                    draft.ask(&mark, "table", &format!("q.{column}"), name, &text);
                }
                draft.add(&format!("<td>{html}</td>"));
            }
            draft.add("</tr>");
        }
        draft.add("</table>");
    }
    draft.add("</div>");
    if draft.dice.chance(0.5) {
        desk(draft)
    } else {
        paper(draft, 460, 980)
    }
}

/// A share: its price in large letters, then many small facts in columns.
pub fn quote(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.language = "";
    let name = expand(draft.dice, "", "{brand} Inc.");
    let (price, change) = (draft.bare("price", "ui"), draft.bare("move", "ui"));
    draft.add(&format!(
        "<h1>{}</h1><div><span class=big style='font-size:2.2em'>{price}</span> <span class=accent>{change}</span></div>",
        escaped(&name)
    ));
    let columns = draft.dice.int(1, 3);
    draft.style.push_str(&format!(
        ".grid{{grid-template-columns:repeat({columns},1fr);column-gap:2em}}"
    ));
    // Other names with their changes stand beside it.
    if draft.dice.chance(0.5) {
        for other in different(draft, "brand", 4) {
            let change = draft.say("v.move");
            let (html, mark) = draft.marked(&change);
            draft.put(&mark, "ui", format!("How did {other} change?"), &change);
            draft.add(&format!("<div class=card>{} {html}</div>", escaped(&other)));
        }
    }
    draft.add("<div class=grid>");
    let from = [
        "high", "low", "previous", "opened", "volume", "cap", "dividend", "ceo", "founded",
        "staff", "seated",
    ];
    for what in draft.some(&from, 5, 11) {
        let label = draft.say(&format!("s.{what}"));
        let text = match what {
            "previous" | "opened" => draft.say("v.high"),
            "low" => draft.say("v.high"),
            "ceo" => draft.say("person"),
            "seated" => draft.say("v.town"),
            _ => draft.say(&format!("v.{what}")),
        };
        let own = draft.dice.chance(0.3) || options(&format!("b.{what}")).is_empty();
        let value = match own {
            true => {
                let (html, mark) = draft.marked(&text);
                draft.ask(&mark, "ui", "c.value", &label, &text);
                html
            }
            false => draft.bare_text(what, &text, "ui"),
        };
        draft.add(&format!(
            "<div class=row><span class=quiet>{}</span><span>{value}</span></div>",
            escaped(&label)
        ));
    }
    draft.add("</div>");
    window(draft)
}
