//! Messages for providers, and what their pictures cost.

use grounding::Case;
use serde_json::{Value, json};
use vlm_api::{Endpoint, Image, Key, MediaType, Provider, Question, tokens};
use wasm_bindgen::prelude::*;

use crate::error;

/// Of a provider's request, the field that holds the messages.
const FIELDS: [&str; 3] = ["messages", "input", "contents"];

/// The messages that ask a question about a picture and, where it is not empty, its crop, as JSON. `provider` is one of
/// `vlm-api`, or `ai-sdk` for the Vercel AI SDK's `ModelMessage`.
///
/// # Errors
/// An unknown provider, an empty question, a file that providers do not take.
#[wasm_bindgen]
pub fn messages(
    provider: &str,
    question: &str,
    image: &[u8],
    crop: &[u8],
) -> Result<String, JsValue> {
    let image = file(image)?;
    let crop = match crop {
        [] => None,
        crop => Some(file(crop)?),
    };
    if provider == "ai-sdk" {
        return ai_sdk(question, image, crop);
    }
    let known = provider_of(provider)?;
    let endpoint = Endpoint {
        base_url: "https://localhost".into(),
        model: "any".into(),
        key: Key::default(),
    };
    let asked = Question {
        text: question,
        case: Case::Keep,
        image,
        crop,
    };
    let request = known.request(&endpoint, &asked).map_err(failed)?;
    let body: Value = serde_json::from_str(&request.body).map_err(broken)?;
    let found = FIELDS.iter().find_map(|field| body.get(field));
    Ok(found.unwrap_or(&Value::Null).to_string())
}

/// Tokens that a provider counts for pictures: `sizes` holds width and height of each. `undefined` where no rule is published.
///
/// # Errors
/// An unknown provider.
#[wasm_bindgen]
pub fn tokens(provider: &str, model: &str, sizes: &[u32]) -> Result<Option<f64>, JsValue> {
    if provider == "ai-sdk" {
        return Ok(None);
    }
    let known = provider_of(provider)?;
    let model = match model {
        "" => known.profile().model,
        model => model,
    };
    let (sizes, _) = sizes.as_chunks::<2>();
    let sizes: Vec<(u32, u32)> = sizes.iter().map(|[w, h]| (*w, *h)).collect();
    Ok(tokens::predict(known, model, &sizes).map(|n| n as f64))
}

/// The Vercel AI SDK's messages: pictures as base64, then the text that all providers get.
fn ai_sdk(question: &str, image: Image<'_>, crop: Option<Image<'_>>) -> Result<String, JsValue> {
    if question.trim().is_empty() {
        return Err(failed(vlm_api::ApiError::NoQuestion));
    }
    let text = grounding::prompt::answer_prompt(question.trim(), Case::Keep);
    let shown = [Some(image), crop].into_iter().flatten();
    let mut content: Vec<Value> = shown
        .map(|image| {
            let data = image.data_url();
            let base64 = data.split_once(',').map_or("", |(_, base64)| base64);
            json!({"type": "image", "image": base64, "mediaType": image.media_type.name()})
        })
        .collect();
    content.push(json!({"type": "text", "text": text}));
    Ok(json!([{"role": "user", "content": content}]).to_string())
}

fn provider_of(id: &str) -> Result<Provider, JsValue> {
    let all = Provider::ALL.map(|provider| provider.profile().id);
    Provider::from_id(id).ok_or_else(|| {
        let why = format!("provider is {id}: known are ai-sdk, {}", all.join(", "));
        error("bad-option", &why)
    })
}

fn file(bytes: &[u8]) -> Result<Image<'_>, JsValue> {
    let media_type = MediaType::of(bytes)
        .ok_or_else(|| error("bad-image", "providers take PNG, JPEG, WebP and GIF files"))?;
    Ok(Image { media_type, bytes })
}

fn failed(why: vlm_api::ApiError) -> JsValue {
    let code = match why {
        vlm_api::ApiError::NoQuestion => "empty-question",
        _ => "bad-option",
    };
    error(code, &why.to_string())
}

fn broken(why: serde_json::Error) -> JsValue {
    error("internal", &why.to_string())
}
