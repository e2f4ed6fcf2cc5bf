//! What is sent to a VLM provider and what comes back; one file a provider.
//!
//! Pure: no network and no clock, so that everything here is tested natively and the wasm stays
//! small. Whoever has the network (the page: `fetch`; the command line: `ureq`) sends the [`Request`] as a POST and
//! hands the reply's bytes, as they come and split as they are, to a [`Reply`].
//!
//! [`Provider`] is the one interface: [`Provider::request`], [`Provider::reply`], [`Provider::check`]. Four languages
//! are spoken ([`Api`]: [`openai`], `responses`, `anthropic`, `gemini`); the other files hold what Mistral,
//! OpenRouter, Ollama, LM Studio, llama.cpp, vLLM and others do differently from OpenAI. [`tokens`] predicts what an image
//! costs, [`usage`] says what an answer cost, [`help`] says why a browser got no reply.
//!
//! # Why no crate does this
//!
//! Looked at in November 2026, since a well-kept library would be better than code of one's own:
//! * `genai` 0.7 knows every provider here, but owns the network: `reqwest` and `tokio` (192 packages for wasm32).
//!   In a browser the page has to hold `fetch` itself: to stop an answer, to send no cookies and no referrer, and to
//!   say why there is no reply. The wasm of the whole page is smaller than that client.
//! * `async-openai` 0.43 has types without the client, for OpenAI alone. Servers that are nearly compatible are what
//!   most of the work is about, and strict types refuse their replies.
//! * `eventsource-stream` 0.2 (2022) wants an async stream and brings a parser library; [`EventParser`] is a page.
//!
//! ```
//! use vlm_api::{Endpoint, Image, Key, MediaType, Provider, Question};
//! use grounding::Case;
//!
//! let endpoint = Endpoint {
//!     base_url: "http://127.0.0.1:11434/v1".into(),
//!     model: "some-vlm".into(),
//!     key: Key::new("sk-secret")?,
//! };
//! let picture = Image { media_type: MediaType::Png, bytes: b"\x89PNG..." };
//! let asked = Question {
//!     text: "What is the total?",
//!     case: Case::Keep,
//!     image: picture,
//!     crop: Some(picture),
//! };
//! let request = Provider::Ollama.request(&endpoint, &asked)?;
//! assert_eq!(request.url, "http://127.0.0.1:11434/v1/chat/completions");
//! assert!(!format!("{request:?}").contains("sk-secret"));
//!
//! // ... the page sends it; the reply has a status, perhaps a Retry-After header, and bytes:
//! let mut reply = Provider::Ollama.reply(200, None, &endpoint.key);
//! for bytes in [
//!     "data: {\"choices\": [{\"delta\": {\"content\": \"9.0",
//!     "0\"}}]}\n\ndata: [DONE]\n\n",
//! ] {
//!     if reply.push(bytes.as_bytes())? {
//!         println!("{}", reply.text());
//!     }
//! }
//! assert_eq!(reply.finish()?.text, "9.00");
//! # Ok::<(), vlm_api::ApiError>(())
//! ```

mod anthropic;
mod check;
mod curl;
mod error;
mod fault;
mod gemini;
pub mod help;
mod llamacpp;
mod lmstudio;
mod mistral;
mod ollama;
pub mod openai;
mod openrouter;
mod other;
mod provider;
mod reply;
mod request;
mod responses;
mod sse;
mod thoughts;
pub mod tokens;
pub mod usage;
mod vllm;

pub use check::{Check, Works};
pub use error::ApiError;
pub use provider::{Api, KeyUse, Profile, Provider};
pub use reply::{Answer, GRACE, Progress, Reply};
pub use request::{Endpoint, Image, Key, MediaType, Question, Request, origin_of};
pub use sse::{Event, EventParser};
pub use usage::{Money, Price, Usage};
