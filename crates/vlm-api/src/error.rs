//! Everything that can go wrong with a provider, each as a sentence for the person at the page, with
//! what to do about it.
//!
//! No text of an error holds the key: the provider's own words pass [`crate::Key::redact`], and of a
//! refused key they are left out, since providers quote parts of it.

use thiserror::Error;

/// What went wrong, from the settings to the end of the stream. `Display` is meant to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The base URL cannot be one.
    #[error("The base URL {reason}. It should look like https://api.openai.com/v1.")]
    BaseUrl {
        /// What is wrong with it: the sentence's predicate.
        reason: &'static str,
    },
    /// No model is named.
    #[error("No model is named. Enter its name as your provider spells it.")]
    NoModel,
    /// No key is given where nothing works without.
    #[error("This provider wants a key. Enter yours.")]
    NoKey,
    /// The question is empty.
    #[error("The question is empty. Type what you want to know about the picture.")]
    NoQuestion,
    /// The key holds something that cannot stand in a header.
    #[error("The key contains a space, a line break or a letter that no key has. Copy it again.")]
    KeyCharacters,
    /// The request never got a reply: made by whoever has the network.
    #[error(
        "No reply from {origin}. Is the server running, and is the address right? If both are, it may \
         not allow requests from web pages: allow this page's origin there (CORS)."
    )]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
    },
    /// The address sends on to another one, which is not followed: it would get the key.
    #[error(
        "{origin} sends on to another address. Enter that one: a key goes nowhere but to the origin it was typed for."
    )]
    Redirected {
        /// Scheme, host and port.
        origin: String,
    },
    /// 401.
    #[error(
        "The provider refused the key (401). Check that it is complete and belongs to this base URL."
    )]
    KeyRefused,
    /// The key was refused with another status: Google does it with 400.
    #[error(
        "The provider refused the key ({status}). Check that it is complete and belongs to this base URL."
    )]
    KeyInvalid {
        /// HTTP status.
        status: u16,
    },
    /// 403.
    #[error("The key is not allowed to do this (403).{} Check its permissions and the model's name.", said(.message))]
    Forbidden {
        /// The provider's words, may be empty.
        message: String,
    },
    /// 404.
    #[error("The address or the model was not found (404).{} Check the base URL (it often ends in /v1) and the model's name.", said(.message))]
    NotFound {
        /// The provider's words, may be empty.
        message: String,
    },
    /// The provider has no model of this name.
    #[error("The provider does not know this model ({status}).{} Check the model's name.", said(.message))]
    UnknownModel {
        /// HTTP status.
        status: u16,
        /// The provider's words, may be empty.
        message: String,
    },
    /// The money or the free quota is used up; waiting does not help.
    #[error("The account has no credit left, or its quota is used up ({status}).{} Check the account at the provider.", said(.message))]
    NoCredit {
        /// HTTP status.
        status: u16,
        /// The provider's words, may be empty.
        message: String,
    },
    /// 413.
    #[error("The pictures are too large for this provider (413). Try a smaller picture.")]
    TooLarge,
    /// 400 and 422.
    #[error("The provider did not understand the request ({status}).{} Does this model take images?", said(.message))]
    BadRequest {
        /// HTTP status.
        status: u16,
        /// The provider's words, may be empty.
        message: String,
    },
    /// The model takes one picture at a time.
    #[error("This model takes one picture at a time ({status}).{} Send it the crop alone (\"Crop only\"), or take another model.", said(.message))]
    OneImage {
        /// HTTP status.
        status: u16,
        /// The provider's words, may be empty.
        message: String,
    },
    /// 429.
    #[error("Too many requests, or the quota is used up (429).{} {}", said(.message), wait(.retry_after, .retry_at))]
    RateLimited {
        /// Seconds to wait, where the provider says so and the page may read it.
        retry_after: Option<u64>,
        /// The date to wait for, as the provider wrote it, where it says that instead of seconds.
        retry_at: Option<String>,
        /// The provider's words, may be empty.
        message: String,
    },
    /// 500 to 599.
    #[error("The provider {} ({status}).{} Try again in a moment.", trouble(*.status), said(.message))]
    Server {
        /// HTTP status.
        status: u16,
        /// The provider's words, may be empty.
        message: String,
    },
    /// Any other status that is no success.
    #[error("The provider replied with status {status}.{} Check the base URL.", said(.message))]
    Status {
        /// HTTP status.
        status: u16,
        /// The provider's words, may be empty.
        message: String,
    },
    /// A web page where an answer was expected.
    #[error(
        "A web page came back instead of an answer ({status}). Check the base URL: it often ends in /v1."
    )]
    Html {
        /// HTTP status.
        status: u16,
    },
    /// A success that is no answer.
    #[error(
        "The reply is no answer of this API: {reason}. Check that base URL and provider belong together."
    )]
    Unexpected {
        /// What was missing or wrong.
        reason: String,
    },
    /// The model ended without a word.
    #[error("The model gave no answer{}. Ask again, or ask differently.", because(.finish_reason))]
    NoText {
        /// Why it stopped, as the provider says.
        finish_reason: Option<String>,
    },
    /// The model thought, and ended without an answer.
    #[error("The model only thought and gave no answer{}. Ask again, ask for less, or take a model that thinks less.", because(.finish_reason))]
    OnlyThought {
        /// Why it stopped, as the provider says.
        finish_reason: Option<String>,
        /// What it thought.
        thoughts: String,
    },
    /// A part of the stream cannot be read.
    #[error(
        "A part of the answer came garbled: an event that is no whole JSON. Try again; what had arrived is kept."
    )]
    Garbled {
        /// The answer so far.
        text: String,
    },
    /// The provider reported an error in the middle of the answer.
    #[error("The provider stopped in the middle of the answer.{} Try again.", said(.message))]
    Interrupted {
        /// The provider's words, may be empty.
        message: String,
        /// The answer so far.
        text: String,
    },
    /// The stream ended before the answer did.
    #[error(
        "The connection broke before the answer was complete. Try again; what had arrived is kept."
    )]
    BrokenStream {
        /// The answer so far.
        text: String,
    },
}

