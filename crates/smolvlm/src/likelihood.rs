//! Log-probabilities of given completions, differentiable: for rewards, SFT and GRPO.
//!
//! A batch of completions shares its prompt's prefill. Rows are filled up on the right, where
//! causal attention never looks back from, so no mask is needed; what was filled counts 0.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use grounding::NormBox;

use crate::completions::{Sampling, check};
use crate::error::{Result, SmolVlmError};
use crate::grammar::{ALPHABET, BoxGrammar};
use crate::model::id_rows;
use crate::smolvlm::{Prompt, SmolVlm};

/// Stands for an impossible choice: its exponential is 0 in f32, and no gradient becomes NaN.
const IMPOSSIBLE: f32 = -1e9;

/// What [`SmolVlm::box_token_log_probs`] finds.
#[derive(Debug, Clone)]
pub struct BoxLogProbs {
    /// Log-probability of every token, [n, T]; 0 where nothing was to be chosen.
    pub values: Tensor<2>,
    /// Entropy of what was to be chosen from, [n, T], in nats, without history.
    pub entropies: Tensor<2>,
    /// Whether there was a choice, n rows of T.
    pub chosen: Vec<Vec<bool>>,
}

/// What [`SmolVlm::token_log_probs_at`] finds.
#[derive(Debug, Clone)]
pub struct TokenLogProbs {
    /// Log-probability of every token, [n, T]; 0 beyond a completion's end.
    pub values: Tensor<2>,
    /// Entropy of the distribution that the token comes from, [n, T], in nats, without history.
    pub entropies: Tensor<2>,
}

impl SmolVlm {
    /// Log-probability under the free model of every token of completions of one prompt, [n, T]
    /// with T tokens in the longest; 0 beyond a completion's end. Differentiable.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] if there is no completion or an empty one.
    pub fn token_log_probs(&self, prompt: &Prompt, completions: &[Vec<u32>]) -> Result<Tensor<2>> {
        Ok(self.token_log_probs_at(prompt, completions, 1.0)?.values)
    }

    /// As [`SmolVlm::token_log_probs`], under the model whose logits are divided by a temperature: of
    /// what [`Sampling::Temperature`] draws.
    ///
    /// # Errors
    /// As [`SmolVlm::token_log_probs`]; a temperature that is not above 0.
    pub fn token_log_probs_at(
        &self,
        prompt: &Prompt,
        completions: &[Vec<u32>],
        temperature: f64,
    ) -> Result<TokenLogProbs> {
        check(1, Sampling::Temperature(temperature as f32))?;
        let states = self.states_before(prompt, completions)?; // [n, T, hidden]
        let [n, t, _] = states.dims();
        let device = states.device();
        let logits = cooled(self.net.logits(states), temperature); // [n, T, V]
        let log_probs = log_softmax(logits, 2); // [n, T, V]
        let rows: Vec<&[u32]> = completions.iter().map(Vec::as_slice).collect();
        let targets = id_rows(
            &fill(&rows, t).iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &device,
        );
        let entropies = entropies(&log_probs);
        let chosen = log_probs.gather(2, targets.unsqueeze_dim(2)); // [n, T, 1]
        let beyond: Vec<bool> = rows
            .iter()
            .flat_map(|row| (0..t).map(|i| i >= row.len()))
            .collect();
        let beyond = Tensor::<2, Bool>::from_data(TensorData::new(beyond, [n, t]), &device);
        Ok(TokenLogProbs {
            values: chosen.squeeze_dim::<2>(2).mask_fill(beyond, 0.0), // [n, T]
            entropies,
        })
    }

    /// Log of the chance of each box under the constrained model, `[n]`: what
    /// [`crate::BoxCompletion::logprob`] says at temperature 1, differentiable. Edges are rounded to
    /// whole percents.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] if there is no box.
    pub fn box_log_probs(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        boxes: &[NormBox],
    ) -> Result<Tensor<1>> {
        let each = self.box_token_log_probs(grammar, prompt, boxes, 1.0)?;
        Ok(each.values.sum_dim(1).squeeze_dim(1)) // [n]
    }

