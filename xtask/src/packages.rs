//! The crates that other Rust programs may use on their own, as crates.io would get them.

use anyhow::{Context, Result};

use crate::step::{command, run_quiet};

/// What the map policy is used with, and what asks a provider: none of them knows burn.
const PUBLISHED: [&str; 7] = [
    "grounding",
    "picture",
    "tensors",
    "kernels",
    "mapnet",
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
