//! Gradients of several losses added up, so that one step can follow many groups.

use std::collections::BTreeMap;

use anyhow::Result;
use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use policy::Policy;

/// The gradients as numbers, by the names of the parameters.
///
/// # Errors
/// A device that does not deliver.
pub fn by_name(policy: &Policy, gradients: &GradientsParams) -> Result<BTreeMap<String, Vec<f32>>> {
    struct Named<'a> {
        path: Vec<String>,
        gradients: &'a GradientsParams,
        found: Result<BTreeMap<String, Vec<f32>>>,
    }
    impl ModuleVisitor for Named<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.gradients.get::<D>(param.id) else {
                return;
            };
            match gradient.into_data().convert::<f32>().try_to_vec::<f32>() {
                Ok(values) => {
                    if let Ok(found) = &mut self.found {
                        found.insert(self.path.join("."), values);
                    }
                }
                Err(e) => self.found = Err(anyhow::anyhow!("the device does not deliver: {e:?}")),
            }
        }
    }
    let mut named = Named {
        path: Vec::new(),
        gradients,
        found: Ok(BTreeMap::new()),
    };
    policy.visit(&mut named);
    named.found
}

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
        if by == 1.0 {
            return gradients;
        }
        let mut scale = Scale { gradients, by };
        policy.visit(&mut scale);
        scale.gradients
    }
}
