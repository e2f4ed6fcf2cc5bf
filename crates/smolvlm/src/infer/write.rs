//! Completions: greedy and sampled, free and constrained to boxes, one row or a group; and log-probabilities of given ones.
//! What `generate.rs` and `likelihood.rs` do with burn.

use grounding::NormBox;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::net::{Past, Tokens, Wanted};
use super::{Model, Prompt};
use crate::completions::{BoxCompletion, BoxRows, Completion, Sampling, TextRows, argument};
use crate::error::{Result, SmolVlmError};
use crate::grammar::BoxGrammar;

/// A completion while it is written, see [`Model::draft`].
#[derive(Debug)]
pub struct Draft {
    rows: TextRows,
    past: Past,
    next: Next,
    n: usize,
}

/// What the next token follows from.
#[derive(Debug, Default)]
enum Next {
    /// The state after the prompt, [hidden].
    State(Vec<f32>),
    /// The newest token of each row, which are to be read.
    Tokens(Vec<u32>),
    /// All is written.
    #[default]
    Nothing,
}

impl Model {
    /// Completes a prompt freely, `n` times, each with at most `max_tokens` tokens.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for `n` = 0, a temperature that is not above 0, or a limit beyond the context;
    /// [`SmolVlmError::Computed`] for logits that are no numbers.
    pub async fn generate<R: Rng + ?Sized>(
        &self,
        prompt: &Prompt,
        n: usize,
        max_tokens: usize,
        sampling: Sampling,
        rng: &mut R,
    ) -> Result<Vec<Completion>> {
        let mut draft = self.drafts(prompt, n, max_tokens, sampling)?;
        while self.next_token(&mut draft, sampling, rng).await? {}
        draft.rows.finish(self.prompts())
    }

    /// Begins a completion that is written token by token, the likeliest each time, with at most `max_tokens` tokens: for
    /// whoever has other things to do between two tokens.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for a limit of 0 or beyond the context.
    pub fn draft(&self, prompt: &Prompt, max_tokens: usize) -> Result<Draft> {
        self.drafts(prompt, 1, max_tokens, Sampling::Greedy)
    }

    /// Writes one more token; `false` once all is written.
    ///
    /// # Errors
    /// [`SmolVlmError::Computed`] for logits that are no numbers.
    pub async fn write_on(&self, draft: &mut Draft) -> Result<bool> {
        // Never drawn from: the choice is greedy.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        self.next_token(draft, Sampling::Greedy, &mut rng).await
    }

    /// The text of a completion so far.
    ///
    /// # Errors
    /// [`SmolVlmError::Tokenizer`].
    pub fn drafted(&self, draft: &Draft) -> Result<String> {
        draft.rows.text(self.prompts())
    }

    fn drafts(
        &self,
        prompt: &Prompt,
        n: usize,
        max_tokens: usize,
        sampling: Sampling,
    ) -> Result<Draft> {
        let room = self.config().text.max_position_embeddings - prompt.tokens();
        Ok(Draft {
            rows: TextRows::new(n, max_tokens, room, sampling)?,
            past: prompt.past.clone(),
            next: Next::State(prompt.last.clone()),
            n,
        })
    }

    async fn next_token<R: Rng + ?Sized>(
        &self,
        draft: &mut Draft,
        sampling: Sampling,
        rng: &mut R,
    ) -> Result<bool> {
        let logits = match std::mem::take(&mut draft.next) {
            Next::State(state) => self.net.logits(&state, None).await?, // [1, V]
            Next::Tokens(ids) => {
                let wanted = Wanted::Logits(None);
                self.read_on(&ids, draft.n, &mut draft.past, wanted).await? // [n, V]
            }
            Next::Nothing => return Ok(false),
        };
        let logits = numbers(logits)?;
        let vocabulary = self.config().text.vocab_size;
        let stop = self.prompts().stop_tokens();
        let next = draft.rows.choose(&logits, vocabulary, stop, sampling, rng);
        draft.next = next.map_or(Next::Nothing, Next::Tokens);
        Ok(!matches!(draft.next, Next::Nothing))
    }

