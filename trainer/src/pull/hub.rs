//! What a repository of the hub holds, and what the hub means by a refusal.
//!
//! Redirects are followed here, not by the HTTP client, which would send the token to another port of the same host.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

/// Where the hub is unless HF_ENDPOINT says otherwise.
const HUB: &str = "https://huggingface.co";
/// Most bytes of a list of files: 100,000 files of 200 bytes are 20 MB.
const MAX_LISTING: u64 = 64 << 20;
/// Redirects that are followed, one after the other.
const REDIRECTS: usize = 8;
/// Tries of a request that the hub is too busy for.
pub const TRIES: u32 = 5;

/// One repository, and the way to it.
pub struct Hub {
    agent: Agent,
    /// Owner and name.
    name: String,
    dataset: bool,
    /// Branch, tag or commit.
    revision: String,
    endpoint: String,
    token: Option<String>,
}

/// What there is at a revision.
pub struct Listing {
    /// The commit that the revision means now.
    pub commit: String,
    /// Its files.
    pub files: Vec<RemoteFile>,
}

/// One file of a repository.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// Path inside the repository.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What the content has to be.
    pub content: Checksum,
    /// Something that differs when the content does.
    pub version: String,
}

/// How a file's content is known again, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256, which the hub has for large files.
    Sha256(String),
    /// SHA-1 as git makes it of a blob, which it has for small ones.
    Git(String),
    /// The hub says nothing.
    Unknown,
}

