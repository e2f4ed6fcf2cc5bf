//! Dense targets for a text policy's vision tower: where the evidence lies, cell by cell, before a word is written.
//!
//! Every image token of the global image gets a logit, its product with the embedding of the token that opens a box.
//! Over all cells that makes a distribution, and it is taught the share of the evidence that lies in each. So the tower
//! learns from every cell of a picture where the words teach it through a few digits; no weight is added, and the
//! folder stays the one that transformers loads. The tower sees no question: of a page with several, all evidence counts.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::TextPolicy;
use crate::{PolicyError, Result};

impl TextPolicy {
    /// -ln p of the cells that hold the evidence, nats: the mean over boxes `[x1, y1, x2, y2]`, percent. `tokens`
    /// are a picture's image tokens, the global image last, `[cells, hidden]`.
    ///
    /// # Errors
    /// No box; image tokens that are no square.
    pub(crate) fn dense_loss(&self, tokens: &Tensor<2>, boxes: &[[f32; 4]]) -> Result<Tensor<1>> {
        let cells = self.model.prompts().tokens_per_tile();
        let side = cells.isqrt();
        let all = tokens.dims()[0];
        let (Some(open), true, true) = (
            self.grammar.open().last(),
            side * side == cells && cells <= all,
            !boxes.is_empty(),
        ) else {
            let what = format!("dense targets for {} boxes on {all} cells", boxes.len());
            return Err(PolicyError::Config(what));
        };
        let device = tokens.device();
        let table = self.model.net.text_model.embed_tokens.weight.val(); // [V, hidden]
        let open = Tensor::<1, Int>::from_data(TensorData::from([*open as i32]), &device);
        let open = table.select(0, open).transpose(); // [hidden, 1]
        let global = tokens.clone().narrow(0, all - cells, cells); // [cells, hidden]
        let log_p = log_softmax(global.matmul(open), 0); // [cells, 1]
        let mut wanted = vec![0f32; cells];
        for bbox in boxes {
            for (sum, share) in wanted.iter_mut().zip(shares(bbox, side)) {
                *sum += share / boxes.len() as f32;
            }
        }
        let wanted = Tensor::<2>::from_data(TensorData::new(wanted, [cells, 1]), &device);
        Ok(-(log_p * wanted).sum())
    }
}

/// Which share of a box, percent, lies in each cell of a grid of `side` x `side`, row by row.
fn shares([x1, y1, x2, y2]: &[f32; 4], side: usize) -> Vec<f32> {
    let part = |low: f32, high: f32| -> Vec<f32> {
        let scale = side as f32 / 100.0;
        let (low, high) = (low * scale, (high * scale).max(low * scale + 1e-3));
        let inside = |i: usize| {
            let (from, to) = (low.max(i as f32), high.min((i + 1) as f32));
            (to - from).max(0.0) / (high - low)
        };
        (0..side).map(inside).collect()
    };
    let (across, down) = (part(*x1, *x2), part(*y1, *y2));
    let rows = down.iter();
    rows.flat_map(|y| across.iter().map(move |x| x * y))
        .collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use smolvlm::{SmolVlm, tiny};

    use super::*;

    #[test]
    fn a_box_is_shared_among_the_cells_it_lies_in() {
        // Three quarters of the width in the left cell of the upper row of a grid of 2 x 2.
        let all = shares(&[20.0, 10.0, 60.0, 40.0], 2);
        let expected = [0.75, 0.25, 0.0, 0.0];
        assert!(
            all.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5),
            "{all:?}"
        );
        let thin = shares(&[50.0, 50.0, 50.0, 100.0], 4);
        assert!((thin.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{thin:?}");
    }

    #[test]
    fn the_loss_is_least_where_the_evidence_is() {
        let model = SmolVlm::random(&tiny::files(), 5, &Device::flex()).expect("model");
        let policy = TextPolicy::new(model).expect("policy");
        let cells = policy.model.prompts().tokens_per_tile();
        let side = cells.isqrt();
        let open = *policy.grammar.open().last().expect("a token");
        let table = policy.model.net.text_model.embed_tokens.weight.val();
        let [_, hidden] = table.dims();
        // The first cell's token is the opening token's embedding, enlarged; the others are nothing.
        let first = table.narrow(0, open as usize, 1) * 1e3;
        let rest = Tensor::zeros([cells - 1, hidden], &policy.model.device());
        let tokens = Tensor::cat(vec![first, rest], 0);
        let cell = 100.0 / side as f32;
        let loss = |bbox: [f32; 4]| -> f32 {
            let loss = policy.dense_loss(&tokens, &[bbox]).expect("loss");
            loss.into_scalar()
        };
        let there = loss([0.0, 0.0, cell, cell]);
        let elsewhere = loss([100.0 - cell, 100.0 - cell, 100.0, 100.0]);
        let nowhere = (cells as f32).ln();
        assert!(
            there < nowhere && nowhere < elsewhere,
            "{there} {elsewhere}"
        );
        assert!(policy.dense_loss(&tokens, &[]).is_err());
    }
}
