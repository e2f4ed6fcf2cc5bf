//! Cutting a box out of a picture and writing pictures as files.
//!
//! The box comes from `grounding`, where percent become pixels the way Pillow's `crop` rounds; here only pixels are
//! copied. Departure from Pillow: what lies outside the picture is left out, not filled with black.

use grounding::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::{rotate90, rotate180, rotate270};
use image::{ExtendedColorType, ImageEncoder};

use crate::decode::plain;
use crate::{Format, PictureError, Profile, RgbImage};

/// The pixels of `area` (right and lower edge exclusive), copied.
///
/// The area is moved and shortened to lie within the picture and holds one pixel at least, so that a crop can
/// always be shown; an empty picture gives an empty one.
pub fn crop(picture: &RgbImage, area: PixelBox) -> RgbImage {
    let (width, height) = picture.dimensions();
    let x1 = area.x1.min(width.saturating_sub(1));
    let y1 = area.y1.min(height.saturating_sub(1));
    let x2 = area.x2.clamp((x1 + 1).min(width), width);
    let y2 = area.y2.clamp((y1 + 1).min(height), height);
    let mut cut = RgbImage::new(x2 - x1, y2 - y1);
    let from = picture.as_raw();
    let (stride, length) = (width as usize * 3, (x2 - x1) as usize * 3);
    if length == 0 {
        return cut;
    }
    for (row, y) in cut.chunks_exact_mut(length).zip(y1..y2) {
        let start = y as usize * stride + x1 as usize * 3;
        row.copy_from_slice(&from[start..start + length]);
    }
    cut
}

/// The picture as a PNG file, without loss. Fast compression: it is sent once.
///
/// # Errors
/// [`PictureError::NoPixels`] for an empty picture, [`PictureError::Encode`] when the encoder fails.
pub fn encode_png(picture: &RgbImage) -> Result<Vec<u8>, PictureError> {
    encode_png_with(picture, None)
}

/// As [`encode_png`], with the colour profile of the picture that the pixels come from.
///
/// # Errors
/// As [`encode_png`].
pub fn encode_png_with(
    picture: &RgbImage,
    profile: Option<&Profile>,
) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    write(picture, Format::Png, encoder, profile)?;
    Ok(file)
}

/// The picture turned by so many quarters clockwise.
///
/// ```
/// let picture = picture::RgbImage::from_fn(3, 2, |x, y| [x as u8, y as u8, 0].into());
/// let turned = picture::turned(picture, 1);
/// assert_eq!(turned.dimensions(), (2, 3));
/// assert_eq!(turned.get_pixel(1, 0).0, [0, 0, 0], "left above goes right above");
/// assert_eq!(turned.get_pixel(0, 0).0, [0, 1, 0]);
/// ```
pub fn turned(picture: RgbImage, quarters: u32) -> RgbImage {
    match quarters % 4 {
        0 => picture,
        1 => rotate90(&picture),
        2 => rotate180(&picture),
        _ => rotate270(&picture),
    }
}

/// The picture as a baseline JPEG file; `quality` 1 to 100 as in libjpeg (numbers outside are moved inside).
///
/// # Errors
/// [`PictureError::NoPixels`] for an empty picture, [`PictureError::Encode`] when the encoder fails, for instance
/// for a side above 65,535 pixels.
pub fn encode_jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, PictureError> {
    encode_jpeg_with(picture, quality, None)
}

/// As [`encode_jpeg`], with the colour profile of the picture that the pixels come from.
///
/// # Errors
/// As [`encode_jpeg`].
pub fn encode_jpeg_with(
    picture: &RgbImage,
    quality: u8,
    profile: Option<&Profile>,
) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100));
    write(picture, Format::Jpeg, encoder, profile)?;
    Ok(file)
}

/// A profile for grey goes with one channel only; where the pixels have colours all the same, it is left out.
fn write(
    picture: &RgbImage,
    format: Format,
    mut encoder: impl ImageEncoder,
    profile: Option<&Profile>,
) -> Result<(), PictureError> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(PictureError::NoPixels { width, height });
    }
    let grey: Option<Vec<u8>> = profile
        .filter(|profile| profile.is_grey())
        .and_then(|_| grey(picture));
    if let Some(profile) = profile.filter(|profile| !profile.is_grey() || grey.is_some()) {
        // An encoder that has no place for it writes the picture without.
        encoder.set_icc_profile(profile.bytes().to_vec()).ok();
    }
    let written = match &grey {
        Some(grey) => encoder.write_image(grey, width, height, ExtendedColorType::L8),
        None => encoder.write_image(picture, width, height, ExtendedColorType::Rgb8),
    };
    written.map_err(|error| PictureError::Encode {
        format,
        detail: plain(&error.to_string(), "the encoder refused it"),
    })
}

/// One channel, where all three are equal everywhere.
fn grey(picture: &RgbImage) -> Option<Vec<u8>> {
    let pixels = picture.as_chunks::<3>().0.iter();
    pixels
        .map(|&[r, g, b]| (r == g && g == b).then_some(r))
        .collect()
}
