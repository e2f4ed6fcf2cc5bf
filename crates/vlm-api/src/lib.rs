//! What is sent to a VLM provider and what comes back; one file a provider.
//!
//! Pure: no network and no clock, so that everything here is tested natively and the wasm stays
//! small. Whoever has the network (the page: `fetch`) sends the [`Request`] as a POST and hands the
//! reply's bytes, as they come and split as they are, to a [`openai::Reply`].
//!
//! ```
//! use vlm_api::{Endpoint, Image, Key, MediaType, Question, openai};
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
//! let request = openai::request(&endpoint, &asked)?;
//! assert_eq!(request.url, "http://127.0.0.1:11434/v1/chat/completions");
//! assert!(!format!("{request:?}").contains("sk-secret"));
//!
//! // ... the page sends it; the reply has a status, perhaps a Retry-After header, and bytes:
//! let mut reply = openai::Reply::new(200, None, &endpoint.key);
//! let mut shown = String::new();
//! for bytes in [
//!     "data: {\"choices\": [{\"delta\": {\"content\": \"9.0",
//!     "0\"}}]}\n\ndata: [DONE]\n\n",
//! ] {
//!     shown += &reply.push(bytes.as_bytes())?;
//! }
//! assert_eq!(reply.finish()?.text, "9.00");
//! assert_eq!(shown, "9.00");
//! # Ok::<(), vlm_api::ApiError>(())
//! ```

mod error;
pub mod openai;
mod request;
mod sse;

pub use error::ApiError;
pub use request::{Endpoint, Image, Key, MediaType, Question, Request};
pub use sse::{Event, EventParser};
