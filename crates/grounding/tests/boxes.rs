//! Boxes: conversion, rounding, growing, metrics and the fixed-box baseline.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use grounding::metrics::{self, Summary, TOLERANCE_PX};
use grounding::{
    FixedBoxes, GroundingError, NormBox, PixelBox, QUINTILE_FACTORS, Quintiles, Sample,
};
use proptest::prelude::*;

fn norm(x1: f32, y1: f32, x2: f32, y2: f32) -> NormBox {
    NormBox::new(x1, y1, x2, y2).unwrap()
}

fn sample(kind: &str, boxes: &[[f32; 4]]) -> Sample {
    Sample {
        id: "s".into(),
        image: "s.png".into(),
        question: "Where?".into(),
        answers: vec!["there".into()],
        boxes: boxes.to_vec(),
        nested: Vec::new(),
        full_edge: None,
        kind: kind.into(),
        width: 1000,
        height: 1000,
        source: String::new(),
        licence: String::new(),
    }
}

/// Any box in percent.
fn any_box() -> impl Strategy<Value = NormBox> {
    let side = || (0.0f32..99.0, 0.001f32..=100.0).prop_map(|(a, d)| (a, (a + d).min(100.0)));
    (side(), side()).prop_map(|((x1, x2), (y1, y2))| norm(x1, y1, x2, y2))
}

#[test]
fn refuses_what_is_no_box() {
    for [x1, y1, x2, y2] in [
        [0.0, 0.0, 0.0, 1.0],
        [5.0, 0.0, 4.0, 1.0],
        [-0.1, 0.0, 4.0, 1.0],
        [0.0, 0.0, 100.1, 1.0],
        [f32::NAN, 0.0, 4.0, 1.0],
        [0.0, 0.0, f32::INFINITY, 1.0],
    ] {
        let error = NormBox::new(x1, y1, x2, y2).unwrap_err();
        assert!(error.to_string().contains("is no box"), "{error}");
    }
    assert!(serde_json::from_str::<NormBox>("[0, 0, 0, 1]").is_err());
}

#[test]
fn rounds_pixels_half_to_even() {
    // 12.5 % of 20 px is 2.5, 17.5 % is 3.5, 50 % of 5 px is 2.5.
    let pixels = norm(12.5, 0.0, 17.5, 50.0).to_pixels(20, 5);
    assert_eq!(<[u32; 4]>::from(pixels), [2, 0, 4, 2]);
    assert_eq!((pixels.width(), pixels.height()), (2, 2));
    // 7 % of 50 px is 3.5, of which f32 would make 3.4999998.
    assert_eq!(norm(7.0, 0.0, 100.0, 100.0).to_pixels(50, 50).x1, 4);
}

#[test]
fn a_crop_has_at_least_one_pixel() {
    let one = PixelBox {
        x1: 0,
        y1: 0,
        x2: 1,
        y2: 1,
    };
    assert_eq!(norm(10.0, 20.0, 40.0, 40.0).to_pixels(1, 1), one);
    assert_eq!(norm(60.0, 60.0, 90.0, 90.0).to_pixels(1, 1), one);
    // 2.6 to 3.4 of ten: both edges round to 3; the middle lies in pixel 3.
    assert_eq!(norm(26.0, 0.0, 34.0, 100.0).to_pixels(10, 1).x1, 3);
}

#[test]
fn text_and_json_forms() {
    let bbox = norm(10.0, 20.5, 63.0, 57.25);
    assert_eq!(bbox.to_string(), "10,20.5,63,57.25");
    assert_eq!("10, 20.5 ,63,57.25".parse(), Ok(bbox));
    assert_eq!(
        serde_json::to_string(&bbox).unwrap(),
        "[10.0,20.5,63.0,57.25]"
    );
    assert_eq!(
        serde_json::from_str::<NormBox>("[10,20.5,63,57.25]").unwrap(),
        bbox
    );
    assert_eq!(norm(-0.0, 0.0, 1.0, 1.0).to_string(), "0,0,1,1");
    for wrong in ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "1;2;3;4", "[1,2,3,4]"] {
        assert!(
            matches!(
                wrong.parse::<NormBox>(),
                Err(GroundingError::NoBoxText { .. })
            ),
            "{wrong}"
        );
    }
    assert!("nan,0,1,1".parse::<NormBox>().is_err());
}

