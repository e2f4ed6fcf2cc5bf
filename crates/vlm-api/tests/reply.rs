//! Replies: streams split anywhere, whole replies, refusals, and nonsense.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use proptest::prelude::*;
use vlm_api::openai::{Answer, Reply, Usage};
use vlm_api::{ApiError, Event, EventParser, Key};

const KEY: &str = "sk-very-secret-0123456789";

/// A stream in the form that OpenAI documents, with a comment as OpenRouter sends it, letters of
/// several bytes, and the chunk without choices that carries the usage.
const STREAM: &str = concat!(
    ": PROCESSING\n\n",
    r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"Grüße"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":" 合計\n9.00 €"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":812,"completion_tokens":7,"total_tokens":819}}"#,
    "\n\n",
    "data: [DONE]\n\n",
);
const TEXT: &str = "Grüße 合計\n9.00 €";

/// Feeds a reply in the given pieces.
fn read<'a>(
    status: u16,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (String, Result<Answer, ApiError>) {
    let mut reply = Reply::new(status, Some("2.5"), &Key::new(KEY).unwrap());
    let mut shown = String::new();
    for piece in pieces {
        match reply.push(piece) {
            Ok(changed) => assert_eq!(
                changed,
                reply.text() != shown,
                "thoughts have tests of their own"
            ),
            Err(error) => return (shown, Err(error)),
        }
        reply.text().clone_into(&mut shown);
    }
    (shown, reply.finish())
}

fn refused(status: u16, body: &str) -> ApiError {
    read(status, [body.as_bytes()]).1.unwrap_err()
}

#[test]
fn a_stream_gives_text_reason_and_usage() {
    let (shown, answer) = read(200, [STREAM.as_bytes()]);
    let expected = Answer {
        text: TEXT.into(),
        thoughts: String::new(),
        finish_reason: Some("stop".into()),
        refused: false,
        usage: Some(Usage {
            prompt_tokens: 812,
            completion_tokens: 7,
            cost: None,
        }),
    };
    assert_eq!(answer, Ok(expected));
    assert_eq!(shown, TEXT);
}

#[test]
fn every_cut_is_a_broken_stream_until_the_finish_reason() {
    let complete = STREAM.find("\"stop\"").unwrap();
    for end in 0..STREAM.len() {
        let (shown, result) = read(200, [&STREAM.as_bytes()[..end]]);
        match result {
            Ok(answer) => {
                assert!(end > complete, "cut at {end}");
                assert_eq!(answer.text, TEXT);
            }
            Err(error) => {
                assert!(matches!(error, ApiError::BrokenStream { .. }), "{error:?}");
                let kept = error.text_so_far().unwrap_or_default();
                assert!(TEXT.starts_with(kept) && kept.starts_with(&shown), "{kept}");
            }
        }
    }
}

#[test]
fn done_alone_ends_an_answer_and_nothing_after_it_counts() {
    let chunk = r#"data: {"choices":[{"delta":{"content":"9"}}]}"#;
    let stream = format!("{chunk}\n\ndata: [DONE]\n\n{chunk}\n\ndata: {{nonsense\n\n");
    assert_eq!(read(200, [stream.as_bytes()]).1.unwrap().text, "9");
    let unended = format!("{chunk}\n\ndata: [DONE]");
    assert_eq!(read(200, [unended.as_bytes()]).1.unwrap().text, "9");
}

#[test]
fn errors_inside_a_stream_keep_the_text() {
    let chunk = r#"data: {"choices":[{"delta":{"content":"9.0"}}]}"#;
    for bad in [
        r#"data: {"error":{"message":"overloaded","code":502},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
        "event: error\ndata: {\"message\": \"overloaded\"}",
        r#"data: {"error": "overloaded"}"#,
        r#"data: {"object":"error","message":"overloaded"}"#,
    ] {
        let stream = format!("{chunk}\n\n{bad}\n\n");
        let error = read(200, [stream.as_bytes()]).1.unwrap_err();
        assert_eq!(error.text_so_far(), Some("9.0"), "{bad}");
        assert!(error.to_string().contains("\"overloaded\""), "{error}");
    }
    let stream = format!("{chunk}\n\ndata: {{not json}}\n\n");
    let error = read(200, [stream.as_bytes()]).1.unwrap_err();
    assert!(matches!(error, ApiError::Garbled { .. }), "{error:?}");
    assert_eq!(error.text_so_far(), Some("9.0"));
    assert!(!error.to_string().contains("It says"), "{error}");
    // Words without JSON are the provider's own, where it calls them an error.
    let stream = format!("{chunk}\n\nevent: error\ndata: upstream {KEY} is gone\n\n");
    let error = read(200, [stream.as_bytes()]).1.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("It says: \"upstream [key] is gone\""),
        "{error}"
    );
}

