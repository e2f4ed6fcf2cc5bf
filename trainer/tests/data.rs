//! `cropvlm data` on the layouts of the hub's data sets (`tests/data`, made by `make.py`), on tables
//! and folders, and on what is broken.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn run(data: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    command
        .args(["data", "--json", "--data"])
        .arg(data)
        .args(more);
    command.output().expect("cropvlm runs")
}

fn found(data: &Path, more: &[&str]) -> Value {
    let output = run(data, more);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", data.display());
    serde_json::from_slice(&output.stdout).expect("json")
}

fn refusal(data: &Path) -> String {
    let output = run(data, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{} was read", data.display());
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// The questions that `--out` writes, each with the size of the picture that its file really has.
fn written(data: &Path, more: &[&str]) -> Vec<(Value, (u32, u32))> {
    let out = tempfile::tempdir().expect("folder");
    let folder = out.path().join("out");
    let mut arguments = vec!["--out", folder.to_str().expect("utf-8")];
    arguments.extend(more);
    found(data, &arguments);
    let text = std::fs::read_to_string(folder.join("data.jsonl")).expect("lines");
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).expect("json");
            let image = folder.join(value["image"].as_str().expect("image"));
            let picture =
                picture::decode(&std::fs::read(image).expect("picture")).expect("picture");
            (value, picture.dimensions())
        })
        .collect()
}

#[test]
fn shards_as_textvqa_has_them() {
    let folder = goldens().join("textvqa");
    let set = found(&folder, &[]);
    assert_eq!(
        (&set["form"], &set["questions"], &set["pictures"]),
        (&json!("parquet"), &json!(3), &json!(2))
    );
    assert_eq!(
        (
            &set["answers"],
            &set["files"].as_array().expect("files").len()
        ),
        (&json!(30), &2)
    );
    assert!(
        set["columns"]
            .as_array()
            .expect("columns")
            .contains(&json!(["image", "picture"]))
    );
    let rows = written(&folder, &[]);
    let first = &rows[0].0;
    assert_eq!(first["id"], "0");
    assert_eq!(first["question"], "what is the brand of phone?");
    assert_eq!(first["answers"][9], "toshiba");
    assert_eq!(
        (rows[0].1, rows[1].1, rows[2].1),
        ((40, 30), (40, 30), (20, 50))
    );
    assert_eq!(
        rows[1].0["image"], first["image"],
        "one picture, two questions"
    );
    assert_ne!(rows[2].0["image"], first["image"]);
    // One shard by its name, by a pattern, and the first rows only.
    assert_eq!(
        found(&folder.join("train-00001-of-00002.parquet"), &[])["questions"],
        1
    );
    assert_eq!(
        found(&folder.join("train-*1-of*.parquet"), &[])["questions"],
        1
    );
    assert_eq!(found(&folder, &["--limit", "2"])["questions"], 2);
}

#[test]
fn documents_as_docvqa_has_them() {
    let rows = written(&goldens().join("docvqa.parquet"), &[]);
    let (first, last) = (&rows[0].0, &rows[2].0);
    assert_eq!(
        (&first["id"], &first["kind"]),
        (&json!("49153"), &json!("table/list"))
    );
    // No sizes in the file: they come from the pictures, and equal pictures are one.
    assert_eq!(
        (&first["width"], &first["height"], rows[0].1),
        (&json!(60), &json!(80), (60, 80))
    );
    assert_eq!(first["image"], rows[1].0["image"]);
    assert_eq!(rows[1].0["answers"], json!(["J. Doe", "J Doe"]));
    assert_eq!(
        (&last["answers"], &last["kind"], rows[2].1),
        (&json!([]), &json!(""), (33, 44))
    );
}

#[test]
fn several_questions_a_row_and_a_picture_by_its_path() {
    let rows = written(&goldens().join("several.parquet"), &[]);
    let ids: Vec<&str> = rows
        .iter()
        .map(|(s, _)| s["id"].as_str().expect("id"))
        .collect();
    assert_eq!(ids, ["several-0-0", "several-0-1", "several-1-0"]);
    assert_eq!((rows[1].1, rows[2].1), ((10, 12), (14, 16)));
    assert_eq!(rows[1].0["answers"], json!(["2", "3"]));
    // A limit counts questions, not rows.
    assert_eq!(
        found(&goldens().join("several.parquet"), &["--limit", "1"])["questions"],
        1
    );
}

