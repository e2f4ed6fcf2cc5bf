//! `export --quant q8|q4` as a person uses it: the folder is complete and every command takes it; what cannot be is refused.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use smolvlm::tiny;

const SHARD: &str = "model-00001-of-00001.safetensors";

fn goldens(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/policy/goldens");
    folder.join(name).display().to_string()
}

fn cropvlm(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cropvlm"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("cropvlm runs")
}

fn done(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = cropvlm(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output.stdout
}

fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = cropvlm(folder, arguments);
    assert!(!output.status.success(), "{arguments:?} worked");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn smoke(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("smoke");
    folder.join(name).display().to_string()
}

/// A folder with a small trained reader, packed as `q8` and `q4`.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("folder");
    for quant in ["q8", "q4"] {
        let reader = smoke("reader");
        let arguments = [
            "export", "--quant", quant, "--model", &reader, "--out", quant,
        ];
        done(place.path(), &arguments);
    }
    place
}

#[test]
fn every_command_takes_a_packed_folder() {
    let place = place();
    let folder = place.path();
    let picture = smoke("held/images/page_000002.jpg");
    let ask = [
        "--image",
        &picture,
        "--question",
        "What number is it?",
        "--json",
    ];
    let line = |command: &str, model: &str, more: &[&str]| -> Value {
        let printed = done(
            folder,
            &[&[command, "--model", model], &ask[..], more].concat(),
        );
        serde_json::from_slice(&printed).expect("one JSON line")
    };
    let score = |model: &str| {
        let line = line("score", model, &["--box", "15,0,30,16", "--answer", "0"]);
        line["logprob"].as_f64().expect("number")
    };
    let plain = score(&smoke("reader"));
    for (quant, most) in [("q8", 0.02), ("q4", 0.1)] {
        let found = score(quant);
        assert!((found - plain).abs() < most, "{quant}: {found} and {plain}");
        assert_ne!(found, plain, "{quant} is not the plain folder");
        assert_eq!(line("propose", quant, &[])["valid"], true);
        assert!(line("answer", quant, &[])["answer"].is_string());
        // The target of an evaluation.
        let sample = json!({"id": "a", "image": picture, "question": "What is it?", "answers": ["9"],
            "boxes": [], "width": 256, "height": 256});
        std::fs::write(folder.join("data.jsonl"), format!("{sample}\n")).expect("data");
        let items = format!("{quant}.jsonl");
        let eval = [
            "eval",
            "--model",
            quant,
            "--target",
            quant,
            "--data",
            "data.jsonl",
            "--items",
            &items,
        ];
        done(
            folder,
            &[&eval[..], &["--conditions", "full,crop", "--json"]].concat(),
        );
        let lines = std::fs::read_to_string(folder.join(&items)).expect("items");
        assert_eq!(lines.lines().count(), 2, "{lines}");
    }
}

