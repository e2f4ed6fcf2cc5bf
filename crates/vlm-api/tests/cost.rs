//! Tokens of images by the published rules, against the examples that were published with them, and money.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use proptest::prelude::*;
use vlm_api::tokens::{Rule, predict};
use vlm_api::usage::cost;
use vlm_api::{Money, Price, Provider, Usage};

fn tokens(provider: Provider, model: &str, width: u32, height: u32) -> u64 {
    let rule = Rule::of(provider, model);
    rule.unwrap_or_else(|| panic!("{model}"))
        .tokens(width, height)
}

/// "Images and vision", section "Calculating costs", of OpenAI: the worked examples.
#[test]
fn openai_s_examples() {
    let ask = |model, w, h| tokens(Provider::OpenAi, model, w, h);
    // Patches, before the model's multiplier: 1024 for 1024 x 1024, 1452 for 1800 x 2400.
    for (model, multiplier) in [
        ("gpt-4.1-mini", 1.62),
        ("o4-mini", 1.72),
        ("gpt-5-mini", 1.2),
    ] {
        let times = |patches: f64| (patches * multiplier).ceil() as u64;
        assert_eq!(ask(model, 1024, 1024), times(1024.0), "{model}");
        assert_eq!(ask(model, 1800, 2400), times(1452.0), "{model}");
    }
    // Tiles: 1024 x 1024 is 170 * 4 + 85, 2048 x 4096 is 170 * 6 + 85 (detail high).
    assert_eq!(ask("gpt-4o", 1024, 1024), 765);
    assert_eq!(ask("gpt-4o-2024-08-06", 2048, 4096), 1105);
    assert_eq!(ask("gpt-4o-mini", 1024, 1024), 2833 + 4 * 5667);
    assert_eq!(ask("gpt-5", 1024, 1024), 70 + 4 * 140);
    // 6000 x 6000 at original size is 35,344 patches (the example of OpenAI's calculator).
    assert_eq!(
        ask("gpt-5.6-luna", 6000, 6000),
        (35_344f64 * 1.2).ceil() as u64
    );
    // Measured by others (dataset JOHNISKING/image-token-cost on Hugging Face): `auto` on GPT-6 Astra and GPT-5.5.
    for (w, h, astra, five) in [
        (256, 256, 77, 77),
        (1024, 1024, 1_229, 1_229),
        (1920, 1080, 2_448, 2_448),
        (4032, 3024, 14_364, 11_868),
    ] {
        assert_eq!(ask("gpt-6-astra", w, h), astra);
        assert_eq!(ask("gpt-5.5", w, h), five);
    }
}

/// "Vision" and "Coordinates and bounding boxes" of Anthropic: the tables and the example of a page.
#[test]
fn anthropic_s_table() {
    let ask = |model, w, h| tokens(Provider::Anthropic, model, w, h);
    for (w, h, standard, high) in [
        (200, 200, 64, 64),
        (1000, 1000, 1296, 1296),
        (1092, 1092, 1521, 1521),
        (1920, 1080, 1560, 2691),
        (2000, 1500, 1564, 3888),
        (3840, 2160, 1560, 4784),
    ] {
        assert_eq!(
            ask("claude-haiku-4-5-20251001", w, h),
            standard,
            "{w} x {h}"
        );
        assert_eq!(ask("claude-opus-4-8", w, h), high, "{w} x {h}");
        assert_eq!(ask("claude-opus-4-8", h, w), high, "{h} x {w}");
    }
    // A page of 1075 x 1520 becomes 924 x 1307: 33 * 47 patches.
    assert_eq!(ask("claude-haiku-4-5", 1075, 1520), 33 * 47);
    assert_eq!(ask("claude-sonnet-5", 1075, 1520), 2145);
}

/// "Image understanding" (960 x 540 is six tiles) and "Media resolution" of Google.
#[test]
fn google_s_examples() {
    let ask = |model, w, h| tokens(Provider::Gemini, model, w, h);
    assert_eq!(ask("gemini-2.5-flash", 384, 384), 258);
    assert_eq!(ask("models/gemini-2.5-flash-lite", 960, 540), 6 * 258);
    assert_eq!(ask("gemini-3.1-flash-lite", 960, 540), 1120);
}

