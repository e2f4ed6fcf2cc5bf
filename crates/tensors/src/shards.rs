//! Packed tensors into shards of a bounded size, and the index that lists them with their hashes.
//!
//! The sizes are known from names, shapes and block types alone. So a tensor is packed when its shard is written, and no
//! more than one shard is in memory.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::blocks::scales_shape;
use crate::file::{SCALES, hexadecimal};
use crate::weights::{About, Index};
use crate::write::{Part, Stored, serialize};
use crate::{BlockType, INDEX, Packed, TensorError};
use safetensors::Dtype;

/// Bytes that a shard has at most, its header included. A tensor that is larger has a shard of its own.
pub const SHARD: usize = 64_000_000;
/// Room for what a header says about a tensor beside its name: types, shapes and places of values and scales.
const HEADER: usize = 256;

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Key of the tensor.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it is kept; what [`BlockType::fitting`] makes of it.
    pub kind: BlockType,
}

impl Entry {
    /// Bytes in a shard, at most.
    fn bytes(&self) -> usize {
        let kind = self.kind.fitting(&self.shape);
        kind.bytes(&self.shape) + 2 * self.name.len() + HEADER
    }
}

/// Which tensors go into which shard, in order.
pub fn shards(entries: &[Entry], most: usize) -> Vec<&[Entry]> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, HEADER);
    for (i, entry) in entries.iter().enumerate() {
        if i > start && bytes + entry.bytes() > most {
            out.push(&entries[start..i]);
            (start, bytes) = (i, HEADER);
        }
        bytes += entry.bytes();
    }
    out.push(&entries[start..]);
    out
}

/// Writes tensors as `model-00001-of-0000N.safetensors` of at most `most` bytes, then [`INDEX`]. `pack` makes a tensor when
/// its turn comes; `put` gets each file's name and bytes.
///
/// A tensor `NAME` of q8 lies in the file as I8 of its shape, of q4 as U8 with half the last dimension; `NAME.scales` beside it
/// is F16, [first dimension, blocks]. The index is Hugging Face's, with `metadata.sha256`, a hash for each file.
///
/// # Errors
/// Those of `pack` and `put`; names that the format cannot hold.
pub fn write_shards<E: From<TensorError>>(
    entries: &[Entry],
    most: usize,
    mut pack: impl FnMut(&Entry) -> std::result::Result<Packed<'static>, E>,
    mut put: impl FnMut(&str, Vec<u8>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let shards = shards(entries, most);
    let mut index = Index::default();
    let mut hashes = BTreeMap::new();
    let mut total = 0;
    for (i, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        let mut stored = Stored::new();
        for entry in *shard {
            let packed = pack(entry)?;
            total += packed.bytes();
            for (name, tensor) in parts(&entry.name, packed) {
                index.weight_map.insert(name.clone(), file.clone());
                stored.insert(name, tensor);
            }
        }
        let bytes = serialize(&file, &stored)?;
        hashes.insert(file.clone(), hexadecimal(&Sha256::digest(&bytes)));
        drop(stored);
        put(&file, bytes)?;
    }
    index.metadata = Some(About {
        total_size: total.into(),
        sha256: hashes,
    });
    let text = serde_json::to_vec_pretty(&index).map_err(|error| TensorError::Json {
        file: INDEX.to_string(),
        message: error.to_string(),
    })?;
    put(INDEX, text)
}

/// What a packed tensor is in a file: one tensor, or values and scales.
fn parts(name: &str, packed: Packed<'static>) -> Vec<(String, Part)> {
    let kind = packed.kind;
    let mut shape = packed.shape.clone();
    let mut parts = Vec::new();
    if matches!(kind, BlockType::Q8 | BlockType::Q4) {
        let scales = (
            Dtype::F16,
            scales_shape(&shape).to_vec(),
            packed.scales.into_owned(),
        );
        parts.push((format!("{name}{SCALES}"), scales));
    }
    if let (BlockType::Q4, Some(last)) = (kind, shape.last_mut()) {
        *last /= 2;
    }
    parts.push((
        name.to_string(),
        (kind.dtype(), shape, packed.data.into_owned()),
    ));
    parts
}
