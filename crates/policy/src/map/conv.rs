//! Convolutions as matrix products, for training on a graphics card.
//!
//! burn computes the gradient of a convolution's weights on a graphics card as a convolution whose kernel is
//! as large as the whole feature map, unless it is allowed to try dozens of kernels for every shape first
//! (autotune: minutes of compiling). So where gradients are wanted on such a device, a convolution's window is laid
//! out as columns (slices, no kernel of our own) and multiplied: forward, both gradients are then plain matrix products,
//! fast on every card. On a CPU burn's own convolutions are faster, and those are used.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Slice, Tensor};

/// Whether a device's convolutions are computed here: where there are gradients, and no CPU.
fn serves(device: &Device) -> bool {
    device.is_autodiff() && device.clone().without_autodiff() != Device::flex()
}

/// `conv.forward(x)`, `[B, C, H, W]` → `[B, O, H', W']`.
pub fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    if serves(&x.device()) {
        product(conv, x)
    } else {
        conv.forward(x)
    }
}

/// A convolution without groups or dilation as one matrix product a picture.
fn product(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let [b, _, height, width] = x.dims();
    let [out, channels, kh, kw] = conv.weight.dims();
    let pad = match conv.padding {
        PaddingConfig2d::Explicit(top, left, _, _) => [top, left],
        _ => [0, 0],
    };
    let side =
        |i: usize, size: usize, kernel: usize| (size + 2 * pad[i] - kernel) / conv.stride[i] + 1;
    let (h, w) = (side(0, height, kh), side(1, width, kw));
    // Kernel rows, then kernel columns, then channels: the order in which the windows are laid out.
    let weight = conv.weight.val().permute([0, 2, 3, 1]);
    let weight = weight.reshape([1, out, kh * kw * channels]); // [1, O, K]
    let x = windows(x, 3, kw, conv.stride[1], pad[1], w);
    let x = windows(x, 2, kh, conv.stride[0], pad[0], h); // [B, KH KW C, H', W']
    let x = x.reshape([b, kh * kw * channels, h * w]);
    let y = weight.matmul(x).reshape([b, out, h, w]);
    match &conv.bias {
        Some(bias) => y + bias.val().reshape([1, out, 1, 1]),
        None => y,
    }
}

/// What each of `kernel` taps along a dimension sees, one after the other as channels; the dimension becomes `size` long.
fn windows(
    x: Tensor<4>,
    dim: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
    size: usize,
) -> Tensor<4> {
    if kernel == 1 && stride == 1 && pad == 0 {
        return x;
    }
    let mut edge = x.dims();
    edge[dim] = pad;
    let zeros = Tensor::<4>::zeros(edge, &x.device());
    let x = match pad {
        0 => x,
        _ => Tensor::cat(vec![zeros.clone(), x, zeros], dim),
    };
    let taps = (0..kernel).map(|tap| {
        let last = tap + (size - 1) * stride + 1;
        let along = Slice::new(tap as isize, Some(last as isize), stride as isize);
        x.clone().slice_dim(dim, along)
    });
    Tensor::cat(taps.collect(), 1)
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
            for (ours, theirs) in wanted(product(&conv, x.clone())).into_iter().zip(theirs) {
                assert!(
                    apart(ours, theirs) < 1e-5,
                    "kernel {kernel}, stride {stride:?}"
                );
            }
        }
    }
}