impl Checksum {
    fn of(file: &Sibling) -> Self {
        let hexadecimal = |text: &String, length| {
            let text = text.to_ascii_lowercase();
            let fits = text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
            fits.then_some(text)
        };
        let found = match &file.lfs {
            // The blob of a large file is a pointer to it.
            Some(lfs) => lfs
                .sha256
                .as_ref()
                .and_then(|s| hexadecimal(s, 64))
                .map(Self::Sha256),
            None => file
                .blob
                .as_ref()
                .and_then(|s| hexadecimal(s, 40))
                .map(Self::Git),
        };
        found.unwrap_or(Self::Unknown)
    }
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Hub {
    /// The way to a repository. Nothing is sent yet.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub fn new(name: &str, revision: &str, dataset: bool, token: Option<String>) -> Result<Self> {
        for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
            let value = std::env::var(name).unwrap_or_default().to_ascii_lowercase();
            if ["1", "on", "yes", "true"].contains(&value.as_str()) {
                bail!("{name} is set, so nothing is asked of the hub; unset it to get files");
            }
        }
        let part = |p: &str| {
            !p.is_empty()
                && !p.starts_with('.')
                && p.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if name.split('/').count() > 2 || !name.split('/').all(part) {
            bail!(
                "\"{name}\" is no repository: its name is owner/name, as in \
                 HuggingFaceTB/SmolVLM-256M-Instruct"
            );
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if revision.is_empty() || !revision.chars().all(plain) {
            bail!("\"{revision}\" is no revision: a branch, a tag or a commit is needed");
        }
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|e| !e.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| HUB.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            bail!("HF_ENDPOINT is \"{endpoint}\", but an address such as {HUB} is needed");
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .max_redirects(0)
            // Compressed on the way, a file could not be taken up in its middle.
            .accept_encoding("identity")
            .user_agent(concat!("cropvlm/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self {
            agent,
            name: name.to_owned(),
            dataset,
            revision: revision.to_owned(),
            endpoint,
            token,
        })
    }

    /// Files at the revision. A hub that is too busy is asked again.
    ///
    /// # Errors
    /// No connection; a repository or revision that is not there or not open; a reply of another kind.
    pub fn list(&self) -> Result<Listing> {
        let kind = if self.dataset { "datasets" } else { "models" };
        let revision = self.revision.replace('/', "%2F");
        let url = format!(
            "{}/api/{kind}/{}/revision/{revision}?blobs=true",
            self.endpoint, self.name
        );
        let mut tries = 0;
        let mut reply = loop {
            let reply = self.get(&url, 0).map_err(|e| self.offline(&e))?;
            tries += 1;
            if !busy(&reply) || tries == TRIES {
                break self.accept(reply)?;
            }
            let wait = wanted_wait(&reply).unwrap_or(1 << (tries - 1)).min(120);
            let status = reply.status().as_u16();
            eprintln!(
                "{}: the hub is busy ({status}); asked again in {wait} s",
                self.name
            );
            sleep(Duration::from_secs(wait));
        };
        let body = reply.body_mut().with_config().limit(MAX_LISTING);
        let info: Info = body.read_json().map_err(|e| {
            anyhow!(
                "{} does not answer as the hub does ({e}); is HF_ENDPOINT right?",
                self.endpoint
            )
        })?;
        let files = info.siblings.into_iter().map(|file| {
            let lfs = file.lfs.as_ref();
            let content = Checksum::of(&file);
            let size = lfs.and_then(|l| l.size).or(file.size).with_context(|| {
                format!("{}: the hub gives no size of {}", self.name, file.rfilename)
            })?;
            let version = match &content {
                Checksum::Sha256(sum) | Checksum::Git(sum) => sum.clone(),
                Checksum::Unknown => file.blob.unwrap_or_else(|| info.sha.clone()),
            };
            Ok(RemoteFile {
                path: file.rfilename,
                size,
                content,
                version,
            })
        });
        Ok(Listing {
            files: files.collect::<Result<_>>()?,
            commit: info.sha,
        })
    }

    /// The repository in the hub's addresses.
    fn place(&self) -> String {
        let kind = if self.dataset { "datasets/" } else { "" };
        format!("{kind}{}", self.name)
    }

    /// Address of a file at a commit.
    pub fn file_url(&self, commit: &str, path: &str) -> String {
        let mut escaped = String::new();
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
        format!(
            "{}/{}/resolve/{commit}/{escaped}",
            self.endpoint,
            self.place()
        )
    }

    /// Asks for a file from byte `from` on. The token goes to the hub alone, wherever that sends the request on: another
    /// name, port or scheme is another origin.
    ///
    /// # Errors
    /// A connection that fails.
    pub fn get(&self, url: &str, from: u64) -> Result<Response<Body>, ureq::Error> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let mut request = self.agent.get(&url);
            if let Some(token) = &self.token
                && same_origin(&url, &self.endpoint)
            {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            let reply = request.call()?;
            let location = match reply.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => reply.headers().get("location"),
                _ => None,
            };
            match location.and_then(|to| to.to_str().ok()) {
                Some(to) => url = resolved(&url, to),
                None => return Ok(reply),
            }
        }
        Err(ureq::Error::TooManyRedirects)
    }

    /// The error for a hub that cannot be reached.
    pub fn offline(&self, error: &dyn std::fmt::Display) -> anyhow::Error {
        anyhow!(
            "{} cannot be reached ({error}); is this machine online? HF_ENDPOINT names a mirror",
            self.endpoint
        )
    }

    /// A reply that is a success, or what is wrong.
    ///
    /// # Errors
    /// What the status and the hub's own code (`X-Error-Code`) mean, and what to do.
    pub fn accept(&self, mut reply: Response<Body>) -> Result<Response<Body>> {
        let status = reply.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(reply);
        }
        let header = |name: &str| {
            let value = reply.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let code = header("x-error-code").unwrap_or_default();
        let mut said = header("x-error-message").unwrap_or_default();
        if said.is_empty() {
            let body = reply
                .body_mut()
                .with_config()
                .limit(64 << 10)
                .read_to_string();
            let body: Option<serde_json::Value> =
                body.ok().and_then(|t| serde_json::from_str(&t).ok());
            said = body
                .and_then(|v| Some(v.get("error")?.as_str()?.to_owned()))
                .unwrap_or_default();
        }
        bail!(self.refusal(status, &code, &said))
    }

    fn refusal(&self, status: u16, code: &str, said: &str) -> String {
        let name = &self.name;
        let page = format!("{}/{}", self.endpoint, self.place());
        let with_token = self.token.is_some();
        let words = match &self.token {
            // A hub that quotes the token must not get it onto the screen.
            Some(token) => said.replace(token.as_str(), "[token]"),
            None => said.to_owned(),
        };
        let words: String = words.chars().take(300).collect();
        let words = if words.is_empty() {
            words
        } else {
            format!(" The hub says: {words}")
        };
        match (status, code) {
            (401 | 403, "GatedRepo") if with_token => format!(
                "{name}: it is gated, and this token's account has no access ({status}); ask for it at {page}.{words}"
            ),
            (401 | 403, "GatedRepo") => format!(
                "{name}: it is gated ({status}); accept its terms at {page}, then set HF_TOKEN or --token-file.{words}"
            ),
            (401, _) if with_token && code != "RepoNotFound" => {
                format!(
                    "{name}: the token was refused (401); make a new one, or unset HF_TOKEN.{words}"
                )
            }
            (401 | 404, "RepoNotFound" | "") | (401, _) => format!(
                "{name}: there is no such {kind}, or it is private ({status}); check the name at {page}{other}{token}.{words}",
                kind = self.kind(),
                other = match self.repo_is_dataset() {
                    true => ", leave --dataset out for a model",
                    false => ", add --dataset for a data set",
                },
                token = if with_token {
                    ""
                } else {
                    ", and for a private one set HF_TOKEN or --token-file"
                },
            ),
            (403, _) => format!("{name}: the token may not read it (403).{words}"),
            (404, "RevisionNotFound") => format!(
                "{name}: it has no revision \"{}\" (404); branches and tags are listed at {page}/tree/main.{words}",
                self.revision
            ),
            (404, _) => format!("{name}: the file is not there (404, {code}).{words}"),
            (429, _) => format!(
                "{name}: too many requests (429); wait some minutes, then say the same again.{words}"
            ),
            _ => format!("{name}: the hub replied with status {status}; try again later.{words}"),
        }
    }

    fn kind(&self) -> &'static str {
        if self.repo_is_dataset() {
            "data set"
        } else {
            "model"
        }
    }

    fn repo_is_dataset(&self) -> bool {
        self.dataset
    }
}

