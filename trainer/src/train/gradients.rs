//! Gradients of several losses added up, so that one step can follow many groups.

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use policy::Policy;

/// A sum of gradients; memory for one gradient, however many are added.
#[derive(Default)]
pub struct Accumulator {
    sum: Option<GradientsParams>,
}

/// Adds one gradient to the sum, parameter by parameter.
struct Add {
    sum: GradientsParams,
    next: GradientsParams,
}

impl ModuleVisitor for Add {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let sum = match (self.sum.remove::<D>(param.id), self.next.remove(param.id)) {
            (Some(a), Some(b)) => a + b,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return,
        };
        self.sum.register(param.id, sum);
    }
}

/// Multiplies every gradient.
struct Scale {
    gradients: GradientsParams,
    by: f64,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients
                .register(param.id, gradient.mul_scalar(self.by));
        }
    }
}

impl Accumulator {
    /// Adds the gradients of one loss.
    pub fn add(&mut self, policy: &Policy, next: GradientsParams) {
        let Some(sum) = self.sum.take() else {
            self.sum = Some(next);
            return;
        };
        let mut add = Add { sum, next };
        policy.visit(&mut add);
        self.sum = Some(add.sum);
    }

    /// The sum times a factor; empty where nothing was added.
    pub fn take(&mut self, policy: &Policy, by: f64) -> GradientsParams {
        let gradients = self.sum.take().unwrap_or_default();
        let mut scale = Scale { gradients, by };
        policy.visit(&mut scale);
        scale.gradients
    }
}
