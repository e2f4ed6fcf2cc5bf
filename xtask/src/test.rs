//! Every test: formatting, licences, crates, end to end, the page in a real browser, and (by name) the npm package.
//!
//! All parts run even when an earlier one fails; the last lines name what failed, wherever above it was said, and add up
//! what the runners counted (`cargo test` and `node --test`).

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::lint::{CHECKS, WASM_ONLY};
use crate::step::{command, step};
use crate::{browser, licences, npm, packages, page, root, tools};

/// What `cargo xtask test` runs.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Run one part only
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Take dist/ as it is instead of building the page
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    page: page::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// rustfmt, clippy and rustdoc
    Lint,
    /// Licences and sources of all dependencies, and their known faults; the crates that others may use, as packages
    Licences,
    /// The crates and the end-to-end tests that need no browser
    Crates,
    /// The page in Chromium
    Browser,
    /// The npm package: its tarball in Node and, built by each example's tool, in Chromium; runs only when named
    Npm,
}

/// What tests build with less optimisation, because it takes long to compile and no test waits for it: the command line
/// itself, and what writes programs for graphics cards.
const QUICKLY: [&str; 26] = [
    "trainer",
    "ash",
    "burn-cubecl",
    "burn-cubecl-fusion",
    "burn-fusion",
    "cubecl-core",
    "cubecl-ir",
    "cubecl-opt",
    "cubecl-runtime",
    "cubecl-spirv",
    "cubecl-std",
    "cubecl-wgpu",
    "cubek-attention",
    "cubek-convolution",
    "cubek-interpolate",
    "cubek-matmul",
    "cubek-quant",
    "cubek-reduce",
    "cubek-std",
    "cubek-tile",
    "naga",
    "pliron",
    "pliron-spirv",
    "wgpu-core",
    "wgpu-hal",
    "parquet",
];

/// What a runner counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    /// What failed, by name.
    names: Vec<String>,
}

/// Runs the tests and prints the sum.
fn run_all(options: &Options) -> Result<Counts> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let mut sum = Counts::default();
    if wanted(Part::Lint) {
        for (what, check) in &CHECKS {
            sum.add(whole(what, step(what, check)));
        }
    }
    if wanted(Part::Licences) {
        let what = "licences (cargo deny)";
        sum.add(whole(what, step(what, licences::check)));
        let what = "packages (cargo package)";
        sum.add(whole(what, step(what, packages::check)));
    }
    if wanted(Part::Crates) {
        let quick = QUICKLY.map(|name| format!("profile.release.package.{name}.opt-level=1"));
        let mut arguments: Vec<&str> = quick.iter().flat_map(|set| ["--config", set]).collect();
        arguments.extend([
            "test",
            "--release",
            "--workspace",
            "--exclude",
            WASM_ONLY,
            "--no-fail-fast",
        ]);
        sum.add(step("crates and end to end (cargo test)", || {
            counted("cargo test", command("cargo", &arguments), cargo_line)
        })?);
    }
    if wanted(Part::Browser) {
        sum.add(
            browser_part(options).unwrap_or_else(|error| broken("the page in Chromium", &error)),
        );
    }
    // By name only: it builds a module of its own and installs five bundlers.
    if options.only == Some(Part::Npm) {
        sum.add(npm_part(options).unwrap_or_else(|error| broken("the npm package", &error)));
    }
    Ok(sum)
}

/// Runs the tests; fails when one failed.
pub fn run(options: &Options) -> Result<()> {
    let sum = run_all(options)?;
    for name in &sum.names {
        println!("failed: {name}");
    }
    let verdict = if sum.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {} passed, {} failed",
        sum.passed, sum.failed
    );
    if sum.failed > 0 {
        bail!("{} tests failed", sum.failed);
    }
    Ok(())
}

fn browser_part(options: &Options) -> Result<Counts> {
    tools::need_node()?;
    if !options.no_build {
        page::build(&options.page)?;
    }
    browser::packages()?;
    let chromium = browser::find_or_install()?;
    // Tests take turns: two browsers on two cores would measure each other.
    let arguments = ["--test", "--test-concurrency=1", "--test-reporter=spec"];
    step("the page in Chromium (node --test)", || {
        counted(
            "node --test",
            browser::node(&chromium, &arguments),
            node_line,
        )
    })
}

