//! Files as they travel: compressed by brotli or gzip, whichever the browser takes, and kept until they change.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Result;

/// How a body is coded (RFC 9110, 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

impl Coding {
    /// The word in headers; none for a body as it is.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// The best coding that an `Accept-Encoding` takes: the one of the highest weight, of equal ones the one that compresses
/// best.
pub fn choose(accepted: &str) -> Coding {
    let mut weights: HashMap<String, f32> = HashMap::new();
    for part in accepted.split(',') {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or_default().to_ascii_lowercase();
        let weight = words.find_map(|word| word.strip_prefix("q=")?.trim().parse().ok());
        weights.insert(name, weight.unwrap_or(1.0));
    }
    let of = |coding: Coding| {
        let name = coding.name()?;
        let weight = weights.get(name).or_else(|| weights.get("*"));
        weight.copied().filter(|weight| *weight > 0.0)
    };
    let (brotli, gzip) = (of(Coding::Brotli), of(Coding::Gzip));
    match (brotli, gzip) {
        (Some(brotli), Some(gzip)) if gzip > brotli => Coding::Gzip,
        (Some(_), _) => Coding::Brotli,
        (None, Some(_)) => Coding::Gzip,
        (None, None) => Coding::Identity,
    }
}

/// A body and how it is coded.
#[derive(Clone)]
pub struct Sent {
    /// What travels.
    pub bytes: Arc<Vec<u8>>,
    /// How it is coded.
    pub coding: Coding,
}

/// Compressed files of this server, each for as long as its file stays as it is.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<(PathBuf, Coding), (Stamp, Sent)>>);

/// What changes with a file's content: its length and its time.
type Stamp = (u64, Option<SystemTime>);

impl Kept {
    /// A file as it travels in a coding; as it is, where the coding would save nothing.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&self, path: &Path, coding: Coding) -> Result<Sent> {
        let plain = || -> Result<Sent> {
            Ok(Sent {
                bytes: Arc::new(std::fs::read(path)?),
                coding: Coding::Identity,
            })
        };
        if coding == Coding::Identity || is_dense(path) {
            return plain();
        }
        let meta = std::fs::metadata(path)?;
        let stamp = (meta.len(), meta.modified().ok());
        let key = (path.to_path_buf(), coding);
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sent)) = lock().get(&key).filter(|(kept, _)| *kept == stamp) {
            return Ok(sent.clone());
        }
        // Not under the lock: other files need not wait for this one.
        let plain = plain()?;
        let bytes = compress(&plain.bytes, coding)?;
        let sent = match bytes.len() < plain.bytes.len() {
            true => Sent {
                bytes: Arc::new(bytes),
                coding,
            },
            false => plain,
        };
        lock().insert(key, (stamp, sent.clone()));
        Ok(sent)
    }
}

/// Whether a file would not become much smaller: by its format, or because it holds weights.
fn is_dense(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(
        ending,
        Some("jpg" | "png" | "webp" | "woff2" | "safetensors")
    )
}

/// Quality of brotli: the wasm of 32 MB takes about a second; the highest one, 11, a minute.
const BROTLI_QUALITY: u32 = 5;
/// Logarithm of brotli's window: 4 MB.
const BROTLI_WINDOW: u32 = 22;

fn compress(bytes: &[u8], coding: Coding) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        Coding::Identity => out.extend_from_slice(bytes),
        Coding::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
            gzip.write_all(bytes)?;
            gzip.finish()?;
        }
        Coding::Brotli => {
            let mut brotli =
                brotli::CompressorReader::new(bytes, 1 << 16, BROTLI_QUALITY, BROTLI_WINDOW);
            brotli.read_to_end(&mut out)?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_that_is_taken_is_chosen() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip, deflate", Coding::Gzip),
            ("br;q=0, gzip", Coding::Gzip),
            ("br;q=0.5, gzip;q=0.8", Coding::Gzip),
            ("*", Coding::Brotli),
            ("*;q=0", Coding::Identity),
            ("GZIP ; q=1", Coding::Gzip),
            ("identity", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(choose(accepted), coding, "{accepted}");
        }
    }

    #[test]
    fn a_file_comes_back_from_both_codings_and_a_changed_one_is_read_again() {
        let folder = std::env::temp_dir().join(format!("cropvlm-compress-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let path = folder.join("page.js");
        let kept = Kept::default();
        let decoded = |sent: &Sent| {
            let mut out = Vec::new();
            match sent.coding {
                Coding::Identity => out.extend_from_slice(&sent.bytes),
                Coding::Gzip => {
                    let mut gzip = flate2::read::GzDecoder::new(&sent.bytes[..]);
                    gzip.read_to_end(&mut out).expect("gzip");
                }
                Coding::Brotli => {
                    let mut brotli = brotli::Decompressor::new(&sent.bytes[..], 4096);
                    brotli.read_to_end(&mut out).expect("brotli");
                }
            }
            out
        };
        for text in ["one ".repeat(500), "another ".repeat(600)] {
            std::fs::write(&path, &text).expect("written");
            for coding in [Coding::Gzip, Coding::Brotli] {
                for _ in 0..2 {
                    let sent = kept.read(&path, coding).expect("read");
                    assert_eq!(sent.coding, coding);
                    assert!(sent.bytes.len() * 10 < text.len());
                    assert_eq!(decoded(&sent), text.as_bytes());
                }
            }
        }
        // Nothing to save, and a format that is compressed already.
        std::fs::write(&path, "x").expect("written");
        let sent = kept.read(&path, Coding::Brotli).expect("read");
        assert_eq!(
            (sent.coding, decoded(&sent)),
            (Coding::Identity, b"x".to_vec())
        );
        let path = folder.join("page.png");
        std::fs::write(&path, "x".repeat(900)).expect("written");
        let sent = kept.read(&path, Coding::Brotli).expect("read");
        assert_eq!(sent.coding, Coding::Identity);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
