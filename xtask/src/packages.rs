//! The crates that other Rust programs may use on their own, as crates.io would get them.

use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{command, run_quiet};

/// What policies are used with, and what asks a provider.
const PUBLISHED: [&str; 8] = [
    "grounding",
    "picture",
    "tensors",
    "kernels",
    "mapnet",
    "smolvlm",
    "engine",
    "vlm-api",
];

/// `cargo package`: every crate's manifest is complete and its dependencies have versions. Nothing is built; the tests have
/// built the same files. The registry's index is asked only where what is known of it here does not do: `smolvlm` may be built
/// with burn, whose own dependencies are more than this workspace builds.
///
/// # Errors
/// A crate that cannot be packaged.
pub fn check() -> Result<()> {
    let offline = run_quiet(&mut package(&["--offline"]));
    offline
        .or_else(|_| run_quiet(&mut package(&[])))
        .context("What to do: complete the crate's Cargo.toml")
}

fn package(more: &[&str]) -> Command {
    let mut package = command("cargo", &["package", "--allow-dirty", "--no-verify"]);
    package.args(more);
    for name in PUBLISHED {
        package.args(["-p", name]);
    }
    package
}
