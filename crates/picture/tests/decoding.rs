//! Decoding against Pillow: every awkward kind of file, and the header read alone.

#![allow(clippy::unwrap_used)]

mod common;

use common::{pictures, read};
use picture::{Format, decode, probe};

#[test]
fn every_kind_of_file_gives_pillows_pixels() {
    let expected = read("pictures.bin");
    for (picture, bytes) in pictures() {
        let name = &picture.file;
        let decoded = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            decoded.dimensions(),
            (picture.width, picture.height),
            "{name}"
        );
        let pixels = &expected[picture.at..picture.at + decoded.as_raw().len()];
        let worst = decoded
            .as_raw()
            .iter()
            .zip(pixels)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(
            worst <= Some(picture.tolerance),
            "{name}: a channel differs by {worst:?}"
        );
    }
}

#[test]
fn the_header_alone_tells_what_decoding_gives() {
    for (picture, bytes) in pictures() {
        let name = &picture.file;
        let header = probe(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (header.width, header.height),
            (picture.width, picture.height),
            "{name}"
        );
        assert_eq!(header.orientation.to_exif(), picture.orientation, "{name}");
        let ending = match header.format {
            Format::Jpeg => "jpg",
            Format::Png => "png",
            Format::Gif => "gif",
            Format::WebP => "webp",
            Format::Bmp => "bmp",
        };
        assert!(name.ends_with(ending), "{name} is {}", header.format);
    }
}
