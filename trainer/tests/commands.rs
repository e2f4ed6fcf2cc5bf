//! `propose`, `score`, `answer` and `debug inputs` as a person types them, on the tiny text model
//! whose numbers transformers computed (`crates/smolvlm/goldens`), and on folders and pictures that
//! cannot work.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use policy::{MapConfig, MapPolicy};
use safetensors::SafeTensors;
use serde_json::Value;
use smolvlm::tiny;

struct Place(tempfile::TempDir);

impl Place {
    /// A text model, a map model and a picture.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        let mut files = tiny::files();
        let weights = include_bytes!("../../crates/smolvlm/goldens/model.safetensors");
        files.insert("model.safetensors", weights.to_vec());
        files.save(&place.path("text")).expect("text model");
        let map = MapPolicy::random(&MapConfig::tiny(), 1, &Device::flex()).expect("map model");
        map.files(false)
            .and_then(|files| Ok(files.save(&place.path("map"))?))
            .expect("map model");
        let picture = picture();
        std::fs::write(
            place.path("picture.png"),
            picture::encode_png(&picture).expect("png"),
        )
        .expect("picture");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        command
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .expect("cropvlm runs")
    }

    /// The JSON line of a command that works.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let text = String::from_utf8(output.stdout).expect("utf-8");
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).expect("json")
    }

    /// What a command says that does not work.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} worked");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        text
    }
}

/// The second picture of the golden case `pair` as the crop, in the corner of a larger picture.
fn picture() -> picture::RgbImage {
    let goldens = goldens();
    let view = goldens.tensor("pair.picture.0").expect("picture");
    let (height, width) = (view.shape()[0] as u32, view.shape()[1] as u32);
    picture::RgbImage::from_raw(width, height, view.data().to_vec()).expect("picture")
}

fn goldens() -> SafeTensors<'static> {
    let bytes = include_bytes!("../../crates/smolvlm/goldens/tiny.safetensors");
    SafeTensors::deserialize(bytes).expect("goldens")
}

const TEXT: [&str; 4] = ["--model", "text", "--image", "picture.png"];
const QUESTION: [&str; 2] = ["--question", "What is the DATE?"];

