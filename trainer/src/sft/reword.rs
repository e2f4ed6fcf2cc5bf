//! What is printed, said in other words: people seldom name a thing as the page does.
//!
//! Words of a line are replaced by words of nearly the same meaning, by the policy's own table of words ([`mapnet::words`]). So a
//! policy learns to trust what the table says of any words, and not the few dozen things alone that drawn pages print and ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mapnet::words::Words;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Words of a line that is said otherwise, at most: longer ones are no labels.
const LABEL: usize = 4;
/// Letters of a word that is replaced, at least.
const LETTERS: usize = 3;
/// Words that one is replaced by: so many of the nearest, and no further than this cosine.
const NEAREST: usize = 8;
const ALIKE: f32 = 0.6;
/// How often a word that has such neighbours is replaced.
const REPLACED: f64 = 0.75;

/// Nearest words of words.
pub struct Rewording {
    words: Words,
    spelled: Vec<String>,
    /// What was asked for so far.
    near: Mutex<HashMap<usize, Arc<Vec<usize>>>>,
}

impl Rewording {
    /// With a policy's table of words.
    pub fn new(words: &Words) -> Self {
        Self {
            words: words.clone(),
            spelled: words.spellings(),
            near: Mutex::default(),
        }
    }

    /// A line in other words, in small letters; `None` where it is no label or has no word that is known.
    pub fn of(&self, line: &str, rng: &mut ChaCha8Rng) -> Option<String> {
        if line.chars().any(|c| c.is_ascii_digit()) {
            return None;
        }
        let parts = line.split(|c: char| !c.is_alphanumeric());
        let parts: Vec<String> = parts
            .filter(|part| !part.is_empty())
            .map(str::to_lowercase)
            .collect();
        if parts.is_empty() || parts.len() > LABEL {
            return None;
        }
        let mut known = false;
        let said: Vec<String> = parts
            .into_iter()
            .map(|part| {
                let long = part.chars().count() >= LETTERS;
                let Some(id) = self.words.find(&part).filter(|_| long) else {
                    return part;
                };
                known = true;
                let near = self.near(id);
                if near.is_empty() || !rng.random_bool(REPLACED) {
                    return part;
                }
                self.spelled[near[rng.random_range(0..near.len())]].clone()
            })
            .collect();
        known.then(|| said.join(" "))
    }

    fn near(&self, id: usize) -> Arc<Vec<usize>> {
        let mut known = self.near.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.entry(id).or_insert_with(|| {
            let near = self.words.nearest(id, NEAREST).into_iter();
            Arc::new(
                near.filter(|(_, alike)| *alike >= ALIKE)
                    .map(|(id, _)| id)
                    .collect(),
            )
        });
        found.clone()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn rewording() -> Rewording {
        let dir = std::path::Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../models/words/words.safetensors"
        ));
        let bytes = std::fs::read(dir).expect("the table");
        let mut table = tensors::read("words.safetensors", &bytes).expect("tensors");
        let mut take = |name: &str| table.remove(name).expect("a tensor").1;
        Rewording::new(&Words::new(&take("words.letters"), take("words.vectors")))
    }

    #[test]
    fn a_label_is_said_in_words_that_mean_nearly_the_same() {
        let rewording = rewording();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let said: Vec<String> = (0..40)
            .filter_map(|_| rewording.of("Salary:", &mut rng))
            .collect();
        assert_eq!(said.len(), 40);
        assert!(said.iter().any(|word| word == "salary"), "{said:?}");
        assert!(said.iter().any(|word| word.contains("wage")), "{said:?}");
    }

    #[test]
    fn what_is_no_label_is_left_alone() {
        let rewording = rewording();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for line in [
            "12.50",
            "Room 4",
            "",
            "zzxq",
            "one two three four five",
            "---",
        ] {
            assert_eq!(rewording.of(line, &mut rng), None, "{line}");
        }
    }
}
