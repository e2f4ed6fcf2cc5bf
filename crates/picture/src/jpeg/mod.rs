//! JPEG: a walk over the file's segments, then libjpeg-turbo-rs for the pixels.
//!
//! Why that decoder: the reference image processors are written with Pillow, whose JPEG decoder is libjpeg-turbo, and
//! this port gives the same pixels to the bit. Others round the cosine transform and smooth half-size colours
//! differently, by 1 to 4 grey levels.
//!
//! Why a walk of our own: what is missing of a cut-off file would be filled with grey. The walk finds whether all passes
//! over the picture are there, with or without the end-of-image marker, and on the way size, colour profile, orientation and the ways of coding that are not read, so that
//! [`probe`](crate::probe) needs no decoder and the decoder sees only frames that passed.
//!
//! The decoder gets a file of the parts that make the picture, in their order: no metadata, no stray bytes between
//! segments (which every viewer passes over), nothing after the end; and which colours the channels are is decided
//! here, as libjpeg does.
//!
//! The decoder runs in its strict mode, in which broken entropy-coded data is an error where it shows: an impossible
//! code, an end too early. Departure: Pillow shows all such pictures, with stripes of wrong colours.
//!
//! CMYK and YCCK: Pillow takes the four channels as Adobe writes them, inverted, whether or not the Adobe marker is
//! there. Source of the layout: ITU-T T.81, annex B; EXIF 2.32, 4.5.4; Adobe TN 5116, section 18.

mod ends;
mod passes;
mod planes;

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use crate::decode::{memory, plain};
use crate::{Format, MAX_PIXELS, MAX_SIDE, Note, PictureError};

use passes::Passes;

/// Most scans of a progressive file that are decoded; each costs a pass over all coefficients. Encoders write
/// about 10; more than this is an attack.
const MAX_SCANS: usize = 100;

/// What the walk over the segments found.
#[derive(Debug, Clone)]
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
    /// The colour transform that Adobe's segment would say: 0 none, 1 YCbCr, 2 YCCK.
    transform: u8,
    /// Where tables, frame and scans stand.
    parts: Vec<Range<usize>>,
    /// The end-of-image marker is there.
    pub complete: bool,
    /// Every channel was sent, to its last bit.
    sent: bool,
    /// Where the file goes on behind the end-of-image marker.
    end: usize,
    /// The colour profile, as it stands in the file.
    pub profile: Option<Vec<u8>>,
}

