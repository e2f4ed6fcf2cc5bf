//! JPEG: a walk over the file's segments, then zune-jpeg for the pixels.
//!
//! Why a walk of our own: zune-jpeg (which `image` uses too) fills what is missing of a cut-off file with grey and
//! says nothing. The walk finds the end-of-image marker or its absence, and on the way size, orientation and the
//! ways of coding that are not read, so that [`probe`](crate::probe) needs no decoder.
//!
//! The decoder then runs in its strict mode, in which broken entropy-coded data is an error. Files with stray bytes
//! between segments, which every viewer shows and the strict mode refuses, are decoded leniently.
//!
//! CMYK and YCCK: Pillow (and here zune-jpeg) takes the four channels as Adobe writes them, inverted, whether or not
//! the Adobe marker is there. Source of the layout: ITU-T T.81, annex B; EXIF 2.32, 4.5.4; Adobe TN 5116, section 18.

use std::borrow::Cow;

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::{Format, PictureError};

/// Most scans of a progressive file that are decoded; each costs a pass over all coefficients. Encoders write
/// about 10; more than this is an attack.
const MAX_SCANS: usize = 100;

/// What the walk over the segments found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Stored width in pixels, before turning.
    pub width: u32,
    /// Stored height in pixels, before turning.
    pub height: u32,
    /// How the picture is to be turned.
    pub orientation: Orientation,
    /// More than one pass over the picture: the decoder holds all coefficients.
    pub progressive: bool,
    /// Colour channels: 1, 3 or 4.
    channels: u8,
    /// Offset of the word "Adobe" of an APP14 segment.
    adobe: Option<usize>,
    /// Bytes that belong to no segment stand between segments.
    stray: bool,
    /// The end-of-image marker is there.
    pub complete: bool,
}

fn damaged(detail: impl Into<String>) -> PictureError {
    PictureError::Damaged {
        format: Format::Jpeg,
        detail: detail.into(),
    }
}

fn rare(feature: &str) -> PictureError {
    PictureError::RareFeature {
        format: Format::Jpeg,
        feature: feature.to_string(),
    }
}

const TRUNCATED: PictureError = PictureError::Truncated {
    format: Format::Jpeg,
};

/// Walks over the segments of a file that begins with FF D8.
pub(crate) fn walk(bytes: &[u8]) -> Result<Layout, PictureError> {
    let mut found: Option<Layout> = None;
    let mut orientation = None;
    let mut adobe = None;
    let mut stray = false;
    let mut at = 2;
    let mut complete = false;
    while let Some(step) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == 0xFF))
    {
        stray |= step > 0;
        at += step;
        // Any number of FF may stand before a marker's second byte.
        while bytes.get(at) == Some(&0xFF) {
            at += 1;
        }
        let Some(&marker) = bytes.get(at) else { break };
        at += 1;
        match marker {
            0xD9 => {
                complete = true;
                break;
            }
            // FF 00 outside a scan, TEM, RSTn and SOI stand alone.
            0x00 | 0x01 | 0xD0..=0xD8 => {
                stray = true;
                continue;
            }
            _ => {}
        }
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            break;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < 2 {
            return Err(damaged("a segment has an impossible length"));
        }
        let Some(body) = bytes.get(at + 2..at + length) else {
            break;
        };
        match marker {
            // SOF0 to SOF15 but DHT (C4), JPG (C8) and DAC (CC).
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                if found.is_some() {
                    return Err(rare("more than one frame"));
                }
                found = Some(frame(marker, body)?);
            }
            0xE1 if orientation.is_none() && body.starts_with(b"Exif\0\0") => {
                orientation = Orientation::from_exif_chunk(&body[6..]);
            }
            0xEE if body.starts_with(b"Adobe") => adobe = Some(at + 2),
            _ => {}
        }
        at += length;
        if marker == 0xDA {
            if found.is_none() {
                return Err(damaged("pixels begin before their size is given"));
            }
            at += scan_length(&bytes[at..]);
        }
    }
    match found {
        Some(layout) => Ok(Layout {
            orientation: orientation.unwrap_or(Orientation::NoTransforms),
            adobe,
            stray,
            complete,
            ..layout
        }),
        None if complete => Err(damaged("it says no size")),
        None => Err(TRUNCATED),
    }
}

