//! What must hold for pages out of a browser.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use super::super::words::options;
use super::super::{Dice, record};
use super::browser::{Browser, installed};
use super::draft::{Draft, escaped};
use super::{designs, make};

#[test]
fn what_is_asked_for_is_marked_in_the_document() {
    for index in 0..60 {
        let mut dice = Dice::new(3, index);
        let mut draft = Draft::new(&mut dice);
        let (view, _) = designs::any(&mut draft);
        let document = draft.document(view);
        assert!(draft.wanted.len() >= 2, "page {index} asks for little");
        for wanted in &draft.wanted {
            let marked = format!("data-p=\"{}\">{}<", wanted.part, escaped(&wanted.answer));
            let bare = format!("data-p={}>{}<", wanted.part, escaped(&wanted.answer));
            let control = format!("data-p=\"{}\" data-v={}>", wanted.part, wanted.answer);
            assert!(
                [&marked, &bare, &control]
                    .iter()
                    .any(|part| document.contains(*part)),
                "page {index}: {} is not in the document",
                wanted.answer
            );
            assert!(
                !wanted.question.contains(['"', '=', '~', '{']),
                "{}",
                wanted.question
            );
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_document() {
    let document = |index| {
        let mut dice = Dice::new(4, index);
        let mut draft = Draft::new(&mut dice);
        let (view, _) = designs::any(&mut draft);
        draft.document(view)
    };
    assert_eq!(document(1), document(1));
    assert_ne!(document(1), document(2));
}

#[test]
fn many_questions_do_not_copy_what_is_printed() {
    let (mut other, mut all) = (0, 0);
    for index in 0..80 {
        let mut dice = Dice::new(5, index);
        let mut draft = Draft::new(&mut dice);
        designs::any(&mut draft);
        let printed = draft.body.to_lowercase();
        // A cell or a chart's number is named by its row and column: there are no other words for it.
        let named = ["chart", "table", "menu", "map"];
        let wanted = draft.wanted.iter();
        for wanted in wanted.filter(|wanted| !named.contains(&wanted.kind)) {
            let question = wanted.question.to_lowercase();
            let mut words = question
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| word.chars().count() >= 4);
            other += usize::from(!words.any(|word| printed.contains(word)));
            all += 1;
        }
    }
    let share = other as f64 / f64::from(all);
    assert!((0.2..0.6).contains(&share), "{share} of {all}");
}

#[test]
fn what_is_missing_is_none_of_the_things_shown() {
    let mut asked = HashSet::new();
    for index in 0..80 {
        let mut dice = Dice::new(6, index);
        let mut draft = Draft::new(&mut dice);
        designs::any(&mut draft);
        let missing = draft.missing();
        let language = draft.language;
        for shown in &draft.shown {
            for key in [format!("a.{shown}.{language}"), format!("a.{shown}")] {
                assert!(
                    !options(&key).contains(&missing.as_str()),
                    "{missing}: {shown}"
                );
            }
        }
        asked.insert(missing);
    }
    assert!(asked.len() > 20, "always the same: {asked:?}");
}

#[test]
fn a_program_that_is_no_chromium_is_named() {
    let program = Path::new("/bin/false");
    let error = Browser::start(Some(program)).err().unwrap();
    assert!(error.to_string().contains("/bin/false"), "{error:#}");
}

/// Needs Chromium, which the browser tests install; says so where there is none.
#[test]
fn every_box_of_a_page_out_of_chromium_has_ink() {
    if installed().is_none() && std::env::var_os("CHROMIUM").is_none() {
        eprintln!("not run: Chromium is not installed");
        return;
    }
    let browser = Mutex::new(Browser::start(None).unwrap());
    let mut asked = 0;
    for index in 0..4 {
        let page = make(&browser, &mut Dice::new(7, index)).unwrap();
        assert!(!page.lines.is_empty(), "page {index} is empty");
        let lines = page.lines.iter().map(|l| (l.rect, l.text.clone()));
        let asks = page.asks.iter();
        let asks = asks.flat_map(|a| a.rects.iter().map(|r| (*r, a.answers[0].clone())));
        for (rect, what) in lines.chain(asks) {
            let (w, h) = (page.canvas.w, page.canvas.h);
            let [x1, y1, x2, y2] = record::pixels(rect, w, h).unwrap();
            // Something is drawn inside; beside the ink of a line there is none.
            let values = (y1..y2).flat_map(|y| (x1..x2).map(move |x| (x, y)));
            let sums = values.map(|(x, y)| {
                page.canvas
                    .at(x as usize, y as usize)
                    .map(u32::from)
                    .iter()
                    .sum::<u32>()
            });
            let (low, high) = sums.fold((u32::MAX, 0), |(low, high), sum| {
                (low.min(sum), high.max(sum))
            });
            assert!(
                high - low > 40,
                "page {index}: no ink for {what} at {rect:?}"
            );
        }
        asked += page.asks.len();
    }
    assert!(asked > 12, "{asked} questions on four pages");
}