#[test]
fn a_server_that_does_not_stream_is_understood() {
    let body = r#" {"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"9.00"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let answer = read(200, body.as_bytes().chunks(7)).1.unwrap();
    assert_eq!(
        (
            answer.text.as_str(),
            answer.usage.unwrap().completion_tokens
        ),
        ("9.00", 2)
    );
    let parts = r#"{"choices":[{"message":{"content":[{"type":"text","text":"9."},{"type":"text","text":"00"}]}}]}"#;
    assert_eq!(read(200, [parts.as_bytes()]).1.unwrap().text, "9.00");
    let cut = &body[..body.len() - 9];
    let error = refused(200, cut);
    assert!(matches!(error, ApiError::BrokenStream { .. }), "{error:?}");
    let error = refused(200, r#"{"choices":[]}"#);
    assert!(matches!(error, ApiError::Unexpected { .. }), "{error:?}");
    let error = refused(200, "It works!");
    assert!(matches!(error, ApiError::Unexpected { .. }), "{error:?}");
}

#[test]
fn an_answer_without_words_says_why() {
    let stream =
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
    let error = refused(200, stream);
    assert!(error.to_string().contains("limit of tokens"), "{error}");
    assert!(matches!(
        refused(200, "data: [DONE]\n\n"),
        ApiError::NoText {
            finish_reason: None
        }
    ));
    let refusal = "data: {\"choices\":[{\"delta\":{\"refusal\":\"I cannot.\"},\"finish_reason\":\"stop\"}]}\n\n";
    let refusal = read(200, [refusal.as_bytes()]).1.unwrap();
    assert_eq!(
        (refusal.text.as_str(), refusal.refused),
        ("I cannot.", true)
    );
}

#[test]
fn refusals_become_sentences() {
    let said = |message: &str| format!(r#"{{"error":{{"message":"{message}","type":"t"}}}}"#);
    let cases: [(u16, String, &str); 13] = [
        (
            401,
            said("Incorrect API key provided: sk-very***6789."),
            "refused the key",
        ),
        (401, String::new(), "refused the key"),
        (
            403,
            said("Project has no access"),
            "\"Project has no access\"",
        ),
        (
            404,
            said("The model `x` does not exist"),
            "\"The model `x` does not exist\"",
        ),
        (
            404,
            "<html><body>nginx</body></html>".into(),
            "often ends in /v1",
        ),
        (429, said("Rate limit reached"), "Try again in 3 seconds."),
        (413, "<html>".into(), "too large"),
        (
            422,
            r#"{"detail":[{"msg":"field required"}]}"#.into(),
            "\"field required\"",
        ),
        (400, r#"{"detail":"no images"}"#.into(), "\"no images\""),
        (500, "oops".into(), "problem of its own (500)"),
        (503, "<html>".into(), "problem of its own (503)"),
        (405, "<!doctype html>".into(), "A web page came back"),
        (405, "{}".into(), "status 405"),
    ];
    for (status, body, expected) in cases {
        let sentence = refused(status, &body).to_string();
        assert!(sentence.contains(expected), "{status} {body}: {sentence}");
        assert!(sentence.ends_with(['.', '?', ')']), "{sentence}");
    }
    let page = refused(200, "\n<!DOCTYPE html><html></html>");
    assert_eq!(page, ApiError::Html { status: 200 });
    // OpenRouter's way.
    let error = refused(200, r#"{"error":{"code":429,"message":"slow down"}}"#);
    assert!(matches!(error, ApiError::RateLimited { .. }), "{error:?}");
}

#[test]
fn retry_after_is_seconds_or_nothing() {
    for (header, expected) in [
        (Some("20"), Some(20)),
        (Some(" 0.2 "), Some(1)),
        (Some("0"), Some(1)),
        (Some("Fri, 20 Nov 2026 08:00:00 GMT"), None),
        (Some("-3"), None),
        (Some("NaN"), None),
        (None, None),
    ] {
        let reply = Reply::new(429, header, &Key::default());
        let Err(ApiError::RateLimited { retry_after, .. }) = reply.finish() else {
            panic!("not a rate limit")
        };
        assert_eq!(retry_after, expected, "{header:?}");
    }
}

#[test]
fn retry_after_as_a_date_is_shown_as_it_is() {
    let said = |header: &str| {
        let reply = Reply::new(429, Some(header), &Key::default());
        reply.finish().expect_err("a rate limit").to_string()
    };
    let date = "Fri, 20 Nov 2026 08:00:00 GMT";
    assert!(said(date).ends_with(&format!("Try again after {date}.")));
    for no_date in [
        "tomorrow",
        "Fri, 20 Nov 2026 08:00 GMT",
        "Fri, 20 Nov 2026 08:00:00 <b>",
        "Foo, 20 Nov 2026 08:00:00 GMT",
        "Friday, 20-Nov-26 08:00:00 GMT",
    ] {
        assert!(said(no_date).ends_with("check your account."), "{no_date}");
    }
}

#[test]
fn a_provider_s_words_are_cut_and_lose_the_key() {
    let long = format!(
        r#"{{"error":{{"message":"{}\n\tkey {KEY} bad"}}}}"#,
        "ä".repeat(280)
    );
    let sentence = refused(400, &long).to_string();
    assert!(sentence.contains("ä key [key] bad"), "{sentence}");
    // Cut in the middle of where the key stood: no half of it may stay.
    let long = format!(r#"{{"error":"{}{KEY}"}}"#, "x".repeat(290));
    let sentence = refused(400, &long).to_string();
    assert!(!sentence.contains("sk-very"), "{sentence}");
    let long = format!(r#"{{"error":"{}"}}"#, "y".repeat(100_000));
    assert!(refused(500, &long).to_string().len() < 500);
}

#[test]
fn an_endless_reply_is_refused() {
    let mut reply = Reply::new(200, None, &Key::default());
    let mut result = reply.push(b"data: ");
    for _ in 0..100 {
        if result.is_err() {
            break;
        }
        result = reply.push(&[b'x'; 1 << 16]);
    }
    assert!(matches!(result, Err(ApiError::Unexpected { .. })));
}

#[test]
fn events_follow_the_standard() {
    let all = |text: &str| {
        let mut parser = EventParser::default();
        let mut events = parser.push(text.as_bytes());
        events.extend(parser.finish());
        events
    };
    let event = |name: &str, data: &str| Event {
        name: name.into(),
        data: data.into(),
    };
    assert_eq!(
        all("\u{feff}data: a\ndata:b\ndata\n\n"),
        [event("", "a\nb\n")]
    );
    assert_eq!(
        all("event: x\rdata: 1\r\r:hi\r\rdata:  2\r\n\r\n"),
        [event("x", "1"), event("", " 2")]
    );
    assert_eq!(all("event: lost\n\ndata: 1\n\n"), [event("", "1")]);
    assert_eq!(
        all("id: 7\nretry: 1\nfoo: bar\ndata: 1\n\n"),
        [event("", "1")]
    );
    assert_eq!(all("data: unended"), [event("", "unended")]);
    assert_eq!(all(": only a comment\n\n"), []);
}

/// Cuts bytes at the given places (taken modulo the length).
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|p| p % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_answer(
        places in prop::collection::vec(any::<usize>(), 0..40),
        ending in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let stream = STREAM.replace('\n', ending);
        let (shown, answer) = read(200, cut(stream.as_bytes(), &places));
        prop_assert_eq!(&shown, TEXT);
        let answer = answer.unwrap();
        prop_assert_eq!(answer.text, TEXT);
        prop_assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
        prop_assert_eq!(answer.usage.unwrap().prompt_tokens, 812);
    }

    #[test]
    fn keep_alives_between_events_change_nothing(after in prop::collection::vec(0usize..7, 0..10)) {
        let mut events: Vec<&str> = STREAM.split_inclusive("\n\n").collect();
        for at in after {
            events.insert(at, ": keep-alive\n\n");
        }
        let stream = events.concat();
        prop_assert_eq!(read(200, [stream.as_bytes()]).1.unwrap().text, TEXT);
    }

    #[test]
    fn no_bytes_break_the_reader(
        status in prop::sample::select(vec![200u16, 204, 302, 400, 401, 404, 429, 500]),
        head in prop::sample::select(vec!["", "data: ", "{", "<", "data: {\"error\": ", "{\"error\": "]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        places in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let all = [head.as_bytes(), bytes.as_slice()].concat();
        if let Err(error) = read(status, cut(&all, &places)).1 {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_error_shows_the_key(
        status in 200u16..600,
        before in "[a-z ]{0,320}",
        form in prop::sample::select(vec![
            r#"{"error":{"message":"@"}}"#, r#"{"error":"@"}"#, r#"{"message":"@"}"#, r#"{"detail":"@"}"#,
            "data: {\"error\":{\"message\":\"@\"}}\n\n", "<html>@</html>", "@",
        ]),
    ) {
        let body = form.replace('@', &format!("{before}{KEY} and Bearer {KEY}"));
        if let Err(error) = read(status, [body.as_bytes()]).1 {
            prop_assert!(!error.to_string().contains("very-secret"), "{}", error);
            prop_assert!(!format!("{error:?}").contains("very-secret"), "{:?}", error);
        }
    }
}
