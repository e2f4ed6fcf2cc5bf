//! Words around asking a provider: settings, tests of the connection, costs, comparison.
//!
//! Sentences about the provider's own errors and settings come from `vlm-api`, which knows them.

use vlm_api::{Money, Price, Usage, usage};

use crate::compare::{Forecast, Sizes, Variant, Verdict};
use crate::protocol::MAX_SENT_EDGE;

use super::{grouped, milliseconds};

/// `data-text` of an element and what it says.
pub const LABELS: &[(&str, &str)] = &[
    ("provider", "Provider"),
    (
        "keep-key",
        "Keep keys in this tab until it is closed (session storage)",
    ),
    ("test", "Test the connection"),
    ("setup", "Help with this provider"),
    ("key-page", "Get a key"),
    ("prices-page", "Prices"),
    (
        "origin-note",
        "What you type is sent to the base URL and nowhere else; a key goes only to the origin it was typed for. The browser's policy for this page forbids every other way out, but cannot know your choice beforehand: it allows requests to any web address, and this page makes them to yours alone.",
    ),
    ("cost", "Tokens and money"),
    ("edge", "Full picture at most"),
    (
        "enlarge",
        "Enlarge a smaller crop to 512 pixels before it is sent (Lanczos resampling)",
    ),
    ("price-in", "Price in, $ per million tokens"),
    ("price-out", "Price out, $ per million tokens"),
    ("compare-title", "Did the crop matter?"),
    (
        "compare-note",
        "Asks the same model three times, one after the other: with the full image alone, with the crop, and with a grey picture in the crop's place. Words that differ are marked.",
    ),
    ("compare", "Compare"),
    (
        "weighed",
        "An answer to weigh (optional): how likely the model finds it each time",
    ),
    ("thoughts", "What the model thought (no part of the answer)"),
    (
        "crop-only",
        "Crop only: send the crop without the full picture, for models that take one picture or shrink it",
    ),
    ("request", "The prompt and the request"),
    ("ask-prompt", "Prompt"),
    (
        "ask-prompt-note",
        "{question} becomes your question; {images} the sentence that tells the model what the pictures are to each other.",
    ),
    ("sent-prompt", "As Ask sends it"),
    ("prompt-reset", "Usual prompt"),
    ("copy-curl", "Copy request as curl"),
    ("run-full", "Full image only"),
    ("run-crop", "Full image and crop"),
    ("run-blank", "Full image and grey picture"),
];

/// What a base URL looks like, where the provider has none of its own.
pub const BASE_URL: &str = "https://example.com/v1";
/// Waits for the first word of an answer while thoughts come in.
pub const THINKING: &str = "Thinking…";
/// The prompt does not hold the question.
pub const NO_QUESTION_IN_PROMPT: &str =
    "The prompt has no {question} in it: the question is not sent.";
/// The request lies in the clipboard.
pub const CURL_COPIED: &str =
    "Copied. Before it is run in a terminal, API_KEY has to hold the key: export API_KEY=…";
/// The browser refused the clipboard.
pub const CURL_NOT_COPIED: &str = "The browser did not let the page use the clipboard.";

/// What is no model.
pub const NO_MODEL: &str = "Model is neither a name, such as HuggingFaceTB/SmolVLM-256M-Instruct, nor the address of a folder.";
/// SmolVLM in this browser costs nothing.
pub const FREE: &str = "It runs on this device: nothing is sent, and it costs nothing.";
/// "Copy request" where there is none.
pub const NOTHING_SENT: &str = "Nothing is sent: SmolVLM answers in this browser.";
/// While the model in this browser reads pictures and prompt.
pub const READING: &str = "SmolVLM is reading the pictures…";
/// Help with SmolVLM in this browser.
pub const HERE_HELP: [&str; 4] = [
    "SmolVLM runs in this browser, on the processor: no key, no cost, and neither picture nor question leaves this device.",
    "Its weights are fetched from the base URL when you ask for the first time (SmolVLM-256M: 513 MB) and packed to 8 bits while they come.",
    "Model is a name there, or the address of a folder: one of Hugging Face's files, or one that cropvlm export --quant wrote (q4: 165 MB).",
    "It is small: it reads large print well and makes mistakes elsewhere. The crop is what helps it.",
];

