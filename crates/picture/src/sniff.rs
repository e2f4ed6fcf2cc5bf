//! What a file is by its first bytes, never by its name: the five formats that are read, and the common ones that
//! are not, so that the error can name them.
//!
//! Signatures: each format's specification; ISO base media brands from ISO/IEC 23008-12 (HEIF) and AV1's AVIF.

use std::fmt;

use crate::PictureError;

/// A file format that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JFIF, EXIF or bare JPEG; baseline or progressive.
    Jpeg,
    /// PNG, of an animated one the default picture.
    Png,
    /// GIF, the first frame.
    Gif,
    /// WebP, lossy or lossless; of an animated one the first frame.
    WebP,
    /// Windows bitmap.
    Bmp,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::WebP => "WebP",
            Format::Bmp => "BMP",
        })
    }
}

/// The format of a file, or the error that says what it is instead.
pub(crate) fn sniff(bytes: &[u8]) -> Result<Format, PictureError> {
    if bytes.is_empty() {
        return Err(PictureError::Empty);
    }
    if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Ok(Format::Gif);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    // "BM", then the file's length, then two reserved words of zero: two letters alone also begin text.
    if bytes.starts_with(b"BM") && bytes.get(6..10).is_none_or(|reserved| reserved == [0; 4]) {
        return Ok(Format::Bmp);
    }
    // The beginning of a file of ours that was cut off within its signature.
    for (format, signature) in [
        (Format::Jpeg, &b"\xFF\xD8\xFF"[..]),
        (Format::Png, b"\x89PNG\r\n\x1a\n"),
        (Format::Gif, b"GIF89a"),
        (Format::Gif, b"GIF87a"),
        (Format::WebP, b"RIFF"),
    ] {
        let cut = bytes.len().min(signature.len());
        if bytes.len() >= 2 && bytes.len() < 12 && bytes[..cut] == signature[..cut] {
            return Err(PictureError::Truncated { format });
        }
    }
    Err(match other_kind(bytes) {
        Some(kind) => PictureError::OtherKind { kind },
        None => PictureError::NotAPicture,
    })
}

/// Whether a file is a PDF document: readers accept its signature anywhere in the first 1024 bytes.
pub fn is_pdf(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    head.windows(5).any(|w| w == b"%PDF-")
}

/// Common kinds of files that are not read here, with their article.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        // Major brand, minor version, compatible brands, four bytes each.
        let length = bytes
            .first_chunk::<4>()
            .map_or(0, |b| u32::from_be_bytes(*b) as usize);
        let brands = bytes.get(8..length.clamp(12, 256).min(bytes.len()))?;
        let has = |wanted: &[&[u8; 4]]| {
            brands
                .chunks_exact(4)
                .any(|brand| wanted.iter().any(|w| brand == &w[..]))
        };
        if has(&[b"avif", b"avis"]) {
            return Some("an AVIF picture");
        }
        if has(&[
            b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1",
        ]) {
            return Some("a HEIC picture (the iPhone's format)");
        }
        return Some("a video");
    }
    let signatures: [(&[u8], &str); 14] = [
        (b"II*\0", "a TIFF picture"),
        (b"MM\0*", "a TIFF picture"),
        (b"II+\0", "a TIFF picture"),
        (b"MM\0+", "a TIFF picture"),
        (b"8BPS", "a Photoshop file"),
        (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
        (b"\xFF\x0A", "a JPEG XL picture"),
        (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
        (b"\xFF\x4F\xFF\x51", "a JPEG 2000 picture"),
        (b"\x00\x00\x01\x00", "an icon file"),
        (b"qoif", "a QOI picture"),
        (b"\x1A\x45\xDF\xA3", "a video"),
        (b"PK\x03\x04", "a ZIP archive or office document"),
        (b"\x1F\x8B", "a compressed archive"),
    ];
    if let Some((_, kind)) = signatures.iter().find(|(s, _)| bytes.starts_with(s)) {
        return Some(kind);
    }
    if is_pdf(bytes) {
        return Some("a PDF document");
    }
    let head = &bytes[..bytes.len().min(1024)];
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("<svg") || (text.starts_with("<?xml") && text.contains("<svg")) {
        return Some("an SVG drawing");
    }
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return Some("a web page");
    }
    None
}
