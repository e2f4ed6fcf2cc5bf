//! GIF: blocks behind a header. Only counted: the decoder reads the first frame and stops. Source: GIF89a, appendix A.

use std::borrow::Cow;

use super::Parts;
use crate::Note;

pub(super) fn walk(bytes: &[u8]) -> Parts<'_> {
    let mut notes = Vec::new();
    let (frames, end) = blocks(bytes);
    if frames > 1 {
        notes.push(Note::Animated);
    }
    match end {
        None => notes.push(Note::NoEnd),
        Some(end) if end < bytes.len() => notes.push(Note::BytesAfterEnd),
        Some(_) => {}
    }
    Parts {
        file: Cow::Borrowed(bytes),
        notes,
    }
}

/// How many frames begin, and where the file ends, if it does.
fn blocks(bytes: &[u8]) -> (usize, Option<usize>) {
    let table = |packed: u8| {
        if packed & 0x80 != 0 {
            3 << ((packed & 7) + 1)
        } else {
            0
        }
    };
    let mut frames = 0;
    let mut at = 13 + bytes.get(10).map_or(0, |&packed| table(packed));
    while let Some(&kind) = bytes.get(at) {
        at += match kind {
            0x3B => return (frames, Some(at + 1)),
            // An extension: its kind, then sub-blocks.
            0x21 => 2,
            0x2C => {
                frames += 1;
                // The descriptor, its colours, the code size.
                let Some(&packed) = bytes.get(at + 9) else {
                    break;
                };
                11 + table(packed)
            }
            // Stray bytes.
            _ => return (frames, None),
        };
        while let Some(&length) = bytes.get(at) {
            at += 1 + usize::from(length);
            if length == 0 {
                break;
            }
        }
    }
    (frames, None)
}