impl Layout {
    /// What a person should know.
    pub fn notes(&self, bytes: &[u8]) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.complete {
            notes.push(Note::NoEnd);
        } else if self.end < bytes.len() {
            notes.push(Note::BytesAfterEnd);
        }
        if self.channels == 4 {
            notes.push(Note::Inks);
        }
        notes
    }
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
    let mut jfif = false;
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut passes = Passes::default();
    let mut profile = BTreeMap::new();
    let mut at = 2;
    let mut complete = false;
    while let Some(step) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == 0xFF))
    {
        at += step;
        // Any number of FF may stand before a marker's second byte.
        while bytes.get(at) == Some(&0xFF) {
            at += 1;
        }
        let Some(&marker) = bytes.get(at) else { break };
        let start = at - 1;
        at += 1;
        match marker {
            0xD9 => {
                complete = true;
                break;
            }
            // FF 00 outside a scan, TEM, RSTn and SOI stand alone.
            0x00 | 0x01 | 0xD0..=0xD8 => continue,
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
                passes.frame(marker == 0xC2, body);
            }
            0xE1 if orientation.is_none() && body.starts_with(b"Exif\0\0") => {
                orientation = Orientation::from_exif_chunk(&body[6..]);
            }
            // "ICC_PROFILE", the part's number, how many there are.
            0xE2 if body.len() > 14 && body.starts_with(b"ICC_PROFILE\0") => {
                profile.insert(body[12], &body[14..]);
            }
            0xDA => passes.scan(body),
            0xE0 if body.len() >= 12 && body.starts_with(b"JFIF\0") => jfif = true,
            0xEE if body.len() >= 12 && body.starts_with(b"Adobe") => adobe = Some(body[11]),
            _ => {}
        }
        at += length;
        if marker == 0xDA {
            if found.is_none() {
                return Err(damaged("pixels begin before their size is given"));
            }
            at += scan_length(&bytes[at..]);
        }
        // DQT, DHT, DRI, SOS and the frame: the rest says nothing about pixels.
        if matches!(marker, 0xC0..=0xC2 | 0xC4 | 0xDA | 0xDB | 0xDD) {
            match parts.last_mut() {
                Some(last) if last.end == start => last.end = at,
                _ => parts.push(start..at),
            }
        }
    }
    match found {
        Some(layout) => Ok(Layout {
            orientation: orientation.unwrap_or(Orientation::NoTransforms),
            transform: transform(&layout, jfif, adobe),
            parts,
            complete,
            sent: passes.all_sent(),
            end: at,
            profile: (!profile.is_empty())
                .then(|| profile.into_values().flatten().copied().collect()),
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
        // For `transform`: whether the channels are numbered by the letters R, G, B.
        transform: u8::from(
            [6, 9, 12].map(|at| body.get(at)) != [Some(&b'R'), Some(&b'G'), Some(&b'B')],
        ),
        parts: Vec::new(),
        complete: false,
        sent: false,
        end: 0,
        profile: None,
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

/// Decodes to RGB (rows from the top, `width * height * 3` bytes), not turned.
pub(crate) fn read(bytes: &[u8], layout: &Layout) -> Result<Vec<u8>, PictureError> {
    // Without its end a file may still be whole; a pass that is missing as a whole nobody else would notice.
    if !layout.complete && !layout.sent {
        return Err(TRUNCATED);
    }
    let mut file = without_rest(bytes, layout)?;
    if layout.complete {
        file.extend_from_slice(b"\xFF\xD9");
        return pixels(&file, layout);
    }
    // The decoder goes on with what follows. A picture that does not depend on it is whole.
    let start = file.len();
    let mut seen = None;
    for (round, filling) in ends::FILLINGS.iter().enumerate() {
        file.truncate(start);
        ends::fill(&mut file, filling);
        let pixels = pixels(&file, layout)?;
        let mut hasher = DefaultHasher::new();
        pixels.hash(&mut hasher);
        let now = hasher.finish();
        if *seen.get_or_insert(now) != now {
            break;
        }
        if round + 1 == ends::FILLINGS.len() {
            return Ok(pixels);
        }
    }
    Err(TRUNCATED)
}

/// The pixels of a file that has an end.
fn pixels(bytes: &[u8], layout: &Layout) -> Result<Vec<u8>, PictureError> {
    let count = u64::from(layout.width) * u64::from(layout.height);
    // Beside the pixels the decoder holds the channels as planes and, of a progressive file, 16-bit coefficients.
    // Asking for that much and giving it back shows whether it can be had: the decoder would not ask but die.
    let held = if layout.progressive { 3 } else { 1 };
    let mut pixels = memory(count * 3)?;
    drop(memory(count * u64::from(layout.channels) * held)?);
    let limits = DecodeLimits {
        max_width: MAX_SIDE as usize,
        max_height: MAX_SIDE as usize,
        max_pixels: MAX_PIXELS,
        max_scans: MAX_SCANS,
        max_memory: None,
    };
    let from_decoder = |error| from_decoder(error, layout.complete);
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(from_decoder)?;
    decoder.set_stop_on_warning(true);
    let header = decoder.header();
    if (u32::from(header.width), u32::from(header.height)) != (layout.width, layout.height) {
        return Err(damaged("it gives its size in two ways"));
    }
    let sampling: Vec<(usize, usize)> = header
        .components
        .iter()
        .map(|c| (c.horizontal_sampling.into(), c.vertical_sampling.into()))
        .collect();
    let usual = match sampling[..] {
        [_] => true,
        [y, cb, cr] => {
            cb == cr && (y == cb || layout.transform == 1 && cb == (1, 1) && y.0.max(y.1) == 2)
        }
        _ => false,
    };
    if usual {
        decoder.set_output_format(PixelFormat::Rgb);
        pixels.resize(count as usize * 3, 0);
        decoder
            .decode_image_into(&mut pixels)
            .map_err(from_decoder)?;
    } else {
        let raw = decoder.decode_raw().map_err(from_decoder)?;
        planes::to_rgb(&raw, &sampling, layout.transform, &mut pixels)
            .ok_or_else(|| rare("channels of unusual sizes"))?;
    }
    Ok(pixels)
}

/// The colour transform of a file, by the rules of libjpeg (`default_decompress_parms` in jdapimin.c): three channels
/// are YCbCr in a JFIF file whatever Adobe's segment says, else what that says, else by the letters R, G, B; four are
/// CMYK unless Adobe's segment says YCCK.
fn transform(layout: &Layout, jfif: bool, adobe: Option<u8>) -> u8 {
    match (layout.channels, adobe) {
        (3, _) if jfif => 1,
        (3, Some(said)) => u8::from(said != 0),
        (4, Some(said)) if said != 0 => 2,
        (4, _) => 0,
        _ => layout.transform,
    }
}

/// The file of the parts that make the picture, up to its end mark, with an Adobe segment that says the colour transform.
fn without_rest(bytes: &[u8], layout: &Layout) -> Result<Vec<u8>, PictureError> {
    let length: usize = layout.parts.iter().map(|part| part.len()).sum();
    let mut file = memory(length as u64 + 20)?;
    file.extend_from_slice(b"\xFF\xD8");
    if layout.channels > 1 {
        file.extend_from_slice(b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0");
        file.push(layout.transform);
    }
    for part in &layout.parts {
        file.extend_from_slice(&bytes[part.clone()]);
    }
    Ok(file)
}

/// The decoder's errors in our words. Where the end of a file is missing, so is what the decoder misses.
fn from_decoder(error: JpegError, complete: bool) -> PictureError {
    match error {
        JpegError::Unsupported(feature) => rare(&plain(&feature, "a rare way of coding")),
        _ if !complete => TRUNCATED,
        // The end-of-image marker is there: something before it is wrong.
        JpegError::UnexpectedEof => damaged("its data end early"),
        JpegError::CorruptData(detail) => damaged(plain(&detail, IMPOSSIBLE)),
        other => damaged(plain(&other.to_string(), IMPOSSIBLE)),
    }
}

/// What a decoder says in words that are for nobody to read.
const IMPOSSIBLE: &str = "its data contain an impossible code";
