//! The provider-neutral side of a request: where to, with which key, which pictures, which question.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grounding::Case;
use grounding::prompt::answer_prompt;

use crate::ApiError;

/// Where to ask.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// As the provider documents it for OpenAI clients, for example `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's name in the provider's spelling.
    pub model: String,
    /// The key; empty for local servers that want none.
    pub key: Key,
}

/// A provider's key. `Debug` does not show it, nothing serializes it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key as typed or pasted; spaces around it are taken off.
    ///
    /// # Errors
    /// [`ApiError::KeyCharacters`] if it holds anything but visible ASCII: it could not be sent, and a
    /// browser's own error would quote it.
    pub fn new(typed: &str) -> Result<Key, ApiError> {
        let key = typed.trim();
        if key.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Key(key.to_owned()))
        } else {
            Err(ApiError::KeyCharacters)
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key itself, for the header it belongs in.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The text with the key taken out, for words of a provider that quotes it. Keys shorter than
    /// four characters keep no secret and stay, since words of the text could hold them.
    pub fn redact(&self, text: &str) -> String {
        if self.0.len() < 4 {
            return text.to_owned();
        }
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "Key(none)"
        } else {
            "Key(hidden)"
        })
    }
}

/// Formats of pictures that providers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// PNG: for crops, whose pixels must not change.
    Png,
    /// JPEG: for whole photos.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF, its first frame.
    Gif,
}

impl MediaType {
    /// The format of a file by its first bytes, `None` for one that providers do not take.
    pub fn of(file: &[u8]) -> Option<MediaType> {
        match file {
            [0x89, b'P', b'N', b'G', ..] => Some(MediaType::Png),
            [0xff, 0xd8, 0xff, ..] => Some(MediaType::Jpeg),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(MediaType::Webp),
            [b'G', b'I', b'F', b'8', ..] => Some(MediaType::Gif),
            _ => None,
        }
    }

    /// The name in headers and data URLs.
    pub fn name(self) -> &'static str {
        match self {
            MediaType::Png => "image/png",
            MediaType::Jpeg => "image/jpeg",
            MediaType::Webp => "image/webp",
            MediaType::Gif => "image/gif",
        }
    }
}

/// A picture file, encoded.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    /// Its format.
    pub media_type: MediaType,
    /// The file.
    pub bytes: &'a [u8],
}

impl Image<'_> {
    /// The picture as a `data:` URL.
    pub fn data_url(&self) -> String {
        let mut url = format!("data:{};base64,", self.media_type.name());
        STANDARD.encode_string(self.bytes, &mut url);
        url
    }

    /// The picture in base64 alone.
    pub(crate) fn base64(&self) -> String {
        STANDARD.encode(self.bytes)
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.media_type.name(), self.bytes.len())
    }
}

/// What the target VLM is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The question as typed; it becomes [`grounding::prompt::answer_prompt`].
    pub text: &'a str,
    /// Whether the question's letters change, as they do for the models of the reference.
    pub case: Case,
    /// The whole picture.
    pub image: Image<'a>,
    /// What the policy proposed to look at, cut from the original.
    pub crop: Option<Image<'a>>,
}

impl<'a> Question<'a> {
    /// The pictures in the order in which they are shown.
    pub(crate) fn images(&self) -> Vec<Image<'a>> {
        [Some(self.image), self.crop]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A POST request, ready to send. `Debug` shows neither key nor pictures.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Address.
    pub url: String,
    /// Names (lower case) and values; one of them holds the key.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

impl Request {
    /// Scheme, host and port: what may be shown to a person.
    pub fn origin(&self) -> &str {
        origin_of(&self.url)
    }

    /// The error for when no reply came at all.
    pub fn unreachable(&self) -> ApiError {
        ApiError::Unreachable {
            origin: self.origin().to_owned(),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path's query may hold a key too.
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Request")
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Scheme, host and port of an address. A key belongs to one of these: what was typed for one is never sent to
/// another.
pub fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']);
    &url[..end.map_or(url.len(), |at| host + at)]
}

/// The prompt for a question, empty for an empty one.
pub(crate) fn prompt_of(question: &Question<'_>) -> String {
    match question.text.trim() {
        "" => String::new(),
        text => answer_prompt(text, question.case),
    }
}

/// The model's name.
pub(crate) fn model_of(endpoint: &Endpoint) -> Result<&str, ApiError> {
    let model = endpoint.model.trim();
    (!model.is_empty())
        .then_some(model)
        .ok_or(ApiError::NoModel)
}

/// A prompt that says something.
pub(crate) fn said(prompt: &str) -> Result<&str, ApiError> {
    (!prompt.is_empty())
        .then_some(prompt)
        .ok_or(ApiError::NoQuestion)
}

/// The headers of a POST, with those that hold the key.
pub(crate) fn headers(
    key: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("accept", "text/event-stream, application/json".to_owned()),
    ];
    headers.extend(key);
    headers
}

/// A base URL with a path added, a query (`?api-version=...`) kept behind it. The path is not added
/// twice, for people who paste the whole address.
///
/// # Errors
/// [`ApiError::BaseUrl`] where it could not be fetched, or fetching would send it somewhere unmeant.
pub(crate) fn join_url(base_url: &str, path: &str) -> Result<String, ApiError> {
    let wrong = |reason| Err(ApiError::BaseUrl { reason });
    let base_url = base_url.trim();
    if base_url.is_empty() {
        return wrong("is empty");
    }
    if base_url
        .chars()
        .any(|c| c.is_whitespace() || c.is_control())
    {
        return wrong("contains a space");
    }
    let Some((scheme, rest)) = base_url.split_once("://") else {
        return wrong("does not start with https:// or http://");
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return wrong("does not start with https:// or http://");
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (rest, String::new()),
    };
    let host = place.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return wrong("names no host");
    }
    if host.contains('@') {
        return wrong("contains a user name or password, which browsers refuse to send");
    }
    let place = place.trim_end_matches('/');
    let place = place.strip_suffix(path).unwrap_or(place);
    Ok(format!("{scheme}://{place}{path}{query}"))
}
