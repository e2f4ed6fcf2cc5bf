//! Sizes of pictures: read from a file's first bytes, compared with what a data set says, and made smaller.

use std::io::Read;

use anyhow::{Context, Result, bail};
use grounding::Sample;
use picture::{Filter, RgbImage};

use super::PictureSource;

/// Bytes in which a picture's size usually stands: nearly always the first, after long EXIF data the second.
const HEADERS: [u64; 2] = [4 << 10, 256 << 10];

/// Width and height of a picture as it is shown, from its first bytes where they are enough.
///
/// # Errors
/// A file that cannot be read or is no picture, named.
pub fn probe(source: &PictureSource) -> Result<(u32, u32)> {
    if let PictureSource::File(path) = source {
        for bytes in HEADERS {
            let mut header = Vec::new();
            let file = std::fs::File::open(path).with_context(|| source.to_string())?;
            file.take(bytes)
                .read_to_end(&mut header)
                .with_context(|| source.to_string())?;
            if let Ok(seen) = picture::probe(&header) {
                return Ok((seen.width, seen.height));
            }
        }
    }
    let seen = picture::probe(&source.bytes()?).with_context(|| source.to_string())?;
    Ok((seen.width, seen.height))
}

/// Whether two sizes have the same proportions, a pixel's rounding aside.
pub fn alike((w, h): (u32, u32), (width, height): (u32, u32)) -> bool {
    let [w, h, width, height] = [w, h, width, height].map(u64::from);
    (w * height).abs_diff(width * h) <= (w + h).max(width + height)
}

/// Puts the picture's own size in the place of the stated one. Boxes go with it, if the picture was only made smaller or
/// larger.
///
/// # Errors
/// Boxes, and a picture of other proportions than those that they were drawn on.
pub fn settle(sample: &mut Sample, (width, height): (u32, u32)) -> Result<()> {
    let stated = (sample.width, sample.height);
    if stated == (width, height) {
        return Ok(());
    }
    let boxes = sample.boxes.len() + sample.nested.len();
    if boxes > 0 && !alike(stated, (width, height)) {
        bail!(
            "width and height say {} x {} pixels, but {} has {width} x {height}, so its boxes cannot be placed; give \
             both in the pixels of the picture as it is shown (turned as its EXIF data say)",
            stated.0,
            stated.1,
            sample.image
        );
    }
    let by = [
        width as f32 / stated.0 as f32,
        height as f32 / stated.1 as f32,
    ];
    for edges in sample.boxes.iter_mut().chain(&mut sample.nested) {
        *edges = std::array::from_fn(|i| edges[i] * by[i % 2]);
    }
    (sample.width, sample.height) = (width, height);
    Ok(())
}

/// A picture made so small that its longer side has so many pixels; `None` where it has no more than that. What a full
/// image is at its `full_edge`, wherever that is looked for or used.
pub fn shrunk(picture: &RgbImage, longest_edge: u32) -> Option<RgbImage> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let edge = longest_edge.max(1);
    if edge >= longest {
        return None;
    }
    let side = |side: u32| {
        let exact = f64::from(side) * f64::from(edge) / f64::from(longest);
        (exact.round() as u32).max(1)
    };
    let (width, height) = (side(width), side(height));
    Some(picture::resize(picture, width, height, Filter::Lanczos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: u32, height: u32, boxes: Vec<[f32; 4]>) -> Sample {
        Sample {
            id: "x".into(),
            image: "a.png".into(),
            question: "Q?".into(),
            answers: Vec::new(),
            boxes,
            nested: Vec::new(),
            full_edge: None,
            kind: String::new(),
            width,
            height,
            source: String::new(),
            licence: String::new(),
        }
    }

    #[test]
    fn boxes_follow_a_picture_that_was_made_smaller_and_no_other() {
        let bbox = [100.0, 200.0, 300.0, 1000.0];
        let mut smaller = sample(1000, 1414, vec![bbox]);
        settle(&mut smaller, (500, 707)).expect("the same picture");
        assert_eq!((smaller.width, smaller.height), (500, 707));
        assert_eq!(smaller.boxes, [[50.0, 100.0, 150.0, 500.0]]);
        // On its side: without boxes nothing depends on it.
        let mut turned = sample(1000, 1414, vec![bbox]);
        let said = settle(&mut turned, (1414, 1000))
            .expect_err("refused")
            .to_string();
        assert!(
            said.contains("1000 x 1414 pixels, but a.png has 1414 x 1000"),
            "{said}"
        );
        let mut plain = sample(1000, 1414, Vec::new());
        settle(&mut plain, (1414, 1000)).expect("no box");
        assert_eq!((plain.width, plain.height), (1414, 1000));
    }

    #[test]
    fn a_picture_shrinks_to_its_longest_edge_and_never_grows() {
        let picture = RgbImage::new(100, 40);
        let of = |edge| shrunk(&picture, edge).map(|small| small.dimensions());
        assert_eq!(of(50), Some((50, 20)));
        assert_eq!(of(1), Some((1, 1)));
        assert_eq!(of(0), Some((1, 1)));
        assert_eq!((of(100), of(4000)), (None, None));
        let high = shrunk(&RgbImage::new(30, 90), 31).expect("smaller");
        assert_eq!(high.dimensions(), (10, 31));
    }
}
