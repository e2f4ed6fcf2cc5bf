//! How countries write amounts, dates and times.

use super::dice::Dice;
use super::words;

/// Number, money, date and time forms of one shop.
pub struct Money {
    /// Country code, a key of the word lists.
    pub country: String,
    /// Sign before an amount where one is printed ("$", "RM ").
    pub before: String,
    /// Sign after an amount (" €").
    pub after: String,
    decimal: char,
    group: char,
    date: &'static str,
    time: usize,
}

impl Money {
    /// The habits of a random country.
    pub fn new(dice: &mut Dice) -> Self {
        let country = words::say(dice, "", "country");
        let (signs, comma): (&[&'static str], bool) = match country.as_str() {
            "my" => (&["RM", "RM ", "", ""], false),
            "uk" => (&["£", "£", "GBP "], false),
            "sg" => (&["$", "S$", "SGD "], false),
            "in" => (&["Rs.", "₹", "Rs ", "INR "], false),
            "ch" => (&["CHF ", "Fr. "], false),
            "de" | "es" | "it" | "pt" | "fr" | "nl" => {
                (&["_€", "_ €", "_ EUR", "€ ", "EUR "], true)
            }
            "ie" => (&["€", "EUR "], false),
            "br" => (&["R$ ", "R$"], true),
            "pl" => (&["_ PLN", "_ zł", "PLN "], true),
            "se" => (&["_ kr", "_ SEK", "kr "], true),
            "tr" => (&["*", "_ TL", "*"], true),
            "id" => (&["Rp ", "Rp", "IDR "], true),
            "ph" => (&["P", "PHP ", "₱"], false),
            "za" => (&["R", "R "], false),
            _ => (&["$", "$", "$ ", "USD "], false),
        };
        let sign = dice.pick(signs);
        let bare = dice.chance(0.55);
        let (before, after) = match sign.strip_prefix('_') {
            _ if bare => (String::new(), String::new()),
            Some(after) => (String::new(), after.to_string()),
            None => (sign.to_string(), String::new()),
        };
        let forms: &[&'static str] = match country.as_str() {
            "us" | "ph" => &["mdy", "mdy2", "mdy", "us", "short", "iso"],
            "de" | "ch" | "pl" | "tr" => &["dot", "dot2", "dot"],
            "se" | "ca" => &["iso", "ymdslash", "iso"],
            "my" | "sg" => &[
                "dmy", "dmy2", "dash", "dash2", "short", "dashmon", "dmy", "iso", "monup",
            ],
            _ => &[
                "dmy", "dmy2", "dash", "short", "dashmon", "dot", "iso", "ymdslash",
            ],
        };
        let decimal = if comma { ',' } else { '.' };
        let group = if dice.chance(0.75) {
            if comma { '.' } else { ',' }
        } else {
            '\0'
        };
        Self {
            before,
            after,
            decimal,
            group,
            date: dice.pick(forms),
            time: dice.index(6),
            country,
        }
    }

    /// An amount of hundredths without a sign.
    pub fn bare(&self, cents: i64) -> String {
        words::grouped(cents, self.decimal, self.group)
    }

    /// An amount with this shop's sign.
    pub fn signed(&self, cents: i64) -> String {
        format!("{}{}{}", self.before, self.bare(cents), self.after)
    }

    /// A day.
    pub fn date(&self, (y, m, d): (i64, i64, i64)) -> String {
        words::date_text(y, m, d, self.date)
    }

    /// A time of day.
    pub fn time(&self, h: i64, m: i64, s: i64) -> String {
        let half = if h < 12 { "AM" } else { "PM" };
        let h12 = (h + 11) % 12 + 1;
        match self.time {
            0 => format!("{h:02}:{m:02}:{s:02}"),
            1 => format!("{h12}:{m:02} {half}"),
            2 => format!("{h12:02}:{m:02}:{s:02} {half}"),
            3 => format!("{h12:02}:{m:02}{half}"),
            _ => format!("{h:02}:{m:02}"),
        }
    }
}
