//! Requests over the network: what `vlm-api` wrote is sent, and sent again where that can help.
//!
//! Shared by everything that asks a provider (`eval --target-url`, teacher boxes). `vlm-api` is pure and
//! knows what is said; here is only how it travels: timeouts, waiting and trying again after 429, 5xx,
//! broken streams and silence, and an end to all waiting when the person presses Ctrl-C.
//!
//! ```text
//! let http = Http::new(HttpSettings::default(), stop);
//! let answer = http.ask(provider, &provider.request(&endpoint, &question)?, &endpoint.key)?;
//! ```
//!
//! One [`Http`] serves any number of threads. When a provider asks one of them to wait, all wait.

use std::fmt;
use std::io::Read;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime};

use ureq::Agent;
use vlm_api::{Answer, ApiError, GRACE, Key, Progress, Provider, Reply, Request};

use crate::stop::Stop;

/// How patient a client is.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSettings {
    /// From the first byte sent to the last one read of one try.
    pub timeout: Duration,
    /// Tries of one request, the first one counted.
    pub tries: u32,
    /// Wait before the second try; it doubles with each further one.
    pub first_wait: Duration,
    /// Longest wait. A provider that asks for more is not waited for.
    pub longest_wait: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            tries: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(120),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The person pressed Ctrl-C.
    Stopped,
    /// No reply came, at any try.
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// What the network said.
        reason: String,
    },
    /// The provider said so, or its reply cannot be used.
    Api(ApiError),
}

