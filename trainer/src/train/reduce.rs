//! Gradients of the replicas of one policy added up, so that each replica takes the same step.
//!
//! On several NVIDIA cards burn's collective operation (NCCL) adds them where they are; everywhere else they are
//! added in memory, in the replicas' order, so that a run can be repeated to the bit.

use anyhow::{Result, anyhow};
use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::distributed::{ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor, TensorData};
use policy::Policy;

/// How gradients of several devices meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// In memory.
    Host,
    /// From card to card (NCCL).
    Cards,
}

/// Gradients in the order in which the policy declares its parameters, flat; `None` where a
/// parameter has none.
type Flat = Vec<Option<Tensor<1>>>;

struct Flatten {
    gradients: GradientsParams,
    flat: Flat,
}

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.remove::<D>(param.id);
        self.flat.push(gradient.map(|g| g.reshape([-1])));
    }
}

struct Restore {
    flat: std::vec::IntoIter<Option<Tensor<1>>>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Restore {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(Some(gradient)) = self.flat.next() {
            let shape = param.lazy_shape();
            self.gradients
                .register::<D>(param.id, gradient.reshape(shape));
        }
    }
}

/// Adds up the gradients of replicas, one entry each in both lists; every replica gets the sum, on its
/// own device.
///
/// # Errors
/// A device that does not deliver.
pub fn add_up(
    how: Reduce,
    policies: &[&Policy],
    gradients: Vec<GradientsParams>,
) -> Result<Vec<GradientsParams>> {
    if policies.len() < 2 {
        return Ok(gradients);
    }
    let flat: Vec<Flat> = policies
        .iter()
        .zip(gradients)
        .map(|(policy, gradients)| {
            let flat = Vec::new();
            let mut flatten = Flatten { gradients, flat };
            policy.visit(&mut flatten);
            flatten.flat
        })
        .collect();
    let devices: Vec<Device> = policies.iter().map(|p| p.device().inner()).collect();
    let sums = match how {
        Reduce::Host => on_host(flat, &devices)?,
        Reduce::Cards => on_cards(flat, &devices)?,
    };
    let restored = policies.iter().zip(sums).map(|(policy, flat)| {
        let mut restore = Restore {
            flat: flat.into_iter(),
            gradients: GradientsParams::new(),
        };
        policy.visit(&mut restore);
        restore.gradients
    });
    Ok(restored.collect())
}

fn on_host(flat: Vec<Flat>, devices: &[Device]) -> Result<Vec<Flat>> {
    let count = flat.first().map_or(0, Vec::len);
    let mut sums: Vec<Flat> = devices.iter().map(|_| Vec::with_capacity(count)).collect();
    let mut columns: Vec<_> = flat.into_iter().map(Vec::into_iter).collect();
    for _ in 0..count {
        let mut sum: Option<Vec<f32>> = None;
        for gradient in columns.iter_mut().filter_map(|c| c.next().flatten()) {
            let values: Vec<f32> = gradient
                .into_data()
                .convert::<f32>()
                .try_into_vec()
                .map_err(|e| anyhow!("the device does not deliver its gradient: {e:?}"))?;
            match &mut sum {
                Some(sum) => sum.iter_mut().zip(&values).for_each(|(a, b)| *a += b),
                None => sum = Some(values),
            }
        }
        for (list, device) in sums.iter_mut().zip(devices) {
            let one = sum.as_ref().map(|sum| {
                Tensor::<1>::from_data(TensorData::new(sum.clone(), [sum.len()]), device)
            });
            list.push(one);
        }
    }
    Ok(sums)
}

fn on_cards(flat: Vec<Flat>, devices: &[Device]) -> Result<Vec<Flat>> {
    // A collective waits until every card has asked for it: one thread a card, all in one order.
    std::thread::scope(|scope| {
        let threads: Vec<_> = flat
            .into_iter()
            .map(|flat| {
                scope.spawn(|| {
                    let reduce = |gradient: Tensor<1>| {
                        all_reduce(gradient, ReduceOperation::Sum, devices.to_vec()).resolve()
                    };
                    flat.into_iter().map(|g| g.map(reduce)).collect::<Flat>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow!("a card failed while gradients were added up"))
            })
            .collect()
    })
}