#[test]
fn completions_round_and_never_collapse() {
    assert_eq!(
        norm(10.4, 20.5, 63.5, 57.6).completion(),
        "[10, 20, 64, 58]."
    );
    assert_eq!(
        norm(10.1, 99.8, 10.2, 99.9).completion(),
        "[10, 99, 11, 100]."
    );
    let out = norm(10.1, 20.0, 10.2, 57.6).rounded_out();
    assert_eq!(out.to_array(), [10.0, 20.0, 11.0, 58.0]);
}

#[test]
fn pixels_outside_the_image_are_cut_off() {
    let bbox = NormBox::from_pixels([-5.0, 10.0, 50.0, 210.0], 100, 200).unwrap();
    assert_eq!(bbox.to_array(), [0.0, 5.0, 50.0, 100.0]);
    let error = NormBox::from_pixels([120.0, 0.0, 130.0, 10.0], 100, 200).unwrap_err();
    assert!(error.to_string().contains("100 x 200"), "{error}");
    assert!(NormBox::from_pixels([0.0, 0.0, 1.0, 1.0], 0, 10).is_err());
}

#[test]
fn grows_by_area_then_shifts_then_clamps() {
    assert_eq!(
        norm(40.0, 40.0, 50.0, 50.0).grow(4.0).to_array(),
        [35.0, 35.0, 55.0, 55.0]
    );
    // Hangs over the left edge: shifted, same area.
    assert_eq!(
        norm(0.0, 40.0, 10.0, 50.0).grow(4.0).to_array(),
        [0.0, 35.0, 20.0, 55.0]
    );
    assert_eq!(
        norm(95.0, 90.0, 100.0, 100.0).grow(4.0).to_array(),
        [90.0, 80.0, 100.0, 100.0]
    );
    // Longer than the image on one side: clamped there.
    assert_eq!(
        norm(20.0, 40.0, 80.0, 50.0).grow(4.0).to_array(),
        [0.0, 35.0, 100.0, 55.0]
    );
    let small = norm(20.0, 40.0, 80.0, 50.0);
    assert_eq!(small.grow(0.5), small);
    assert_eq!(small.grow(f32::NAN), small);
    assert_eq!(small.grow(f32::INFINITY), NormBox::FULL);
}

#[test]
fn quintiles_give_the_paper_s_factors() {
    let areas: Vec<f32> = (1..=10).map(|i| i as f32 / 100.0).collect();
    let quintiles = Quintiles::of(&areas).unwrap();
    // numpy.quantile(range(1, 11), [.2, .4, .6, .8]) = 2.8, 4.6, 6.4, 8.2
    for (got, expected) in quintiles.borders.iter().zip([0.028, 0.046, 0.064, 0.082]) {
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    }
    let factors: Vec<f32> = areas.iter().map(|&a| quintiles.factor(a)).collect();
    let expected: Vec<f32> = QUINTILE_FACTORS.iter().flat_map(|&f| [f, f]).collect();
    assert_eq!(factors, expected);
    assert_eq!(quintiles.grow(norm(0.0, 0.0, 10.0, 10.0)).area(), 0.45);
    assert_eq!(Quintiles::of(&[]), None);
    assert_eq!(Quintiles::of(&[0.1, f32::NAN]), None);
}

#[test]
fn metrics_by_hand() {
    let (a, b) = (norm(0.0, 0.0, 20.0, 10.0), norm(10.0, 0.0, 30.0, 10.0));
    assert!((metrics::iou(a, b) - 1.0 / 3.0).abs() < 1e-6);
    assert!((metrics::recall(a, b) - 0.5).abs() < 1e-6);
    assert_eq!(metrics::iou(a, norm(50.0, 50.0, 60.0, 60.0)), 0.0);
    assert_eq!(metrics::recall(NormBox::FULL, b), 1.0);
    // 2 px of 1000 are 0.2 %.
    let truth = norm(10.0, 10.0, 20.0, 20.0);
    let size = (1000, 1000);
    assert!(metrics::full_recall(
        norm(10.19, 10.0, 20.0, 19.81),
        truth,
        size,
        TOLERANCE_PX
    ));
    assert!(!metrics::full_recall(
        norm(10.21, 10.0, 20.0, 20.0),
        truth,
        size,
        TOLERANCE_PX
    ));
    assert!(!metrics::full_recall(
        norm(10.19, 10.0, 20.0, 20.0),
        truth,
        size,
        0.0
    ));
}

