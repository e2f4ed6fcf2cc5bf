//! Pictures in and out: bytes of a file to RGB pixels and back, with limits, and the resizing that the models
//! were trained with.
//!
//! Why a crate of its own: the page, the trainer and the models must see the same pixels. [`decode`] turns what a
//! person drops on the page into upright RGB, or says in one sentence what is wrong with it; it and [`resize`] equal
//! Pillow bit for bit (JPEG included), because the reference image processors are written with Pillow; [`crop`]
//! cuts from the original.
//!
//! Nothing here needs a file system, threads or a clock, so it is the same code natively and in the browser.
//!
//! ```
//! use grounding::PixelBox;
//! use picture::{Filter, RgbImage};
//!
//! // A white page of 40 x 30 pixels with one red pixel, as a PNG file.
//! let mut page = RgbImage::from_pixel(40, 30, image::Rgb([255, 255, 255]));
//! page.put_pixel(10, 5, image::Rgb([255, 0, 0]));
//! let file = picture::encode_png(&page)?;
//!
//! let same = picture::decode(&file)?;
//! assert_eq!(same, page);
//! let small = picture::resize(&same, 20, 15, Filter::Lanczos);
//! assert_eq!(small.dimensions(), (20, 15));
//! let cut = picture::crop(&same, PixelBox { x1: 10, y1: 5, x2: 12, y2: 6 });
//! assert_eq!(cut.get_pixel(0, 0).0, [255, 0, 0]);
//! # Ok::<(), picture::PictureError>(())
//! ```

mod backdrop;
mod cut;
mod decode;
mod error;
mod jpeg;
mod note;
mod parts;
mod profile;
mod resize;
mod sniff;
mod turn;

pub use cut::{crop, encode_jpeg, encode_jpeg_with, encode_png, encode_png_with, turned};
pub use decode::{Decoded, Probe, decode, decode_with_notes, probe};
pub use error::PictureError;
pub use image::{GrayImage, RgbImage, metadata::Orientation};
pub use note::{Backdrop, Note};
pub use profile::Profile;
pub use resize::{Filter, resize, resize_gray};
pub use sniff::{Format, is_pdf};

/// Most pixels that are decoded: 200 megapixels, 600 MB as RGB. A 12,000 x 9,000 scan has 108.
pub const MAX_PIXELS: u64 = 200_000_000;

/// Longest side that is decoded, in pixels: what JPEG can say at most.
pub const MAX_SIDE: u32 = 65_535;
