//! Prompts, case, parsing and answer scores, against Python and against examples done by hand.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use grounding::answers::{anls, most_frequent, normalise, vqa_accuracy};
use grounding::prompt::{answer_prompt, capitalize, policy_prompt, target_answer};
use grounding::{Case, NormBox, ParseError, parse_completion, validity_reward};
use proptest::prelude::*;

#[test]
fn capitalizes_as_python_does() {
    let golden = include_str!("goldens/capitalize.json");
    let pairs: Vec<(String, String)> = serde_json::from_str(golden).unwrap();
    assert!(pairs.len() > 150);
    for (text, expected) in pairs {
        assert_eq!(capitalize(&text), expected, "of {text:?}");
    }
}

#[test]
fn prompts_are_the_method_s() {
    assert_eq!(
        policy_prompt("What is the TOTAL?", Case::Capitalize),
        "What is the total?\nOutline the region in the image that would help answer this question."
    );
    assert_eq!(
        answer_prompt("What is the TOTAL?", Case::default()),
        "What is the total?\nGive a very brief answer."
    );
    assert_eq!(
        answer_prompt("what does IKEA sell?", Case::Keep),
        "what does IKEA sell?\nGive a very brief answer."
    );
}

#[test]
fn target_answer_is_the_most_frequent_with_a_full_stop() {
    let answers = ["RM 9.00", "9.00", "RM 9.00", "nine"];
    assert_eq!(
        target_answer(&answers, Case::Capitalize).as_deref(),
        Some("Rm 9.00.")
    );
    assert_eq!(
        target_answer(&answers, Case::Keep).as_deref(),
        Some("RM 9.00.")
    );
    assert_eq!(most_frequent(&["b", "a", "a", "b"]), Some("b"));
    assert_eq!(target_answer::<&str>(&[], Case::Keep), None);
}

#[test]
fn case_is_named_in_configuration_files() {
    assert_eq!(serde_json::to_string(&Case::Keep).unwrap(), "\"keep\"");
    let case: Case = serde_json::from_str("\"capitalize\"").unwrap();
    assert_eq!(case, Case::Capitalize);
}

#[test]
fn parses_exactly_one_form() {
    let expected = NormBox::new(10.0, 20.0, 63.0, 57.0).unwrap();
    for good in [
        "[10, 20, 63, 57].",
        " [10, 20, 63, 57].\n",
        "\t[10, 20, 63, 57].",
    ] {
        assert_eq!(parse_completion(good), Ok(expected), "{good:?}");
    }
    assert_eq!(parse_completion("[0, 0, 100, 100]."), Ok(NormBox::FULL));
    for form in [
        "",
        "[",
        "].",
        "[].",
        "10, 20, 63, 57",
        "[10, 20, 63, 57]",
        "[10, 20, 63, 57]..",
        "[10, 20, 63].",
        "[10, 20, 63, 57, 60].",
        "[10,20,63,57].",
        "(10, 20, 63, 57).",
        "The box is [10, 20, 63, 57].",
        "[10, 20, 63, 57]. It is there.",
        "not needed",
    ] {
        assert_eq!(parse_completion(form), Err(ParseError::Form), "{form:?}");
        assert_eq!(validity_reward(form), 0.0, "{form:?}");
    }
    for (text, index) in [
        ("[-1, 20, 63, 57].", 1),
        ("[10, 020, 63, 57].", 2),
        ("[10, 20, 101, 57].", 3),
        ("[10, 20, 63, 57.0].", 4),
        ("[10, 20, 63, 300].", 4),
        ("[10, +2, 63, 57].", 2),
        ("[10,  20, 63, 57].", 2),
        ("[ 10, 20, 63, 57].", 1),
        ("[10, , 63, 57].", 2),
        ("[10, ٢, 63, 57].", 2),
    ] {
        assert_eq!(
            parse_completion(text),
            Err(ParseError::Number { index }),
            "{text:?}"
        );
    }
    for order in [
        "[63, 20, 10, 57].",
        "[10, 57, 63, 57].",
        "[10, 20, 10, 57].",
    ] {
        assert_eq!(parse_completion(order), Err(ParseError::Order), "{order:?}");
        assert_eq!(validity_reward(order), 0.0);
    }
}

#[test]
fn not_needed_is_its_own_outcome() {
    assert_eq!(parse_completion("Not needed."), Err(ParseError::NotNeeded));
    assert_eq!(validity_reward("Not needed."), 0.25);
    assert_eq!(validity_reward("Not needed"), 0.0);
    assert_eq!(validity_reward("[1, 2, 3, 4]."), 1.0);
}

