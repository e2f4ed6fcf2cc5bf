//! Bytes of a file to upright RGB pixels, or one sentence that says why not.
//!
//! What becomes of the ways to store a picture (all as Pillow's `convert`, checked against it by the goldens):
//! * EXIF orientation is applied, so width and height are those that a person sees.
//! * 16 bits a channel: the high byte. Departure: Pillow makes white of every 16-bit grey above 255.
//! * Grey: three times. Palette: its colours.
//! * Transparency: over white, or black where the drawing is light; see `backdrop`.
//! * CMYK: the plain formula, without colour profiles; see `jpeg`.
//!
//! A file whose pixels are all there is read, with a [`Note`] where something is odd about it; see `parts`.
//!
//! Limits are checked on the header, before memory is asked for. Memory that can be large is asked for in a way
//! that can fail, so that a page says so instead of dying.

use std::io::{self, Cursor};

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::{ImageError, LimitErrorKind};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, Limits, RgbImage};

use crate::backdrop::Translucent;
use crate::jpeg;
use crate::parts::{self, Parts};
use crate::sniff::sniff;
use crate::turn::turn;
use crate::{Backdrop, Format, MAX_PIXELS, MAX_SIDE, Note, PictureError, Profile};

/// What a picture file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The file's format.
    pub format: Format,
    /// Width in pixels as a person sees it, that is after turning.
    pub width: u32,
    /// Height in pixels as a person sees it, that is after turning.
    pub height: u32,
    /// How the stored pixels are turned to be upright; [`decode`] does it.
    pub orientation: Orientation,
}

/// A picture and what is known about its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Upright RGB.
    pub pixels: RgbImage,
    /// The file's format.
    pub format: Format,
    /// How the stored pixels were turned.
    pub orientation: Orientation,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// What the numbers in `pixels` mean, where the file says so.
    pub profile: Option<Profile>,
}

impl Decoded {
    /// Whether every program that shows the file shows these very pixels: upright, whole, opaque, still, in RGB or grey.
    pub fn is_plain(&self) -> bool {
        self.notes.is_empty() && self.orientation == Orientation::NoTransforms
    }

    /// Whether a browser may show the file otherwise than [`Decoded::pixels`]: browsers turn JPEG as EXIF says, but other
    /// formats as they please; they play animations, let the page shine through, and convert inks.
    pub fn may_show_otherwise(&self) -> bool {
        let harmless = |note: &Note| matches!(note, Note::BytesAfterEnd);
        // Of turned JPEGs the sides are compared by whoever shows them; where that tells nothing, nothing is left to chance.
        let (width, height) = self.pixels.dimensions();
        let known = self.format == Format::Jpeg && swaps_sides(self.orientation) && width != height;
        let turned = self.orientation != Orientation::NoTransforms && !known;
        turned || !self.notes.iter().all(harmless)
    }
}

/// Format, size and orientation of a picture file, from its header: no pixel is decoded.
///
/// # Errors
/// As [`decode`], as far as the header shows: not a picture, no size, above the limits.
pub fn probe(bytes: &[u8]) -> Result<Probe, PictureError> {
    let format = sniff(bytes)?;
    let (width, height, orientation) = if format == Format::Jpeg {
        let layout = jpeg::walk(bytes)?;
        (layout.width, layout.height, layout.orientation)
    } else {
        // Of a WebP the end has to be there or made: how it is turned stands behind its pixels.
        let mended;
        let mut decoder = match open(format, bytes).ok().filter(|_| format != Format::WebP) {
            Some(decoder) => decoder,
            None => {
                mended = parts::walk(format, bytes)?.file;
                open(format, &mended)?
            }
        };
        let (width, height) = decoder.dimensions();
        (width, height, orientation_of(&mut decoder))
    };
    check_size(width, height)?;
    let (width, height) = if swaps_sides(orientation) {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Probe {
        format,
        width,
        height,
        orientation,
    })
}

/// Decodes a JPEG, PNG, GIF (first frame), WebP (first frame) or BMP file, recognised by its content, to upright
/// RGB with 8 bits a channel.
///
/// # Errors
/// One sentence each, see [`PictureError`]: not a picture, cut off, damaged, too large, no memory.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    decode_with_notes(bytes).map(|decoded| decoded.pixels)
}

