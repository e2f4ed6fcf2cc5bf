//! The tables of what the default model can do, in README and in its card: measured, then written there.
//!
//! Every folder of the data with a `dev.jsonl` is a set. `cropvlm eval --lift` measures it; what Tesseract read is kept
//! beside the build, so that a second run reads only crops that changed. Without Tesseract its columns stay empty.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::browser::target;
use crate::step::{note, output, step};
use crate::{markers, program, root};

/// What `cargo xtask figures` measures.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Folder of data sets: every folder in it that holds a dev.jsonl is measured
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Model to measure; the tables of another one than models/default are printed only
    #[arg(long, value_name = "DIR", default_value = DEFAULT)]
    model: PathBuf,
    /// Take the built `cropvlm` as it is
    #[arg(long)]
    no_build: bool,
    /// Print the tables, write nothing
    #[arg(long)]
    print: bool,
}

const DEFAULT: &str = "models/default";
const SPLIT: &str = "dev.jsonl";
/// Questions about the same pictures whose answer is not there, where a set has some.
const UNANSWERABLE: &str = "dev_none.jsonl";
const DOCUMENTS: [&str; 2] = ["README.md", "models/default/README.md"];

/// Sets that are known by name, in the order of the table, and what they hold. Others follow by their names.
const KNOWN: [(&str, &str); 8] = [
    ("sroie", "scanned receipts (other ones were trained on)"),
    ("wildreceipt", "photographed receipts, many countries"),
    ("charts", "charts with printed numbers"),
    ("plates", "photographs of cars"),
    ("funsd", "scanned forms"),
    (
        "vega",
        "charts of another make (other ones were trained on)",
    ),
    ("ic15", "words in photographs (other ones were trained on)"),
    ("uploads", "screens, menus, labels, signs, maps, objects"),
];
/// The set whose kinds of questions get a table of their own.
const IN_DOMAIN: &str = "sroie";

/// A set with what was measured on it.
struct Set {
    name: String,
    found: Value,
}

/// Measures every set, prints the tables, writes them.
pub fn run(options: &Options) -> Result<()> {
    let data = std::path::absolute(&options.data)?;
    let names = sets(&data)?;
    let model = if options.model == Path::new(DEFAULT) {
        root().join(DEFAULT)
    } else {
        std::path::absolute(&options.model)?
    };
    let lift = output("tesseract", &["--version"]).is_some();
    if !lift {
        note("no `tesseract` (tesseract-ocr): the lift is not measured");
    }
    if !options.no_build {
        program::build()?;
    }
    let mut found = Vec::new();
    for name in names {
        let measured = step(&format!("{name}/dev"), || {
            measure(&model, &data, &name, lift)
        })?;
        found.push(Set {
            name,
            found: measured,
        });
    }
    let kinds = found.iter().find(|set| set.name == IN_DOMAIN);
    let kinds = kinds.map(|set| signed(&kinds_table(&set.found)));
    let all = signed(&sets_table(&found));
    for table in kinds.iter().chain([&all]) {
        println!("\n{table}");
    }
    if options.print || model != root().join(DEFAULT) {
        return Ok(());
    }
    for document in DOCUMENTS {
        let file = root().join(document);
        markers::write(&file, "figures", &all)?;
        if let Some(kinds) = &kinds {
            markers::write(&file, "figures by kind", kinds)?;
        }
        note(&format!("written to {document}"));
    }
    Ok(())
}

