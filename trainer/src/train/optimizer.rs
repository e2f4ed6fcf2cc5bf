//! AdamW with a global gradient norm and averaged weights.
//!
//! burn's own AdamW clips each tensor by itself and keys its state by ids that change from run to
//! run; here state goes by the parameter's name, so that a checkpoint is a plain safetensors file.
//! The arithmetic is PyTorch's (decoupled decay, bias correction, epsilon outside the root).

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail};
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use policy::{Policy, Tracking};
use serde::{Deserialize, Serialize};
use tensors::Values;

use super::finite;

/// AdamW with warm-up and a cosine that ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Highest learning rate.
    pub lr: f64,
    /// Share of the steps in which it rises from 0.
    pub warmup: f64,
    /// Share of the highest rate at which the cosine ends.
    pub floor: f64,
    /// Decay of first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, of matrices and kernels only.
    pub weight_decay: f64,
    /// Global gradient norm above which gradients are shrunk.
    pub grad_clip: f64,
    /// Decay of the averaged weights, which are what is measured and exported; 0 keeps none.
    pub average: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            warmup: 0.03,
            floor: 0.02,
            betas: [0.9, 0.98],
            epsilon: 1e-8,
            weight_decay: 0.02,
            grad_clip: 5.0,
            average: 0.998,
        }
    }
}

impl OptimizerConfig {
    /// Refuses what no optimizer can have.
    ///
    /// # Errors
    /// The first such value, by key.
    pub fn check(&self) -> Result<()> {
        let [b1, b2] = self.betas;
        // NaN lies in no range.
        let ranges = [
            (
                "lr",
                self.lr,
                self.lr > 0.0 && self.lr <= 1.0,
                "above 0, at most 1",
            ),
            (
                "warmup",
                self.warmup,
                (0.0..1.0).contains(&self.warmup),
                "at least 0, below 1",
            ),
            (
                "floor",
                self.floor,
                (0.0..=1.0).contains(&self.floor),
                "0 to 1",
            ),
            ("betas", b1, (0.0..1.0).contains(&b1), "at least 0, below 1"),
            ("betas", b2, (0.0..1.0).contains(&b2), "at least 0, below 1"),
            (
                "epsilon",
                self.epsilon,
                self.epsilon > 0.0 && self.epsilon <= 1.0,
                "above 0, at most 1",
            ),
            (
                "weight_decay",
                self.weight_decay,
                (0.0..=1.0).contains(&(self.weight_decay * self.lr)),
                "at least 0, at most 1 / lr",
            ),
            (
                "grad_clip",
                self.grad_clip,
                self.grad_clip > 0.0 && self.grad_clip.is_finite(),
                "a number above 0",
            ),
            (
                "average",
                self.average,
                (0.0..1.0).contains(&self.average),
                "at least 0, below 1",
            ),
        ];
        for (key, value, fits, range) in ranges {
            if !fits {
                bail!("optimizer.{key}: expected {range}, found {value}");
            }
        }
        Ok(())
    }

    /// Learning rate of a step, 0-based.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        self.rate_at((step as f64 + 1.0) / steps as f64)
    }

    /// Learning rate after a share of the run.
    pub fn rate_at(&self, at: f64) -> f64 {
        if at < self.warmup {
            return self.lr * at / self.warmup;
        }
        let part = (at - self.warmup) / (1.0 - self.warmup);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos());
        self.lr * (self.floor + (1.0 - self.floor) * cosine)
    }
}

/// First and second moment and, where one is kept, the average of one parameter, flat.
struct State {
    shape: Vec<usize>,
    first: Tensor<1>,
    second: Tensor<1>,
    average: Option<Tensor<1>>,
}

/// The optimizer and its state by parameter name.
pub struct AdamW {
    config: OptimizerConfig,
    /// Steps taken.
    pub steps: u64,
    states: BTreeMap<String, State>,
}

/// Sum of squares of all gradients.
struct Norm<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for Norm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = (gradient.clone() * gradient).sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

/// The norm of all gradients together.
pub fn norm(policy: &Policy, gradients: &GradientsParams) -> f64 {
    let mut norm = Norm {
        gradients,
        sum: None,
    };
    policy.visit(&mut norm);
    norm.sum
        .map_or(0.0, |s| f64::from(s.into_scalar::<f32>()).sqrt())
}

struct Update<'a> {
    path: Vec<String>,
    optimizer: &'a mut AdamW,
    gradients: GradientsParams,
    shrink: f64,
    rate: f64,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else {
            return param;
        };
        let name = self.path.join(".");
        let optimizer = &mut *self.optimizer;
        let config = &optimizer.config;
        let (id, tensor, mapper) = param.consume();
        let tracking = Tracking::of(&tensor);
        let value = tensor.inner();
        let shape = value.dims();
        let flat = value.reshape([-1]);
        let gradient = gradient.reshape([-1]).mul_scalar(self.shrink);
        let [b1, b2] = config.betas;
        let state = optimizer.states.remove(&name);
        let (first, second, average) = match state {
            Some(s) => (s.first, s.second, s.average),
            None => (flat.zeros_like(), flat.zeros_like(), None),
        };
        // It begins with the weights, in a run that goes on with a changed configuration, too.
        let average = (config.average > 0.0).then(|| average.unwrap_or_else(|| flat.clone()));
        let first = first.mul_scalar(b1) + gradient.clone().mul_scalar(1.0 - b1);
        let second = second.mul_scalar(b2) + (gradient.clone() * gradient).mul_scalar(1.0 - b2);
        let t = optimizer.steps as i32;
        let correct1 = 1.0 - b1.powi(t);
        let correct2 = 1.0 - b2.powi(t);
        let root = second
            .clone()
            .div_scalar(correct2)
            .sqrt()
            .add_scalar(config.epsilon);
        let delta = first.clone().div_scalar(correct1) / root;
        let decay = if D > 1 {
            self.rate * config.weight_decay
        } else {
            0.0
        };
        let flat = flat.mul_scalar(1.0 - decay) - delta.mul_scalar(self.rate);
        // The average follows faster at first, so that it is not the random start for long.
        let keep = config.average.min((1.0 + t as f64) / (10.0 + t as f64));
        let average = average.map(|a| a.mul_scalar(keep) + flat.clone().mul_scalar(1.0 - keep));
        optimizer.states.insert(
            name,
            State {
                shape: shape.to_vec(),
                first,
                second,
                average,
            },
        );
        Param::from_mapped_value(id, tracking.begin(flat.reshape(shape)), mapper)
    }
}

