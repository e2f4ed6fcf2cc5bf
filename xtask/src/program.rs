//! The `cropvlm` program: built once for every command that calls it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser::target;
use crate::step::{command, run, step};

/// Builds it in release.
pub fn build() -> Result<()> {
    step("the native program", || {
        // The selection that `cargo xtask test` builds: another one would compile burn once more.
        run(&mut command(
            "cargo",
            &[
                "build",
                "--release",
                "--workspace",
                "--exclude",
                crate::lint::WASM_ONLY,
                "--bin",
                "cropvlm",
            ],
        ))
    })
}

/// Where it is.
pub fn path() -> PathBuf {
    target().join("release/cropvlm")
}

/// A call of it, in the root of the checkout.
pub fn call(arguments: &[&str]) -> Command {
    command(&path().to_string_lossy(), arguments)
}

/// The last line that a command prints, as JSON; its progress is passed through.
pub fn json(command: &mut Command) -> Result<Value> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("it could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "it ended with {}: {text}",
        output.status
    );
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .context("it printed no JSON")?;
    Ok(serde_json::from_str(line)?)
}
