//! A module's weights by name: out of it and into it.
//!
//! Names are the paths of the modules (`stages.0.blocks.1.first.weight`). Files are the `tensors` crate's; loading checks
//! every name and shape against the network that the configuration describes.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use tensors::{SINGLE, Values};

use crate::{PolicyError, Result};

/// Walks the parameters in their order of declaration and keeps each one's path.
struct Collector {
    path: Vec<String>,
    wanted: fn(&str) -> bool,
    tensors: Vec<(String, Values)>,
    error: Option<String>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if !(self.wanted)(&name) {
            return;
        }
        let shape = param.val().dims().to_vec();
        match param.val().into_data().convert::<f32>().try_to_vec::<f32>() {
            Ok(values) => self.tensors.push((name, (shape, values))),
            Err(e) => self.error = Some(format!("{name}: {e:?}")),
        }
    }
}

/// Every parameter by name, in order of declaration.
///
/// # Errors
/// A device that does not deliver.
pub fn collect<M: Module>(module: &M) -> Result<Vec<(String, Values)>> {
    collect_where(module, |_| true)
}

/// As [`collect`], of those parameters whose name is wanted.
///
/// # Errors
/// A device that does not deliver.
pub fn collect_where<M: Module>(
    module: &M,
    wanted: fn(&str) -> bool,
) -> Result<Vec<(String, Values)>> {
    let mut collector = Collector {
        path: Vec::new(),
        wanted,
        tensors: Vec::new(),
        error: None,
    };
    module.visit(&mut collector);
    match collector.error {
        Some(error) => Err(PolicyError::Device(error)),
        None => Ok(collector.tensors),
    }
}

/// How many numbers the wanted parameters hold; nothing leaves the device.
pub fn count_where<M: Module>(module: &M, wanted: fn(&str) -> bool) -> usize {
    struct Count {
        path: Vec<String>,
        wanted: fn(&str) -> bool,
        numbers: usize,
    }
    impl ModuleVisitor for Count {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if (self.wanted)(&self.path.join(".")) {
                self.numbers += param.val().shape().num_elements();
            }
        }
    }
    let mut count = Count {
        path: Vec::new(),
        wanted,
        numbers: 0,
    };
    module.visit(&mut count);
    count.numbers
}

/// Draws every parameter that has not been drawn yet, in order of declaration.
pub fn settle<M: Module>(module: &M) {
    struct Touch;
    impl ModuleVisitor for Touch {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let _ = param.val();
        }
    }
    module.visit(&mut Touch);
}

/// Puts tensors, which fit, into the parameters of their names.
struct Applier {
    path: Vec<String>,
    tensors: HashMap<String, Values>,
}

impl ModuleMapper for Applier {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let Some((shape, values)) = self.tensors.remove(&name) else {
            return param; // not wanted: all that are wanted are there
        };
        let device = param.lazy_device();
        let id = param.id;
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        param.transform_for_load(tensor, id)
    }
}

/// Puts tensors into a module.
///
/// # Errors
/// Missing, extra and misshapen tensors, all of them by name.
pub fn apply<M: Module>(module: M, tensors: HashMap<String, Values>) -> Result<M> {
    apply_where(module, tensors, |_| true)
}

/// As [`apply`], into those parameters whose name is wanted; the others stay.
///
/// # Errors
/// As [`apply`].
pub fn apply_where<M: Module>(
    module: M,
    tensors: HashMap<String, Values>,
    wanted: fn(&str) -> bool,
) -> Result<M> {
    tensors::fit(SINGLE, &tensors, &shapes_where(&module, wanted))?;
    Ok(module.map(&mut Applier {
        path: Vec::new(),
        tensors,
    }))
}

/// The names and shapes of a module's parameters whose name is wanted, in order of declaration.
fn shapes_where<M: Module>(module: &M, wanted: fn(&str) -> bool) -> Vec<(String, Vec<usize>)> {
    struct Shapes {
        path: Vec<String>,
        wanted: fn(&str) -> bool,
        found: Vec<(String, Vec<usize>)>,
    }
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.path.join(".");
            if (self.wanted)(&name) {
                self.found.push((name, param.lazy_shape().to_vec()));
            }
        }
    }
    let mut shapes = Shapes {
        path: Vec::new(),
        wanted,
        found: Vec::new(),
    };
    module.visit(&mut shapes);
    shapes.found
}
