//! A model's weights in another precision, for weights that are not trained.

use burn::module::Param;
use burn::tensor::{FloatDType, Tensor};
use tensors::Precision;

use crate::params::{Slot, walk};
use crate::smolvlm::SmolVlm;

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