    /// Log-probabilities under the constrained model of every token of the boxes, [n, T] with T
    /// tokens in the longest, and which of them were chosen rather than forced. The logits are divided
    /// by a temperature first, as sampling does. Differentiable.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] if there is no box, or a temperature that is not above 0.
    pub fn box_token_log_probs(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        boxes: &[NormBox],
        temperature: f64,
    ) -> Result<BoxLogProbs> {
        check(1, Sampling::Temperature(temperature as f32))?;
        let spelled: Vec<_> = boxes.iter().map(|&bbox| grammar.spell(bbox)).collect();
        let rows: Vec<Vec<u32>> = spelled.iter().map(|(ids, _)| ids.clone()).collect();
        let states = self.states_before(prompt, &rows)?; // [n, T, hidden]
        let [n, t, _] = states.dims();
        let device = states.device();

        // Where nothing is chosen, one column alone is open: its log-probability is 0.
        let mut closed = vec![true; n * t * ALPHABET];
        let mut chosen = vec![0i32; n * t];
        let mut open = vec![false; n * t];
        for place in closed.chunks_exact_mut(ALPHABET) {
            place[0] = false;
        }
        for (row, (_, choices)) in spelled.iter().enumerate() {
            for choice in choices {
                let at = row * t + choice.at;
                chosen[at] = choice.index as i32;
                open[at] = choice.allowed.iter().filter(|&&allowed| allowed).count() > 1;
                for (index, allowed) in choice.allowed.iter().enumerate() {
                    closed[at * ALPHABET + index] = !allowed;
                }
            }
        }
        let closed = TensorData::new(closed, [n, t, ALPHABET]);
        let closed = Tensor::<3, Bool>::from_data(closed, &device);
        let chosen = Tensor::<3, Int>::from_data(TensorData::new(chosen, [n, t, 1]), &device);

        let logits = self.net.logits_of(states, &grammar.alphabet()); // [n, T, alphabet]
        let logits = cooled(logits, temperature);
        let log_probs = log_softmax(logits.mask_fill(closed, IMPOSSIBLE), 2);
        Ok(BoxLogProbs {
            entropies: entropies(&log_probs),
            values: log_probs.gather(2, chosen).reshape([n, t]),
            chosen: open.chunks_exact(t).map(<[bool]>::to_vec).collect(),
        })
    }

    /// The states from which each token of the completions is predicted, [n, T, hidden].
    fn states_before(&self, prompt: &Prompt, completions: &[Vec<u32>]) -> Result<Tensor<3>> {
        let t = completions.iter().map(Vec::len).max().unwrap_or(0);
        if completions.iter().any(Vec::is_empty) || t == 0 {
            return Err(SmolVlmError::Argument {
                item: "completions".to_string(),
                expected: "at least one, none of them empty".to_string(),
                actual: format!("{}, the longest of {t} tokens", completions.len()),
            });
        }
        let n = completions.len();
        let [_, _, hidden] = prompt.last.dims();
        let first = prompt.last.clone().expand([n, 1, hidden]); // [n, 1, hidden]
        if t == 1 {
            return Ok(first);
        }
        let rows: Vec<&[u32]> = completions.iter().map(Vec::as_slice).collect();
        let rows = fill(&rows, t);
        let rows: Vec<&[u32]> = rows.iter().map(|row| &row[..t - 1]).collect();
        let embeddings = self.net.text_model.embed(id_rows(&rows, &self.device()));
        let mut cache = prompt.cache.share();
        let states = self.net.states(embeddings, &mut cache); // [n, T - 1, hidden]
        Ok(Tensor::cat(vec![first, states], 1))
    }
}

/// Entropies of distributions [n, T, V] given as log-probabilities, [n, T].
fn entropies(log_probs: &Tensor<3>) -> Tensor<2> {
    let log_probs = log_probs.clone().without_autodiff();
    -(log_probs.clone().exp() * log_probs)
        .sum_dim(2)
        .squeeze_dim::<2>(2)
}

/// Logits divided by a temperature.
fn cooled(logits: Tensor<3>, temperature: f64) -> Tensor<3> {
    if temperature == 1.0 {
        return logits;
    }
    logits.div_scalar(temperature)
}

/// Rows filled up on the right to `t` tokens.
fn fill(rows: &[&[u32]], t: usize) -> Vec<Vec<u32>> {
    rows.iter()
        .map(|row| {
            let mut row = row.to_vec();
            row.resize(t, 0);
            row
        })
        .collect()
}
