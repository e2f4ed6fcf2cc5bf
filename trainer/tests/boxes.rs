//! `cropvlm boxes`: the search with the tiny reader, against `cropvlm score` box by box; the teacher
//! against a server that checks every request; resuming; and what cannot work.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Reply, Request, Server};
use serde_json::{Value, json};
use smolvlm::tiny;

const KEY: &str = "sk-secretsecret";

struct Place(tempfile::TempDir);

impl Place {
    /// A reader, two pictures, and questions about them.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        let mut files = tiny::files();
        let weights = include_bytes!("../../crates/smolvlm/goldens/model.safetensors");
        files.insert("model.safetensors", weights.to_vec());
        files.save(&place.path("reader")).expect("reader");
        for (name, side) in [("a.png", 280), ("b.png", 56)] {
            let picture = picture::RgbImage::from_fn(side, side, |x, y| {
                image::Rgb([
                    (x * 255 / side) as u8,
                    (y * 255 / side) as u8,
                    (x * y % 251) as u8,
                ])
            });
            std::fs::write(
                place.path(name),
                picture::encode_png(&picture).expect("png"),
            )
            .expect("written");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn data(&self, name: &str, samples: &[Value]) {
        let lines: String = samples.iter().map(|s| format!("{s}\n")).collect();
        std::fs::write(self.path(name), lines).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
            "OPENAI_API_KEY",
        ] {
            command.env_remove(name);
        }
        let output = command
            .current_dir(self.0.path())
            .args(arguments)
            .env("TEACHER_KEY", KEY)
            .output()
            .expect("cropvlm runs");
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(
            !text.contains("panicked") && !text.contains("secret"),
            "{text}"
        );
        output
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).expect("json")
    }

    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} worked");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).expect("lines");
        text.lines()
            .map(|l| serde_json::from_str(l).expect("json"))
            .collect()
    }
}

fn sample(id: &str, image: &str, side: u32, question: &str, answers: &[&str]) -> Value {
    json!({"id": id, "image": image, "question": question, "answers": answers, "width": side, "height": side})
}

fn questions() -> Vec<Value> {
    vec![
        sample(
            "q1",
            "a.png",
            280,
            "What is the TOTAL?",
            &["12.50", "12.50", "13"],
        ),
        sample("q2", "b.png", 56, "Which year?", &["1987"]),
        sample("q3", "a.png", 280, "Who signed?", &["J. Doe"]),
        sample("q4", "a.png", 280, "Nobody knows?", &[]),
    ]
}

const SEARCH: [&str; 8] = [
    "boxes", "--json", "--search", "--reader", "reader", "--grid", "2", "--out",
];

fn with<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).expect("numbers")
}

#[test]
fn the_search_finds_what_score_says_is_best() {
    let place = Place::new();
    place.data("data.jsonl", &questions());
    let found = place.json(&with(&[
        &SEARCH,
        &[
            "found.jsonl",
            "--data",
            "data.jsonl",
            "--no-noise",
            "--batch",
            "4",
        ],
    ]));
    assert_eq!(
        (&found["questions"], &found["left_out"]),
        (&json!(3), &json!(1))
    );
    // Three questions, two pictures: the crops of each are encoded once.
    assert_eq!(
        (&found["crops_encoded"], &found["crops_scored"]),
        (&json!(18), &json!(27))
    );
    let lines = place.lines("found.jsonl");
    let mut sides = Vec::new();
    for (from, to) in [(0, 50), (0, 100), (50, 100)] {
        sides.push((from, to));
    }
    for (line, target) in lines.iter().zip(["12.50", "J. Doe", "1987"]) {
        let mut scores = Vec::new();
        for (y1, y2) in &sides {
            for (x1, x2) in &sides {
                let bbox = format!("{x1},{y1},{x2},{y2}");
                let image = line["image"].as_str().expect("image");
                let question = line["question"].as_str().expect("question");
                let arguments = [
                    "score",
                    "--json",
                    "--model",
                    "reader",
                    "--image",
                    image,
                    "--question",
                    question,
                    "--answer",
                    target,
                    "--box",
                    &bbox,
                ];
                let score = place.json(&arguments)["logprob"].as_f64().expect("number");
                scores.push((score, [*x1, *y1, *x2, *y2].map(f64::from)));
            }
        }
        let best = scores
            .iter()
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .expect("scores");
        assert!(
            (line["score"].as_f64().expect("score") - best.0).abs() < 1e-3,
            "{line} {best:?}"
        );
        assert_eq!(numbers(&line["grid_box"]), best.1, "{line} {scores:?}");
        let side = line["width"].as_f64().expect("width");
        assert_eq!(numbers(&line["boxes"][0]), best.1.map(|v| v * side / 100.0));
        assert_eq!(line["box_source"], "search");
        let spread = scores.iter().map(|s| s.0).fold(f64::INFINITY, f64::min);
        assert!(
            best.0 - spread > 1e-2,
            "the crops make no difference, so nothing was tested"
        );
    }
}

