//! A page of HTML in the making: marked text, what may be asked about it, and how it looks.

use std::fmt::Write;

use super::super::dice::Dice;
use super::super::page::View;
use super::super::words::{self, grouped, say};

/// Languages of pages and questions; the first is English.
const LANGUAGES: [&str; 6] = ["", "de", "fr", "es", "it", "pt"];

/// Things that are printed as label and value, with `s.` and `a.` lists in words/screens.txt.
pub const CONCEPTS: [&str; 48] = [
    "tel",
    "due",
    "expiry",
    "open",
    "salary",
    "born",
    "total",
    "order",
    "version",
    "storage",
    "wifi",
    "language",
    "plan",
    "email",
    "revenue",
    "users",
    "rate",
    "orders",
    "weight",
    "batch",
    "platform",
    "seat",
    "name",
    "address",
    "energy",
    "fat",
    "sugar",
    "salt",
    "source",
    "period",
    "storey",
    "area",
    "user",
    "author",
    "posted",
    "replies",
    "views",
    "balance",
    "rent",
    "power",
    "groceries",
    "phonebill",
    "battery",
    "temperature",
    "humidity",
    "wind",
    "brightness",
    "duration",
];

/// A question about a marked part.
pub struct Wanted {
    /// The part's mark.
    pub part: String,
    /// Kind of question, as in the data format.
    pub kind: &'static str,
    /// What is asked.
    pub question: String,
    /// The answer as printed.
    pub answer: String,
}

/// A page in the making.
pub struct Draft<'a> {
    /// The page's dice.
    pub dice: &'a mut Dice,
    /// Language, as in the word lists.
    pub language: &'static str,
    /// What stands in the body.
    pub body: String,
    /// Further style rules.
    pub style: String,
    /// What may be asked.
    pub wanted: Vec<Wanted>,
    /// Things that were printed as label and value.
    pub shown: Vec<&'static str>,
    parts: usize,
}

