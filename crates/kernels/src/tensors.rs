//! A network's weights by name, and the layers that are made of them.

use std::collections::HashMap;

use crate::conv::Conv;
use crate::maps::{Maps, Then};
use crate::winograd::Winograd;

/// Groups of a group norm, at most one a channel.
pub const GROUPS: usize = 8;

/// What is wrong with weights.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KernelError {
    /// A tensor is not there.
    #[error("the network has no tensor {0}")]
    Missing(String),
    /// A tensor has another shape than its place wants.
    #[error("{name} has shape {shape:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// What it has.
        shape: Vec<usize>,
    },
}

/// Shape and values of tensors, by their names in a model folder.
#[derive(Debug, Default)]
pub struct Tensors(HashMap<String, (Vec<usize>, Vec<f32>)>);

impl FromIterator<(String, (Vec<usize>, Vec<f32>))> for Tensors {
    fn from_iter<I: IntoIterator<Item = (String, (Vec<usize>, Vec<f32>))>>(tensors: I) -> Self {
        Self(tensors.into_iter().collect())
    }
}

/// Shape, weights and bias.
pub(crate) type Convolution<'a> = ([usize; 4], &'a [f32], &'a [f32]);

impl Tensors {
    /// Keeps the tensors whose names are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }

    fn get(&self, name: &str) -> Result<&(Vec<usize>, Vec<f32>), KernelError> {
        let missing = || KernelError::Missing(name.to_owned());
        self.0.get(name).ok_or_else(missing)
    }

    /// The values of a tensor, row by row.
    ///
    /// # Errors
    /// [`KernelError::Missing`].
    pub fn values(&self, name: &str) -> Result<&[f32], KernelError> {
        Ok(&self.get(name)?.1)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Shape, weights and bias of a convolution.
    pub(crate) fn conv(&self, name: &str) -> Result<Convolution<'_>, KernelError> {
        let (shape, weights) = self.get(&format!("{name}.weight"))?;
        let (_, bias) = self.get(&format!("{name}.bias"))?;
        let wrong = || KernelError::Shape {
            name: name.to_owned(),
            shape: shape.clone(),
        };
        let four = <[usize; 4]>::try_from(shape.as_slice()).map_err(|_| wrong())?;
        if four.iter().product::<usize>() != weights.len() || bias.len() != four[0] {
            return Err(wrong());
        }
        Ok((four, weights, bias))
    }

    pub(crate) fn strided(&self, name: &str, stride: [usize; 2]) -> Result<Conv, KernelError> {
        let (shape, weights, bias) = self.conv(name)?;
        Ok(Conv::new(shape, weights, bias, stride))
    }

    pub(crate) fn point(&self, name: &str) -> Result<Conv, KernelError> {
        self.strided(name, [1, 1])
    }

    fn winograd(&self, name: &str) -> Result<Winograd, KernelError> {
        let ([to, from, ..], weights, bias) = self.conv(name)?;
        Ok(Winograd::new([to, from], weights, bias))
    }

    pub(crate) fn block(&self, name: &str) -> Result<Block, KernelError> {
        Ok(Block {
            first: self.winograd(&format!("{name}.first"))?,
            second: self.winograd(&format!("{name}.second"))?,
        })
    }

    pub(crate) fn norm(&self, name: &str) -> Result<Norm, KernelError> {
        Ok(Norm {
            gamma: self.values(&format!("{name}.gamma"))?.to_vec(),
            beta: self.values(&format!("{name}.beta"))?.to_vec(),
        })
    }
}

/// `x + conv(relu(conv(relu(x))))`.
#[derive(Debug)]
pub(crate) struct Block {
    first: Winograd,
    second: Winograd,
}

impl Block {
    pub(crate) fn run(&self, x: &mut Maps) {
        let mut y = Maps::framed(x.height, x.width, x.channels);
        self.first.run(&x.relu(), &mut y, Then::Relu);
        self.second.run(&y, x, Then::Add);
    }
}

/// Group norm's scale and shift of each channel.
#[derive(Debug)]
pub(crate) struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Norm {
    pub(crate) fn run(&self, x: &mut Maps) {
        x.group_norm(GROUPS.min(x.channels), &self.gamma, &self.beta);
    }
}