#[test]
fn our_own_lines_come_out_as_they_went_in() {
    let place = tempfile::tempdir().expect("folder");
    std::fs::copy(goldens().join("beside.png"), place.path().join("a.png")).expect("copied");
    let line = json!({"id": "x", "image": "a.png", "question": "Q?", "answers": ["1"], "boxes": [[1.0, 2.0, 5.0, 6.0]],
        "kind": "total", "width": 14, "height": 16, "source": "here", "score": -1.5, "box_source": "search"});
    std::fs::write(place.path().join("dev.jsonl"), format!("{line}\n")).expect("written");
    let rows = written(&place.path().join("dev.jsonl"), &[]);
    for field in [
        "id", "question", "answers", "boxes", "kind", "width", "height", "source",
    ] {
        assert_eq!(rows[0].0[field], line[field], "{field}");
    }
    // Errors are those of our own form.
    std::fs::write(place.path().join("bad.jsonl"), "{\"id\": \"x\"}\n").expect("written");
    let said = refusal(&place.path().join("bad.jsonl"));
    assert!(
        said.contains("bad.jsonl, line 1") && said.contains("missing field"),
        "{said}"
    );
    std::fs::write(
        place.path().join("half.jsonl"),
        format!("{line}\n{{\"id\": "),
    )
    .expect("written");
    assert!(refusal(&place.path().join("half.jsonl")).contains("half.jsonl, line 2"));
}

#[test]
fn tables_beside_pictures() {
    let place = tempfile::tempdir().expect("folder");
    let path = |name: &str| place.path().join(name);
    let picture = |name: &str| {
        let at = path(name);
        std::fs::create_dir_all(at.parent().expect("folder")).expect("folder");
        std::fs::copy(goldens().join("beside.png"), at).expect("copied");
    };
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(path(name).parent().expect("folder")).expect("folder");
        std::fs::write(path(name), text).expect("written");
    };
    // An imagefolder.
    picture("folder/a.png");
    write(
        "folder/metadata.jsonl",
        "{\"file_name\": \"a.png\", \"question\": \"Q?\", \"answer\": \"1\"}\n",
    );
    let set = found(&path("folder"), &[]);
    assert_eq!(
        (
            &set["form"],
            &set["first"]["width"],
            &set["first"]["height"]
        ),
        (&json!("table"), &json!(14), &json!(16))
    );
    assert_eq!(set["first"]["id"], "metadata-0");
    // The DocVQA challenge's own file.
    picture("challenge/documents/b.png");
    let text = json!({"dataset_name": "docvqa", "data": [{"questionId": 337, "question": "Q?", "image": "documents/b.png", "answers": ["x"]}]});
    write("challenge/val.json", &text.to_string());
    assert_eq!(
        found(&path("challenge/val.json"), &[])["first"]["id"],
        "337"
    );
    // TextVQA's: a number instead of a name.
    picture("textvqa/train_images/0054c.jpg");
    let text = json!({"data": [{"question_id": 1, "question": "Q?", "image_id": "0054c", "answers": ["x", "y"]}]});
    write("textvqa/train.json", &text.to_string());
    assert_eq!(
        found(&path("textvqa"), &[])["first"]["image"],
        "train_images/0054c.jpg"
    );
    // CSV.
    write(
        "folder/questions.csv",
        "file_name,query,answers\na.png,\"Who, and when?\",\"[\"\"a\"\", \"\"b\"\"]\"\n",
    );
    let set = found(&path("folder/questions.csv"), &[]);
    assert_eq!(
        (&set["first"]["question"], &set["answers"]),
        (&json!("Who, and when?"), &json!(2))
    );
    // Equal ids are told apart.
    write("folder/equal.json", &json!([{"id": 1, "question": "A?", "image": "a.png"}, {"id": 1, "question": "B?", "image": "a.png"}]).to_string());
    let rows = written(&path("folder/equal.json"), &[]);
    assert_eq!(
        (&rows[0].0["id"], &rows[1].0["id"]),
        (&json!("1"), &json!("1-row1"))
    );

    // What cannot be read is named.
    write(
        "folder/gone.json",
        &json!([{"question": "A?", "image": "gone.png"}]).to_string(),
    );
    let said = refusal(&path("folder/gone.json"));
    assert!(
        said.contains("gone.json, entry 0") && said.contains("gone.png is not there"),
        "{said}"
    );
    write("folder/none.json", &json!([{"question": "A?"}]).to_string());
    assert!(refusal(&path("folder/none.json")).contains("no column names a picture"));
    write("two/a.csv", "a\n");
    write("two/b.json", "[]");
    assert!(refusal(&path("two")).contains("several tables; name one of"));
    write("disk/state.json", "{}");
    write("disk/data-00000-of-00001.arrow", "");
    assert!(refusal(&path("disk")).contains("to_parquet"));
    write("empty/readme.txt", "");
    assert!(refusal(&path("empty")).contains("holds no data"));
    assert!(refusal(&path("absent")).contains("no such file or folder"));
    assert!(refusal(&path("absent-*.parquet")).contains("no file has such a name"));
}

