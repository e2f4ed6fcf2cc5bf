//! `data gap` with the committed little reader: what it finds is what `answer` says of the shrunk pictures; it goes on
//! after a stop and loses nothing; `grpo` trains on what it wrote; and what cannot work.

mod run;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use burn::tensor::Device;
use picture::Filter;
use policy::{MapConfig, Policy};
use serde_json::{Value, json};

use self::run::{cropvlm, lines, signal, text_of, wait_for};

fn smoke(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("smoke")
        .join(name)
}

fn gap(out: &Path, more: &[&str]) -> Command {
    let mut command = cropvlm();
    command.args(["data", "gap", "--max-tokens", "3", "--model"]);
    command
        .arg(smoke("reader"))
        .arg("--data")
        .arg(smoke("held"));
    command.arg("--out").arg(out).args(more);
    command.stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("cropvlm runs")
}

fn finish(out: &Path, more: &[&str]) -> Output {
    let done = output(gap(out, more));
    assert!(done.status.success(), "{}", text_of(&done));
    done
}

fn refusal(command: Command) -> String {
    let done = output(command);
    let said = text_of(&done);
    assert!(
        !done.status.success() && !said.contains("panicked"),
        "{said}"
    );
    said
}

/// What `answer` says of a picture made so small, as `data gap` compares it.
fn answer(folder: &Path, line: &Value, edge: u32) -> String {
    let bytes = std::fs::read(line["image"].as_str().expect("a path")).expect("a picture");
    let original = picture::decode(&bytes).expect("a picture");
    let small = picture::resize(&original, edge, edge, Filter::Lanczos);
    let file = folder.join(format!("{edge}.png"));
    std::fs::write(&file, picture::encode_png(&small).expect("png")).expect("written");
    let mut command = cropvlm();
    command.args(["answer", "--json", "--max-tokens", "3", "--model"]);
    command.arg(smoke("reader")).arg("--image").arg(file);
    command
        .arg("--question")
        .arg(line["question"].as_str().expect("text"));
    let done = output(command);
    assert!(done.status.success(), "{}", text_of(&done));
    let found: Value = serde_json::from_slice(&done.stdout).expect("json");
    let text = found["answer"].as_str().expect("an answer").to_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

#[test]
fn full_edge_is_the_last_edge_before_another_answer() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("gap.jsonl");
    let said = finish(&out, &["--limit", "12", "--shrink", "0.5", "--json"]);
    let summary: Value = serde_json::from_slice(&said.stdout).expect("json");
    let found = lines(&out);
    assert_eq!((&summary["questions"], found.len()), (&json!(12), 12));
    let (tried, mut departed) = ([256, 128, 64, 32, 16], 0);
    // The eighth of them departs; each line takes six answers.
    for line in &found[5..10] {
        let edge = line["full_edge"].as_u64().expect("an edge");
        let at = tried.iter().position(|e| u64::from(*e) == edge);
        let at = at.expect("an edge that was tried");
        let original = answer(folder.path(), line, 256);
        for edge in &tried[..=at] {
            assert_eq!(
                answer(folder.path(), line, *edge),
                original,
                "{line} {edge}"
            );
        }
        if let Some(next) = tried.get(at + 1) {
            assert_ne!(
                answer(folder.path(), line, *next),
                original,
                "{line} {next}"
            );
            departed += 1;
        }
    }
    assert!(
        departed > 0,
        "the reader's answers never depend on the size"
    );
    // The batch changes nothing.
    let single = folder.path().join("single.jsonl");
    let more = ["--limit", "12", "--shrink", "0.5", "--batch", "1"];
    finish(&single, &more);
    assert_eq!(lines(&single), found);
    // Every command reads the questions as before.
    let mut command = cropvlm();
    command.args(["data", "--json", "--data"]).arg(&out);
    let read: Value = serde_json::from_slice(&output(command).stdout).expect("json");
    assert_eq!(
        (&read["questions"], &read["with_full_edge"]),
        (&json!(12), &json!(12))
    );
}

#[test]
fn a_stopped_search_goes_on_behind_its_last_line() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("gap.jsonl");
    let fine = ["--shrink", "0.97"];
    let written = || std::fs::read_to_string(&out).unwrap_or_default();
    let mut child = gap(&out, &fine).spawn().expect("it runs");
    wait_for(&mut child, "lines", || written().lines().count() > 1);
    signal(&child, "INT");
    let stopped = child.wait_with_output().expect("it ends");
    assert_eq!(stopped.status.code(), Some(130), "{}", text_of(&stopped));
    let said = text_of(&stopped);
    assert!(
        said.contains("the same command goes on from here"),
        "{said}"
    );
    let kept = written();
    let count = kept.lines().count();
    assert!(kept.ends_with('\n') && count < 80, "{count}");
    // A kill in the middle of a line.
    std::fs::write(&out, format!("{kept}{{\"id\": \"card_0000")).expect("written");
    let limit = (count + 3).to_string();
    let more = [fine[0], fine[1], "--limit", &limit];
    let done = finish(&out, &more);
    assert!(
        text_of(&done).contains("are done already"),
        "{}",
        text_of(&done)
    );
    assert!(written().starts_with(&kept), "what was there is kept");
    let whole = folder.path().join("whole.jsonl");
    finish(&whole, &more);
    assert_eq!(written(), std::fs::read_to_string(&whole).expect("lines"));
    // Another factor would mix two searches.
    let said = refusal(gap(&out, &["--shrink", "0.5"]));
    assert!(
        said.contains("other settings") && said.contains("shrink"),
        "{said}"
    );
}

