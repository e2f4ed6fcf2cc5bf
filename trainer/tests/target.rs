//! `eval` with a target VLM: what a provider is sent and in which order, scores, resuming, refusals, limits of
//! rate, Ctrl-C; and a model folder that answers as `answer` does.

mod provider;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use image::Rgb;
use picture::RgbImage;
use provider::{Asked, KEY, Provider, Reply};
use serde_json::{Value, json};

/// Pictures of 80 x 40 and 60 x 60 pixels, three questions, their boxes.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        for (name, width, height) in [("one.png", 80, 40), ("two.png", 60, 60)] {
            let picture =
                RgbImage::from_fn(width, height, |x, y| Rgb([x as u8 * 3, y as u8 * 4, 9]));
            let png = picture::encode_png(&picture).expect("png");
            std::fs::write(place.path(name), png).expect("picture");
        }
        let question = |id: &str, image: &str, size: [u32; 2], truth: Value| {
            json!({"id": id, "image": image, "question": format!("What is {id}?"), "answers": ["9.00"],
                "boxes": truth, "width": size[0], "height": size[1]})
        };
        let data = [
            question("a", "one.png", [80, 40], json!([[8, 4, 24, 12]])),
            question("b", "one.png", [80, 40], json!([])),
            question("c", "two.png", [60, 60], json!([[0, 0, 30, 30]])),
        ];
        place.lines("data.jsonl", &data);
        // The policy found nothing for "b".
        let boxes = [([20, 20, 60, 60], "a"), ([0, 50, 50, 100], "c")];
        let mut boxes: Vec<Value> = boxes
            .map(|(bbox, id)| json!({"id": id, "box": bbox}))
            .into();
        boxes.push(json!({"id": "b", "box": null}));
        place.lines("boxes.jsonl", &boxes);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn lines(&self, name: &str, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(self.path(name), text).expect("written");
    }

    fn items(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("items.jsonl")).expect("items");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("json"))
            .collect()
    }

    fn command(&self, provider: &Provider, more: &[&str]) -> Command {
        self.command_at(&provider.url, more)
    }

    fn command_at(&self, url: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        let mut line = "eval --data data.jsonl --boxes boxes.jsonl --target-model test-vlm --items items.jsonl --json";
        if more.contains(&"--boxes") {
            line = "eval --data data.jsonl --target-model test-vlm --items items.jsonl --json";
        }
        command
            .current_dir(self.0.path())
            .args(line.split(' '))
            .args(["--target-url", url, "--target-key-env", "TEST_KEY"])
            .args(more)
            .env("TEST_KEY", KEY)
            .env("NO_PROXY", "127.0.0.1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, provider: &Provider, more: &[&str]) -> Value {
        let output = self.command(provider, more).output().expect("cropvlm runs");
        assert!(output.status.success(), "{}", errors(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON line")
    }

    fn refusal(&self, provider: &Provider, more: &[&str]) -> String {
        let output = self.command(provider, more).output().expect("cropvlm runs");
        assert!(!output.status.success(), "{more:?} worked");
        errors(&output)
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads what stands in the crop, and nothing without one.
fn reader(asked: &Asked, _: usize) -> Reply {
    Reply::Text(
        if asked.images.len() == 2 {
            "9.00."
        } else {
            "nine"
        }
        .to_owned(),
    )
}

fn cell<'a>(result: &'a Value, condition: &str) -> &'a Value {
    let cells = result["target"]["cells"].as_array().expect("cells");
    let found = cells.iter().find(|cell| cell["condition"] == condition);
    found.unwrap_or_else(|| panic!("{condition} in {result}"))
}

/// One request of Anthropic's messages, answered in one piece; hands over path, key and pictures.
fn messages() -> (String, std::thread::JoinHandle<(String, String, usize)>) {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/v1", server.server_addr().to_ip().expect("an IP"));
    let thread = std::thread::spawn(move || {
        let mut request = server.recv().expect("a request");
        let key = request
            .headers()
            .iter()
            .find(|h| h.field.equiv("x-api-key"));
        let key = key.map_or(String::new(), |h| h.value.as_str().to_owned());
        let body: Value = serde_json::from_reader(request.as_reader()).expect("JSON");
        let content = body["messages"][0]["content"].as_array().expect("content");
        let pictures = content.iter().filter(|c| c["source"]["type"] == "base64");
        let seen = (request.url().to_owned(), key, pictures.count());
        let answer = json!({
            "type": "message", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "9.00"}],
            "usage": {"input_tokens": 100, "output_tokens": 5},
        });
        let reply = tiny_http::Response::from_string(answer.to_string());
        request.respond(reply).expect("a reply");
        seen
    });
    (url, thread)
}

