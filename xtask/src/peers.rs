//! SmolVLM-256M's shape beside its peers, printed as Markdown: the page beside onnxruntime-web in one Chromium, the native
//! network beside onnxruntime and PyTorch.
//!
//! All is measured in one run, by turns: a machine that others use is then as busy for one as for the other. Weights are random
//! ones, so that times and memory count and what is written does not. The browser's part is `tests/browser/peers.mjs`, Python's
//! `tests/parity/bench_peers.py`; onnxruntime-web is installed into the tools folder, apart from what the tests need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::program::json;
use crate::step::{command, note, output, run_quiet, step};
use crate::{browser, tools};

/// The version of onnxruntime-web that is measured.
const ONNXRUNTIME_WEB: &str = "1.30.0";
/// How often each native peer runs; within a run the best of several counts.
const NATIVE_ROUNDS: usize = 2;

/// What is measured beside what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// The page's worker on the CPU, two threads
    Page,
    /// The page's worker with WebGPU; without a graphics card minutes a proposal
    PageWebgpu,
    /// onnxruntime-web on the CPU, two threads, int8
    OrtWebQ8,
    /// The same, f32
    OrtWebF32,
    /// onnxruntime-web with WebGPU, f32; without a graphics card minutes
    OrtWebWebgpu,
    /// The native network, q8
    Native,
    /// onnxruntime from Python, int8
    OrtQ8,
    /// The same, f32
    OrtF32,
    /// PyTorch, bf16
    TorchBf16,
    /// PyTorch, f32
    TorchF32,
}

/// What a row is called in the table, and where it is measured.
enum Where {
    /// In Chromium, under this name.
    Browser(&'static str),
    /// By `time_to_box`.
    Native,
    /// By Python, under this name, with these modules.
    Python(&'static str, &'static str),
}

impl Row {
    fn place(self) -> Where {
        match self {
            Self::Page => Where::Browser("page"),
            Self::PageWebgpu => Where::Browser("page-webgpu"),
            Self::OrtWebQ8 => Where::Browser("ort-web-q8"),
            Self::OrtWebF32 => Where::Browser("ort-web-f32"),
            Self::OrtWebWebgpu => Where::Browser("ort-web-webgpu"),
            Self::Native => Where::Native,
            Self::OrtQ8 => Where::Python("ort-q8", "numpy, onnxruntime"),
            Self::OrtF32 => Where::Python("ort-f32", "numpy, onnxruntime"),
            Self::TorchBf16 => Where::Python("torch-bf16", "numpy, torch, transformers"),
            Self::TorchF32 => Where::Python("torch-f32", "numpy, torch, transformers"),
        }
    }

    /// Its name in the table; `version` is what a peer says of itself.
    fn title(self, version: Option<&str>) -> String {
        let web = format!("onnxruntime-web {ONNXRUNTIME_WEB}");
        let peer = version.unwrap_or("peer");
        match self {
            Self::Page => "this page, q8".into(),
            Self::PageWebgpu => "this page, WebGPU".into(),
            Self::OrtWebQ8 => format!("{web}, int8"),
            Self::OrtWebF32 => format!("{web}, f32"),
            Self::OrtWebWebgpu => format!("{web}, WebGPU, f32"),
            Self::Native => "native, q8".into(),
            Self::OrtQ8 => format!("{peer}, int8"),
            Self::OrtF32 | Self::TorchF32 => format!("{peer}, f32"),
            Self::TorchBf16 => format!("{peer}, bf16"),
        }
    }
}

/// What is measured, and how.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Measure SmolVLM-256M's shape beside onnxruntime and PyTorch instead; DIR holds `model` (a Hugging Face folder, random
    /// weights will do), `q8` (packed) and `onnx` (tests/parity/export_onnx.py)
    #[arg(long, value_name = "DIR")]
    pub peers: Option<PathBuf>,
    /// What is measured with --peers
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        requires = "peers",
        default_value = "page,ort-web-q8,native,ort-q8,torch-bf16"
    )]
    rows: Vec<Row>,
    /// Proposals of each in the browser, after one that warms up
    #[arg(long, requires = "peers", default_value_t = 5)]
    rounds: usize,
    /// Tokens that are written; fewer than 20 for WebGPU without a graphics card
    #[arg(long, requires = "peers", default_value_t = 20)]
    tokens: usize,
}

/// Measures and prints. The page is built by then.
pub fn run(options: &Options, folder: &Path) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    complete(&folder)?;
    let mut measured: Vec<(Row, Value)> = Vec::new();
    let in_chromium: Vec<(Row, &str)> = options
        .rows
        .iter()
        .filter_map(|row| match row.place() {
            Where::Browser(name) => Some((*row, name)),
            _ => None,
        })
        .collect();
    let mut machine = None;
    if !in_chromium.is_empty() {
        let found = in_browser(options, &folder, &in_chromium)?;
        machine = found["machine"].as_str().map(str::to_owned);
        let rows = found["rows"].as_array().context("no rows")?;
        measured.extend(in_chromium.iter().map(|(row, _)| *row).zip(rows.clone()));
    }
    measured.extend(natively(options, &folder)?);
    let case: Value = serde_json::from_slice(&std::fs::read(folder.join("onnx/case.json"))?)?;
    let prompt = case["ids"].as_array().map_or(0, Vec::len);
    print(options, &measured, prompt, machine.as_deref());
    Ok(())
}

