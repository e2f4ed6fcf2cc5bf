//! What must hold for every page, on pages drawn with the program's own fonts.
#![allow(clippy::unwrap_used)]

use grounding::NormBox;

use super::canvas::Canvas;
use super::dice::Dice;
use super::fonts::Fonts;
use super::kinds::Mix;
use super::page::{Page, Studio};
use super::scene::Backgrounds;
use super::{Workshop, record, words};

const KINDS: [&str; 7] = [
    "receipt", "form", "invoice", "chart", "table", "sign", "plate",
];

fn workshop(kind: &str, seed: u64) -> Workshop {
    Workshop {
        fonts: Fonts::load(None, true).unwrap(),
        backgrounds: Backgrounds(Vec::new()),
        mix: Mix::parse(Some(kind)).unwrap(),
        browser: None,
        seed,
        debug_boxes: false,
    }
}

/// The flat page, before it is scanned or photographed.
fn flat(workshop: &Workshop, index: u64) -> Page {
    let mut dice = Dice::new(workshop.seed, index);
    let kind = workshop.mix.pick(&mut dice);
    let mut studio = Studio {
        fonts: &workshop.fonts,
        dice: &mut dice,
    };
    kind.make(
        &mut studio,
        &workshop.backgrounds,
        workshop.browser.as_ref(),
    )
    .unwrap()
}

/// Difference of the darkest and the brightest pixel of a box.
fn contrast(canvas: &Canvas, b: [i64; 4]) -> u32 {
    let mut range = (u32::MAX, 0);
    for y in b[1]..b[3] {
        for x in b[0]..b[2] {
            let sum = canvas
                .at(x as usize, y as usize)
                .map(u32::from)
                .iter()
                .sum();
            range = (range.0.min(sum), range.1.max(sum));
        }
    }
    range.1.saturating_sub(range.0)
}

#[test]
fn every_box_of_a_flat_page_is_inside_it_and_has_ink() {
    for kind in KINDS {
        let workshop = workshop(kind, 11);
        for index in 0..12 {
            let page = flat(&workshop, index);
            assert!(
                !page.lines.is_empty() && !page.asks.is_empty(),
                "{kind} {index}: nothing printed"
            );
            let lines = page.lines.iter().map(|l| (l.rect, l.text.clone()));
            let asks = page
                .asks
                .iter()
                .flat_map(|a| a.rects.iter().map(|r| (*r, a.question.clone())));
            for (rect, what) in lines.chain(asks) {
                let b = record::pixels(rect, page.canvas.w, page.canvas.h);
                let b =
                    b.unwrap_or_else(|| panic!("{kind} {index}: {what} is outside at {rect:?}"));
                assert!(
                    contrast(&page.canvas, b) > 40,
                    "{kind} {index}: no ink for {what} at {b:?}"
                );
            }
        }
    }
}

#[test]
fn every_answer_is_on_a_printed_line() {
    let mut read = 0;
    for kind in KINDS {
        let workshop = workshop(kind, 12);
        for index in 0..12 {
            let page = flat(&workshop, index);
            for ask in &page.asks {
                for rect in &ask.rects {
                    let (x, y) = rect.center();
                    let on = |l: &&super::text::Printed| {
                        l.rect.x1 <= x
                            && x <= l.rect.x2
                            && l.rect.y1 <= y + 2.0
                            && y <= l.rect.y2 + 2.0
                    };
                    let line = page.lines.iter().find(on);
                    let several = ask.answers[0].contains(' ');
                    assert!(
                        line.is_some() || several,
                        "{kind} {index}: {} at {rect:?}",
                        ask.question
                    );
                    if let (1, false, Some(line)) = (ask.rects.len(), several, line) {
                        read += 1;
                        assert!(
                            line.text.contains(&ask.answers[0]),
                            "{}: {} is not in {}",
                            ask.question,
                            ask.answers[0],
                            line.text
                        );
                    }
                }
            }
        }
    }
    assert!(read > 12 * KINDS.len(), "only {read} answers were compared");
}

#[test]
fn a_page_depends_on_seed_and_index_only() {
    for kind in KINDS {
        let a = workshop(kind, 3).make(5).unwrap();
        let b = workshop(kind, 3).make(5).unwrap();
        assert!(a == b, "{kind}");
        assert!(a.0 != workshop(kind, 4).make(5).unwrap().0, "{kind}");
        assert!(a.0 != workshop(kind, 3).make(6).unwrap().0, "{kind}");
    }
}

#[test]
fn boxes_of_finished_pictures_are_inside_and_questions_are_enough() {
    let (mut asked, mut deep) = (0, 0);
    for (i, kind) in KINDS.iter().enumerate() {
        let workshop = workshop(kind, 20 + i as u64);
        for index in 0..8 {
            let (jpeg, record) = workshop.make(index).unwrap();
            let picture = image::load_from_memory(&jpeg).unwrap();
            for line in record.samples.lines() {
                let sample: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(sample["width"], picture.width());
                assert_eq!(sample["height"], picture.height());
                for b in sample["boxes"].as_array().unwrap() {
                    let b: Vec<u32> = b
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|v| v.as_u64().unwrap() as u32)
                        .collect();
                    assert!(
                        b[0] < b[2]
                            && b[1] < b[3]
                            && b[2] <= picture.width()
                            && b[3] <= picture.height()
                    );
                }
                asked += 1;
                let sample: grounding::Sample = serde_json::from_str(line).unwrap();
                sample.validate().unwrap();
                let places = sample.nested_evidence().unwrap();
                assert!(places.len() == 1 || sample.nested.is_empty(), "{line}");
                if let (Some(smallest), [place]) = (sample.nested.first(), &sample.evidence()[..]) {
                    let smallest = NormBox::from_pixels(*smallest, sample.width, sample.height);
                    assert_eq!(smallest.unwrap(), *place, "{line}");
                }
                deep += usize::from(sample.nested.len() > 1);
            }
        }
    }
    // Value, row, block: most values stand in a row with something else.
    assert!(deep > asked / 2, "{deep} of {asked} are nested");
    assert!(
        asked > 7 * 8 * 4,
        "only {asked} questions on {} pages",
        7 * 8
    );
}

#[test]
fn word_lists_leave_no_sign_of_the_grammar() {
    let mut dice = Dice::new(1, 1);
    for key in [
        "address",
        "company",
        "item",
        "phone",
        "taxid",
        "footer",
        "f.sentence",
        "c.title",
        "plate",
        "q.total",
        "sign.text",
    ] {
        for country in ["my", "us", "de", "fr", "in", "uk", "br"] {
            for _ in 0..40 {
                let text = words::say(&mut dice, country, key);
                assert!(
                    !text.is_empty() && !text.contains(['{', '}', '|', '^']),
                    "{key}.{country}: {text}"
                );
            }
        }
    }
}

#[test]
fn unknown_kinds_are_refused_by_name() {
    let error = Mix::parse(Some("receipt=2,recipe"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("recipe") && error.contains("receipt"),
        "{error}"
    );
    assert!(Mix::parse(Some("receipt=-1")).is_err());
    assert!(Mix::parse(Some("")).is_err());
}
