//! Streams as servers really send them: kept open after their end, with keep-alives of all kinds, with thoughts in every
//! place that servers put them.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use proptest::prelude::*;
use vlm_api::{Answer, ApiError, Key, Progress, Provider, Reply};

fn reply(provider: Provider) -> Reply {
    provider.reply(200, None, &Key::default())
}

/// Reads a stream that has an end, and then the answer.
fn read(provider: Provider, stream: &str) -> Result<Answer, ApiError> {
    let mut reply = reply(provider);
    reply.push(stream.as_bytes())?;
    reply.finish()
}

/// A chunk of chat completions with these fields in its delta.
fn delta(fields: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{{fields}}}}}]}}\n\n")
}

fn content(text: &str) -> String {
    delta(&format!("\"content\":{}", serde_json::json!(text)))
}

const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Per API: a beginning, what ends the answer, and what ends it with its usage, each as events.
fn endings() -> [(Provider, String, &'static str, &'static str); 4] {
    [
        (Provider::Other, content("9.00"), STOP, concat!(
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        )),
        (
            Provider::OpenAiResponses,
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"9.00\"}\n\n".to_owned(),
            "",
            "data: {\"type\":\"response.completed\",\"response\":{\"output\":[],\"usage\":{\"input_tokens\":7,\"output_tokens\":2}}}\n\n",
        ),
        (
            Provider::Anthropic,
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"9.00\"}}\n\n".to_owned(),
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
            "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":7,\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        (
            Provider::Gemini,
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"9.00\"}]}}]}\n\n".to_owned(),
            "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n",
            "data: {\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":2}}\n\n",
        ),
    ]
}

#[test]
fn a_stream_that_stays_open_says_that_it_has_ended() {
    for (provider, begin, end, rest) in endings() {
        let mut reply = reply(provider);
        reply.push(begin.as_bytes()).unwrap();
        assert_eq!(reply.progress(), Progress::Open, "{provider:?}");
        if !end.is_empty() {
            reply.push(end.as_bytes()).unwrap();
            assert_eq!(
                reply.progress(),
                Progress::Ending,
                "{provider:?}: usage may follow"
            );
        }
        reply.push(rest.as_bytes()).unwrap();
        let ended = match provider {
            // Google has no mark for the end of the stream: what ends it is the grace.
            Provider::Gemini => Progress::Ending,
            _ => Progress::Ended,
        };
        assert_eq!(reply.progress(), ended, "{provider:?}");
        // Nobody waits for the connection to end.
        let answer = reply.finish().unwrap();
        assert_eq!(answer.text, "9.00");
        let usage = answer.usage.unwrap();
        assert_eq!(
            (usage.prompt_tokens, usage.completion_tokens),
            (7, 2),
            "{provider:?}"
        );
    }
}

#[test]
fn usage_behind_the_mark_of_the_end_is_taken_and_nothing_else() {
    let mut reply = reply(Provider::Other);
    reply.push((content("9.00") + DONE).as_bytes()).unwrap();
    assert_eq!(reply.progress(), Progress::Ending);
    let late = content(" and more") + "data: {\"error\":\"late\"}\n\ndata: {nonsense\n\n" + USAGE;
    assert!(
        !reply.push(late.as_bytes()).unwrap(),
        "the answer is what it was"
    );
    assert_eq!(reply.progress(), Progress::Ended);
    let answer = reply.finish().unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.usage.unwrap().prompt_tokens),
        ("9.00", 7)
    );
}

#[test]
fn keep_alives_and_unknown_events_are_skipped() {
    let alive = [
        "data:\n\n",
        "data: \n\n",
        "data: [PING]\n\n",
        "data: ping\n\n",
        "data: null\n\n",
        "data: 1\n\n",
        "data: \"ping\"\n\n",
        ": comment\n\n",
        ":\n\n",
        "event: ping\ndata: {}\n\n",
        "event: ping\ndata:\n\n",
        "event: keepalive\n\n",
        "data: {\"type\":\"ping\"}\n\n",
        "data: {\"choices\":[]}\n\n",
        "data: []\n\n",
        "id: 1\nretry: 3000\n\n",
        "foo: bar\n\n",
        "event: something.new\ndata: {\"type\":\"something.new\",\"text\":\"not of the answer\"}\n\n",
    ];
    for (provider, begin, end, rest) in endings() {
        for alive in alive {
            let stream = format!("{alive}{begin}{alive}{end}{alive}{rest}");
            // A stream does not open with an unknown field.
            let stream = stream.strip_prefix("foo: bar\n\n").unwrap_or(&stream);
            let answer = read(provider, stream).unwrap();
            assert_eq!(answer.text, "9.00", "{provider:?} {alive:?}");
            assert_eq!(
                answer.usage.unwrap().prompt_tokens,
                7,
                "{provider:?} {alive:?}"
            );
        }
    }
}

