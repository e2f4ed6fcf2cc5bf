//! Text out of word lists: names, addresses, goods, labels, questions.
//!
//! The lists in `words/*.txt` form a small grammar (explained at the head of `places.txt`); text
//! that no list holds ("{Pseudo}") is spelt from syllables, so that a reader cannot learn the lists
//! by heart.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::dice::Dice;

const FILES: [&str; 7] = [
    include_str!("words/places.txt"),
    include_str!("words/shop.txt"),
    include_str!("words/questions.txt"),
    include_str!("words/forms.txt"),
    include_str!("words/signs.txt"),
    include_str!("words/screens.txt"),
    include_str!("words/bare.txt"),
];

/// Options by key.
struct Grammar(HashMap<&'static str, Vec<&'static str>>);

fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(|| {
        let mut map = HashMap::new();
        let lines = FILES.iter().flat_map(|f| f.lines());
        for line in lines.filter(|l| !l.trim().is_empty() && !l.starts_with(';')) {
            if let Some((key, options)) = line.split_once(':') {
                map.insert(key.trim(), options.split('|').map(str::trim).collect());
            }
        }
        Grammar(map)
    })
}

/// All options of `key`, unexpanded; empty when there is no such key.
pub fn options(key: &str) -> &'static [&'static str] {
    grammar().0.get(key).map_or(&[], Vec::as_slice)
}

/// One option of `key` for `country`, expanded.
pub fn say(dice: &mut Dice, country: &str, key: &str) -> String {
    let local = format!("{key}.{country}");
    let list = match options(&local) {
        [] => options(key),
        list => list,
    };
    match list {
        [] => builtin(dice, key).unwrap_or_default(),
        list => {
            let option = dice.pick(list);
            expand(dice, country, option)
        }
    }
}

/// `pattern` with everything in braces and `#` replaced.
pub fn expand(dice: &mut Dice, country: &str, pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        match c {
            '{' => {
                let end = rest.find('}').unwrap_or(rest.len() - 1);
                let key = &rest[1..end];
                match key {
                    "^" => out.push(digit(dice, 1)),
                    "@" => out.push(capital(dice)),
                    "hash" => out.push('#'),
                    _ => out.push_str(&say(dice, country, key)),
                }
                rest = &rest[end + 1..];
                continue;
            }
            '#' => out.push(digit(dice, 0)),
            _ => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn digit(dice: &mut Dice, low: i64) -> char {
    char::from(b'0' + dice.int(low, 9) as u8)
}

fn capital(dice: &mut Dice) -> char {
    // Without I, O and Q, which many fonts draw like 1 and 0.
    char::from(b"ABCDEFGHJKLMNPRSTUVWXYZ"[dice.index(23)])
}

fn builtin(dice: &mut Dice, key: &str) -> Option<String> {
    match key {
        "pseudo" => Some(pseudo(dice)),
        "Pseudo" => Some(capitalized(&pseudo(dice))),
        "date" => Some(plain_date(dice)),
        "clock" => Some(format!("{:02}:{:02}", dice.int(0, 23), dice.int(0, 59))),
        "money" => {
            let cents = dice.int(100, 999_999);
            let sign = dice.pick(&["$", "$", "$ ", "USD ", "", "EUR ", "£", "€"]);
            Some(format!("{sign}{}", grouped(cents, '.', ',')))
        }
        "address1" => Some(say(dice, "us", "address").replace(" / ", ", ")),
        _ => None,
    }
}

/// A pronounceable word that is in no dictionary, lower case.
pub fn pseudo(dice: &mut Dice) -> String {
    const STARTS: [&str; 32] = [
        "b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n",
        "p", "pr", "r", "s", "sh", "st", "t", "tr", "v", "w", "y", "z", "th", "sl", "",
    ];
    const CORES: [&str; 14] = [
        "a", "e", "i", "o", "u", "a", "e", "o", "ai", "ee", "oo", "ia", "ou", "ea",
    ];
    const ENDS: [&str; 18] = [
        "", "", "", "", "n", "r", "l", "s", "t", "m", "k", "x", "nd", "rt", "ck", "ng", "ss", "p",
    ];
    let syllables = 1 + dice.weighted(&[0.15, 0.6, 0.25]);
    let mut word = String::new();
    for _ in 0..syllables {
        word.push_str(dice.pick(&STARTS));
        word.push_str(dice.pick(&CORES));
        word.push_str(dice.pick(&ENDS));
    }
    if word.len() < 3 {
        word.push_str("do");
    }
    word
}

/// `word` with its first letter in upper case.
pub fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// An amount of hundredths with decimal and group signs; `group` '\0' means none.
pub fn grouped(cents: i64, decimal: char, group: char) -> String {
    let whole = (cents.abs() / 100).to_string();
    let mut text = String::new();
    if cents < 0 {
        text.push('-');
    }
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && group != '\0' && (whole.len() - i).is_multiple_of(3) {
            text.push(group);
        }
        text.push(c);
    }
    text.push(decimal);
    text.push_str(&format!("{:02}", cents.abs() % 100));
    text
}

fn plain_date(dice: &mut Dice) -> String {
    let (y, m, d) = day(dice);
    let key = dice.pick(&["mdy", "mdy", "dmy", "iso", "long", "us", "dot", "short"]);
    date_text(y, m, d, key)
}

/// A day of the last decades.
pub fn day(dice: &mut Dice) -> (i64, i64, i64) {
    let year = if dice.chance(0.25) {
        dice.int(1975, 2005)
    } else {
        dice.int(2006, 2026)
    };
    (year, dice.int(1, 12), dice.int(1, 28))
}

/// A date in one of the printed forms; unknown forms give ISO 8601.
pub fn date_text(y: i64, m: i64, d: i64, form: &str) -> String {
    let name = options("monthname").get((m - 1) as usize).unwrap_or(&"May");
    let short = &name[..3];
    let yy = y % 100;
    match form {
        "mdy" => format!("{m:02}/{d:02}/{y}"),
        "mdy2" => format!("{m}/{d}/{yy:02}"),
        "dmy" => format!("{d:02}/{m:02}/{y}"),
        "dmy2" => format!("{d:02}/{m:02}/{yy:02}"),
        "dot" => format!("{d:02}.{m:02}.{y}"),
        "dot2" => format!("{d:02}.{m:02}.{yy:02}"),
        "dash" => format!("{d:02}-{m:02}-{y}"),
        "dash2" => format!("{d:02}-{m:02}-{yy:02}"),
        "short" => format!("{d:02} {short} {y}"),
        "dashmon" => format!("{d:02}-{}-{y}", short.to_uppercase()),
        "monup" => format!("{d:02} {} {yy:02}", short.to_uppercase()),
        "us" => format!("{short} {d}, {y}"),
        "long" => format!("{name} {d}, {y}"),
        "ymdslash" => format!("{y}/{m:02}/{d:02}"),
        _ => format!("{y}-{m:02}-{d:02}"),
    }
}