#[test]
fn an_adapter_is_in_what_is_packed() {
    let place = tempfile::tempdir().expect("folder");
    let folder = place.path();
    let mut files = tiny::files();
    let weights = include_bytes!("../../crates/smolvlm/goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files.save(&folder.join("text")).expect("model");
    let adapter = goldens("adapter");
    let pack = |out: &str, more: &[&str]| {
        let arguments = ["export", "--quant", "q8", "--model", "text", "--out", out];
        done(folder, &[&arguments[..], more].concat());
        std::fs::read(folder.join(out).join(SHARD)).expect("shard")
    };
    let (with, without) = (pack("with", &["--adapter", &adapter]), pack("without", &[]));
    assert_eq!(with.len(), without.len());
    assert!(with != without);
    let said = refusal(
        folder,
        &[
            "export",
            "--quant",
            "q8",
            "--model",
            "text",
            "--out",
            "x",
            "--adapter",
            "text",
        ],
    );
    assert!(said.contains("adapter_config.json"), "{said}");
}

#[test]
fn a_packed_folder_is_complete_and_small_and_goes_back_to_plain_numbers() {
    let place = place();
    let folder = place.path();
    for quant in ["q8", "q4"] {
        for name in tiny::files()
            .names()
            .chain([SHARD, "model.safetensors.index.json"])
        {
            assert!(
                folder.join(quant).join(name).is_file(),
                "{quant}: no {name}"
            );
        }
        assert!(!folder.join(quant).join("model.safetensors").exists());
    }
    let size = |path: &str| std::fs::metadata(folder.join(path)).expect("file").len();
    let (q8, q4) = (size(&format!("q8/{SHARD}")), size(&format!("q4/{SHARD}")));
    done(
        folder,
        &[
            "export",
            "--model",
            "q4",
            "--precision",
            "f32",
            "--out",
            "plain",
        ],
    );
    let plain = size("plain/model.safetensors");
    assert!(q4 < q8 && q8 < plain / 2, "{q4}, {q8}, {plain}");
    let config = std::fs::read_to_string(folder.join("plain/config.json")).expect("config");
    assert!(!config.contains("quantization_config"));
}

#[test]
fn what_is_wrong_with_a_packed_folder_is_said_in_a_sentence() {
    let place = place();
    let folder = place.path();
    let picture = goldens("one.png");
    let propose = [
        "propose",
        "--model",
        "q8",
        "--image",
        &picture,
        "--question",
        "a",
    ];
    let shard = folder.join("q8").join(SHARD);
    let whole = std::fs::read(&shard).expect("shard");
    let mut changed = whole.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    for (bytes, expected) in [
        (&changed[..], "its SHA-256 is"),
        (
            &whole[..whole.len() / 2],
            "not a readable safetensors file: it has",
        ),
        (
            b"<!doctype html>",
            "it is a web page, where weights are meant",
        ),
    ] {
        std::fs::write(&shard, bytes).expect("written");
        let said = refusal(folder, &propose);
        assert!(
            said.contains(&format!("{SHARD}: ")) && said.contains(expected),
            "{said}"
        );
    }
    std::fs::remove_file(&shard).expect("removed");
    let said = refusal(folder, &propose);
    assert!(
        said.contains(&format!("the model folder has no {SHARD}")),
        "{said}"
    );
    // What cannot be packed leaves the folder that is there.
    let before = std::fs::read(folder.join("q4").join(SHARD)).expect("shard");
    let said = refusal(
        folder,
        &["export", "--quant", "q4", "--model", "q8", "--out", "q4"],
    );
    assert!(said.contains(SHARD), "{said}");
    assert_eq!(
        std::fs::read(folder.join("q4").join(SHARD)).expect("shard"),
        before
    );
}

/// The folder was written on another day: what is written once stays readable, and means the same.
#[test]
fn the_browsers_packed_folder_proposes_the_box_that_is_written_beside_it() {
    let browser = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/browser");
    let place = tempfile::tempdir().expect("folder");
    let mut files = tiny::files();
    for name in ["config.json", SHARD, "model.safetensors.index.json"] {
        let bytes = std::fs::read(browser.join("models/text-q4").join(name)).expect("file");
        files.insert(name, bytes);
    }
    files.save(&place.path().join("packed")).expect("saved");
    let expected = std::fs::read(browser.join("models/text-q4.json")).expect("expected");
    let expected: Value = serde_json::from_slice(&expected).expect("json");
    let question = expected["question"].as_str().expect("question");
    let picture = browser.join("pictures/receipt.png").display().to_string();
    let arguments = [
        "propose",
        "--model",
        "packed",
        "--image",
        &picture,
        "--question",
        question,
        "--json",
    ];
    let found: Value = serde_json::from_slice(&done(place.path(), &arguments)).expect("json");
    assert_eq!(found["box"], expected["box"]);
}

#[test]
fn packing_what_cannot_be_packed_is_refused() {
    let place = tempfile::tempdir().expect("folder");
    let folder = place.path();
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
    let map = map.display().to_string();
    let said = refusal(
        folder,
        &["export", "--quant", "q8", "--model", &map, "--out", "out"],
    );
    assert!(
        said.contains("map policy") && said.contains("export --quant"),
        "{said}"
    );
    let both = [
        "export",
        "--quant",
        "q8",
        "--precision",
        "f16",
        "--model",
        "x",
        "--out",
        "out",
    ];
    assert!(refusal(folder, &both).contains("cannot be used with"));
    let none = ["export", "--quant", "q2", "--model", "x", "--out", "out"];
    let said = refusal(folder, &none);
    assert!(said.contains("q8") && said.contains("q4"), "{said}");
    assert!(!folder.join("out").exists());
}
