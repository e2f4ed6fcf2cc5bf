//! Files that are odd but whole: read, with a note that says what is odd. And what every viewer of a picture has to agree
//! on: the colour behind a see-through one, and what its numbers mean.

#![allow(clippy::unwrap_used)]

mod common;

use common::{pictures, read};
use image::{ImageEncoder, Rgba, RgbaImage};
use picture::{
    Backdrop, Note, PictureError, Profile, crop, decode, decode_with_notes, encode_jpeg_with,
    encode_png_with,
};

fn file(name: &str) -> Vec<u8> {
    read(&format!("pictures/{name}"))
}

/// Every golden with a marker or chunk at its end that a program may have lost, and how many bytes that are.
fn ends() -> Vec<(String, Vec<u8>, usize)> {
    let files = pictures()
        .into_iter()
        .map(|(picture, bytes)| (picture.file, bytes));
    files
        .filter_map(|(name, bytes)| {
            let end = if name == "trailer.jpg" {
                return None;
            } else if name.ends_with("jpg") {
                2
            } else if name.ends_with("png") {
                12
            } else if name.ends_with("gif") {
                1
            } else {
                return None;
            };
            Some((name, bytes, end))
        })
        .collect()
}

#[test]
fn a_whole_picture_without_its_last_bytes_is_read_with_a_note() {
    let ends = ends();
    assert!(ends.len() > 40);
    for (name, bytes, end) in ends {
        let whole = decode(&bytes).unwrap();
        for lost in 1..=end {
            let cut = decode_with_notes(&bytes[..bytes.len() - lost])
                .unwrap_or_else(|error| panic!("{name} without {lost} bytes: {error}"));
            assert!(cut.pixels == whole, "{name} without {lost} bytes");
            assert!(cut.notes.contains(&Note::NoEnd), "{name}: {:?}", cut.notes);
            assert!(!cut.is_plain() && cut.may_show_otherwise(), "{name}");
        }
    }
}

#[test]
fn a_bitmap_and_a_webp_without_their_filling_are_read() {
    // 29 pixels of 24 bits: 87 bytes a row and one of filling.
    let rows: Vec<u8> = (0..29u8 * 3).map(|value| value * 2).chain([0]).collect();
    let mut bitmap =
        b"BM\x8E\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x1D\0\0\0\x02\0\0\0\x01\0\x18\0".to_vec();
    bitmap.resize(54, 0);
    bitmap.extend([&rows[..], &rows].concat());
    let whole = decode(&bitmap).unwrap();
    assert_eq!(whole.dimensions(), (29, 2));
    let cut = decode_with_notes(&bitmap[..bitmap.len() - 1]).unwrap();
    assert_eq!((cut.pixels, cut.notes), (whole, vec![Note::NoEnd]));
    let error = decode(&bitmap[..bitmap.len() - 2]).unwrap_err();
    assert!(matches!(error, PictureError::Truncated { .. }), "{error}");

    // A WebP that says it is longer: what stood behind its pixels, if anything did, says nothing about them.
    let webp = file("lossless.webp");
    let whole = decode(&webp).unwrap();
    let mut longer = webp.clone();
    longer[4..8].copy_from_slice(&(webp.len() as u32 + 20).to_le_bytes());
    let read = decode_with_notes(&longer).unwrap();
    assert_eq!((read.pixels, read.notes), (whole, vec![Note::NoEnd]));
    // But how this one is turned stands there.
    let turned = file("orientation_8.webp");
    let error = decode(&turned[..turned.len() - 4]).unwrap_err();
    assert!(matches!(error, PictureError::Truncated { .. }), "{error}");
}

#[test]
fn bytes_behind_the_end_are_left_out_with_a_note() {
    for (name, bytes, _) in ends() {
        let longer = [&bytes[..], b"and some more"].concat();
        let read = decode_with_notes(&longer).unwrap();
        assert!(read.pixels == decode(&bytes).unwrap(), "{name}");
        assert!(read.notes.contains(&Note::BytesAfterEnd), "{name}");
    }
}

/// Where the data of a chunk begin and how long they are.
fn chunk(png: &[u8], name: &[u8; 4]) -> (usize, usize) {
    let at = png.windows(4).position(|four| four == name).unwrap();
    let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap());
    (at + 4, length as usize)
}

#[test]
fn a_wrong_checksum_is_forgiven_where_the_pixels_prove_themselves() {
    let good = file("rgb.png");
    let (start, length) = chunk(&good, b"IDAT");
    let mut bytes = good.clone();
    bytes[start + length] ^= 1;
    let read = decode_with_notes(&bytes).unwrap();
    assert_eq!(read.pixels, decode(&good).unwrap());
    assert_eq!(read.notes, [Note::WrongChecksum]);
    // Of a changed pixel both checksums know.
    let mut bytes = good.clone();
    bytes[start + length / 2] ^= 1;
    let error = decode(&bytes).unwrap_err();
    assert!(matches!(error, PictureError::Damaged { .. }), "{error}");
    // A checksum of what is no pixel says nothing about them.
    let mut bytes = good.clone();
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    assert_eq!(decode(&bytes).unwrap(), decode(&good).unwrap());
}