impl Failure {
    /// Whether every other request would fail the same way: a wrong address, key or model, or a
    /// provider that wants to be left alone for longer than anyone waits.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Stopped => true,
            Self::Unreachable { .. } => false,
            Self::Api(error) => matches!(
                error,
                ApiError::BaseUrl { .. }
                    | ApiError::NoModel
                    | ApiError::KeyCharacters
                    | ApiError::KeyRefused
                    | ApiError::KeyInvalid { .. }
                    | ApiError::UnknownModel { .. }
                    | ApiError::NoCredit { .. }
                    | ApiError::NotFound { .. }
                    | ApiError::Html { .. }
                    | ApiError::Status { .. }
                    | ApiError::RateLimited { .. }
            ),
        }
    }

    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Stopped => false,
            Self::Unreachable { .. } => true,
            Self::Api(error) => matches!(
                error,
                ApiError::RateLimited { .. }
                    | ApiError::Server { .. }
                    | ApiError::Interrupted { .. }
                    | ApiError::Garbled { .. }
                    | ApiError::BrokenStream { .. }
                    | ApiError::Status {
                        status: 408 | 409 | 425,
                        ..
                    }
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Unreachable { origin, reason } => write!(
                f,
                "No reply from {origin}: {reason}. Is the server running, and is the address right?"
            ),
            Self::Api(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// A client for one provider; threads share it.
pub struct Http {
    agent: Agent,
    settings: HttpSettings,
    stop: Stop,
    /// Nobody sends before this: the provider asked for it.
    not_before: Mutex<Option<Instant>>,
}

impl Http {
    /// A client that gives up waiting as soon as `stop` is raised.
    pub fn new(settings: HttpSettings, stop: Stop) -> Self {
        let config = Agent::config_builder()
            // Statuses are read by `vlm-api`, which has the better words for them.
            .http_status_as_error(false)
            // A POST that is redirected loses its pictures; the status is shown instead.
            .max_redirects(0)
            .timeout_global(Some(settings.timeout))
            .timeout_connect(Some(settings.timeout.min(Duration::from_secs(20))))
            .user_agent(concat!("cropvlm/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            settings,
            stop,
            not_before: Mutex::new(None),
        }
    }

    /// Sends a request and reads its reply, streamed or whole; tries again where that can help.
    ///
    /// # Errors
    /// [`Failure`] of the last try.
    pub fn ask(&self, provider: Provider, request: &Request, key: &Key) -> Result<Answer, Failure> {
        let mut tried = 0;
        loop {
            self.wait_for_turn()?;
            let (failure, asked) = match self.once(provider, request, key) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tried += 1;
            if !failure.may_pass() || tried >= self.settings.tries {
                return Err(failure);
            }
            let wait = match asked {
                Some(wait) if wait > self.settings.longest_wait => return Err(failure),
                Some(wait) => {
                    // What the provider asks of one is meant for all.
                    self.hold_back(wait);
                    wait
                }
                None => self.back_off(tried),
            };
            self.sleep_until(Instant::now() + wait)?;
        }
    }

    /// One try; with its failure comes how long the provider asks to wait.
    fn once(
        &self,
        provider: Provider,
        request: &Request,
        key: &Key,
    ) -> Result<Answer, (Failure, Option<Duration>)> {
        let mut sent = self.agent.post(&request.url);
        for (name, value) in &request.headers {
            sent = sent.header(*name, value);
        }
        let unreachable = |reason: String| {
            let origin = request.origin().to_owned();
            let reason = key.redact(&reason);
            (Failure::Unreachable { origin, reason }, None)
        };
        let response = match sent.send(&request.body) {
            Ok(response) => response,
            Err(ureq::Error::Timeout(_)) => return Err(unreachable(self.too_slow())),
            Err(error) => return Err(unreachable(error.to_string())),
        };
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after");
        let header = header
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let asked = header
            .as_deref()
            .and_then(|h| retry_after(h, SystemTime::now()));
        // A date becomes seconds, so that the error names a wait in either form.
        let seconds = asked.map(|wait| wait.as_secs_f64().ceil().to_string());
        let mut reply = provider.reply(status, seconds.as_deref(), key);
        let mut body = response.into_body().into_reader();
        let mut buffer = [0; 16 << 10];
        while reply.progress() == Progress::Open {
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    reply.push(&buffer[..n]).map_err(|e| (e.into(), asked))?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => return Err(unreachable(self.too_slow())),
                // A connection that broke: the reply itself knows whether it was complete.
                Err(_) => break,
            }
        }
        if reply.progress() == Progress::Ending {
            take_late(body, &mut reply).map_err(|e| (e.into(), asked))?;
        }
        reply.finish().map_err(|error| (error.into(), asked))
    }

    fn too_slow(&self) -> String {
        format!(
            "it took longer than {} s",
            self.settings.timeout.as_secs_f64()
        )
    }

    /// Doubles with each try; a little shorter for some, so that threads do not come back together.
    fn back_off(&self, tried: u32) -> Duration {
        let factor = 2f64.powi(tried.min(20) as i32 - 1);
        let wait = self.settings.first_wait.mul_f64(factor);
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let part = f64::from(nanos.map_or(0, |d| d.subsec_nanos()) % 1000) / 1000.0;
        wait.min(self.settings.longest_wait)
            .mul_f64(1.0 - 0.3 * part)
    }

    fn hold_back(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut held = self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |other| other.max(until)));
    }

    fn wait_for_turn(&self) -> Result<(), Failure> {
        let held = *self
            .not_before
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.sleep_until(held.unwrap_or_else(Instant::now))
    }

    /// Sleeps in short naps, to notice Ctrl-C.
    fn sleep_until(&self, end: Instant) -> Result<(), Failure> {
        loop {
            if self.stop.raised() {
                return Err(Failure::Stopped);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Reads what may follow the end of an answer, a count of its tokens. The server may keep the connection open: a thread
/// of its own waits for it, and is left behind after [`GRACE`].
fn take_late(mut body: impl Read + Send + 'static, reply: &mut Reply) -> Result<(), ApiError> {
    let (sender, chunks) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4 << 10];
        while let Ok(read @ 1..) = body.read(&mut buffer) {
            if sender.send(buffer[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + GRACE;
    while reply.progress() != Progress::Ended {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(chunk) = chunks.recv_timeout(left) else {
            break;
        };
        reply.push(&chunk)?;
    }
    Ok(())
}

/// Whether a read ended because of a timeout, ureq's or the socket's.
fn timed_out(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_))) || error.kind() == std::io::ErrorKind::TimedOut
}

/// How long a `Retry-After` header asks to wait: seconds, or a date (RFC 9110, section 10.2.3).
/// A date that has passed is no wait.
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return (0.0..=1e6)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests;
