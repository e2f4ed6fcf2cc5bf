//! LoRA adapters: named modules get two narrow factors beside their frozen weight.
//!
//! Names, files and numbers are PEFT's: a target matches a module whose name is equal to it or ends
//! with a dot and it (`q_proj` meets decoder and vision tower alike; `proj` meets the connector's
//! `modality_projection.proj` only); `A` starts uniform in ±1/sqrt(in), `B` at zero, so that a fresh
//! adapter changes nothing. `peft.rs` reads and writes the folder.

use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use burn::module::Module;
use tensors::Precision;

use crate::error::{Result, SmolVlmError};
use crate::params::walk_projections;
use crate::projection::{Factors, Projection};
use crate::smolvlm::SmolVlm;

/// Which modules are adapted, and how. Keys and defaults are PEFT's, except that the default
/// targets are those of the CropVLM paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the factors.
    pub r: usize,
    /// The product of the factors counts `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Chance of an input of the adapter to be dropped in training.
    pub lora_dropout: f64,
    /// Names of modules, whole or from a dot to their end.
    pub target_modules: Vec<String>,
    /// Whether the product counts `lora_alpha / sqrt(r)` instead (rank-stabilised LoRA).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_rslora: bool,
}

/// Target modules of the CropVLM paper.
const PAPER: [&str; 10] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "fc1",
    "fc2",
    "proj",
];

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 16.0,
            lora_dropout: 0.0,
            target_modules: PAPER.map(String::from).to_vec(),
            use_rslora: false,
        }
    }
}

impl LoraConfig {
    /// What the product of the factors is multiplied with.
    pub fn scale(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Whether a module of this name is adapted.
    pub fn targets(&self, module: &str) -> bool {
        self.target_modules
            .iter()
            .any(|target| meets(target, module))
    }

    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] naming the key.
    pub fn check(&self) -> Result<()> {
        let refuse = |item: &str, expected: &str, actual: String| {
            Err(SmolVlmError::Argument {
                item: item.to_string(),
                expected: expected.to_string(),
                actual,
            })
        };
        if self.r == 0 {
            return refuse("r", "a rank of at least 1", self.r.to_string());
        }
        if self.r > 65_536 {
            return refuse("r", "a rank of at most 65536", self.r.to_string());
        }
        if !self.lora_alpha.is_finite() {
            return refuse("lora_alpha", "a finite number", self.lora_alpha.to_string());
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let actual = self.lora_dropout.to_string();
            return refuse("lora_dropout", "0 or more, below 1", actual);
        }
        if self.target_modules.is_empty() {
            return refuse("target_modules", "at least one name", "none".to_string());
        }
        Ok(())
    }
}

/// PEFT's rule for a list of targets.
fn meets(target: &str, module: &str) -> bool {
    module
        .strip_suffix(target)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl SmolVlm {
    /// Adds a fresh adapter: it changes nothing yet, its factors are trained, the rest is frozen.
    /// The same seed gives the same factors on every device. An adapter that is there already is
    /// replaced.
    ///
    /// # Errors
    /// [`SmolVlmError::Argument`] for a configuration that cannot be, or a target that no linear
    /// module of this model has as its name's end.
    pub fn add_adapter(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        config.check()?;
        let modules: Vec<String> = self
            .projections()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        for target in &config.target_modules {
            if !modules.iter().any(|module| meets(target, module)) {
                let mut ends: Vec<&str> = modules
                    .iter()
                    .filter_map(|module| module.rsplit('.').next())
                    .collect();
                ends.sort_unstable();
                ends.dedup();
                return Err(SmolVlmError::Argument {
                    item: "target_modules".to_string(),
                    expected: format!("names of linear modules ({})", ends.join(", ")),
                    actual: target.clone(),
                });
            }
        }
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        self.set_adapter(config, |_, [from, to], r| {
            // PEFT: kaiming_uniform with a = sqrt(5), so ±sqrt(6 / (6 in)).
            let edge = (from as f32).sqrt().recip();
            let a = (0..from * r).map(|_| rng.random_range(-edge..edge));
            (a.collect(), vec![0.0; r * to])
        });
        Ok(())
    }

    /// Puts an adapter on: `factors` of a module's name, widths [in, out] and rank are A [in, r] and
    /// B [r, out], row by row.
    pub(crate) fn set_adapter(
        &mut self,
        config: &LoraConfig,
        mut factors: impl FnMut(&str, [usize; 2], usize) -> (Vec<f32>, Vec<f32>),
    ) {
        let device = self.device();
        self.net = self.net.clone().no_grad();
        let (r, scale, dropout) = (config.r, config.scale(), config.lora_dropout);
        walk_projections(&mut self.net, |name, layer| {
            layer.lora = config.targets(name).then(|| {
                let [from, to] = layer.widths();
                let (a, b) = factors(name, [from, to], r);
                Factors::new((a, [from, r]), (b, [r, to]), scale, dropout, &device)
            });
        });
        self.adapter = Some(config.clone());
    }

    /// The adapter that is on, if there is one.
    pub fn adapter(&self) -> Option<&LoraConfig> {
        self.adapter.as_ref()
    }

    /// Every layer that can be adapted under its module's name in transformers. Weights are shared,
    /// not copied.
    pub fn projections(&self) -> Vec<(String, Projection)> {
        let mut list = Vec::new();
        walk_projections(&mut self.net.clone(), |name, layer| {
            list.push((name.to_string(), layer.clone()));
        });
        list
    }

    /// Turns the adapter's dropout on, for a step of training, or off (as it is at first). What is
    /// dropped follows the device's random numbers (`Device::seed`).
    pub fn set_dropout(&mut self, on: bool) {
        walk_projections(&mut self.net, |_, layer| {
            if let Some(lora) = &mut layer.lora {
                lora.set_dropping(on);
            }
        });
    }

    /// The plain model that computes the same, in f32 (a step of training is smaller than bf16 can
    /// hold): each product of factors added to its weight.
    pub fn merge_adapter(self) -> Self {
        let mut this = self.with_precision(Precision::F32);
        walk_projections(&mut this.net, |_, layer| layer.merge());
        this.adapter = None;
        this
    }

    /// The model with its adapter off: the reference model. Weights are shared, not copied.
    pub fn without_adapter(&self) -> Self {
        let mut plain = self.clone();
        walk_projections(&mut plain.net, |_, layer| layer.lora = None);
        plain.adapter = None;
        plain
    }

    /// The same weights without gradients, dropout off: for rollouts and references.
    pub fn without_gradients(&self) -> Self {
        let mut plain = self.clone();
        plain.net = self.net.valid();
        plain.set_dropout(false);
        plain
    }
}
