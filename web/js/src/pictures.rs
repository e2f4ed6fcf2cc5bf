//! Pictures for JavaScript: decoded here, so that boxes and crops are those of the file's own pixels, upright.

use grounding::PixelBox;
use image::Rgb;
use picture::{Profile, RgbImage};
use wasm_bindgen::prelude::*;

use crate::error;

/// Quality of JPEG files where none is asked for: print stays sharp.
const QUALITY: f32 = 0.92;

/// A decoded picture.
#[wasm_bindgen]
pub struct Picture {
    pixels: RgbImage,
    profile: Option<Profile>,
}

#[wasm_bindgen]
impl Picture {
    /// Decodes a JPEG, PNG, GIF, WebP or BMP file, turned upright as its EXIF data say.
    pub fn decode(file: &[u8]) -> Result<Picture, JsValue> {
        match picture::decode_with_notes(file) {
            Ok(decoded) => Ok(Picture {
                pixels: decoded.pixels,
                profile: decoded.profile,
            }),
            Err(why) => {
                let why = engine::EngineError::from(why);
                Err(error(why.code(), &why.to_string()))
            }
        }
    }

    /// A picture from red, green, blue and opacity of its pixels; white stands behind it.
    pub fn of(width: u32, height: u32, rgba: &[u8]) -> Result<Picture, JsValue> {
        let count = width as usize * height as usize;
        if count == 0 || rgba.len() != count * 4 {
            let why = format!("{} bytes are no {width} x {height} pixels", rgba.len());
            return Err(error("bad-image", &why));
        }
        let (all, _) = rgba.as_chunks::<4>();
        let over = |value: u8, alpha: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let rgb = all
            .iter()
            .flat_map(|[r, g, b, a]| [over(*r, *a), over(*g, *a), over(*b, *a)]);
        let pixels = RgbImage::from_raw(width, height, rgb.collect());
        let pixels = pixels.ok_or_else(|| error("bad-image", "pixels are missing"))?;
        Ok(Picture {
            pixels,
            profile: None,
        })
    }

    /// Pixels across.
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// Pixels down.
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// A part of the picture.
    pub fn crop(&self, x: u32, y: u32, width: u32, height: u32) -> Picture {
        let area = PixelBox {
            x1: x,
            y1: y,
            x2: x.saturating_add(width),
            y2: y.saturating_add(height),
        };
        Picture {
            pixels: picture::crop(&self.pixels, area),
            profile: self.profile.clone(),
        }
    }

    /// The picture with a longest side of at most so many pixels.
    pub fn shrunk(&self, longest: u32) -> Picture {
        let (width, height) = self.pixels.dimensions();
        let scale = (f64::from(longest) / f64::from(width.max(height))).min(1.0);
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        let (width, height) = (side(width), side(height));
        Picture {
            pixels: picture::resize(&self.pixels, width, height, picture::Filter::Lanczos),
            profile: self.profile.clone(),
        }
    }

    /// Red, green, blue and opacity of all pixels.
    pub fn rgba(&self) -> Vec<u8> {
        let pixels = self.pixels.pixels();
        pixels
            .flat_map(|Rgb([r, g, b])| [*r, *g, *b, 255])
            .collect()
    }

    /// As a file: `image/png`, or `image/jpeg` of a quality from 0 to 1.
    pub fn file(&self, media_type: &str, quality: Option<f32>) -> Result<Vec<u8>, JsValue> {
        let profile = self.profile.as_ref();
        let file = match media_type {
            "image/png" => picture::encode_png_with(&self.pixels, profile),
            "image/jpeg" => {
                let quality = quality.unwrap_or(QUALITY).clamp(0.0, 1.0) * 100.0;
                picture::encode_jpeg_with(&self.pixels, quality.round() as u8, profile)
            }
            other => {
                let why = format!("type is {other}: crops are image/png or image/jpeg");
                return Err(error("bad-option", &why));
            }
        };
        file.map_err(|why| error("bad-image", &why.to_string()))
    }
}

impl Picture {
    /// The pixels.
    pub(crate) fn pixels(&self) -> &RgbImage {
        &self.pixels
    }
}
