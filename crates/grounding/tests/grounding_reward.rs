//! The grounding reward: cases computed by hand, and what holds for any boxes.

use grounding::NormBox;
use grounding::reward::grounding::{COVERED, Nested, grounding_reward};
use proptest::prelude::*;

fn found(bbox: &str, nested: &str) -> [f64; 3] {
    let bbox: NormBox = bbox.parse().expect("a box");
    let found = grounding_reward(bbox, &nested.parse().expect("nested boxes"));
    [found.coverage, found.iou, found.distance]
}

fn assert_found(bbox: &str, nested: &str, expected: [f64; 3]) {
    for (found, expected) in found(bbox, nested).into_iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-6, // percents are f32
            "{bbox} in {nested}: {found} {expected}"
        );
    }
}

#[test]
fn cases_by_hand() {
    // The box itself; a larger one of two.
    assert_found("10,20,30,40", "10,20,30,40", [1.0, 1.0, 1.0]);
    assert_found("0,0,50,50", "10,20,30,40;0,0,50,50", [1.0, 1.0, 1.0]);
    // The whole picture: IoU 4 % with the smaller, 25 % with the larger; edges off by 100 of 400.
    assert_found("0,0,100,100", "10,20,30,40;0,0,50,50", [1.0, 0.25, 0.75]);
    // Nothing shared: edges off by 50 each.
    assert_found("60,60,80,80", "10,10,30,30", [0.0, 0.0, 0.5]);
    // Half the evidence: no IoU is granted, though it would be 200 of 600.
    assert_found("20,20,40,40", "10,20,30,40", [0.5, 0.0, 0.95]);
    // Nine tenths: it is granted. 360 of 400 covered, union 440.
    assert_found("12,20,32,40", "10,20,30,40", [0.9, 360.0 / 440.0, 0.99]);
    // A little less than nine tenths: 17.9 of 20.
    assert_found(
        "12.1,20,32.1,40",
        "10,20,30,40",
        [0.895, 0.0, 1.0 - 4.2 / 400.0],
    );
    // Coverage is of the smallest box, IoU and distance those of whichever is best. The middle one: 900 of 1200.
    assert_found(
        "10,10,40,40",
        "15,15,20,20;10,10,40,50;0,0,100,100",
        [1.0, 0.75, 0.975],
    );
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| text.parse::<Nested>().expect_err("an error").to_string();
    assert!(error("").contains("there is none"), "{}", error(""));
    assert!(error("  ").contains("there is none"));
    assert!(error("1,2,3").contains("\"1,2,3\" is no box"));
    assert!(error("1,2,3,4;5,6,x,8").contains("\"5,6,x,8\" is no box"));
    assert!(error("1,2,3,4;;5,6,7,8").contains("no box"));
    assert!(error("10,10,120,20").contains("between 0 and 100"));
    assert!(error("30,10,20,20").contains("x2 > x1"));
    let error = error("10,10,60,60;20,20,40,40");
    assert!(
        error.contains("box 1 (10,10,60,60) does not lie inside box 2 (20,20,40,40)"),
        "{error}"
    );
    assert!("1,2,3,4; 0,0,5,5;".parse::<Nested>().is_ok());
}

fn boxes() -> impl Strategy<Value = NormBox> {
    (0..100u32, 0..100u32, 1..=100u32, 1..=100u32).prop_map(|(x, y, w, h)| {
        let far = |at: u32, by: u32| (at + by).min(100) as f32;
        NormBox::new(x as f32, y as f32, far(x, w), far(y, h)).expect("a box")
    })
}

fn nested() -> impl Strategy<Value = Nested> {
    prop::collection::vec(boxes(), 1..4).prop_map(|boxes| {
        let mut list: Vec<NormBox> = Vec::new();
        for bbox in boxes {
            list.push(list.last().map_or(bbox, |inner| inner.join(bbox)));
        }
        Nested::new(list).expect("nested boxes")
    })
}

proptest! {
    #[test]
    fn every_part_lies_between_0_and_1(bbox in boxes(), nested in nested()) {
        let found = grounding_reward(bbox, &nested);
        for part in [found.coverage, found.iou, found.distance] {
            prop_assert!((0.0..=1.0).contains(&part), "{found:?}");
        }
        if found.coverage < COVERED - 1e-3 {
            prop_assert_eq!(found.iou, 0.0);
        }
    }

    #[test]
    fn a_true_box_is_perfect_and_no_other_box_is(bbox in boxes(), nested in nested()) {
        for truth in nested.boxes() {
            let found = grounding_reward(*truth, &nested);
            prop_assert_eq!([found.coverage, found.iou, found.distance], [1.0; 3]);
        }
        let found = grounding_reward(bbox, &nested);
        if !nested.boxes().contains(&bbox) {
            prop_assert!(found.iou < 1.0 && found.distance < 1.0, "{:?}", found);
        }
    }

    #[test]
    fn coverage_never_falls_as_a_box_grows(a in boxes(), b in boxes(), nested in nested()) {
        let (small, large) = (grounding_reward(a, &nested), grounding_reward(a.join(b), &nested));
        prop_assert!(large.coverage >= small.coverage);
    }

    #[test]
    fn a_mirrored_picture_gives_the_same(bbox in boxes(), nested in nested()) {
        let mirrored = |b: &NormBox| NormBox::new(100.0 - b.x2, b.y1, 100.0 - b.x1, b.y2).expect("a box");
        let other = Nested::new(nested.boxes().iter().map(mirrored).collect()).expect("nested boxes");
        let (a, b) = (grounding_reward(bbox, &nested), grounding_reward(mirrored(&bbox), &other));
        prop_assert!((a.coverage - b.coverage).abs() + (a.iou - b.iou).abs() + (a.distance - b.distance).abs() < 1e-9);
    }
}