/// While the weights of the model in this browser come, bytes.
pub fn fetching(received: f64, total: Option<f64>) -> String {
    let mb = |bytes: f64| grouped((bytes / 1e6).round() as usize);
    match total {
        Some(total) => format!("Fetching SmolVLM: {} of {} MB", mb(received), mb(total)),
        None => format!("Fetching SmolVLM: {} MB", mb(received)),
    }
}

/// While a connection is tested.
pub const TESTING: &str = "Testing…";
/// "Keep keys" where the browser refuses.
pub const NOT_KEPT: &str = "This browser blocks storage for this page: keys are kept in memory only, and gone when it is closed.";
/// While a run waits for its turn.
pub const NOT_YET: &str = "…";
/// A run that was not made.
pub const NOT_ASKED: &str = "Not asked.";
/// "Compare" without a crop.
pub const NEED_CROP_TO_COMPARE: &str =
    "Propose a crop first: without one there is nothing to compare.";

/// "Ask" or "Compare" proposes first: the crop belongs to another question, or is not there yet.
pub const CROP_FIRST: &str = "Finding the crop for this question first…";
/// The box is another one than the answer is about.
pub const OTHER_CROP: &str = "This was answered with another crop.";

/// The question is another one than the answer is about.
pub fn other_question(question: &str) -> String {
    format!("This was answered to “{question}”.")
}

/// What a choice of the longest edge says.
pub fn edge(edge: u32) -> String {
    let pixels = grouped(edge as usize);
    if edge == MAX_SENT_EDGE {
        format!("{pixels} pixels (as good as all)")
    } else {
        format!("{pixels} pixels")
    }
}

/// What a question will cost; no crop yet: `None`.
pub fn forecast(
    sizes: Option<&Sizes>,
    forecast: Option<&Forecast>,
    price: Option<&Price>,
) -> String {
    let Some(sizes) = sizes else {
        return "Propose a crop to see what a question will cost.".to_owned();
    };
    let Some(forecast) = forecast else {
        return "For this model no rule is published that says how many tokens an image takes. The answer will show what was counted.".to_owned();
    };
    let ((w, h), (crop_w, crop_h)) = (forecast.sent, sizes.crop);
    if forecast.crop_only {
        return format!(
            "Image: about {} tokens for the crop at {crop_w} × {crop_h}{}, by {}.",
            grouped(forecast.crop as usize),
            price_of(forecast.crop, price, ", "),
            forecast.rule.said(),
        );
    }
    let mut text = format!(
        "Images: about {} tokens for the full one at {w} × {h}, {} for the crop at {crop_w} × {crop_h}{}, by {}.",
        grouped(forecast.full as usize),
        grouped(forecast.crop as usize),
        price_of(forecast.of(Variant::Crop), price, ", together "),
        forecast.rule.said(),
    );
    if forecast.saved > 0 {
        let share = forecast.saved as f64 / (forecast.full + forecast.saved) as f64 * 100.0;
        text += &format!(
            " Sending the full image smaller saves {} tokens of it ({share:.0} %){} each time.",
            grouped(forecast.saved as usize),
            price_of(forecast.saved, price, ", "),
        );
    }
    text
}

fn price_of(tokens: u64, price: Option<&Price>, before: &str) -> String {
    let usage = Usage {
        prompt_tokens: tokens,
        ..Usage::default()
    };
    let money = price.and_then(|price| price.of(&usage));
    money.map_or_else(String::new, |money| format!("{before}{money}"))
}

