//! Designs whose values stand without a label, or within a sentence: cards, tickets, packets, notices. What they are is told by how
//! they are written and where, so they are asked for in other words (`words/bare.txt`).

use super::super::page::View;
use super::super::words::{capitalized, expand, options};
use super::browser::Viewport;
use super::designs::{different, paper, window};
use super::draft::{Draft, escaped};

/// Sentences of words/bare.txt, the highest number.
const SENTENCES: usize = 28;

/// A row of something that is asked for, with a short sign before it now and then ("T", "Fax").
fn signed(draft: &mut Draft<'_>, signs: &[&str], what: &'static str, text: Option<&str>) {
    let html = match text {
        Some(text) => draft.bare_text(what, text, "letter"),
        None => draft.bare(what, "letter"),
    };
    let sign = draft.dice.pick(signs);
    draft.add(&format!("<div>{sign} {html}</div>"));
}

/// A business card or a badge.
pub fn card(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let company = draft.say("brand");
    let name = draft.say("person");
    let logo = draft.bare_text("company", &company, "letter");
    let size = draft.dice.real(1.2, 2.2);
    let logo = format!("<div class=accent style='font-size:{size:.1}em'>{logo}</div>");
    let first = draft.dice.chance(0.5);
    let columns = draft.dice.chance(0.4);
    if first {
        draft.add(&logo);
    }
    if columns {
        draft
            .style
            .push_str(".two{display:grid;grid-template-columns:1fr 1fr;gap:1.5em}");
        draft.add("<div class=two><div>");
    }
    let name = draft.bare_text("person", &name, "letter");
    let job = draft.bare("job", "letter");
    let size = draft.dice.real(1.0, 1.5);
    draft.add(&format!(
        "<div style='font-size:{size:.1}em;margin-top:.6em'><b>{name}</b></div><div class=quiet>{job}</div>"
    ));
    draft.add(if columns {
        "</div><div><small>"
    } else {
        "<p><small>"
    });
    let domain = expand(draft.dice, "", "{pseudo}.com");
    let mut parts = draft.some(&["phone", "mobile", "fax", "email", "site", "office"], 3, 6);
    parts.sort_unstable_by_key(|part| ["phone", "mobile", "fax"].contains(part));
    for part in parts {
        match part {
            "phone" => {
                let text = draft.say("phone");
                signed(draft, &["T", "Tel", "Phone:", "", "☎"], part, Some(&text));
            }
            "mobile" => {
                let text = draft.say("phone");
                signed(draft, &["M", "Mobile", "Cell:", "mob."], part, Some(&text));
            }
            "fax" => {
                let text = draft.say("phone");
                signed(draft, &["F", "Fax", "Fax:", "fax"], part, Some(&text));
            }
            "email" => {
                let text = expand(draft.dice, "", "{pseudo}@") + &domain;
                signed(draft, &["", "E", "✉", "E-mail:"], part, Some(&text));
            }
            "office" => {
                let text = draft.say("address1");
                signed(draft, &["", "", "A"], part, Some(&text));
            }
            _ => signed(draft, &["", "W", ""], part, None),
        }
    }
    draft.add("</small>");
    if columns {
        draft.add("</div></div>");
    }
    if !first {
        draft.add(&logo);
    }
    paper(draft, 330, 620)
}

/// A boarding pass or a ticket: small labels above what they name, the journey in large letters.
pub fn ticket(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let carrier = draft.say("v.airline");
    draft.add(&format!(
        "<div class=row><b>{}</b></div>",
        escaped(&carrier)
    ));
    let [from, to] = ["v.town", "v.town"].map(|key| draft.say(key));
    let code = |town: &str| {
        let letters: String = town.chars().filter(|c| c.is_alphabetic()).take(3).collect();
        letters.to_uppercase()
    };
    let coded = draft.dice.chance(0.5);
    for (what, town) in [("from", &from), ("to", &to)] {
        let town = match coded {
            true => format!("{town} ({})", code(town)),
            false => town.clone(),
        };
        let html = draft.bare_text(what, &town, "letter");
        let sign = match what {
            "from" => draft.dice.pick(&["", "", "From ", "FROM "]),
            _ => draft.dice.pick(&["→ ", "", "To ", "TO "]),
        };
        draft.add(&format!("<div class=big>{sign}{html}</div>"));
    }
    let columns = draft.dice.int(2, 4);
    draft.style.push_str(&format!(
        ".grid{{grid-template-columns:repeat({columns},auto)}}"
    ));
    draft.add("<div class=grid>");
    let above = draft.dice.chance(0.8);
    let from = [
        "passenger",
        "gate",
        "seat",
        "boarding",
        "departs",
        "arrives",
        "flight",
        "day",
        "class",
    ];
    for what in draft.some(&from, 5, 9) {
        let label = match what {
            "seat" => draft.say("s.seats"),
            _ => draft.say(&format!("s.{what}")),
        };
        let text = match what {
            "passenger" => draft.say("person"),
            "seat" => draft.value("seat"),
            "boarding" | "departs" | "arrives" => draft.time(),
            "day" => draft.date(),
            _ => draft.say(&format!("v.{what}")),
        };
        let value = draft.bare_text(what, &text, "letter");
        let label = escaped(&label);
        draft.add(&match above {
            true => format!("<div><small class=quiet>{label}</small><br><b>{value}</b></div>"),
            false => format!("<div><small class=quiet>{label}:</small> <b>{value}</b></div>"),
        });
    }
    draft.add("</div>");
    if draft.dice.chance(0.4) {
        window(draft)
    } else {
        paper(draft, 420, 820)
    }
}

