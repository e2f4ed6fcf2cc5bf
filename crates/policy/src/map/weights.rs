//! Weights in and out: safetensors, plain or quantized to int8.
//!
//! Names are the paths of the modules (`stages.0.blocks.1.first.weight`). A quantized tensor
//! `NAME` is stored as int8 with one f32 scale for each row of its first dimension in
//! `NAME.scale`: value = int8 * scale. Vectors and small tensors stay f32. Loading checks every
//! name and shape against the network that the configuration describes.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::MapNet;
use crate::{PolicyError, Result};

const FILE: &str = "model.safetensors";

/// Tensors with fewer values than this are not worth quantizing.
const SMALL: usize = 1024;

/// Shape and values of one tensor.
pub type Values = (Vec<usize>, Vec<f32>);

fn broken(problem: impl Into<String>) -> PolicyError {
    PolicyError::Weights {
        file: FILE.into(),
        problem: problem.into(),
    }
}

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

struct Applier {
    path: Vec<String>,
    wanted: fn(&str) -> bool,
    tensors: HashMap<String, Values>,
    problems: Vec<String>,
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
        if !(self.wanted)(&name) {
            return param;
        }
        let expected = param.lazy_shape().to_vec();
        let Some((shape, values)) = self.tensors.remove(&name) else {
            self.problems
                .push(format!("tensor {name} {expected:?} is missing"));
            return param;
        };
        if shape != expected {
            self.problems.push(format!(
                "tensor {name} has shape {shape:?}, the configuration says {expected:?}"
            ));
            return param;
        }
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
    let mut applier = Applier {
        path: Vec::new(),
        wanted,
        tensors,
        problems: Vec::new(),
    };
    let module = module.map(&mut applier);
    let mut problems = applier.problems;
    let mut extra: Vec<_> = applier.tensors.into_keys().collect();
    extra.sort();
    problems.extend(
        extra
            .iter()
            .map(|name| format!("tensor {name} is not known")),
    );
    match problems.len() {
        0 => Ok(module),
        n => {
            let more = if n > 5 {
                format!("; and {} more", n - 5)
            } else {
                String::new()
            };
            problems.truncate(5);
            Err(broken(problems.join("; ") + &more))
        }
    }
}

/// Reads a safetensors file into the network.
///
/// # Errors
/// As [`apply`]; a file that is no safetensors; number types other than f32, f16, bf16, i8.
pub fn load(net: MapNet, bytes: &[u8]) -> Result<MapNet> {
    apply(net, read(bytes)?)
}

/// Every tensor of a safetensors file as f32, int8 ones multiplied by their scales.
///
/// # Errors
/// A file that is no safetensors; number types other than f32, f16, bf16, i8; a scale that is
/// missing or does not fit; values that are no numbers.
pub fn read(bytes: &[u8]) -> Result<HashMap<String, Values>> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| {
        broken(format!(
            "not a whole safetensors file ({e}); fetch it again"
        ))
    })?;
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        if name.ends_with(".scale") {
            continue;
        }
        let mut values = floats(&name, &view)?;
        if view.dtype() == Dtype::I8 {
            let scale = file
                .tensor(&format!("{name}.scale"))
                .map_err(|_| broken(format!("tensor {name}.scale is missing")))?;
            let scales = floats(&name, &scale)?;
            let rows = view.shape().first().copied().unwrap_or(0);
            if scales.len() != rows || rows == 0 {
                return Err(broken(format!(
                    "tensor {name}.scale has {} values, the tensor {rows} rows",
                    scales.len()
                )));
            }
            let row = values.len() / rows;
            for (i, value) in values.iter_mut().enumerate() {
                *value *= scales[i / row];
            }
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(broken(format!(
                "tensor {name} holds {value}: the file is damaged, or a training run diverged"
            )));
        }
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

fn floats(name: &str, view: &TensorView) -> Result<Vec<f32>> {
    let bytes = view.data();
    let pairs = || {
        bytes
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    Ok(match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::BF16 => pairs()
            .map(|b| f32::from_bits(u32::from(b) << 16))
            .collect(),
        Dtype::F16 => pairs().map(|b| half::f16::from_bits(b).to_f32()).collect(),
        Dtype::I8 => bytes.iter().map(|b| f32::from(*b as i8)).collect(),
        other => {
            return Err(broken(format!(
                "tensor {name} is of type {other:?}; F32, F16, BF16 and I8 are read"
            )));
        }
    })
}

/// Rows of int8 and their scales: symmetric, the largest value of a row becomes 127.
pub fn quantize(values: &[f32], rows: usize) -> (Vec<i8>, Vec<f32>) {
    let row = values.len() / rows.max(1);
    let mut scales = Vec::with_capacity(rows);
    let mut out = Vec::with_capacity(values.len());
    for values in values.chunks_exact(row.max(1)) {
        let top = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = if top > 0.0 { top / 127.0 } else { 1.0 };
        scales.push(scale);
        out.extend(
            values
                .iter()
                .map(|v| (v / scale).round().clamp(-127.0, 127.0) as i8),
        );
    }
    (out, scales)
}

/// The network as the bytes of a safetensors file.
///
/// # Errors
/// A device that does not deliver.
pub fn save(net: &MapNet, quantized: bool) -> Result<Vec<u8>> {
    write(collect(net)?, quantized)
}

/// Tensors as the bytes of a safetensors file.
///
/// # Errors
/// Names or shapes that the format cannot hold.
pub fn write(tensors: Vec<(String, Values)>, quantized: bool) -> Result<Vec<u8>> {
    let le = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let mut stored: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, (shape, values)) in tensors {
        if quantized && shape.len() > 1 && values.len() >= SMALL {
            let (bytes, scales) = quantize(&values, shape[0]);
            let bytes = bytes.into_iter().map(|v| v as u8).collect();
            let scale = (Dtype::F32, vec![scales.len()], le(&scales));
            stored.insert(format!("{name}.scale"), scale);
            stored.insert(name, (Dtype::I8, shape, bytes));
        } else {
            stored.insert(name, (Dtype::F32, shape, le(&values)));
        }
    }
    let mut views = BTreeMap::new();
    for (name, (dtype, shape, bytes)) in &stored {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|e| broken(format!("tensor {name}: {e}")))?;
        views.insert(name.clone(), view);
    }
    let meta = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(views, Some(meta)).map_err(|e| broken(e.to_string()))
}
