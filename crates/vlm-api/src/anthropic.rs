//! Anthropic's messages API: the request, and what its events mean.
//!
//! The key goes into `x-api-key`; `anthropic-version` is obligatory; browsers are answered only if
//! `anthropic-dangerous-direct-browser-access: true` is sent (what is dangerous is a key inside a public page; here
//! it is the visitor's own, typed by hand). `max_tokens` is obligatory too. Images come before text, as Anthropic
//! advises and the paper does. Events: `message_start` (with the prompt's usage), `content_block_delta`,
//! `message_delta` (stop reason, and usage, cumulative), `message_stop`, `ping`, `error`. Format: Anthropic's docs,
//! "Messages", "Streaming messages", "Errors".

use serde_json::{Value, json};

use crate::provider::{KeyUse, Profile};
use crate::reply::{Draft, Step};
use crate::request::{headers, join_url, model_of, said};
use crate::usage::Usage;
use crate::{Api, ApiError, Endpoint, Image, Key, Request};

pub(crate) const PROFILE: Profile = Profile {
    id: "anthropic",
    name: "Anthropic",
    api: Api::Anthropic,
    base_url: "https://api.anthropic.com/v1",
    model: "claude-haiku-4-5",
    key: KeyUse::Needed,
    local: false,
    key_page: Some("https://platform.claude.com/settings/keys"),
    prices_page: Some("https://claude.com/pricing#api"),
    stream_options: false,
    check_path: "/models",
    check_proves_key: true,
};

/// Tokens of an answer at most. Far more than the very brief answer that is asked for, because models that
/// think spend theirs from the same purse.
const MAX_TOKENS: u32 = 4096;

pub(crate) fn request(
    endpoint: &Endpoint,
    images: &[Image<'_>],
    prompt: &str,
) -> Result<Request, ApiError> {
    let url = join_url(&endpoint.base_url, "/messages")?;
    let model = model_of(endpoint)?;
    let prompt = said(prompt)?;
    let mut content: Vec<Value> = images
        .iter()
        .map(|image| {
            json!({"type": "image", "source": {
                "type": "base64", "media_type": image.media_type.name(), "data": image.base64(),
            }})
        })
        .collect();
    content.push(json!({"type": "text", "text": prompt}));
    let body = json!({
        "model": model,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": content}],
        "stream": true,
    });
    Ok(Request {
        url,
        headers: headers(key_headers(&endpoint.key)),
        body: body.to_string(),
    })
}

/// The headers that every request has.
pub(crate) fn key_headers(key: &Key) -> impl Iterator<Item = (&'static str, String)> {
    let fixed = [
        ("anthropic-version", "2023-06-01".to_owned()),
        (
            "anthropic-dangerous-direct-browser-access",
            "true".to_owned(),
        ),
    ];
    let key = (!key.is_empty()).then(|| ("x-api-key", key.expose().to_owned()));
    fixed.into_iter().chain(key)
}

pub(crate) fn take_event(event: &Value, draft: &mut Draft) -> Step {
    match event["type"].as_str().unwrap_or_default() {
        "message_start" => take_usage(&event["message"]["usage"], draft),
        // A block may open with text, or with thoughts.
        "content_block_start" => {
            if event["content_block"]["type"] == "thinking" {
                draft.new_thought();
            }
            take_text(&event["content_block"], draft);
        }
        "content_block_delta" => take_text(&event["delta"], draft),
        "message_delta" => {
            take_stop(&event["delta"], draft);
            take_usage(&event["usage"], draft);
        }
        "message_stop" => return Step::Done,
        _ => {} // ping, content_block_stop, and whatever is added: the docs ask to pass over it
    }
    Step::More
}

pub(crate) fn take_whole(body: &Value, draft: &mut Draft) -> Result<(), &'static str> {
    let Some(blocks) = body["content"].as_array() else {
        return Err("content");
    };
    for block in blocks {
        take_text(block, draft);
    }
    take_stop(body, draft);
    take_usage(&body["usage"], draft);
    Ok(())
}

fn take_text(block: &Value, draft: &mut Draft) {
    match block["type"].as_str() {
        Some("text" | "text_delta") => draft.add_text(block["text"].as_str().unwrap_or_default()),
        Some("thinking" | "thinking_delta") => {
            draft.add_thoughts(block["thinking"].as_str().unwrap_or_default());
        }
        _ => {} // signatures, and thoughts that came encrypted
    }
}

fn take_stop(from: &Value, draft: &mut Draft) {
    let reason = match from["stop_reason"].as_str() {
        None => return,
        Some("end_turn" | "stop_sequence") => "stop",
        Some("max_tokens" | "model_context_window_exceeded") => "length",
        Some("refusal") => "content_filter",
        Some(other) => other,
    };
    draft.answer.refused |= reason == "content_filter";
    draft.answer.finish_reason = Some(reason.to_owned());
}

/// Counts in `message_delta` are cumulative: each one that stands there replaces the earlier one.
fn take_usage(usage: &Value, draft: &mut Draft) {
    let count = |name: &str| usage[name].as_u64();
    let mut known = draft.answer.usage.unwrap_or_default();
    if let Some(input) = count("input_tokens") {
        let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
        let cached: u64 = cached.iter().filter_map(|name| count(name)).sum();
        known.prompt_tokens = input + cached;
    }
    if let Some(output) = count("output_tokens") {
        known.completion_tokens = output;
    }
    if known != Usage::default() {
        draft.answer.usage = Some(known);
    }
}
