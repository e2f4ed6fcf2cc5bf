//! Words for a request that got no reply, and for setting up a server.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::HashSet;

use vlm_api::help::{Permission, no_reply, on_this_computer, setup};
use vlm_api::{Provider, origin_of};

const PUBLIC: &str = "https://someone.github.io";
const HERE: &str = "http://127.0.0.1:8080";

#[test]
fn every_local_server_s_own_setting_is_named() {
    for (provider, setting) in [
        (
            Provider::Ollama,
            "OLLAMA_ORIGINS=https://someone.github.io ollama serve",
        ),
        (Provider::LmStudio, "\"Enable CORS\""),
        (Provider::LmStudio, "lms server start --cors"),
        (
            Provider::LlamaCpp,
            "--cors-origins https://someone.github.io",
        ),
        (
            Provider::Vllm,
            "--allowed-origins '[\"https://someone.github.io\"]'",
        ),
        (
            Provider::Anthropic,
            "anthropic-dangerous-direct-browser-access",
        ),
    ] {
        let steps = setup(provider, PUBLIC).join("\n");
        assert!(steps.contains(setting), "{provider:?}: {steps}");
        assert!(!steps.contains("{origin}"), "{steps}");
    }
}

#[test]
fn one_picture_only_and_shrunk_pictures_are_named_everywhere() {
    for provider in Provider::ALL {
        let steps = setup(provider, PUBLIC).join("\n");
        assert!(
            steps.contains("\"Crop only\"") || provider == Provider::LlamaCpp,
            "{provider:?}: {steps}"
        );
        let named =
            steps.contains("picture") && (steps.contains("one picture") || steps.contains("shr"));
        assert!(named, "{provider:?}: {steps}");
    }
    let vllm = setup(Provider::Vllm, PUBLIC).join("\n");
    assert!(
        vllm.contains("--limit-mm-per-prompt '{\"image\": 2}'"),
        "{vllm}"
    );
}

#[test]
fn reasons_follow_address_and_permission() {
    let local = "http://localhost:11434/v1";
    let said = |url, page, permission| no_reply(Provider::Ollama, url, page, permission).join("\n");
    let here = said(local, HERE, Permission::Unknown);
    assert!(
        here.starts_with("The server at http://localhost:11434 may not be running"),
        "{here}"
    );
    assert!(
        !here.contains("Site settings"),
        "no permission is asked from near to near: {here}"
    );

    let asked = said(local, PUBLIC, Permission::Unknown);
    assert!(asked.starts_with("The browser may ask whether"), "{asked}");
    let denied = said(local, PUBLIC, Permission::Denied);
    assert!(
        denied.starts_with("The browser does not let this page"),
        "{denied}"
    );
    assert!(denied.contains("\"Apps on device\""));
    // Loopback is no mixed content, another computer is.
    assert!(!denied.contains("over http."));
    let network = said("http://192.168.1.5:11434/v1", PUBLIC, Permission::Unknown);
    assert!(
        network.starts_with("This page came over https and may not ask http://192.168.1.5:11434")
    );
    assert!(network.contains("\"Local network\""), "{network}");
    assert!(network.contains("OLLAMA_ORIGINS"));

    let cloud = no_reply(
        Provider::Mistral,
        "https://api.mistral.ai/v1",
        PUBLIC,
        Permission::Denied,
    );
    let cloud = cloud.join("\n");
    assert!(
        cloud.starts_with("The address https://api.mistral.ai may be wrong"),
        "{cloud}"
    );
    assert!(cloud.contains(PUBLIC));
}

#[test]
fn near_is_near() {
    let near = |url: &str| {
        let reasons = no_reply(Provider::Vllm, url, PUBLIC, Permission::Unknown);
        reasons
            .iter()
            .any(|reason| reason.contains("may not be running"))
    };
    for url in [
        "http://localhost:1/v1",
        "http://127.1.2.3/v1",
        "http://[::1]:8000/v1",
        "http://10.0.0.7:1/",
        "http://172.20.0.1",
        "http://box.local:8000/v1",
        "http://ai.localhost",
    ] {
        assert!(near(url), "{url}");
    }
    assert!(on_this_computer("http://[::1]:8000/v1") && on_this_computer(" http://localhost"));
    assert!(!on_this_computer("http://192.168.1.5/v1") && !on_this_computer(""));
    for url in [
        "https://api.openai.com/v1",
        "http://172.32.0.1",
        "http://11.0.0.1",
        "http://localhost.example.com",
        "http://10.example.com",
    ] {
        assert!(!near(url), "{url}");
    }
}

#[test]
fn profiles_are_complete_and_distinct() {
    let mut ids = HashSet::new();
    for provider in Provider::ALL {
        let profile = provider.profile();
        assert!(ids.insert(profile.id));
        assert_eq!(Provider::from_id(profile.id), Some(provider));
        assert!(!setup(provider, HERE).is_empty());
        if provider == Provider::Other {
            assert_eq!(
                (profile.base_url, profile.model),
                ("", ""),
                "only the person knows"
            );
            continue;
        }
        assert!(!profile.model.is_empty());
        assert_ne!(origin_of(profile.base_url), profile.base_url);
        assert_eq!(
            profile.local,
            profile.base_url.starts_with("http://localhost")
        );
        assert_eq!(profile.local, profile.key_page.is_none());
    }
    assert_eq!(Provider::from_id("nobody"), None);
}
