//! Number types within the network: weights may be bf16 (`cast.rs`), what has to be exact is computed in f32.
//!
//! Which parts those are is the method's usual choice on graphics cards: products in bf16; norms,
//! rotations, softmax, adapters, log-probabilities and losses in f32.

use burn::tensor::{DType, FloatDType, Tensor};

/// Computes something in f32 and returns it in the number type that came in.
pub(crate) fn in_f32<const D: usize>(
    x: Tensor<D>,
    compute: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let dtype = x.dtype();
    of_type(compute(to_f32(x)), dtype)
}

/// The same numbers in f32.
pub(crate) fn to_f32<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    of_type(x, DType::F32)
}

/// The same numbers in another tensor's number type.
pub(crate) fn like<const D: usize, const E: usize>(x: Tensor<D>, other: &Tensor<E>) -> Tensor<D> {
    of_type(x, other.dtype())
}

/// The same numbers in a number type; untouched where that is theirs.
fn of_type<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype {
        x
    } else {
        x.cast(FloatDType::from(dtype))
    }
}
