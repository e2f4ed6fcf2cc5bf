//! Completions while they are written: which token comes next, free or constrained to boxes, one row or a group.
//!
//! Choices fall on the host, with the caller's seeded generator, so that every device makes the same ones. Who computes the
//! logits, burn (`generate.rs`) or `infer`, is none of this file's business.

use grounding::NormBox;
use rand::{Rng, RngExt};

use crate::error::{Result, SmolVlmError};
use crate::grammar::{ALPHABET, BoxGrammar, BoxState};
use crate::prompt::Prompts;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Sampling {
    /// The most likely one; of equals the first.
    #[default]
    Greedy,
    /// Drawn with the logits divided by this temperature (above 0).
    Temperature(f32),
}

/// A free completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Its tokens, the closing one included where it came.
    pub ids: Vec<u32>,
    /// Its text, special tokens left out.
    pub text: String,
    /// Sum of the tokens' log-probabilities under the model at the temperature of sampling (greedy:
    /// 1), closing token included.
    pub logprob: f32,
    /// Whether a closing token came before the limit.
    pub finished: bool,
}

/// A constrained completion: always a valid box.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxCompletion {
    /// The box, in whole percents.
    pub bbox: NormBox,
    /// Log of the box's chance under the constrained model at the temperature of sampling (greedy:
    /// 1): at every choice the probabilities of the allowed tokens are renormalised, and forced
    /// tokens count 1. These chances sum to 1 over all valid boxes.
    pub logprob: f32,
    /// Its tokens in order; with their chance among those allowed where there was a choice.
    pub tokens: Vec<(u32, Option<f32>)>,
}

/// Free completions being written.
#[derive(Debug)]
pub(crate) struct TextRows {
    /// Tokens, log-probability, whether a closing token came.
    rows: Vec<(Vec<u32>, f64, bool)>,
    max_tokens: usize,
    step: usize,
}

impl TextRows {
    /// `n` empty completions of at most `max_tokens` tokens, of which the model's context has `room` left.
    pub(crate) fn new(
        n: usize,
        max_tokens: usize,
        room: usize,
        sampling: Sampling,
    ) -> Result<Self> {
        check(n, sampling)?;
        if max_tokens == 0 || max_tokens > room {
            return Err(argument("max_tokens", format!("1 to {room}"), max_tokens));
        }
        Ok(Self {
            rows: vec![(Vec::new(), 0.0, false); n],
            max_tokens,
            step: 0,
        })
    }

    /// Chooses a token for every open row. `logits` are [n, `width`], or [1, `width`] where all rows still have one past. Gives the tokens to
    /// read next, unless all is written.
    pub(crate) fn choose<R: Rng + ?Sized>(
        &mut self,
        logits: &[f32],
        width: usize,
        stop: &[u32],
        sampling: Sampling,
        rng: &mut R,
    ) -> Option<Vec<u32>> {
        for (i, (ids, logprob, finished)) in self.rows.iter_mut().enumerate() {
            if *finished {
                continue;
            }
            let row = if logits.len() == width { 0 } else { i };
            let row = &logits[row * width..(row + 1) * width];
            let (index, log) = choose(row, |_| true, sampling, rng);
            *logprob += log;
            ids.push(index as u32);
            *finished = stop.contains(&(index as u32));
        }
        self.step += 1;
        if self.step == self.max_tokens || self.rows.iter().all(|row| row.2) {
            return None;
        }
        // A finished row repeats its last token; nobody reads what follows.
        let last = |row: &(Vec<u32>, f64, bool)| row.0.last().copied().unwrap_or_default();
        Some(self.rows.iter().map(last).collect())
    }

    /// The first row's text so far.
    pub(crate) fn text(&self, prompts: &Prompts) -> Result<String> {
        match self.rows.first() {
            Some((ids, ..)) => prompts.decode(ids),
            None => Ok(String::new()),
        }
    }

    /// What was written.
    pub(crate) fn finish(self, prompts: &Prompts) -> Result<Vec<Completion>> {
        let rows = self.rows.into_iter();
        rows.map(|(ids, logprob, finished)| {
            Ok(Completion {
                text: prompts.decode(&ids)?,
                ids,
                logprob: logprob as f32,
                finished,
            })
        })
        .collect()
    }
}

/// Boxes being written.
pub(crate) struct BoxRows<'g> {
    grammar: &'g BoxGrammar,
    opening: Vec<(u32, Option<f32>)>,
    rows: Vec<Row>,
    /// Whether all rows still have one past.
    shared: bool,
}

impl<'g> BoxRows<'g> {
    /// `n` boxes of which the opening is written; `on_tokens` gets it.
    pub(crate) fn new(
        grammar: &'g BoxGrammar,
        n: usize,
        sampling: Sampling,
        mut on_tokens: impl FnMut(usize, &[(u32, Option<f32>)]),
    ) -> Result<Self> {
        check(n, sampling)?;
        let opening: Vec<_> = grammar.open().iter().map(|id| (*id, None)).collect();
        (0..n).for_each(|row| on_tokens(row, &opening));
        Ok(Self {
            grammar,
            opening,
            rows: vec![Row::default(); n],
            shared: true,
        })
    }