/// As [`decode`], with what a person should know about the file, and its colour profile.
///
/// # Errors
/// As [`decode`].
pub fn decode_with_notes(bytes: &[u8]) -> Result<Decoded, PictureError> {
    let format = sniff(bytes)?;
    if format == Format::Jpeg {
        let layout = jpeg::walk(bytes)?;
        let (width, height) = (layout.width, layout.height);
        check_size(width, height)?;
        let pixels = jpeg::read(bytes, &layout)?;
        return Ok(Decoded {
            pixels: turned(width, height, pixels, layout.orientation)?,
            format,
            orientation: layout.orientation,
            notes: layout.notes(bytes),
            profile: layout.profile.and_then(Profile::new),
        });
    }
    let Parts { file, mut notes } = parts::walk(format, bytes)?;
    let mut decoder = open(format, &file)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let orientation = orientation_of(&mut decoder);
    let profile = decoder.icc_profile().ok().flatten().and_then(Profile::new);
    let color = decoder.color_type();
    let length = decoder.total_bytes();
    // Room for a second copy and tables: some decoders build the whole picture before they hand it out.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(length.saturating_mul(2).saturating_add(64 << 20));
    decoder
        .set_limits(limits)
        .map_err(|error| from_image(format, error))?;
    let mut stored = memory(length)?;
    stored.resize(length as usize, 0);
    decoder.read_image_boxed(&mut stored).map_err(|error| {
        match from_image(format, error) {
            // What the decoder misses is what stood behind the cut.
            PictureError::Damaged { .. } if notes.contains(&Note::NoEnd) => {
                PictureError::Truncated { format }
            }
            other => other,
        }
    })?;
    let pixels = to_rgb(color, stored, &mut notes).ok_or_else(|| PictureError::RareFeature {
        format,
        feature: "numbers with a floating point".to_owned(),
    })??;
    Ok(Decoded {
        pixels: turned(width, height, pixels, orientation)?,
        format,
        orientation,
        notes,
        profile,
    })
}

/// The decoder of `image` for every format but JPEG.
fn open(format: Format, bytes: &[u8]) -> Result<Box<dyn ImageDecoder + '_>, PictureError> {
    let cursor = Cursor::new(bytes);
    let decoder: Result<Box<dyn ImageDecoder + '_>, ImageError> = match format {
        Format::Png => PngDecoder::new(cursor).map(|d| Box::new(d) as _),
        Format::Gif => GifDecoder::new(cursor).map(|d| Box::new(d) as _),
        Format::WebP => WebPDecoder::new(cursor).map(|d| Box::new(d) as _),
        Format::Bmp => BmpDecoder::new(cursor).map(|d| Box::new(d) as _),
        // `probe` and `decode` treat JPEG before; a second way to read it would only be a second behaviour.
        Format::Jpeg => {
            return Err(PictureError::RareFeature {
                format,
                feature: "an unexpected path".to_string(),
            });
        }
    };
    decoder.map_err(|error| from_image(format, error))
}

/// The orientation, upright where the file's EXIF data is missing or broken: a picture lies rather than is lost.
fn orientation_of(decoder: &mut Box<dyn ImageDecoder + '_>) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    if width == 0 || height == 0 {
        return Err(PictureError::NoPixels { width, height });
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(PictureError::SideTooLong { width, height });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooManyPixels { width, height });
    }
    Ok(())
}

/// An empty vector with room for `bytes`, or the error that there is not so much.
pub(crate) fn memory(bytes: u64) -> Result<Vec<u8>, PictureError> {
    let mut vector = Vec::new();
    usize::try_from(bytes)
        .ok()
        .and_then(|n| vector.try_reserve_exact(n).ok())
        .ok_or(PictureError::OutOfMemory {
            megabytes: bytes.div_ceil(1_000_000),
        })?;
    Ok(vector)
}

