//! What can be wrong with a picture, each as one sentence for a person: what is wrong and what mends it.
//!
//! The page and the command line show these sentences as they are, so they name formats and sizes and nothing of
//! the libraries below.

use crate::sniff::Format;
use crate::{MAX_PIXELS, MAX_SIDE};

/// Why a picture could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// No bytes at all.
    #[error("The file is empty: choose a JPEG, PNG, GIF, WebP or BMP picture.")]
    Empty,

    /// A kind of file that is recognised but not read here, such as HEIC or PDF.
    #[error(
        "This is {kind}, which cannot be read here: save it as JPEG or PNG and choose that file."
    )]
    OtherKind {
        /// The kind with its article, such as `"a PDF document"`.
        kind: &'static str,
    },

    /// Not recognised at all.
    #[error(
        "This file is not a picture that can be read here: choose a JPEG, PNG, GIF, WebP or BMP file."
    )]
    NotAPicture,

    /// The file ends before the picture does.
    #[error(
        "The {format} file ends too early, so a part of the picture is missing: copy or download it again and choose the whole file."
    )]
    Truncated {
        /// What the file is.
        format: Format,
    },

    /// The file contradicts its format.
    #[error(
        "The {format} file is damaged and cannot be read ({detail}): open it in a picture program, save it anew and choose that file."
    )]
    Damaged {
        /// What the file is.
        format: Format,
        /// What the decoder found, a few words.
        detail: String,
    },

    /// Valid, but written in a rare way that is not read here.
    #[error(
        "This {format} file uses {feature}, which is not read here: save it anew as an ordinary JPEG or PNG."
    )]
    RareFeature {
        /// What the file is.
        format: Format,
        /// Which way of writing it, such as `"arithmetic coding"`.
        feature: String,
    },

    /// More than [`MAX_PIXELS`](crate::MAX_PIXELS).
    #[error(
        "The picture has {width} x {height} pixels, more than the {} megapixels that are read: scale it down or cut out the part that matters.",
        MAX_PIXELS / 1_000_000
    )]
    TooManyPixels {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },

    /// A side longer than [`MAX_SIDE`](crate::MAX_SIDE).
    #[error(
        "The picture has {width} x {height} pixels and no side may be longer than {MAX_SIDE}: scale it down or cut out the part that matters."
    )]
    SideTooLong {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },

    /// Zero pixels wide or high.
    #[error(
        "The picture is {width} x {height} pixels, so there is nothing to see in it: choose another one."
    )]
    NoPixels {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },

    /// The memory for it could not be had.
    #[error(
        "There is not enough memory for the picture ({megabytes} MB are needed): close other pages or programs, or scale the picture down."
    )]
    OutOfMemory {
        /// Megabytes (10^6 bytes) that decoding needs, roughly.
        megabytes: u64,
    },

    /// Writing a file failed.
    #[error("The picture could not be written as {format} ({detail}): try another size or format.")]
    Encode {
        /// What was to be written.
        format: Format,
        /// What the encoder said.
        detail: String,
    },
}
