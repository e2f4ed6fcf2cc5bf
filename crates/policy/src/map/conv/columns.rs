//! Convolutions as matrix products, for training on a graphics card.
//!
//! burn computes the gradient of a convolution's weights on a graphics card as a convolution whose kernel is
//! as large as the whole feature map, unless it is allowed to try dozens of kernels for every shape first
//! (autotune: minutes of compiling). So a convolution's window is laid out as columns (slices, no kernel of our own) and
//! multiplied: forward, both gradients are then plain matrix products, fast on every card.

use burn::nn::conv::Conv2d;
use burn::tensor::{Slice, Tensor};

use super::shape;

/// A convolution without groups or dilation as one matrix product a picture.
pub fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let shape = shape(conv, x.dims());
    let ([b, channels, _, _], [_, out, h, w]) = (shape.input, shape.result());
    let [kh, kw] = shape.kernel;
    // Kernel rows, then kernel columns, then channels: the order in which the windows are laid out.
    let weight = conv.weight.val().permute([0, 2, 3, 1]);
    let weight = weight.reshape([1, out, kh * kw * channels]); // [1, O, K]
    let x = windows(x, 3, kw, shape.stride[1], shape.pad[1], w);
    let x = windows(x, 2, kh, shape.stride[0], shape.pad[0], h); // [B, KH KW C, H', W']
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
