//! A walk over the parts of a file: whether its end is there, what follows it, whether it moves.
//!
//! Why: programs and connections lose last bytes, and others append some, and every browser shows such pictures whole.
//! So a file whose pixels are all there is read, with a note, and one whose pixels are not is refused. The walk hands the
//! decoder a file with its end put right; the decoder says whether pixels are missing. JPEG has a walk of its own.

mod bmp;
mod gif;
mod png;
mod webp;

use std::borrow::Cow;

use crate::{Format, Note, PictureError};

/// A file as the decoder gets it.
pub(crate) struct Parts<'a> {
    /// The file, with its end put right where that was needed.
    pub file: Cow<'a, [u8]>,
    /// What was found.
    pub notes: Vec<Note>,
}

/// Walks over a file of any format but JPEG.
///
/// # Errors
/// [`PictureError::Truncated`] or [`PictureError::Damaged`] where the walk alone shows it.
pub(crate) fn walk(format: Format, bytes: &[u8]) -> Result<Parts<'_>, PictureError> {
    match format {
        Format::Png => png::walk(bytes),
        Format::Gif => Ok(gif::walk(bytes)),
        Format::WebP => webp::walk(bytes),
        Format::Bmp => Ok(bmp::walk(bytes)),
        Format::Jpeg => Ok(Parts::plain(bytes)),
    }
}

impl<'a> Parts<'a> {
    /// A file that needs nothing.
    fn plain(bytes: &'a [u8]) -> Self {
        Parts {
            file: Cow::Borrowed(bytes),
            notes: Vec::new(),
        }
    }
}

/// Four bytes, the lowest first.
fn little(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*four)).ok()
}
