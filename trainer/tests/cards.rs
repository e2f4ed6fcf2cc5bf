//! `propose`, `eval` and `answer` with `--device wgpu`: policies on a graphics card, and what is said where there is none.
//!
//! Where no adapter is (a machine without a Vulkan driver), tests that need one say so and pass.

#![cfg(feature = "wgpu")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `cropvlm propose` with the model that ships, about the receipt that the page opens with.
fn propose(device: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    // Small, because a software adapter takes half a minute for a whole page.
    let line = "propose --model models/default --image web/samples/receipt.jpg --longest-edge 256 --json --device";
    command.current_dir(root()).args(line.split(' ')).args([
        device,
        "--question",
        "What is the total?",
    ]);
    command
}

fn ran(command: &mut Command) -> Output {
    command.output().expect("cropvlm runs")
}

/// What a command prints that works; `None`, said aloud, where there is no adapter.
fn printed(command: &mut Command) -> Option<String> {
    let output = ran(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("no graphics adapter was found") {
        // Not by a macro, whose output is kept from whoever runs the tests.
        writeln!(std::io::stderr(), "no adapter: skipped").ok();
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).expect("utf-8"))
}

fn line(text: &str) -> Value {
    serde_json::from_str(text).expect("a line of JSON")
}

#[test]
fn a_card_proposes_what_the_processor_proposes_and_is_named() {
    let Some(found) = printed(&mut propose("wgpu")) else {
        return;
    };
    let found = line(&found);
    let wanted = line(&printed(&mut propose("cpu")).expect("the processor is always there"));
    for key in ["box", "pixels", "completion", "valid", "rotation"] {
        assert_eq!(found[key], wanted[key], "{key}: {found}");
    }
    let logprob = |line: &Value| line["logprob"].as_f64().expect("a number");
    // A real card may multiply in f16.
    let close = if found["is_fallback"] == true {
        1e-3
    } else {
        0.5
    };
    assert!(
        (logprob(&found) - logprob(&wanted)).abs() < close,
        "{found}"
    );
    assert_eq!(
        (&found["backend"], &wanted["backend"]),
        (&json!("wgpu"), &json!("cpu"))
    );
    let adapter = found["adapter"].as_str().expect("a name");
    assert!(!adapter.is_empty());
    assert_eq!(wanted["adapter"], Value::Null);
    assert!(found["is_fallback"].is_boolean(), "{found}");
    assert_eq!(wanted["is_fallback"], false);
    // For a person, too.
    let mut plain = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    let call = propose("wgpu");
    plain
        .current_dir(root())
        .args(call.get_args().filter(|argument| *argument != "--json"));
    let text = printed(&mut plain).expect("the card is still there");
    assert!(text.contains(adapter), "{text}");
}

#[test]
fn eval_on_a_card_has_the_boxes_of_the_processor() {
    let folder = tempfile::tempdir().expect("folder");
    let receipt = root().join("web/samples/receipt.jpg");
    std::fs::copy(receipt, folder.path().join("receipt.jpg")).expect("copied");
    let question = |id: &str, question: &str| {
        json!({"id": id, "image": "receipt.jpg", "question": question, "answers": ["1"],
            "boxes": [[1.0, 2.0, 50.0, 60.0]], "width": 1197, "height": 1767})
    };
    let data = [
        question("a", "What is the total?"),
        question("b", "What is the date?"),
    ];
    let data: String = data.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.path().join("data.jsonl"), data).expect("written");
    let boxes = |device: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        let call = "eval --data data.jsonl --out boxes.jsonl --longest-edge 256 --json --device";
        command
            .current_dir(folder.path())
            .args(call.split(' '))
            .arg(device);
        command
            .arg("--model")
            .arg(root().join("models/default").canonicalize().expect("there"));
        printed(&mut command)?;
        let text = std::fs::read_to_string(folder.path().join("boxes.jsonl")).expect("boxes");
        Some(
            text.lines()
                .map(|text| line(text)["box"].clone())
                .collect::<Vec<_>>(),
        )
    };
    let Some(found) = boxes("wgpu") else { return };
    assert_eq!(found.len(), 2);
    assert_eq!(Some(found), boxes("cpu"));
}

/// A tiny text policy in q4, as `export --quant q4` wrote it.
fn text_policy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for dir in ["crates/smolvlm/tiny", "tests/browser/models/text-q4"] {
        for file in std::fs::read_dir(root().join(dir)).expect("dir") {
            let path = file.expect("file").path();
            let name = path.file_name().expect("name");
            std::fs::copy(&path, folder.path().join(name)).expect("copied");
        }
    }
    folder
}

#[test]
fn a_text_policy_on_a_card_writes_what_it_writes_on_the_processor() {
    let folder = text_policy();
    let call = |command: &str, device: &str| {
        let mut call = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
        let line = "--image web/samples/receipt.jpg --json --device";
        call.current_dir(root())
            .arg(command)
            .args(line.split(' '))
            .args([device, "--question", "What is the total?", "--model"])
            .arg(folder.path());
        printed(&mut call)
    };
    for (command, keys) in [
        ("propose", &["box", "completion", "valid"][..]),
        ("answer", &["answer"]),
    ] {
        let Some(found) = call(command, "wgpu") else {
            return;
        };
        let found = line(&found);
        let wanted = line(&call(command, "cpu").expect("the processor is always there"));
        for key in keys {
            assert!(!wanted[key].is_null(), "{wanted}");
            assert_eq!(found[key], wanted[key], "{command} {key}: {found}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_a_sentence_says_what_to_install_and_which_flag_helps() {
    let folder = text_policy();
    let map = propose("wgpu");
    let mut of_text = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    of_text
        .current_dir(root())
        .args(map.get_args().map(|part| match part.to_str() {
            Some("models/default") => folder.path().as_os_str(),
            _ => part,
        }));
    for mut command in [map, of_text] {
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            // Vulkan's loader is told of a driver that is not there.
            command.env(variable, "/nowhere/icd.json");
        }
        let output = ran(&mut command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "it worked");
        assert!(!errors.contains("panicked"), "{errors}");
        for part in [
            "no graphics adapter was found",
            "mesa-vulkan-drivers",
            "--device cpu",
        ] {
            assert!(errors.contains(part), "{errors}");
        }
    }
}
