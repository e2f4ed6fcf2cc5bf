//! Every provider against exchanges that are true to its schema (`exchanges/`, see the README there).

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::path::Path;

use grounding::Case;
use serde_json::Value;
use vlm_api::{Answer, ApiError, Endpoint, Image, Key, MediaType, Money, Provider, Question};

const KEY: &str = "sk-very-secret-0123456789";

fn exchange(provider: Provider) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchanges");
    let file = folder.join(format!("{}.json", provider.profile().id));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Runs for all providers, and says which one it is.
fn for_all(test: impl Fn(Provider, &Value)) {
    for provider in Provider::ALL {
        println!("{provider:?}");
        test(provider, &exchange(provider));
    }
}

fn endpoint(provider: Provider) -> Endpoint {
    Endpoint {
        base_url: base_url(provider).into(),
        model: match provider.profile().model {
            "" => "strict".into(),
            model => model.into(),
        },
        key: Key::new(KEY).unwrap(),
    }
}

/// Where a provider is; of one that has no place of its own, where it might be.
fn base_url(provider: Provider) -> &'static str {
    match provider.profile().base_url {
        "" => "https://gateway.example/v1",
        base_url => base_url,
    }
}

fn question() -> Question<'static> {
    let image = |media_type, bytes| Image { media_type, bytes };
    Question {
        text: "What is the total?",
        case: Case::Keep,
        image: image(MediaType::Jpeg, b"full"),
        crop: Some(image(MediaType::Png, b"crop!")),
    }
}

fn read<'a>(
    provider: Provider,
    status: u16,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Answer, ApiError> {
    let mut reply = provider.reply(status, None, &Key::new(KEY).unwrap());
    for piece in pieces {
        let had = (reply.text().len(), reply.thoughts().len());
        let changed = reply.push(piece)?;
        assert_eq!(changed, (reply.text().len(), reply.thoughts().len()) != had);
    }
    reply.finish()
}

/// The answer that an exchange names.
fn expected(exchange: &Value) -> Answer {
    let said = &exchange["answer"];
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    let usage = vlm_api::Usage {
        prompt_tokens: said["prompt_tokens"].as_u64().unwrap(),
        completion_tokens: said["completion_tokens"].as_u64().unwrap(),
        cost: None,
    };
    Answer {
        text: text("text").unwrap(),
        thoughts: text("thoughts").unwrap_or_default(),
        finish_reason: text("finish_reason"),
        refused: said["refused"].as_bool().unwrap(),
        usage: Some(usage),
    }
}

/// Takes the money out of an answer.
fn without_cost(mut answer: Answer) -> (Answer, Option<Money>) {
    let usage = answer.usage.as_mut().unwrap();
    let cost = usage.cost.take();
    (answer, cost)
}

#[test]
fn requests_are_those_of_the_documentation() {
    for_all(|provider, exchange| {
        let endpoint = endpoint(provider);
        let request = provider.request(&endpoint, &question()).unwrap();
        let expected = &exchange["request"];
        assert_eq!(request.url, expected["url"]);
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body, expected["body"]);
        // Exactly these headers beside those of every request: browsers ask servers to allow each further one.
        let mut headers = request.headers.clone();
        headers.retain(|(name, _)| !["content-type", "accept"].contains(name));
        assert_eq!(
            headers.len(),
            expected["headers"].as_object().unwrap().len()
        );
        for (name, value) in &headers {
            assert_eq!(&expected["headers"][name], value, "{name}");
        }
        assert!(!request.url.contains(KEY) && !request.body.contains(KEY));
        assert!(!format!("{request:?}").contains(KEY));

        let without = Endpoint {
            key: Key::default(),
            ..endpoint
        };
        let request = provider.request(&without, &question()).unwrap();
        let sent = format!("{:?}", request.headers);
        assert!(
            !["authorization", "api-key"]
                .iter()
                .any(|name| sent.contains(name)),
            "{sent}"
        );
    });
}

#[test]
fn streams_are_read_whole_and_cut_at_every_byte() {
    for_all(|provider, exchange| {
        let stream = exchange["stream"].as_str().unwrap().as_bytes();
        let (whole, cost) = without_cost(read(provider, 200, [stream]).unwrap());
        assert_eq!(whole, expected(exchange));
        let said = exchange["answer"]["cost"].as_str().map(str::to_owned);
        assert_eq!(cost.map(|cost| cost.to_string()), said);
        let (bytes, _) = without_cost(read(provider, 200, stream.chunks(1)).unwrap());
        assert_eq!(bytes, whole);
        for at in 0..stream.len() {
            let (one, two) = stream.split_at(at);
            let (cut, _) = without_cost(read(provider, 200, [one, two]).unwrap());
            assert_eq!(cut, whole, "cut at {at}");
        }
    });
}

