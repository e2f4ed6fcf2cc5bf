//! Floating-point operations of a model by its shape: products of matrices only, a multiplication and
//! an addition counted as two. What elementwise operations cost is a utilisation lost, not work done.

use smolvlm::{Config, LoraConfig};

/// Operations of the parts of a model.
pub struct Flops<'a> {
    config: &'a Config,
    /// Rank of the adapter; 0 without one.
    rank: f64,
}

/// A pass through the decoder.
#[derive(Clone, Copy)]
pub struct Pass {
    /// Rows of the batch.
    pub rows: usize,
    /// Tokens read before, the same for all rows.
    pub past: usize,
    /// Tokens of each row.
    pub tokens: usize,
    /// Positions of each row whose logits over the whole vocabulary are computed.
    pub logits: usize,
}

impl<'a> Flops<'a> {
    /// Of a model with an adapter on the paper's targets, or without one.
    pub fn new(config: &'a Config, adapter: Option<&LoraConfig>) -> Self {
        Self {
            config,
            rank: adapter.map_or(0.0, |adapter| adapter.r as f64),
        }
    }

    /// A linear layer and, where `adapted`, its factors; for one token.
    fn linear(&self, from: usize, to: usize, adapted: bool) -> f64 {
        let (from, to) = (from as f64, to as f64);
        let factors = if adapted {
            self.rank * (from + to)
        } else {
            0.0
        };
        2.0 * (from * to + factors)
    }

    /// Vision tower and connector, forwards, for `tiles` tiles of `side` pixels.
    pub fn vision(&self, tiles: usize, side: usize) -> f64 {
        let v = &self.config.vision;
        let w = v.hidden_size;
        let patches = (side / v.patch_size).pow(2) as f64;
        let layer = 3.0 * self.linear(w, w, true)
            + self.linear(w, w, false) // out_proj is not among the targets
            + self.linear(w, v.intermediate_size, true)
            + self.linear(v.intermediate_size, w, true)
            + 4.0 * patches * w as f64; // scores and mixture, for one query
        let patch = self.linear(3 * v.patch_size.pow(2), w, false);
        let scale = self.config.scale_factor.pow(2);
        let connector = self.linear(w * scale, self.config.text.hidden_size, true) / scale as f64;
        let token = v.num_hidden_layers as f64 * layer + patch + connector;
        tiles as f64 * patches * token
    }

    /// Decoder, forwards.
    pub fn decoder(&self, pass: Pass) -> f64 {
        let t = &self.config.text;
        let queries = t.num_attention_heads * t.head_dim;
        let keys = t.num_key_value_heads * t.head_dim;
        let seen = pass.past as f64 + (pass.tokens as f64 + 1.0) / 2.0;
        let layer = self.linear(t.hidden_size, queries, true)
            + 2.0 * self.linear(t.hidden_size, keys, true)
            + self.linear(queries, t.hidden_size, true)
            + 2.0 * self.linear(t.hidden_size, t.intermediate_size, true)
            + self.linear(t.intermediate_size, t.hidden_size, true)
            + 4.0 * seen * queries as f64;
        let tokens = (pass.rows * pass.tokens) as f64;
        let logits = (pass.rows * pass.logits) as f64;
        tokens * t.num_hidden_layers as f64 * layer
            + logits * self.linear(t.hidden_size, t.vocab_size, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smolvlm::tiny::smolvlm_256m;

    #[test]
    fn about_two_operations_a_weight_and_token() {
        let config = Config::from_files(&smolvlm_256m().expect("shape")).expect("config");
        let flops = Flops::new(&config, None);
        // 106 M weights in the decoder's layers (the table aside), read once a token.
        let one = flops.decoder(Pass {
            rows: 1,
            past: 0,
            tokens: 1,
            logits: 0,
        });
        assert!((one / 2.0 / 106.2e6 - 1.0).abs() < 0.01, "{one}");
        // 85 M in the vision tower's, for each of 1024 patches; attention adds a fifth.
        let tile = flops.vision(1, 512);
        assert!(
            (1.0..1.4).contains(&(tile / 2.0 / 1024.0 / 85.1e6)),
            "{tile}"
        );
        // Rank 128 on nearly all layers adds about a third.
        let lora = LoraConfig {
            r: 128,
            ..LoraConfig::default()
        };
        let more = Flops::new(&config, Some(&lora)).vision(1, 512) / tile;
        assert!((1.1..1.4).contains(&more), "{more}");
    }
}