/// Whether everything is there; if not, what makes it.
fn complete(folder: &Path) -> Result<()> {
    let at = |name: &str| folder.join(name).display().to_string();
    let (model, q8, onnx) = (at("model"), at("q8"), at("onnx"));
    for (file, makes) in [
        (
            "model/config.json",
            format!("python tests/parity/make_folder.py FOLDER_WITH_CONFIG_AND_TOKENIZER {model}"),
        ),
        (
            "q8/config.json",
            format!("cropvlm export --quant q8 --model {model} --out {q8}"),
        ),
        (
            "onnx/decoder_q8.onnx",
            format!("python tests/parity/export_onnx.py {model} {onnx}"),
        ),
    ] {
        ensure!(
            folder.join(file).is_file(),
            "{} is missing. What to do: {makes}",
            at(file)
        );
    }
    Ok(())
}

/// The rows of one Chromium, by turns.
fn in_browser(options: &Options, folder: &Path, rows: &[(Row, &str)]) -> Result<Value> {
    browser::packages()?;
    let chromium = browser::find_or_install()?;
    let names: Vec<&str> = rows.iter().map(|(_, name)| *name).collect();
    let mut call = browser::node(&chromium, &["peers.mjs"]);
    call.arg(folder).arg(names.join(","));
    call.args([options.rounds, options.tokens].map(|number| number.to_string()));
    if names.iter().any(|name| name.starts_with("ort")) {
        call.env("ORT", runtime()?);
    }
    step("in Chromium, by turns", || json(&mut call))
}

/// onnxruntime-web's built files, installed where tools are.
fn runtime() -> Result<PathBuf> {
    let prefix = tools::folder()?.join("peers");
    let package = prefix.join("node_modules/onnxruntime-web");
    step(&format!("onnxruntime-web {ONNXRUNTIME_WEB} (npm)"), || {
        let text = std::fs::read_to_string(package.join("package.json")).unwrap_or_default();
        let known: Value = serde_json::from_str(&text).unwrap_or_default();
        if known["version"] == ONNXRUNTIME_WEB {
            note("already there");
            return Ok(());
        }
        std::fs::create_dir_all(&prefix)?;
        let wanted = format!("onnxruntime-web@{ONNXRUNTIME_WEB}");
        run_quiet(
            command("npm", &["install", "--no-audit", "--no-fund", "--silent"])
                .arg("--prefix")
                .arg(&prefix)
                .arg(wanted),
        )
        .context("npm cannot install it. What to do: check that npm reaches its registry")
    })?;
    Ok(package.join("dist"))
}

/// The rows outside a browser, by turns. One whose Python modules are missing is left out, and that is said.
fn natively(options: &Options, folder: &Path) -> Result<Vec<(Row, Value)>> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut calls: Vec<(Row, Command)> = Vec::new();
    for &row in &options.rows {
        match row.place() {
            Where::Browser(_) => {}
            Where::Native => {
                step("time_to_box, an example of crates/smolvlm", example)?;
                let program = browser::target().join("release/examples/time_to_box");
                calls.push((row, command(&program.to_string_lossy(), &["q8"])));
            }
            Where::Python(name, modules) => {
                if output(&python, &["-c", &format!("import {modules}")]).is_none() {
                    note(&format!(
                        "{name} is left out: {python} has not all of {modules}; PYTHON names another one"
                    ));
                    continue;
                }
                let mut call = command(&python, &["tests/parity/bench_peers.py"]);
                call.arg(folder.join("onnx"));
                call.arg(folder.join("model"));
                call.args([name, "--tokens", &options.tokens.to_string()]);
                call.env("PYTHONWARNINGS", "ignore");
                call.env("TRANSFORMERS_VERBOSITY", "error");
                calls.push((row, call));
            }
        }
    }
    let mut best: Vec<(Row, Value)> = Vec::new();
    for _ in 0..NATIVE_ROUNDS {
        for (row, call) in &mut calls {
            let found = step(&format!("{row:?}"), || match row.place() {
                Where::Native => line(call),
                _ => json(call),
            })?;
            match best.iter_mut().find(|(known, _)| known == row) {
                Some((_, known)) => *known = lower(known, &found),
                None => best.push((*row, found)),
            }
        }
    }
    Ok(best)
}

fn example() -> Result<()> {
    crate::step::run(&mut command(
        "cargo",
        &[
            "build",
            "--release",
            "-p",
            "smolvlm",
            "--no-default-features",
            "--example",
            "time_to_box",
        ],
    ))
}

