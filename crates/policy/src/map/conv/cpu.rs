//! Convolutions of a CPU that learns: [`kernels::learn`] as an operation of burn's.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::nn::conv::Conv2d;
use burn::tensor::{Tensor, TensorData};
use kernels::learn::Shape;

use super::shape;

/// `conv.forward(x)`, `[B, C, H, W]` → `[B, O, H', W']`, of a convolution without groups or dilation.
pub fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let bias = match &conv.bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros([conv.weight.dims()[0]], &x.device()),
    };
    let shape = shape(conv, x.dims());
    let [x, weight, bias] = [
        x.into_dispatch(),
        conv.weight.val().into_dispatch(),
        bias.into_dispatch(),
    ];
    Tensor::from_dispatch(<Dispatch as Convolution>::convolution(
        x, weight, bias, shape,
    ))
}

/// The operation, for burn's CPU backend and for its history of gradients.
#[backend_extension(Flex, Autodiff)]
trait Convolution: Backend {
    /// `[B, C, H, W]`, `[O, C, KH, KW]` and `[O]` → `[B, O, H', W']`.
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: Shape,
    ) -> FloatTensor<Self>;
}

impl Convolution for Flex {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: Shape,
    ) -> FloatTensor<Self> {
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let result = shape.forward(values(&x), values(&weight), values(&bias));
        tensor(result, shape.result())
    }
}

impl<C: CheckpointStrategy> Convolution for Autodiff<Flex, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        shape: Shape,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
        let prepared = Step.prepare::<C>(nodes).compute_bound().stateful();
        let result = Flex::convolution(x.clone(), weight.clone(), bias, shape);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((shape, x, weight), result),
            OpsKind::UnTracked(prepared) => prepared.finish(result),
        }
    }
}

/// The way back.
#[derive(Debug)]
struct Step;

impl Backward<Flex, 3> for Step {
    /// The convolution, its input and its weights.
    type State = (Shape, FloatTensor<Flex>, FloatTensor<Flex>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let of_result = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let of_result = values(&of_result);
        let (shape, x, weight) = ops.state;
        let [to_x, to_weight, to_bias] = ops.parents;
        if let Some(node) = to_x {
            let gradient = shape.of_input(values(&weight.to_contiguous()), of_result);
            gradients.register::<Flex>(node.id, tensor(gradient, shape.input));
        }
        if let Some(node) = to_weight {
            let gradient = shape.of_weight(values(&x.to_contiguous()), of_result);
            let [kh, kw] = shape.kernel;
            let size = [shape.to, shape.input[1], kh, kw];
            gradients.register::<Flex>(node.id, tensor(gradient, size));
        }
        if let Some(node) = to_bias {
            let gradient = shape.of_bias(of_result);
            gradients.register::<Flex>(node.id, tensor(gradient, [shape.to]));
        }
    }
}

/// The numbers of a contiguous tensor.
fn values(tensor: &FloatTensor<Flex>) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of f32")
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
    Flex::float_from_data(TensorData::new(values, shape), &Default::default())
}
