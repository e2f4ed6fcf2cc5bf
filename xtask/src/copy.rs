//! What the page needs to work without a connection: the list of its files, and the name of the build.
//!
//! The service worker keeps a file only when length and hash are those of the list. The name of the build stands in
//! `index.html` and in the worker's loader, so that a page that is older than the files on its host never runs a worker
//! of theirs: the loader compares the two and says so instead.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Where `web/sw.js` wants its files: between these two.
const LIST: [&str; 2] = ["const FILES = {", "};"];
/// trunk's loader of the worker module.
const LOADER: &str = "worker_loader.js";

/// Names the build in `dist`, by what is fetched before the first box. What is built later belongs to it.
///
/// # Errors
/// A file that is missing, cannot be read or has no place for what belongs into it.
pub fn name(dist: &Path) -> Result<()> {
    let build = build_of(&entries(dist)?);
    edit(
        dist,
        "index.html",
        "<html",
        &format!("<html data-build=\"{build}\""),
    )?;
    let loader = text(dist, LOADER)?;
    std::fs::write(dist.join(LOADER), guard_worker(&build) + &loader)?;
    Ok(())
}

/// Tells the service worker which files make the build, as they are now. Can be done again.
///
/// # Errors
/// As [`name`].
pub fn list(dist: &Path) -> Result<()> {
    let lines: Vec<String> = entries(dist)?
        .iter()
        .map(|(name, hash, length)| format!("\n  {name:?}: [\"{hash}\", {length}]"))
        .collect();
    let worker = text(dist, "sw.js")?;
    let [from, to] = LIST;
    let known = worker.split_once(from).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(to)?;
        Some((before, after))
    });
    let (before, after) =
        known.with_context(|| format!("sw.js has no place for its files: {from}"))?;
    let listed = format!("{before}{from}{}\n{to}{after}", lines.join(","));
    std::fs::write(dist.join("sw.js"), listed)?;
    Ok(())
}

/// Has a module that is loaded later refuse a page of another build, whose messages it may not understand. `loader` is its script.
///
/// # Errors
/// As [`name`].
pub fn guard(dist: &Path, loader: &str) -> Result<()> {
    let page = text(dist, "index.html")?;
    let build = page
        .split_once("data-build=\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let (build, _) = build.context("index.html names no build")?;
    let guard = format!(
        "if ((new URL(import.meta.url).searchParams.get('build') ?? '{build}') !== '{build}') {{\n  \
         throw new Error('the host has a newer version of this page: reload it');\n}}\n"
    );
    let script = text(dist, loader)?;
    std::fs::write(dist.join(loader), guard + &script)?;
    Ok(())
}

/// The first lines of the worker's loader: a page of another build gets no worker, but is told.
fn guard_worker(build: &str) -> String {
    format!(
        "if ((new URL(self.location.href).searchParams.get('build') ?? '{build}') !== '{build}') {{\n  \
         self.postMessage(['OtherBuild']);\n  await new Promise(() => {{}});\n}}\n"
    )
}

/// Name, SHA-256 and length of every file that is kept, by name.
fn entries(dist: &Path) -> Result<Vec<(String, String, usize)>> {
    let mut files = Vec::new();
    collect(dist, &mut files)?;
    let mut entries = Vec::new();
    for path in files {
        let name = path
            .strip_prefix(dist)?
            .to_string_lossy()
            .replace('\\', "/");
        if name == "sw.js" || name.ends_with(".md") {
            continue;
        }
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        entries.push((name, hex(&Sha256::digest(&bytes)), bytes.len()));
    }
    entries.sort();
    Ok(entries)
}

/// The name of a build: it follows from all of its files.
fn build_of(entries: &[(String, String, usize)]) -> String {
    let mut hash = Sha256::new();
    for (name, file, _) in entries {
        hash.update(format!("{name} {file}\n"));
    }
    hex(&hash.finalize())[..16].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(dist: &Path, name: &str) -> Result<String> {
    let path = dist.join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Puts something in the place of the first `from`.
fn edit(dist: &Path, name: &str, from: &str, to: &str) -> Result<()> {
    let found = text(dist, name)?;
    ensure!(
        found.contains(from),
        "{name} has no place for what belongs into it: {from}"
    );
    std::fs::write(dist.join(name), found.replacen(from, to, 1))?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a panic is how a test fails
mod tests {
    use super::*;

    /// The script of a module that is loaded later.
    const LATER: &str = "trainable/trainable.js";

    #[test]
    fn every_file_is_listed_as_it_lies_there_and_the_build_is_named() {
        let dist = std::env::temp_dir().join(format!("cropvlm-copy-{}", std::process::id()));
        std::fs::create_dir_all(dist.join("models")).unwrap();
        for (name, content) in [
            ("index.html", "<!doctype html><html lang=\"en\">"),
            ("sw.js", "const FILES = {/* FILES */};\nconst NEXT = {};"),
            (LOADER, "import init from './worker.js';"),
            ("models/a.bin", "abc"),
            ("README.md", "not kept"),
        ] {
            std::fs::write(dist.join(name), content).unwrap();
        }
        name(&dist).unwrap();
        list(&dist).unwrap();
        let worker = text(&dist, "sw.js").unwrap();
        // The SHA-256 of "abc" (FIPS 180-2, B.1).
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(
            worker.contains(&format!("\"models/a.bin\": [\"{abc}\", 3]")),
            "{worker}"
        );
        assert!(
            !worker.contains("README") && !worker.contains("\"sw.js\""),
            "{worker}"
        );
        let page = text(&dist, "index.html").unwrap();
        let build = page
            .split("data-build=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(build.len(), 16);
        assert!(
            text(&dist, LOADER)
                .unwrap()
                .contains(&format!("!== '{build}'"))
        );
        // What is listed is what lies there now, with the build's name in it.
        let hash = hex(&Sha256::digest(page.as_bytes()));
        assert!(worker.contains(&hash), "{worker}");
        // What is built later is listed, too, and tied to the same build.
        std::fs::create_dir_all(dist.join("trainable")).unwrap();
        std::fs::write(dist.join(LATER), "export {};").unwrap();
        guard(&dist, LATER).unwrap();
        list(&dist).unwrap();
        let worker = text(&dist, "sw.js").unwrap();
        let trainable = text(&dist, LATER).unwrap();
        let hash = hex(&Sha256::digest(trainable.as_bytes()));
        assert!(trainable.contains(&format!("!== '{build}'")), "{trainable}");
        assert!(worker.contains(&hash) && worker.contains(abc), "{worker}");
        assert!(worker.ends_with("};\nconst NEXT = {};"), "{worker}");
        assert_eq!(worker.matches("models/a.bin").count(), 1, "{worker}");
        std::fs::remove_dir_all(&dist).unwrap();
    }
}