impl ApiError {
    /// The part of an answer that had arrived before the error, where there is one.
    pub fn text_so_far(&self) -> Option<&str> {
        match self {
            ApiError::Interrupted { text, .. }
            | ApiError::Garbled { text }
            | ApiError::BrokenStream { text } => {
                Some(text.as_str()).filter(|text| !text.is_empty())
            }
            _ => None,
        }
    }
}

/// The provider's words as a sentence of their own, or nothing.
fn said(message: &str) -> String {
    if message.is_empty() {
        return String::new();
    }
    format!(" It says: \"{message}\"")
}

/// 529 is Anthropic's status for it; elsewhere the provider's words say so.
fn trouble(status: u16) -> &'static str {
    if status == 529 {
        "is overloaded"
    } else {
        "has a problem of its own"
    }
}

fn wait(seconds: &Option<u64>, date: &Option<String>) -> String {
    match (seconds, date) {
        (Some(1), _) => "Try again in 1 second.".to_owned(),
        (Some(seconds), _) => format!("Try again in {seconds} seconds."),
        // This crate has no clock: the person has one.
        (None, Some(date)) => format!("Try again after {date}."),
        (None, None) => "Wait a little and try again, or check your account.".to_owned(),
    }
}

fn because(finish_reason: &Option<String>) -> String {
    match finish_reason.as_deref() {
        Some("length") => ": it reached its limit of tokens first".to_owned(),
        Some("content_filter") => ": the provider's filter withheld it".to_owned(),
        Some("stop") | None => String::new(),
        Some(other) => format!(" (it stopped with \"{other}\")"),
    }
}
