//! WebP: a RIFF file that says its own length. Source: RFC 9649, 2.3 to 2.7.

use std::borrow::Cow;

use super::{Parts, little};
use crate::{Format, Note, PictureError};

/// Flags of the extended header.
const ANIMATED: u8 = 0x02;
const XMP: u8 = 0x04;
const EXIF: u8 = 0x08;
const PROFILE: u8 = 0x20;

const TRUNCATED: PictureError = PictureError::Truncated {
    format: Format::WebP,
};

pub(super) fn walk(bytes: &[u8]) -> Result<Parts<'_>, PictureError> {
    let said = little(bytes, 4).ok_or(TRUNCATED)?.saturating_add(8);
    let mut notes = Vec::new();
    // Where each whole chunk stands, with its name.
    let mut whole: Vec<(&[u8], std::ops::Range<usize>)> = Vec::new();
    let mut at = 12;
    while at + 8 <= said
        && let (Some(name), Some(length)) = (bytes.get(at..at + 4), little(bytes, at + 4))
    {
        let end = (at + 8).saturating_add(length);
        if end > bytes.len() {
            break;
        }
        whole.push((name, at..end));
        at = end.saturating_add(length % 2);
    }
    let flags = whole.iter().find(|(name, _)| *name == b"VP8X");
    let flags = flags
        .and_then(|(_, chunk)| bytes.get(chunk.start + 8))
        .copied()
        .unwrap_or(0);
    if flags & ANIMATED != 0 {
        notes.push(Note::Animated);
    }
    if said < bytes.len() {
        notes.push(Note::BytesAfterEnd);
    }
    if said <= bytes.len() {
        return Ok(Parts {
            file: Cow::Borrowed(bytes),
            notes,
        });
    }
    // The end is missing. Whole without it: the pixels, and how they are turned, which stands behind them.
    let has = |wanted: &[&[u8; 4]]| {
        whole
            .iter()
            .any(|(name, _)| wanted.iter().any(|w| *name == &w[..]))
    };
    let pixels = has(&[b"VP8 ", b"VP8L"]) || flags & ANIMATED != 0 && has(&[b"ANMF"]);
    if !pixels || flags & EXIF != 0 && !has(&[b"EXIF"]) {
        return Err(TRUNCATED);
    }
    notes.push(Note::NoEnd);
    let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
    for (name, chunk) in whole {
        let start = file.len();
        file.extend_from_slice(&bytes[chunk.clone()]);
        if name == b"VP8X" && chunk.len() > 8 {
            let lost = if has_profile(bytes, &chunk) {
                XMP
            } else {
                XMP | PROFILE
            };
            file[start + 8] &= !lost;
        }
        file.extend_from_slice(&[0; 1][..chunk.len() % 2]);
    }
    let length = (file.len() - 8) as u32;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(Parts {
        file: Cow::Owned(file),
        notes,
    })
}

/// Whether a colour profile follows the extended header at once, as it has to.
fn has_profile(bytes: &[u8], header: &std::ops::Range<usize>) -> bool {
    bytes.get(header.end..header.end + 4) == Some(b"ICCP")
}
