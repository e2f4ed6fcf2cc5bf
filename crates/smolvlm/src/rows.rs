//! Prompts with different pictures and texts as rows of one batch: a reward model's crops, an SFT step's questions.
//!
//! A row is the ids of whatever follows the cache: picture place holders, text, an answer. Rows are
//! filled up on the right, where causal attention never looks back from; the caller reads states at
//! the places it knows. One lookup embeds all rows and pictures, one pass reads them.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::completions::{Completion, Sampling, TextRows};
use crate::decoder::KvCache;
use crate::error::{Result, SmolVlmError};
use crate::generate::read;
use crate::image::Pictures;
use crate::smolvlm::SmolVlm;

/// Tiles of one picture: rows and columns, (0, 0) for a picture that is one tile.
pub type Grid = (usize, usize);

impl SmolVlm {
    /// Ids of the beginning of a prompt with pictures of these grids.
    ///
    /// # Errors
    /// A tokenizer that lacks a tile's token.
    pub fn head_of(&self, grids: &[Grid]) -> Result<Vec<u32>> {
        self.prompts().head(&Pictures {
            values: Vec::new(),
            side: self.images().tile(),
            grids: grids.to_vec(),
        })
    }

    /// States `[N, T, hidden]` of rows that follow what `cache` has read, T tokens in the longest; the
    /// cache reads them. `images` are the tokens of all rows' pictures, row by row `[tokens, hidden]`.
    ///
    /// # Errors
    /// [`SmolVlmError::PromptTooLong`].
    pub fn read_rows(
        &self,
        cache: &mut KvCache,
        rows: &[Vec<u32>],
        images: Option<&Tensor<2>>,
    ) -> Result<Tensor<3>> {
        let t = rows.iter().map(Vec::len).max().unwrap_or(0);
        let expected = self.config().text.max_position_embeddings;
        let actual = cache.len() + t;
        if actual > expected {
            return Err(SmolVlmError::PromptTooLong { expected, actual });
        }
        let filled: Vec<u32> = rows
            .iter()
            .flat_map(|row| {
                let rest = std::iter::repeat_n(0, t - row.len());
                row.iter().copied().chain(rest)
            })
            .collect();
        let flat = self.net.embed_prompt(&filled, images); // [1, N T, hidden]
        let [_, _, hidden] = flat.dims();
        Ok(self
            .net
            .states(flat.reshape([rows.len(), t, hidden]), cache)) // [N, T, hidden]
    }

    /// Log-probabilities of the last `targets[i].len()` tokens of each row, `[N, A]` with A tokens in the
    /// longest target; what stands beyond a shorter one is to be ignored. Differentiable.
    pub fn row_log_probs(
        &self,
        states: Tensor<3>,
        rows: &[Vec<u32>],
        targets: &[Vec<u32>],
    ) -> Tensor<2> {
        let [n, t, hidden] = states.dims();
        let a = targets.iter().map(Vec::len).max().unwrap_or(0);
        let device = states.device();
        let mut places: Vec<i32> = Vec::with_capacity(n * a);
        let mut wanted: Vec<i32> = Vec::with_capacity(n * a);
        for (i, (row, target)) in rows.iter().zip(targets).enumerate() {
            // A token is predicted from the state before it.
            let first = row.len() - target.len() - 1;
            for j in 0..a {
                let j = j.min(target.len() - 1);
                places.push((i * t + first + j) as i32);
                wanted.push(target[j] as i32);
            }
        }
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [n * a]), &device);
        let wanted = Tensor::<3, Int>::from_data(TensorData::new(wanted, [n, a, 1]), &device);
        let picked = states.reshape([n * t, hidden]).select(0, places); // [N A, hidden]
        let logits = self.net.logits(picked.reshape([n, a, hidden])); // [N, A, V]
        log_softmax(logits, 2).gather(2, wanted).squeeze_dim(2) // [N, A]
    }

    /// The likeliest completions of rows of equal length, each of at most `max_tokens` tokens, and no more than the model's
    /// context has room for.
    ///
    /// # Errors
    /// [`SmolVlmError::PromptTooLong`]; [`SmolVlmError::Readback`].
    pub async fn complete_rows(
        &self,
        cache: &mut KvCache,
        rows: &[Vec<u32>],
        images: &Tensor<2>,
        max_tokens: usize,
    ) -> Result<Vec<Completion>> {
        let mut states = self.read_rows(cache, rows, Some(images))?; // [N, T, hidden]
        let room = self.config().text.max_position_embeddings - cache.len();
        let greedy = Sampling::Greedy;
        let mut written = TextRows::new(rows.len(), max_tokens.min(room), room, greedy)?;
        let stop = self.prompts().stop_tokens();
        let width = self.config().text.vocab_size;
        let mut unused = ChaCha8Rng::seed_from_u64(0); // greedy choices draw nothing
        loop {
            let [_, t, _] = states.dims();
            let logits = self.net.logits(states.narrow(1, t - 1, 1)); // [N, 1, V]
            let logits = read(logits, "logits").await?;
            let Some(next) = written.choose(&logits, width, stop, greedy, &mut unused) else {
                return written.finish(self.prompts());
            };
            let next: Vec<Vec<u32>> = next.into_iter().map(|id| vec![id]).collect();
            states = self.read_rows(cache, &next, None)?; // [N, 1, hidden]
        }
    }
}
