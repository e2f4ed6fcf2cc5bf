//! The reader of PDF documents, `pdfjs-dist`, from npm into `dist/pdf` with its licences.
//!
//! The page loads it only when somebody chooses a document, so it is no part of the copy for use without a connection:
//! 4 MB that most visitors never need. `web/pdf/package-lock.json` names the version and its hash.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::step::{command, note, run_quiet};
use crate::{root, tools};

/// Files and folders of the package that the page loads: reader, its worker, tables for characters, fonts that
/// documents name without carrying them, decoders of rare pictures, a profile for inks.
const PARTS: [(&str, &str); 7] = [
    ("LICENSE", "LICENSE"),
    ("build/pdf.min.mjs", "pdf.min.mjs"),
    ("build/pdf.worker.min.mjs", "pdf.worker.min.mjs"),
    ("cmaps", "cmaps"),
    ("standard_fonts", "standard_fonts"),
    ("wasm", "wasm"),
    ("iccs", "iccs"),
];

/// What runs the scripts that documents carry: nobody needs that to see a page.
const LEFT_OUT: &str = "quickjs-eval";

/// Installs the package where it is not there yet, and copies what the page loads.
///
/// # Errors
/// npm cannot be reached, or the package is not what it was.
pub fn vendor(dist: &Path) -> Result<()> {
    let from = install()?;
    let to = dist.join("pdf");
    for (part, name) in PARTS {
        copy(&from.join(part), &to.join(name))?;
    }
    Ok(())
}

fn install() -> Result<std::path::PathBuf> {
    tools::need_node()?;
    let folder = tools::folder()?.join("pdf");
    let package = folder.join("node_modules/pdfjs-dist");
    std::fs::create_dir_all(&folder)?;
    let lock = std::fs::read(root().join("web/pdf/package-lock.json"))?;
    let stamp = folder.join("node_modules/.installed-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        note("already there");
        return Ok(package);
    }
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(root().join("web/pdf").join(name), folder.join(name))?;
    }
    // Its optional dependency draws on Node's side, and is not needed.
    let arguments = [
        "ci",
        "--omit=optional",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ];
    run_quiet(command("npm", &arguments).current_dir(&folder)).context(
        "pdfjs-dist could not be installed. What to do: check that npm reaches its registry",
    )?;
    ensure!(
        package.join("build/pdf.min.mjs").is_file(),
        "npm installed pdfjs-dist, but its build/pdf.min.mjs is missing"
    );
    std::fs::write(&stamp, lock)?;
    Ok(package)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let name = || from.display().to_string();
    if from.is_file() {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(from, to).with_context(name)?;
        return Ok(());
    }
    for entry in std::fs::read_dir(from).with_context(name)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(LEFT_OUT) {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
