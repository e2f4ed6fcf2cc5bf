//! BMP: rows of pixels at a place that the header names; each is filled up to four bytes, and writers leave out the last
//! filling. Source: BITMAPINFOHEADER.

use std::borrow::Cow;

use super::{Parts, little};
use crate::Note;

pub(super) fn walk(bytes: &[u8]) -> Parts<'_> {
    let Some((needed, filled)) = rows(bytes) else {
        return Parts::plain(bytes);
    };
    let mut parts = Parts::plain(bytes);
    if bytes.len() > filled {
        // Writers round the file up.
        parts
            .notes
            .extend((bytes.len() - filled > 4).then_some(Note::BytesAfterEnd));
    } else if bytes.len() >= needed && bytes.len() < filled {
        let mut file = bytes.to_vec();
        file.resize(filled, 0);
        parts.file = Cow::Owned(file);
        parts.notes.push(Note::NoEnd);
    }
    parts
}

/// Bytes up to the last pixel, and with the filling behind it; none for compressed files and old headers.
fn rows(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, header) = (little(bytes, 10)?, little(bytes, 14)?);
    // 0 plain, 3 plain with masks.
    if header < 40 || !matches!(little(bytes, 30)?, 0 | 3) {
        return None;
    }
    let side = |at| little(bytes, at).map(|side| (side as u32 as i32).unsigned_abs() as usize);
    let (width, height) = (side(18)?, side(22)?);
    let bits = usize::from(u16::from_le_bytes(*bytes.get(28..)?.first_chunk()?));
    let row = width.checked_mul(bits)?.div_ceil(8);
    let stride = row.next_multiple_of(4);
    let filled = stride.checked_mul(height)?.checked_add(start)?;
    Some((filled.checked_sub(stride - row)?, filled))
}