#[test]
fn vqa_accuracy_of_ten_answers() {
    let of = |yes: usize| -> Vec<&str> {
        (0..10)
            .map(|i| if i < yes { "blue" } else { "red" })
            .collect()
    };
    // By hand: with m of 10 matching, m times (m - 1)/3 and (10 - m) times m/3, capped at 1.
    for (matches, expected) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)] {
        let got = vqa_accuracy("Blue.", &of(matches));
        assert!((got - expected).abs() < 1e-9, "{matches} matches: {got}");
    }
}

#[test]
fn vqa_accuracy_of_few_answers_takes_them_as_spellings() {
    assert_eq!(vqa_accuracy("9.00", &["9.00"]), 1.0);
    assert_eq!(vqa_accuracy("9.00", &["RM9.00", "9.00"]), 1.0);
    assert_eq!(vqa_accuracy("8.00", &["RM9.00", "9.00", "9"]), 0.0);
    assert_eq!(vqa_accuracy::<&str>("8.00", &[]), 0.0);
    let four = vqa_accuracy("a1", &["a1", "b", "c", "d"]);
    assert!((four - 0.25).abs() < 1e-9, "{four}"); // 3 of 4 times 1/3
}

#[test]
fn normalises_as_the_challenge_does() {
    for (raw, expected) in [
        ("The Cat.", "cat"),
        ("two", "2"),
        ("$5.50", "$5.50"),
        ("1,000", "1000"),
        ("red, white", "red white"),
        ("red,white", "red white"),
        ("red/white", "red white"),
        ("Dont know", "don't know"),
        ("  an   apple ", "apple"),
        ("12:30 p.m.", "12:30 pm"),
        ("what?", "what"),
        ("none", "0"),
    ] {
        assert_eq!(normalise(raw), expected, "{raw:?}");
    }
}

#[test]
fn anls_has_its_threshold() {
    assert_eq!(anls("Hello", &["hello"]), 1.0);
    assert_eq!(anls("a  b", &["A b"]), 1.0);
    assert_eq!(anls("abcx", &["abcd"]), 0.75);
    assert_eq!(anls("abxx", &["abcd"]), 0.0); // distance is exactly half
    assert_eq!(anls("", &["abcd"]), 0.0);
    assert_eq!(anls("abcd", &["zzzz", "abcx"]), 0.75);
    assert_eq!(anls("äöü", &["aöü"]), 1.0 - 1.0 / 3.0); // characters, not bytes
    assert_eq!(anls::<&str>("abcd", &[]), 0.0);
}

proptest! {
    #[test]
    fn whatever_parses_is_written_the_same(text in r" ?\[?[0-9]{1,3}, ?[0-9]{1,3}, [0-9]{1,3}, [0-9]{1,3}\]\.?\n?") {
        if let Ok(bbox) = parse_completion(&text) {
            prop_assert_eq!(bbox.completion(), text.trim());
        }
    }

    #[test]
    fn every_whole_box_is_read_back(a in 0u8..100, b in 0u8..100, w in 1u8..=100, h in 1u8..=100) {
        let bbox = NormBox::new(
            a.into(), b.into(), (a + w).min(100).into(), (b + h).min(100).into()).unwrap();
        prop_assert_eq!(parse_completion(&bbox.completion()), Ok(bbox));
        prop_assert_eq!(validity_reward(&bbox.completion()), 1.0);
    }

    #[test]
    fn no_text_breaks_the_parser(text in any::<String>()) {
        let _ = parse_completion(&text);
        let _ = text.parse::<NormBox>();
        let _ = normalise(&text);
    }

    #[test]
    fn capitalize_changes_nothing_twice(text in "[ -~À-ŀ]*") {
        prop_assert_eq!(capitalize(&capitalize(&text)), capitalize(&text));
    }

    #[test]
    fn scores_are_shares(prediction in "[ a-d.,0-3]{0,8}", answers in prop::collection::vec("[ a-d.,0-3]{0,8}", 0..11)) {
        for score in [anls(&prediction, &answers), vqa_accuracy(&prediction, &answers)] {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&score));
        }
        if let Some(first) = answers.first() {
            prop_assert_eq!(anls(first, &answers), 1.0);
            prop_assert!(vqa_accuracy(first, &answers) > 0.0 );
        }
    }

    #[test]
    fn anls_is_symmetric(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
        prop_assert_eq!(anls(&a, &[&b]), anls(&b, &[&a]));
    }
}
