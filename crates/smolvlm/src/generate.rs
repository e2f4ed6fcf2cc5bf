//! Generation: greedy and sampled, free and constrained to boxes, one row or a group.
//!
//! A group shares one prefill. Values come back from the device asynchronously, because a browser
//! cannot wait; choices fall on the host, with the caller's seeded generator, so that every device
//! makes the same ones.

use burn::tensor::{Tensor, TensorData};
use grounding::NormBox;
use rand::{Rng, RngExt};

use crate::error::{Result, SmolVlmError};
use crate::grammar::{ALPHABET, BoxGrammar, BoxState};
use crate::model::id_rows;
use crate::smolvlm::{Prompt, SmolVlm};

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

impl SmolVlm {
    /// Completes a prompt freely, `n` times, each with at most `max_tokens` tokens.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for `n` = 0, a temperature that is not above 0, or a limit
    /// beyond the context; [`SmolVlmError::Readback`].
    pub async fn generate<R: Rng + ?Sized>(
        &self,
        prompt: &Prompt,
        n: usize,
        max_tokens: usize,
        sampling: Sampling,
        rng: &mut R,
    ) -> Result<Vec<Completion>> {
        check(n, sampling)?;
        let room = self.config().text.max_position_embeddings - prompt.tokens();
        if max_tokens == 0 || max_tokens > room {
            return Err(argument("max_tokens", format!("1 to {room}"), max_tokens));
        }
        let stop = self.prompts().stop_tokens();
        let mut cache = prompt.cache.share();
        let mut rows = vec![(Vec::new(), 0f64, false); n];
        let mut states = prompt.last.clone(); // [1, 1, hidden]
        for step in 0.. {
            let logits = read(self.net.logits(states), "logits").await?; // [1 or n, 1, V]
            let width = self.config().text.vocab_size;
            for (i, (ids, logprob, finished)) in rows.iter_mut().enumerate() {
                if *finished {
                    continue;
                }
                let row = if step == 0 { 0 } else { i };
                let row = &logits[row * width..(row + 1) * width];
                let (index, log) = choose(row, |_| true, sampling, rng);
                *logprob += log;
                ids.push(index as u32);
                *finished = stop.contains(&(index as u32));
            }
            if step + 1 == max_tokens || rows.iter().all(|row| row.2) {
                break;
            }
            // A finished row repeats its last token; nobody reads what follows.
            let next: Vec<&[u32]> = rows
                .iter()
                .map(|row| &row.0[step.min(row.0.len() - 1)..][..1])
                .collect();
            states = self.read_on(&next, &mut cache); // [n, 1, hidden]
        }
        rows.into_iter()
            .map(|(ids, logprob, finished)| {
                Ok(Completion {
                    text: self.prompts().decode(&ids)?,
                    ids,
                    logprob: logprob as f32,
                    finished,
                })
            })
            .collect()
    }

    /// Completes a prompt with boxes, `n` times: literal tokens are forced, and only digits and
    /// ends of numbers that can still lead to a valid box are chosen from.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for `n` = 0 or a temperature that is not above 0;
    /// [`SmolVlmError::Readback`].
    pub async fn generate_boxes<R: Rng + ?Sized>(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        n: usize,
        sampling: Sampling,
        rng: &mut R,
    ) -> Result<Vec<BoxCompletion>> {
        let nobody = |_: usize, _: &[(u32, Option<f32>)]| ();
        self.generate_boxes_aloud(grammar, prompt, n, sampling, rng, nobody)
            .await
    }