/// What an answer took: time, tokens as counted beside those foreseen, money.
pub fn facts(
    first: f64,
    total: f64,
    counted: Option<&Usage>,
    foreseen: Option<u64>,
    price: Option<&Price>,
) -> String {
    let mut text = format!(
        "First word after {}, all after {}",
        milliseconds(first),
        milliseconds(total)
    );
    match counted {
        Some(counted) => {
            text += &format!(" · {} tokens in", grouped(counted.prompt_tokens as usize));
            if let Some(foreseen) = foreseen {
                text += &format!(" (images foreseen: {})", grouped(foreseen as usize));
            }
            text += &format!(", {} out", grouped(counted.completion_tokens as usize));
            if let Some(money) = usage::cost(counted, price) {
                let whose = if counted.cost.is_some() {
                    " (the provider's figure)"
                } else {
                    ""
                };
                text += &format!(" · {money}{whose}");
            }
        }
        None => text += " · the provider did not count tokens",
    }
    text
}

/// How likely an answer is.
pub fn log_prob(log_prob: f64) -> String {
    format!(" · log p of the weighed answer {log_prob:.2}")
}

/// How much likelier an answer is with the crop and with the grey picture than with the full image alone, by differences of
/// logarithms.
pub fn weighed(answer: &str, crop: f64, blank: f64) -> String {
    let [crop, blank] = [crop, blank].map(times);
    format!(
        "With the crop “{answer}” is {crop} as with the full image alone, with the grey picture {blank}."
    )
}

fn times(log: f64) -> String {
    match log.exp() {
        // Beyond this it says nothing more, and the number grows out of the sentence.
        times if times >= 1e6 => "over a million times as likely".into(),
        times if times >= 10.0 => format!("{} times as likely", grouped(times.round() as usize)),
        times if times >= 0.005 => format!("{times:.2} times as likely"),
        _ => "less than a hundredth as likely".into(),
    }
}

/// Three answers in a sentence. Which one is right is the person's to see.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "All three answers are the same: here the crop changed nothing.",
        Verdict::Mattered => {
            "The crop mattered: with it the answer is another one, with a grey picture in its place it is not."
        }
        Verdict::AnyPicture => {
            "The answer changed with the crop, but with a grey picture too: a second picture alone already confuses the model here."
        }
        Verdict::BlankOnly => {
            "The crop changed nothing here; only the grey picture in its place did."
        }
    }
}

/// Money of all runs together.
pub fn sum(money: Money) -> String {
    format!("Together {money}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare;
    use vlm_api::Provider;

    #[test]
    fn a_forecast_reads_well() {
        let sizes = Sizes {
            original: (4000, 3000),
            crop: (512, 512),
            edge: 512,
            crop_only: false,
        };
        let price = Price::parse("0.2", "").unwrap();
        let known = compare::forecast(Provider::OpenAi, "gpt-5.6-luna", &sizes);
        assert_eq!(
            forecast(Some(&sizes), known.as_ref(), Some(&price)),
            "Images: about 231 tokens for the full one at 512 × 384, 308 for the crop at 512 × 512, together $0.00011, \
             by OpenAI's rule of 32-pixel patches. Sending the full image smaller saves 3,456 tokens of it (94 %), \
             $0.00069 each time."
        );
        let alone = Sizes {
            crop_only: true,
            ..sizes
        };
        let known = compare::forecast(Provider::OpenAi, "gpt-5.6-luna", &alone);
        assert_eq!(
            forecast(Some(&alone), known.as_ref(), None),
            "Image: about 308 tokens for the crop at 512 × 512, by OpenAI's rule of 32-pixel patches."
        );
        assert!(forecast(Some(&sizes), None, None).starts_with("For this model no rule"));
        assert!(forecast(None, None, None).starts_with("Propose a crop"));
    }

    #[test]
    fn facts_read_well() {
        let usage = Usage {
            prompt_tokens: 1541,
            completion_tokens: 9,
            cost: Money::from_dollars(0.001),
        };
        let text = facts(400.0, 1234.0, Some(&usage), Some(1489), None);
        assert_eq!(
            text,
            "First word after 400 ms, all after 1.2 s · 1,541 tokens in (images foreseen: 1,489), 9 out · $0.0010 (the provider's figure)"
        );
        assert!(facts(1.0, 2.0, None, None, None).ends_with("did not count tokens"));
    }
}