#[test]
fn what_is_not_published_is_not_guessed() {
    for (provider, model) in [
        (Provider::OpenAi, "gpt-6-luna"),
        (Provider::OpenAi, "gpt-5-pro"),
        (Provider::OpenAi, "gpt-4o-audio-preview"),
        (Provider::Anthropic, "claude-opus-5-5"),
        (Provider::Gemini, "gemini-9-pro"),
        (Provider::Mistral, "mistral-small-latest"),
        (Provider::Ollama, "gpt-4o"),
        (Provider::OpenRouter, "qwen/qwen3-vl-8b"),
        (Provider::OpenRouter, "gpt-4o"),
        (Provider::OpenAi, ""),
    ] {
        assert_eq!(Rule::of(provider, model), None, "{provider:?} {model}");
        assert_eq!(predict(provider, model, &[(1, 1)]), None);
    }
    let same = |routed, provider, model| {
        assert_eq!(
            Rule::of(Provider::OpenRouter, routed),
            Rule::of(provider, model)
        );
        assert!(Rule::of(provider, model).is_some());
    };
    same(
        "anthropic/claude-haiku-4.5",
        Provider::Anthropic,
        "claude-haiku-4-5",
    );
    same("openai/gpt-4o", Provider::OpenAi, "gpt-4o");
    same(
        "google/gemini-2.5-flash-lite",
        Provider::Gemini,
        "gemini-2.5-flash-lite",
    );
    // Full image and crop together.
    let both = predict(Provider::OpenAi, "gpt-4o", &[(1024, 1024), (512, 512)]);
    assert_eq!(both, Some(765 + 255));
}

#[test]
fn money_is_the_provider_s_or_by_the_typed_price() {
    let usage = Usage {
        prompt_tokens: 1_541,
        completion_tokens: 9,
        cost: None,
    };
    let price = Price::parse("0.20", "1,20").unwrap();
    let paid = cost(&usage, Some(&price)).unwrap();
    assert_eq!(paid.to_string(), "$0.00032");
    assert_eq!(cost(&usage, None), None);
    let said = Usage {
        cost: Money::from_dollars(0.5),
        ..usage
    };
    assert_eq!(cost(&said, Some(&price)).unwrap().to_string(), "$0.50");
    assert_eq!((said.cost.unwrap() - paid).to_string(), "$0.50");
    assert_eq!((paid - said.cost.unwrap() + paid).to_string(), "-$0.50");
    for (input, output, expected) in [
        ("", "", None),
        (" $2 ", "", Some((2.0, 0.0))),
        ("2", "x", None),
        ("-1", "1", None),
        ("1e9", "1", None),
        ("0", "0", Some((0.0, 0.0))),
    ] {
        let parsed = Price::parse(input, output).map(|p| (p.input, p.output));
        assert_eq!(parsed, expected, "{input:?} {output:?}");
    }
    assert_eq!(Money::default().to_string(), "$0.00");
    assert_eq!(Money::from_dollars(12.0).unwrap().to_string(), "$12.00");
    assert_eq!(Money::from_dollars(f64::NAN), None);
}

proptest! {
    #[test]
    fn no_size_breaks_a_rule_and_limits_hold(
        w in 1u32..20_000, h in 1u32..20_000,
        model in prop::sample::select(vec![
            (Provider::OpenAi, "gpt-4.1-mini", 2_489), // 1,536 patches * 1.62
            (Provider::OpenAi, "gpt-5.5", 12_000),
            (Provider::OpenAi, "gpt-4o", 85 + 170 * 8),
            (Provider::Anthropic, "claude-haiku-4-5", 1_568),
            (Provider::Anthropic, "claude-opus-4-8", 4_784),
        ]),
    ) {
        let (provider, model, most) = model;
        let count = tokens(provider, model, w, h);
        prop_assert!((1..=most).contains(&count), "{} for {} x {}", count, w, h);
    }

    #[test]
    fn gemini_counts_some_tiles(w in 1u32..20_000, h in 1u32..20_000) {
        prop_assert!(tokens(Provider::Gemini, "gemini-2.5-flash", w, h) >= 258);
    }
}
