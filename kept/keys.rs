//! Which words of a question are printed on the page, so that they can serve as its key without quotation marks.
//!
//! People seldom quote. "How much is a Margherita?" names its key all the same: the run of words that is printed. Every run of
//! neighbouring words is looked for on the page, and the longest ones that read well are quoted in the question, each in a
//! copy of its own, so that the network gets the maps that it was taught with quoted keys ([`super::hints`]).

use super::find::{Index, Match, Text};
use super::question::key_of;

/// Words of a run at most.
const LONGEST: usize = 6;

/// Letters and digits of a run at least.
const SHORTEST: usize = 3;

/// Nats a character up to which a run may be less likely than the best reading of its place.
const READ: f32 = -0.7;

/// What a character that reads perfectly counts for a run, nats, by which longer runs come first.
const WORTH: f32 = 1.2;

/// Words that begin or end no key: they say what is asked, not what is printed beside it. In the larger languages of Latin
/// letters.
const SMALL: &[&str] = &[
    // English
    "what", "what's", "whats", "which", "where", "when", "who", "whose", "how", "much", "many",
    "long", "is", "are", "was", "were", "be", "the", "this", "that", "these", "there", "of", "on",
    "in", "at", "to", "for", "from", "by", "with", "and", "or", "a", "an", "do", "does", "did",
    "can", "could", "will", "would", "should", "have", "has", "i", "me", "my", "you", "your", "we",
    "it", "its", "written", "printed", "shown", "stands", "say", "says", "said", "read", "here",
    "cost", "costs", "if", "as", "get", "below", "above", "after", "before", "under", "over",
    "next", "beside", "between", "left", "right", "behind", "comes", // German
    "was", "wie", "wo", "wann", "wer", "welche", "welcher", "welches", "wieviel", "viel", "viele",
    "ist", "sind", "war", "der", "die", "das", "dem", "den", "des", "ein", "eine", "einen",
    "einer", "von", "vom", "zu", "zum", "zur", "im", "am", "auf", "mit", "für", "und", "oder",
    "steht", "stehen", "kostet", "kosten", "man", "ich", "hat", "bei", "unter", "über", "nach",
    "vor", // French
    "quel", "quelle", "quels", "quelles", "combien", "où", "quand", "qui", "que", "est", "sont",
    "le", "la", "les", "un", "une", "du", "de", "au", "aux", "et", "ou", "à", "en", "dans", "sur",
    "pour", "par", "coûte", "coute", "se", "ce", "il", "elle",
    // Spanish, Italian, Portuguese
    "qué", "cuál", "cual", "cuánto", "cuanto", "cuánta", "cuesta", "dónde", "donde", "cuándo",
    "cuando", "quién", "es", "el", "los", "las", "una", "del", "al", "y", "o", "con", "para",
    "por", "no", "na", "che", "cosa", "quale", "quanto", "quanta", "costa", "dove", "quando",
    "chi", "è", "sono", "il", "lo", "gli", "uno", "di", "da", "del", "della", "dei", "delle",
    "nel", "nella", "per", "qual", "onde", "quem", "é", "são", "os", "as", "um", "uma", "do",
    "dos", "das", "ao", "em", "e",
];

/// A run of a question's words that is printed.
#[derive(Debug, Clone)]
pub struct Key {
    /// The question with the run in quotation marks.
    pub question: String,
    /// The run.
    pub text: String,
    /// Its best place.
    pub place: Match,
    /// Nats by which it speaks for itself: more for longer runs and better places.
    pub worth: f32,
}

/// Words with where they lie in a text, bytes.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (from, c.is_whitespace()) {
            (None, false) => from = Some(at),
            (Some(start), true) => {
                found.push((start, at));
                from = None;
            }
            _ => {}
        }
    }
    found
}

/// A word without the marks around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// The likeliest keys of a question that quotes nothing, best first, at most `most`; runs that share a word count once.
pub fn of_question(index: &Index, question: &str, most: usize) -> Vec<Key> {
    if key_of(question).is_some() {
        return Vec::new();
    }
    let words = words(question);
    let small: Vec<bool> = words
        .iter()
        .map(|(from, to)| SMALL.contains(&bare(&question[*from..*to]).to_lowercase().as_str()))
        .collect();
    let mut found: Vec<(usize, usize, Key)> = Vec::new();
    for first in 0..words.len() {
        for last in first..words.len().min(first + LONGEST) {
            if small[first] || small[last] {
                continue;
            }
            let whole = &question[words[first].0..words[last].1];
            let text = bare(whole);
            let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
            if letters < SHORTEST {
                continue;
            }
            let looked_for = Text::words(text);
            let Some(place) = index.find(&looked_for, 1).first().copied() else {
                continue;
            };
            if place.score < READ {
                continue;
            }
            let at = text.as_ptr() as usize - question.as_ptr() as usize;
            let quoted = format!(
                "{}\"{text}\"{}",
                &question[..at],
                &question[at + text.len()..]
            );
            found.push((
                first,
                last,
                Key {
                    question: quoted,
                    text: text.to_string(),
                    place,
                    worth: looked_for.length() as f32 * (WORTH + place.score),
                },
            ));
        }
    }
    found.sort_by(|a, b| b.2.worth.total_cmp(&a.2.worth));
    let mut kept: Vec<(usize, usize, Key)> = Vec::new();
    for key in found {
        if kept.iter().all(|k| k.1 < key.0 || key.1 < k.0) {
            kept.push(key);
        }
        if kept.len() == most {
            break;
        }
    }
    kept.into_iter().map(|(_, _, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::letters::tests::read;

    #[test]
    fn the_printed_run_of_words_is_quoted() {
        let letters = read(&[
            "pizza margherita ... 9.50",
            "",
            "",
            "pizza funghi ...... 8.00",
        ]);
        let found = of_question(&letters.index(), "How much is the pizza funghi?", 2);
        assert_eq!(found[0].question, "How much is the \"pizza funghi\"?");
        assert_eq!((found[0].place.row, found[0].place.from), (3, 0));
        // What is printed nowhere is no key, nor what is quoted already.
        assert!(of_question(&letters.index(), "When was it delivered?", 2).is_empty());
        assert!(of_question(&letters.index(), "How much is \"funghi\"?", 2).is_empty());
    }
}
