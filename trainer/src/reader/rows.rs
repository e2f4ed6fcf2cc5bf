//! Prompts with several pictures as rows of one batch.
//!
//! A row is the ids of whatever follows the cache: picture place holders, text, an answer. Rows are
//! filled up on the right, where causal attention never looks back from; the caller reads states at
//! the places it knows. One lookup embeds all rows and pictures, one pass reads them.

use anyhow::{Result, bail};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use smolvlm::{KvCache, Pictures, SmolVlm};

/// Tiles of one picture: rows and columns, (0, 0) for a picture that is one tile.
pub type Grid = (usize, usize);

/// Ids of the beginning of a prompt with pictures of these grids.
///
/// # Errors
/// A tokenizer that lacks a tile's token.
pub fn head(model: &SmolVlm, grids: &[Grid]) -> Result<Vec<u32>> {
    let pictures = Pictures {
        values: Vec::new(),
        side: model.images().tile(),
        grids: grids.to_vec(),
    };
    Ok(model.prompts().head(&pictures)?)
}

/// States `[N, T, hidden]` of rows that follow what `cache` has read, T tokens in the longest; the
/// cache reads them. `images` are the tokens of all rows' pictures, row by row `[tokens, hidden]`.
///
/// # Errors
/// Rows too long for the model.
pub fn states(
    model: &SmolVlm,
    cache: &mut KvCache,
    rows: &[Vec<u32>],
    images: Option<&Tensor<2>>,
) -> Result<Tensor<3>> {
    let t = rows.iter().map(Vec::len).max().unwrap_or(0);
    let most = model.config().text.max_position_embeddings;
    if cache.len() + t > most {
        bail!(
            "pictures, question and answer have {} tokens, the model takes at most {most}: lower \
             the longest edge",
            cache.len() + t
        );
    }
    let filled: Vec<u32> = rows
        .iter()
        .flat_map(|row| {
            let rest = std::iter::repeat_n(0, t - row.len());
            row.iter().copied().chain(rest)
        })
        .collect();
    let flat = model.net.embed_prompt(&filled, images); // [1, N T, hidden]
    let [_, _, hidden] = flat.dims();
    Ok(model
        .net
        .states(flat.reshape([rows.len(), t, hidden]), cache)) // [N, T, hidden]
}

/// Log-probabilities of the last `targets[i].len()` tokens of each row, `[N, A]` with A tokens in the
/// longest target; what stands beyond a shorter one is to be ignored. Differentiable.
pub fn log_probs(
    model: &SmolVlm,
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
    let logits = model.net.logits(picked.reshape([n, a, hidden])); // [N, A, V]
    log_softmax(logits, 2).gather(2, wanted).squeeze_dim(2) // [N, A]
}