#[test]
fn other_providers_are_spoken_to_in_their_own_words() {
    let (place, (url, asked)) = (Place::new(), messages());
    let more = "--provider anthropic --conditions full+crop --limit 1";
    let more: Vec<&str> = more.split(' ').collect();
    let output = place
        .command_at(&url, &more)
        .output()
        .expect("cropvlm runs");
    assert!(output.status.success(), "{}", errors(&output));
    let seen = asked.join().expect("one request");
    assert_eq!(seen, ("/v1/messages".to_owned(), KEY.to_owned(), 2));
    let items = place.items();
    assert_eq!(items[0]["answer"], "9.00", "{items:?}");
    let unknown = place.command_at(&url, &["--provider", "somebody"]).output();
    let said = errors(&unknown.expect("cropvlm runs"));
    assert!(
        said.contains("openrouter") && said.contains("llamacpp"),
        "{said}"
    );
}

#[test]
fn every_condition_is_sent_as_the_papers_have_it() {
    let (place, provider) = (Place::new(), Provider::start(reader));
    let list = "full,full+crop,crop,full+true,full+blank,full+noise";
    let result = place.run(&provider, &["--conditions", list, "--parallel", "1"]);
    // The contract of boxes stays.
    for key in [
        "n",
        "valid",
        "iou",
        "recall",
        "full_recall",
        "size",
        "ms_per_item",
        "baseline",
    ] {
        assert!(result.get(key).is_some(), "{key} in {result}");
    }
    let asked = provider.asked();
    // "b" has no true box, so five conditions, all with the full image alone.
    assert_eq!(asked.len(), 6 + 5 + 6);
    let of = |id: &str| -> Vec<&Asked> {
        let start = format!("What is {id}?");
        asked
            .iter()
            .filter(|a| a.text.starts_with(&start))
            .collect()
    };
    let sizes: Vec<Vec<(u32, u32)>> = of("a")
        .iter()
        .map(|a| a.images.iter().map(RgbImage::dimensions).collect())
        .collect();
    let (full, crop) = ((80, 40), (32, 16));
    assert_eq!(
        sizes,
        [
            vec![full],
            vec![full, crop],
            vec![crop],
            vec![full, (16, 8)],
            vec![full, crop],
            vec![full, crop]
        ]
    );
    // The crop's pixels are those of the original at 16, 8; blank and noise are not.
    let a = of("a");
    for (x, y) in [(0, 0), (31, 15), (7, 9)] {
        let expected = Rgb([(x + 16) as u8 * 3, (y + 8) as u8 * 4, 9]);
        assert_eq!(a[1].images[1].get_pixel(x, y), &expected);
        assert_eq!(a[2].images[0].get_pixel(x, y), &expected);
        assert_eq!(a[4].images[1].get_pixel(x, y).0, [127; 3]);
    }
    assert!(
        a[5].images[1]
            .pixels()
            .any(|p| p != a[5].images[1].get_pixel(0, 0))
    );
    assert_eq!(a[1].formats, ["png", "png"]);
    assert!(
        of("b")
            .iter()
            .all(|a| a.images.len() == 1 && a.images[0].dimensions() == full)
    );

    let (alone, both) = (cell(&result, "full"), cell(&result, "full+crop"));
    assert_eq!(
        (&alone["n"], &alone["vqa"], &alone["boxless"]),
        (&json!(3), &json!(0.0), &json!(0))
    );
    // Two of three saw a crop; the full stop of "9.00." is not scored.
    assert_eq!(
        (&both["n"], &both["boxless"], &both["refused"]),
        (&json!(3), &json!(1), &json!(0))
    );
    for score in ["vqa", "anls", "exact", "vqa_gain"] {
        let value = both[score].as_f64().expect(score);
        assert!((value - 2.0 / 3.0).abs() < 1e-9, "{score} {value}");
    }
    assert_eq!(cell(&result, "full+true")["n"], 2);
    assert_eq!(both["prompt_tokens"], 100.0);
    let everything = std::fs::read_to_string(place.path("items.jsonl")).expect("items");
    assert!(!everything.contains(KEY));
}