/// The thing of [`CONCEPTS`] that something without a label is, where it is one.
fn alias(what: &'static str) -> &'static str {
    match what {
        "phone" | "mobile" | "fax" => "tel",
        "person" | "passenger" | "ceo" => "name",
        "office" => "address",
        "exp" => "expiry",
        "lot" => "batch",
        "gate" => "platform",
        "strength" | "pack" | "serving" => "weight",
        "staff" => "users",
        other => other,
    }
}

/// Text as HTML.
pub fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

impl<'a> Draft<'a> {
    /// An empty page in some language; half of all are English.
    pub fn new(dice: &'a mut Dice) -> Self {
        let language = LANGUAGES[dice.weighted(&[5.0, 2.0, 1.0, 1.0, 1.0, 1.0])];
        Self {
            dice,
            language,
            body: String::new(),
            style: String::new(),
            wanted: Vec::new(),
            shown: Vec::new(),
            parts: 0,
        }
    }

    /// Adds HTML.
    pub fn add(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// A word or a sentence of a list.
    pub fn say(&mut self, key: &str) -> String {
        say(self.dice, self.language, key)
    }

    /// English or German, for designs whose words are in no other language.
    pub fn speak(&mut self) {
        if self.language != "de" {
            self.language = "";
        }
    }

    /// A new mark.
    pub fn mark(&mut self) -> String {
        self.parts += 1;
        format!("p{}", self.parts)
    }

    /// Something that stands without a label, `v.` of the word lists, asked for as `b.` does; as HTML.
    pub fn bare(&mut self, what: &'static str, kind: &'static str) -> String {
        let text = self.say(&format!("v.{what}"));
        self.bare_text(what, &text, kind)
    }

    /// The same with a text of its own.
    pub fn bare_text(&mut self, what: &'static str, text: &str, kind: &'static str) -> String {
        self.shown.push(alias(what));
        let (html, mark) = self.marked(text);
        self.ask(&mark, kind, &format!("b.{what}"), "", text);
        html
    }

    /// Text that can be asked for, as HTML, and its mark.
    pub fn marked(&mut self, text: &str) -> (String, String) {
        let mark = self.mark();
        (
            format!("<span data-p=\"{mark}\">{}</span>", escaped(text)),
            mark,
        )
    }

    /// Asks for a marked part in words of the page: `list` is one of the `c.` lists.
    pub fn ask(&mut self, mark: &str, kind: &'static str, list: &str, key: &str, answer: &str) {
        let question = self.say(list).replace('=', key);
        self.put(mark, kind, question, answer);
    }

    /// Asks for a marked part.
    pub fn put(&mut self, mark: &str, kind: &'static str, question: String, answer: &str) {
        self.wanted.push(Wanted {
            part: mark.to_string(),
            kind,
            question,
            answer: answer.to_string(),
        });
    }

    /// An amount of money as this page's language writes it.
    pub fn money(&mut self, low: i64, high: i64) -> String {
        let cents = self.dice.int(low, high) / 10 * 10;
        match self.language {
            "" => format!(
                "{}{}",
                ["$", "£", "€"][self.dice.index(3)],
                grouped(cents, '.', ',')
            ),
            _ => format!("{} €", grouped(cents, ',', '.')),
        }
    }

    /// A time of the day.
    pub fn time(&mut self) -> String {
        let (hour, minute) = (self.dice.int(5, 23), self.dice.int(0, 11) * 5);
        format!("{hour:02}:{minute:02}")
    }

    /// A day.
    pub fn date(&mut self) -> String {
        let (y, m, d) = words::day(self.dice);
        match (self.language, self.dice.index(3)) {
            ("", 0) => format!("{d:02}/{m:02}/{y}"),
            (_, 1) => format!("{y}-{m:02}-{d:02}"),
            (_, 2) => format!("{d}.{m}.{}", y % 100),
            _ => format!("{d:02}.{m:02}.{y}"),
        }
    }

    /// A value of a thing.
    pub fn value(&mut self, concept: &str) -> String {
        match concept {
            "tel" => self.say("phone"),
            "due" | "expiry" | "born" => self.date(),
            "open" => format!("{} - {}", self.time(), self.time()),
            "salary" | "revenue" => self.money(90_000, 900_000),
            "total" => self.money(500, 90_000),
            "order" | "batch" => words::expand(self.dice, "", "{@}{@}-{^}####"),
            "version" => words::expand(self.dice, "", "{^}.#.{^}#"),
            "storage" => words::expand(self.dice, "", "{^}# GB"),
            "wifi" => words::expand(self.dice, "", "{Pseudo}-{^}##"),
            "language" => ["English (UK)", "Deutsch", "Français", "Español", "Italiano"]
                [self.dice.index(5)]
            .to_string(),
            "plan" => words::expand(self.dice, "", "{Pseudo} Plus"),
            "email" => words::expand(self.dice, "", "{pseudo}@{pseudo}.org"),
            "users" | "orders" => {
                let n = self.dice.int(12, 90_000);
                grouped(n * 100, '.', ',')
                    .trim_end_matches(".00")
                    .to_string()
            }
            "rate" => words::expand(self.dice, "", "{^}#.# %"),
            "weight" => words::expand(self.dice, "", "{^}## g"),
            "platform" => words::expand(self.dice, "", "{^}{@}"),
            "seat" => words::expand(self.dice, "", "{^}#{@}"),
            "name" => self.say("person"),
            "address" => self.say("address1"),
            "energy" => words::expand(self.dice, "", "{^}## kcal"),
            "source" => words::expand(self.dice, "", "{company}, {year}"),
            "period" => {
                let first = self.dice.int(1960, 2018);
                let last = first + self.dice.int(1, 40).min(2026 - first);
                format!("{first}{}{last}", [" - ", "–", " to "][self.dice.index(3)])
            }
            "storey" => [
                "Ground Floor",
                "First Floor",
                "Second Floor",
                "Third Floor",
                "Level 2",
            ][self.dice.index(5)]
            .to_string(),
            "area" => words::expand(self.dice, "", "{^}# sq m / {^}## sq ft"),
            "user" => match self.dice.index(3) {
                0 => self.say("first"),
                1 => self.say("person"),
                _ => words::expand(self.dice, "", "{Pseudo}{Pseudo}{^}#"),
            },
            "author" => match self.dice.index(2) {
                0 => self.say("person"),
                _ => words::expand(self.dice, "", "{Pseudo}{pseudo}{^}"),
            },
            "balance" | "rent" | "power" | "groceries" | "phonebill" => self.money(900, 900_000),
            "battery" | "humidity" | "brightness" => words::expand(self.dice, "", "{^}# %"),
            "wind" => words::expand(self.dice, "", "{^}# km/h"),
            "replies" | "views" => self.say("t.count"),
            "posted" | "temperature" | "duration" => self.say(&format!("t.{concept}")),
            _ => words::expand(self.dice, "", "{^}.# g"),
        }
    }

    /// Label and value of a thing as HTML, asked for in the page's words or in others.
    pub fn field(&mut self, concept: &'static str, kind: &'static str) -> (String, String) {
        let label = self.say(&format!("s.{concept}"));
        let text = self.value(concept);
        let (value, mark) = self.marked(&text);
        self.shown.push(concept);
        let other = format!("a.{concept}");
        let mut question = if self.dice.chance(0.55) {
            self.say(&other)
        } else {
            String::new()
        };
        if question.is_empty() {
            question = self.say("c.value").replace('=', &label);
        }
        self.put(&mark, kind, question, &text);
        (escaped(&label), value)
    }

    /// Several different things out of a list.
    pub fn some(&mut self, from: &[&'static str], low: i64, high: i64) -> Vec<&'static str> {
        let mut all = from.to_vec();
        self.dice.shuffle(&mut all);
        all.truncate(self.dice.int(low, high) as usize);
        all
    }

    /// A question whose answer is not on the page.
    pub fn missing(&mut self) -> String {
        let free: Vec<&str> = CONCEPTS
            .into_iter()
            .filter(|concept| !self.shown.contains(concept))
            .collect();
        let Some(concept) = free.get(self.dice.index(free.len().max(1))) else {
            return String::new();
        };
        self.say(&format!("a.{concept}"))
    }

    /// The whole document, with one of many looks; paper is light.
    pub fn document(&mut self, view: View) -> String {
        const FONTS: [&str; 8] = [
            "sans-serif",
            "system-ui",
            "serif",
            "'DejaVu Sans', sans-serif",
            "Arial, 'Liberation Sans', sans-serif",
            "Georgia, serif",
            "'DejaVu Sans Condensed', sans-serif",
            "monospace",
        ];
        // Ground, ink, card, quiet ink, accent.
        const THEMES: [[&str; 5]; 9] = [
            ["#fff", "#222", "#f4f4f6", "#666", "#1a66d2"],
            ["#f2f2f7", "#111", "#fff", "#6d6d72", "#0a7aff"],
            ["#121212", "#eee", "#1f1f23", "#9a9aa2", "#bb86fc"],
            ["#0d1117", "#c9d1d9", "#161b22", "#8b949e", "#58a6ff"],
            ["#fdf6e3", "#44403a", "#eee8d5", "#857a66", "#b5651d"],
            ["#fffaf5", "#3b1f14", "#fff", "#8a6f60", "#a8321d"],
            ["#f7fff7", "#123524", "#e3f3e6", "#567a63", "#1d8a4e"],
            ["#fff", "#000", "#fff", "#000", "#000"],
            ["#1b2a41", "#f1f5f9", "#24364f", "#a9b8cc", "#ffc857"],
        ];
        let dark = f32::from(view != View::Sheet);
        let weights = [4.0, 3.0, 2.0 * dark, 1.5 * dark, 1.0, 1.0, 1.0, 2.0, dark];
        let theme = THEMES[self.dice.weighted(&weights)];
        let font = FONTS[self
            .dice
            .weighted(&[4.0, 3.0, 2.0, 2.0, 3.0, 1.0, 1.0, 0.6])];
        let size = self.dice.real(12.0, 19.0);
        let line = self.dice.real(1.15, 1.7);
        let pad = self.dice.int(4, 18);
        let round = self.dice.int(0, 14);
        let [ground, ink, card, quiet, accent] = theme;
        let mut html = String::from("<!doctype html><meta charset=utf-8><style>");
        let _ = write!(
            html,
            "*{{box-sizing:border-box}}body{{margin:0;padding:{pad}px;background:{ground};color:{ink};\
             font:{size:.1}px/{line:.2} {font}}}.card{{background:{card};border-radius:{round}px;padding:{pad}px;\
             margin:{}px 0}}.row{{display:flex;justify-content:space-between;gap:1em;padding:{}px 0}}\
             .quiet{{color:{quiet}}}.accent{{color:{accent}}}.button{{background:{accent};color:{ground};\
             padding:.4em 1em;border-radius:{round}px;display:inline-block}}.big{{font-size:1.7em;font-weight:600}}\
             h1{{font-size:1.6em;margin:.3em 0}}h2{{font-size:1.2em;margin:.6em 0 .2em;color:{accent}}}\
             table{{border-collapse:collapse;width:100%}}td,th{{padding:{}px {}px;text-align:left;\
             border-bottom:1px solid {card}}}.grid{{display:grid;gap:{pad}px}}{}</style><body>{}</body>",
            pad / 2,
            pad / 3 + 1,
            pad / 3 + 1,
            pad / 2 + 2,
            self.style,
            self.body
        );
        html
    }
}
