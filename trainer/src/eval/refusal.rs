//! Which answers count as refusals. The rule, in full:
//!
//! 1. the provider says so: a `refusal` in the reply, a content filter (as finish reason or as an error
//!    that names it);
//! 2. the answer is empty;
//! 3. it opens with one of [`OPENINGS`], whatever its case and apostrophes.
//!
//! A refusal is an answer: it is scored as it stands (in practice 0), counted beside the score, and not
//! asked again. "I don't know" and "unanswerable" are answers about the picture, not refusals.

/// How refusals begin.
pub const OPENINGS: [&str; 12] = [
    "i'm sorry",
    "i am sorry",
    "sorry, i",
    "sorry, but i",
    "i can't",
    "i cannot",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "i won't",
    "as an ai",
];

/// Whether an answer refuses; `marked`: the provider says that it does.
pub fn is_refusal(answer: &str, marked: bool) -> bool {
    let answer = answer
        .trim()
        .replace(['\u{2019}', '\u{2bc}'], "'")
        .to_lowercase();
    marked || answer.is_empty() || OPENINGS.iter().any(|opening| answer.starts_with(opening))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_answers_are_told_apart() {
        for refusal in [
            "",
            "  \n",
            "I\u{2019}m sorry, but I can't help.",
            "As an AI, ...",
            "I CANNOT see it.",
        ] {
            assert!(is_refusal(refusal, false), "{refusal}");
        }
        for answer in [
            "9.00",
            "Canada",
            "unanswerable",
            "I don't know.",
            "Sorry Records",
            "As on page 2",
        ] {
            assert!(!is_refusal(answer, false), "{answer}");
        }
        assert!(is_refusal("9.00", true));
    }
}
