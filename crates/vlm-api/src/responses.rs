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
use crate::reply::{Draft, Step};
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

pub(crate) fn take_event(event: &Value, draft: &mut Draft) -> Step {
    let delta = event["delta"].as_str().unwrap_or_default();
    match event["type"].as_str().unwrap_or_default() {
        "response.output_text.delta" => draft.add_text(delta),
        "response.refusal.delta" => {
            draft.add_text(delta);
            draft.answer.refused |= !delta.trim().is_empty();
        }
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
            draft.add_thoughts(delta);
        }
        "response.reasoning_summary_part.added" => draft.new_thought(),
        "response.completed" | "response.incomplete" => {
            take_response(&event["response"], draft);
            return Step::Done;
        }
        "response.failed" => return Step::Failed,
        _ => {} // parts opened and closed, progress
    }
    Step::More
}

pub(crate) fn take_whole(body: &Value, draft: &mut Draft) -> Result<(), &'static str> {
    if !body["output"].is_array() {
        return Err("output");
    }
    take_response(body, draft);
    Ok(())
}

/// The response at its end: usage and why it ended; and its text, unless that came in deltas before.
fn take_response(response: &Value, draft: &mut Draft) {
    let (no_text, no_thoughts) = (
        draft.answer.text.is_empty(),
        draft.answer.thoughts.is_empty(),
    );
    if no_text {
        let items = response["output"].as_array().into_iter().flatten();
        let parts = items
            .filter_map(|item| item["content"].as_array())
            .flatten();
        for part in parts {
            match part["type"].as_str() {
                Some("output_text") => draft.add_text(part["text"].as_str().unwrap_or_default()),
                Some("refusal") => {
                    draft.add_text(part["refusal"].as_str().unwrap_or_default());
                    draft.answer.refused = true;
                }
                _ => {} // reasoning
            }
        }
    }
    if no_thoughts {
        let items = response["output"].as_array().into_iter().flatten();
        for item in items.filter(|item| item["type"] == "reasoning") {
            let parts = [&item["summary"], &item["content"]];
            for part in parts.into_iter().filter_map(Value::as_array).flatten() {
                draft.new_thought();
                draft.add_thoughts(part["text"].as_str().unwrap_or_default());
            }
        }
    }
    let reason = match response["incomplete_details"]["reason"].as_str() {
        None => "stop",
        Some("max_output_tokens") => "length",
        Some(other) => other, // "content_filter"
    };
    draft.answer.finish_reason = Some(reason.to_owned());
    let count = |name: &str| response["usage"][name].as_u64();
    if let Some(prompt_tokens) = count("input_tokens") {
        draft.answer.usage = Some(Usage {
            prompt_tokens,
            completion_tokens: count("output_tokens").unwrap_or(0),
            cost: None,
        });
    }
}
