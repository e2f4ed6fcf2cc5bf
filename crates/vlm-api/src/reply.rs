//! A reply, streamed or whole, good or bad, from any provider.
//!
//! What all have in common is here: how the form shows in status and first byte, events cut anywhere, statuses,
//! messages without the key, the end that is missing. What an event or a body means is said by the file of the
//! API ([`crate::openai`], [`crate::responses`], [`crate::anthropic`], [`crate::gemini`]).

use serde_json::Value;

use crate::fault;
use crate::thoughts::Splitter;
use crate::{Api, ApiError, Event, EventParser, Key, Usage};

/// Most bytes that a reply may hold back unread: no answer is as long, and a server that sends its
/// film archive must not fill the page's memory.
const MAX_PENDING: usize = 4 << 20;

/// How long to wait for a count of tokens after the end of an answer ([`Progress::Ending`]).
pub const GRACE: std::time::Duration = std::time::Duration::from_millis(1_500);

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// What the model answered.
    pub text: String,
    /// What it thought before, where it shows that: no part of the answer.
    pub thoughts: String,
    /// Why it stopped, where the provider says so, in the words of OpenAI's chat completions whoever the
    /// provider is: `stop`, `length`, `content_filter`; anything else as the provider calls it.
    pub finish_reason: Option<String>,
    /// Whether the provider marks it as a refusal; `text` is then its reason.
    pub refused: bool,
    /// What it cost, where the provider says so.
    pub usage: Option<Usage>,
}

/// How far a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its end has not come.
    Open,
    /// The answer is complete; only a count of its tokens may follow. Wait [`crate::GRACE`], no longer: some servers keep
    /// the connection open.
    Ending,
    /// Nothing that counts can follow: stop reading.
    Ended,
}

/// An answer while it is being read: adds texts to the part that they belong to.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) answer: Answer,
    splitter: Splitter,
}

impl Draft {
    /// Text of the answer, perhaps with thoughts between marks.
    pub(crate) fn add_text(&mut self, text: &str) {
        let Answer {
            text: answer,
            thoughts,
            ..
        } = &mut self.answer;
        self.splitter.push(text, answer, thoughts);
    }

    /// Thoughts that the provider marks as such.
    pub(crate) fn add_thoughts(&mut self, text: &str) {
        self.answer.thoughts.push_str(text);
    }

    /// The next thoughts are another paragraph.
    pub(crate) fn new_thought(&mut self) {
        if !self.answer.thoughts.is_empty() && !self.answer.thoughts.ends_with('\n') {
            self.answer.thoughts.push_str("\n\n");
        }
    }

    /// The end: nothing is held back any more.
    fn settle(&mut self) {
        let Answer { text, thoughts, .. } = &mut self.answer;
        self.splitter.finish(text, thoughts);
    }
}

/// What an event means for the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// More may follow.
    More,
    /// This was the last that counts.
    Done,
    /// The event is an error.
    Failed,
}

/// Reads a reply, streamed or whole, good or bad: what it is shows in its status and first byte.
#[derive(Debug)]
pub struct Reply {
    api: Api,
    status: u16,
    retry_after: Option<u64>,
    retry_at: Option<String>,
    key: Key,
    form: Form,
    draft: Draft,
    /// The end has been read: what follows does not count.
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
    /// A reader for a reply of chat completions, which most providers speak, with this status and
    /// `Retry-After` header. The key is taken out of whatever the provider says.
    pub fn new(status: u16, retry_after: Option<&str>, key: &Key) -> Reply {
        Reply::of(Api::Chat, status, retry_after, key)
    }

    /// A reader for a reply of this API.
    pub fn of(api: Api, status: u16, retry_after: Option<&str>, key: &Key) -> Reply {
        Reply {
            api,
            status,
            retry_after: retry_after.and_then(seconds),
            retry_at: retry_after.and_then(date),
            key: key.clone(),
            form: Form::Unknown,
            draft: Draft::default(),
            done: false,
        }
    }

    /// The answer so far. It only grows, but for one case: a closing mark of thoughts without an opening one turns all
    /// before it into thoughts.
    pub fn text(&self) -> &str {
        &self.draft.answer.text
    }

    /// The thoughts so far.
    pub fn thoughts(&self) -> &str {
        &self.draft.answer.thoughts
    }

    /// How far the reply is: a server may keep the connection open after its end.
    pub fn progress(&self) -> Progress {
        let counted = self.draft.answer.usage.is_some();
        match (self.done, &self.draft.answer.finish_reason) {
            (true, _) if counted => Progress::Ended,
            (true, _) | (false, Some(_)) => Progress::Ending,
            (false, None) => Progress::Open,
        }
    }

