//! OpenAI's chat completions: the request, and what its events mean.
//!
//! What many providers and local servers speak (Mistral, OpenRouter, vLLM, llama.cpp, Ollama, LM Studio; how they
//! differ is in their files). As in the paper the target VLM gets full image, crop, question, in this order. No
//! limit of tokens is sent: its name differs between models (`max_tokens`, `max_completion_tokens`), and the prompt
//! asks for a very brief answer. Format: OpenAI's API reference, "Chat", and its OpenAPI description.

use serde_json::{Value, json};

use crate::provider::{KeyUse, Profile};
use crate::reply::{Draft, Step};
use crate::request::{headers, join_url, model_of, prompt_of, said};
use crate::{Api, ApiError, Endpoint, Image, Key, Question, Request};

pub use crate::reply::{Answer, Reply};
use crate::usage::Money;
pub use crate::usage::Usage;

pub(crate) const PROFILE: Profile = Profile {
    id: "openai",
    name: "OpenAI (chat completions)",
    api: Api::Chat,
    base_url: "https://api.openai.com/v1",
    model: "gpt-5.6-luna",
    key: KeyUse::Needed,
    local: false,
    key_page: Some("https://platform.openai.com/api-keys"),
    prices_page: Some("https://openai.com/api/pricing/"),
    stream_options: true,
    check_path: "/models",
    check_proves_key: true,
};

/// The request that asks a question about a picture and, where there is one, its crop; the answer
/// is to be streamed.
///
/// # Errors
/// [`ApiError::BaseUrl`], [`ApiError::NoModel`], [`ApiError::NoQuestion`].
pub fn request(endpoint: &Endpoint, question: &Question<'_>) -> Result<Request, ApiError> {
    prompt_request(endpoint, &question.images(), &prompt_of(question))
}

/// The request that shows pictures and says any text, such as the prompt that asks a teacher for boxes.
///
/// # Errors
/// As [`request`].
pub fn prompt_request(
    endpoint: &Endpoint,
    images: &[Image<'_>],
    prompt: &str,
) -> Result<Request, ApiError> {
    chat_request(endpoint, images, prompt, true)
}

/// As [`prompt_request`]; `stream_options` asks for the usage of a streamed answer.
pub(crate) fn chat_request(
    endpoint: &Endpoint,
    images: &[Image<'_>],
    prompt: &str,
    stream_options: bool,
) -> Result<Request, ApiError> {
    let url = join_url(&endpoint.base_url, "/chat/completions")?;
    let model = model_of(endpoint)?;
    let prompt = said(prompt)?;
    let mut content: Vec<Value> = images
        .iter()
        .map(|image| json!({"type": "image_url", "image_url": {"url": image.data_url()}}))
        .collect();
    content.push(json!({"type": "text", "text": prompt}));
    let mut body = json!({
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "stream": true,
    });
    if stream_options {
        body["stream_options"] = json!({"include_usage": true});
    }
    Ok(Request {
        url,
        headers: headers(bearer(&endpoint.key)),
        body: body.to_string(),
    })
}

/// The header that holds the key.
pub(crate) fn bearer(key: &Key) -> Option<(&'static str, String)> {
    (!key.is_empty()).then(|| ("authorization", format!("Bearer {}", key.expose())))
}

pub(crate) fn take_event(chunk: &Value, draft: &mut Draft) -> Step {
    take_chunk(chunk, "delta", draft);
    Step::More // [DONE] ends it
}

pub(crate) fn take_whole(body: &Value, draft: &mut Draft) -> Result<(), &'static str> {
    if !body["choices"][0]["message"].is_object() {
        return Err("choices[0].message");
    }
    take_chunk(body, "message", draft);
    Ok(())
}

/// What a chunk (`part` is "delta") or a whole reply ("message") adds to the answer. Fields that
/// are missing or null add nothing: the last chunk of OpenAI's has usage and no choices.
fn take_chunk(chunk: &Value, part: &str, draft: &mut Draft) {
    let choice = &chunk["choices"][0];
    // Thoughts have no place in OpenAI's schema: `reasoning_content` is DeepSeek's word (vLLM, llama.cpp, LM Studio),
    // `reasoning` OpenRouter's and Ollama's. Where both stand, they say the same.
    let thoughts = ["reasoning_content", "reasoning"]
        .into_iter()
        .filter_map(|field| choice[part][field].as_str());
    if let Some(thoughts) = thoughts.max_by_key(|thoughts| thoughts.len()) {
        draft.add_thoughts(thoughts);
    }
    for field in ["content", "refusal"] {
        match &choice[part][field] {
            Value::String(text) => {
                draft.add_text(text);
                draft.answer.refused |= field == "refusal" && !text.trim().is_empty();
            }
            // Some servers send content in parts; Mistral's thoughts are parts that hold parts.
            Value::Array(parts) => {
                for part in parts {
                    let texts = part["thinking"].as_array().into_iter().flatten();
                    for thought in texts.filter_map(|text| text["text"].as_str()) {
                        draft.add_thoughts(thought);
                    }
                    draft.add_text(part["text"].as_str().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        draft.answer.finish_reason = Some(reason.to_owned());
    }
    let count = |name: &str| chunk["usage"][name].as_u64();
    if let Some(prompt_tokens) = count("prompt_tokens") {
        draft.answer.usage = Some(Usage {
            prompt_tokens,
            completion_tokens: count("completion_tokens").unwrap_or(0),
            // OpenRouter's, in US dollars.
            cost: chunk["usage"]["cost"]
                .as_f64()
                .and_then(Money::from_dollars),
        });
    }
}