fn turned(
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    orientation: Orientation,
) -> Result<RgbImage, PictureError> {
    let (width, height, pixels) = if swaps_sides(orientation) {
        let target = memory(pixels.len() as u64)?;
        (
            height,
            width,
            turn(width as usize, &pixels, orientation, target),
        )
    } else if orientation == Orientation::NoTransforms {
        (width, height, pixels)
    } else {
        let target = memory(pixels.len() as u64)?;
        (
            width,
            height,
            turn(width as usize, &pixels, orientation, target),
        )
    };
    let needed = pixels.len() as u64;
    RgbImage::from_raw(width, height, pixels).ok_or(PictureError::OutOfMemory {
        megabytes: needed.div_ceil(1_000_000),
    })
}

/// Stored pixels of any of `image`'s integer kinds to RGB; none for floating point, which none of our formats has. Notes
/// what stands behind a see-through picture.
fn to_rgb(
    color: ColorType,
    stored: Vec<u8>,
    notes: &mut Vec<Note>,
) -> Option<Result<Vec<u8>, PictureError>> {
    // Channels, and bytes of which the high one counts (`image` hands out 16 bits in the machine's order).
    let (channels, wide) = match color {
        ColorType::Rgb8 => return Some(Ok(stored)),
        ColorType::L8 => (1, false),
        ColorType::La8 => (2, false),
        ColorType::Rgba8 => (4, false),
        ColorType::L16 => (1, true),
        ColorType::La16 => (2, true),
        ColorType::Rgb16 => (3, true),
        ColorType::Rgba16 => (4, true),
        _ => return None,
    };
    let step = if wide { 2 } else { 1 };
    let high = if wide && cfg!(target_endian = "little") {
        1
    } else {
        0
    };
    if channels % 2 == 0 {
        let translucent = Translucent {
            stored: &stored,
            channels,
            step,
            high,
        };
        let backdrop = translucent.backdrop();
        notes.extend(backdrop.map(Note::Transparent));
        return Some(translucent.over(backdrop.unwrap_or(Backdrop::White)));
    }
    let count = stored.len() / (channels * step);
    let mut pixels = match memory(count as u64 * 3) {
        Ok(pixels) => pixels,
        Err(error) => return Some(Err(error)),
    };
    for pixel in stored.chunks_exact(channels * step) {
        let at = |channel: usize| pixel[channel * step + high];
        pixels.extend_from_slice(&match channels {
            1 => [at(0); 3],
            _ => [at(0), at(1), at(2)],
        });
    }
    Some(Ok(pixels))
}

/// `image`'s errors in our words.
fn from_image(format: Format, error: ImageError) -> PictureError {
    if let ImageError::IoError(io) = &error
        && io.kind() == io::ErrorKind::UnexpectedEof
    {
        return PictureError::Truncated { format };
    }
    // The GIF and WebP decoders have kinds of their own for it, which `image` hands on as text only.
    let said = error.to_string().to_lowercase();
    if said.contains("end of file") || said.contains("truncated") {
        return PictureError::Truncated { format };
    }
    match error {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::InsufficientMemory => {
            PictureError::Damaged {
                format,
                detail: "a part of it claims to be larger than the picture".to_string(),
            }
        }
        ImageError::Unsupported(_) => PictureError::RareFeature {
            format,
            feature: plain(&said, "a rare way of storing pixels"),
        },
        _ => PictureError::Damaged {
            format,
            detail: plain(&said, "its data contradict each other"),
        },
    }
}

/// A decoder's words as a part of a sentence, where they are words; else `instead`. Programs' own names, numbers in
/// hexadecimal and printed structures are for nobody to read.
pub(crate) fn plain(said: &str, instead: &str) -> String {
    let line: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    // What came last is the cause; before it stand the names of those who handed it on.
    let cause = line.rsplit(": ").next().unwrap_or_default();
    let cause = cause.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '.');
    let readable = |c: char| c.is_ascii_alphanumeric() || " ,-'".contains(c);
    let words = cause.split(' ').count();
    let odd = |word: &str| {
        let inner = word.chars().skip(1);
        word.starts_with("0x")
            || inner.clone().any(|c| c.is_uppercase()) && inner.clone().any(|c| c.is_lowercase())
    };
    if cause.chars().all(readable) && (3..=16).contains(&words) && !cause.split(' ').any(odd) {
        cause.to_owned()
    } else {
        instead.to_owned()
    }
}
