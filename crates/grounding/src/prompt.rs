//! The two prompts, the case of the words in them, and the answer a reward model is asked for.
//!
//! The reference passes question and target answer through Python's `str.capitalize`, which lowers
//! every letter but the first. Default here too, so that adapters trained there and here agree;
//! [`Case::Keep`] leaves names, codes and serial numbers as they are.

use serde::{Deserialize, Serialize};

use crate::answers::most_frequent;

/// What happens to the letters of a question and of a target answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// First letter upper, all others lower, as the reference does.
    #[default]
    Capitalize,
    /// As they came.
    Keep,
}

impl Case {
    /// The text in this case.
    pub fn apply(self, text: &str) -> String {
        match self {
            Case::Capitalize => capitalize(text),
            Case::Keep => text.to_owned(),
        }
    }
}

/// What the policy is asked, the image before it.
pub fn policy_prompt(question: &str, case: Case) -> String {
    format!(
        "{}\nOutline the region in the image that would help answer this question.",
        case.apply(question)
    )
}

/// What the target VLM and the reward model are asked, full image and crop before it.
pub fn answer_prompt(question: &str, case: Case) -> String {
    format!("{}\nGive a very brief answer.", case.apply(question))
}

/// The answer whose likelihood is the reward: the most frequent one (of equals the first), its case
/// changed as the question's, then a full stop. White space around answers does not count, nor does
/// their case where it is changed anyway. `None` without answers.
pub fn target_answer<S: AsRef<str>>(answers: &[S], case: Case) -> Option<String> {
    let spelled: Vec<String> = answers
        .iter()
        .map(|answer| case.apply(answer.as_ref().trim()))
        .collect();
    most_frequent(&spelled).map(|answer| format!("{answer}."))
}

/// An answer that a person gives as it is scored: its case changed as the question's, a full stop at its end. `None` where it is empty.
pub fn given_answer(answer: &str, case: Case) -> Option<String> {
    let mut target = case.apply(answer.trim());
    if !target.is_empty() && !target.ends_with('.') {
        target.push('.');
    }
    (!target.is_empty()).then_some(target)
}

/// Python's `str.capitalize`: the first character in title case, all others in lower case.
pub fn capitalize(text: &str) -> String {
    let Some(first) = text.chars().next() else {
        return String::new();
    };
    // Lowered as a whole, because the Greek final sigma depends on its neighbours.
    let lowered = text.to_lowercase();
    let skipped: usize = first.to_lowercase().map(char::len_utf8).sum();
    let mut out = String::with_capacity(text.len());
    push_title(first, &mut out);
    out.push_str(&lowered[skipped..]);
    out
}

/// Appends a character in title case, which Rust's standard library lacks. It is the upper case but
/// for the 135 characters below; `tests/goldens/capitalize.json` holds what Python makes of each.
fn push_title(c: char, out: &mut String) {
    match c {
        // Digraphs have a form of their own.
        'Ǆ' | 'ǅ' | 'ǆ' => out.push('ǅ'),
        'Ǉ' | 'ǈ' | 'ǉ' => out.push('ǈ'),
        'Ǌ' | 'ǋ' | 'ǌ' => out.push('ǋ'),
        'Ǳ' | 'ǲ' | 'ǳ' => out.push('ǲ'),
        // Georgian has capitals for whole words only.
        'ა'..='ჺ' | 'ჽ'..='ჿ' => out.push(c),
        // Greek iota subscript stays below; in upper case it would become a letter.
        '\u{1f80}'..='\u{1faf}' => out.extend(char::from_u32(c as u32 | 8)),
        'ᾳ' | 'ᾼ' => out.push('ᾼ'),
        'ῃ' | 'ῌ' => out.push('ῌ'),
        'ῳ' | 'ῼ' => out.push('ῼ'),
        'ᾲ' | 'ᾴ' | 'ᾷ' | 'ῂ' | 'ῄ' | 'ῇ' | 'ῲ' | 'ῴ' | 'ῷ' => {
            let mut upper: String = c.to_uppercase().collect();
            upper.pop(); // the letter iota
            out.push_str(&upper);
            out.push('\u{345}'); // the combining one
        }
        // Ligatures: only their first letter is upper.
        'ß' | 'և' | '\u{fb00}'..='\u{fb06}' | '\u{fb13}'..='\u{fb17}' => {
            let mut letters = c.to_uppercase();
            out.extend(letters.next());
            out.extend(letters.flat_map(char::to_lowercase));
        }
        _ => out.extend(c.to_uppercase()),
    }
}