fn npm_part(options: &Options) -> Result<Counts> {
    if !options.no_build {
        npm::build(&options.page)?;
    }
    browser::packages()?;
    let chromium = browser::find_or_install()?;
    let arguments = [
        "--test",
        "--test-concurrency=1",
        "--test-reporter=spec",
        "node.test.mjs",
        "browser.test.mjs",
        "webgpu.test.mjs",
    ];
    step("the npm package in Node and Chromium (node --test)", || {
        let mut node = browser::node(&chromium, &arguments);
        node.current_dir(root().join("web/js/tests"));
        counted("node --test", node, node_line)
    })
}

/// Runs a command, passes its output through, and counts with `read`. `what` is named where it fails without a failed test.
fn counted(what: &str, mut command: Command, read: fn(&str) -> Counts) -> Result<Counts> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("the test runner could not be started")?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            counts.add(read(&line));
        }
    }
    // A runner that fails without a failed test did not compile, or crashed.
    if !child.wait()?.success() && counts.failed == 0 {
        counts.failed = 1;
        counts
            .names
            .push(format!("{what}, which did not compile, or crashed"));
    }
    Ok(counts)
}

/// `test result: ok. 12 passed; 0 failed; …`, and `test boxes::rounding ... FAILED`
fn cargo_line(line: &str) -> Counts {
    if let Some(name) = line
        .strip_prefix("test ")
        .and_then(|rest| rest.strip_suffix(" ... FAILED"))
    {
        return Counts {
            names: vec![name.to_owned()],
            ..Counts::default()
        };
    }
    if !line.starts_with("test result:") {
        return Counts::default();
    }
    let number = |word: &str| {
        let words: Vec<&str> = line.split([' ', ';']).collect();
        let at = words.iter().position(|&other| other == word)?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    };
    Counts {
        passed: number("passed").unwrap_or(0),
        failed: number("failed").unwrap_or(0),
        names: Vec::new(),
    }
}

/// `ℹ pass 12`, `ℹ fail 0`, and `✖ an empty file is refused (4767.3ms)`
fn node_line(line: &str) -> Counts {
    // The list of failures at the end repeats each with its error; its heading is no test.
    if let Some(name) = line.trim_start().strip_prefix("✖ ")
        && !name.starts_with("failing tests")
    {
        return Counts {
            names: vec![name.to_owned()],
            ..Counts::default()
        };
    }
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_default();
    match (next(), next(), next().parse()) {
        ("ℹ" | "#", "pass", Ok(passed)) => Counts {
            passed,
            ..Counts::default()
        },
        ("ℹ" | "#", "fail", Ok(failed)) => Counts {
            failed,
            ..Counts::default()
        },
        _ => Counts::default(),
    }
}

/// A part that passes or fails as a whole.
fn whole(what: &str, result: Result<()>) -> Counts {
    match result {
        Ok(()) => Counts {
            passed: 1,
            ..Counts::default()
        },
        Err(error) => broken(what, &error),
    }
}

fn broken(what: &str, error: &anyhow::Error) -> Counts {
    eprintln!("error: {error:#}");
    Counts {
        passed: 0,
        failed: 1,
        names: vec![what.to_owned()],
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        for name in other.names {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, cargo_line, node_line};

    fn counts(passed: usize, failed: usize) -> Counts {
        Counts {
            passed,
            failed,
            names: Vec::new(),
        }
    }

    #[test]
    fn reads_the_closing_lines_of_both_runners() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(cargo_line(line), counts(12, 3));
        assert_eq!(node_line("ℹ pass 7"), counts(7, 0));
        assert_eq!(node_line("# fail 2"), counts(0, 2));
        assert_eq!(node_line("ℹ tests 9"), counts(0, 0));
        assert_eq!(cargo_line("test boxes::rounding ... ok"), counts(0, 0));
    }

    #[test]
    fn names_what_failed_once_each() {
        let mut sum = Counts::default();
        for line in ["test boxes::rounding ... FAILED", "test boxes::area ... ok"] {
            sum.add(cargo_line(line));
        }
        let lines = [
            "  ✖ is refused (4.7ms)",
            "✔ is taken (1ms)",
            "✖ failing tests:",
            "✖ is refused (4.7ms)",
        ];
        for line in lines {
            sum.add(node_line(line));
        }
        assert_eq!(sum.names, ["boxes::rounding", "is refused (4.7ms)"]);
    }
}