#[test]
fn the_search_goes_on_where_it_was_killed() {
    let place = Place::new();
    place.data("data.jsonl", &questions());
    let arguments =
        |out: &'static str| with(&[&SEARCH, &[out, "--data", "data.jsonl", "--seed", "3"]]);
    place.json(&arguments("whole.jsonl"));
    let whole = std::fs::read_to_string(place.path("whole.jsonl")).expect("text");
    for line in place.lines("whole.jsonl") {
        let (bbox, grid) = (numbers(&line["boxes"][0]), numbers(&line["grid_box"]));
        let side = line["width"].as_f64().expect("width");
        let percent: Vec<f64> = bbox.iter().map(|v| 100.0 * v / side).collect();
        let near = 0.02;
        for i in 0..2 {
            assert!(
                percent[i] <= grid[i] + near && percent[i] >= (grid[i] - 50.0).max(0.0) - near,
                "{line}"
            );
            assert!(
                percent[i + 2] >= grid[i + 2] - near
                    && percent[i + 2] <= (grid[i + 2] + 50.0).min(100.0) + near,
                "{line}"
            );
        }
    }
    // Cut off at every kind of place: nothing, half a line, one line, one and a half.
    let first = whole.find('\n').expect("line") + 1;
    for length in [0, first / 2, first, first + 20, whole.len()] {
        std::fs::write(place.path("cut.jsonl"), &whole[..length]).expect("written");
        std::fs::copy(
            place.path("whole.jsonl.settings"),
            place.path("cut.jsonl.settings"),
        )
        .expect("copied");
        let again = place.json(&arguments("cut.jsonl"));
        assert_eq!(
            std::fs::read_to_string(place.path("cut.jsonl")).expect("text"),
            whole,
            "{length}"
        );
        let before = whole[..length].matches('\n').count() as u64;
        assert_eq!(
            again["crops_scored"],
            9 * (3 - before),
            "nothing is done twice"
        );
    }
    // Killed for real, while it works.
    let many: Vec<Value> = (0..40)
        .map(|i| {
            sample(
                &format!("m{i}"),
                ["a.png", "b.png"][i % 2],
                [280, 56][i % 2],
                &format!("Question {i}?"),
                &["x"],
            )
        })
        .collect();
    place.data("many.jsonl", &many);
    let arguments = |out: &'static str| with(&[&SEARCH, &[out, "--data", "many.jsonl"]]);
    place.json(&arguments("all.jsonl"));
    let all = std::fs::read_to_string(place.path("all.jsonl")).expect("text");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    command
        .current_dir(place.0.path())
        .args(arguments("killed.jsonl"));
    let mut child = command
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("cropvlm runs");
    let text = || std::fs::read_to_string(place.path("killed.jsonl")).unwrap_or_default();
    while text().lines().count() < 3 {
        assert!(
            child.try_wait().expect("child").is_none(),
            "it ended before it could be killed"
        );
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("child");
    let before = text().lines().count();
    assert!(before < 40 && all.starts_with(&text()[..text().rfind('\n').expect("line")]));
    place.json(&arguments("killed.jsonl"));
    assert_eq!(text(), all);
    let other = with(&[
        &SEARCH,
        &["whole.jsonl", "--data", "data.jsonl", "--seed", "4"],
    ]);
    let said = place.refusal(&other);
    assert!(
        said.contains("begun with other settings") && said.contains("seed: 3, now 4"),
        "{said}"
    );
    let others = with(&[
        &SEARCH,
        &["whole.jsonl", "--data", "many.jsonl", "--seed", "3"],
    ]);
    let said = place.refusal(&others);
    assert!(
        said.contains("data: ") && said.contains("many.jsonl"),
        "{said}"
    );
}

#[test]
fn boxes_for_parquet_are_read_by_every_command() {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/textvqa");
    let golden = golden.to_str().expect("utf-8");
    let found = place.json(&with(&[&SEARCH, &["found/boxes.jsonl", "--data", golden]]));
    assert_eq!(found["questions"], 3);
    let read = place.json(&[
        "data",
        "--json",
        "--data",
        "found/boxes.jsonl",
        "--out",
        "plain",
    ]);
    assert_eq!(
        (&read["with_boxes"], &read["pictures"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(
        std::fs::read_dir(place.path("plain/images"))
            .expect("folder")
            .count(),
        2
    );
    let report = place.json(&[
        "eval",
        "--json",
        "--model",
        "reader",
        "--data",
        "found/boxes.jsonl",
    ]);
    assert_eq!(report["n"], 3);
}

#[test]
fn given_boxes_are_copied() {
    let place = Place::new();
    let mut with_box = sample("q1", "a.png", 280, "Where?", &["x"]);
    with_box["boxes"] = json!([[1.5, 2.0, 30.0, 40.0]]);
    place.data(
        "data.jsonl",
        &[with_box, sample("q2", "b.png", 56, "What?", &["y"])],
    );
    let found = place.json(&[
        "boxes",
        "--json",
        "--given",
        "--data",
        "data.jsonl",
        "--out",
        "out.jsonl",
    ]);
    assert_eq!(
        (&found["questions"], &found["left_out"]),
        (&json!(1), &json!(1))
    );
    let line = &place.lines("out.jsonl")[0];
    assert_eq!(
        (&line["boxes"], &line["box_source"], &line["image"]),
        (
            &json!([[1.5, 2.0, 30.0, 40.0]]),
            &json!("given"),
            &json!("a.png")
        )
    );
    place.data("none.jsonl", &[sample("q2", "b.png", 56, "What?", &["y"])]);
    let said = place.refusal(&[
        "boxes",
        "--given",
        "--data",
        "none.jsonl",
        "--out",
        "no.jsonl",
    ]);
    assert!(said.contains("none of its 1 questions has a box"), "{said}");
}

/// What a teacher is asked, checked; the question and the size of the picture that came.
fn asked(request: &Request) -> (String, (u32, u32)) {
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(
        request.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    let body: Value = serde_json::from_slice(&request.body).expect("json");
    assert_eq!(body["model"], "teacher");
    let content = body["messages"][0]["content"].as_array().expect("content");
    assert_eq!(content.len(), 2);
    let url = content[0]["image_url"]["url"].as_str().expect("picture");
    let jpeg = url.strip_prefix("data:image/jpeg;base64,").expect("jpeg");
    let size = picture::decode(&STANDARD.decode(jpeg).expect("base64"))
        .expect("picture")
        .dimensions();
    let text = content[1]["text"].as_str().expect("text");
    assert!(
        text.contains("\"bbox_2d\"") && text.contains(&format!("{} x {} pixels", size.0, size.1)),
        "{text}"
    );
    let question = text.lines().nth(1).expect("question").to_owned();
    (question, size)
}

fn said(text: &str) -> Reply {
    let body = json!({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]});
    Reply::new(200, body.to_string()).with("content-type", "application/json")
}

/// Five boxes in the middle of the picture, 5 to 50 percent wide, and one reply without any.
fn teacher_data() -> Vec<Value> {
    let side = |i: usize| format!("Question {}?", [14, 28, 56, 84, 140][i]);
    let mut data: Vec<Value> = (0..5)
        .map(|i| sample(&format!("q{i}"), "a.png", 280, &side(i), &["x"]))
        .collect();
    data.push(sample("q5", "a.png", 280, "Question none?", &["x"]));
    data
}

fn teach(request: &Request) -> Reply {
    let (question, size) = asked(request);
    assert_eq!(size, (280, 280));
    let number = question
        .trim_start_matches("Question ")
        .trim_end_matches('?');
    match number.parse::<i32>() {
        Ok(side) => {
            let (low, high) = (140 - side / 2, 140 + side / 2);
            said(&format!(
                "```json\n[{{\"bbox_2d\": [{low}, {low}, {high}, {high}], \"label\": \"it\"}}]\n```"
            ))
        }
        Err(_) => said("There is no such region."),
    }
}

fn teacher<'a>(url: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "boxes",
        "--json",
        "--teacher",
        "--base-url",
        url,
        "--model",
        "teacher",
        "--key-env",
        "TEACHER_KEY",
        "--data",
        "data.jsonl",
        "--out",
        out,
        "--parallel",
        "2",
    ]
}

#[test]
fn a_teachers_boxes_are_grown_by_quintile_and_asked_for_once() {
    let place = Place::new();
    place.data("data.jsonl", &teacher_data());
    let server = Server::start(|request, number| match number {
        // Busy at first, in two ways, and once a connection that breaks.
        0 => Reply::new(429, "{}").with("retry-after", "0"),
        1 => Reply::new(503, "busy"),
        2 => {
            let mut reply = teach(request);
            reply.cut = Some(20);
            reply
        }
        _ => teach(request),
    });
    let url = format!("{}/v1", server.address);
    let found = place.json(&teacher(&url, "out.jsonl"));
    assert_eq!(
        (&found["questions"], &found["left_out"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(server.requests().len(), 6 + 3);
    // Sides in percent: 5 x sqrt 45, 10 x sqrt 10, 20 x 2, 30 x sqrt 2, 50.
    for (line, side) in place
        .lines("out.jsonl")
        .iter()
        .zip([33.541f64, 31.623, 40.0, 42.426, 50.0])
    {
        let bbox = numbers(&line["boxes"][0]);
        let expected = [50.0 - side / 2.0, 50.0 + side / 2.0].map(|v| v * 2.8);
        for (found, expected) in
            bbox.iter()
                .zip([expected[0], expected[0], expected[1], expected[1]])
        {
            assert!((found - expected).abs() < 0.02, "{line} {expected}");
        }
        assert_eq!(line["box_source"], "teacher");
    }
    let lines = std::fs::read(place.path("out.jsonl")).expect("lines");
    // Again: nobody is asked, and the output is the same. Without growing, too, nobody is asked.
    std::fs::remove_file(place.path("out.jsonl")).expect("removed");
    place.json(&teacher(&url, "out.jsonl"));
    assert_eq!(
        std::fs::read(place.path("out.jsonl")).expect("lines"),
        lines
    );
    let tight = with(&[&teacher(&url, "out.jsonl"), &["--no-grow"]]);
    assert!(place.json(&tight)["area_quintiles"].is_null());
    assert_eq!(
        numbers(&place.lines("out.jsonl")[0]["boxes"][0]),
        [133.0, 133.0, 147.0, 147.0]
    );
    assert_eq!(server.requests().len(), 9);
    // Another model is asked anew.
    let other = Server::start(|request, _| {
        let body: Value = serde_json::from_slice(&request.body).expect("json");
        assert_eq!(body["model"], "other");
        said("{\"bbox_2d\": [100, 100, 500, 900]}")
    });
    let url = format!("{}/v1", other.address);
    let mut arguments = teacher(&url, "out.jsonl");
    arguments[6] = "other";
    arguments.push("--no-grow");
    place.json(&arguments);
    assert_eq!(other.requests().len(), 6);
    // 500 and 900 are no pixels of 280: thousandths.
    assert_eq!(
        numbers(&place.lines("out.jsonl")[0]["boxes"][0]),
        [28.0, 28.0, 140.0, 252.0]
    );
}

#[test]
fn a_teacher_that_stops_answering_costs_nothing_twice() {
    let place = Place::new();
    place.data("data.jsonl", &teacher_data());
    let answered = AtomicUsize::new(0);
    let server = Server::start(
        move |request, _| match answered.fetch_add(1, Ordering::SeqCst) {
            0..3 => teach(request),
            _ => Reply::new(
                401,
                json!({"error": {"message": format!("bad key {KEY}")}}).to_string(),
            ),
        },
    );
    let url = format!("{}/v1", server.address);
    let said = place.refusal(&teacher(&url, "out.jsonl"));
    assert!(
        said.contains("refused the key (401)") && said.contains("3 of 6 replies are kept"),
        "{said}"
    );
    assert!(!place.path("out.jsonl").exists());
    // A file that was cut off is asked for again.
    let kept: Vec<PathBuf> = std::fs::read_dir(place.path("out.jsonl.teacher"))
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    assert_eq!(kept.len(), 3);
    let text = std::fs::read_to_string(&kept[0]).expect("reply");
    assert!(!text.contains("secret"));
    std::fs::write(&kept[0], &text[..text.len() / 2]).expect("written");
    let server = Server::start(|request, _| teach(request));
    let url = format!("{}/v1", server.address);
    assert_eq!(place.json(&teacher(&url, "out.jsonl"))["questions"], 5);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn what_cannot_work_is_said_clearly() {
    let place = Place::new();
    place.data("data.jsonl", &[sample("q", "a.png", 280, "What?", &[])]);
    let none = Server::start(|request, _| {
        asked(request);
        said("I cannot see any.")
    });
    let url = format!("{}/v1", none.address);
    std::fs::create_dir(place.path("empty")).expect("folder");
    let search = [
        "boxes",
        "--search",
        "--data",
        "data.jsonl",
        "--out",
        "x.jsonl",
        "--reader",
    ];
    for (arguments, expected) in [
        (
            with(&[&search, &["reader"]]),
            "none of its questions has an answer",
        ),
        (
            vec!["boxes", "--data", "data.jsonl", "--out", "x.jsonl"],
            "--search",
        ),
        (
            vec![
                "boxes",
                "--search",
                "--data",
                "data.jsonl",
                "--out",
                "x.jsonl",
            ],
            "--reader",
        ),
        (
            vec![
                "boxes",
                "--search",
                "--given",
                "--data",
                "data.jsonl",
                "--out",
                "x.jsonl",
            ],
            "cannot be used with",
        ),
        (
            vec![
                "boxes",
                "--teacher",
                "--data",
                "data.jsonl",
                "--out",
                "x.jsonl",
            ],
            "--model",
        ),
        (teacher(&url, "x.jsonl"), "none of 1 replies holds a box"),
        (teacher("no-address", "x.jsonl"), "base URL"),
    ] {
        let said = place.refusal(&arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    place.data("data.jsonl", &[sample("q", "a.png", 280, "What?", &["x"])]);
    let said = place.refusal(&with(&[&search, &["empty"]]));
    assert!(said.contains("no config.json"), "{said}");
    place.data(
        "data.jsonl",
        &[sample("q", "gone.png", 280, "What?", &["x"])],
    );
    let said = place.refusal(&with(&[&search, &["reader"]]));
    assert!(said.contains("gone.png is not there"), "{said}");
}
