//! The shipped model reads: it finds printed lines by their text, and rewards crops that can be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default")
}

/// Pages that nobody trained on, with their questions.
fn pages(folder: &Path) -> PathBuf {
    let out = folder.join("pages");
    let render = Command::new(env!("CARGO_BIN_EXE_cropvlm"))
        .args(["render", "--count", "12", "--seed", "9071"])
        .args(["--kinds", "receipt", "--no-system-fonts", "--out"])
        .arg(&out)
        .output()
        .expect("render runs");
    assert!(render.status.success(), "{render:?}");
    out.join("samples.jsonl")
}

/// `grpo` measures proposals by a map policy's letters: answers of ten characters and more are read.
#[test]
fn letters_reward_crops_that_can_be_read() {
    let folder = tempfile::tempdir().expect("folder");
    let samples = pages(folder.path());
    let model = default_model();
    let config = folder.path().join("letters.toml");
    let text = format!(
        "policy = {model:?}\nsteps = 1\naccumulation = 1\nbeta = 0.0\n[rewards]\nlikelihood = 1.0\n\
         validity = 0.0\n[reward_model]\npath = {model:?}\nlongest_edge = 512\n[eval]\nsamples = {samples:?}\n\
         limit = 24\n[[data]]\nsamples = {samples:?}\n"
    );
    std::fs::write(&config, text).expect("config");
    let out = folder.path().join("run");
    let run = Command::new(env!("CARGO_BIN_EXE_cropvlm"))
        .arg("grpo")
        .arg("--config")
        .arg(&config)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("grpo runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let first: Value = serde_json::from_str(metrics.lines().next().expect("a line")).expect("json");
    let value = |name: &str| first[name].as_f64().expect(name);
    // A reader that reads nothing would find no answer, at 5 nats a character.
    let nats = value("eval/rewards/likelihood");
    assert!(nats <= 0.0 && nats > -15.0, "{first}");
    assert!(value("eval/rewards/accuracy") > 0.15, "{first}");
}