#[test]
fn several_boxes_are_alternatives_or_lines() {
    let boxes = [[100.0, 100.0, 200.0, 120.0], [100.0, 130.0, 300.0, 150.0]];
    let (lines, places) = (sample("address", &boxes), sample("total", &boxes));
    assert_eq!(lines.evidence(), [norm(10.0, 10.0, 30.0, 15.0)]);
    assert_eq!(sample("company", &boxes).evidence().len(), 1);
    assert_eq!(places.evidence().len(), 2);
    let second = norm(10.0, 13.0, 30.0, 15.0);
    let score = metrics::score(&places, second);
    assert_eq!(
        (score.iou, score.recall, score.full_recall),
        (1.0, 1.0, true)
    );
    let score = metrics::score(&lines, second);
    assert!((score.recall - 0.4).abs() < 1e-6 && !score.full_recall);
    assert_eq!(metrics::score(&sample("total", &[]), second).recall, 0.0);
}

#[test]
fn summary_counts_invalid_boxes_as_nothing() {
    let s = sample("total", &[[100.0, 100.0, 200.0, 200.0]]);
    let hit = norm(10.0, 10.0, 20.0, 20.0);
    let summary = Summary::over([(&s, Some(hit)), (&s, None)]);
    let expected = Summary {
        n: 2,
        valid: 0.5,
        iou: 0.5,
        recall: 0.5,
        full_recall: 0.5,
        size: 0.005,
    };
    assert_eq!(summary.n, expected.n);
    assert_eq!(
        (
            summary.valid,
            summary.iou,
            summary.recall,
            summary.full_recall
        ),
        (0.5, 0.5, 0.5, 0.5)
    );
    assert!((summary.size - expected.size).abs() < 1e-8);
    assert_eq!(Summary::over([]), Summary::default());
}

#[test]
fn samples_read_the_data_sets_lines() {
    let line = r#"{"id": "a_0", "image": "a.jpg", "question": "Total?", "answers": ["9.00"],
        "boxes": [[1, 2, 30, 40]], "kind": "total", "width": 100, "height": 80, "source": "x", "licence": "y", "more": 1}"#;
    let sample: Sample = serde_json::from_str(line).unwrap();
    assert_eq!(sample.evidence(), [norm(1.0, 2.5, 30.0, 50.0)]);
    assert_eq!(sample.validate(), Ok(()));
    let text = serde_json::to_string(&sample).unwrap();
    assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
    let wrong = Sample {
        boxes: vec![[200.0, 0.0, 210.0, 9.0]],
        ..sample.clone()
    };
    let message = wrong.validate().unwrap_err().to_string();
    assert!(
        message.contains("a_0") && message.contains("100 x 80"),
        "{message}"
    );
    assert!(wrong.evidence().is_empty());
    let wrong = Sample {
        width: 0,
        ..sample.clone()
    };
    assert!(wrong.validate().is_err());
    // Nested boxes are one place; without them each box is one.
    let [alone] = &sample.nested_evidence().unwrap()[..] else {
        panic!("one place");
    };
    assert_eq!(alone.boxes(), sample.evidence());
    let nested = |nested: &[[f32; 4]]| Sample {
        nested: nested.to_vec(),
        ..sample.clone()
    };
    let good = nested(&[[10.0, 8.0, 20.0, 16.0], [0.0, 0.0, 50.0, 80.0]]);
    assert_eq!(good.validate(), Ok(()));
    let place = &good.nested_evidence().unwrap()[0];
    assert_eq!(
        place.boxes(),
        [norm(10.0, 10.0, 20.0, 20.0), norm(0.0, 0.0, 50.0, 100.0)]
    );
    let wrong = nested(&[[0.0, 0.0, 50.0, 80.0], [10.0, 8.0, 20.0, 16.0]]);
    let message = wrong.validate().unwrap_err().to_string();
    assert!(
        message.contains("a_0") && message.contains("does not lie inside"),
        "{message}"
    );
    // Written where it is known, and never nothing.
    assert!(!text.contains("full_edge"), "{text}");
    let shrunk = Sample {
        full_edge: Some(64),
        ..sample.clone()
    };
    assert_eq!(shrunk.validate(), Ok(()));
    let text = serde_json::to_string(&shrunk).unwrap();
    assert!(text.contains("\"full_edge\":64"), "{text}");
    let wrong = Sample {
        full_edge: Some(0),
        ..sample
    };
    let message = wrong.validate().unwrap_err().to_string();
    assert!(
        message.contains("a_0") && message.contains("full_edge"),
        "{message}"
    );
}

