//! A weight file that arrives byte by byte, as a browser fetches it, in parts that are weight files themselves.

use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, Value, json};

use crate::{Result, TensorError};

/// Bytes of the header's length.
const LENGTH: usize = 8;
/// A header longer than this is none.
const MOST_HEADER: u64 = 64 << 20;

/// Cuts a safetensors file into smaller ones while it arrives, a few whole tensors each, so that nobody needs the memory of the
/// whole. A tensor of blocks and its scales may end up in different parts: shards of `cropvlm export --quant` are small and
/// are read whole.
///
/// ```
/// use tensors::{Parts, Precision, WeightFile, write};
/// let tensor = |name: &str| (name.to_string(), (vec![2], vec![1.0, 2.0]));
/// let file = write("model.safetensors", [tensor("a"), tensor("b")], Precision::F32)?;
/// let mut parts = Parts::new("model.safetensors", 1);
/// let mut found = Vec::new();
/// for bytes in file.chunks(5) {
///     for part in parts.push(bytes)? {
///         let part = WeightFile::of("model.safetensors", &part)?;
///         found.extend(part.tensors().map(|(name, _)| name.to_string()));
///     }
/// }
/// parts.finish()?;
/// assert_eq!(found, ["a", "b"]);
/// # Ok::<(), tensors::TensorError>(())
/// ```
pub struct Parts {
    name: String,
    /// Bytes that a part has at least, the last one aside.
    least: usize,
    /// What came and belongs to no part yet.
    bytes: Vec<u8>,
    /// Bytes that came in all.
    all: usize,
    /// Tensors that are still to come, the next one last; none before the header is read.
    left: Option<Vec<(String, TensorInfo)>>,
    /// Where the data of `bytes` begin, from the end of the header.
    start: usize,
    /// Length of the file, as its header says.
    wanted: usize,
}

impl Parts {
    /// Nothing came yet. `name` is for errors; parts have `least` bytes or more, the last one aside.
    pub fn new(name: &str, least: usize) -> Self {
        Self {
            name: name.to_owned(),
            least,
            bytes: Vec::new(),
            all: 0,
            left: None,
            start: 0,
            wanted: 0,
        }
    }

    /// Takes what came next, and gives the parts that are complete with it.
    ///
    /// # Errors
    /// Bytes that are no safetensors file.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.all += bytes.len();
        self.bytes.extend_from_slice(bytes);
        if self.left.is_none() && !self.read_header()? {
            return Ok(Vec::new());
        }
        let mut parts = Vec::new();
        while let Some(part) = self.part()? {
            parts.push(part);
        }
        Ok(parts)
    }

    /// Everything came.
    ///
    /// # Errors
    /// A file that is cut, or longer than its header says.
    pub fn finish(self) -> Result<()> {
        if self.left.is_some() && self.all == self.wanted {
            return Ok(());
        }
        Err(self.wrong(match self.left {
            None => format!("it has {} bytes only", self.all),
            Some(_) => format!("it has {} bytes, its header says {}", self.all, self.wanted),
        }))
    }

    /// Whether the header is there, now read.
    fn read_header(&mut self) -> Result<bool> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<LENGTH>() else {
            return Ok(false);
        };
        if crate::file::is_page(length) {
            return Err(self.wrong("it is a web page, where weights are meant".into()));
        }
        let length = u64::from_le_bytes(*length);
        if length > MOST_HEADER {
            return Err(self.wrong(format!("it promises a header of {length} bytes")));
        }
        let length = length as usize;
        let Some(header) = rest.get(..length) else {
            return Ok(false);
        };
        let header: Metadata =
            serde_json::from_slice(header).map_err(|error| self.wrong(error.to_string()))?;
        self.wanted = LENGTH + length + header.data_len();
        let mut tensors: Vec<_> = header.tensors().into_iter().collect();
        tensors.sort_by_key(|(_, info)| std::cmp::Reverse(info.data_offsets));
        let tensors = tensors.into_iter();
        self.left = Some(tensors.map(|(name, info)| (name, info.clone())).collect());
        self.bytes.drain(..LENGTH + length);
        Ok(true)
    }

    /// The next part, if it is complete.
    fn part(&mut self) -> Result<Option<Vec<u8>>> {
        let have = self.start + self.bytes.len();
        let Some(left) = self.left.as_mut().filter(|left| !left.is_empty()) else {
            return Ok(None);
        };
        // Offsets follow each other without gaps: safetensors refuses other headers.
        let whole = left.iter().rev();
        let whole = whole.take_while(|(_, info)| info.data_offsets.1 <= have);
        let (mut count, mut end) = (0, self.start);
        for (_, info) in whole {
            if count > 0 && end - self.start >= self.least {
                break;
            }
            (count, end) = (count + 1, info.data_offsets.1);
        }
        let last = count == left.len();
        if count == 0 || (end - self.start < self.least && !last) {
            return Ok(None);
        }
        let mut header = Map::new();
        for (name, info) in left.split_off(left.len() - count) {
            let (from, to) = info.data_offsets;
            let entry = json!({
                "dtype": info.dtype,
                "shape": info.shape,
                "data_offsets": [from - self.start, to - self.start],
            });
            header.insert(name, entry);
        }
        let header = Value::Object(header).to_string();
        let mut part = (header.len() as u64).to_le_bytes().to_vec();
        part.extend_from_slice(header.as_bytes());
        part.extend(self.bytes.drain(..end - self.start));
        self.start = end;
        Ok(Some(part))
    }

    fn wrong(&self, message: String) -> TensorError {
        TensorError::Safetensors {
            file: self.name.clone(),
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Precision, WeightFile, write};

    fn file(sizes: &[usize]) -> Vec<u8> {
        let tensors = sizes.iter().enumerate().map(|(i, &n)| {
            let values = (0..n).map(|j| (i * 100 + j) as f32).collect();
            (format!("t{i}"), (vec![n], values))
        });
        write("m", tensors, Precision::F32).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_the_chunks_every_tensor_comes_once_and_whole(
            sizes in proptest::collection::vec(0..40usize, 1..9),
            chunk in 1..200usize,
            least in 0..300usize,
        ) {
            let bytes = file(&sizes);
            let whole = WeightFile::of("m", &bytes).unwrap();
            let mut parts = Parts::new("m", least);
            let mut found = Vec::new();
            for chunk in bytes.chunks(chunk) {
                for part in parts.push(chunk).unwrap() {
                    let part = WeightFile::of("m", &part).unwrap();
                    for (name, _) in part.tensors() {
                        prop_assert_eq!(part.values(name).unwrap(), whole.values(name).unwrap());
                        found.push(name.to_owned());
                    }
                }
            }
            parts.finish().unwrap();
            found.sort();
            let all: Vec<String> = whole.tensors().map(|(name, _)| name.to_owned()).collect();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn what_is_cut_or_no_weight_file_is_said() {
        let bytes = file(&[4, 4]);
        let said = |bytes: &[u8]| {
            let mut parts = Parts::new("m", 1);
            let pushed = parts.push(bytes).map(|_| ());
            pushed
                .and_then(|()| parts.finish())
                .unwrap_err()
                .to_string()
        };
        assert!(said(&bytes[..5]).contains("5 bytes only"));
        let cut = said(&bytes[..bytes.len() - 3]);
        assert!(cut.contains("its header says"), "{cut}");
        let longer = said(&[bytes, vec![0]].concat());
        assert!(longer.contains("its header says"), "{longer}");
        assert!(said(b"<!doctype html><title>x</title>").contains("a web page"));
        assert!(said(&[255; 20]).contains("a header of"));
    }
}
