//! The kernels of attention, and what they are told.

use wgpu::{Buffer, ComputePipeline};

use super::Make;
use crate::packed::Heads;

/// Queries that are worth the kernel of many.
pub(super) const MANY: usize = 16;

/// Attention for heads of one size.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) dim: usize,
    pub(super) many: ComputePipeline,
    pub(super) few: ComputePipeline,
    pub(super) looked: ComputePipeline,
}

impl Kernels {
    pub(super) fn new(make: &Make, dim: usize) -> Self {
        let own = format!("const FOURS = {}u;", dim / 4);
        let keys = include_str!("keys.wgsl").replace("const FOURS = 16u;", &own);
        let values = include_str!("values.wgsl");
        let mixing = |name: &str, wgsl: &str| make(name, format!("{keys}\n{values}\n{wgsl}"));
        Self {
            dim,
            many: mixing("attend", include_str!("attend.wgsl")),
            few: mixing("attend_few", include_str!("attend_few.wgsl")),
            looked: make("looked", format!("{keys}\n{}", include_str!("looked.wgsl"))),
        }
    }
}

/// A sequence's keys and values, and who sees what of it.
pub(super) struct Sequence<'a> {
    pub(super) heads: Heads,
    /// Queries of a row.
    pub(super) tokens: usize,
    /// Keys, values and number of what all rows have in common.
    pub(super) common: (&'a Buffer, &'a Buffer, usize),
    /// Keys, values, number and room of a row's own.
    pub(super) own: (&'a Buffer, &'a Buffer, usize, usize),
    pub(super) causal: bool,
}

impl Sequence<'_> {
    /// As in `keys.wgsl`.
    pub(super) fn numbers(&self) -> [usize; 8] {
        let Heads { queries, keys, dim } = self.heads;
        let scale = (dim as f32).sqrt().recip();
        [
            self.tokens,
            queries,
            queries / keys,
            self.common.2,
            self.own.2,
            self.own.3,
            usize::from(self.causal),
            scale.to_bits() as usize,
        ]
    }
}