#[test]
fn what_was_answered_is_not_asked_again() {
    let (place, provider) = (Place::new(), Provider::start(reader));
    let first = place.run(&provider, &[]);
    let asked = provider.asked().len();
    assert_eq!(asked, 4 + 3 + 4);
    // A kill in the middle of a line.
    let path = place.path("items.jsonl");
    let text = std::fs::read_to_string(&path).expect("items");
    std::fs::write(&path, &text[..text.len() - 9]).expect("written");
    let second = place.run(&provider, &[]);
    assert_eq!(provider.asked().len(), asked + 1);
    for condition in ["full", "full+crop", "crop", "full+true"] {
        for key in ["n", "vqa", "anls", "exact", "boxless"] {
            assert_eq!(cell(&first, condition)[key], cell(&second, condition)[key]);
        }
    }
    // Another policy's boxes: only the two conditions with its crop, of the question that changed.
    let boxes = [
        ("a", json!([0, 0, 10, 10])),
        ("b", Value::Null),
        ("c", json!([0, 50, 50, 100])),
    ];
    let boxes = boxes.map(|(id, bbox)| json!({"id": id, "box": bbox}));
    place.lines("other.jsonl", &boxes);
    place.run(&provider, &["--boxes", "other.jsonl"]);
    assert_eq!(provider.asked().len(), asked + 1 + 2);
    // The same questions in their own letters are others.
    place.run(&provider, &["--conditions", "full", "--target-keep-case"]);
    assert_eq!(provider.asked().len(), asked + 1 + 2 + 3);
}

#[test]
fn sweeps_grow_crops_and_bound_pictures() {
    let (place, provider) = (Place::new(), Provider::start(reader));
    let sweep = [
        "--conditions",
        "full,crop",
        "--expand",
        "1,4",
        "--target-longest-edge",
        "40,400",
        "--parallel",
        "1",
    ];
    let result = place.run(&provider, &sweep);
    assert_eq!(
        result["target"]["cells"].as_array().map(Vec::len),
        Some(2 * 3)
    );
    let mut sizes: Vec<(u32, u32)> = provider
        .asked()
        .iter()
        .filter(|a| a.text.starts_with("What is a?"))
        .map(|a| a.images[0].dimensions())
        .collect();
    sizes.sort();
    // Full and grown crop (64 x 32) shrink to 40 x 20, the crop of 32 x 16 stays; 400 changes nothing.
    assert_eq!(
        sizes,
        [(32, 16), (32, 16), (40, 20), (40, 20), (64, 32), (80, 40)]
    );
    let output = place.refusal(&provider, &["--expand", "0.5"]);
    assert!(output.contains("area factor"), "{output}");
}

