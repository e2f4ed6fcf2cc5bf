//! A request as a command for a terminal, without the key.
//!
//! The body goes through standard input: pictures in base64 are longer than an argument may be.

use std::fmt::Write as _;

use crate::{Key, Request};

/// What stands in the command for the key; the shell puts it in.
const VARIABLE: &str = "$API_KEY";
/// Headers that hold nothing but the key, or `Bearer` and the key.
const KEY_HEADERS: [&str; 3] = ["authorization", "x-api-key", "x-goog-api-key"];

impl Request {
    /// The request for `curl` in a POSIX shell. The key is the variable `API_KEY` there, wherever it stood.
    pub fn to_curl(&self, key: &Key) -> String {
        let mut command = format!("curl -N {}", quoted(&key.redact(&without_key(&self.url))));
        for (name, value) in &self.headers {
            let value = match value.split_once(' ') {
                _ if !KEY_HEADERS.contains(name) => {
                    quoted(&format!("{name}: {}", key.redact(value)))
                }
                Some((scheme, _)) => format!("\"{name}: {scheme} {VARIABLE}\""),
                None => format!("\"{name}: {VARIABLE}\""),
            };
            // Writing to a string cannot fail.
            write!(command, " \\\n  -H {value}").ok();
        }
        // JSON as it is written here has no line of its own that could end the document early.
        format!(
            "{command} \\\n  --data-binary @- <<'JSON'\n{}\nJSON\n",
            key.redact(&self.body)
        )
    }
}

/// An address whose query may hold a key under one of the usual names.
fn without_key(url: &str) -> String {
    let Some((place, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=[key]"),
        _ => part.to_owned(),
    });
    format!("{place}?{}", parts.collect::<Vec<_>>().join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "code", "sig"]
        .iter()
        .any(|word| name.contains(word))
}

/// In single quotes, as a shell takes it literally.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
