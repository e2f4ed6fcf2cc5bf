//! README's commands as they stand there: those of a block that is marked `<!-- runs offline -->` are run, in order, in a
//! copy of the files that they name; of the others every option has to exist. And names agree everywhere.

#![cfg(unix)] // a shell runs them

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("README.md")
}

/// The lines of README's blocks of commands that call `cropvlm`, and whether their block is marked.
fn commands(readme: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let (mut inside, mut before) = (None, "");
    for line in readme.lines() {
        match (line.starts_with("```"), inside) {
            (true, Some(_)) => inside = None,
            (true, None) => inside = Some((line == "```sh", before == "<!-- runs offline -->")),
            (false, Some((true, marked))) if line.starts_with("cropvlm ") => {
                found.push((line.to_owned(), marked));
            }
            _ => {}
        }
        before = line;
    }
    found
}

/// A folder with what a clone holds of the files that commands name, and a shell in it that finds `cropvlm`.
struct Clone(tempfile::TempDir);

impl Clone {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        for part in [
            "models/default",
            "web/samples",
            "trainer/smoke",
            "trainer/configs",
        ] {
            copy(&root().join(part), &place.path(part));
        }
        std::fs::create_dir(place.path("bin")).expect("folder");
        let program = place.path("bin/cropvlm");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cropvlm"), program).expect("link");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn shell(&self, line: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new("bash")
            .args(["-c", line])
            .current_dir(self.0.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            // Nothing may be fetched: an attempt fails at once.
            .env("https_proxy", "http://127.0.0.1:9")
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .output()
            .expect("bash")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn what_runs_offline_runs_as_it_stands() {
    let place = Clone::new();
    let lines: Vec<String> = commands(&readme())
        .into_iter()
        .filter_map(|(line, marked)| marked.then_some(line))
        .collect();
    assert!(lines.len() > 8, "{lines:?}");
    let mut last = String::new();
    for line in &lines {
        let output = place.shell(line);
        last = said(&output);
        assert!(output.status.success(), "{line}\n{last}");
        let words = |wanted: &str| assert!(last.contains(wanted), "{line}\n{last}");
        match line.split_whitespace().nth(1) {
            // A run ends by saying where the model lies and what comes next.
            Some("sft") => words(
                "The model lies in runs/sft/model. What comes next:\n  cropvlm eval --model runs/sft/model",
            ),
            Some("grpo") => words(
                "The model lies in runs/grpo/model. What comes next:\n  cropvlm eval --model runs/grpo/model",
            ),
            Some("propose") => words("crop.png"),
            _ => {}
        }
    }
    // What is said to come next works as well, and the crop is one.
    let eval =
        "cropvlm eval --model runs/sft/model --data trainer/smoke/held/samples.jsonl --limit 3";
    let output = place.shell(eval);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).starts_with("Of 3 questions, "),
        "{}",
        said(&output)
    );
    // Evaluations are sentences, and lines of JSON where that is asked for.
    let sft = "cropvlm sft --config trainer/configs/smoke-policy.toml --steps 1 --set eval.limit=4";
    let output = place.shell(&format!("{sft} --out runs/words"));
    assert!(
        said(&output).contains("Step 1. Of 4 questions, "),
        "{}",
        said(&output)
    );
    assert!(!said(&output).contains('{'), "{}", said(&output));
    let output = place.shell(&format!("{sft} --out runs/json --json"));
    let line: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(
        (&line["step"], &line["eval/n"]),
        (&json!(1), &json!(4.0)),
        "{line}"
    );
    let crop = std::fs::read(place.path("crop.png")).expect("crop");
    assert!(crop.starts_with(b"\x89PNG"), "no PNG after {last}");
}

#[test]
fn what_needs_a_network_has_options_that_exist() {
    let place = Clone::new();
    let mut seen = 0;
    for (line, _) in commands(&readme()).iter().filter(|(_, marked)| !marked) {
        let call = line.split("  #").next().unwrap_or(line);
        let output = place.shell(&format!("{call} --help"));
        assert!(output.status.success(), "{line}\n{}", said(&output));
        seen += 1;
    }
    assert!(seen > 3, "{seen} commands");
    // The check can fail.
    let output = place.shell("cropvlm eval --no-such-option --help");
    assert!(!output.status.success());
}

#[test]
fn the_published_model_has_one_name() {
    let mut wrong = Vec::new();
    let mut folders = vec![root().join("trainer/src"), root().join("trainer/configs")];
    let mut files = vec![root().join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        for (number, line) in text.lines().enumerate() {
            let mut rest = line;
            while let Some(at) = rest.find("SmolVLM-256M") {
                rest = &rest[at + "SmolVLM-256M".len()..];
                // "SmolVLM-256M's shape" is prose about all of that size.
                if !rest.starts_with("-Instruct") && !rest.starts_with("'s") {
                    wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the folder is called SmolVLM-256M-Instruct:\n{}",
        wrong.join("\n")
    );
}
