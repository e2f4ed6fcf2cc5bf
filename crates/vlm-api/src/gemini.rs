//! Google's Gemini API: the request, and what its events mean.
//!
//! The model stands in the path and `alt=sse` asks for an event stream. The key goes into the header
//! `x-goog-api-key`, never into `?key=`, which would end up in logs and histories. Each event is a whole
//! `GenerateContentResponse` with the text that is new; there is no `[DONE]`, a `finishReason` ends it. Thoughts
//! (`thought: true`) are no part of the answer, but their tokens are paid like it. A prompt that is blocked has a
//! `promptFeedback` and no candidates. Format: Google's API reference, "Generating content".

use serde_json::{Value, json};

use crate::provider::{KeyUse, Profile};
use crate::reply::{Draft, Step};
use crate::request::{headers, join_url, model_of, said};
use crate::usage::Usage;
use crate::{Api, ApiError, Endpoint, Image, Key, Request};

pub(crate) const PROFILE: Profile = Profile {
    id: "gemini",
    name: "Google Gemini",
    api: Api::Gemini,
    base_url: "https://generativelanguage.googleapis.com/v1beta",
    model: "gemini-3.5-flash-lite",
    key: KeyUse::Needed,
    local: false,
    key_page: Some("https://aistudio.google.com/apikey"),
    prices_page: Some("https://ai.google.dev/gemini-api/docs/pricing"),
    stream_options: false,
    check_path: "/models",
    check_proves_key: true,
};

pub(crate) fn request(
    endpoint: &Endpoint,
    images: &[Image<'_>],
    prompt: &str,
) -> Result<Request, ApiError> {
    let model = model_of(endpoint)?;
    let path = format!("/models/{}:streamGenerateContent", in_path(model));
    let url = join_url(&without_key(&endpoint.base_url)?, &path)?;
    let url = format!("{url}{}alt=sse", if url.contains('?') { '&' } else { '?' });
    let prompt = said(prompt)?;
    let mut parts: Vec<Value> = images
        .iter()
        .map(|image| {
            json!({"inlineData": {"mimeType": image.media_type.name(), "data": image.base64()}})
        })
        .collect();
    parts.push(json!({"text": prompt}));
    let body = json!({"contents": [{"role": "user", "parts": parts}]});
    Ok(Request {
        url,
        headers: headers(key_header(&endpoint.key)),
        body: body.to_string(),
    })
}

/// The header that holds the key.
pub(crate) fn key_header(key: &Key) -> Option<(&'static str, String)> {
    (!key.is_empty()).then(|| ("x-goog-api-key", key.expose().to_owned()))
}

/// The base URL, if no key was pasted with it.
pub(crate) fn without_key(base_url: &str) -> Result<String, ApiError> {
    let query = base_url.split_once('?').map_or("", |(_, query)| query);
    if query.split(['&', '#']).any(|part| part.starts_with("key=")) {
        return Err(ApiError::BaseUrl {
            reason: "contains a key; put it into the field for keys",
        });
    }
    Ok(base_url.to_owned())
}

/// A model's name as a part of a path: without `models/`, which Google's own list puts before it, and with
/// whatever would end the path escaped.
fn in_path(model: &str) -> String {
    let model = model.strip_prefix("models/").unwrap_or(model);
    let mut path = String::new();
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path += &format!("%{byte:02X}"),
        }
    }
    path
}

pub(crate) fn take_event(event: &Value, draft: &mut Draft) -> Step {
    let candidate = &event["candidates"][0];
    let parts = candidate["content"]["parts"].as_array();
    for part in parts.into_iter().flatten() {
        let text = part["text"].as_str().unwrap_or_default();
        if part["thought"] == true {
            draft.add_thoughts(text);
        } else {
            draft.add_text(text);
        }
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        finish(reason, draft);
    }
    if let Some(reason) = event["promptFeedback"]["blockReason"].as_str() {
        // The prompt was blocked: whatever the reason, there will be no answer.
        let reason = if reason == "OTHER" {
            "PROHIBITED_CONTENT"
        } else {
            reason
        };
        finish(reason, draft);
    }
    take_usage(&event["usageMetadata"], draft);
    Step::More // usage may follow the finish reason
}

pub(crate) fn take_whole(body: &Value, draft: &mut Draft) -> Result<(), &'static str> {
    // Without `alt=sse` a stream comes as a list.
    let events = body
        .as_array()
        .map_or(std::slice::from_ref(body), Vec::as_slice);
    let answers =
        |event: &Value| event["candidates"].is_array() || event["promptFeedback"].is_object();
    if !events.iter().any(answers) {
        return Err("candidates");
    }
    for event in events {
        take_event(event, draft);
    }
    Ok(())
}

fn finish(reason: &str, draft: &mut Draft) {
    let reason = match reason {
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            "content_filter"
        }
        other => other,
    };
    draft.answer.refused |= reason == "content_filter";
    draft.answer.finish_reason = Some(reason.to_owned());
}

/// Every event has the counts so far; `candidatesTokenCount` is missing while there is no text yet.
fn take_usage(usage: &Value, draft: &mut Draft) {
    let count = |name: &str| usage[name].as_u64();
    if let Some(prompt_tokens) = count("promptTokenCount") {
        let written = ["candidatesTokenCount", "thoughtsTokenCount"];
        draft.answer.usage = Some(Usage {
            prompt_tokens,
            completion_tokens: written.iter().filter_map(|name| count(name)).sum(),
            cost: None,
        });
    }
}