#[test]
fn a_stream_that_ends_early_is_broken_and_keeps_its_text() {
    for_all(|provider, exchange| {
        let stream = exchange["stream"].as_str().unwrap();
        let text = exchange["answer"]["text"].as_str().unwrap();
        for end in 0..stream.len() {
            match read(provider, 200, [&stream.as_bytes()[..end]]) {
                // Complete as soon as the provider has said why it stopped.
                Ok(answer) => assert_eq!(answer.text, text, "cut at {end}"),
                Err(ApiError::BrokenStream { text: kept }) => assert!(text.starts_with(&kept)),
                Err(other) => panic!("cut at {end}: {other:?}"),
            }
        }
        let half = stream.len() / 2;
        assert!(matches!(
            read(provider, 200, [&stream.as_bytes()[..half]]),
            Err(ApiError::BrokenStream { .. })
        ));
    });
}

#[test]
fn replies_in_one_piece_are_read_too() {
    let seen = std::cell::Cell::new(0);
    for_all(|provider, exchange| {
        let Some(whole) = exchange.get("whole") else {
            return;
        };
        seen.set(seen.get() + 1);
        let body = serde_json::to_string_pretty(whole).unwrap();
        let (answer, _) = without_cost(read(provider, 200, [body.as_bytes()]).unwrap());
        assert_eq!(answer, expected(exchange));
        let cut = &body.as_bytes()[..body.len() - 3];
        let error = read(provider, 200, [cut]).unwrap_err();
        assert!(matches!(error, ApiError::BrokenStream { .. }), "{error:?}");
        let error = read(provider, 200, [&b"{}"[..]]).unwrap_err();
        assert!(matches!(error, ApiError::Unexpected { .. }), "{error:?}");
    });
    assert!(
        seen.get() > 2,
        "{} exchanges have a reply in one piece",
        seen.get()
    );
}

#[test]
fn refusals_filters_and_limits_say_what_they_are() {
    let mut seen = 0;
    for_all(|provider, exchange| {
        if let Some(refused) = exchange.get("refused") {
            let stream = refused["stream"].as_str().unwrap();
            let answer = read(provider, 200, [stream.as_bytes()]).unwrap();
            assert!(answer.refused);
            assert_eq!(answer.text, refused["text"]);
        }
        for (name, words) in [
            ("filtered", "filter withheld it"),
            ("filtered_2", "filter withheld it"),
            ("length", "limit of tokens"),
        ] {
            let Some(stream) = exchange[name].as_str() else {
                continue;
            };
            let error = read(provider, 200, [stream.as_bytes()]).unwrap_err();
            assert!(matches!(error, ApiError::NoText { .. }), "{error:?}");
            assert!(error.to_string().contains(words), "{name}: {error}");
        }
    });
    for provider in Provider::ALL {
        seen += usize::from(exchange(provider)["filtered"].is_string());
    }
    assert_eq!(seen, 4, "each API has a stream that is filtered");
}

#[test]
fn an_error_inside_a_stream_keeps_what_had_come() {
    for_all(|provider, exchange| {
        for name in ["mid_stream", "mid_stream_2"] {
            let Some(stream) = exchange[name].as_str() else {
                assert_eq!(name, "mid_stream_2");
                continue;
            };
            for size in [1, 7, stream.len()] {
                let error = read(provider, 200, stream.as_bytes().chunks(size)).unwrap_err();
                assert!(matches!(error, ApiError::Interrupted { .. }), "{error:?}");
                assert_eq!(error.text_so_far(), Some("Grüße: "));
                assert!(error.to_string().contains("It says: \""), "{error}");
            }
        }
    });
}

#[test]
fn errors_become_the_kind_they_are() {
    for_all(|provider, exchange| {
        for case in exchange["errors"].as_array().unwrap() {
            let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
            let body = match &case["body"] {
                Value::String(text) => text.clone(),
                json => json.to_string(),
            };
            let error = read(provider, status, body.as_bytes().chunks(5)).unwrap_err();
            let kind = format!("{error:?}");
            let kind = kind.split([' ', '{']).next().unwrap();
            assert_eq!(kind, case["error"], "{body}");
            for words in case["says"].as_array().unwrap() {
                let words = words.as_str().unwrap();
                assert!(error.to_string().contains(words), "{words}: {error}");
            }
        }
    });
}

