//! The table of speed and size, printed as Markdown.
//!
//! Browser figures come from `tests/browser/bench.mjs` (a real Chromium without WebGPU); the native figure
//! from `cropvlm propose --json`. Nothing here is estimated: a figure that cannot be measured is an error.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::program::{self, json};
use crate::step::{note, step};
use crate::{browser, page, peers, tools};

/// What `cargo xtask bench` measures.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Take dist/ as it is instead of building the page
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    page: page::Options,
    #[command(flatten)]
    peers: peers::Options,
}

/// Picture and question of the native figure; the browser takes the same.
const PICTURE: &str = "tests/browser/pictures/receipt.jpg";
const QUESTION: &str = "What is the total?";

/// Measures and prints.
pub fn run(options: &Options) -> Result<()> {
    tools::need_node()?;
    if !options.no_build {
        page::build(&options.page)?;
    }
    if let Some(folder) = &options.peers.peers {
        return peers::run(&options.peers, folder);
    }
    browser::packages()?;
    let chromium = browser::find_or_install()?;
    let in_browser = step("in Chromium, without WebGPU", || {
        json(&mut browser::node(&chromium, &["bench.mjs"]))
    })?;
    program::build()?;
    let native = step("native propose, median of 7 runs", native)?;

    println!("\n| what | measured | aim |\n|---|---|---|");
    let row = |what: &str, value: String, aim: &str| println!("| {what} | {value} | {aim} |");
    let ms = |key: &str| Ok::<_, anyhow::Error>(format!("{:.0} ms", number(&in_browser, key)?));
    row(
        "page usable: picture shown, question typed",
        ms("usable_ms")?,
        "1,000 ms",
    );
    row("first paint", ms("first_paint_ms")?, "500 ms");
    row(
        "largest paint (the sample)",
        ms("largest_paint_ms")?,
        "1,000 ms",
    );
    row(
        "box on the sample, nothing pressed",
        ms("first_box_ms")?,
        "600 ms",
    );
    row(
        "main thread blocked until then (Lighthouse's TBT)",
        ms("blocking_ms")?,
        "100 ms",
    );
    row(
        "layout shift until then (CLS)",
        format!("{:.3}", number(&in_browser, "shift")?),
        "0.02",
    );
    row(
        "model ready, from the start of loading the page",
        ms("ready_ms")?,
        "",
    );
    row("first proposal after `ready`", ms("first_ms")?, "3,000 ms");
    row(
        "later proposals, new picture (median)",
        ms("new_picture_ms")?,
        "1,500 ms",
    );
    row(
        "later proposals, same picture (median)",
        ms("same_picture_ms")?,
        "1,500 ms",
    );
    row(
        "longest task on the main thread (median of visits)",
        ms("longest_task_ms")?,
        "100 ms",
    );
    let megabytes =
        |key: &str| Ok::<_, anyhow::Error>(format!("{:.2} MB", number(&in_browser, key)? / 1e6));
    row(
        "fetched before the page can be used, brotli, the sample included",
        megabytes("page_brotli")?,
        "0.5 MB",
    );
    row(
        "code fetched until the first box, brotli",
        megabytes("code_brotli")?,
        "0.9 MB",
    );
    row("of it wasm, brotli", megabytes("wasm_brotli")?, "");
    row("of it wasm, as it is", megabytes("wasm_bytes")?, "");
    row(
        "lesson, text policy and WebGPU: fetched when asked for, brotli",
        megabytes("second_brotli")?,
        "",
    );
    row(
        "memory of the page's tab with the first box",
        megabytes("tab_bytes")?,
        "",
    );
    row("model folder", megabytes("model_bytes")?, "16 MB");
    row(
        "native `cropvlm propose` on the CPU (without loading)",
        format!("{native:.0} ms"),
        "300 ms",
    );
    println!(
        "\nMade by `cargo xtask bench`; {}.",
        in_browser["machine"].as_str().unwrap_or("machine unknown")
    );
    Ok(())
}

/// Median over runs of the sum of `timings_ms`.
fn native() -> Result<f64> {
    let mut sums = Vec::new();
    for _ in 0..7 {
        let line = json(&mut program::call(&[
            "propose",
            "--model",
            "models/default",
            "--image",
            PICTURE,
            "--question",
            QUESTION,
            "--device",
            "cpu",
            "--json",
        ]))?;
        let timings = line["timings_ms"]
            .as_object()
            .context("`cropvlm propose` printed no timings_ms")?;
        sums.push(timings.values().filter_map(Value::as_f64).sum::<f64>());
    }
    sums.sort_by(f64::total_cmp);
    note(&format!("{sums:.0?} ms"));
    Ok(sums[sums.len() / 2])
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key]
        .as_f64()
        .with_context(|| format!("the measurement `{key}` is missing"))
}
