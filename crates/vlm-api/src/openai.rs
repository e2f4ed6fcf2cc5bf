//! OpenAI-compatible chat completions: the request, and the reply however it comes.
//!
//! What many providers and local servers speak (OpenAI, OpenRouter, vLLM, llama.cpp, Ollama). As in
//! the paper the target VLM gets full image, crop, question, in this order. No limit of tokens is
//! sent: its name differs between models (`max_tokens`, `max_completion_tokens`), and the prompt asks
//! for a very brief answer.

use grounding::prompt::answer_prompt;
use serde_json::{Value, json};

use crate::request::join_url;
use crate::{ApiError, Endpoint, Event, EventParser, Image, Key, Question, Request};

/// Most bytes that a reply may hold back unread: no answer is as long, and a server that sends its
/// film archive must not fill the page's memory.
const MAX_PENDING: usize = 4 << 20;
/// Most characters of a provider's message that are shown.
const MAX_MESSAGE: usize = 300;

/// The request that asks a question about a picture and, where there is one, its crop; the answer
/// is to be streamed.
///
/// # Errors
/// [`ApiError::BaseUrl`], [`ApiError::NoModel`], [`ApiError::NoQuestion`].
pub fn request(endpoint: &Endpoint, question: &Question<'_>) -> Result<Request, ApiError> {
    let text = question.text.trim();
    let prompt = match text {
        "" => String::new(),
        text => answer_prompt(text, question.case),
    };
    let images: Vec<Image<'_>> = [Some(question.image), question.crop]
        .into_iter()
        .flatten()
        .collect();
    prompt_request(endpoint, &images, &prompt)
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
    let url = join_url(&endpoint.base_url, "/chat/completions")?;
    let model = endpoint.model.trim();
    if model.is_empty() {
        return Err(ApiError::NoModel);
    }
    if prompt.is_empty() {
        return Err(ApiError::NoQuestion);
    }
    let mut content: Vec<Value> = images
        .iter()
        .map(|image| json!({"type": "image_url", "image_url": {"url": image.data_url()}}))
        .collect();
    content.push(json!({"type": "text", "text": prompt}));
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("accept", "text/event-stream, application/json".to_owned()),
    ];
    if !endpoint.key.is_empty() {
        headers.push(("authorization", format!("Bearer {}", endpoint.key.expose())));
    }
    Ok(Request {
        url,
        headers,
        body: body.to_string(),
    })
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the model wrote.
    pub text: String,
    /// Why it stopped (`stop`, `length`, ...), where the provider says so.
    pub finish_reason: Option<String>,
    /// Whether the provider marks it as a refusal; `text` is then its reason.
    pub refused: bool,
    /// What it cost, where the provider says so.
    pub usage: Option<Usage>,
}

/// Tokens of one question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, images included.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// Reads a reply, streamed or whole, good or bad: what it is shows in its status and first byte.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    retry_after: Option<u64>,
    retry_at: Option<String>,
    key: Key,
    form: Form,
    answer: Answer,
    /// `[DONE]` has been read: what follows does not count.
    done: bool,
}

#[derive(Debug)]
enum Form {
    /// Nothing but white space so far.
    Unknown,
    /// A success that streams.
    Events(EventParser),
    /// JSON, HTML or an error: judged when all is there.
    Whole(Vec<u8>),
}

impl Reply {
    /// A reader for a reply with this status and `Retry-After` header. The key is taken out of
    /// whatever the provider says.
    pub fn new(status: u16, retry_after: Option<&str>, key: &Key) -> Reply {
        Reply {
            status,
            retry_after: retry_after.and_then(seconds),
            retry_at: retry_after.and_then(date),
            key: key.clone(),
            form: Form::Unknown,
            answer: Answer {
                text: String::new(),
                finish_reason: None,
                refused: false,
                usage: None,
            },
            done: false,
        }
    }

    /// The answer so far.
    pub fn text(&self) -> &str {
        &self.answer.text
    }