#[test]
fn moving_pictures_and_inks_are_named() {
    for (name, wanted) in [
        ("animated.gif", Note::Animated),
        ("animated.webp", Note::Animated),
        ("cmyk.jpg", Note::Inks),
    ] {
        let read = decode_with_notes(&file(name)).unwrap();
        assert!(read.notes.contains(&wanted), "{name}: {:?}", read.notes);
        assert!(read.may_show_otherwise() && !read.is_plain(), "{name}");
    }
    for name in [
        "baseline.jpg",
        "rgb.png",
        "interlaced.gif",
        "lossy.webp",
        "rgb.bmp",
    ] {
        let read = decode_with_notes(&file(name)).unwrap();
        assert!(
            read.notes.is_empty() && read.is_plain(),
            "{name}: {:?}",
            read.notes
        );
        assert!(!read.may_show_otherwise(), "{name}");
    }
    // Browsers turn JPEG, and whoever shows it compares the sides; other formats they turn as they please.
    for (name, wanted) in [
        ("orientation_6.jpg", false),
        ("orientation_3.jpg", true),
        ("orientation_8.webp", true),
        ("orientation_6.png", true),
    ] {
        let read = decode_with_notes(&file(name)).unwrap();
        assert_eq!(read.may_show_otherwise(), wanted, "{name}");
        assert!(!read.is_plain(), "{name}");
    }
}

fn png(picture: &RgbaImage) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = picture.dimensions();
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(picture, width, height, image::ExtendedColorType::Rgba8)
        .unwrap();
    file
}

/// A line of a colour across a sheet of nothing.
fn line(colour: [u8; 4]) -> RgbaImage {
    RgbaImage::from_fn(40, 20, |_, y| Rgba(if y == 10 { colour } else { [0; 4] }))
}

#[test]
fn a_see_through_picture_stands_on_white_or_a_light_one_on_black() {
    let light = line([255, 255, 255, 255]);
    let yellow = line([250, 240, 60, 255]);
    let faint = line([255, 255, 255, 90]);
    let dark = line([20, 20, 20, 255]);
    let red = line([220, 30, 30, 255]);
    let nothing = line([255, 255, 255, 0]);
    // A window with its shadow: white, some letters, nothing around.
    let mut window = line([255; 4]);
    for y in 4..16 {
        for x in 4..36 {
            window.put_pixel(x, y, Rgba([255; 4]));
        }
    }
    for x in 8..16 {
        window.put_pixel(x, 8, Rgba([0, 0, 0, 255]));
    }
    for (name, picture, backdrop) in [
        ("white", light, Backdrop::Black),
        ("yellow", yellow, Backdrop::Black),
        ("faint", faint, Backdrop::Black),
        ("dark", dark, Backdrop::White),
        ("red", red, Backdrop::White),
        ("nothing", nothing, Backdrop::White),
        ("window", window, Backdrop::White),
    ] {
        let read = decode_with_notes(&png(&picture)).unwrap();
        assert_eq!(read.notes, [Note::Transparent(backdrop)], "{name}");
        let behind = if backdrop == Backdrop::White { 255 } else { 0 };
        assert_eq!(read.pixels.get_pixel(0, 0).0, [behind; 3], "{name}");
        assert!(read.may_show_otherwise() && !read.is_plain(), "{name}");
    }
    // A line can be told from what is behind it.
    let read = decode(&png(&line([255; 4]))).unwrap();
    assert_eq!(read.get_pixel(5, 10).0, [255; 3]);
    let opaque = RgbaImage::from_pixel(4, 4, Rgba([255; 4]));
    assert!(decode_with_notes(&png(&opaque)).unwrap().notes.is_empty());
}

/// The smallest thing that passes for a profile of a colour space.
fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0; 400];
    bytes[..4].copy_from_slice(&400u32.to_be_bytes());
    bytes[16..20].copy_from_slice(space);
    bytes[36..40].copy_from_slice(b"acsp");
    bytes
}

#[test]
fn a_crop_keeps_what_its_numbers_mean() {
    let scene = decode(&file("rgb.png")).unwrap();
    let grey = decode(&file("gray.png")).unwrap();
    let area = grounding::PixelBox {
        x1: 2,
        y1: 3,
        x2: 20,
        y2: 11,
    };
    for (picture, space) in [(&scene, b"RGB "), (&grey, b"GRAY")] {
        let wide = Profile::new(profile(space)).unwrap();
        // As PNG and as JPEG, and read again from both.
        for file in [
            encode_png_with(picture, Some(&wide)).unwrap(),
            encode_jpeg_with(picture, 92, Some(&wide)).unwrap(),
        ] {
            let read = decode_with_notes(&file).unwrap();
            assert_eq!(read.profile.as_ref(), Some(&wide), "{}", read.format);
            let cut = crop(&read.pixels, area);
            let crop = decode_with_notes(&encode_png_with(&cut, read.profile.as_ref()).unwrap());
            let crop = crop.unwrap();
            assert_eq!((crop.pixels, crop.profile), (cut, Some(wide.clone())));
        }
    }
    // A profile for grey would be wrong for colours, one for inks for everything.
    let grey = Profile::new(profile(b"GRAY")).unwrap();
    let read = decode_with_notes(&encode_png_with(&scene, Some(&grey)).unwrap()).unwrap();
    assert_eq!((read.pixels, read.profile), (scene, None));
    assert_eq!(Profile::new(profile(b"CMYK")), None);
    assert_eq!(Profile::new(profile(b"RGB ")[..300].to_vec()), None);
}

#[test]
fn notes_are_sentences() {
    for note in [
        Note::NoEnd,
        Note::BytesAfterEnd,
        Note::WrongChecksum,
        Note::Animated,
        Note::Transparent(Backdrop::White),
        Note::Transparent(Backdrop::Black),
        Note::Inks,
    ] {
        let text = note.to_string();
        assert!(
            text.starts_with(char::is_uppercase) && text.ends_with('.'),
            "{text}"
        );
    }
}