#[test]
fn connections_are_tested_without_asking_anything() {
    let key = Key::new(KEY).unwrap();
    for_all(|provider, exchange| {
        let expected = &exchange["check"];
        let check = provider.check(base_url(provider), &key).unwrap();
        assert_eq!(check.url, expected["url"]);
        let headers = exchange["request"]["headers"].as_object().unwrap();
        for (name, value) in headers {
            let sent = check.headers.iter().find(|(n, _)| n == name).unwrap();
            assert_eq!(&sent.1, value);
        }
        assert!(!format!("{check:?}").contains(KEY) && !check.url.contains(KEY));

        let body = expected["body"].to_string();
        let works = provider.checked(200, body.as_bytes(), &key).unwrap();
        let models: Vec<&str> = works.models.iter().map(String::as_str).collect();
        assert_eq!(serde_json::json!(models), expected["models"]);
        assert_eq!(works.proves_key, expected["proves_key"]);
        let words = if works.proves_key {
            "key is accepted"
        } else {
            "shows with the first question"
        };
        assert!(works.said("x").contains(words));

        for case in exchange["errors"].as_array().unwrap() {
            let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
            let body = case["body"].to_string();
            let error = provider.checked(status, body.as_bytes(), &key).unwrap_err();
            assert!(!error.to_string().contains("very-secret"), "{error}");
        }
        let page = provider.checked(200, b"<!doctype html>", &key).unwrap_err();
        assert_eq!(page, ApiError::Html { status: 200 });
        let odd = provider.checked(200, b"[]", &key).unwrap_err();
        assert!(matches!(odd, ApiError::Unexpected { .. }), "{odd:?}");
    });
}

#[test]
fn a_test_says_whether_the_model_is_there() {
    let list = br#"{"object":"list","data":[{"id":"a"},{"id":"b:latest"}]}"#;
    let works = Provider::Ollama
        .checked(200, list, &Key::default())
        .unwrap();
    assert!(works.said("a").ends_with("The model is among the 2 there."));
    assert!(
        works
            .said(" b ")
            .ends_with("The model is among the 2 there.")
    );
    assert!(
        works
            .said("c")
            .ends_with("None of the 2 models there has the name given.")
    );
    // The whole address of a request, as people paste it, tests the same place.
    let pasted = "http://localhost:11434/v1/chat/completions/";
    let check = Provider::Ollama.check(pasted, &Key::default()).unwrap();
    assert_eq!(check.url, "http://localhost:11434/v1/models");
    // Without a key there is nothing to ask the large ones; a compatible server may want none.
    let nobody = Key::default();
    for provider in [Provider::Anthropic, Provider::Gemini, Provider::OpenRouter] {
        let url = provider.profile().base_url;
        assert_eq!(provider.check(url, &nobody).unwrap_err(), ApiError::NoKey);
    }
    assert!(
        Provider::OpenAi
            .check("http://127.0.0.1:9000/v1", &nobody)
            .is_ok()
    );
    let own = Provider::OpenAi.check("https://api.openai.com/v1", &nobody);
    assert_eq!(own.unwrap_err(), ApiError::NoKey);
}

#[test]
fn a_key_in_gemini_s_address_is_refused_and_models_cannot_leave_their_place() {
    let mut endpoint = endpoint(Provider::Gemini);
    endpoint.base_url = format!("https://generativelanguage.googleapis.com/v1beta?key={KEY}");
    let error = Provider::Gemini
        .request(&endpoint, &question())
        .unwrap_err();
    assert!(
        error.to_string().contains("put it into the field for keys"),
        "{error}"
    );
    assert!(!error.to_string().contains(KEY));
    let key = Key::new(KEY).unwrap();
    assert!(Provider::Gemini.check(&endpoint.base_url, &key).is_err());

    endpoint.base_url = Provider::Gemini.profile().base_url.into();
    endpoint.model = "models/x?key=1#/../y".into();
    let url = Provider::Gemini
        .request(&endpoint, &question())
        .unwrap()
        .url;
    assert!(
        url.ends_with("/models/x%3Fkey%3D1%23%2F..%2Fy:streamGenerateContent?alt=sse"),
        "{url}"
    );
}