    /// Completes a prompt with boxes, `n` times: literal tokens are forced, and only digits and ends of numbers that can
    /// still lead to a valid box are chosen from.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub async fn generate_boxes<R: Rng + ?Sized>(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        n: usize,
        sampling: Sampling,
        rng: &mut R,
    ) -> Result<Vec<BoxCompletion>> {
        self.generate_boxes_streamed(grammar, prompt, n, sampling, rng, |_, _| ())
            .await
    }

    /// As [`Model::generate_boxes`]; `on_tokens` gets the number of a row and the tokens that were decided of it, each with its
    /// chance among those allowed where there was a choice.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub async fn generate_boxes_streamed<R: Rng + ?Sized>(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        n: usize,
        sampling: Sampling,
        rng: &mut R,
        mut on_tokens: impl FnMut(usize, &[(u32, Option<f32>)]),
    ) -> Result<Vec<BoxCompletion>> {
        let mut rows = BoxRows::new(grammar, n, sampling, &mut on_tokens)?;
        let alphabet = grammar.alphabet();
        let wanted = Wanted::Logits(Some(&alphabet));
        let mut past = prompt.past.clone();
        // [1 or n, alphabet]
        let mut logits = match grammar.open() {
            [] => self.net.logits(&prompt.last, Some(&alphabet)).await?,
            open => {
                let logits = self.read_on(open, 1, &mut past, wanted).await?;
                past = past.shared();
                logits
            }
        };
        loop {
            let logits_of = numbers(logits)?;
            let Some(next) = rows.choose(&logits_of, sampling, rng, &mut on_tokens) else {
                return rows.finish();
            };
            logits = self.read_on(&next.concat(), n, &mut past, wanted).await?; // [n, alphabet]
        }
    }

    /// Log-probabilities under the free model of every token of a completion.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for an empty one; [`SmolVlmError::Computed`].
    pub async fn token_log_probs(&self, prompt: &Prompt, completion: &[u32]) -> Result<Vec<f32>> {
        let states = self.states_before(prompt, completion).await?;
        let width = self.config().text.vocab_size;
        // A token's logits at a time: all of them would be the largest thing in memory.
        let tokens = states.chunks_exact(self.hidden()).zip(completion);
        let mut each = Vec::with_capacity(completion.len());
        for (state, &id) in tokens {
            let logits = numbers(self.net.logits(state, None).await?)?;
            debug_assert_eq!(logits.len(), width);
            each.push(log_share(&logits, |_| true, id as usize) as f32);
        }
        Ok(each)
    }

    /// Log of the chance of each box under the constrained model: what [`BoxCompletion::logprob`] says at temperature 1.
    /// Edges are rounded to whole percents.
    ///
    /// # Errors
    /// As [`Model::token_log_probs`].
    pub async fn box_log_probs(
        &self,
        grammar: &BoxGrammar,
        prompt: &Prompt,
        boxes: &[NormBox],
    ) -> Result<Vec<f32>> {
        let alphabet = grammar.alphabet();
        let mut each = Vec::with_capacity(boxes.len());
        for &bbox in boxes {
            let (ids, choices) = grammar.spell(bbox);
            let states = self.states_before(prompt, &ids).await?;
            let logits = numbers(self.net.logits(&states, Some(&alphabet)).await?)?; // [T, alphabet]
            let mut sum = 0.0;
            for choice in choices {
                let logits = &logits[choice.at * alphabet.len()..][..alphabet.len()];
                sum += log_share(logits, |i| choice.allowed[i], choice.index);
            }
            each.push(sum as f32);
        }
        Ok(each)
    }

    /// The states from which each token of a completion is predicted, [T, hidden].
    async fn states_before(&self, prompt: &Prompt, completion: &[u32]) -> Result<Vec<f32>> {
        let Some((_, read)) = completion.split_last() else {
            return Err(argument("completion", "at least one token", "none"));
        };
        let mut states = prompt.last.clone();
        if !read.is_empty() {
            let mut past = prompt.past.clone();
            states.extend(self.read_on(read, 1, &mut past, Wanted::States).await?);
        }
        Ok(states)
    }

    /// Reads `rows` rows of equal length, [rows x T].
    async fn read_on(
        &self,
        ids: &[u32],
        rows: usize,
        past: &mut Past,
        wanted: Wanted<'_>,
    ) -> Result<Vec<f32>> {
        let ids: Vec<Option<u32>> = ids.iter().copied().map(Some).collect();
        let tokens = Tokens {
            ids: &ids,
            rows,
            images: &[],
        };
        self.net.read(tokens, past, wanted).await
    }

    fn hidden(&self) -> usize {
        self.config().text.hidden_size
    }
}

/// Logits, if they are numbers.
fn numbers(logits: Vec<f32>) -> Result<Vec<f32>> {
    match logits.iter().copied().find(|value| !value.is_finite()) {
        None => Ok(logits),
        Some(value) => Err(SmolVlmError::Computed {
            item: "logits".to_string(),
            value,
        }),
    }
}

/// Log of the chance of one among those allowed.
fn log_share(logits: &[f32], allowed: impl Fn(usize) -> bool, index: usize) -> f64 {
    let open = || {
        let all = logits.iter().enumerate();
        all.filter(|(i, _)| allowed(*i)).map(|(_, &logit)| logit)
    };
    let top = open().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = open().map(|logit| f64::from(logit - top).exp()).sum();
    f64::from(logits[index] - top) - sum.ln()
}
