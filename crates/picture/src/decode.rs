//! Bytes of a file to upright RGB pixels, or one sentence that says why not.
//!
//! What becomes of the ways to store a picture (all as Pillow's `convert`, checked against it by the goldens):
//! * EXIF orientation is applied, so width and height are those that a person sees.
//! * 16 bits a channel: the high byte. Departure: Pillow makes white of every 16-bit grey above 255.
//! * Grey: three times. Palette: its colours.
//! * Transparency: over white, as transformers' `convert_to_rgb` does, with Pillow's rounding.
//! * CMYK: the plain formula, without colour profiles; see `jpeg`.
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

use crate::jpeg::{self, plain};
use crate::sniff::sniff;
use crate::turn::turn;
use crate::{Format, MAX_PIXELS, MAX_SIDE, PictureError};

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
        let mut decoder = open(format, bytes)?;
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
    let format = sniff(bytes)?;
    if format == Format::Jpeg {
        let layout = jpeg::walk(bytes)?;
        let (width, height) = (layout.width, layout.height);
        check_size(width, height)?;
        let pixels = jpeg::read(bytes, &layout)?;
        return turned(width, height, pixels, layout.orientation);
    }
    let mut decoder = open(format, bytes)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let orientation = orientation_of(&mut decoder);
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
    decoder
        .read_image_boxed(&mut stored)
        .map_err(|error| from_image(format, error))?;
    let pixels = to_rgb(color, stored).ok_or_else(|| PictureError::RareFeature {
        format,
        feature: format!("{color:?} pixels"),
    })??;
    turned(width, height, pixels, orientation)
}

/// The decoder of `image` for every format but JPEG.
fn open(format: Format, bytes: &[u8]) -> Result<Box<dyn ImageDecoder + '_>, PictureError> {
    // A WebP says how long it is. Its EXIF data stands at the end, so a cut one could decode lying on its side.
    if let (Format::WebP, Some(length)) = (format, bytes.get(4..8)) {
        let length = length.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        if length + 8 > bytes.len() as u64 {
            return Err(PictureError::Truncated { format });
        }
    }
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

/// Stored pixels of any of `image`'s integer kinds to RGB; none for floating point, which none of our formats has.
fn to_rgb(color: ColorType, stored: Vec<u8>) -> Option<Result<Vec<u8>, PictureError>> {
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
    let count = stored.len() / (channels * step);
    let mut pixels = match memory(count as u64 * 3) {
        Ok(pixels) => pixels,
        Err(error) => return Some(Err(error)),
    };
    for pixel in stored.chunks_exact(channels * step) {
        let at = |channel: usize| pixel[channel * step + high];
        pixels.extend_from_slice(&match channels {
            1 => [at(0); 3],
            2 => [over_white(at(0), at(1)); 3],
            3 => [at(0), at(1), at(2)],
            _ => [
                over_white(at(0), at(3)),
                over_white(at(1), at(3)),
                over_white(at(2), at(3)),
            ],
        });
    }
    Some(Ok(pixels))
}

/// `value` with opacity `alpha` over white, rounded as Pillow's `alpha_composite` does: the weights carry 7 bits
/// more and the division by 255 is the one by shifts.
fn over_white(value: u8, alpha: u8) -> u8 {
    let sum = (u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha))) << 7;
    let sum = sum + (0x80 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

/// `image`'s errors in our words.
fn from_image(format: Format, error: ImageError) -> PictureError {
    if let ImageError::IoError(io) = &error
        && io.kind() == io::ErrorKind::UnexpectedEof
    {
        return PictureError::Truncated { format };
    }
    // The GIF and WebP decoders have kinds of their own for it, which `image` hands on as text only.
    let detail = plain(&error.to_string());
    if detail.to_lowercase().contains("end of file") || detail.contains("truncated") {
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
            feature: detail
                .trim_start_matches("does not support the format features ")
                .to_string(),
        },
        _ => PictureError::Damaged { format, detail },
    }
}
