//! The programs that build the page: trunk, wasm-bindgen, wasm-opt; and cargo-deny, which checks dependencies.
//!
//! Each is taken from `PATH` where its version is right, else from the tools folder, else installed
//! there: outside the checkout, so that a fresh clone does not build them again. They are built at
//! opt-level 1: trunk only copies files and starts programs, and wasm-bindgen takes seconds either way.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::step::{command, note, output, run, run_quiet, step};

/// Versions. `wasm-bindgen` has to equal the library's, see `Cargo.toml` of the workspace.
const TRUNK: &str = "0.21.14";
const WASM_BINDGEN: &str = "0.2.130";
/// What checks the dependencies.
const DENY: &str = "0.20.2";
/// binaryen, as its npm package and as `wasm-opt --version` says it.
const BINARYEN: &str = "132";

/// The folder for tools: `CROPVLM_TOOLS`, else `~/.cache/cropvlm/tools`.
pub fn folder() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("CROPVLM_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("cropvlm/tools")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/cropvlm/tools")))
        .or_else(|| set("USERPROFILE").map(|home| home.join(".cache/cropvlm/tools")))
        .context("no home folder; set CROPVLM_TOOLS to a folder for tools")
}

/// Installs what is missing; returns the folders that have to come first on `PATH`.
pub fn find_or_install() -> Result<Vec<PathBuf>> {
    let folder = folder()?;
    let cargo_bin = folder.join("bin");
    let npm_bin = folder.join("binaryen/node_modules/.bin");
    step(&format!("wasm-bindgen {WASM_BINDGEN}"), || {
        // Without TLS and the test runner: neither is used, and both take long to build.
        // Not `--locked`: its lock file names versions so new that a mirror may not have them yet.
        let extra = ["--no-default-features", "--bin", "wasm-bindgen"];
        cargo_tool(
            "wasm-bindgen",
            "wasm-bindgen-cli",
            WASM_BINDGEN,
            &extra,
            &folder,
        )
    })?;
    step(&format!("trunk {TRUNK}"), || {
        // Without TLS and the update check: it runs with `offline = true`.
        cargo_tool(
            "trunk",
            "trunk",
            TRUNK,
            &["--no-default-features", "--locked"],
            &folder,
        )
    })?;
    step(&format!("wasm-opt (binaryen {BINARYEN})"), || {
        binaryen(&folder, &npm_bin)
    })?;
    Ok(vec![cargo_bin, npm_bin])
}

/// cargo-deny, found or installed: three minutes on two cores, once.
pub fn deny() -> Result<PathBuf> {
    let folder = folder()?;
    cargo_tool("cargo-deny", "cargo-deny", DENY, &["--locked"], &folder)
}

/// A program that `cargo install` brings; where it is.
fn cargo_tool(
    program: &str,
    package: &str,
    version: &str,
    extra: &[&str],
    folder: &std::path::Path,
) -> Result<PathBuf> {
    let ours = folder.join("bin").join(program);
    for candidate in [ours.to_string_lossy().as_ref(), program] {
        if output(candidate, &["--version"])
            .is_some_and(|text| text.split_whitespace().any(|word| word == version))
        {
            note(&format!("found {candidate}"));
            return Ok(PathBuf::from(candidate));
        }
    }
    note(&format!(
        "building it into {} (some minutes, once)",
        folder.display()
    ));
    let root = folder.to_string_lossy();
    let mut arguments = vec![
        "install",
        package,
        "--version",
        version,
        "--force",
        "--quiet",
        "--root",
        &root,
    ];
    arguments.extend(extra);
    run(command("cargo", &arguments)
        .current_dir(std::env::temp_dir())
        .env_remove("RUSTFLAGS")
        // Its own target folder, which cargo removes afterwards: no lock shared with the workspace.
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false"))
    .with_context(|| {
        format!(
            "{package} could not be built. What to do: check that crates.io can be reached, \
             or put {program} {version} on PATH"
        )
    })?;
    Ok(ours)
}

/// wasm-opt from npm: there seconds, where distributions ship one too old for today's wasm.
fn binaryen(folder: &std::path::Path, bin: &std::path::Path) -> Result<()> {
    let ours = bin.join("wasm-opt");
    let wanted = |text: String| text.split_whitespace().any(|word| word == BINARYEN);
    for candidate in [ours.to_string_lossy().as_ref(), "wasm-opt"] {
        if output(candidate, &["--version"]).is_some_and(wanted) {
            note(&format!("found {candidate}"));
            return Ok(());
        }
    }
    need_node()?;
    note("installing it with npm");
    let prefix = folder.join("binaryen");
    std::fs::create_dir_all(&prefix)?;
    let package = format!("binaryen@{BINARYEN}.0.0");
    run_quiet(&mut command(
        "npm",
        &["install", "--prefix", &prefix.to_string_lossy(), "--no-audit", "--no-fund", "--silent", &package],
    ))
    .context("binaryen could not be installed. What to do: check that npm reaches its registry, or put wasm-opt 132 on PATH")?;
    ensure!(
        output(&ours.to_string_lossy(), &["--version"]).is_some_and(wanted),
        "binaryen was installed, but {} does not run",
        ours.display()
    );
    Ok(())
}

/// Node is asked of the person: it is one of the two things a fresh machine has.
pub fn need_node() -> Result<()> {
    let version = output("node", &["--version"]).context(
        "Node is missing. What to do: install Node 20 or newer (https://nodejs.org, or `apt-get install nodejs npm`)",
    )?;
    let major: u32 = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    ensure!(
        major >= 20,
        "Node {version} is too old. What to do: install Node 20 or newer"
    );
    Ok(())
}