impl AdamW {
    /// An optimizer that has not seen a gradient yet.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self {
            config: config.clone(),
            steps: 0,
            states: BTreeMap::new(),
        }
    }

    /// One update at a learning rate; returns the gradient norm before clipping.
    ///
    /// # Errors
    /// [`super::Diverged`] where the gradient is no number: nothing has moved then.
    pub fn step(
        &mut self,
        policy: Policy,
        gradients: GradientsParams,
        rate: f64,
    ) -> Result<(Policy, f64)> {
        let norm = finite(norm(&policy, &gradients), "the gradient's norm")?;
        let shrink = (self.config.grad_clip / (norm + 1e-6)).min(1.0);
        self.steps += 1;
        let mut update = Update {
            path: Vec::new(),
            optimizer: self,
            gradients,
            shrink,
            rate,
        };
        Ok((policy.map(&mut update), norm))
    }

    /// The averaged weights; `None` where no average is kept.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub fn averaged(&self, policy: &Policy) -> Result<Option<HashMap<String, Values>>> {
        if self.config.average == 0.0 {
            return Ok(None);
        }
        let mut tensors: HashMap<String, Values> = policy.weights()?.into_iter().collect();
        for (name, state) in &self.states {
            if let Some(average) = &state.average {
                tensors.insert(name.clone(), (state.shape.clone(), values(average)?));
            }
        }
        Ok(Some(tensors))
    }

    /// The state as named tensors.
    ///
    /// # Errors
    /// A device that does not deliver.
    pub fn tensors(&self) -> Result<Vec<(String, Values)>> {
        let mut tensors = Vec::new();
        for (name, s) in &self.states {
            let average = s.average.as_ref().map(|average| ("average", average));
            let moments = [("first", &s.first), ("second", &s.second)];
            for (part, tensor) in moments.into_iter().chain(average) {
                tensors.push((format!("{name}.{part}"), (s.shape.clone(), values(tensor)?)));
            }
        }
        Ok(tensors)
    }

    /// Takes the state back.
    pub fn restore(
        &mut self,
        steps: u64,
        tensors: HashMap<String, Values>,
        device: &burn::tensor::Device,
    ) {
        self.steps = steps;
        self.states.clear();
        let flat = |name: &str, part: &str| {
            tensors.get(&format!("{name}.{part}")).map(|(_, values)| {
                Tensor::<1>::from_data(TensorData::new(values.clone(), [values.len()]), device)
            })
        };
        for (key, (shape, _)) in &tensors {
            if let Some(name) = key.strip_suffix(".first")
                && let (Some(first), Some(second)) = (flat(name, "first"), flat(name, "second"))
            {
                let state = State {
                    shape: shape.clone(),
                    first,
                    second,
                    average: flat(name, "average"),
                };
                self.states.insert(name.to_string(), state);
            }
        }
    }
}

fn values(tensor: &Tensor<1>) -> Result<Vec<f32>> {
    tensor
        .to_data()
        .convert::<f32>()
        .try_to_vec::<f32>()
        .map_err(|e| anyhow::anyhow!("the device does not deliver: {e:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_ends_at_its_floor() {
        let o = OptimizerConfig::default();
        assert!(o.rate(0, 1000) < o.rate(20, 1000));
        assert!((o.rate(29, 1000) / o.lr - 1.0).abs() < 1e-6);
        assert!((o.rate(999, 1000) / (o.lr * o.floor) - 1.0).abs() < 1e-9);
        assert!((o.rate(5000, 1000) / (o.lr * o.floor) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn values_outside_their_range_are_refused_by_key() {
        let refused = |text: &str, key: &str| {
            let config: OptimizerConfig = toml::from_str(text).unwrap();
            let error = config.check().expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("optimizer.{key}: expected")),
                "{error}"
            );
        };
        OptimizerConfig::default().check().unwrap();
        for value in ["0.0", "-1e-3", "nan", "inf", "1.5"] {
            refused(&format!("lr = {value}"), "lr");
        }
        for value in ["[1.0, 0.9]", "[0.9, 1.0]", "[-0.1, 0.9]", "[0.9, nan]"] {
            refused(&format!("betas = {value}"), "betas");
        }
        for (key, values) in [
            ("warmup", ["-0.1", "1.0"]),
            ("floor", ["-0.1", "1.1"]),
            ("epsilon", ["0.0", "nan"]),
            ("weight_decay", ["-0.1", "1e9"]),
            ("grad_clip", ["0.0", "inf"]),
            ("average", ["-0.1", "1.0"]),
        ] {
            for value in values {
                refused(&format!("{key} = {value}"), key);
            }
        }
    }
}
