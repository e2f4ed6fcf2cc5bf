//! The crates that other Rust programs may use on their own, as crates.io would get them.

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
/// built the same files.
///
/// # Errors
/// A crate that cannot be packaged.
pub fn check() -> Result<()> {
    let mut package = command(
        "cargo",
        &["package", "--offline", "--allow-dirty", "--no-verify"],
    );
    for name in PUBLISHED {
        package.args(["-p", name]);
    }
    run_quiet(&mut package).context("What to do: complete the crate's Cargo.toml")
}
