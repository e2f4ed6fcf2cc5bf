//! Crops are the original's pixels, and what is written can be read.

#![allow(clippy::unwrap_used)]

use grounding::PixelBox;
use picture::{PictureError, RgbImage, crop, decode, encode_jpeg, encode_png};
use proptest::prelude::*;

/// Every pixel says where it is (as far as 8 bits go).
fn numbered(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x as u8, y as u8, (x >> 8 << 4 | y >> 8) as u8])
    })
}

proptest! {
    #[test]
    fn a_crop_holds_the_pixels_of_its_box(
        (width, height) in (1u32..300, 1u32..300),
        corners in any::<[prop::sample::Index; 4]>(),
    ) {
        let [a, b] = [corners[0], corners[1]].map(|i| i.index(width as usize + 1) as u32);
        let [c, d] = [corners[2], corners[3]].map(|i| i.index(height as usize + 1) as u32);
        prop_assume!(a != b && c != d);
        let area = PixelBox { x1: a.min(b), y1: c.min(d), x2: a.max(b), y2: c.max(d) };
        let picture = numbered(width, height);
        let cut = crop(&picture, area);
        prop_assert_eq!(cut.dimensions(), (area.x2 - area.x1, area.y2 - area.y1));
        for (x, y, pixel) in cut.enumerate_pixels() {
            prop_assert_eq!(pixel, picture.get_pixel(area.x1 + x, area.y1 + y));
        }
    }

    #[test]
    fn any_box_gives_at_least_one_pixel(
        (width, height) in (1u32..50, 1u32..50), edges in any::<[u32; 4]>(), small in any::<bool>(),
    ) {
        let [x1, y1, x2, y2] = if small { edges.map(|e| e % 60) } else { edges };
        let cut = crop(&numbered(width, height), PixelBox { x1, y1, x2, y2 });
        prop_assert!((1..=width).contains(&cut.width()) && (1..=height).contains(&cut.height()));
    }

    #[test]
    fn png_keeps_every_pixel((width, height) in (1u32..60, 1u32..60)) {
        let picture = numbered(width, height);
        prop_assert_eq!(decode(&encode_png(&picture).unwrap()).unwrap(), picture);
    }
}

#[test]
fn jpeg_comes_close_and_quality_counts() {
    let smooth = RgbImage::from_fn(64, 48, |x, y| {
        image::Rgb([(x * 3) as u8, (y * 4) as u8, (x + y) as u8])
    });
    let fine = encode_jpeg(&smooth, 95).unwrap();
    let read = decode(&fine).unwrap();
    let worst = smooth
        .as_raw()
        .iter()
        .zip(read.as_raw())
        .map(|(a, b)| a.abs_diff(*b))
        .max();
    assert!(worst <= Some(8), "{worst:?}");
    assert!(encode_jpeg(&smooth, 20).unwrap().len() < fine.len());
    assert!(encode_jpeg(&smooth, 0).is_ok() && encode_jpeg(&smooth, 255).is_ok());
}

#[test]
fn an_empty_picture_is_not_written() {
    let empty = RgbImage::new(0, 7);
    let error = PictureError::NoPixels {
        width: 0,
        height: 7,
    };
    assert_eq!(encode_png(&empty).unwrap_err(), error);
    assert_eq!(encode_jpeg(&empty, 90).unwrap_err(), error);
    let area = PixelBox {
        x1: 1,
        y1: 2,
        x2: 3,
        y2: 4,
    };
    assert_eq!(crop(&empty, area).dimensions(), (0, 2));
}
