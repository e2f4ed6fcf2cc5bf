//! Pictures: decoded from the original bytes, kept while the page shows them, cut and encoded.
//!
//! The worker decodes the file itself instead of asking the browser: the crop has to have the pixels of the
//! original, and the model has to see what it sees natively.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cropvlm_web::protocol::{MAX_SENT_EDGE, MAX_SHOWN_EDGE, OtherReader, fitted};
use cropvlm_web::text;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use grounding::PixelBox;
use js_sys::Uint8Array;
use picture::{Filter, Format, PictureError, RgbImage};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::error::{Result, WorkerError};

/// Quality of the JPEG that is sent to an endpoint, 1 to 100.
const JPEG_QUALITY: u8 = 92;
/// A file up to this size, bytes, is sent as it is, if it is small enough in pixels and upright.
const SENT_AS_IS: usize = 4_000_000;

/// Pixels up to which a photo is shown without loss.
const SHOWN_AS_PNG: u64 = 4_000_000;

/// A picture, or what is wrong with it.
pub type Decoding = Shared<LocalBoxFuture<'static, std::result::Result<Rc<Decoded>, Refusal>>>;

/// Why a picture was not read.
#[derive(Clone)]
pub struct Refusal {
    /// A sentence for a person.
    pub why: String,
    /// Who may read it all the same.
    pub other: Option<OtherReader>,
}

/// A decoded picture.
pub struct Decoded {
    /// Upright RGB.
    pub pixels: RgbImage,
    /// What a person should know about the file.
    pub notes: Vec<String>,
    /// A browser may show the file otherwise.
    pub redraw: bool,
    /// What the numbers mean: goes along with every crop.
    profile: Option<picture::Profile>,
    format: Format,
    /// The file, where it can be sent as it is.
    as_is: Option<(Vec<u8>, &'static str)>,
}

/// The pictures that the page may still ask about.
#[derive(Default)]
pub struct Pictures {
    all: RefCell<BTreeMap<u32, Decoding>>,
}

impl Pictures {
    /// Takes a file and starts to decode it.
    pub fn add(&self, number: u32, file: Blob) -> Decoding {
        let decoding = async move { decode(&file).await.map(Rc::new) }
            .boxed_local()
            .shared();
        self.all.borrow_mut().insert(number, decoding.clone());
        decoding
    }

    /// A picture by its number; waits until it is decoded.
    pub async fn get(&self, number: u32) -> Result<Rc<Decoded>> {
        let decoding = self.all.borrow().get(&number).cloned();
        let decoded = decoding.ok_or(WorkerError::Superseded)?.await;
        decoded.map_err(|refusal| WorkerError::Picture(refusal.why))
    }

    /// Forgets what came before a picture that could be decoded: a large one takes 300 MB.
    pub fn keep_only(&self, number: u32) {
        self.all.borrow_mut().retain(|&other, _| other >= number);
    }

