//! Who answers: a provider, or SmolVLM in this very browser.
//!
//! For the latter the fields keep their meaning as far as they can: *Base URL* is where models lie, *Model* the name of one
//! there, or the address of a folder.

use vlm_api::Provider;

/// Who answers a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// Somebody who is sent a request.
    Provider(Provider),
    /// SmolVLM in this browser: no key, no cost, nothing is sent.
    Here,
}

/// [`Answerer::Here`] in the settings and in the choice.
const HERE: &str = "browser";
/// Where models lie.
pub const HUB: &str = "https://huggingface.co";
/// The reader that is offered first.
pub const SMOLVLM: &str = "HuggingFaceTB/SmolVLM-256M-Instruct";

impl Answerer {
    /// All, in the order in which they are offered.
    pub fn all() -> impl Iterator<Item = Answerer> {
        let providers = Provider::ALL.into_iter().map(Answerer::Provider);
        providers.chain([Answerer::Here])
    }

    /// Short name for settings and tests.
    pub fn id(self) -> &'static str {
        match self {
            Answerer::Provider(provider) => provider.profile().id,
            Answerer::Here => HERE,
        }
    }

    /// By [`Answerer::id`].
    pub fn from_id(id: &str) -> Option<Answerer> {
        Answerer::all().find(|answerer| answerer.id() == id)
    }

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Answerer::Provider(provider) => provider.profile().name,
            Answerer::Here => "In this browser (SmolVLM)",
        }
    }

    /// What is in *Base URL* until somebody types something else.
    pub fn base_url(self) -> &'static str {
        match self {
            Answerer::Provider(provider) => provider.profile().base_url,
            Answerer::Here => HUB,
        }
    }

    /// What is in *Model* until somebody types something else.
    pub fn model(self) -> &'static str {
        match self {
            Answerer::Provider(provider) => provider.profile().model,
            Answerer::Here => SMOLVLM,
        }
    }

    /// The provider, if it is one.
    pub fn provider(self) -> Option<Provider> {
        match self {
            Answerer::Provider(provider) => Some(provider),
            Answerer::Here => None,
        }
    }
}

/// Where the files of a model lie, with a closing slash: `owner/name` is one of the hub at `hub`, anything else an address,
/// which may be relative.
///
/// ```
/// use cropvlm_web::answerer::{HUB, folder};
/// let files = "https://huggingface.co/HuggingFaceTB/SmolVLM-256M-Instruct/resolve/main/";
/// assert_eq!(folder(HUB, "HuggingFaceTB/SmolVLM-256M-Instruct"), files);
/// assert_eq!(folder(HUB, "./models/mine"), "./models/mine/");
/// assert_eq!(folder(HUB, "https://example.com/q8/"), "https://example.com/q8/");
/// ```
pub fn folder(hub: &str, model: &str) -> String {
    let model = model.trim();
    let named = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(plain)
    };
    let path = match model.split_once('/') {
        Some((owner, name)) if named(owner) && named(name) => {
            format!("{}/{model}/resolve/main", hub.trim().trim_end_matches('/'))
        }
        _ => model.trim_end_matches('/').to_owned(),
    };
    format!("{path}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_none_is_taken_twice() {
        let ids: Vec<&str> = Answerer::all().map(Answerer::id).collect();
        for answerer in Answerer::all() {
            assert_eq!(Answerer::from_id(answerer.id()), Some(answerer));
            assert_eq!(ids.iter().filter(|id| **id == answerer.id()).count(), 1);
        }
        assert_eq!(Answerer::from_id("nobody"), None);
    }

    #[test]
    fn addresses_are_left_as_they_are() {
        for (model, address) in [
            ("models/q8/", "https://h/models/q8/resolve/main/"),
            ("/models/q8", "/models/q8/"),
            ("../q8", "../q8/"),
            ("https://example.com/a/b", "https://example.com/a/b/"),
            ("a/b/c", "a/b/c/"),
        ] {
            let trimmed = model.trim_end_matches('/');
            assert_eq!(folder("https://h/", trimmed), address);
        }
    }
}
