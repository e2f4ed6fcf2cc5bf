//! What commands write: whole or not at all, never over their own input or a stranger's folder, and refused before the
//! work where it cannot be written.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod run;

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use policy::{MapConfig, Policy};

use self::run::{cropvlm, text_of};

/// A map policy with random weights.
fn model(folder: &Path) -> PathBuf {
    let policy = Policy::random_map(&MapConfig::tiny(), 6, &Device::flex()).unwrap();
    let files = pollster::block_on(policy.files()).unwrap();
    let model = folder.join("model");
    files.save(&model).unwrap();
    model
}

fn export(model: &Path, out: &Path) -> Command {
    let mut command = cropvlm();
    command
        .arg("export")
        .arg("--model")
        .arg(model)
        .arg("--out")
        .arg(out);
    command
}

fn refused(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let text = text_of(&done);
    assert_eq!(done.status.code(), Some(1), "{text}");
    text
}

/// A limit on the size of files stands for a disk that is full.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_exported_model_whole() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let out = folder.path().join("shipped");
    assert!(export(&model, &out).status().unwrap().success());
    std::fs::write(out.join("README.md"), "my card").unwrap();
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    let before = read("model.safetensors");
    let mut shell = Command::new("bash");
    // Blocks of 1,024 bytes; without the trap the system would kill instead of refusing.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "bash"]);
    shell.arg(env!("CARGO_BIN_EXE_cropvlm"));
    shell.args(export(&model, &out).arg("--full").get_args());
    let said = refused(&mut shell);
    assert!(said.contains("model.safetensors"), "{said}");
    assert!(read("model.safetensors") == before);
    // With room it is replaced, and what is no part of the model stays.
    assert!(
        export(&model, &out)
            .arg("--full")
            .status()
            .unwrap()
            .success()
    );
    assert!(read("model.safetensors") != before);
    assert_eq!(read("README.md"), b"my card");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn an_export_over_its_input_or_a_strangers_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let before = std::fs::read(model.join("model.safetensors")).unwrap();
    for (out, part) in [
        (model.clone(), "is the input"),
        (model.join("../model"), "is the input"),
        (folder.path().to_path_buf(), "lies in it"),
    ] {
        let said = refused(&mut export(&model, &out));
        assert!(said.contains(part), "{said}");
    }
    let letters = folder.path().join("letters");
    std::fs::create_dir(&letters).unwrap();
    std::fs::write(letters.join("letter.odt"), "Dear").unwrap();
    let said = refused(&mut export(&model, &letters));
    assert!(said.contains("letter.odt"), "{said}");
    assert!(letters.join("letter.odt").exists());
    assert!(std::fs::read(model.join("model.safetensors")).unwrap() == before);
}

/// The input is not even there: what is wrong with the output is known first.
#[test]
fn an_output_that_cannot_be_written_is_known_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "text").unwrap();
    let samples = folder.path().join("samples.jsonl");
    std::fs::write(&samples, "").unwrap();
    let nowhere = folder.path().join("nowhere");
    let said = refused(&mut export(&nowhere, &plain.join("model")));
    assert!(said.contains("plain/model: cannot be written"), "{said}");
    let mut report = cropvlm();
    report
        .arg("report")
        .arg("--boxes")
        .arg(&nowhere)
        .arg("--data")
        .arg(&nowhere);
    let said = refused(report.arg("--out").arg(folder.path()));
    assert!(said.contains("is a folder"), "{said}");
    let mut data = cropvlm();
    data.arg("data").arg("--data").arg(&nowhere);
    let said = refused(data.arg("--out").arg(&plain));
    assert!(said.contains("plain: is a file"), "{said}");
    assert_eq!(std::fs::read_to_string(&plain).unwrap(), "text");
}

#[test]
fn an_evaluation_does_not_overwrite_what_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let made = cropvlm()
        .args([
            "render",
            "--count",
            "1",
            "--seed",
            "3",
            "--no-system-fonts",
            "--kinds",
            "card",
        ])
        .arg("--out")
        .arg(folder.path().join("pages"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text_of(&made));
    let samples = folder.path().join("pages/samples.jsonl");
    let before = std::fs::read(&samples).unwrap();
    let mut eval = cropvlm();
    eval.arg("eval").arg("--model").arg(model(folder.path()));
    eval.arg("--data").arg(&samples);
    let said = refused(eval.arg("--out").arg(&samples));
    assert!(said.contains("is the input"), "{said}");
    let mut boxes = cropvlm();
    boxes.args(["boxes", "--given", "--data"]).arg(&samples);
    let said = refused(boxes.arg("--out").arg(&samples));
    assert!(said.contains("is the input"), "{said}");
    assert!(std::fs::read(&samples).unwrap() == before);
}
