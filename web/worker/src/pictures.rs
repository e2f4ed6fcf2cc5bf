//! Pictures: decoded from the original bytes, kept while the page shows them, cut and encoded.
//!
//! The worker decodes the file itself instead of asking the browser: the crop has to have the pixels of the
//! original, and the model has to see what it sees natively.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cropvlm_web::protocol::{MAX_SENT_EDGE, fitted};
use cropvlm_web::text;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use grounding::PixelBox;
use js_sys::Uint8Array;
use picture::{Filter, Format, Orientation, RgbImage};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

/// Quality of the JPEG that is sent to an endpoint, 1 to 100.
const JPEG_QUALITY: u8 = 92;
/// A file up to this size, bytes, is sent as it is, if it is small enough in pixels and upright.
const SENT_AS_IS: usize = 4_000_000;

/// A picture, or the sentence that says what is wrong with it.
pub type Decoding = Shared<LocalBoxFuture<'static, Result<Rc<Decoded>, String>>>;

/// A decoded picture.
pub struct Decoded {
    /// Upright RGB.
    pub pixels: RgbImage,
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
    pub async fn get(&self, number: u32) -> Result<Rc<Decoded>, String> {
        let decoding = self.all.borrow().get(&number).cloned();
        decoding.ok_or(text::SUPERSEDED)?.await
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

async fn decode(file: &Blob) -> Result<Decoded, String> {
    let unreadable =
        |error: JsValue| format!("The file could not be read ({error:?}). Choose it again.");
    let buffer = JsFuture::from(file.array_buffer())
        .await
        .map_err(unreadable)?;
    let bytes = Uint8Array::new(&buffer).to_vec();
    let probe = picture::probe(&bytes).map_err(|error| error.to_string())?;
    let pixels = picture::decode(&bytes).map_err(|error| error.to_string())?;
    let media_type = match probe.format {
        Format::Jpeg => Some("image/jpeg"),
        Format::Png => Some("image/png"),
        _ => None,
    };
    let small = probe.width.max(probe.height) <= MAX_SENT_EDGE && bytes.len() <= SENT_AS_IS;
    // Not every endpoint turns a picture as its EXIF says.
    let upright = probe.orientation == Orientation::NoTransforms;
    let as_is = media_type
        .filter(|_| small && upright)
        .map(|media_type| (bytes, media_type));
    Ok(Decoded { pixels, as_is })
}

/// Pixels of the original as PNG.
pub fn cut(decoded: &Decoded, pixels: PixelBox) -> Result<Vec<u8>, String> {
    picture::encode_png(&picture::crop(&decoded.pixels, pixels)).map_err(|error| error.to_string())
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
pub fn encode_to_send(decoded: &Decoded, edge: u32) -> Result<Sent, String> {
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
    let (to_width, to_height) = fitted(width, height, edge);
    let scaled;
    let pixels = if (to_width, to_height) == (width, height) {
        &decoded.pixels
    } else {
        scaled = picture::resize(&decoded.pixels, to_width, to_height, Filter::Lanczos);
        &scaled
    };
    let file = picture::encode_jpeg(pixels, JPEG_QUALITY).map_err(|error| error.to_string())?;
    Ok(Sent {
        file,
        media_type: "image/jpeg",
        width: to_width,
        height: to_height,
    })
}

/// A grey PNG in the size of a crop, as `cropvlm eval` shows it for `full+blank`: mid-grey says nothing, and keeps
/// the number of image tokens.
pub fn blank(width: u32, height: u32) -> Result<Vec<u8>, String> {
    let grey = RgbImage::from_pixel(width.max(1), height.max(1), [127; 3].into());
    picture::encode_png(&grey).map_err(|error| error.to_string())
}
