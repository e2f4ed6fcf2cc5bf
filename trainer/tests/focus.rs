//! `eval` on whether the crop matters (true box, noise and grey in its place, with intervals) and on who proposes it: the
//! policy, a search, the best fixed box, a reader's attention without any training.

#[allow(dead_code)] // this test uses its part
mod provider;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use provider::{Asked, KEY, Provider, Reply};
use serde_json::{Value, json};

fn smoke(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("smoke")
        .join(name)
}

fn eval() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    command
        .args(["eval", "--json"])
        .env("NO_PROXY", "127.0.0.1");
    command.env("TEST_KEY", KEY);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn result(mut command: Command) -> Value {
    let output = command.output().expect("cropvlm runs");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON line")
}

fn refusal(mut command: Command) -> String {
    let output = command.output().expect("cropvlm runs");
    let said = said(&output);
    assert!(
        !output.status.success() && !said.contains("panicked"),
        "{said}"
    );
    said
}

fn write(path: &Path, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(path, text).expect("written");
}

/// Reads what stands in a crop of the page, which has one blue throughout, and nothing in noise and grey.
fn looks(asked: &Asked, _: usize) -> Reply {
    let crop = asked.images.get(1);
    let read = crop.is_some_and(|crop| crop.pixels().all(|p| p[2] == 9));
    Reply::Text(if read { "9.00." } else { "nine" }.to_owned())
}

/// Answers in the same way, whatever the crop.
fn leans(_: &Asked, _: usize) -> Reply {
    Reply::Text("9.00".to_owned())
}

/// Three questions about two pages; nothing was proposed for "b".
fn pages(folder: &Path) {
    let mut data = Vec::new();
    for (name, ids) in [("one.png", &["a", "b"][..]), ("two.png", &["c"])] {
        let page =
            picture::RgbImage::from_fn(60, 60, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 9]));
        let png = picture::encode_png(&page).expect("png");
        std::fs::write(folder.join(name), png).expect("written");
        for id in ids {
            data.push(
                json!({"id": id, "image": name, "question": format!("What is {id}?"),
                "answers": ["9.00"], "boxes": [[0, 0, 30, 30]], "width": 60, "height": 60}),
            );
        }
    }
    write(&folder.join("data.jsonl"), &data);
    let boxes = [
        ("a", json!([0, 0, 60, 60])),
        ("b", json!(null)),
        ("c", json!([0, 50, 50, 100])),
    ];
    let boxes = boxes.map(|(id, bbox)| json!({"id": id, "box": bbox}));
    write(&folder.join("boxes.jsonl"), &boxes);
}

#[test]
fn who_looks_at_the_crop_is_told_from_who_does_not() {
    let folder = tempfile::tempdir().expect("folder");
    pages(folder.path());
    let ask = |provider: &Provider, name: &str| {
        let mut command = eval();
        command.current_dir(folder.path());
        command.args(["--data", "data.jsonl", "--boxes", "boxes.jsonl"]);
        command.args(["--target-model", "test-vlm", "--target-key-env", "TEST_KEY"]);
        command.args(["--target-url", &provider.url, "--items", name]);
        command.args(["--conditions", "full,full+crop,crop,true,noise,blank"]);
        result(command)
    };
    let found = ask(&Provider::start(looks), "looks.jsonl");
    let cells = found["target"]["cells"].as_array().expect("cells");
    let names: Vec<&str> = cells
        .iter()
        .filter_map(|c| c["condition"].as_str())
        .collect();
    let all = [
        "full",
        "full+crop",
        "crop",
        "full+true",
        "full+noise",
        "full+blank",
    ];
    assert_eq!(names, all);
    for cell in cells {
        let of = |at: usize| cell["vqa_interval"][at].as_f64().expect("an interval");
        let vqa = cell["vqa"].as_f64().expect("vqa");
        assert!(of(0) <= vqa && vqa <= of(1), "{cell}");
    }
    let [one] = &found["target"]["diagnostic"].as_array().expect("a list")[..] else {
        panic!("one resolution, one expansion: {found}")
    };
    let value = |one: &Value, name: &str| (one[name]["value"].as_f64(), one[name]["n"].as_u64());
    // "b" has no crop, so the full image alone was shown: no crop to be replaced, but a true box to gain by.
    let near = |(value, n): (Option<f64>, Option<u64>), expected: f64, count: u64| {
        assert!(
            (value.expect("a value") - expected).abs() < 1e-9 && n == Some(count),
            "{one}"
        );
    };
    near(value(one, "gain_crop"), 2.0 / 3.0, 3);
    near(value(one, "gain_true"), 1.0 / 3.0, 3);
    near(value(one, "drop_noise"), 1.0, 2);
    near(value(one, "drop_blank"), 1.0, 2);
    near(value(one, "before_looking"), 0.0, 2);
    assert_eq!(
        (&one["drop_noise"]["low"], &one["drop_noise"]["high"]),
        (&json!(1.0), &json!(1.0))
    );
    let items = std::fs::read_to_string(folder.path().join("looks.jsonl")).expect("items");
    assert_eq!(
        items.lines().count(),
        18,
        "a line for each question in each condition"
    );
    let found = ask(&Provider::start(leans), "leans.jsonl");
    let one = &found["target"]["diagnostic"][0];
    for (name, expected) in [
        ("gain_true", 0.0),
        ("drop_noise", 0.0),
        ("before_looking", 1.0),
    ] {
        assert_eq!(value(one, name).0, Some(expected), "{name}");
    }
}

