//! What reads the sources without running them: rustfmt, clippy and rustdoc. A warning is a failure.
//!
//! clippy and rustdoc need the metadata of every dependency, which is made once for both (`cargo check` in the release
//! profile shares build scripts and procedural macros with the tests).

use std::process::Command;

use anyhow::Result;

use crate::step::{command, note, output, run, step};
use crate::wasm::{self, TARGET, Toolchain};

/// The crate that is checked for wasm32 alone: natively nothing uses it.
pub const WASM_ONLY: &str = "cropvlm-trainable";

/// One thing that can be found wanting.
type Check = fn() -> Result<()>;

/// All of them, named as a person would.
pub const CHECKS: [(&str, Check); 4] = [
    ("formatting (cargo fmt --check)", format),
    ("clippy, native", clippy),
    ("rustdoc", rustdoc),
    ("clippy, wasm32", clippy_wasm),
];

/// Runs everything; the first finding ends it.
pub fn lint() -> Result<()> {
    CHECKS
        .iter()
        .try_for_each(|(what, check)| step(what, check))
}

/// rustfmt.
pub fn format() -> Result<()> {
    run(&mut command("cargo", &["fmt", "--all", "--check"]))
}

/// The workspace without what only builds for the browser.
const NATIVE: [&str; 4] = ["--release", "--workspace", "--exclude", WASM_ONLY];

fn cargo(what: &str, arguments: &[&str]) -> Command {
    let mut all = vec![what];
    all.extend(arguments);
    command("cargo", &all)
}

fn clippy() -> Result<()> {
    let mut clippy = cargo("clippy", &NATIVE);
    run(clippy.args(["--all-targets", "--", "-D", "warnings"]))
}

fn rustdoc() -> Result<()> {
    let mut doc = cargo("doc", &NATIVE);
    run(doc.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}

/// The page's modules as the browser gets them. Where the compiler for wasm32 comes without clippy (Debian's does), the
/// native run has seen all but the second module.
fn clippy_wasm() -> Result<()> {
    let toolchain = wasm::find_or_install(wasm::Source::Auto)?;
    if !has_clippy(&toolchain) {
        note(
            "not run: the compiler for WebAssembly comes without clippy (`rustup component add clippy` adds it)",
        );
        return Ok(());
    }
    let arguments = [
        "--release",
        "-p",
        "cropvlm-web",
        "-p",
        "cropvlm-worker",
        "-p",
        "cropvlm-smolvlm",
        "-p",
        WASM_ONLY,
        "--target",
        TARGET,
    ];
    let mut clippy = cargo("clippy", &arguments);
    if let Some(name) = &toolchain.name {
        clippy.env("RUSTUP_TOOLCHAIN", name);
    }
    run(clippy.args(["--", "-D", "warnings"]))
}

fn has_clippy(toolchain: &Toolchain) -> bool {
    match (&toolchain.name, &toolchain.path) {
        (Some(name), _) => output("rustup", &["run", name, "cargo-clippy", "--version"]).is_some(),
        // Debian's without rustup: clippy of that version is not packaged.
        (None, Some(_)) => false,
        (None, None) => output("cargo", &["clippy", "--version"]).is_some(),
    }
}
