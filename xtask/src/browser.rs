//! Chromium and the packages that drive it, for the browser tests and the benchmark.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::{apt_install, command, note, output, run_quiet, step};
use crate::{root, tools};

/// Finds Chromium, or installs it from the system's packages; returns its path.
pub fn find_or_install() -> Result<PathBuf> {
    step("Chromium", || {
        if let Some(path) = find() {
            note(&format!("found {}", path.display()));
            return Ok(path);
        }
        note("not found: installing the system's package");
        apt_install(&["chromium"]).context("Chromium is missing. What to do: install Chromium or Chrome, or set CHROMIUM to its path")?;
        find().context("the package was installed, but no program `chromium` is there; set CHROMIUM to its path")
    })
}

fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM")
        .map(PathBuf::from)
        .filter(|path| path.exists())
    {
        return Some(path);
    }
    let mac = Path::new("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    if mac.exists() {
        return Some(mac.to_path_buf());
    }
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file() && output(&path.to_string_lossy(), &["--version"]).is_some())
}

/// Installs playwright-core, which drives Chromium, as `tests/browser/package-lock.json` says.
pub fn packages() -> Result<()> {
    step("playwright-core (npm)", || {
        tools::need_node()?;
        let folder = folder();
        let lock = std::fs::read(folder.join("package-lock.json"))?;
        let stamp = folder.join("node_modules/.installed-lock");
        if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            note("already there");
            return Ok(());
        }
        run_quiet(command("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(&folder))
            .context("npm cannot install it. What to do: check that npm reaches its registry")?;
        std::fs::write(&stamp, lock)?;
        Ok(())
    })
}

/// `node` in the folder of the browser tests, told where everything is.
pub fn node(chromium: &Path, arguments: &[&str]) -> Command {
    let mut command = command("node", arguments);
    command
        .current_dir(folder())
        .env("CHROMIUM", chromium)
        .env("DIST", root().join("dist"))
        .env("CROPVLM", crate::program::path())
        .env("ARTIFACTS", target().join("browser"));
    command
}

/// Where the browser tests live.
pub fn folder() -> PathBuf {
    root().join("tests/browser")
}

/// cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
