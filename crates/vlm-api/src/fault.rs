//! Errors as providers write them: where the words stand, and what kind of error it is.
//!
//! Statuses alone do not tell: Google refuses a key with 400, OpenAI says "no credit" with 429 and Anthropic with
//! 400, Mistral calls an unknown model 400. The body's codes do.

use serde_json::Value;

use crate::{ApiError, Key};

/// Most characters of a provider's message that are shown.
const MAX_MESSAGE: usize = 300;

/// Whether a body or an event is an error. `error` may stand there as null, as in a good reply of OpenAI's.
pub(crate) fn is_error(value: &Value) -> bool {
    let value = inner(value);
    value.get("error").is_some_and(|e| !e.is_null())
        || value["object"] == "error"
        || value["type"] == "error"
}

/// Whether this opens like a web page.
pub(crate) fn is_html(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

/// What the provider says, wherever it says it, in one short line without the key.
pub(crate) fn message(value: &Value, key: &Key) -> String {
    let value = inner(value);
    let places = [
        &value["error"]["message"],             // OpenAI, Anthropic, Google
        &value["response"]["error"]["message"], // OpenAI's responses, in a stream
        &value["error"],                        // Ollama, LM Studio: a string
        &value["message"],                      // vLLM, Mistral
        &value["message"]["detail"][0]["msg"],  // Mistral: what FastAPI found
        &value["detail"],                       // FastAPI: a string
        &value["detail"][0]["msg"],             // FastAPI: a list
    ];
    line(
        places.iter().find_map(|v| v.as_str()).unwrap_or_default(),
        key,
    )
}

/// Words of a provider in one short line without the key.
pub(crate) fn line(said: &str, key: &Key) -> String {
    // Redacted before it is cut: half a key is a part of it too.
    let line = key.redact(said);
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// How long to wait, where it stands in the body as Google writes it: `"retryDelay": "34s"`.
pub(crate) fn retry_delay(value: &Value) -> Option<String> {
    let details = inner(value)["error"]["details"].as_array()?;
    let delay = details.iter().find_map(|d| d["retryDelay"].as_str())?;
    Some(delay.trim_end_matches('s').to_owned())
}

/// The error for a status that is no success. `wait` is how long, or until when, the provider wants to be left
/// alone.
pub(crate) fn refusal(
    status: u16,
    body: Option<&Value>,
    html: bool,
    wait: (Option<u64>, Option<String>),
    key: &Key,
) -> ApiError {
    let message = body.map(|v| message(v, key)).unwrap_or_default();
    match body.and_then(|body| kind(inner(body), &message)) {
        Some(Kind::Key) if status != 401 => return ApiError::KeyInvalid { status },
        Some(Kind::Key) => return ApiError::KeyRefused,
        Some(Kind::Credit) => return ApiError::NoCredit { status, message },
        Some(Kind::Model) => return ApiError::UnknownModel { status, message },
        Some(Kind::OneImage) => return ApiError::OneImage { status, message },
        None => {}
    }
    match status {
        401 => ApiError::KeyRefused, // without the provider's words, which may quote the key in part
        402 => ApiError::NoCredit { status, message },
        403 => ApiError::Forbidden { message },
        404 => ApiError::NotFound { message },
        413 => ApiError::TooLarge,
        400 | 422 => ApiError::BadRequest { status, message },
        429 => ApiError::RateLimited {
            retry_after: wait.0,
            retry_at: wait.1,
            message,
        },
        500..=599 => ApiError::Server { status, message },
        _ if html => ApiError::Html { status },
        _ => ApiError::Status { status, message },
    }
}

/// What a status does not tell.
enum Kind {
    /// The key is wrong.
    Key,
    /// There is no money left.
    Credit,
    /// There is no such model.
    Model,
    /// The model takes a single image.
    OneImage,
}

fn kind(body: &Value, message: &str) -> Option<Kind> {
    let error = &body["error"];
    let details = error["details"].as_array();
    let reasons = details
        .into_iter()
        .flatten()
        .map(|detail| &detail["reason"]);
    let codes = [
        &error["code"],
        &error["type"],
        &body["code"],
        &body["type"],
        &error["metadata"]["error_type"], // OpenRouter
    ];
    for code in codes.into_iter().chain(reasons).filter_map(Value::as_str) {
        match code {
            "invalid_api_key" | "authentication_error" | "API_KEY_INVALID" => {
                return Some(Kind::Key);
            }
            "insufficient_quota" | "billing_error" | "billing_hard_limit_reached" => {
                return Some(Kind::Credit);
            }
            // Anthropic's `not_found_error` may also be a wrong path; its message then names no model.
            "model_not_found" | "invalid_model" => return Some(Kind::Model),
            _ => {}
        }
    }
    let message = message.to_ascii_lowercase();
    let says = |words: &str| message.contains(words);
    if says("credit balance is too low") {
        return Some(Kind::Credit);
    }
    // vLLM and LMDeploy: "At most 1 image(s) may be provided in one request"; Ollama: "vision model only supports a
    // single image per message"; others: "only supports one image", "multiple images are not supported".
    let one = [
        "at most 1 image",
        "at most one image",
        "a single image",
        "only one image",
        "only 1 image",
        "supports one image",
        "supports 1 image",
        "multiple images are not supported",
        "does not support multiple images",
    ];
    if one.into_iter().any(says) {
        return Some(Kind::OneImage);
    }
    // Anthropic: "model: claude-x". Google: "models/x is not found for API version". Ollama: `model "x" not
    // found`. OpenRouter: "x is not a valid model ID".
    let model = (message.starts_with("model") && (says("not found") || says("not_found")))
        || message.starts_with("model: ")
        || says("is not a valid model id");
    model.then_some(Kind::Model)
}

/// Google wraps errors of streams that are not event streams into a list.
fn inner(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([first, ..]) => first,
        _ => value,
    }
}