/// Reads a frame header (SOFn) and refuses what the decoder cannot do.
fn frame(marker: u8, body: &[u8]) -> Result<Layout, PictureError> {
    match marker {
        0xC0..=0xC2 => {}
        0xC3 | 0xC7 | 0xCB | 0xCF => return Err(rare("lossless coding")),
        0xC9..=0xCF => return Err(rare("arithmetic coding")),
        _ => return Err(rare("hierarchical coding")),
    }
    let &[precision, h1, h0, w1, w0, channels, ..] = body else {
        return Err(damaged("its frame header is too short"));
    };
    if precision != 8 {
        return Err(rare(&format!("{precision} bits a sample")));
    }
    if !matches!(channels, 1 | 3 | 4) {
        return Err(rare(&format!("{channels} colour channels")));
    }
    Ok(Layout {
        width: u32::from(u16::from_be_bytes([w1, w0])),
        height: u32::from(u16::from_be_bytes([h1, h0])),
        orientation: Orientation::NoTransforms,
        progressive: marker == 0xC2,
        channels,
        adobe: None,
        stray: false,
        complete: false,
    })
}

/// Bytes up to the first marker that ends entropy-coded data: not FF 00 (a stuffed FF), not RSTn.
fn scan_length(data: &[u8]) -> usize {
    let mut at = 0;
    while let Some(step) = data[at..].iter().position(|&b| b == 0xFF) {
        at += step;
        match data.get(at + 1) {
            Some(0x00 | 0xD0..=0xD7) => at += 2,
            Some(0xFF) => at += 1,
            Some(_) => return at,
            None => return data.len(),
        }
    }
    data.len()
}

/// Decodes into `pixels` (RGB, rows from the top, `width * height * 3` bytes), not turned.
pub(crate) fn read(bytes: &[u8], layout: &Layout, pixels: &mut [u8]) -> Result<(), PictureError> {
    if !layout.complete {
        return Err(TRUNCATED);
    }
    let mut bytes = Cow::Borrowed(bytes);
    if let (1, Some(adobe)) = (layout.channels, layout.adobe) {
        // Photoshop writes its colour transform into grey files too; it means nothing there, and zune-jpeg
        // takes it for CMYK with three channels missing. With its name changed the segment is skipped.
        bytes.to_mut()[adobe] = b'-';
    }
    let options = DecoderOptions::default()
        .set_strict_mode(!layout.stray)
        .set_max_width(layout.width as usize)
        .set_max_height(layout.height as usize)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes.as_ref()), options);
    decoder.decode_headers().map_err(from_zune)?;
    if decoder.output_buffer_size() != Some(pixels.len()) {
        return Err(damaged("it gives its size in two ways"));
    }
    decoder.decode_into(pixels).map_err(from_zune)
}

fn from_zune(error: DecodeErrors) -> PictureError {
    match error {
        DecodeErrors::ExhaustedData => TRUNCATED,
        DecodeErrors::Unsupported(feature) => rare(&format!("{feature:?}")),
        other => damaged(plain(&format!("{other:?}"))),
    }
}

/// A decoder's words as a part of a sentence: one line, no quotes, no full stop, no repetition, not endless.
pub(crate) fn plain(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = line.as_str();
    // `image` begins with the decoder's name, which the sentence has already.
    for beginning in ["Format error decoding ", "The decoder for "] {
        if let Some(rest) = line.strip_prefix(beginning) {
            line = rest.split_once([':', ' ']).map_or(rest, |(_, rest)| rest);
        }
    }
    line.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '.')
        .chars()
        .take(120)
        .collect()
}
