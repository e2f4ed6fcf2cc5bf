//! One weight file: its header first, then tensors by range, so that a file on a disk is never in memory as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use crate::blocks::scales_shape;
use crate::files::Content;
use crate::{BlockType, ModelFiles, Packed, Result, TensorError};

/// The end of the name of a q8 or q4 tensor's scales.
pub(crate) const SCALES: &str = ".scales";
/// Bytes before the header: its length.
const LENGTH: usize = 8;
/// Bytes that are read at once for a hash.
const PIECE: usize = 1 << 20;

/// A weight file with its header read.
pub struct WeightFile<'a> {
    name: String,
    source: Source<'a>,
    /// Where the first tensor begins.
    start: usize,
    tensors: BTreeMap<String, TensorInfo>,
}

enum Source<'a> {
    Memory(&'a [u8]),
    Disk(File, String),
}

impl<'a> WeightFile<'a> {
    /// A weight file of a folder.
    ///
    /// # Errors
    /// A missing file, one that is no safetensors file, or a part of one.
    pub fn open(files: &'a ModelFiles, name: &str) -> Result<Self> {
        let source = match files.content(name)? {
            Content::Memory(bytes) => Source::Memory(bytes),
            Content::Disk(path, kept) => match kept.get() {
                Some(bytes) => Source::Memory(bytes),
                None => disk(path)?,
            },
        };
        Self::new(name, source)
    }

    /// A weight file in memory. `name` is for errors.
    ///
    /// # Errors
    /// Bytes that are no safetensors file, or part of one.
    pub fn of(name: &str, bytes: &'a [u8]) -> Result<Self> {
        Self::new(name, Source::Memory(bytes))
    }