#[test]
fn our_own_sentences_are_never_the_provider_s() {
    let broken = content("9.0") + "data: {\"choices\":[{\"delta\"\n\n";
    let error = read(Provider::Other, &broken).unwrap_err();
    assert_eq!(error, ApiError::Garbled { text: "9.0".into() });
    assert!(!error.to_string().contains("It says"), "{error}");
    let silent = content("9.0") + "event: error\ndata:\n\n";
    let error = read(Provider::Other, &silent).unwrap_err();
    assert!(matches!(error, ApiError::Interrupted { .. }), "{error:?}");
    assert!(!error.to_string().contains("It says"), "{error}");
}

#[test]
fn thoughts_are_no_part_of_the_answer_wherever_they_stand() {
    let chat = |parts: &[String]| parts.concat() + STOP + DONE;
    let cases: [(&str, Provider, String); 10] = [
        ("reasoning_content (DeepSeek, vLLM, llama.cpp)", Provider::Other, chat(&[
            delta(r#""content":null,"reasoning_content":"It is""#), content("9.00"),
        ])),
        ("reasoning (OpenRouter, Ollama)", Provider::OpenRouter, chat(&[
            delta(r#""content":"","reasoning":"It is""#), content("9.00"),
        ])),
        ("both fields with the same words", Provider::Other, chat(&[
            delta(r#""reasoning":"It is","reasoning_content":"It is""#), content("9.00"),
        ])),
        ("<think> in the content", Provider::Other, chat(&[content("<think>It is</think>\n\n9.00")])),
        ("<think> cut between deltas", Provider::Other, chat(&[
            content("\n<th"), content("ink"), content(">It is<"), content("/think"), content(">\n"), content("\n9.00"),
        ])),
        ("opened in the prompt", Provider::Vllm, chat(&[content("It "), content("is</thi"), content("nk>\n9.00")])),
        ("Magistral's marks", Provider::Mistral, chat(&[content("[THINK]It is[/THINK]9.00")])),
        ("Mistral's parts", Provider::Mistral, chat(&[
            delta(r#""content":[{"type":"thinking","thinking":[{"type":"text","text":"It is"}]}]"#),
            delta(r#""content":[{"type":"text","text":"9.00"}]"#),
        ])),
        ("Anthropic's blocks", Provider::Anthropic, [
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"It is"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB"}}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EqQB"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"9.00"}}"#,
            r#"{"type":"message_stop"}"#,
        ].map(|event| format!("data: {event}\n\n")).concat()),
        ("Gemini's parts", Provider::Gemini,
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"It is\",\"thought\":true},{\"text\":\"9.00\"}]},\"finishReason\":\"STOP\"}]}\n\n".to_owned()),
    ];
    for (name, provider, stream) in cases {
        let answer = read(provider, &stream).unwrap();
        assert_eq!(answer.text.trim(), "9.00", "{name}");
        assert_eq!(answer.thoughts.trim(), "It is", "{name}");
    }
    let responses = [
        r#"{"type":"response.reasoning_summary_part.added"}"#,
        r#"{"type":"response.reasoning_summary_text.delta","delta":"It is"}"#,
        r#"{"type":"response.reasoning_summary_part.added"}"#,
        r#"{"type":"response.reasoning_summary_text.delta","delta":"so."}"#,
        r#"{"type":"response.output_text.delta","delta":"9.00"}"#,
        r#"{"type":"response.completed","response":{"output":[]}}"#,
    ];
    let responses = responses.map(|event| format!("data: {event}\n\n")).concat();
    let answer = read(Provider::OpenAiResponses, &responses).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.thoughts.as_str()),
        ("9.00", "It is\n\nso.")
    );
}

#[test]
fn thoughts_in_replies_of_one_piece() {
    for (provider, body) in [
        (
            Provider::Other,
            r#"{"choices":[{"message":{"content":"<think>It is</think>9.00"},"finish_reason":"stop"}]}"#,
        ),
        (
            Provider::Other,
            r#"{"choices":[{"message":{"content":"9.00","reasoning_content":"It is"},"finish_reason":"stop"}]}"#,
        ),
        (
            Provider::Anthropic,
            r#"{"content":[{"type":"thinking","thinking":"It is"},{"type":"text","text":"9.00"}],"stop_reason":"end_turn"}"#,
        ),
        (
            Provider::OpenAiResponses,
            r#"{"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"It is"}]},{"type":"message","content":[{"type":"output_text","text":"9.00"}]}]}"#,
        ),
    ] {
        let answer = read(provider, body).unwrap();
        assert_eq!(
            (answer.text.as_str(), answer.thoughts.as_str()),
            ("9.00", "It is"),
            "{body}"
        );
    }
}

#[test]
fn who_only_thought_is_told_so() {
    for parts in [
        delta(r#""reasoning_content":"It may be 9.""#),
        content("<think>It may be 9."),
        content("<think>It may be 9.</think>\n\n"),
    ] {
        let length = STOP.replace("stop", "length");
        let error = read(Provider::Other, &(parts + &length + DONE)).unwrap_err();
        let ApiError::OnlyThought { thoughts, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(thoughts, "It may be 9.");
        let sentence = error.to_string();
        assert!(
            sentence.starts_with("The model only thought and gave no answer: it reached its limit"),
            "{sentence}"
        );
    }
}

#[test]
fn marks_that_are_none_stay_in_the_answer() {
    for text in [
        "a < b",
        "<thin ice>",
        "<b>9</b>",
        "x <",
        "[THIN",
        "[1] [2]",
        "<t",
        "◁",
    ] {
        let answer = read(Provider::Other, &(content(text) + STOP + DONE)).unwrap();
        assert_eq!((answer.text.as_str(), answer.thoughts.as_str()), (text, ""));
    }
}

proptest! {
    #[test]
    fn cuts_between_deltas_change_nothing(cuts in prop::collection::vec(0usize..60, 0..12)) {
        let whole = "<think>A < B, <thin\n</think>\n The [total] is **9.00** €.<think>Sure?</think>";
        let letters: Vec<char> = whole.chars().collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(letters.len())).collect();
        cuts.extend([0, letters.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| content(&letters[cut[0]..cut[1]].iter().collect::<String>()));
        let answer = read(Provider::Other, &(pieces.collect::<String>() + STOP + DONE)).unwrap();
        prop_assert_eq!(answer.text, "The [total] is **9.00** €.");
        prop_assert_eq!(answer.thoughts, "A < B, <thin\nSure?");
    }
}

#[test]
fn a_key_is_needed_at_the_provider_s_own_address() {
    for (provider, url, needed) in [
        (Provider::OpenAi, "https://api.openai.com/v1", true),
        (
            Provider::OpenAi,
            " https://API.openai.com/v1/chat/completions",
            true,
        ),
        (Provider::OpenAiResponses, "https://api.openai.com/v1", true),
        (Provider::OpenAi, "http://localhost:8000/v1", false),
        (Provider::Anthropic, "http://127.0.0.1:9/v1", true),
        (Provider::Mistral, "https://api.mistral.ai/v1", true),
        (Provider::Ollama, "http://localhost:11434/v1", false),
        (Provider::Other, "https://gateway.example/v1", false),
    ] {
        assert_eq!(provider.needs_key(url), needed, "{provider:?} {url}");
    }
}

#[test]
fn one_image_only_is_told_apart_whatever_its_status() {
    for (status, body) in [
        (
            400,
            r#"{"object":"error","message":"At most 1 image(s) may be provided in one request.","code":400}"#,
        ),
        (
            500,
            r#"{"error":{"message":"vision model only supports a single image per message","type":"api_error"}}"#,
        ),
        (
            422,
            r#"{"error":"Multiple images are not supported by this model."}"#,
        ),
    ] {
        let mut reply = Provider::Other.reply(status, None, &Key::default());
        reply.push(body.as_bytes()).unwrap();
        let error = reply.finish().unwrap_err();
        assert!(matches!(error, ApiError::OneImage { .. }), "{error:?}");
        assert!(error.to_string().contains("\"Crop only\""), "{error}");
    }
}
