//! How good an answer is: VQA accuracy and ANLS.

use std::collections::HashMap;

pub use crate::vqa::{normalise, vqa_accuracy};

/// The answer that stands most often in the list; of equals the first.
pub fn most_frequent<S: AsRef<str>>(answers: &[S]) -> Option<&str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for answer in answers {
        *counts.entry(answer.as_ref()).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    answers
        .iter()
        .map(AsRef::as_ref)
        .find(|answer| counts.get(answer) == Some(&most))
}

/// Average normalised Levenshtein similarity of one answer: the best over the accepted answers of
/// 1 - distance / longer length, 0 where that distance is half of the length or more (threshold
/// 0.5). Case and runs of white space do not count. 0 without accepted answers.
pub fn anls<S: AsRef<str>>(prediction: &str, answers: &[S]) -> f64 {
    let prediction = plain(prediction);
    answers
        .iter()
        .map(|answer| {
            let answer = plain(answer.as_ref());
            let longer = answer.len().max(prediction.len());
            if longer == 0 {
                return 1.0;
            }
            let distance = levenshtein(&prediction, &answer) as f64 / longer as f64;
            if distance < 0.5 { 1.0 - distance } else { 0.0 }
        })
        .fold(0.0, f64::max)
}

/// Whether the answer is one of the accepted ones, letter by letter; case and runs of white space do
/// not count.
pub fn exact_match<S: AsRef<str>>(prediction: &str, answers: &[S]) -> bool {
    let prediction = plain(prediction);
    answers
        .iter()
        .any(|answer| plain(answer.as_ref()) == prediction)
}

/// A model's answer as it is scored: without the white space around it and one closing full stop, which
/// models are trained to write and people's answers lack.
pub fn without_full_stop(answer: &str) -> &str {
    let answer = answer.trim();
    answer.strip_suffix('.').unwrap_or(answer).trim_end()
}

/// An answer as answers are compared with each other: without case, white space around it and closing full stop.
pub fn comparable(answer: &str) -> String {
    without_full_stop(answer).to_lowercase()
}

fn plain(text: &str) -> Vec<char> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase().chars().collect()
}

/// Fewest insertions, deletions and replacements of characters between two texts.
fn levenshtein(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
