//! Convolutions where gradients are wanted. burn's own are slow there, on a CPU and on a graphics card, so each has its own:
//! [`cpu`] our kernels, [`columns`] matrix products. Elsewhere, burn's.

mod columns;
mod cpu;

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kernels::learn::Shape;

/// `conv.forward(x)`, `[B, C, H, W]` → `[B, O, H', W']`.
pub fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let device = x.device();
    if !device.is_autodiff() {
        return conv.forward(x);
    }
    if device.without_autodiff() == Device::flex() {
        cpu::convolve(conv, x)
    } else {
        columns::convolve(conv, x)
    }
}

/// The shape of a convolution of `[B, C, H, W]`.
fn shape(conv: &Conv2d, input: [usize; 4]) -> Shape {
    let [to, _, kh, kw] = conv.weight.dims();
    Shape {
        input,
        to,
        kernel: [kh, kw],
        stride: conv.stride,
        pad: match conv.padding {
            PaddingConfig2d::Explicit(top, left, _, _) => [top, left],
            _ => [0, 0],
        },
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::{Distribution, TensorData};

    use super::*;

    /// Largest difference as a share of the largest value.
    fn apart(ours: TensorData, theirs: TensorData) -> f32 {
        let [a, b] = [ours, theirs].map(|data| data.try_to_vec::<f32>().unwrap());
        assert_eq!(a.len(), b.len());
        let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, f32::max);
        let far = largest(&mut a.iter().zip(&b).map(|(a, b)| (a - b).abs()));
        far / largest(&mut b.iter().map(|v| v.abs()))
    }

    #[test]
    fn values_and_gradients_are_those_of_a_convolution() {
        let device = Device::flex().autodiff();
        device.seed(5);
        for (kernel, stride, pad) in [
            (3, [1, 1], 1),
            (3, [2, 2], 1),
            (4, [2, 2], 1),
            (3, [1, 2], 1),
            (1, [1, 1], 0),
        ] {
            let conv = Conv2dConfig::new([6, 10], [kernel, kernel])
                .with_stride(stride)
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                .init(&device);
            let x =
                Tensor::<4>::random([2, 6, 16, 24], Distribution::Default, &device).require_grad();
            let wanted = |y: Tensor<4>| {
                let gradients = (y.clone().sin() * y.clone()).sum().backward();
                let of_x = x.grad(&gradients).unwrap().into_data();
                let of_weight = conv.weight.val().grad(&gradients).unwrap().into_data();
                let bias = conv.bias.as_ref().unwrap().val();
                let of_bias = bias.grad(&gradients).unwrap().into_data();
                [y.into_data(), of_x, of_weight, of_bias]
            };
            let theirs = wanted(conv.forward(x.clone()));
            for ours in [columns::convolve, cpu::convolve] {
                for (ours, theirs) in wanted(ours(&conv, x.clone())).into_iter().zip(&theirs) {
                    let far = apart(ours, theirs.clone());
                    assert!(far < 1e-5, "kernel {kernel}, stride {stride:?}: {far}");
                }
            }
        }
    }
}