#[test]
fn fields_of_a_line_stay_and_letters_keep_what_they_cannot_read() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data.jsonl");
    let image = smoke("held/images/page_000000.jpg");
    let line = json!({"id": 7, "image": image, "question": "Which?", "answer": "0", "score": -1.5,
        "boxes": [[51, 11, 66, 32]], "width": 256, "height": 256});
    std::fs::write(&data, format!("{line}\n")).expect("written");
    let map = folder.path().join("map");
    let policy = Policy::random_map(&MapConfig::tiny(), 6, &Device::flex()).expect("policy");
    let files = pollster::block_on(policy.files()).expect("files");
    files.save(&map).expect("saved");
    let out = folder.path().join("gap.jsonl");
    let mut command = cropvlm();
    command.args(["data", "gap", "--model"]).arg(map);
    command.arg("--data").arg(&data).arg("--out").arg(&out);
    let done = output(command);
    assert!(done.status.success(), "{}", text_of(&done));
    let found = &lines(&out)[0];
    assert_eq!((&found["score"], &found["id"]), (&json!(-1.5), &json!("7")));
    assert_eq!(found["full_edge"], 256, "{found}");
    assert_eq!(found["answers"], json!(["0"]));
    assert!(
        text_of(&done).contains("1 stay as they are"),
        "{}",
        text_of(&done)
    );
}

#[test]
fn what_cannot_work_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("gap.jsonl");
    let said = refusal(gap(&out, &["--shrink", "1.5"]));
    assert!(said.contains("a factor between 0 and 1"), "{said}");
    let mut command = cropvlm();
    command
        .args(["data", "gap", "--model"])
        .arg(smoke("reader"));
    let data = smoke("held/samples.jsonl");
    command.arg("--data").arg(&data).arg("--out").arg(&data);
    assert!(refusal(command).contains("is the input"));
    let mut command = cropvlm();
    command
        .args(["data", "gap", "--model"])
        .arg(folder.path().join("none"));
    command.arg("--data").arg(&data).arg("--out").arg(&out);
    assert!(refusal(command).contains("there is no such folder"));
    // The command without a step still wants its data.
    let mut command = cropvlm();
    command.arg("data");
    assert!(refusal(command).contains("--data"));
}

/// Training with the gap: the full image of every prompt at its edge; a prompt without one is named.
#[test]
fn grpo_trains_on_what_was_found_and_names_what_lacks_it() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("gap.jsonl");
    finish(&out, &["--limit", "6", "--shrink", "0.5"]);
    let train = |data: &Path, name: &str, more: &[&str]| {
        let mut command = cropvlm();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        command.current_dir(root).args(["grpo", "--steps", "2"]);
        command.args(["--config", "trainer/configs/smoke.toml"]);
        for set in ["accumulation=2", "eval.limit=2", "log_rollouts_every=1"] {
            command.args(["--set", set]);
        }
        command
            .arg("--set")
            .arg(format!("data=[{{samples={data:?}}}]"));
        command
            .arg("--out")
            .arg(folder.path().join(name))
            .args(more);
        command
    };
    let gap = ["--set", "information_gap=true"];
    let rewards =
        "rewards={accuracy=0.8, format=0.2, tool_bonus=1.2, likelihood=0.0, validity=0.0}";
    let with = [gap[0], gap[1], "--set", rewards];
    let done = output(train(&out, "with", &with));
    assert!(done.status.success(), "{}", text_of(&done));
    let metrics = lines(&folder.path().join("with/metrics.jsonl"));
    let of = |name: &str| {
        metrics[1][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}"))
    };
    // Every box of a map policy is one: what is right has the bonus.
    assert_eq!(of("rewards/format/mean"), 1.0);
    assert_eq!(of("rewards/tool_bonus/mean"), of("rewards/accuracy/mean"));
    let total = 0.8 * of("rewards/accuracy/mean") + 0.2 + 1.2 * of("rewards/tool_bonus/mean");
    assert!((of("reward") - total).abs() < 1e-9, "{}", metrics[1]);
    // The same boxes are worth something else beside a larger full image.
    for (name, more) in [("likely", &gap[..]), ("plain", &[])] {
        let done = output(train(&out, name, more));
        assert!(done.status.success(), "{}", text_of(&done));
    }
    let rollouts = |name: &str| lines(&folder.path().join(name).join("rollouts.jsonl"));
    assert_ne!(rollouts("likely"), rollouts("plain"));
    let said = refusal(train(&smoke("held/samples.jsonl"), "lacks", &gap));
    assert!(
        said.contains("has no full_edge") && said.contains("cropvlm data gap"),
        "{said}"
    );
}