    /// Takes the next bytes and returns the text that they add to the answer, often none.
    ///
    /// # Errors
    /// [`ApiError::Interrupted`] for an error inside the stream, [`ApiError::Unexpected`] for a reply
    /// without end. After an error there is nothing more to read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, ApiError> {
        let had = self.answer.text.len();
        if let Form::Unknown = self.form {
            // Fields of an event stream open with one of these (or a byte order mark); JSON, HTML and
            // plain text do not, but for words that a success never consists of.
            let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
            let success = (200..300).contains(&self.status);
            self.form = match first {
                None => return Ok(String::new()),
                Some(b'd' | b'e' | b'i' | b'r' | b':' | 0xef) if success => {
                    Form::Events(EventParser::default())
                }
                Some(_) => Form::Whole(Vec::new()),
            };
        }
        let pending = match &mut self.form {
            Form::Unknown => 0,
            Form::Whole(all) => {
                all.extend_from_slice(bytes);
                all.len()
            }
            Form::Events(parser) => {
                let events = parser.push(bytes);
                let pending = parser.pending();
                for event in events {
                    self.take_event(&event)?;
                }
                pending
            }
        };
        if pending > MAX_PENDING {
            return Err(ApiError::Unexpected {
                reason: "it is far too long".to_owned(),
            });
        }
        Ok(self.answer.text[had..].to_owned())
    }

    /// The end of the reply, in good order or not.
    ///
    /// # Errors
    /// What the status and the body say (see [`ApiError`]); [`ApiError::BrokenStream`] with the text so
    /// far if neither `[DONE]` nor a finish reason came; [`ApiError::NoText`] for an empty answer.
    pub fn finish(mut self) -> Result<Answer, ApiError> {
        match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Whole(body) => self.take_whole(&body)?,
            Form::Unknown if !(200..300).contains(&self.status) => self.take_whole(b"")?,
            Form::Unknown => {}
            Form::Events(parser) => {
                // Half an event is a broken stream, not a wrong one.
                let last = parser.finish();
                if let Some(event) =
                    last.filter(|e| e.data.trim() == "[DONE]" || json_of(e).is_some())
                {
                    self.take_event(&event)?;
                }
            }
        }
        if !self.done && self.answer.finish_reason.is_none() {
            return Err(ApiError::BrokenStream {
                text: self.answer.text,
            });
        }
        if self.answer.text.trim().is_empty() {
            return Err(ApiError::NoText {
                finish_reason: self.answer.finish_reason,
            });
        }
        Ok(self.answer)
    }

    fn take_event(&mut self, event: &Event) -> Result<(), ApiError> {
        if self.done {
            return Ok(());
        }
        if event.data.trim() == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let Some(chunk) = json_of(event) else {
            return Err(self.interrupted("a part of the answer is no JSON".to_owned()));
        };
        if event.name == "error" || is_error(&chunk) {
            return Err(self.interrupted(self.message(&chunk)));
        }
        self.take_chunk(&chunk, "delta");
        Ok(())
    }

    fn interrupted(&self, message: String) -> ApiError {
        ApiError::Interrupted {
            message,
            text: self.answer.text.clone(),
        }
    }

    /// What a chunk (`part` is "delta") or a whole reply ("message") adds to the answer. Fields that
    /// are missing or null add nothing: the last chunk of OpenAI's has usage and no choices.
    fn take_chunk(&mut self, chunk: &Value, part: &str) {
        let choice = &chunk["choices"][0];
        for field in ["content", "refusal"] {
            match &choice[part][field] {
                Value::String(text) => {
                    self.answer.text.push_str(text);
                    self.answer.refused |= field == "refusal" && !text.trim().is_empty();
                }
                // Some servers send content in parts.
                Value::Array(parts) => {
                    let texts = parts.iter().filter_map(|p| p["text"].as_str());
                    self.answer.text.extend(texts);
                }
                _ => {}
            }
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.answer.finish_reason = Some(reason.to_owned());
        }
        let count = |name: &str| chunk["usage"][name].as_u64();
        if let Some(prompt_tokens) = count("prompt_tokens") {
            self.answer.usage = Some(Usage {
                prompt_tokens,
                completion_tokens: count("completion_tokens").unwrap_or(0),
            });
        }
    }

    /// A reply that came in one piece.
    fn take_whole(&mut self, body: &[u8]) -> Result<(), ApiError> {
        let text = String::from_utf8_lossy(body);
        let value: Option<Value> = serde_json::from_str(text.trim()).ok();
        if !(200..300).contains(&self.status) {
            let message = value.as_ref().map(|v| self.message(v)).unwrap_or_default();
            return Err(self.refusal(self.status, message, is_html(&text)));
        }
        let Some(value) = value else {
            return Err(if is_html(&text) {
                ApiError::Html {
                    status: self.status,
                }
            } else if text.trim_start().starts_with('{') {
                // JSON that was cut off.
                ApiError::BrokenStream {
                    text: String::new(),
                }
            } else {
                ApiError::Unexpected {
                    reason: "it is neither an event stream nor JSON".to_owned(),
                }
            });
        };
        if is_error(&value) {
            // OpenRouter reports some errors with status 200 and the real one in the body.
            let code = value["error"]["code"].as_u64().unwrap_or(500);
            let status = u16::try_from(code).unwrap_or(500);
            return Err(self.refusal(status, self.message(&value), false));
        }
        if !value["choices"][0]["message"].is_object() {
            return Err(ApiError::Unexpected {
                reason: "it holds no choices[0].message".to_owned(),
            });
        }
        self.take_chunk(&value, "message");
        self.done = true;
        Ok(())
    }

    /// The error for a status that is no success.
    fn refusal(&self, status: u16, message: String, html: bool) -> ApiError {
        match status {
            401 => ApiError::KeyRefused, // without the provider's words, which may quote the key in part
            403 => ApiError::Forbidden { message },
            404 => ApiError::NotFound { message },
            413 => ApiError::TooLarge,
            400 | 422 => ApiError::BadRequest { status, message },
            429 => ApiError::RateLimited {
                retry_after: self.retry_after,
                retry_at: self.retry_at.clone(),
                message,
            },
            500..=599 => ApiError::Server { status, message },
            _ if html => ApiError::Html { status },
            _ => ApiError::Status { status, message },
        }
    }

    /// What the provider says, wherever it says it, in one short line without the key.
    fn message(&self, value: &Value) -> String {
        let places = [
            &value["error"]["message"], // OpenAI
            &value["error"],            // Ollama: a string
            &value["message"],          // vLLM, Mistral
            &value["detail"],           // FastAPI: a string
            &value["detail"][0]["msg"], // FastAPI: a list
        ];
        let said = places.iter().find_map(|v| v.as_str()).unwrap_or_default();
        // Redacted before it is cut: half a key is a part of it too.
        let line = self.key.redact(said);
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}...", &line[..end]),
            None => line,
        }
    }
}