/// The front of a packet: a large brand, what it is, how much, until when.
pub fn packet(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let brand = draft.bare("brand", "label");
    let align = draft.dice.pick(&["left", "center", "left"]);
    draft.style.push_str(&format!("body{{text-align:{align}}}"));
    let size = draft.dice.real(1.8, 3.6);
    draft.add(&format!(
        "<div style='font-size:{size:.1}em;line-height:1.1'><b>{brand}</b></div>"
    ));
    if draft.dice.chance(0.6) {
        let (drug, strength) = (draft.bare("drug", "label"), draft.bare("strength", "label"));
        let between = draft.dice.pick(&[" ", "<br>", " · "]);
        draft.add(&format!("<div class=big>{drug}{between}{strength}</div>"));
        let pack = draft.bare("pack", "label");
        draft.add(&format!("<p>{pack}</p>"));
        // How often, and how many at most, stand within the directions.
        let often = expand(draft.dice, "", "{^} tablet every {^} hours");
        let most = expand(draft.dice, "", "{^} tablets");
        let (often_html, often_mark) = draft.marked(&often);
        let (most_html, most_mark) = draft.marked(&most);
        draft.ask(&often_mark, "label", "b.often", "", &often);
        draft.ask(&most_mark, "label", "b.most", "", &most);
        let heading = draft
            .dice
            .pick(&["Directions:", "How to take:", "Dosage:", ""]);
        draft.add(&format!(
            "<p><b>{heading}</b> Adults take {often_html}. Do not take more than {most_html} in 24 hours.</p>"
        ));
    } else {
        let product = draft.say("s.dish");
        let pack = draft.bare("pack", "label");
        draft.add(&format!(
            "<div class=big>{}</div><p>{pack}</p>",
            escaped(&product)
        ));
        let alcohol = draft.dice.chance(0.4);
        if alcohol {
            let html = draft.bare("alcohol", "label");
            draft.add(&format!("<p>{html}</p>"));
        }
        cooking(draft);
    }
    small(draft, &["exp", "lot", "keep", "maker", "allergens"], 2, 5);
    paper(draft, 280, 620)
}

/// Some of these with their labels, in small print.
fn small(draft: &mut Draft<'_>, from: &[&'static str], low: i64, high: i64) {
    for what in draft.some(from, low, high) {
        let label = draft.say(&format!("s.{what}"));
        let value = draft.bare(what, "label");
        draft.add(&format!(
            "<div><small>{} {value}</small></div>",
            escaped(&label)
        ));
    }
}

/// How long to heat it, in several ways.
fn cooking(draft: &mut Draft<'_>) {
    let count = draft.dice.int(1, 3);
    for heading in different(draft, "d.heading", count) {
        let time = draft.say("d.time");
        let (html, mark) = draft.marked(&time);
        draft.ask(&mark, "label", &format!("dq.{heading}"), "", &time);
        let sentence = escaped(&draft.say("d.cook")).replace('=', &html);
        let how = draft.say("d.how");
        draft.add(&format!(
            "<p><b>{}</b><br>{} {sentence}</p>",
            escaped(&heading),
            escaped(&how)
        ));
    }
}