#[test]
fn learned_searched_fixed_training_free_and_true_boxes_stand_in_one_table() {
    let folder = tempfile::tempdir().expect("folder");
    let searched = folder.path().join("searched.jsonl");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    command.args([
        "boxes", "--search", "--grid", "2", "--limit", "4", "--reader",
    ]);
    command
        .arg(smoke("reader"))
        .arg("--data")
        .arg(smoke("held"))
        .arg("--out")
        .arg(&searched);
    let done = command.output().expect("cropvlm runs");
    assert!(done.status.success(), "{}", said(&done));
    let with = |more: &[&str]| {
        let mut command = eval();
        command
            .arg("--model")
            .arg(smoke("policy"))
            .arg("--data")
            .arg(smoke("held"));
        command.arg("--attention").arg(smoke("reader"));
        command.args(["--limit", "6"]).args(more);
        command
    };
    let file = searched.to_str().expect("a path");
    let found = result(with(&["--searched", file]));
    let rows = found["proposers"].as_array().expect("rows");
    let of = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("{name} in {found}"))
    };
    assert_eq!(rows.len(), 5, "{found}");
    // Those that stand elsewhere, too, say the same here.
    for key in ["iou", "recall", "full_recall", "size"] {
        assert_eq!(of("learned")[key], found[key], "{key}");
        assert_eq!(of("fixed")[key], found["baseline"][key], "{key}");
    }
    for key in ["full_recall", "iou"] {
        assert!(
            of("true")[key].as_f64().is_some_and(|share| share > 0.999),
            "{found}"
        );
    }
    let valid = |name: &str| of(name)["valid"].as_f64().expect("a share");
    assert_eq!(valid("training-free"), 1.0);
    assert!(
        (valid("searched") - 4.0 / 6.0).abs() < 1e-9,
        "two were not searched"
    );
    // A window of attention is a quarter to a half of the picture's sides.
    let size = of("training-free")["size"].as_f64().expect("a share");
    assert!((0.06..=0.26).contains(&size), "{size}");

    // And a target is shown their crops.
    let items = folder.path().join("items.jsonl");
    let reader = smoke("reader");
    let target = [
        "--target",
        reader.to_str().expect("a path"),
        "--target-max-tokens",
        "3",
    ];
    let mut command = with(&target);
    command.args(["--searched", file, "--items"]).arg(&items);
    let found = result(command);
    let cells = found["target"]["cells"].as_array().expect("cells");
    let names: Vec<&str> = cells
        .iter()
        .filter_map(|c| c["condition"].as_str())
        .collect();
    let all = [
        "full",
        "full+crop",
        "crop",
        "full+true",
        "full+fixed",
        "full+searched",
        "full+attention",
    ];
    assert_eq!(names, all);
    let text = std::fs::read_to_string(&items).expect("items");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"));
    let lines: Vec<Value> = lines.collect();
    let boxes = |condition: &str| -> Vec<Value> {
        let of = lines.iter().filter(|line| line["condition"] == condition);
        of.map(|line| line["box"].clone()).collect()
    };
    let looked = boxes("full+attention");
    assert!(
        looked.len() == 6 && looked.iter().all(Value::is_array),
        "{looked:?}"
    );
    assert!(
        looked.iter().any(|bbox| *bbox != looked[0]),
        "it follows the picture: {looked:?}"
    );
    assert_ne!(looked, boxes("full+crop"));
}

#[test]
fn proposers_that_are_not_there_are_named() {
    let with = |more: &[&str]| {
        let mut command = eval();
        command
            .arg("--data")
            .arg(smoke("held"))
            .args(["--limit", "2"])
            .args(more);
        command
    };
    let reader = smoke("reader");
    let reader = reader.to_str().expect("a path");
    for (conditions, named) in [
        ("full+attention", "--attention"),
        ("searched", "--searched"),
    ] {
        let said = refusal(with(&["--target", reader, "--conditions", conditions]));
        assert!(said.contains(named), "{said}");
    }
    let policy = smoke("policy");
    let said = refusal(with(&["--attention", policy.to_str().expect("a path")]));
    assert!(said.contains("needs a text model"), "{said}");
    // Without a policy the others still stand in a table.
    let found = result(with(&["--attention", reader]));
    let names: Vec<&str> = found["proposers"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert_eq!(names, ["training-free", "true"]);
}