    fn new(name: &str, source: Source<'a>) -> Result<Self> {
        let wrong = |message: String| TensorError::Safetensors {
            file: name.to_string(),
            message,
        };
        let all = source.len()?;
        let first = source.range(0, all.min(LENGTH))?;
        if is_page(&first) {
            return Err(wrong("it is a web page, where weights are meant".into()));
        }
        let Ok(length) = <[u8; LENGTH]>::try_from(first.as_ref()) else {
            return Err(wrong(format!("it has {all} bytes only")));
        };
        let length = u64::from_le_bytes(length);
        let rest = (all - LENGTH) as u64;
        if length > rest {
            let message = format!("it has {all} bytes and promises a header of {length}");
            return Err(wrong(message));
        }
        let start = LENGTH + length as usize;
        let header = source.range(LENGTH, start)?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| wrong(error.to_string()))?;
        let wanted = start + header.data_len();
        if all != wanted {
            return Err(wrong(format!(
                "it has {all} bytes, its header says {wanted}"
            )));
        }
        let tensors = header.tensors().into_iter();
        Ok(Self {
            name: name.to_string(),
            source,
            start,
            tensors: tensors.map(|(name, info)| (name, info.clone())).collect(),
        })
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names and shapes of the tensors that are kept in it; scales are a part of theirs.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        let names = self.tensors.iter();
        names
            .filter(|(name, _)| !self.is_scales(name))
            .map(|(name, info)| (name.as_str(), self.shape(name, info)))
    }

    /// Whether a tensor of this name is kept in it.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name) && !self.is_scales(name)
    }

    /// Whether these are the scales of a tensor of blocks.
    fn is_scales(&self, name: &str) -> bool {
        let owner = name.strip_suffix(SCALES);
        let owner = owner.and_then(|owner| self.tensors.get(owner));
        owner.is_some_and(|info| matches!(info.dtype, Dtype::I8 | Dtype::U8))
    }

    /// Shape of the tensor that is kept: two values of q4 lie in a byte.
    fn shape(&self, name: &str, info: &TensorInfo) -> Vec<usize> {
        let mut shape = info.shape.clone();
        if info.dtype == Dtype::U8
            && self.tensors.contains_key(&format!("{name}{SCALES}"))
            && let Some(last) = shape.last_mut()
        {
            *last = last.saturating_mul(2);
        }
        shape
    }

    /// A tensor as it is kept.
    ///
    /// # Errors
    /// None of that name; another number type; scales that are missing or do not fit; a disk that cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Packed<'a>> {
        let info = self.info(name)?;
        let (kind, blocks) = match info.dtype {
            Dtype::F32 => (BlockType::F32, false),
            Dtype::F16 => (BlockType::F16, false),
            Dtype::BF16 => (BlockType::BF16, false),
            Dtype::I8 => (BlockType::Q8, true),
            Dtype::U8 => (BlockType::Q4, true),
            other => {
                return Err(TensorError::TensorType {
                    file: self.name.clone(),
                    name: name.to_string(),
                    actual: format!("{other:?}"),
                    expected: "F32, F16, BF16, or I8 and U8 in blocks with scales",
                });
            }
        };
        let shape = self.shape(name, info);
        let scales = match blocks {
            false => Cow::Borrowed(&[] as &[u8]),
            true => {
                let name = format!("{name}{SCALES}");
                let info = self.info(&name)?;
                let expected = scales_shape(&shape);
                if info.dtype != Dtype::F16 || info.shape != expected {
                    return Err(self.wrong(format!(
                        "tensor {name} has type {:?} and shape {:?}, expected F16 and {expected:?}",
                        info.dtype, info.shape
                    )));
                }
                self.bytes(info)?
            }
        };
        Ok(Packed {
            kind,
            shape,
            data: self.bytes(info)?,
            scales,
        })
    }

    /// A tensor as it is kept, all of whose values are numbers.
    ///
    /// # Errors
    /// As [`WeightFile::tensor`]; a value that is no number.
    pub fn numbers(&self, name: &str) -> Result<Packed<'a>> {
        let tensor = self.tensor(name)?;
        match tensor.no_number() {
            None => Ok(tensor),
            Some(value) => Err(TensorError::NoNumber {
                file: self.name.clone(),
                name: name.to_string(),
                value,
            }),
        }
    }

    /// The values of a tensor as f32.
    ///
    /// # Errors
    /// As [`WeightFile::tensor`]; a value that is no number.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let values = self.tensor(name)?.values();
        crate::read::finite(&self.name, name, values)
    }

    /// SHA-256 of a tensor's bytes, scales left aside.
    ///
    /// # Errors
    /// None of that name; a disk that cannot be read.
    pub fn fingerprint(&self, name: &str) -> Result<[u8; 32]> {
        Ok(Sha256::digest(self.bytes(self.info(name)?)?).into())
    }

    /// SHA-256 of the file, in hexadecimal digits.
    ///
    /// # Errors
    /// A disk that cannot be read.
    pub fn sha256(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let all = self.source.len()?;
        for at in (0..all).step_by(PIECE) {
            hash.update(self.source.range(at, all.min(at + PIECE))?);
        }
        Ok(hexadecimal(&hash.finalize()))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        let info = self.tensors.get(name);
        info.ok_or_else(|| self.wrong(format!("tensor {name} is missing")))
    }

    fn bytes(&self, info: &TensorInfo) -> Result<Cow<'a, [u8]>> {
        let (from, to) = info.data_offsets;
        self.source.range(self.start + from, self.start + to)
    }

    fn wrong(&self, problem: String) -> TensorError {
        TensorError::Tensors {
            file: self.name.clone(),
            problem,
        }
    }
}

/// Whether a file begins as a web page does, in place of weights: a server's answer for what it has not. A header's length
/// has zeros among its bytes, a text has none.
pub(crate) fn is_page(first: &[u8]) -> bool {
    first.trim_ascii_start().starts_with(b"<") && !first.contains(&0)
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn disk<'a>(path: &Path) -> Result<Source<'a>> {
    let shown = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok(Source::Disk(file, shown)),
        Err(source) => Err(TensorError::Io {
            path: shown,
            source,
        }),
    }
}

impl<'a> Source<'a> {
    fn len(&self) -> Result<usize> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len()),
            Self::Disk(file, path) => match file.metadata() {
                Ok(about) => Ok(about.len() as usize),
                Err(source) => Err(TensorError::Io {
                    path: path.clone(),
                    source,
                }),
            },
        }
    }

    /// Bytes `from..to`, which lie inside.
    fn range(&self, from: usize, to: usize) -> Result<Cow<'a, [u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(&bytes[from..to])),
            Self::Disk(file, path) => {
                let mut bytes = vec![0; to - from];
                let mut file: &File = file;
                let read = file
                    .seek(SeekFrom::Start(from as u64))
                    .and_then(|_| file.read_exact(&mut bytes));
                match read {
                    Ok(()) => Ok(Cow::Owned(bytes)),
                    Err(source) => Err(TensorError::Io {
                        path: path.clone(),
                        source,
                    }),
                }
            }
        }
    }
}
