//! The model that ships, on a receipt that lies on its side, on its head, or tilted: the same box as on the upright one.

use std::path::Path;

use burn::tensor::Device;
use grounding::NormBox;
use image::{Rgb, RgbImage};
use policy::map::Turn;
use policy::{Encoded, ModelFiles, Policy, ProposeOptions};
use pollster::block_on;

const QUESTION: &str = "What is the total?";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn policy() -> Policy {
    let files = ModelFiles::from_dir(&root().join("models/default")).expect("the shipped model");
    Policy::load(&files, &Device::flex()).expect("loads")
}

fn receipt() -> RgbImage {
    let bytes = std::fs::read(root().join("web/samples/receipt.jpg")).expect("the sample");
    picture::decode(&bytes).expect("a picture")
}

/// Box and rotation that the policy proposes.
fn proposed(policy: &Policy, picture: &RgbImage) -> (NormBox, f64) {
    let encoded = block_on(policy.encode_upright(picture, None)).expect("encodes");
    let options = ProposeOptions::default();
    let proposal = block_on(policy.propose(&encoded, QUESTION, &options)).expect("proposes");
    (proposal.bbox.expect("a box"), proposal.rotation)
}

fn overlap(a: NormBox, b: NormBox) -> f32 {
    let both = a.intersection(b).map_or(0.0, NormBox::area);
    both / (a.area() + b.area() - both)
}

#[test]
fn a_turned_receipt_gets_the_box_of_the_upright_one() {
    let (policy, upright) = (policy(), receipt());
    let (level, rotation) = proposed(&policy, &upright);
    assert_eq!(rotation, 0.0);
    let turns = [
        (image::imageops::rotate270(&upright), 1),
        (image::imageops::rotate180(&upright), 2),
        (image::imageops::rotate90(&upright), 3),
    ];
    for (picture, quarters) in turns {
        let (bbox, rotation) = proposed(&policy, &picture);
        assert_eq!(rotation, f64::from(quarters) * 90.0);
        let turn = Turn {
            quarters,
            ..Turn::none(picture.width(), picture.height())
        };
        let onto = turn.onto(bbox);
        assert!(overlap(onto, level) > 0.6, "{quarters}: {onto} {level}");
    }
}

#[test]
fn a_tilted_receipt_is_read_level() {
    let (policy, upright) = (policy(), receipt());
    let (level, _) = proposed(&policy, &upright);
    // Tilted by twelve degrees clockwise, on grey ground.
    let (w, h) = upright.dimensions();
    let tilt = Turn {
        tilt: 12.0,
        ..Turn::none(w, h)
    };
    let [tw, th] = tilt.size().map(|side| side as u32);
    let (sin, cos) = 12f64.to_radians().sin_cos();
    let tilted = RgbImage::from_fn(tw, th, |x, y| {
        let (dx, dy) = (
            f64::from(x) - f64::from(tw) / 2.0,
            f64::from(y) - f64::from(th) / 2.0,
        );
        let at = (
            dx * cos + dy * sin + f64::from(w) / 2.0,
            dy * cos - dx * sin + f64::from(h) / 2.0,
        );
        if at.0 < 0.0 || at.1 < 0.0 || at.0 >= f64::from(w) || at.1 >= f64::from(h) {
            return Rgb([120, 120, 120]);
        }
        *upright.get_pixel(at.0 as u32, at.1 as u32)
    });
    let (bbox, rotation) = proposed(&policy, &tilted);
    assert!((rotation - 348.0).abs() <= 1.0, "{rotation}");
    let true_place = tilt.onto(level);
    assert!(overlap(bbox, true_place) > 0.4, "{bbox} {true_place}");
}

#[test]
fn training_looks_at_a_picture_as_it_lies() {
    let (policy, upright) = (policy(), receipt());
    let turned = image::imageops::rotate90(&upright);
    let Encoded::Map(encoded) = block_on(policy.encode(&turned, None)).expect("encodes") else {
        panic!("a map policy");
    };
    assert!(encoded.turn.is_none());
}
