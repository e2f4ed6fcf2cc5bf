//! OpenAI's responses API: the request, and what its events mean.
//!
//! Differs from chat completions in the names of parts (`input_image` with the data URL itself, `input_text`), in
//! events that have types and no `[DONE]` (`response.output_text.delta`, `response.refusal.delta`, then one of
//! `response.completed`, `response.incomplete`, `response.failed`; `error` for the stream itself), and in
//! `usage` (`input_tokens`, `output_tokens`). `store: false`: nothing is kept for later retrieval. Format: OpenAI's
//! API reference, "Responses" and "Streaming events".

use serde_json::{Value, json};

use crate::openai::bearer;
use crate::provider::Profile;
use crate::reply::{Answer, Step};
use crate::request::{headers, join_url, model_of, said};
use crate::usage::Usage;
use crate::{Api, ApiError, Endpoint, Image, Request, openai};

pub(crate) const PROFILE: Profile = Profile {
    id: "openai-responses",
    name: "OpenAI (responses)",
    api: Api::Responses,
    ..openai::PROFILE
};

pub(crate) fn request(
    endpoint: &Endpoint,
    images: &[Image<'_>],
    prompt: &str,
) -> Result<Request, ApiError> {
    let url = join_url(&endpoint.base_url, "/responses")?;
    let model = model_of(endpoint)?;
    let prompt = said(prompt)?;
    let mut content: Vec<Value> = images
        .iter()
        .map(
            |image| json!({"type": "input_image", "image_url": image.data_url(), "detail": "auto"}),
        )
        .collect();
    content.push(json!({"type": "input_text", "text": prompt}));
    let body = json!({
        "model": model,
        "input": [{"role": "user", "content": content}],
        "stream": true,
        "store": false,
    });
    Ok(Request {
        url,
        headers: headers(bearer(&endpoint.key)),
        body: body.to_string(),
    })
}

pub(crate) fn take_event(event: &Value, answer: &mut Answer) -> Step {
    let delta = event["delta"].as_str().unwrap_or_default();
    match event["type"].as_str().unwrap_or_default() {
        "response.output_text.delta" => answer.text.push_str(delta),
        "response.refusal.delta" => {
            answer.text.push_str(delta);
            answer.refused |= !delta.trim().is_empty();
        }
        "response.completed" | "response.incomplete" => {
            take_response(&event["response"], answer);
            return Step::Done;
        }
        "response.failed" => return Step::Failed,
        _ => {} // parts opened and closed, reasoning, progress
    }
    Step::More
}

pub(crate) fn take_whole(body: &Value, answer: &mut Answer) -> Result<(), &'static str> {
    if !body["output"].is_array() {
        return Err("output");
    }
    take_response(body, answer);
    Ok(())
}

/// The response at its end: usage and why it ended; and its text, unless that came in deltas before.
fn take_response(response: &Value, answer: &mut Answer) {
    if answer.text.is_empty() {
        let items = response["output"].as_array().into_iter().flatten();
        let parts = items
            .filter_map(|item| item["content"].as_array())
            .flatten();
        for part in parts {
            match part["type"].as_str() {
                Some("output_text") => answer.text += part["text"].as_str().unwrap_or_default(),
                Some("refusal") => {
                    answer.text += part["refusal"].as_str().unwrap_or_default();
                    answer.refused = true;
                }
                _ => {} // reasoning
            }
        }
    }
    let reason = match response["incomplete_details"]["reason"].as_str() {
        None => "stop",
        Some("max_output_tokens") => "length",
        Some(other) => other, // "content_filter"
    };
    answer.finish_reason = Some(reason.to_owned());
    let count = |name: &str| response["usage"][name].as_u64();
    if let Some(prompt_tokens) = count("input_tokens") {
        answer.usage = Some(Usage {
            prompt_tokens,
            completion_tokens: count("output_tokens").unwrap_or(0),
            cost: None,
        });
    }
}