fn with<'a>(command: &[&'a str], parts: &[&[&'a str]]) -> Vec<&'a str> {
    command
        .iter()
        .chain(parts.iter().flat_map(|part| part.iter()))
        .copied()
        .collect()
}

#[test]
fn propose_prints_the_contract() {
    let place = Place::new();
    for model in ["text", "map"] {
        let arguments = [
            "propose",
            "--model",
            model,
            "--image",
            "picture.png",
            "--json",
        ];
        let line = place.json(&with(&arguments, &[&QUESTION]));
        let bbox: Vec<f64> = serde_json::from_value(line["box"].clone()).expect("box");
        let [x1, y1, x2, y2] = bbox[..] else {
            panic!("{bbox:?}")
        };
        assert!(0.0 <= x1 && x1 < x2 && x2 <= 100.0 && 0.0 <= y1 && y1 < y2 && y2 <= 100.0);
        let pixels: Vec<u32> = serde_json::from_value(line["pixels"].clone()).expect("pixels");
        assert!(
            pixels[0] < pixels[2] && pixels[2] <= 33 && pixels[3] <= 70,
            "{pixels:?}"
        );
        assert_eq!(
            line["completion"],
            format!("[{x1}, {y1}, {x2}, {y2}]."),
            "{line}"
        );
        assert_eq!(line["backend"], "cpu");
        assert!(line["valid"] == true && line["logprob"].as_f64().expect("number") < 0.0);
        // The map policy knows how likely its box holds the evidence; the text policy does not.
        let confidence = line["confidence"].as_f64();
        assert_eq!(confidence.is_some(), model == "map", "{line}");
        assert!(confidence.is_none_or(|share| (0.0..=1.0).contains(&share)));
        for part in ["image", "vision", "prefill", "decode"] {
            assert!(
                line["timings_ms"][part].as_f64().expect("number") >= 0.0,
                "{part}"
            );
        }
    }
}

#[test]
fn an_unconstrained_text_policy_may_write_no_box() {
    let place = Place::new();
    let line = place.json(&with(
        &["propose", "--unconstrained", "--json"],
        &[&TEXT, &QUESTION],
    ));
    assert!(
        line["box"].is_null() && line["pixels"].is_null() && line["valid"] == false,
        "{line}"
    );
    assert!(!line["completion"].as_str().expect("text").is_empty());
    let output = place.run(&with(&["propose", "--unconstrained"], &[&TEXT, &QUESTION]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no valid box"));
}

#[test]
fn score_sums_the_tokens_of_the_target() {
    let place = Place::new();
    let answer = ["--box", "0,0,50.5,30", "--answer", "12/03/2019", "--json"];
    let line = place.json(&with(&["score"], &[&TEXT, &QUESTION, &answer]));
    assert_eq!(line["target"], "12/03/2019.");
    let each: Vec<f64> = serde_json::from_value(line["token_logprobs"].clone()).expect("numbers");
    let golden = goldens();
    let ids: Vec<u32> = serde_json::from_value(line["token_ids"].clone()).expect("ids");
    let expected = golden.tensor("pair.completion").expect("completion");
    let chunks = expected.data().as_chunks().0.iter();
    let expected: Vec<u32> = chunks.map(|&b| i64::from_le_bytes(b) as u32).collect();
    assert_eq!(ids, expected, "a space, the target, the closing token");
    assert_eq!(line["tokens"], each.len());
    let sum: f64 = each.iter().sum();
    assert!((line["logprob"].as_f64().expect("number") - sum).abs() < 1e-6);
    // Another crop gives another chance: it is looked at.
    let other = [
        "--box",
        "60,60,100,100",
        "--answer",
        "12/03/2019.",
        "--json",
    ];
    let other = place.json(&with(&["score"], &[&TEXT, &QUESTION, &other]));
    assert_eq!(other["target"], "12/03/2019.");
    assert_ne!(other["logprob"], line["logprob"]);
}

#[test]
fn answer_answers_with_and_without_a_crop() {
    let place = Place::new();
    let alone = place.json(&with(&["answer", "--json"], &[&TEXT, &QUESTION]));
    let crop = ["--box", "10,10,30,30"];
    let cropped = place.json(&with(&["answer", "--json"], &[&TEXT, &QUESTION, &crop]));
    assert!(!alone["answer"].as_str().expect("text").is_empty());
    assert_ne!(alone["answer"], cropped["answer"]);
}

#[test]
fn debug_inputs_are_those_of_transformers() {
    let place = Place::new();
    // The golden case `tile`, its picture written as PNG.
    let golden = goldens();
    let view = golden.tensor("grid.picture.0").expect("picture");
    let (height, width) = (view.shape()[0] as u32, view.shape()[1] as u32);
    let picture = picture::RgbImage::from_raw(width, height, view.data().to_vec());
    let png = picture::encode_png(&picture.expect("picture")).expect("png");
    std::fs::write(place.path("grid.png"), png).expect("written");
    let arguments = [
        "debug",
        "inputs",
        "--model",
        "text",
        "--image",
        "grid.png",
        "--keep-case",
        "--question",
        "Où est l'été? 42 €",
        "--longest-edge",
        "72",
        "--out",
        "inputs.safetensors",
    ];
    let output = place.run(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = std::fs::read(place.path("inputs.safetensors")).expect("file");
    let found = SafeTensors::deserialize(&bytes).expect("safetensors");
    for name in ["pixel_values", "input_ids"] {
        let expected = golden.tensor(&format!("grid.{name}")).expect("golden");
        let found = found.tensor(name).expect(name);
        assert_eq!(found.shape()[0], 1);
        assert_eq!(found.shape()[1..], *expected.shape(), "{name}");
        assert!(
            found.data() == expected.data() && found.dtype() == expected.dtype(),
            "{name}"
        );
    }
}

#[test]
fn what_cannot_work_is_said_clearly() {
    let place = Place::new();
    std::fs::write(place.path("note.txt"), "no picture").expect("written");
    let picture = std::fs::read(place.path("picture.png")).expect("picture");
    std::fs::write(place.path("half.png"), &picture[..picture.len() / 2]).expect("written");
    std::fs::create_dir(place.path("empty")).expect("folder");
    let answer = ["--box", "0,0,50,50", "--answer", "12"];
    let map = ["--model", "map", "--image", "picture.png"];
    let image = |image| ["--model", "text", "--image", image];
    let model = |model| ["--model", model, "--image", "picture.png"];
    let score = ["score"];
    let ask = |command: &'static str| [command];
    for (arguments, expected) in [
        (with(&score, &[&map, &QUESTION, &answer]), "map policy"),
        (
            with(&ask("answer"), &[&map, &QUESTION]),
            "`answer` needs a text model",
        ),
        (
            with(&ask("debug"), &[&["inputs", "--out", "x"], &map, &QUESTION]),
            "map policy",
        ),
        (
            with(&ask("propose"), &[&image("note.txt"), &QUESTION]),
            "note.txt",
        ),
        (
            with(&ask("propose"), &[&image("half.png"), &QUESTION]),
            "half.png",
        ),
        (
            with(&ask("answer"), &[&image("absent.png"), &QUESTION]),
            "absent.png",
        ),
        (
            with(&ask("propose"), &[&model("absent"), &QUESTION]),
            "absent",
        ),
        (
            with(&ask("propose"), &[&model("empty"), &QUESTION]),
            "no config.json",
        ),
        (
            with(&ask("propose"), &[&TEXT, &["--question", " "]]),
            "the question is empty",
        ),
        (
            with(&ask("answer"), &[&TEXT, &["--question", ""]]),
            "the question is empty",
        ),
        (
            with(
                &score,
                &[&TEXT, &QUESTION, &["--box", "0,0,50,50", "--answer", " "]],
            ),
            "answer is empty",
        ),
        (
            with(
                &score,
                &[&TEXT, &QUESTION, &["--box", "50,0,50,50", "--answer", "1"]],
            ),
            "50",
        ),
        (
            with(
                &ask("propose"),
                &[&TEXT, &QUESTION, &["--longest-edge", "0"]],
            ),
            "1 to 144 pixels",
        ),
        (
            with(&ask("propose"), &[&TEXT, &QUESTION, &["--device", "cuda"]]),
            "--device cpu",
        ),
    ] {
        let said = place.refusal(&arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_long_question_is_refused_or_read_but_never_a_crash() {
    let place = Place::new();
    let long = "why ".repeat(2_500);
    let said = place.refusal(&with(&["propose"], &[&TEXT, &["--question", &long]]));
    assert!(said.contains("the model takes at most 960"), "{said}");
    let map = ["--model", "map", "--image", "picture.png", "--json"];
    place.json(&with(&["propose"], &[&map, &["--question", &long]]));
}

#[test]
fn the_help_says_what_this_is_and_names_every_command() {
    let place = Place::new();
    let output = place.run(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = text.lines().next().unwrap_or_default();
    for word in ["cropvlm", "box", "picture", "question"] {
        assert!(first.contains(word), "{word}: {first}");
    }
    let listed = text.split("Commands:").nth(1).unwrap_or_default();
    let listed: Vec<&str> = listed
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    let all = [
        "pull", "data", "boxes", "render", "sft", "grpo", "eval", "propose", "score", "answer",
        "annotate", "export", "report", "debug", "bench",
    ];
    assert_eq!(listed, all);
    for command in all {
        let output = place.run(&[command, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}");
        assert!(
            text.contains(&format!("cropvlm {command}")),
            "{command}: {text}"
        );
    }
}

#[test]
fn the_crop_is_written_as_its_name_says() {
    let place = Place::new();
    let map = ["--model", "map", "--image", "picture.png"];
    for (name, start) in [("crop.png", &b"\x89PNG"[..]), ("crop.JPG", b"\xff\xd8")] {
        let line = place.json(&with(
            &["propose", "--json", "--out", name],
            &[&map, &QUESTION],
        ));
        assert_eq!(line["crop"], name);
        let bytes = std::fs::read(place.path(name)).expect("crop");
        assert!(bytes.starts_with(start), "{name}");
        let crop = picture::decode(&bytes).expect("a picture");
        let [x1, y1, x2, y2]: [u32; 4] =
            serde_json::from_value(line["pixels"].clone()).expect("pixels");
        assert_eq!(crop.dimensions(), (x2 - x1, y2 - y1));
        if name == "crop.png" {
            assert_eq!(crop.get_pixel(0, 0), picture().get_pixel(x1, y1));
        }
    }
    let line = place.json(&with(&["propose", "--json"], &[&map, &QUESTION]));
    assert!(line["crop"].is_null(), "{line}");
    // Refused before the work, or, where there is no box, after it.
    let before = std::fs::read(place.path("picture.png")).expect("picture");
    for (out, expected) in [
        ("crop.webp", ".png or .jpg"),
        ("absent/crop.png", "there is no folder absent"),
        ("picture.png", "is the picture itself"),
    ] {
        let said = place.refusal(&with(&["propose", "--out", out], &[&map, &QUESTION]));
        assert!(said.contains(expected), "{out}: {said}");
    }
    assert_eq!(
        std::fs::read(place.path("picture.png")).expect("picture"),
        before
    );
    let none = ["propose", "--unconstrained", "--out", "none.png"];
    let said = place.refusal(&with(&none, &[&TEXT, &QUESTION]));
    assert!(said.contains("there is no crop"), "{said}");
    assert!(!place.path("none.png").exists());
}

#[test]
fn a_name_of_the_hub_says_how_to_get_the_model() {
    let place = Place::new();
    let get = "cropvlm pull HuggingFaceTB/SmolVLM-256M-Instruct";
    for command in ["propose", "answer"] {
        for name in [
            "HuggingFaceTB/SmolVLM-256M-Instruct",
            "SmolVLM-256M-Instruct",
        ] {
            let model = ["--model", name, "--image", "picture.png"];
            let said = place.refusal(&with(&[command], &[&model, &QUESTION]));
            assert!(said.contains(get), "{command} {name}: {said}");
        }
    }
    // A configuration that names one says the same.
    let config = "policy = \"HuggingFaceTB/SmolVLM-256M-Instruct\"\n[reward_model]\npath = \"text\"\n[[data]]\nsamples = \"one.jsonl\"\n";
    std::fs::write(place.path("grpo.toml"), config).expect("written");
    let sample = serde_json::json!({"id": "a", "image": "picture.png", "question": "Q?", "answers": ["1"],
        "boxes": [], "width": 33, "height": 70});
    std::fs::write(place.path("one.jsonl"), format!("{sample}\n")).expect("written");
    let said = place.refusal(&["grpo", "--config", "grpo.toml", "--out", "run"]);
    assert!(said.contains(get), "{said}");
    // Once it is there, the folder is named.
    std::fs::create_dir(place.path("SmolVLM-256M-Instruct")).expect("folder");
    let model = [
        "--model",
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        "--image",
        "picture.png",
    ];
    let said = place.refusal(&with(&["propose"], &[&model, &QUESTION]));
    assert!(
        said.contains("there is SmolVLM-256M-Instruct: name that one"),
        "{said}"
    );
}

#[test]
fn a_grounding_reward_is_printed_and_bad_boxes_are_named() {
    let place = Place::new();
    let reward = |bbox: &str, truth: &str, json: bool| {
        let mut arguments = vec![
            "debug",
            "reward",
            "--kind",
            "grounding",
            "--box",
            bbox,
            "--true",
            truth,
        ];
        arguments.extend(json.then_some("--json"));
        place.run(&arguments)
    };
    let output = reward("12,20,32,40", "10,20,30,40;0,0,50,50", true);
    assert!(output.status.success());
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a line");
    for (name, expected) in [
        ("coverage", 0.9),
        ("iou", 360.0 / 440.0),
        ("distance", 0.99),
    ] {
        let found = line[name].as_f64().expect(name);
        assert!((found - expected).abs() < 1e-9, "{line}");
    }
    assert_eq!(line.as_object().expect("an object").len(), 3);
    let output = reward("12,20,32,40", "10,20,30,40", false);
    assert!(String::from_utf8_lossy(&output.stdout).contains("coverage  0.9000"));
    for (bbox, truth, expected) in [
        ("1,2,3", "1,2,3,4", "--box: \"1,2,3\" is no box"),
        (
            "-1,2,3,4",
            "1,2,3,4",
            "--box: [-1, 2, 3, 4] is no box: four numbers between 0 and 100",
        ),
        ("1,2,3,4", "5,2,5,4", "--true: [5, 2, 5, 4] is no box"),
        ("1,2,3,4", "", "--true: the true boxes: there is none"),
        (
            "1,2,3,4",
            "0,0,50,50;10,10,20,20",
            "does not lie inside box 2",
        ),
    ] {
        let output = reward(bbox, truth, true);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{bbox} {truth}"
        );
        let text = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// Halfway between two models lies the mean of their weights; a model of another shape is named.
#[test]
fn export_mixes_two_models_weight_by_weight() {
    let folder = tempfile::tempdir().expect("folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
    let stage = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/stages/forms");
    let export = |more: &[&str], out: &str| {
        let mut call = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        call.args(["export", "--full", "--model"]).arg(&shipped);
        call.args(more).arg("--out").arg(folder.path().join(out));
        call.output().expect("cropvlm runs")
    };
    let plain = export(&[], "plain");
    assert!(plain.status.success(), "{plain:?}");
    // The same network with other weights: its own, all halved.
    let read = |name: &str| {
        let file = folder.path().join(name).join("model.safetensors");
        tensors::read("model", &std::fs::read(file).expect("weights")).expect("weights")
    };
    let whole = read("plain");
    let half = whole.iter().map(|(name, (shape, values))| {
        let values = values.iter().map(|value| value / 2.0).collect();
        (name.clone(), (shape.clone(), values))
    });
    let bytes = tensors::write("model", half, tensors::Precision::F32).expect("bytes");
    let other = folder.path().join("half");
    std::fs::create_dir(&other).expect("folder");
    std::fs::write(other.join("model.safetensors"), bytes).expect("written");
    let config = folder.path().join("plain/config.json");
    std::fs::copy(config, other.join("config.json")).expect("copied");
    let path = other.to_str().expect("a name");
    let mixed = export(&["--mix", path, "--mix-share", "0.5"], "mixed");
    assert!(mixed.status.success(), "{mixed:?}");
    for (name, (_, values)) in read("mixed") {
        for (mixed, value) in values.iter().zip(&whole[&name].1) {
            assert!((mixed - 0.75 * value).abs() <= 1e-6 * value.abs(), "{name}");
        }
    }
    let stage = stage.to_str().expect("a name");
    let refused = export(&["--mix", stage, "--mix-share", "0.5"], "wrong");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("same shape"),
        "{said}"
    );
    let refused = export(&["--mix", path, "--mix-share", "2"], "wrong");
    assert!(!refused.status.success() && !folder.path().join("wrong").exists());
}

#[test]
fn export_puts_another_table_of_words_in_the_place_of_the_models() {
    let folder = tempfile::tempdir().expect("folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
    let export = |table: &Path, out: &str| {
        let mut call = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        call.args(["export", "--full", "--model"]).arg(&shipped);
        call.arg("--words").arg(table);
        call.arg("--out").arg(folder.path().join(out));
        call.output().expect("cropvlm runs")
    };
    let read = |path: &Path| {
        tensors::read("model", &std::fs::read(path).expect("weights")).expect("weights")
    };
    let own = read(&shipped.join("model.safetensors"));
    let mut table = own.clone();
    table.retain(|name, _| name == "words.letters" || name == "words.vectors");
    let vectors = table.get_mut("words.vectors").expect("a table");
    vectors.1.iter_mut().for_each(|value| *value *= -2.0);
    let write = |name: &str, table: &std::collections::HashMap<String, tensors::Values>| {
        let bytes = tensors::write(name, table.clone(), tensors::Precision::F32).expect("bytes");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let done = export(&write("other.safetensors", &table), "done");
    assert!(done.status.success(), "{done:?}");
    let found = read(&folder.path().join("done/model.safetensors"));
    assert_eq!(found["words.vectors"], table["words.vectors"]);
    assert_eq!(found["stem.weight"], own["stem.weight"]);
    // A table of another length, whose words the network's layers do not fit.
    let vectors = table.get_mut("words.vectors").expect("a table");
    vectors.0[0] -= 1;
    vectors.1.truncate(vectors.0[0] * vectors.0[1]);
    let refused = export(&write("short.safetensors", &table), "wrong");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("as many words"),
        "{said}"
    );
    assert!(!folder.path().join("wrong").exists());
}