#[test]
fn fixed_boxes_find_where_things_stand() {
    // Totals low on the right in three of four, dates high on the left.
    let mut samples: Vec<Sample> = (0..3)
        .map(|i| {
            sample(
                "total",
                &[[
                    700.0,
                    800.0 + 10.0 * i as f32,
                    780.0,
                    820.0 + 10.0 * i as f32,
                ]],
            )
        })
        .collect();
    samples.push(sample("total", &[[10.0, 10.0, 90.0, 30.0]]));
    samples.push(sample("date", &[[50.0, 50.0, 150.0, 70.0]]));
    let fixed = FixedBoxes::fit(&samples, 0.02);
    let summary = fixed.summary(&samples);
    assert_eq!(summary.n, 5);
    assert!((summary.full_recall - 0.8).abs() < 1e-9, "{summary:?}");
    assert!((summary.size - 0.02).abs() < 1e-6, "{summary:?}");
    assert_eq!(fixed.get("tax"), None);
    assert_eq!(
        FixedBoxes::fit(&samples, 1.0).get("date"),
        Some(NormBox::FULL)
    );
    assert_eq!(
        FixedBoxes::fit(&samples, 7.0).get("date"),
        Some(NormBox::FULL)
    );
}

#[test]
fn fixed_boxes_count_alternatives_once() {
    // One item printed at three places close together, two items elsewhere: two beat one.
    let samples = [
        sample(
            "total",
            &[
                [10.0, 10.0, 20.0, 20.0],
                [20.0, 20.0, 30.0, 30.0],
                [30.0, 30.0, 40.0, 40.0],
            ],
        ),
        sample("total", &[[800.0, 800.0, 820.0, 820.0]]),
        sample("total", &[[810.0, 810.0, 830.0, 830.0]]),
    ];
    let bbox = FixedBoxes::fit(&samples, 0.01).get("total").unwrap();
    assert!(bbox.contains(norm(80.0, 80.0, 83.0, 83.0)), "{bbox}");
}

