//! Generation by burn: greedy and sampled, free and constrained to boxes, one row or a group.
//!
//! A group shares one prefill. Values come back from the device asynchronously, because a browser
//! cannot wait; what is chosen, `completions.rs` says.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;

use crate::completions::{BoxCompletion, BoxRows, Completion, Sampling, TextRows};
use crate::error::{Result, SmolVlmError};
use crate::grammar::BoxGrammar;
use crate::model::id_rows;
use crate::smolvlm::{Prompt, SmolVlm};

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
        let room = self.config().text.max_position_embeddings - prompt.tokens();
        let mut rows = TextRows::new(n, max_tokens, room, sampling)?;
        let stop = self.prompts().stop_tokens();
        let width = self.config().text.vocab_size;
        let mut cache = prompt.cache.share();
        let mut states = prompt.last.clone(); // [1, 1, hidden]
        loop {
            let logits = read(self.net.logits(states), "logits").await?; // [1 or n, 1, V]
            let Some(next) = rows.choose(&logits, width, stop, sampling, rng) else {
                return rows.finish(self.prompts());
            };
            let next: Vec<&[u32]> = next.chunks(1).collect();
            states = self.read_on(&next, &mut cache); // [n, 1, hidden]
        }
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
        self.generate_boxes_streamed(grammar, prompt, n, sampling, rng, nobody)
            .await
    }

    /// As [`SmolVlm::generate_boxes`]; `on_tokens` gets each row's new tokens as soon as they are decided, with their chances
    /// as in [`BoxCompletion::tokens`].
    ///
    /// # Errors
    /// As [`SmolVlm::generate_boxes`].
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
        let mut cache = prompt.cache.share();
        let mut states = prompt.last.clone(); // [1, 1, hidden]
        if !grammar.open().is_empty() {
            states = self.read_on(&[grammar.open()], &mut cache);
            cache = cache.share();
        }
        loop {
            let logits = self.net.logits_of(states, &alphabet); // [1 or n, 1, alphabet]
            let logits = read(logits, "logits").await?;
            let Some(next) = rows.choose(&logits, sampling, rng, &mut on_tokens) else {
                return rows.finish();
            };
            let next: Vec<&[u32]> = next.iter().map(Vec::as_slice).collect();
            states = self.read_on(&next, &mut cache); // [n, 1, hidden]
        }
    }

    /// Reads rows of equal length; the state after the last token of each, [B, 1, hidden].
    fn read_on(&self, rows: &[&[u32]], cache: &mut crate::decoder::KvCache) -> Tensor<3> {
        let embeddings = self.net.text_model.embed(id_rows(rows, &self.device())); // [B, T, hidden]
        let t = embeddings.dims()[1];
        self.net.states(embeddings, cache).narrow(1, t - 1, 1)
    }
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