    /// As [`SmolVlm::generate_boxes`]; `heard` gets each row's new tokens as soon as they are decided, with their chances
    /// as in [`BoxCompletion::tokens`].
    ///
    /// # Errors
    /// As [`SmolVlm::generate_boxes`].
    pub async fn generate_boxes_aloud<R: Rng + ?Sized>(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        n: usize,
        sampling: Sampling,
        rng: &mut R,
        mut heard: impl FnMut(usize, &[(u32, Option<f32>)]),
    ) -> Result<Vec<BoxCompletion>> {
        check(n, sampling)?;
        let opening: Vec<(u32, Option<f32>)> =
            grammar.open().iter().map(|id| (*id, None)).collect();
        (0..n).for_each(|row| heard(row, &opening));
        let alphabet = grammar.alphabet();
        let mut cache = prompt.cache.share();
        let mut states = prompt.last.clone(); // [1, 1, hidden]
        if !grammar.open().is_empty() {
            states = self.read_on(&[grammar.open()], &mut cache);
            cache = cache.share();
        }
        let mut rows = vec![Row::default(); n];
        let mut shared = true;
        loop {
            let logits = self.net.logits_of(states, &alphabet); // [1 or n, 1, alphabet]
            let logits = read(logits, "logits").await?;
            for (i, row) in rows.iter_mut().enumerate() {
                let start = if shared { 0 } else { i * ALPHABET };
                if row.queue.is_empty() && !row.state.is_complete() {
                    let known = row.tokens.len();
                    row.choose(grammar, &logits[start..start + ALPHABET], sampling, rng);
                    heard(i, &row.tokens[known..]);
                }
            }
            // All open rows read as many tokens as the shortest queue holds: one pass for a
            // choice and what it forces.
            let open = rows.iter().filter(|row| !row.state.is_complete());
            let Some(count) = open.map(|row| row.queue.len()).min() else {
                break;
            };
            let pad = vec![alphabet[0]; count];
            let next: Vec<Vec<u32>> = rows
                .iter_mut()
                .map(|row| match row.state.is_complete() {
                    true => pad.clone(),
                    false => row.queue.drain(..count).collect(),
                })
                .collect();
            let next: Vec<&[u32]> = next.iter().map(Vec::as_slice).collect();
            states = self.read_on(&next, &mut cache); // [n, 1, hidden]
            shared = false;
        }
        rows.iter()
            .map(|row| match row.state.bbox() {
                Some(bbox) => Ok(BoxCompletion {
                    bbox,
                    logprob: row.logprob as f32,
                    tokens: [opening.as_slice(), &row.tokens].concat(),
                }),
                None => Err(argument(
                    "box",
                    "a complete one",
                    format!("{:?}", row.state),
                )),
            })
            .collect()
    }

    /// Reads rows of equal length; the state after the last token of each, [B, 1, hidden].
    fn read_on(&self, rows: &[&[u32]], cache: &mut crate::decoder::KvCache) -> Tensor<3> {
        let embeddings = self.net.text_model.embed(id_rows(rows, &self.device())); // [B, T, hidden]
        let t = embeddings.dims()[1];
        self.net.states(embeddings, cache).narrow(1, t - 1, 1)
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

fn argument(item: &str, expected: impl ToString, actual: impl ToString) -> SmolVlmError {
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

/// Values of a tensor, row by row, once the device has them; they have to be numbers. `item` names them in an error.
///
/// # Errors
/// [`SmolVlmError::Readback`]; [`SmolVlmError::Computed`] where one is NaN or infinite.
pub async fn read<const D: usize>(tensor: Tensor<D>, item: &str) -> Result<Vec<f32>> {
    let values = read_any(tensor, item).await?;
    match values.iter().copied().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(value) => Err(SmolVlmError::Computed {
            item: item.to_string(),
            value,
        }),
    }
}

/// As [`read`], whatever the values are.
///
/// # Errors
/// [`SmolVlmError::Readback`].
pub(crate) async fn read_any<const D: usize>(tensor: Tensor<D>, item: &str) -> Result<Vec<f32>> {
    let failed = |message: String| SmolVlmError::Readback {
        item: item.to_string(),
        message,
    };
    let data: TensorData = tensor
        .into_data_async()
        .await
        .map_err(|error| failed(error.to_string()))?;
    data.convert::<f32>()
        .try_into_vec()
        .map_err(|error| failed(format!("{error:?}")))
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
