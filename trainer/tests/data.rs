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

/// A folder with pictures of 14 x 16 pixels, a.png to d.png.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        for name in ["a.png", "b.png", "c.png", "d.png"] {
            std::fs::copy(goldens().join("beside.png"), place.path(name)).expect("copied");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    fn lines(&self, name: &str, lines: &[Value]) -> PathBuf {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.write(name, text)
    }
}

/// A question of our own form.
fn question(id: &str, image: &str, more: Value) -> Value {
    let mut line = json!({"id": id, "image": image, "question": "Q?", "width": 14, "height": 16});
    for (name, value) in more.as_object().expect("fields") {
        line[name] = value.clone();
    }
    line
}

#[test]
fn byte_order_marks_are_no_part_of_the_text() {
    let place = Place::new();
    let line = question("x", "a.png", json!({"answers": ["é"]})).to_string();
    let csv = "file_name,question,answer\na.png,Q?,é\n";
    let wide = |text: &str| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    for file in [
        place.write("mark.jsonl", format!("\u{feff}{line}\n")),
        place.write("mark.csv", format!("\u{feff}{csv}")),
        place.write("mark.json", format!("\u{feff}[{line}]")),
        place.write("wide.csv", wide(csv)),
        place.write("wide.jsonl", wide(&line)),
    ] {
        let set = found(&file, &[]);
        assert_eq!(set["first"]["answers"], json!(["é"]), "{}", file.display());
    }
    // Latin-1 is refused by its line.
    let latin = [csv.as_bytes(), b"b.png,Q?,\xe9\n"].concat();
    let said = refusal(&place.write("latin.csv", latin));
    assert!(
        said.contains("latin.csv, line 3: holds bytes that are no UTF-8"),
        "{said}"
    );
}

#[test]
fn an_id_that_two_questions_have_is_refused_by_its_line() {
    let place = Place::new();
    let twice = ["x", "y", "x"].map(|id| question(id, "a.png", json!({})));
    let said = refusal(&place.lines("twice.jsonl", &twice));
    assert!(
        said.contains("twice.jsonl, line 3: its id \"x\" is that of line 1"),
        "{said}"
    );
    // In tables of others they are told apart, also from ids that look like it.
    let ids = ["1", "1-row2", "1", "1"];
    let records = ids.map(|id| json!({"id": id, "question": "Q?", "image": "a.png"}));
    let file = place.write("equal.json", json!(records).to_string());
    let ids: Vec<Value> = written(&file, &[])
        .into_iter()
        .map(|(s, _)| s["id"].clone())
        .collect();
    assert_eq!(ids, ["1", "1-row2", "1-row2-2", "1-row3"]);
}

#[test]
fn answers_of_our_own_lines_are_read_however_they_are_written() {
    let place = Place::new();
    for (answers, expected) in [
        (json!({"answer": "7"}), json!(["7"])),
        (json!({"answer": 1987}), json!(["1987"])),
        (json!({"answers": "7"}), json!(["7"])),
        (json!({"answers": [12.5, 3]}), json!(["12.5", "3"])),
        (
            json!({"answers": {"text": ["7", "8"], "answer_start": [1, 2]}}),
            json!(["7", "8"]),
        ),
        (json!({"answers": ["7"], "answer": "8"}), json!(["7"])),
        (json!({}), json!([])),
    ] {
        let file = place.lines("one.jsonl", &[question("x", "a.png", answers.clone())]);
        assert_eq!(found(&file, &[])["first"]["answers"], expected, "{answers}");
    }
}

#[test]
fn a_table_with_semicolons_is_split_at_them() {
    let place = Place::new();
    let file = place.write(
        "q.csv",
        "file_name;question;answer\na.png;Who, and when?;\"1;2\"\n",
    );
    let first = &found(&file, &[])["first"];
    assert_eq!(
        (&first["question"], &first["answers"]),
        (&json!("Who, and when?"), &json!(["1;2"]))
    );
}

