//! A provider for tests: an OpenAI-compatible server in this process that checks everything it is sent and
//! refuses what the API's schema does not have.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picture::RgbImage;
use serde_json::{Value, json};

/// The key that is asked for.
pub const KEY: &str = "sk-test-0123456789";

/// A question as it arrived.
#[derive(Clone)]
pub struct Asked {
    /// Its pictures, in their order.
    pub images: Vec<RgbImage>,
    /// Names of their formats.
    pub formats: Vec<String>,
    /// Its text.
    pub text: String,
}

/// What the server replies.
pub enum Reply {
    /// An answer, streamed in small pieces.
    Text(String),
    /// A refusal in the field that the API has for it.
    Refusal(String),
    /// A status, with a `Retry-After` header where there is one.
    Status(u16, Option<&'static str>),
}

/// The running server.
pub struct Provider {
    /// Its base URL.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
}

impl Provider {
    /// Starts a server whose replies `answer` decides, given the question and how many came before.
    pub fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + 'static) -> Self {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("a free port"));
        let address = server.server_addr().to_ip().expect("an IP address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (list, socket) = (asked.clone(), server.clone());
        let thread = std::thread::spawn(move || {
            while let Ok(mut request) = socket.recv() {
                let reply = match check(&mut request) {
                    Ok(question) => {
                        let mut list = list.lock().expect("list");
                        list.push(question.clone());
                        answer(&question, list.len() - 1)
                    }
                    Err((status, reason)) => {
                        let body = json!({"error": {"message": reason}}).to_string();
                        let reply = tiny_http::Response::from_string(body).with_status_code(status);
                        request.respond(reply).ok();
                        continue;
                    }
                };
                respond(request, reply);
            }
        });
        Self {
            url: format!("http://{address}/v1"),
            asked,
            server,
            thread: Some(thread),
        }
    }

    /// Questions that came, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("list").clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn respond(request: tiny_http::Request, reply: Reply) {
    let delta = |delta: Value, reason: Value| {
        let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        format!("data: {chunk}\n\n")
    };
    let body = match reply {
        Reply::Status(status, wait) => {
            let mut reply = tiny_http::Response::from_string("{}").with_status_code(status);
            if let Some(wait) = wait {
                let header = tiny_http::Header::from_bytes("Retry-After", wait);
                reply.add_header(header.expect("a header"));
            }
            request.respond(reply).ok();
            return;
        }
        Reply::Text(text) => {
            let pieces = text
                .chars()
                .map(|c| delta(json!({"content": c}), Value::Null));
            pieces.collect::<String>() + &delta(json!({}), json!("stop"))
        }
        Reply::Refusal(text) => {
            delta(json!({"refusal": text}), Value::Null) + &delta(json!({}), json!("stop"))
        }
    };
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 5}});
    let body = format!("{body}data: {usage}\n\ndata: [DONE]\n\n");
    let kind = tiny_http::Header::from_bytes("Content-Type", "text/event-stream");
    let reply = tiny_http::Response::from_string(body).with_header(kind.expect("a header"));
    request.respond(reply).ok();
}

/// Everything that the API asks of a request with pictures.
fn check(request: &mut tiny_http::Request) -> Result<Asked, (u16, String)> {
    let wrong = |reason: &str| (400, reason.to_owned());
    if request.method() != &tiny_http::Method::Post || request.url() != "/v1/chat/completions" {
        return Err((404, format!("{} {}", request.method(), request.url())));
    }
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|h| h.field.equiv(name));
        found.map_or(String::new(), |h| h.value.as_str().to_owned())
    };
    if header("Authorization") != format!("Bearer {KEY}") {
        return Err((401, format!("wrong key {}", header("Authorization"))));
    }
    if header("Content-Type") != "application/json" {
        return Err(wrong("no JSON"));
    }
    let mut body = String::new();
    request
        .as_reader()
        .read_to_string(&mut body)
        .map_err(|_| wrong("no body"))?;
    let body: Value = serde_json::from_str(&body).map_err(|_| wrong("broken JSON"))?;
    let known = ["model", "messages", "stream", "stream_options"];
    let keys = body.as_object().ok_or_else(|| wrong("no object"))?.keys();
    if let Some(key) = keys.into_iter().find(|key| !known.contains(&key.as_str())) {
        return Err(wrong(&format!("unknown key {key}")));
    }
    if body["model"] != "test-vlm" || body["stream"] != true {
        return Err(wrong("model or stream"));
    }
    let messages = body["messages"]
        .as_array()
        .ok_or_else(|| wrong("no messages"))?;
    let [message] = messages.as_slice() else {
        return Err(wrong("one message expected"));
    };
    let parts = message["content"]
        .as_array()
        .ok_or_else(|| wrong("no content"))?;
    let (Some(last), true) = (parts.last(), message["role"] == "user") else {
        return Err(wrong("no user content"));
    };
    let text = last["text"].as_str().filter(|_| last["type"] == "text");
    let text = text.ok_or_else(|| wrong("the text comes last"))?.to_owned();
    if !text.ends_with("\nGive a very brief answer.") {
        return Err(wrong("another prompt"));
    }
    let mut asked = Asked {
        images: Vec::new(),
        formats: Vec::new(),
        text,
    };
    for part in &parts[..parts.len() - 1] {
        let url = part["image_url"]["url"]
            .as_str()
            .filter(|_| part["type"] == "image_url");
        let url = url.and_then(|url| url.strip_prefix("data:image/"));
        let (format, data) = url
            .and_then(|url| url.split_once(";base64,"))
            .ok_or_else(|| wrong("no picture as data URL"))?;
        let file = STANDARD.decode(data).map_err(|_| wrong("broken base64"))?;
        let image = picture::decode(&file).map_err(|e| wrong(&e.to_string()))?;
        asked.images.push(image);
        asked.formats.push(format.to_owned());
    }
    Ok(asked)
}
