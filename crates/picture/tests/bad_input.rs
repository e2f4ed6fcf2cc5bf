//! Files that are cut off, damaged, too large or no pictures at all: an error of one sentence, never a panic and
//! never half a picture.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::LazyLock;

use common::{Picture, pictures};
use picture::{Format, MAX_SIDE, PictureError, decode, probe};
use proptest::prelude::*;

/// One sentence for a person: a capital, one line, one full stop at its end, and what to do after a colon.
fn assert_sentence(error: &PictureError) {
    let text = error.to_string();
    assert!(
        text.starts_with(char::is_uppercase)
            && text.ends_with('.')
            && !text.ends_with("..")
            && !text.contains('\n')
            && text.contains(": ")
            && text.len() < 300,
        "not a sentence: {text}"
    );
    // Nothing as a program prints it: structures, names of types and fields, bits in hexadecimal, quotes.
    let printed = |word: &str| {
        let mut inner = word.chars().skip(1);
        word.contains("::")
            || word.starts_with("0x")
            || word.contains('_')
            || inner.clone().any(char::is_uppercase)
                && inner.any(char::is_lowercase)
                && !["WebP", "iPhone's"].contains(&word)
    };
    let words = text.split(|c: char| c.is_whitespace() || "(),:;.".contains(c));
    let printed: Vec<&str> = words.filter(|word| printed(word)).collect();
    assert!(
        printed.is_empty() && !text.contains(['{', '}', '"', '[', '<']),
        "{printed:?} in: {text}"
    );
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_or_the_whole_picture() {
    for (picture, bytes) in pictures() {
        let whole = decode(&bytes).unwrap();
        for length in 0..bytes.len() {
            match decode(&bytes[..length]) {
                // What is cut off comes after the picture: a trailer, a checksum, later frames.
                Ok(cut) => assert!(cut == whole, "{} cut to {length} bytes", picture.file),
                Err(error) => assert_sentence(&error),
            }
        }
    }
}

#[test]
fn half_a_file_is_said_to_end_too_early() {
    for (picture, bytes) in pictures() {
        // Half of these is whole: the first frame of several, the picture before other bytes.
        if matches!(&*picture.file, "animated.gif" | "animated.webp") {
            continue;
        }
        let Err(error) = decode(&bytes[..bytes.len() / 2]) else {
            panic!("{}", picture.file)
        };
        assert!(
            matches!(error, PictureError::Truncated { .. }),
            "{}: {error}",
            picture.file
        );
    }
}

#[test]
fn what_is_not_read_is_named() {
    for (bytes, name) in [
        (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "video"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xEF\xBB\xBF%PDF-1.4", "PDF"),
        (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"x\">", "SVG"),
        (b"  <SVG width='3'>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL"),
        (b"PK\x03\x04\x14\0", "ZIP"),
    ] {
        for error in [decode(bytes).unwrap_err(), probe(bytes).unwrap_err()] {
            assert!(
                matches!(error, PictureError::OtherKind { .. }),
                "{name}: {error}"
            );
            assert!(error.to_string().contains(name), "{name}: {error}");
            assert!(error.to_string().contains("JPEG or PNG"), "{error}");
            assert_sentence(&error);
        }
    }
    assert_eq!(decode(b"").unwrap_err(), PictureError::Empty);
    // "BM" begins words as well as bitmaps.
    for text in [
        &b"hello, this is a letter"[..],
        b"BMW 520, a car in a text",
        b"{}",
    ] {
        let error = decode(text).unwrap_err();
        assert_eq!(error, PictureError::NotAPicture);
        assert!(error.to_string().contains("WebP"));
        assert_sentence(&error);
    }
}

/// `baseline.jpg` with another size, coding or precision in its frame header.
fn jpeg_with(marker: u8, precision: u8, width: u16, height: u16) -> Vec<u8> {
    let mut bytes = common::read("pictures/baseline.jpg");
    let at = bytes
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .expect("a baseline file");
    bytes[at + 1] = marker;
    bytes[at + 4] = precision;
    bytes[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    bytes[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

#[test]
fn sizes_beyond_the_limits_are_refused_before_decoding() {
    let size = |width, height| probe(&jpeg_with(0xC0, 8, width, height));
    assert!(size(12_000, 9_000).is_ok());
    assert!(size(20_000, 10_000).is_ok());
    for (error, words) in [
        (size(20_001, 10_000).unwrap_err(), "20001 x 10000"),
        (size(0, 5).unwrap_err(), "0 x 5"),
        (
            decode(&jpeg_with(0xC0, 8, 65_535, 65_535)).unwrap_err(),
            "200 megapixels",
        ),
        (decode(&jpeg_with(0xC0, 8, 5, 0)).unwrap_err(), "5 x 0"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
        assert_sentence(&error);
    }
    // A PNG can say more than a JPEG; its header's checksum must be right to be believed.
    let long = |width: u32| {
        let mut bytes = common::read("pictures/rgb.png");
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&1u32.to_be_bytes());
        let sum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        probe(&bytes)
    };
    assert!(long(MAX_SIDE).is_ok());
    let error = long(MAX_SIDE + 1).unwrap_err();
    assert!(error.to_string().contains("65535"), "{error}");
    assert_sentence(&error);
}

/// The checksum of PNG's chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn rare_ways_to_write_a_jpeg_are_named() {
    for (bytes, words) in [
        (jpeg_with(0xC3, 8, 29, 19), "lossless coding"),
        (jpeg_with(0xC9, 8, 29, 19), "arithmetic coding"),
        (jpeg_with(0xC5, 8, 29, 19), "hierarchical coding"),
        (jpeg_with(0xC1, 12, 29, 19), "12 bits"),
    ] {
        let error = decode(&bytes).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(matches!(
            error,
            PictureError::RareFeature {
                format: Format::Jpeg,
                ..
            }
        ));
        assert_sentence(&error);
    }
}

/// The golden files, for cutting them up.
static PICTURES: LazyLock<Vec<(Picture, Vec<u8>)>> = LazyLock::new(pictures);

/// Decodes unless the header claims so many pixels that the test would take long.
fn neither_panics(bytes: &[u8]) {
    match probe(bytes) {
        Ok(header) if u64::from(header.width) * u64::from(header.height) > 1_000_000 => {}
        Ok(header) => match decode(bytes) {
            Ok(picture) => assert_eq!(picture.dimensions(), (header.width, header.height)),
            Err(error) => assert_sentence(&error),
        },
        Err(error) => {
            assert_sentence(&error);
            assert!(decode(bytes).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), signature in 0usize..7) {
        let signatures: [&[u8]; 7] =
            [b"", b"\xFF\xD8\xFF", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xFF\0\0\0WEBP", b"BM", b"\0\0\0\x20ftyp"];
        let mut file = signatures[signature].to_vec();
        file.extend(bytes);
        neither_panics(&file);
    }

    #[test]
    fn damaged_files_never_panic(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..5), 1..8),
    ) {
        let mut file = which.get(&PICTURES).1.clone();
        for (at, value, kind) in edits {
            // Half of the edits hit the headers, where they do most.
            let at = at.index(if value & 1 == 0 { file.len().min(200) } else { file.len() });
            match kind {
                0 => file[at] = value,
                1 => file[at] ^= 1 << (value % 8),
                2 => file.insert(at, value),
                3 => { file.remove(at); }
                _ => file.truncate(at.max(1)),
            }
            if file.is_empty() { break; }
        }
        neither_panics(&file);
    }
}