#[test]
fn a_file_named_from_inside_its_folder_finds_the_same_pictures() {
    let place = Place::new();
    std::fs::create_dir(place.path("lines")).expect("folder");
    // The picture lies in the folder above.
    place.lines("lines/x.jsonl", &[question("x", "a.png", json!({}))]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_cropvlm"));
    let arguments = ["data", "--data", "x.jsonl", "--check"];
    let output = command
        .current_dir(place.path("lines"))
        .args(arguments)
        .output();
    let output = output.expect("cropvlm runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn stated_sizes_give_way_to_the_picture_or_are_refused() {
    let place = Place::new();
    // Twice as large: the picture was made smaller after its boxes were drawn.
    let twice = json!({"width": 28, "height": 32, "boxes": [[2, 4, 14, 16]]});
    let file = place.lines("twice.jsonl", &[question("x", "a.png", twice)]);
    let first = &found(&file, &[])["first"];
    assert_eq!(
        (&first["width"], &first["height"], &first["boxes"]),
        (&json!(14), &json!(16), &json!([[1.0, 2.0, 7.0, 8.0]]))
    );
    let wide = json!({"width": 160, "height": 40, "boxes": [[2, 4, 14, 16]]});
    let good = question("w", "a.png", json!({}));
    let file = place.lines("wide.jsonl", &[good, question("x", "b.png", wide.clone())]);
    let said = refusal(&file);
    assert!(
        said.contains(
            "wide.jsonl, line 2: width and height say 160 x 40 pixels, but b.png has 14 x 16"
        ),
        "{said}"
    );
    // The same of a table; without boxes nothing depends on it.
    let mut record = wide;
    record["question"] = json!("Q?");
    record["image"] = json!("b.png");
    let said = refusal(&place.write("wide.json", json!([record]).to_string()));
    assert!(
        said.contains("wide.json, entry 0: width and height say 160 x 40"),
        "{said}"
    );
    record["boxes"] = json!([]);
    let set = found(&place.write("plain.json", json!([record]).to_string()), &[]);
    assert_eq!(set["first"]["width"], 14);
}

#[test]
fn an_error_in_a_line_names_one_line() {
    let place = Place::new();
    let good = question("x", "a.png", json!({})).to_string();
    for (name, bad) in [
        ("cut.jsonl", "{\"id\": \"y\", \"image\": "),
        (
            "type.jsonl",
            "{\"id\": \"y\", \"image\": 3, \"question\": \"Q?\", \"width\": 1, \"height\": 1}",
        ),
        ("lacks.jsonl", "{\"id\": \"y\"}"),
        (
            "box.jsonl",
            "{\"id\": \"y\", \"image\": \"a.png\", \"question\": \"Q?\", \"width\": 14, \"height\": 16, \"boxes\": [[3, 3, 3, 9]]}",
        ),
    ] {
        let said = refusal(&place.write(name, format!("{good}\n\n{bad}\n")));
        assert!(said.contains(&format!("{name}, line 3: ")), "{said}");
        assert_eq!(said.matches("line ").count(), 1, "{said}");
    }
}

#[test]
fn check_finds_every_broken_picture_and_names_its_line() {
    let place = Place::new();
    let ids = [
        ("w", "a.png"),
        ("x", "b.png"),
        ("y", "c.png"),
        ("z", "d.png"),
    ];
    let lines = ids.map(|(id, image)| question(id, image, json!({})));
    let file = place.lines("dev.jsonl", &lines);
    assert_eq!(found(&file, &["--check"])["broken"], json!([]));
    // One is cut off behind its header, one is no picture, one is gone.
    let whole = std::fs::read(place.path("b.png")).expect("picture");
    place.write("b.png", &whole[..whole.len() / 2]);
    place.write("c.png", "<html>404</html>");
    std::fs::remove_file(place.path("d.png")).expect("removed");
    let output = run(&file, &["--check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (line, id, picture) in [(2, "x", "b.png"), (3, "y", "c.png"), (4, "z", "d.png")] {
        let named = said.lines().any(|l| {
            l.contains(&format!("dev.jsonl, line {line}: sample \"{id}\": ")) && l.contains(picture)
        });
        assert!(named, "{picture}: {said}");
    }
    assert!(said.contains("3 of 4 questions cannot be used"), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(found["broken"].as_array().map(Vec::len), Some(3));
    // In parquet, too, where the size alone is wrong already.
    let output = run(&goldens().join("broken-picture.parquet"), &["--check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("broken-picture.parquet, row 1"),
        "{said}"
    );
}