/// Sets in the order of the table.
fn sets(data: &Path) -> Result<Vec<String>> {
    let about = || format!("--data {}", data.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(data).with_context(about)? {
        let entry = entry.with_context(about)?;
        if entry.path().join(SPLIT).is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    if names.is_empty() {
        bail!("--data {}: no folder in it holds a {SPLIT}", data.display());
    }
    let known = |name: &str| KNOWN.iter().position(|(known, _)| *known == name);
    names.sort_by_key(|name| (known(name).unwrap_or(KNOWN.len()), name.clone()));
    Ok(names)
}

fn measure(model: &Path, data: &Path, name: &str, lift: bool) -> Result<Value> {
    let split = data.join(name).join(SPLIT);
    let kept = target().join("figures");
    std::fs::create_dir_all(&kept).with_context(|| format!("{}", kept.display()))?;
    let readings = kept.join(format!("{name}.jsonl"));
    let mut call = program::call(&["eval", "--json", "--model"]);
    call.arg(model).arg("--data").arg(split);
    if lift {
        call.arg("--lift").arg("--readings").arg(readings);
    }
    let mut found = program::json(&mut call)?;
    let unanswerable = data.join(name).join(UNANSWERABLE);
    if unanswerable.is_file() {
        // Both kinds of questions in one file: `eval` says how well its confidence tells them apart.
        let both = kept.join(format!("{name}_both.jsonl"));
        let parts = [data.join(name).join(SPLIT), unanswerable].map(read);
        let [answerable, unanswerable] = parts;
        std::fs::write(&both, answerable? + &unanswerable?)?;
        let mut call = program::call(&["eval", "--json", "--model"]);
        call.arg(model).arg("--data").arg(&both);
        let all = program::json(call.arg("--root").arg(data))?;
        found["answerable_auc"] = all["answerable_auc"].clone();
    }
    Ok(found)
}

/// A file of lines, the last one ended.
fn read(file: PathBuf) -> Result<String> {
    let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    Ok(text.trim_end().to_owned() + "\n")
}

/// A table with the command that made it.
fn signed(table: &str) -> String {
    format!("{table}\nMade by `cargo xtask figures --data DIR`; shares in percent.")
}

fn kinds_table(found: &Value) -> String {
    let mut table = "| kind | n | wholly inside | fixed box | recall | IoU | size |\n|---|---|---|---|---|---|---|\n".to_owned();
    let mut row = |name: &str, v: &Value, fixed: &Value| {
        let cells = [
            &v["full_recall"],
            fixed,
            &v["recall"],
            &v["iou"],
            &v["size"],
        ];
        let cells = cells.map(percent).join(" | ");
        table.push_str(&format!("| {name} | {} | {cells} |\n", v["n"]));
    };
    for (kind, v) in found["kinds"].as_object().into_iter().flatten() {
        row(kind, v, &v["baseline_full_recall"]);
    }
    row("all", found, &found["baseline"]["full_recall"]);
    table
}

fn sets_table(sets: &[Set]) -> String {
    let mut table = "| set | n | wholly inside | fixed box | size | calibration error | answerable or not, AUC | Tesseract: full, + crop, + true box | lift | lift of fixed boxes, 10 % size |\n|---|---|---|---|---|---|---|---|---|---|\n".to_owned();
    for Set { name, found } in sets {
        let what = KNOWN.iter().find(|(known, _)| known == name);
        let what = what.map_or(String::new(), |(_, what)| format!(": {what}"));
        let lift = &found["lift"];
        let read = ["full", "full_crop", "full_true"].map(|key| percent(&lift[key]));
        let read = if lift.is_null() {
            String::new()
        } else {
            read.join(", ")
        };
        let cells = [
            format!("{name}/dev{what}"),
            found["n"].to_string(),
            percent(&found["full_recall"]),
            percent(&found["baseline"]["full_recall"]),
            percent(&found["size"]),
            two_digits(&found["calibration_error"]),
            two_digits(&found["answerable_auc"]),
            read,
            two_digits(&lift["lift"]),
            two_digits(&lift["fixed"]["lift"]),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

fn percent(value: &Value) -> String {
    value
        .as_f64()
        .map_or(String::new(), |v| format!("{:.1}", 100.0 * v))
}

fn two_digits(value: &Value) -> String {
    value.as_f64().map_or(String::new(), |v| format!("{v:.2}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_a_row_and_what_was_not_measured_is_empty() {
        let measured = json!({
            "n": 349, "full_recall": 0.9198, "recall": 0.941, "iou": 0.157, "size": 0.0576,
            "baseline": {"full_recall": 0.3754}, "calibration_error": 0.0312,
            "kinds": {"total": {"n": 33, "full_recall": 0.909, "baseline_full_recall": 0.606, "recall": 0.925, "iou": 0.072, "size": 0.046}},
            "lift": {"full": 0.2464, "full_crop": 0.639, "full_true": 0.6762, "lift": 0.9133, "fixed": {"lift": null}},
        });
        let mut without = measured.clone();
        without["lift"] = Value::Null;
        let sets = [("sroie", measured.clone()), ("mine", without)];
        let sets = sets.map(|(name, found)| Set {
            name: name.to_owned(),
            found,
        });
        let table = sets_table(&sets);
        assert!(
            table.contains("| 349 | 92.0 | 37.5 | 5.8 | 0.03 |  | 24.6, 63.9, 67.6 | 0.91 |  |\n"),
            "{table}"
        );
        assert!(table.contains("| mine/dev | 349 | 92.0 | 37.5 | 5.8 | 0.03 |  |  |  |  |\n"));
        let kinds = kinds_table(&measured);
        assert!(
            kinds.contains("| total | 33 | 90.9 | 60.6 | 92.5 | 7.2 | 4.6 |\n| all | 349 | 92.0 |")
        );
    }
}