#[test]
fn a_limit_of_rate_is_waited_for_and_refusals_are_counted() {
    let place = Place::new();
    let provider = Provider::start(|asked, before| match before {
        0 => Reply::Status(429, Some("1")),
        1 => Reply::Status(503, None),
        _ if asked.text.starts_with("What is a?") => Reply::Refusal("Not that.".to_owned()),
        _ if asked.text.starts_with("What is b?") => {
            Reply::Text("I'm sorry, I cannot read it.".to_owned())
        }
        _ => Reply::Text("9.00".to_owned()),
    });
    let start = Instant::now();
    let result = place.run(&provider, &["--conditions", "full", "--parallel", "1"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(provider.asked().len(), 5);
    let full = cell(&result, "full");
    assert_eq!(
        (&full["n"], &full["refused"], &full["errors"]),
        (&json!(3), &json!(2), &json!(0))
    );
    assert!((full["vqa"].as_f64().expect("vqa") - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn thoughts_do_not_count() {
    let place = Place::new();
    let provider = Provider::start(|asked, _| {
        let question = asked.text.lines().next().unwrap_or_default();
        Reply::Text(match question {
            "What is a?" => "<think>8.00, or 9.00?</think>\n\n9.00".to_owned(),
            "What is b?" => "<think>9.00</think>8.00".to_owned(),
            _ => "<think>It is 9.00".to_owned(),
        })
    });
    let result = place.run(&provider, &["--conditions", "full", "--parallel", "1"]);
    let full = cell(&result, "full");
    assert_eq!((&full["n"], &full["errors"]), (&json!(3), &json!(0)));
    assert!((full["vqa"].as_f64().expect("vqa") - 1.0 / 3.0).abs() < 1e-9);
    let items = place.items();
    assert_eq!(
        (&items[0]["answer"], &items[1]["answer"]),
        (&json!("9.00"), &json!("8.00"))
    );
    assert!(!items[2].to_string().contains("It is"), "{}", items[2]);
}

#[test]
fn errors_are_kept_counted_and_asked_again() {
    let place = Place::new();
    let provider = Provider::start(|asked, before| {
        if before < 4 && asked.text.starts_with("What is b?") {
            return Reply::Status(400, None);
        }
        Reply::Text("9.00".to_owned())
    });
    let full = ["--conditions", "full", "--parallel", "1"];
    let result = place.run(&provider, &full);
    assert_eq!(
        (
            &cell(&result, "full")["n"],
            &cell(&result, "full")["errors"]
        ),
        (&json!(2), &json!(1))
    );
    let wrong: Vec<Value> = place
        .items()
        .into_iter()
        .filter(|i| i["error"].is_string())
        .collect();
    assert_eq!(
        (wrong.len(), &wrong[0]["id"], &wrong[0]["answer"]),
        (1, &json!("b"), &Value::Null)
    );
    assert_eq!(provider.asked().len(), 3);
    place.run(&provider, &full);
    assert_eq!(provider.asked().len(), 4, "only the one without an answer");
    let result = place.run(&provider, &full);
    assert_eq!(
        (
            &cell(&result, "full")["n"],
            &cell(&result, "full")["errors"]
        ),
        (&json!(3), &json!(0))
    );
}

#[test]
fn a_target_that_answers_nothing_is_an_error_with_its_reason() {
    let place = Place::new();
    let provider = Provider::start(|_, _| Reply::Status(400, None));
    let said = place.refusal(&provider, &["--conditions", "full"]);
    assert!(
        said.contains("none of 3 questions was answered") && said.contains("400"),
        "{said}"
    );
    // Where one condition alone fails, its row says nothing rather than 0.
    let provider = Provider::start(|asked, _| match asked.images.len() {
        1 => Reply::Text("9.00".to_owned()),
        _ => Reply::Status(400, None),
    });
    let result = place.run(
        &provider,
        &["--conditions", "full,full+crop", "--limit", "1"],
    );
    let failed = cell(&result, "full+crop");
    assert_eq!(
        (&failed["n"], &failed["errors"], &failed["vqa"]),
        (&json!(0), &json!(1), &Value::Null)
    );
    assert_eq!(
        cell(&result, "full")["vqa"].as_f64().map(|v| v > 0.0),
        Some(true)
    );
}

#[test]
fn what_concerns_all_ends_the_run_at_once() {
    let (place, provider) = (Place::new(), Provider::start(reader));
    let mut command = place.command(&provider, &["--parallel", "1"]);
    let output = command
        .env("TEST_KEY", "sk-wrong-key")
        .output()
        .expect("runs");
    let said = errors(&output);
    assert!(
        !output.status.success() && said.contains("refused the key (401)"),
        "{said}"
    );
    assert!(!said.contains("sk-wrong-key"), "{said}");
    assert!(provider.asked().is_empty());
    let mut command = place.command(&provider, &[]);
    let said = errors(&command.env_remove("TEST_KEY").output().expect("runs"));
    assert!(
        said.contains("environment variable TEST_KEY is not set"),
        "{said}"
    );
    place.lines("few.jsonl", &[json!({"id": "a", "box": [0, 0, 9, 9]})]);
    let said = place.refusal(&provider, &["--boxes", "few.jsonl"]);
    assert!(
        said.contains("no box for question b (and 1 others)"),
        "{said}"
    );
}

#[test]
#[cfg(unix)]
fn ctrl_c_loses_nothing() {
    let place = Place::new();
    let provider = Provider::start(|_, _| {
        std::thread::sleep(Duration::from_millis(150));
        Reply::Text("9.00".to_owned())
    });
    let child: Child = place
        .command(&provider, &["--parallel", "1"])
        .spawn()
        .expect("cropvlm runs");
    let start = Instant::now();
    while provider.asked().len() < 4 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "nothing is asked"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
    let output = child.wait_with_output().expect("ends");
    assert!(!output.status.success());
    assert!(
        errors(&output).contains("items.jsonl keeps the answers"),
        "{}",
        errors(&output)
    );
    let kept = place.items().len();
    // Whatever was asked was answered and kept.
    assert_eq!(provider.asked().len(), kept);
    assert!(kept < 11, "{kept}");
    place.run(&provider, &[]);
    assert_eq!(provider.asked().len(), 11);
}

#[test]
fn a_model_folder_answers_as_the_answer_command_does() {
    let place = Place::new();
    let mut files = smolvlm::tiny::files();
    let weights = include_bytes!("../../crates/smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files.save(&place.path("tiny")).expect("tiny model");
    let cropvlm = |line: &str| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        command.current_dir(place.0.path()).args(line.split(' '));
        let output = command.output().expect("cropvlm runs");
        assert!(output.status.success(), "{}", errors(&output));
        serde_json::from_slice(&output.stdout).expect("json")
    };
    let result = cropvlm(
        "eval --data data.jsonl --boxes boxes.jsonl --target tiny --target-max-tokens 12 --items items.jsonl \
         --target-longest-edge 24,48 --conditions full,full+crop,crop --json",
    );
    assert_eq!(result["target"]["cells"].as_array().map(Vec::len), Some(6));
    let answer = |edge: u32, more: &str| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        let line = format!(
            "answer --model tiny --image one.png --max-tokens 12 --longest-edge {edge} --json{more}"
        );
        command.current_dir(place.0.path()).args(line.split(' '));
        let output = command
            .args(["--question", "What is a?"])
            .output()
            .expect("cropvlm runs");
        let value: Value = serde_json::from_slice(&output.stdout).expect("json");
        value["answer"].clone()
    };
    let items = place.items();
    let item = |edge: u32, condition: &str| {
        let found = items.iter().find(|item| {
            item["id"] == "a" && item["longest_edge"] == edge && item["condition"] == condition
        });
        found.expect("an item")["answer"].clone()
    };
    for edge in [24, 48] {
        assert_eq!(item(edge, "full"), answer(edge, ""), "{edge}");
        assert_eq!(
            item(edge, "full+crop"),
            answer(edge, " --box 20,20,60,60"),
            "{edge}"
        );
        assert_ne!(item(edge, "full"), item(edge, "full+crop"));
    }
    // Without boxes only what needs none is asked.
    let result = cropvlm("eval --data data.jsonl --target tiny --target-max-tokens 4 --json");
    assert_eq!(result["target"]["cells"].as_array().map(Vec::len), Some(2));
}