    /// Chooses where there is a choice. `logits` are those of the alphabet, [n, alphabet], of the first choice [1, alphabet].
    /// Gives the tokens that all rows read next, as many each, unless all is written.
    pub(crate) fn choose<R: Rng + ?Sized>(
        &mut self,
        logits: &[f32],
        sampling: Sampling,
        rng: &mut R,
        mut on_tokens: impl FnMut(usize, &[(u32, Option<f32>)]),
    ) -> Option<Vec<Vec<u32>>> {
        for (i, row) in self.rows.iter_mut().enumerate() {
            let start = if self.shared { 0 } else { i * ALPHABET };
            if row.queue.is_empty() && !row.state.is_complete() {
                let known = row.tokens.len();
                row.choose(
                    self.grammar,
                    &logits[start..start + ALPHABET],
                    sampling,
                    rng,
                );
                on_tokens(i, &row.tokens[known..]);
            }
        }
        self.shared = false;
        // All open rows read as many tokens as the shortest queue holds: one pass for a
        // choice and what it forces.
        let open = self.rows.iter().filter(|row| !row.state.is_complete());
        let count = open.map(|row| row.queue.len()).min()?;
        let pad = vec![self.grammar.alphabet()[0]; count];
        let next = self
            .rows
            .iter_mut()
            .map(|row| match row.state.is_complete() {
                true => pad.clone(),
                false => row.queue.drain(..count).collect(),
            });
        Some(next.collect())
    }

    /// What was written.
    pub(crate) fn finish(self) -> Result<Vec<BoxCompletion>> {
        let rows = self.rows.iter();
        rows.map(|row| match row.state.bbox() {
            Some(bbox) => Ok(BoxCompletion {
                bbox,
                logprob: row.logprob as f32,
                tokens: [self.opening.as_slice(), &row.tokens].concat(),
            }),
            None => Err(argument(
                "box",
                "a complete one",
                format!("{:?}", row.state),
            )),
        })
        .collect()
    }
}

/// One box being written.
#[derive(Debug, Clone, Default)]
struct Row {
    state: BoxState,
    /// Tokens that are decided and not read yet.
    queue: Vec<u32>,
    /// All that are decided, with the chances of those that were chosen.
    tokens: Vec<(u32, Option<f32>)>,
    logprob: f64,
}

impl Row {
    fn choose<R: Rng + ?Sized>(
        &mut self,
        grammar: &BoxGrammar,
        logits: &[f32],
        sampling: Sampling,
        rng: &mut R,
    ) {
        let mut chance = None;
        let mut choice = match self.state.forced() {
            Some(choice) => choice,
            None => {
                let allowed = self.state.allowed();
                let (choice, log) = choose(logits, |index| allowed[index], sampling, rng);
                self.logprob += log;
                chance = Some(log.exp() as f32);
                choice
            }
        };
        loop {
            let written = grammar.push(&mut self.state, choice);
            self.queue.extend(written);
            // What follows a choice's first token is forced.
            self.tokens
                .extend(written.iter().map(|id| (*id, chance.take())));
            match self.state.forced() {
                Some(next) => choice = next,
                None => break,
            }
        }
    }
}

pub(crate) fn argument(item: &str, expected: impl ToString, actual: impl ToString) -> SmolVlmError {
    SmolVlmError::Argument {
        item: item.to_string(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

pub(crate) fn check(n: usize, sampling: Sampling) -> Result<()> {
    if n == 0 {
        return Err(argument("number of completions", "at least 1", n));
    }
    match sampling {
        Sampling::Temperature(t) if !(t > 0.0 && t.is_finite()) => {
            Err(argument("temperature", "a number above 0", t))
        }
        _ => Ok(()),
    }
}

/// Chooses among the allowed logits; the index and its log-probability at the temperature of sampling
/// (greedy: 1).
fn choose<R: Rng + ?Sized>(
    logits: &[f32],
    allowed: impl Fn(usize) -> bool,
    sampling: Sampling,
    rng: &mut R,
) -> (usize, f64) {
    let open = || {
        logits
            .iter()
            .enumerate()
            .filter(|(index, _)| allowed(*index))
    };
    // Whatever the logits are, what is chosen is allowed.
    let first = open().next().map_or(0, |(index, _)| index);
    let (best, highest) = open().fold((first, f32::NEG_INFINITY), |best, (index, &logit)| {
        if logit > best.1 { (index, logit) } else { best }
    });
    let weight = |logit: f32, t: f32| (f64::from(logit - highest) / f64::from(t)).exp();
    let index = match sampling {
        Sampling::Greedy => best,
        Sampling::Temperature(t) => {
            let total: f64 = open().map(|(_, &logit)| weight(logit, t)).sum();
            let mut left = rng.random::<f64>() * total;
            let mut drawn = open().filter(|(_, logit)| weight(**logit, t) > 0.0);
            drawn
                .find(|(_, logit)| {
                    left -= weight(**logit, t);
                    left < 0.0
                })
                .map_or(best, |(index, _)| index)
        }
    };
    let t = match sampling {
        Sampling::Greedy => 1.0,
        Sampling::Temperature(t) => t,
    };
    let total: f64 = open().map(|(_, &logit)| weight(logit, t)).sum();
    let log = f64::from(logits[index] - highest) / f64::from(t);
    (index, log - total.ln())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    proptest! {
        #[test]
        fn what_is_chosen_is_allowed_whatever_the_logits(
            logits in proptest::collection::vec(
                prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
                ALPHABET,
            ),
            allowed in proptest::collection::vec(any::<bool>(), ALPHABET),
            seed in any::<u64>(),
        ) {
            prop_assume!(allowed.contains(&true));
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            for sampling in [Sampling::Greedy, Sampling::Temperature(0.8)] {
                let (index, _) = choose(&logits, |index| allowed[index], sampling, &mut rng);
                prop_assert!(allowed[index], "{logits:?} {sampling:?}");
            }
        }
    }
}