    /// Forgets a picture that could not be decoded.
    pub fn forget(&self, number: u32) {
        self.all.borrow_mut().remove(&number);
    }
}

async fn decode(file: &Blob) -> std::result::Result<Decoded, Refusal> {
    // Moved, changed or a folder: browsers say it in words of their own, each in others.
    let buffer = JsFuture::from(file.array_buffer()).await;
    let buffer = buffer.map_err(|_| Refusal {
        why: text::UNREADABLE.to_owned(),
        other: None,
    })?;
    let bytes = Uint8Array::new(&buffer).to_vec();
    let read = picture::decode_with_notes(&bytes).map_err(|error| Refusal {
        other: other_reader(&bytes, &error),
        why: error.to_string(),
    })?;
    let media_type = match read.format {
        Format::Jpeg => Some("image/jpeg"),
        Format::Png => Some("image/png"),
        _ => None,
    };
    let (width, height) = read.pixels.dimensions();
    let small = width.max(height) <= MAX_SENT_EDGE && bytes.len() <= SENT_AS_IS;
    let redraw = read.may_show_otherwise();
    // Not every endpoint turns a picture as its EXIF says, or puts what is see-through on the same colour.
    let plain = read.is_plain();
    let as_is = media_type
        .filter(|_| small && plain)
        .map(|media_type| (bytes, media_type));
    Ok(Decoded {
        notes: read.notes.iter().map(ToString::to_string).collect(),
        redraw,
        profile: read.profile,
        format: read.format,
        pixels: read.pixels,
        as_is,
    })
}

/// Who may read what is not read here. A file of ours that is cut or damaged, nobody may.
fn other_reader(bytes: &[u8], error: &PictureError) -> Option<OtherReader> {
    match error {
        PictureError::OtherKind { .. } if picture::is_pdf(bytes) => Some(OtherReader::Pdf),
        PictureError::OtherKind { .. }
        | PictureError::NotAPicture
        | PictureError::RareFeature { .. } => Some(OtherReader::Browser),
        _ => None,
    }
}

/// The picture as it was read, as a file to be shown, with its media type.
pub fn shown(decoded: &Decoded) -> Result<(Vec<u8>, &'static str)> {
    let scaled = scaled(&decoded.pixels, MAX_SHOWN_EDGE);
    let pixels = scaled.as_ref().unwrap_or(&decoded.pixels);
    let (width, height) = pixels.dimensions();
    let large = u64::from(width) * u64::from(height) > SHOWN_AS_PNG;
    let profile = decoded.profile.as_ref();
    let (file, media_type) = if large && decoded.format == Format::Jpeg {
        let file = picture::encode_jpeg_with(pixels, JPEG_QUALITY, profile);
        (file, "image/jpeg")
    } else {
        (picture::encode_png_with(pixels, profile), "image/png")
    };
    Ok((file?, media_type))
}

/// The picture with its longest edge at `edge`; none where it is no longer.
fn scaled(pixels: &RgbImage, edge: u32) -> Option<RgbImage> {
    let (width, height) = pixels.dimensions();
    let (to_width, to_height) = fitted(width, height, edge);
    let smaller = (to_width, to_height) != (width, height);
    smaller.then(|| picture::resize(pixels, to_width, to_height, Filter::Lanczos))
}

/// Pixels of the original as PNG, turned by so many quarters clockwise.
pub fn cut(decoded: &Decoded, pixels: PixelBox, quarters: u32) -> Result<Vec<u8>> {
    let crop = picture::turned(picture::crop(&decoded.pixels, pixels), quarters);
    Ok(picture::encode_png_with(&crop, decoded.profile.as_ref())?)
}

/// The picture as PNG, turned by 90 degrees clockwise.
pub fn turned(decoded: &Decoded) -> Result<Vec<u8>> {
    let turned = picture::turned(decoded.pixels.clone(), 1);
    Ok(picture::encode_png_with(&turned, decoded.profile.as_ref())?)
}

/// Pixels of the original as PNG, turned by so many quarters clockwise and enlarged by Lanczos resampling.
pub fn enlarge(
    decoded: &Decoded,
    pixels: PixelBox,
    quarters: u32,
    (width, height): (u32, u32),
) -> Result<Vec<u8>> {
    let crop = picture::turned(picture::crop(&decoded.pixels, pixels), quarters);
    let large = picture::resize(&crop, width, height, Filter::Lanczos);
    Ok(picture::encode_png_with(&large, decoded.profile.as_ref())?)
}

/// A picture as it goes to an endpoint.
pub struct Sent {
    /// The file's bytes.
    pub file: Vec<u8>,
    /// `image/jpeg` or `image/png`.
    pub media_type: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// The file as it is where that is small, else a JPEG whose longest edge is at most `edge` pixels.
pub fn encode_to_send(decoded: &Decoded, edge: u32) -> Result<Sent> {
    let (width, height) = decoded.pixels.dimensions();
    let edge = edge.clamp(1, MAX_SENT_EDGE);
    if let Some((file, media_type)) = &decoded.as_is
        && width.max(height) <= edge
    {
        return Ok(Sent {
            file: file.clone(),
            media_type,
            width,
            height,
        });
    }
    let scaled = scaled(&decoded.pixels, edge);
    let pixels = scaled.as_ref().unwrap_or(&decoded.pixels);
    let (width, height) = pixels.dimensions();
    let file = picture::encode_jpeg_with(pixels, JPEG_QUALITY, decoded.profile.as_ref())?;
    Ok(Sent {
        file,
        media_type: "image/jpeg",
        width,
        height,
    })
}

/// A grey PNG in the size of a crop, as `cropvlm eval` shows it for `full+blank`: mid-grey says nothing, and keeps
/// the number of image tokens.
pub fn blank(width: u32, height: u32) -> Result<Vec<u8>> {
    let grey = RgbImage::from_pixel(width.max(1), height.max(1), [127; 3].into());
    Ok(picture::encode_png(&grey)?)
}
