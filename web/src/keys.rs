//! Keys, each bound to the one origin it was typed for.
//!
//! A key goes nowhere but there: whoever changes the base URL to another origin finds the field empty, and whoever
//! comes back finds it filled. Held in memory; written to the tab's session storage only where the person asks.

use std::collections::BTreeMap;
use std::fmt;

/// Keys by origin. `Debug` shows the origins only.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct KeyRing(BTreeMap<String, String>);

impl KeyRing {
    /// The key for this origin; empty where none was typed.
    pub fn get(&self, origin: &str) -> &str {
        self.0.get(origin).map_or("", String::as_str)
    }

    /// Keeps a key; an empty one forgets what was there.
    pub fn put(&mut self, origin: &str, key: &str) {
        let key = key.trim();
        if key.is_empty() {
            self.0.remove(origin);
        } else {
            self.0.insert(origin.to_owned(), key.to_owned());
        }
    }

    /// As text for session storage.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// From session storage; whatever is not a key ring is an empty one.
    pub fn from_json(text: &str) -> KeyRing {
        KeyRing(serde_json::from_str(text).unwrap_or_default())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Scheme, host and port of a base URL, in one spelling; `None` while it is none that could be asked.
pub fn origin(base_url: &str) -> Option<String> {
    let url = base_url.trim().to_ascii_lowercase();
    let origin = vlm_api::origin_of(&url);
    let (scheme, host) = origin.split_once("://")?;
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let host = host.strip_suffix(usual).unwrap_or(host);
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '\\');
    (!host.is_empty() && !host.contains(odd)).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_with_its_origin() {
        let mut ring = KeyRing::default();
        ring.put("https://api.openai.com", " sk-1 ");
        assert_eq!(ring.get("https://api.openai.com"), "sk-1");
        assert_eq!(ring.get("https://api.openai.com.evil.example"), "");
        assert_eq!(ring.get("http://api.openai.com"), "");
        assert!(!format!("{ring:?}").contains("sk-1"));
        assert_eq!(KeyRing::from_json(&ring.to_json()), ring);
        assert_eq!(KeyRing::from_json("nonsense"), KeyRing::default());
        ring.put("https://api.openai.com", "");
        assert_eq!(ring, KeyRing::default());
    }

    #[test]
    fn origins_have_one_spelling() {
        for (url, expected) in [
            (" https://API.openai.com/v1", Some("https://api.openai.com")),
            (
                "https://api.openai.com:443/v1?x=/",
                Some("https://api.openai.com"),
            ),
            ("http://localhost:11434/v1", Some("http://localhost:11434")),
            ("http://h:80", Some("http://h")),
            ("http://[::1]:8000/v1", Some("http://[::1]:8000")),
            ("https://a#b", Some("https://a")),
            ("", None),
            ("https://", None),
            ("api.openai.com", None),
            ("ftp://h/", None),
            ("https://me@h/", None),
            ("https://a b/", None),
            // Browsers read a backslash as a slash: not what it looks like.
            ("https://api.openai.com\\.evil.example/", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }
}
