//! Testing a connection without spending a token: the list of models, or what is known of the key.

use serde_json::Value;

use crate::openai::bearer;
use crate::provider::Provider;
use crate::request::join_url;
use crate::{Api, ApiError, Key, anthropic, fault, gemini};

/// A GET request, ready to send. `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Check {
    /// Address.
    pub url: String,
    /// Names (lower case) and values; one of them may hold the key.
    pub headers: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Check")
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .field("headers", &names)
            .finish()
    }
}

/// A connection that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Works {
    /// The models that were listed, in the provider's order; empty where only the key was asked about.
    pub models: Vec<String>,
    /// Whether the key was looked at; elsewhere the first question shows whether it is right.
    pub proves_key: bool,
}

impl Provider {
    /// The request that tests a connection.
    ///
    /// # Errors
    /// [`ApiError::BaseUrl`]; [`ApiError::NoKey`] where nothing works without.
    pub fn check(self, base_url: &str, key: &Key) -> Result<Check, ApiError> {
        let profile = self.profile();
        if key.is_empty() && self.needs_key(base_url) {
            return Err(ApiError::NoKey);
        }
        let base_url = gemini::without_key(&without_path(base_url))?;
        let path = if key.is_empty() {
            "/models"
        } else {
            profile.check_path
        };
        let url = join_url(&base_url, path)?;
        let mut headers = vec![("accept", "application/json".to_owned())];
        match profile.api {
            Api::Chat | Api::Responses => headers.extend(bearer(key)),
            Api::Anthropic => headers.extend(anthropic::key_headers(key)),
            Api::Gemini => headers.extend(gemini::key_header(key)),
        }
        Ok(Check { url, headers })
    }

    /// What the reply to [`Provider::check`] says.
    ///
    /// # Errors
    /// As for an answer: a refused key, a wrong address, a web page, a provider in trouble.
    pub fn checked(self, status: u16, body: &[u8], key: &Key) -> Result<Works, ApiError> {
        let text = String::from_utf8_lossy(body);
        let value: Option<Value> = serde_json::from_str(text.trim()).ok();
        let html = fault::is_html(&text);
        if !(200..300).contains(&status) {
            return Err(fault::refusal(
                status,
                value.as_ref(),
                html,
                (None, None),
                key,
            ));
        }
        let Some(value) = value else {
            return Err(if html {
                ApiError::Html { status }
            } else {
                unexpected("JSON")
            });
        };
        if fault::is_error(&value) {
            return Err(fault::refusal(500, Some(&value), false, (None, None), key));
        }
        let profile = self.profile();
        let lists = match profile.api {
            Api::Gemini => value["models"].as_array(),
            _ => value["data"].as_array(),
        };
        // OpenRouter's answer about the key is an object.
        let about_key = profile.check_path == "/key" && value["data"].is_object();
        if lists.is_none() && !about_key {
            return Err(unexpected("list of models"));
        }
        Ok(Works {
            models: lists.into_iter().flatten().filter_map(model_name).collect(),
            proves_key: profile.check_proves_key
                && !key.is_empty()
                && (profile.check_path != "/key" || about_key),
        })
    }
}

impl Works {
    /// A sentence for the person: what works, and whether the chosen model is among those listed.
    pub fn said(&self, model: &str) -> String {
        let model = model.trim().trim_start_matches("models/");
        let key = if self.proves_key {
            "The connection works and the key is accepted."
        } else {
            "The connection works. Whether the key is right shows with the first question."
        };
        let listed = |name: &String| name == model || name.strip_suffix(":latest") == Some(model);
        let models = match self.models.len() {
            0 => String::new(),
            1 if self.models.iter().any(listed) => " The model is there.".to_owned(),
            count if self.models.iter().any(listed) => {
                format!(" The model is among the {count} there.")
            }
            1 => format!(
                " There is one model, {}; it is not the one named.",
                self.models[0]
            ),
            count => format!(" None of the {count} models there has the name given."),
        };
        format!("{key}{models}")
    }
}

/// A base URL without the path of a request, for people who paste the whole address.
fn without_path(base_url: &str) -> String {
    let base_url = base_url.trim().trim_end_matches('/');
    let paths = ["/chat/completions", "/responses", "/messages", "/models"];
    let base = paths.iter().find_map(|path| base_url.strip_suffix(path));
    base.unwrap_or(base_url).to_owned()
}

/// A model's name; `None` for those of Google's that do not answer questions.
fn model_name(entry: &Value) -> Option<String> {
    if let Some(id) = entry["id"].as_str() {
        return Some(id.to_owned());
    }
    let methods = entry["supportedGenerationMethods"].as_array();
    let answers = methods.is_none_or(|all| all.iter().any(|m| m == "generateContent"));
    let name = entry["name"].as_str().filter(|_| answers)?;
    Some(name.trim_start_matches("models/").to_owned())
}

fn unexpected(missing: &str) -> ApiError {
    ApiError::Unexpected {
        reason: format!("it is no {missing}"),
    }
}
