//! A linear layer that may carry a LoRA adapter: `y = x W + b + alpha / r * dropout(x) A B`.
//!
//! Why not burn's own LoRA: that one composes the dense weight `W + A B` in every pass, which costs
//! a product of the weight's size and keeps a gradient of that size. Here the factors stay factors,
//! forwards and backwards, as in PEFT; a frozen `W` gets no gradient and none is computed for it. Where
//! `W` is bf16 the factors are f32 all the same, and so is what they compute.

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{Device, Distribution, Tensor, TensorData};

use burn::nn::{Linear, LinearConfig};

use crate::precision::{like, to_f32};

/// A linear layer with an optional adapter beside it.
#[derive(Module, Debug)]
pub struct Projection {
    /// Weight [in, out].
    pub weight: Param<Tensor<2>>,
    /// Bias `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Adapter.
    pub lora: Option<Factors>,
}

/// The two factors of a LoRA adapter.
#[derive(Module, Debug)]
pub struct Factors {
    /// Down to the rank, [in, r]: PEFT's `lora_A`, turned.
    pub a: Param<Tensor<2>>,
    /// Up from the rank, [r, out]: PEFT's `lora_B`, turned.
    pub b: Param<Tensor<2>>,
    scale: f64,
    dropout: f64,
    /// Whether dropout drops: in training only.
    dropping: bool,
}

impl Projection {
    /// A layer without an adapter. Parameters are made on first use.
    pub(crate) fn init(from: usize, to: usize, bias: bool, device: &Device) -> Self {
        let Linear { weight, bias } = LinearConfig::new(from, to).with_bias(bias).init(device);
        Self {
            weight,
            bias,
            lora: None,
        }
    }

    /// [.., in] to [.., out].
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        match &self.lora {
            None => linear(x, self.weight.val(), bias),
            Some(lora) => {
                let base = linear(x.clone(), self.weight.val(), bias); // [.., out]
                let added = lora.forward(to_f32(x)); // [.., out], f32
                let added = like(added, &base);
                base + added
            }
        }
    }

    /// Widths in and out.
    pub(crate) fn widths(&self) -> [usize; 2] {
        self.weight.lazy_shape().dims()
    }

    /// Adds the adapter's product to the weight and takes the adapter off.
    pub(crate) fn merge(&mut self) {
        let Some(lora) = self.lora.take() else { return };
        let product = lora.a.val().matmul(lora.b.val()).mul_scalar(lora.scale); // [in, out]
        let tracked = self.weight.is_require_grad();
        let merged = (self.weight.val() + product).detach(); // [in, out]
        let weight = self.weight.clone().map(|_| merged);
        self.weight = weight.set_require_grad(tracked);
    }
}

impl Factors {
    /// Factors from values, `a` [in, r] and `b` [r, out] row by row, trainable.
    pub(crate) fn new(
        a: (Vec<f32>, [usize; 2]),
        b: (Vec<f32>, [usize; 2]),
        scale: f64,
        dropout: f64,
        device: &Device,
    ) -> Self {
        let param = |(values, shape)| Param::from_data(TensorData::new(values, shape), device);
        Self {
            a: param(a),
            b: param(b),
            scale,
            dropout,
            dropping: false,
        }
    }

    /// Turns dropout on (training) or off.
    pub(crate) fn set_dropping(&mut self, on: bool) {
        self.dropping = on;
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let x = match self.dropping && self.dropout > 0.0 {
            true => {
                let keep = 1.0 - self.dropout;
                let kept = x.random_like(Distribution::Bernoulli(keep));
                (x * kept).mul_scalar(1.0 / keep)
            }
            false => x,
        };
        // The scale on the narrow tensor: r columns in place of `out`.
        let narrow = linear(x, self.a.val(), None).mul_scalar(self.scale); // [.., r]
        linear(narrow, self.b.val(), None) // [.., out]
    }
}
