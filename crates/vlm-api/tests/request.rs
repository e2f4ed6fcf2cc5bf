//! Requests: the body that providers expect, the address, and that the key shows nowhere.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use grounding::Case;
use serde_json::{Value, json};
use vlm_api::{ApiError, Endpoint, Image, Key, MediaType, Question, openai};

const KEY: &str = "sk-very-secret-0123456789";

fn endpoint(base_url: &str) -> Endpoint {
    Endpoint {
        base_url: base_url.into(),
        model: " gpt-nano ".into(),
        key: Key::new(KEY).unwrap(),
    }
}

fn question(text: &str) -> Question<'_> {
    Question {
        text,
        case: Case::Capitalize,
        image: Image {
            media_type: MediaType::Jpeg,
            bytes: b"full",
        },
        crop: Some(Image {
            media_type: MediaType::Png,
            bytes: b"crop!",
        }),
    }
}

#[test]
fn body_has_full_image_crop_and_prompt_in_this_order() {
    let endpoint = endpoint("https://api.openai.com/v1");
    let request = openai::request(&endpoint, &question("What is the TOTAL?")).unwrap();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let expected = json!({
        "model": "gpt-nano",
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,ZnVsbA=="}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,Y3JvcCE="}},
            {"type": "text", "text": "What is the total?\nGive a very brief answer."},
        ]}],
    });
    assert_eq!(body, expected);
    let header = |name: &str| {
        let found = request.headers.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(
        header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
}

#[test]
fn without_crop_and_without_key() {
    let endpoint = Endpoint {
        key: Key::default(),
        ..endpoint("http://127.0.0.1:1234/v1")
    };
    let asked = Question {
        crop: None,
        case: Case::Keep,
        ..question("Where is IKEA?")
    };
    let request = openai::request(&endpoint, &asked).unwrap();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let content = body["messages"][0]["content"].as_array().unwrap();
    assert_eq!(content.len(), 2);
    assert_eq!(
        content[1]["text"],
        "Where is IKEA?\nGive a very brief answer."
    );
    assert!(request.headers.iter().all(|(n, _)| *n != "authorization"));
}

#[test]
fn addresses_are_joined_as_clients_do() {
    for (base, expected) in [
        (
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/chat/completions",
        ),
        (
            " http://localhost:8000/v1// ",
            "http://localhost:8000/v1/chat/completions",
        ),
        (
            "https://api.perplexity.ai",
            "https://api.perplexity.ai/chat/completions",
        ),
        (
            "https://h/v1/chat/completions",
            "https://h/v1/chat/completions",
        ),
        (
            "https://h/v1/chat/completions/",
            "https://h/v1/chat/completions",
        ),
        (
            "https://h/openai?api-version=1",
            "https://h/openai/chat/completions?api-version=1",
        ),
        ("https://h/v1#top", "https://h/v1/chat/completions"),
    ] {
        let request = openai::request(&endpoint(base), &question("?")).unwrap();
        assert_eq!(request.url, expected, "{base}");
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    for base in [
        "",
        "api.openai.com/v1",
        "localhost:11434",
        "ftp://h/v1",
        "https://",
        "https:///v1",
        "https://h o/v1",
        "https://me:pw@h/v1",
        "file:///v1",
    ] {
        let error = openai::request(&endpoint(base), &question("?")).unwrap_err();
        assert!(matches!(error, ApiError::BaseUrl { .. }), "{base}: {error}");
        assert!(error.to_string().starts_with("The base URL "), "{error}");
    }
    let nameless = Endpoint {
        model: "  ".into(),
        ..endpoint("https://h/v1")
    };
    let error = openai::request(&nameless, &question("?")).unwrap_err();
    assert_eq!(error, ApiError::NoModel);
    let error = openai::request(&endpoint("https://h/v1"), &question(" \n")).unwrap_err();
    assert_eq!(error, ApiError::NoQuestion);
    for key in ["sk-a b", "sk-a\nb", "sk-ä", "“sk-a”"] {
        assert_eq!(Key::new(key), Err(ApiError::KeyCharacters), "{key}");
    }
    assert_eq!(Key::new(" sk-a\n"), Key::new("sk-a"));
}

#[test]
fn nothing_prints_the_key_or_the_pictures() {
    let endpoint = endpoint("https://h/v1?key=sk-very-secret-0123456789");
    let request = openai::request(&endpoint, &question("?")).unwrap();
    for shown in [
        format!("{request:?}"),
        format!("{request:#?}"),
        format!("{endpoint:?}").replace(&endpoint.base_url, ""),
        format!("{:?}", endpoint.key),
        format!("{:?}", openai::Reply::new(200, None, &endpoint.key)),
        request.unreachable().to_string(),
    ] {
        assert!(!shown.contains(KEY), "{shown}");
        assert!(!shown.contains("ZnVsbA"), "{shown}");
    }
    assert_eq!(request.origin(), "https://h");
    assert!(format!("{:?}", question("?")).contains("image/png, 5 bytes"));
}

#[test]
fn formats_are_known_by_their_first_bytes() {
    for (file, expected) in [
        (&b"\x89PNG\r\n\x1a\n"[..], Some("image/png")),
        (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", Some("image/webp")),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"GIF89a", Some("image/gif")),
        (b"BM", None),
        (b"", None),
    ] {
        assert_eq!(MediaType::of(file).map(MediaType::name), expected);
    }
}

#[test]
fn a_request_as_curl_has_everything_but_the_key() {
    use vlm_api::Provider;
    for provider in Provider::ALL {
        let endpoint = endpoint("https://h/v1?api-version=1&token=sk-other");
        let asked = question("What's the \"total\"?");
        let request = provider.request(&endpoint, &asked).unwrap();
        let command = request.to_curl(&endpoint.key);
        assert!(
            !command.contains(KEY) && !command.contains("sk-other"),
            "{command}"
        );
        assert!(command.contains("$API_KEY\""), "{command}");
        assert!(command.contains("api-version=1"), "{command}");
        let (head, rest) = command.split_once("<<'JSON'\n").unwrap();
        assert!(head.starts_with("curl -N 'https://h/v1/"), "{head}");
        assert!(
            head.contains("-H 'content-type: application/json'"),
            "{head}"
        );
        let body = rest.strip_suffix("\nJSON\n").unwrap();
        assert_eq!(body, request.body, "a quote in a question stays as it is");
    }
    // No key typed: no header for it.
    let keyless = Endpoint {
        key: Key::default(),
        ..endpoint("https://h/v1")
    };
    let request = openai::request(&keyless, &question("?")).unwrap();
    assert!(!request.to_curl(&keyless.key).contains("API_KEY"));
}
