//! What is remembered of the settings of "Ask" when the page is left: provider, address, model, prices, size, prompt.
//!
//! Never a key (see [`crate::keys`]), and no address that may hold one: a name, a password or a query in it is not kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::MAX_SENT_EDGE;

/// What was typed for a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Typed {
    /// Where it is.
    pub base_url: String,
    /// The model's name.
    pub model: String,
    /// Price in.
    pub price_in: String,
    /// Price out.
    pub price_out: String,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The chosen provider's name in the code.
    pub provider: String,
    /// Longest edge of the picture as it is sent, pixels.
    pub edge: u32,
    /// A small crop is enlarged.
    pub enlarge: bool,
    /// The crop goes without the full picture.
    pub crop_only: bool,
    /// The template of the prompt; empty, the usual one.
    pub prompt: String,
    /// What was typed, by provider.
    pub typed: BTreeMap<String, Typed>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            provider: String::new(),
            edge: MAX_SENT_EDGE,
            enlarge: true,
            crop_only: false,
            prompt: String::new(),
            typed: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// As text for the browser's storage.
    pub fn to_json(&self) -> String {
        let mut kept = self.clone();
        for typed in kept.typed.values_mut() {
            if typed.base_url.contains(['@', '?', '#']) {
                typed.base_url.clear();
            }
        }
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// From the browser's storage; whatever is not settings is the default.
    pub fn from_json(text: &str) -> Settings {
        serde_json::from_str(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_hold_no_secrets() {
        let typed = |base_url: &str| Typed {
            base_url: base_url.into(),
            model: "strict".into(),
            price_in: "2".into(),
            price_out: "10".into(),
        };
        let mut settings = Settings {
            provider: "openai".into(),
            edge: 512,
            enlarge: false,
            crop_only: true,
            prompt: "{images} {question}".into(),
            ..Settings::default()
        };
        settings
            .typed
            .insert("openai".into(), typed("http://localhost:1234/v1"));
        assert_eq!(Settings::from_json(&settings.to_json()), settings);
        for secret in [
            "https://me:secret@h/v1",
            "https://h/v1?key=secret",
            "https://h/#secret",
        ] {
            settings.typed.insert("gemini".into(), typed(secret));
            let json = settings.to_json();
            assert!(!json.contains("secret"), "{json}");
            assert_eq!(Settings::from_json(&json).typed["gemini"].model, "strict");
        }
    }

    #[test]
    fn what_is_no_settings_is_the_default() {
        for text in ["", "nonsense", "[]", "{\"edge\":\"x\"}"] {
            assert_eq!(Settings::from_json(text), Settings::default(), "{text}");
        }
        let some = Settings::from_json("{\"edge\":256,\"unknown\":1}");
        assert_eq!((some.edge, some.enlarge), (256, true));
    }
}