#[test]
fn what_is_wrong_in_parquet_is_named() {
    for (name, expected) in [
        ("no-picture", "no column holds pictures"),
        ("no-picture", "there are question, label"),
        ("no-question", "no column holds questions"),
        (
            "wrong-type",
            "row 0: column question: is a list ([1]), but text is needed",
        ),
        ("no-text", "row 1: column question: is empty"),
        ("broken-picture", "row 1, column of pictures"),
        ("empty-picture", "row 1, column of pictures: is empty"),
    ] {
        let said = refusal(&goldens().join(format!("{name}.parquet")));
        assert!(said.contains(expected) && said.contains(name), "{said}");
    }
}

#[test]
fn damaged_parquet_is_an_error_and_never_a_panic() {
    let place = tempfile::tempdir().expect("folder");
    let whole = std::fs::read(goldens().join("docvqa.parquet")).expect("golden");
    let file = place.path().join("x.parquet");
    for length in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).expect("written");
        assert!(
            refusal(&file).contains("no readable parquet file"),
            "{length} bytes"
        );
    }
    // Bytes turned over, one place after another: read or refused, but never a crash.
    for at in (4..whole.len() - 8).step_by(97) {
        let mut broken = whole.clone();
        broken[at] ^= 0xff;
        std::fs::write(&file, &broken).expect("written");
        let output = run(&file, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !said.contains("panicked") && output.status.code().is_some(),
            "byte {at}: {said}"
        );
    }
}

#[test]
fn a_folder_has_to_be_clear_and_complete() {
    let place = tempfile::tempdir().expect("folder");
    let shard = goldens().join("textvqa/train-00000-of-00002.parquet");
    let data = place.path().join("data");
    std::fs::create_dir(&data).expect("folder");
    std::fs::copy(&shard, data.join("train-00000-of-00002.parquet")).expect("copied");
    let said = refusal(place.path());
    assert!(said.contains("parts 1 of 2 are missing"), "{said}");
    assert_eq!(
        found(&data.join("train-*.parquet"), &[])["questions"],
        2,
        "named, it is read"
    );
    std::fs::copy(&shard, data.join("validation-00000-of-00001.parquet")).expect("copied");
    let said = refusal(place.path());
    assert!(
        said.contains("several parts") && said.contains("validation*.parquet (1 files)"),
        "{said}"
    );
}

#[test]
fn what_is_there_is_not_overwritten() {
    let place = tempfile::tempdir().expect("folder");
    let out = ["--out", place.path().to_str().expect("utf-8")];
    found(&goldens().join("docvqa.parquet"), &out);
    let output = run(&goldens().join("docvqa.parquet"), &out);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("is already there"),
        "{said}"
    );
}
