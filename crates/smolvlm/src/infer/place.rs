//! Where weights lie: in the processor's memory, or in a graphics card's. The network's parts are written once for both.

use std::fmt::Debug;

use kernels::packed::{HalfKind, Linear, layer_norm, rms_norm};
use tensors::{BlockType, Packed};

/// A memory for weights.
pub(super) trait Place: Debug {
    /// A linear layer, or a table.
    type Layer: Debug;
    /// A norm's scale and shift.
    type Norm: Debug;

    /// A matrix as it is kept: its first dimension, and all others.
    fn layer(&self, tensor: &Packed) -> Self::Layer;
    /// The same layer with a bias.
    fn with_bias(&self, layer: Self::Layer, bias: &[f32]) -> Self::Layer;
    /// A norm; without a shift an RMS norm.
    fn norm(&self, scale: Vec<f32>, shift: Vec<f32>, epsilon: f32) -> Self::Norm;
    /// Bytes of a layer.
    fn layer_bytes(layer: &Self::Layer) -> usize;
    /// Bytes of a norm.
    fn norm_bytes(norm: &Self::Norm) -> usize;
}

/// Rows and columns of a matrix: its first dimension, and all others.
pub(super) fn matrix(tensor: &Packed) -> [usize; 2] {
    let [outputs, rest @ ..] = tensor.shape() else {
        unreachable!("matrices only");
    };
    [*outputs, rest.iter().product()]
}

/// The processor's memory.
#[derive(Debug)]
pub(super) struct Here;

/// A norm's scale and shift; RMS norms have no shift.
#[derive(Debug)]
pub(super) struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    /// About the mean.
    pub(super) fn layer(&self, x: &[f32], out: &mut [f32]) {
        layer_norm(x, &self.scale, &self.shift, self.epsilon, out);
    }

    /// By the root mean square.
    pub(super) fn rms(&self, x: &[f32], out: &mut [f32]) {
        rms_norm(x, &self.scale, self.epsilon, out);
    }
}

impl Place for Here {
    type Layer = Linear;
    type Norm = Norm;

    fn layer(&self, tensor: &Packed) -> Linear {
        let (shape, data) = (matrix(tensor), tensor.data());
        match tensor.kind() {
            BlockType::F32 => Linear::f32(shape, &tensor.values(), None),
            BlockType::F16 => Linear::half(shape, HalfKind::F16, data, None),
            BlockType::BF16 => Linear::half(shape, HalfKind::BF16, data, None),
            BlockType::Q8 => Linear::q8(shape, data, &tensor.scales(), None),
            BlockType::Q4 => Linear::q4(shape, data, &tensor.scales(), None),
        }
    }

    fn with_bias(&self, layer: Linear, bias: &[f32]) -> Linear {
        layer.with_bias(bias)
    }

    fn norm(&self, scale: Vec<f32>, shift: Vec<f32>, epsilon: f32) -> Norm {
        Norm {
            scale,
            shift,
            epsilon,
        }
    }

    fn layer_bytes(layer: &Linear) -> usize {
        layer.bytes()
    }

    fn norm_bytes(norm: &Norm) -> usize {
        4 * (norm.scale.len() + norm.shift.len())
    }
}