fn json_of(event: &Event) -> Option<Value> {
    serde_json::from_str(&event.data).ok()
}

/// `error` may stand there as null.
fn is_error(value: &Value) -> bool {
    value.get("error").is_some_and(|e| !e.is_null()) || value["object"] == "error"
}

fn is_html(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

/// `Retry-After` in whole seconds, rounded up.
fn seconds(header: &str) -> Option<u64> {
    let seconds: f64 = header.trim().parse().ok()?;
    (0.0..=1e6)
        .contains(&seconds)
        .then(|| seconds.ceil().max(1.0) as u64)
}

/// `Retry-After` as a date, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7; the two obsolete forms are left alone).
/// It is shown as it is, so nothing but a date passes.
fn date(header: &str) -> Option<String> {
    const DAYS: [&str; 7] = ["Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let parts: Vec<&str> = header.split_ascii_whitespace().collect();
    let &[weekday, day, month, year, time, "GMT"] = parts.as_slice() else {
        return None;
    };
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let clock: Vec<&str> = time.split(':').collect();
    let valid = DAYS.contains(&weekday)
        && digits(day, 2)
        && MONTHS.contains(&month)
        && digits(year, 4)
        && clock.len() == 3
        && clock.iter().all(|part| digits(part, 2));
    valid.then(|| parts.join(" "))
}
