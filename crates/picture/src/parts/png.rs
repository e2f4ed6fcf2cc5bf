//! PNG: chunks of length, name, data and checksum. Source: W3C PNG, 5.3.

use std::borrow::Cow;

use super::Parts;
use crate::{Format, Note, PictureError};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Chunks that say how pixels are meant; the others that are not known here are left out of a mended file.
const KEPT: [&[u8; 4]; 8] = [
    b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"sBIT",
];

pub(super) fn walk(bytes: &[u8]) -> Result<Parts<'_>, PictureError> {
    let mut notes = Vec::new();
    let mut kept: Vec<(&[u8], &[u8])> = Vec::new();
    let mut pixels: Vec<&[u8]> = Vec::new();
    let (mut ended, mut wrong) = (false, false);
    let mut at = SIGNATURE.len();
    while let (Some(length), Some(name)) = (big(bytes, at), bytes.get(at + 4..at + 8)) {
        let rest = &bytes[at + 8..];
        let data = &rest[..length.min(rest.len())];
        let sum = big(rest, length);
        let right = || sum.is_none_or(|sum| sum == checksum(name, data) as usize);
        if !name.iter().all(u8::is_ascii_alphabetic) {
            // Stray bytes where a chunk should be: what came before may be whole.
            break;
        }
        match name {
            b"IDAT" => {
                wrong |= !right();
                pixels.push(data);
            }
            b"IEND" => ended = sum.is_some(),
            b"acTL" if length == 8 && big(data, 0).is_some_and(|frames| frames > 1) => {
                notes.push(Note::Animated);
            }
            b"IHDR" => kept.push((name, data)),
            _ if data.len() == length && KEPT.iter().any(|known| name == &known[..]) && right() => {
                kept.push((name, data));
            }
            _ => {}
        }
        at += 8
            + data.len()
            + if sum.is_some() {
                4
            } else {
                rest.len() - data.len()
            };
        if ended {
            break;
        }
    }
    if ended && at < bytes.len() {
        notes.push(Note::BytesAfterEnd);
    }
    if ended && !wrong {
        return Ok(Parts {
            file: Cow::Borrowed(bytes),
            notes,
        });
    }
    if pixels.is_empty() {
        return Err(PictureError::Truncated {
            format: Format::Png,
        });
    }
    let stream: Vec<u8> = pixels.concat();
    if wrong && !whole(&stream, &kept) {
        return Err(PictureError::Damaged {
            format: Format::Png,
            detail: "its checksums say that its pixels have changed".to_owned(),
        });
    }
    notes.extend(wrong.then_some(Note::WrongChecksum));
    notes.extend((!ended).then_some(Note::NoEnd));
    let mut file = SIGNATURE.to_vec();
    // The header first, then what explains the pixels, in its order.
    for (name, data) in kept
        .iter()
        .copied()
        .chain([(&b"IDAT"[..], &stream[..]), (b"IEND", b"")])
    {
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend(checksum(name, data).to_be_bytes());
    }
    Ok(Parts {
        file: Cow::Owned(file),
        notes,
    })
}

/// Whether the compressed pixels carry a right checksum of their own (Adler-32, at the end of every zlib stream).
fn whole(stream: &[u8], kept: &[(&[u8], &[u8])]) -> bool {
    let header = kept.iter().find(|(name, _)| *name == b"IHDR");
    let Some(&(_, &[w0, w1, w2, w3, h0, h1, h2, h3, ..])) = header else {
        return false;
    };
    let side = |bytes| u64::from(u32::from_be_bytes(bytes));
    let (width, height) = (side([w0, w1, w2, w3]), side([h0, h1, h2, h3]));
    // Eight bytes a pixel at most, a byte for the filter of each row, twice for the passes of an interlaced file.
    let most = width
        .saturating_mul(8)
        .saturating_add(2)
        .saturating_mul(height)
        .saturating_mul(2);
    let most = usize::try_from(most.min(1 << 30)).unwrap_or(usize::MAX);
    fdeflate::decompress_to_vec_bounded(stream, most).is_ok()
}

fn big(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*four)).ok()
}

/// CRC-32 of a chunk's name and data.
fn checksum(name: &[u8], data: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(data);
    sum.finalize()
}
