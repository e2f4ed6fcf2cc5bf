//! VQA accuracy: how many of ten people gave this answer, in the spelling rules of the VQA challenge.
//!
//! Written from the challenge's description, not from its script; the rules that the script is known
//! for are kept, oddities included. Departures: the rules always apply (the script leaves
//! punctuation alone when all ten agree), and lists shorter than ten have a meaning (below).

/// Share of people who would agree, 0 to 1.
///
/// Over the answers, each left out once: the mean of min(1, matches among the others / 3), after the
/// usual normalisation of both sides ([`normalise`]). Made for ten human answers; the formula holds
/// from four on. Three or fewer are no vote but spellings of one answer: any match gives 1, none 0.
pub fn vqa_accuracy<S: AsRef<str>>(prediction: &str, answers: &[S]) -> f64 {
    let prediction = normalise(prediction);
    let hits: Vec<bool> = answers
        .iter()
        .map(|answer| normalise(answer.as_ref()) == prediction)
        .collect();
    let matches = hits.iter().filter(|&&hit| hit).count();
    if answers.len() < 4 {
        return f64::from(u8::from(matches > 0));
    }
    let sum: f64 = hits
        .iter()
        .map(|&left_out| ((matches - usize::from(left_out)) as f64 / 3.0).min(1.0))
        .sum();
    sum / answers.len() as f64
}

/// An answer in the challenge's spelling: lower case, without articles and most punctuation, number
/// words as digits, contractions with their apostrophe, one space between words.
pub fn normalise(answer: &str) -> String {
    let text = without_punctuation(&answer.to_lowercase());
    let words = text.split_whitespace().filter_map(|word| match word {
        "a" | "an" | "the" => None,
        _ => Some(number(word).or_else(|| contraction(word)).unwrap_or(word)),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A mark goes without trace where it stands next to a space *anywhere* in the text, or where a comma
/// stands between digits; otherwise it becomes a space (`a/b` reads `a b`). Full stops go unless a
/// digit follows. Colons, dollar and percent signs and apostrophes stay.
fn without_punctuation(text: &str) -> String {
    const MARKS: &str = ";/[]\"{}()=+\\_-><@`,?!";
    let chars: Vec<char> = text.chars().collect();
    let digit = |c: Option<&char>| c.is_some_and(char::is_ascii_digit);
    let thousands = (1..chars.len())
        .any(|i| chars[i] == ',' && digit(chars.get(i - 1)) && digit(chars.get(i + 1)));
    let beside_space = |mark: char| {
        chars
            .windows(2)
            .any(|w| (w[0] == mark && w[1] == ' ') || (w[0] == ' ' && w[1] == mark))
    };
    let mut out = String::with_capacity(text.len());
    for (i, &c) in chars.iter().enumerate() {
        if MARKS.contains(c) {
            if !(thousands || beside_space(c)) {
                out.push(' ');
            }
        } else if c != '.' || digit(chars.get(i + 1)) {
            out.push(c);
        }
    }
    out
}

/// Number words up to ten, as digits.
fn number(word: &str) -> Option<&'static str> {
    Some(match word {
        "none" | "zero" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        _ => return None,
    })
}

/// Contractions that people type without their apostrophe. Words that are others without it
/// (`its`, `were`, `well`, `wont`) stay.
fn contraction(word: &str) -> Option<&'static str> {
    Some(match word {
        "aint" => "ain't",
        "arent" => "aren't",
        "cant" => "can't",
        "couldnt" => "couldn't",
        "didnt" => "didn't",
        "doesnt" => "doesn't",
        "dont" => "don't",
        "hadnt" => "hadn't",
        "hasnt" => "hasn't",
        "havent" => "haven't",
        "hes" => "he's",
        "im" => "i'm",
        "isnt" => "isn't",
        "ive" => "i've",
        "oclock" => "o'clock",
        "shes" => "she's",
        "shouldnt" => "shouldn't",
        "thats" => "that's",
        "theres" => "there's",
        "theyre" => "they're",
        "theyve" => "they've",
        "wasnt" => "wasn't",
        "werent" => "weren't",
        "weve" => "we've",
        "whats" => "what's",
        "wheres" => "where's",
        "whos" => "who's",
        "wouldnt" => "wouldn't",
        "yall" => "y'all",
        "youre" => "you're",
        "youve" => "you've",
        _ => return None,
    })
}