proptest! {
    #[test]
    fn crops_lie_inside_and_are_never_empty(bbox in any_box(), w in 1u32..5000, h in 1u32..5000) {
        let p = bbox.to_pixels(w, h);
        prop_assert!(p.x1 < p.x2 && p.x2 <= w && p.y1 < p.y2 && p.y2 <= h);
    }

    #[test]
    fn pixels_survive_percent(x in 0u32..4000, y in 0u32..4000, w in 1u32..4000, h in 1u32..4000, right in 0u32..500, below in 0u32..500) {
        let pixels = PixelBox { x1: x, y1: y, x2: x + w, y2: y + h };
        let side = (x + w + right, y + h + below);
        let edges = <[u32; 4]>::from(pixels).map(|v| v as f32);
        let bbox = NormBox::from_pixels(edges, side.0, side.1).unwrap();
        prop_assert_eq!(bbox.to_pixels(side.0, side.1), pixels);
    }

    #[test]
    fn text_and_json_are_read_back(bbox in any_box()) {
        prop_assert_eq!(bbox.to_string().parse(), Ok(bbox));
        let json = serde_json::to_string(&bbox).unwrap();
        prop_assert_eq!(serde_json::from_str::<NormBox>(&json).unwrap(), bbox);
    }

    #[test]
    fn rounding_stays_valid_and_near(bbox in any_box()) {
        for whole in [bbox.rounded(), bbox.rounded_out()] {
            let [x1, y1, x2, y2] = whole.to_array();
            prop_assert!(NormBox::new(x1, y1, x2, y2).is_ok());
            for (a, b) in whole.to_array().into_iter().zip(bbox.to_array()) {
                prop_assert!(a.fract() == 0.0 && (a - b).abs() <= 1.5);
            }
        }
        prop_assert!(bbox.rounded_out().contains(bbox));
    }

    #[test]
    fn growing_keeps_the_box_and_reaches_its_area(bbox in any_box(), factor in 1.0f32..50.0) {
        let grown = bbox.grow(factor);
        let [x1, y1, x2, y2] = grown.to_array();
        prop_assert!(NormBox::new(x1, y1, x2, y2).is_ok());
        prop_assert!(grown.contains(bbox));
        let root = factor.sqrt();
        prop_assert!((grown.width() - (bbox.width() * root).min(100.0)).abs() < 1e-3);
        prop_assert!((grown.height() - (bbox.height() * root).min(100.0)).abs() < 1e-3);
    }

    #[test]
    fn a_box_of_a_part_lies_in_that_part(inner in any_box(), part in any_box()) {
        let outer = inner.out_of(part);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
        prop_assert!(near(outer.width(), inner.width() * part.width() / 100.0));
        prop_assert!(near(outer.x1, part.x1 + inner.x1 * part.width() / 100.0));
        prop_assert!(near(outer.y2, part.y1 + inner.y2 * part.height() / 100.0));
        prop_assert_eq!(NormBox::FULL.out_of(part), part);
        let same = inner.out_of(NormBox::FULL).to_array();
        prop_assert!(same.iter().zip(inner.to_array()).all(|(a, b)| near(*a, b)));
    }

    #[test]
    fn a_box_grows_to_the_pixels_that_are_wanted(bbox in any_box(), pixels in 1u32..400) {
        let (width, height) = (300, 200);
        let grown = bbox.at_least(pixels, width, height);
        prop_assert!(grown.contains(bbox));
        let cut = grown.to_pixels(width, height);
        prop_assert!(cut.width() >= pixels.min(width) && cut.height() >= pixels.min(height));
        prop_assert_eq!(bbox.at_least(1, width, height), bbox);
    }

    #[test]
    fn metrics_are_shares(a in any_box(), b in any_box()) {
        let (iou, recall) = (metrics::iou(a, b), metrics::recall(a, b));
        prop_assert!((0.0..=1.0).contains(&iou) && (0.0..=1.0).contains(&recall));
        prop_assert_eq!(iou, metrics::iou(b, a));
        prop_assert!((metrics::iou(a, a) - 1.0).abs() < 1e-5);
        prop_assert!(iou <= recall + 1e-5);
        prop_assert_eq!(metrics::full_recall(a, b, (640, 480), 0.0), a.contains(b));
        prop_assert_eq!(metrics::recall(a.join(b), b), 1.0);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))] // the search below is slow

    /// Against a search written the slow and obvious way.
    #[test]
    fn fixed_boxes_are_the_best_there_are(
        places in prop::collection::vec(prop::collection::vec((0u32..90, 0u32..90, 1u32..10, 1u32..10), 1..3), 1..6),
        percent in 2u32..60,
    ) {
        let samples: Vec<Sample> = places.iter().map(|item| {
            let boxes: Vec<[f32; 4]> = item.iter()
                .map(|&(x, y, w, h)| [x, y, x + w, y + h].map(|v| v as f32 * 10.0)).collect();
            sample("any", &boxes)
        }).collect();
        let size = f64::from(percent) / 100.0;
        let found = FixedBoxes::fit(&samples, size).summary(&samples);
        let mut best = 0.0f64;
        for width in percent..=100 {
            let height = percent as f32 * 100.0 / width as f32;
            for x in 0..=(100 - width) {
                for y in 0..=((100.0 - height).floor() as u32) {
                    let (x, y) = (x as f32, y as f32);
                    let bbox = norm(x, y, x + width as f32, (y + height).min(100.0));
                    let hits = samples.iter().filter(|s| metrics::score(s, bbox).full_recall).count();
                    best = best.max(hits as f64 / samples.len() as f64);
                }
            }
        }
        prop_assert!(found.full_recall >= best - 1e-9, "{:?} against {}", found, best);
        prop_assert!((found.size - size).abs() < 1e-5);
    }
}
