//! Runs that go on: of the same configuration or of none, alone in their folder, from a checkpoint that is whole.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod run;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tensors::{Precision, Values};

use self::run::{TINY_MAP, finish, lines, metrics, place, sft, step, text_of, wait_for};

/// What a command that is to be refused says.
fn refused(command: &mut Command) -> String {
    let done = command.output().expect("it runs");
    let text = text_of(&done);
    assert_eq!(done.status.code(), Some(1), "{text}");
    text
}

#[test]
fn another_configuration_is_refused_by_its_differences_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let out = folder.path().join("run");
    finish(&config, &out);
    let text = || std::fs::read_to_string(out.join("config.toml")).unwrap();
    let before = text();
    let other = [
        "--set",
        "seed=5",
        "--set",
        "optimizer.lr=2e-3",
        "--steps",
        "3",
    ];
    let said = refused(sft(&config, &out).args(other));
    for part in [
        "seed: 4, now 5",
        "optimizer.lr: 0.001, now 0.002",
        "steps: 2, now 3",
        "--continue-with-changes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("pages"), "{said}");
    assert_eq!((text(), step(&out)), (before.clone(), Some(2)));
    let mut command = sft(&config, &out);
    let done = command.args(other).arg("--continue-with-changes").output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", text_of(&done));
    assert_eq!(step(&out), Some(3));
    assert!(text().contains("seed = 5"), "{}", text());
    let changes = lines(&out.join("changes.jsonl"));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["step"], 2);
    assert_eq!(
        changes[0]["changes"],
        json!({
            "optimizer.lr": {"before": "0.001", "now": "0.002"},
            "seed": {"before": "4", "now": "5"},
            "steps": {"before": "2", "now": "3"},
        })
    );
    // From here on this is its configuration.
    assert!(sft(&config, &out).args(other).status().unwrap().success());
    assert_eq!(lines(&out.join("changes.jsonl")).len(), 1);
}

#[test]
fn a_folder_in_use_is_locked_until_its_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 100_000_000, TINY_MAP);
    let out = folder.path().join("run");
    let mut child = sft(&config, &out).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&mut child, "checkpoint", || step(&out).is_some());
    let said = refused(&mut sft(&config, &out));
    assert!(
        said.contains("another run is writing into this folder"),
        "{said}"
    );
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = sft(&config, &out).stderr(Stdio::null()).spawn().unwrap();
    let at = step(&out);
    wait_for(&mut child, "step after the kill", || step(&out) > at);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A kill between checkpoint and evaluation leaves a run without that line.
#[test]
fn what_was_not_measured_is_measured_again() {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("pages/samples.jsonl");
    let eval = format!("{TINY_MAP}\n[eval]\ndata = {samples:?}\nlimit = 3");
    let config = place(folder.path(), 2, &eval);
    let out = folder.path().join("run");
    finish(&config, &out);
    let path = out.join("metrics.jsonl");
    let (text, whole) = (std::fs::read_to_string(&path).unwrap(), metrics(&out));
    let last = text.trim_end().rfind('\n').unwrap() + 1;
    assert!(text[last..].contains("eval/iou"), "{text}");
    std::fs::write(&path, &text[..last]).unwrap();
    // The kill came before the model's folder, even.
    std::fs::remove_dir_all(out.join("model")).unwrap();
    finish(&config, &out);
    let without_clock = |mut lines: Vec<serde_json::Value>| {
        for line in &mut lines {
            line.as_object_mut()
                .unwrap()
                .retain(|name, _| !name.contains("ms_per"));
        }
        lines
    };
    assert_eq!(without_clock(metrics(&out)), without_clock(whole.clone()));
    // And once only.
    finish(&config, &out);
    assert_eq!(metrics(&out).len(), whole.len());
}

#[test]
fn a_damaged_file_of_a_checkpoint_is_refused_by_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let out = folder.path().join("run");
    finish(&config, &out);
    let file = |name: &str| out.join("checkpoint").join(name);
    let kept = std::fs::read(file("optimizer.safetensors")).unwrap();
    let none: Vec<(String, Values)> = Vec::new();
    let read = tensors::read("optimizer", &kept).unwrap();
    let fewer: Vec<(String, Values)> = read.into_iter().skip(1).collect();
    let cases = [
        ("optimizer.safetensors", Vec::new()),
        ("optimizer.safetensors", kept[..kept.len() / 2].to_vec()),
        (
            "optimizer.safetensors",
            tensors::write("optimizer", none, Precision::F32).unwrap(),
        ),
        (
            "optimizer.safetensors",
            tensors::write("optimizer", fewer, Precision::F32).unwrap(),
        ),
        ("weights.safetensors", Vec::new()),
        ("state.json", b"{\"step\": ".to_vec()),
    ];
    for (name, damaged) in cases {
        let before = std::fs::read(file(name)).unwrap();
        std::fs::write(file(name), &damaged).unwrap();
        let said = refused(&mut sft(&config, &out));
        assert!(
            said.contains(&format!("checkpoint/{name}: this file")),
            "{said}"
        );
        assert!(!said.contains("model.safetensors"), "{said}");
        assert_eq!(std::fs::read(file(name)).unwrap(), damaged);
        std::fs::write(file(name), before).unwrap();
    }
    finish(&config, &out);
}

/// A moment that is huge makes the next update infinite, with a loss and a gradient that are fine.
#[test]
fn a_step_that_diverges_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let out = folder.path().join("run");
    finish(&config, &out);
    let path = out.join("checkpoint/optimizer.safetensors");
    let mut moments: HashMap<String, Values> =
        tensors::read("optimizer", &std::fs::read(&path).unwrap()).unwrap();
    for (name, (_, values)) in &mut moments {
        if name.ends_with(".first") {
            values.fill(3e38);
        }
    }
    let count = moments.len();
    std::fs::write(
        &path,
        tensors::write("optimizer", moments, Precision::F32).unwrap(),
    )
    .unwrap();
    assert!(count > 10);
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    let names = [
        "checkpoint/weights.safetensors",
        "checkpoint/optimizer.safetensors",
        "checkpoint/state.json",
        "model/model.safetensors",
    ];
    let before = names.map(read);
    let said = refused(sft(&config, &out).args(["--steps", "9", "--continue-with-changes"]));
    assert!(
        said.contains("diverged") && said.contains("is kept"),
        "{said}"
    );
    for (name, before) in names.iter().zip(before) {
        assert!(read(name) == before, "{name} was replaced");
    }
}

#[test]
fn rates_and_betas_outside_their_range_are_refused_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let out = folder.path().join("run");
    for (set, key) in [
        ("optimizer.lr=-1e-3", "optimizer.lr"),
        ("optimizer.lr=nan", "optimizer.lr"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas"),
        ("optimizer.average=1.5", "optimizer.average"),
    ] {
        let said = refused(sft(&config, &out).args(["--set", set]));
        assert!(said.contains(key) && said.contains("config.toml"), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_run_takes_no_strangers_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = place(folder.path(), 2, TINY_MAP);
    let said = refused(&mut sft(&config, &folder.path().join("pages")));
    assert!(said.contains("no run"), "{said}");
    let names = |path: &Path| std::fs::read_dir(path).unwrap().count();
    let before = names(&folder.path().join("pages"));
    refused(&mut sft(
        &config,
        &folder.path().join("pages/samples.jsonl"),
    ));
    assert_eq!(names(&folder.path().join("pages")), before);
}