    /// Takes the next bytes and says whether they changed the answer or the thoughts.
    ///
    /// # Errors
    /// [`ApiError::Interrupted`] for an error inside the stream, [`ApiError::Garbled`] for an event that is broken JSON,
    /// [`ApiError::Unexpected`] for a reply without end. After an error there is nothing more to read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, ApiError> {
        let had = (self.text().len(), self.thoughts().len());
        if let Form::Unknown = self.form {
            // Fields of an event stream open with one of these (or a byte order mark); JSON, HTML and
            // plain text do not, but for words that a success never consists of.
            let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
            self.form = match first {
                None => return Ok(false),
                Some(b'd' | b'e' | b'i' | b'r' | b':' | 0xef) if self.success() => {
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
        Ok(had != (self.text().len(), self.thoughts().len()))
    }

    /// The end of the reply, in good order or not.
    ///
    /// # Errors
    /// What the status and the body say (see [`ApiError`]); [`ApiError::BrokenStream`] with the text so
    /// far if neither an end nor a finish reason came; [`ApiError::NoText`] for an empty answer,
    /// [`ApiError::OnlyThought`] for one that holds thoughts alone.
    pub fn finish(mut self) -> Result<Answer, ApiError> {
        match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Whole(body) => self.take_whole(&body)?,
            Form::Unknown if !self.success() => self.take_whole(b"")?,
            Form::Unknown => {}
            Form::Events(parser) => {
                // Half an event is a broken stream, not a wrong one.
                let last = parser.finish();
                if let Some(event) = last.filter(|e| is_done(e) || json_of(e).is_some()) {
                    self.take_event(&event)?;
                }
            }
        }
        self.draft.settle();
        let answer = self.draft.answer;
        if !self.done && answer.finish_reason.is_none() {
            return Err(ApiError::BrokenStream { text: answer.text });
        }
        let finish_reason = answer.finish_reason.clone();
        match (answer.text.trim(), answer.thoughts.trim()) {
            ("", "") => Err(ApiError::NoText { finish_reason }),
            ("", _) => Err(ApiError::OnlyThought {
                finish_reason,
                thoughts: answer.thoughts,
            }),
            _ => Ok(answer),
        }
    }

    fn success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn take_event(&mut self, event: &Event) -> Result<(), ApiError> {
        if self.done {
            self.take_late_usage(event);
            return Ok(());
        }
        if is_done(event) {
            self.done = true;
            return Ok(());
        }
        let data = match json_of(event) {
            Some(data) => data,
            None if event.name == "error" => {
                // Words without JSON around them are still the provider's.
                return Err(self.interrupted(fault::line(&event.data, &self.key)));
            }
            None if event.data.trim_start().starts_with('{') => {
                let text = self.text().to_owned();
                return Err(ApiError::Garbled { text });
            }
            // `data:` alone, `[PING]`, and whatever else keeps a connection alive.
            None => return Ok(()),
        };
        let step = if event.name == "error" || fault::is_error(&data) {
            Step::Failed
        } else {
            self.api.take_event(&data, &mut self.draft)
        };
        match step {
            Step::More => Ok(()),
            Step::Done => {
                self.done = true;
                Ok(())
            }
            Step::Failed => Err(self.interrupted(fault::message(&data, &self.key))),
        }
    }

    /// After the end only a count of tokens is taken, and only where there was none.
    fn take_late_usage(&mut self, event: &Event) {
        let Some(data) = json_of(event).filter(|data| !fault::is_error(data)) else {
            return;
        };
        if self.draft.answer.usage.is_none() {
            let mut late = Draft::default();
            self.api.take_event(&data, &mut late);
            self.draft.answer.usage = late.answer.usage;
        }
    }

    fn interrupted(&self, message: String) -> ApiError {
        ApiError::Interrupted {
            message,
            text: self.text().to_owned(),
        }
    }

    /// A reply that came in one piece.
    fn take_whole(&mut self, body: &[u8]) -> Result<(), ApiError> {
        let text = String::from_utf8_lossy(body);
        let value: Option<Value> = serde_json::from_str(text.trim()).ok();
        if !self.success() {
            return Err(self.refusal(self.status, value.as_ref(), fault::is_html(&text)));
        }
        let Some(value) = value else {
            return Err(if fault::is_html(&text) {
                ApiError::Html {
                    status: self.status,
                }
            } else if text.trim_start().starts_with(['{', '[']) {
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
        if fault::is_error(&value) {
            // OpenRouter reports some errors with status 200 and the real one in the body.
            let code = value["error"]["code"].as_u64().unwrap_or(500);
            let status = u16::try_from(code).unwrap_or(500);
            return Err(self.refusal(status, Some(&value), false));
        }
        if let Err(missing) = self.api.take_whole(&value, &mut self.draft) {
            return Err(ApiError::Unexpected {
                reason: format!("it holds no {missing}"),
            });
        }
        self.done = true;
        Ok(())
    }

    /// The error for a status that is no success.
    fn refusal(&self, status: u16, body: Option<&Value>, html: bool) -> ApiError {
        let wait = body.and_then(fault::retry_delay).and_then(|d| seconds(&d));
        let wait = (self.retry_after.or(wait), self.retry_at.clone());
        fault::refusal(status, body, html, wait, &self.key)
    }
}

fn is_done(event: &Event) -> bool {
    event.data.trim() == "[DONE]"
}

fn json_of(event: &Event) -> Option<Value> {
    serde_json::from_str(&event.data).ok()
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