/// Whether the hub means: not now.
pub fn busy(reply: &Response<Body>) -> bool {
    let status = reply.status().as_u16();
    status == 429 || status >= 500
}

/// Seconds that a busy hub wants to be left alone for, where it says so.
pub fn wanted_wait(reply: &Response<Body>) -> Option<u64> {
    let value = reply.headers().get("retry-after")?;
    value.to_str().ok()?.trim().parse().ok()
}

/// Whether two addresses have the same scheme, host and port.
fn same_origin(one: &str, other: &str) -> bool {
    let origin = |url: &str| {
        let url: Uri = url.parse().ok()?;
        let scheme = url.scheme_str()?.to_ascii_lowercase();
        let usual = if scheme == "https" { 443 } else { 80 };
        let host = url.host()?.to_ascii_lowercase();
        Some((scheme, host, url.port_u16().unwrap_or(usual)))
    };
    origin(one).is_some_and(|one| origin(other) == Some(one))
}

/// The address that a redirect from `url` means.
fn resolved(url: &str, to: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if to.contains("://") {
        return to.to_owned();
    }
    if to.starts_with("//") {
        return format!("{scheme}:{to}");
    }
    if to.starts_with('/') {
        return format!("{scheme}://{host}{to}");
    }
    let path = rest.split(['?', '#']).next().unwrap_or(rest);
    let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
    format!("{scheme}://{folder}/{to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = "https://hub.example/mirror";
        for same in ["https://hub.example/x", "https://HUB.example:443/x?y"] {
            assert!(same_origin(same, hub), "{same}");
        }
        for other in [
            "https://hub.example:8443/x",
            "http://hub.example/x",
            "https://hub.example.org/x",
            "https://cdn.hub.example/x",
            "nonsense",
        ] {
            assert!(!same_origin(other, hub), "{other}");
        }
        assert!(!same_origin("nonsense", "nonsense"));
    }

    #[test]
    fn redirects_are_resolved_against_where_they_came_from() {
        let url = "https://hub.example:1/a/b?c=/d";
        for (to, expected) in [
            ("https://cdn/x", "https://cdn/x"),
            ("//cdn/x", "https://cdn/x"),
            ("/x?y", "https://hub.example:1/x?y"),
            ("x", "https://hub.example:1/a/x"),
        ] {
            assert_eq!(resolved(url, to), expected);
        }
    }
}
