//! Frozen weights in bf16, what has to be exact in f32.
//!
//! Which parts those are is the method's usual choice on graphics cards: products in bf16; norms,
//! rotations, softmax, adapters, log-probabilities and losses in f32.

use burn::module::Param;
use burn::tensor::{DType, FloatDType, Tensor};
use tensors::Precision;

use crate::params::{Slot, walk};
use crate::smolvlm::SmolVlm;

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

impl SmolVlm {
    /// The same model with its weights kept and multiplied in another precision, norms excepted.
    /// Adapters stay f32, logits come out in f32. Half the memory, and on graphics cards several times the
    /// speed; processors are slower at it. For weights that are not trained: steps of training
    /// are smaller than bf16 can hold.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        fn put<const D: usize>(param: &mut Param<Tensor<D>>, dtype: FloatDType) {
            if FloatDType::from(param.val().dtype()) == dtype {
                return;
            }
            let tracked = param.is_require_grad();
            let cast = param.clone().map(|x| x.cast(dtype).detach());
            *param = cast.set_require_grad(tracked);
        }
        let dtype = match precision {
            Precision::F32 => FloatDType::F32,
            Precision::F16 => FloatDType::F16,
            Precision::BF16 => FloatDType::BF16,
        };
        walk(&mut self.net, |name, slot| {
            if name.contains("norm") {
                return;
            }
            match slot {
                Slot::Linear(param) | Slot::Table(param) => put(param, dtype),
                Slot::Scale(param) | Slot::Bias(param) => put(param, dtype),
                Slot::Kernel(param) => put(param, dtype),
            }
        });
        self
    }
}
