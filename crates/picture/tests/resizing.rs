//! Resizing against Pillow, bit for bit, and properties that hold at any size.

#![allow(clippy::unwrap_used)]

mod common;

use picture::{Filter, GrayImage, RgbImage, resize, resize_gray};
use proptest::prelude::*;

const FILTERS: [(&str, Filter); 5] = [
    ("box", Filter::Box),
    ("bilinear", Filter::Bilinear),
    ("hamming", Filter::Hamming),
    ("bicubic", Filter::Bicubic),
    ("lanczos", Filter::Lanczos),
];

/// One line of `resize.json`.
#[derive(serde::Deserialize)]
struct Case {
    filter: String,
    channels: usize,
    from: [u32; 2],
    from_at: usize,
    to: [u32; 2],
    to_at: usize,
}

#[test]
fn equals_pillow_bit_for_bit() {
    let pixels = common::read("resize.bin");
    let cases = common::list::<Case>("resize.json");
    assert!(cases.len() > 50);
    for case in cases {
        let slice = |at: usize, [width, height]: [u32; 2]| {
            &pixels[at..at + (width * height) as usize * case.channels]
        };
        let from = slice(case.from_at, case.from).to_vec();
        let filter = FILTERS.iter().find(|f| f.0 == case.filter).unwrap().1;
        let ([w, h], [to_w, to_h]) = (case.from, case.to);
        let made = if case.channels == 3 {
            resize(&RgbImage::from_raw(w, h, from).unwrap(), to_w, to_h, filter).into_raw()
        } else {
            resize_gray(
                &GrayImage::from_raw(w, h, from).unwrap(),
                to_w,
                to_h,
                filter,
            )
            .into_raw()
        };
        assert!(
            made == slice(case.to_at, case.to),
            "{w}x{h} to {to_w}x{to_h}, {}",
            case.filter
        );
    }
}

fn any_filter() -> impl Strategy<Value = Filter> {
    (0..FILTERS.len()).prop_map(|i| FILTERS[i].1)
}

proptest! {
    #[test]
    fn one_colour_stays_that_colour(
        (w, h, to_w, to_h) in (1u32..90, 1u32..90, 1u32..90, 1u32..90),
        color in any::<[u8; 3]>(),
        filter in any_filter(),
    ) {
        let picture = RgbImage::from_pixel(w, h, image::Rgb(color));
        let made = resize(&picture, to_w, to_h, filter);
        prop_assert_eq!(made.dimensions(), (to_w, to_h));
        // The rounded weights of a window may sum to a little more or less than 1: half a unit a weight, 2^22 units.
        prop_assert!(made.pixels().all(|p| (0..3).all(|c| p[c].abs_diff(color[c]) <= 1)));
    }

    #[test]
    fn the_same_size_changes_nothing(
        (w, h) in (1u32..40, 1u32..40), seed in any::<u32>(), filter in any_filter(),
    ) {
        let picture = noise(w, h, seed);
        prop_assert_eq!(resize(&picture, w, h, filter), picture);
    }

    #[test]
    fn each_channel_is_a_gray_picture(
        (w, h, to_w, to_h) in (1u32..60, 1u32..60, 1u32..60, 1u32..60),
        seed in any::<u32>(),
        filter in any_filter(),
    ) {
        let picture = noise(w, h, seed);
        let made = resize(&picture, to_w, to_h, filter);
        for c in 0..3 {
            let plane = |p: &RgbImage| p.pixels().map(|p| p[c]).collect::<Vec<_>>();
            let gray = GrayImage::from_raw(w, h, plane(&picture)).unwrap();
            prop_assert_eq!(resize_gray(&gray, to_w, to_h, filter).into_raw(), plane(&made));
        }
    }
}

#[test]
fn empty_pictures_do_not_panic() {
    let empty = RgbImage::new(0, 0);
    assert_eq!(resize(&empty, 3, 2, Filter::Lanczos), RgbImage::new(3, 2));
    assert_eq!(
        resize(&noise(3, 2, 1), 0, 4, Filter::Box).dimensions(),
        (0, 4)
    );
}

/// Black, white and everything between, from a linear congruential generator.
fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let mut state = seed;
    RgbImage::from_fn(width, height, |_, _| {
        image::Rgb([0; 3].map(|_: u8| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 30 {
                0 => 0,
                1 => 255,
                _ => (state >> 16) as u8,
            }
        }))
    })
}