/// Nutrition facts: the amount behind its name, the share of a day's need at the right.
pub fn nutrition(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.language = "";
    draft
        .style
        .push_str(".row{border-top:1px solid currentColor;padding:1px 0}");
    let title = draft.dice.pick(&[
        "Nutrition Facts",
        "NUTRITION FACTS",
        "Nutrition Information",
    ]);
    draft.add(&format!("<div class=big><b>{title}</b></div>"));
    let apart = draft.dice.chance(0.5);
    for what in ["portions", "serving"] {
        let label = draft.say(&format!("s.{what}"));
        let value = draft.bare(what, "label");
        let class = if apart { "row" } else { "" };
        draft.add(&format!(
            "<div class='{class}'><span>{} </span><b>{value}</b></div>",
            escaped(&label)
        ));
    }
    let names = [
        "energy",
        "fat",
        "saturated",
        "cholesterol",
        "salt",
        "carbohydrate",
        "fibre",
        "sugar",
        "protein",
        "vitamin",
        "calcium",
        "iron",
        "potassium",
    ];
    let least = draft.dice.int(6, 13) as usize;
    let indent = draft.dice.chance(0.7);
    for name in names.into_iter().take(least) {
        let label = draft.say(&format!("n.{name}"));
        let text = match name {
            "energy" => draft.say("v.calories"),
            "cholesterol" | "salt" | "vitamin" | "calcium" | "iron" | "potassium" => {
                draft.say("v.milligrams")
            }
            _ => draft.say("v.grams"),
        };
        let (html, mark) = draft.marked(&text);
        draft.shown.push(name);
        draft.ask(&mark, "label", &format!("nq.{name}"), "", &text);
        let daily = match name {
            "energy" | "sugar" | "protein" => String::new(),
            _ => expand(draft.dice, "", "{^}#%"),
        };
        let inner = indent && ["saturated", "fibre", "sugar"].contains(&name);
        let (left, bold) = (
            if inner { 1.2 } else { 0.0 },
            if inner { "span" } else { "b" },
        );
        draft.add(&format!(
            "<div class=row style='padding-left:{left}em'><span><{bold}>{}</{bold}> {html}</span><b>{daily}</b></div>",
            escaped(&label)
        ));
    }
    let prose = draft.dice.pick(&[
        "The % Daily Value tells you how much a nutrient in a serving of food contributes to a daily diet.",
        "Percent daily values are based on a 2,000 calorie diet.",
        "",
    ]);
    draft.add(&format!("<p><small>{prose}</small></p>"));
    if draft.dice.chance(0.5) {
        small(draft, &["allergens", "maker"], 1, 2);
        cooking(draft);
    }
    paper(draft, 240, 460)
}

/// Sentences of the draft's language that hold a fact: so many of them, as HTML.
pub fn sentences(draft: &mut Draft<'_>, count: i64, kind: &'static str) -> Vec<String> {
    let language = draft.language;
    let mut known: Vec<usize> = (1..=SENTENCES)
        .filter(|n| language.is_empty() || !options(&format!("p.{n}.{language}")).is_empty())
        .collect();
    draft.dice.shuffle(&mut known);
    known.truncate(count as usize);
    // What sentences may tell is not asked for as missing.
    let told = ["duration", "open", "rent", "total", "due", "author", "tel"];
    if count > 0 {
        draft.shown.extend(told);
    }
    let mut found = Vec::new();
    for n in known {
        let sentence = escaped(&draft.say(&format!("p.{n}")));
        let value = draft.say(&format!("pv.{n}"));
        let (html, mark) = draft.marked(&value);
        draft.ask(&mark, kind, &format!("pq.{n}"), "", &value);
        found.push(sentence.replace('=', &html));
    }
    found
}

/// A letter, a poster or a sheet on a door whose facts stand in sentences.
pub fn notice(draft: &mut Draft<'_>) -> (View, Viewport) {
    draft.speak();
    let company = draft.say("company");
    let title = draft.say("subject");
    let poster = draft.dice.chance(0.3);
    let size = if poster {
        draft.dice.real(1.3, 2.2)
    } else {
        1.0
    };
    draft
        .style
        .push_str(&format!("body{{font-size:{size:.1}em}}"));
    draft.add(&format!(
        "<p><b>{}</b></p><h1>{}</h1>",
        escaped(&company),
        escaped(&capitalized(&title))
    ));
    let count = draft.dice.int(2, if poster { 4 } else { 7 });
    let facts = sentences(draft, count, if poster { "sign" } else { "letter" });
    let run = !poster && draft.dice.chance(0.6);
    draft.add("<p>");
    for fact in facts {
        draft.add(&fact);
        if !poster && draft.dice.chance(0.5) {
            let prose = draft.say("s.prose");
            draft.add(&format!(" {}", escaped(&prose)));
        }
        let on = run && draft.dice.chance(0.6);
        draft.add(if on { " " } else { "</p><p>" });
    }
    let signer = draft.say("person");
    draft.add(&format!("</p><p>{}</p>", escaped(&signer)));
    if draft.dice.chance(0.3) {
        window(draft)
    } else {
        paper(draft, 420, 860)
    }
}