/// What `time_to_box` prints, as numbers.
fn line(call: &mut Command) -> Result<Value> {
    let output = call.output().context("time_to_box could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut found = Map::new();
    for (key, before) in [
        ("picture", "picture "),
        ("vision", "vision "),
        ("prompt", "prefill "),
        ("constrained", "box "),
        ("twenty", "20 tokens "),
        ("proposal", "to the box "),
        ("most", "peak memory "),
    ] {
        let number = text
            .split_once(before)
            .and_then(|(_, rest)| rest.split([' ', ',', ';']).next()?.parse::<f64>().ok());
        let number = number.with_context(|| format!("time_to_box printed no {key}: {text}"))?;
        found.insert(key.to_owned(), number.into());
    }
    let token = found["twenty"].as_f64().unwrap_or_default() / 20.0;
    found.insert("token".to_owned(), token.into());
    Ok(Value::Object(found))
}

/// The lower one of each number.
fn lower(a: &Value, b: &Value) -> Value {
    let mut low = a.clone();
    for (key, other) in b.as_object().into_iter().flatten() {
        if let (Some(a), Some(b)) = (a[key].as_f64(), other.as_f64()) {
            low[key] = a.min(b).into();
        }
    }
    low
}

fn print(options: &Options, measured: &[(Row, Value)], prompt: usize, machine: Option<&str>) {
    println!(
        "\n| who | vision | prompt | a token | vision + prompt + {} tokens | constrained box, from the picture | ready after | memory, at most |\n|---|---|---|---|---|---|---|---|",
        options.tokens
    );
    for (row, found) in measured {
        let shown = |number: Option<f64>, digits: usize, unit: &str| {
            number.map_or_else(String::new, |number| {
                format!("{} {unit}", thousands(number, digits))
            })
        };
        let with = |key: &str, digits: usize, unit: &str| shown(found[key].as_f64(), digits, unit);
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            row.title(found["version"].as_str()),
            with("vision", 0, "ms"),
            with("prompt", 0, "ms"),
            with("token", 1, "ms"),
            shown(sum(found, options.tokens), 0, "ms"),
            with("proposal", 0, "ms"),
            with("ready", 0, "ms"),
            with("most", 0, "MB"),
        );
    }
    println!(
        "\nMade by `cargo xtask bench --peers DIR`; random weights of the full size, one tile of 512 pixels, a prompt of {prompt} tokens; in the browser two threads, the best of {}, natively a thread a core, the best of {NATIVE_ROUNDS} processes; {}.",
        options.rounds,
        machine.unwrap_or("no browser")
    );
}

/// Time to a box that is written freely: the sum of the parts, each at its best.
fn sum(found: &Value, tokens: usize) -> Option<f64> {
    let part = |key: &str| found[key].as_f64();
    Some(part("vision")? + part("prompt")? + tokens as f64 * part("token")?)
}

/// A number with so many digits behind the point, and commas.
fn thousands(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if digits > 0 {
        out = format!("{out}.{rest}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!(thousands(999.6, 0), "1,000");
        assert_eq!(thousands(12.345, 1), "12.3");
        assert_eq!(thousands(1_234_567.0, 0), "1,234,567");
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_makes_it() {
        let folder = tempfile::tempdir().expect("folder");
        let wrong = || {
            let wrong = complete(folder.path()).expect_err("something is missing");
            wrong.to_string()
        };
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, "").expect("file");
        };
        assert!(wrong().contains("make_folder.py"), "{}", wrong());
        put("model/config.json");
        assert!(wrong().contains("export --quant q8"), "{}", wrong());
        put("q8/config.json");
        assert!(wrong().contains("export_onnx.py"), "{}", wrong());
        put("onnx/decoder_q8.onnx");
        complete(folder.path()).expect("complete");
    }

    #[test]
    fn the_line_of_the_example_is_read() {
        let said = "q8: picture 35 ms, vision 9499, prefill 1474, box 626, 20 tokens 1390; to the box 11634 ms, to 20 tokens 12398 ms; \
                    weights 291 MB, peak memory 428 MB (91 before loading); all 40.0 s";
        let found = line(Command::new("echo").arg(said)).expect("numbers");
        assert_eq!(found["vision"], 9499.0);
        assert_eq!(found["token"], 69.5);
        assert_eq!(found["proposal"], 11634.0);
        assert_eq!(sum(&found, 20), Some(9499.0 + 1474.0 + 1390.0));
        assert_eq!(sum(&serde_json::json!({"vision": 1.0}), 20), None);
        assert_eq!(found["most"], 428.0);
        assert!(line(Command::new("echo").arg("nothing")).is_err());
    }

    #[test]
    fn the_lower_of_two_runs_counts() {
        let one = serde_json::json!({"version": "x", "vision": 3.0, "prompt": 1.0});
        let two = serde_json::json!({"version": "x", "vision": 2.0, "prompt": 4.0});
        let low = lower(&one, &two);
        assert_eq!(
            low,
            serde_json::json!({"version": "x", "vision": 2.0, "prompt": 1.0})
        );
    }
}
