//! Cutting a box out of a picture and writing pictures as files.
//!
//! The box comes from `grounding`, where percent become pixels the way Pillow's `crop` rounds; here only pixels are
//! copied. Departure from Pillow: what lies outside the picture is left out, not filled with black.

use grounding::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::{Format, PictureError, RgbImage};

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
    let mut file = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    write(picture, Format::Png, encoder)?;
    Ok(file)
}

/// The picture as a baseline JPEG file; `quality` 1 to 100 as in libjpeg (numbers outside are moved inside).
///
/// # Errors
/// [`PictureError::NoPixels`] for an empty picture, [`PictureError::Encode`] when the encoder fails, for instance
/// for a side above 65,535 pixels.
pub fn encode_jpeg(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100));
    write(picture, Format::Jpeg, encoder)?;
    Ok(file)
}

fn write(
    picture: &RgbImage,
    format: Format,
    encoder: impl ImageEncoder,
) -> Result<(), PictureError> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(PictureError::NoPixels { width, height });
    }
    encoder
        .write_image(picture, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| PictureError::Encode {
            format,
            detail: error.to_string(),
        })
}
