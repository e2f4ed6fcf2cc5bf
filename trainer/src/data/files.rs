//! Which files a path means: one file, the parquet files of a folder, its one table, or a pattern.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::wildcard;

/// The files that a path means.
///
/// # Errors
/// A path that is not there, or of which it is not clear what is meant.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if path.is_dir() {
        return folder(path);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !wildcard::is_pattern(&name) {
        bail!("{}: there is no such file or folder", path.display());
    }
    let found: Vec<PathBuf> = list(parent)?
        .into_iter()
        .filter(|p| {
            p.is_file()
                && wildcard::fits(&name, &p.file_name().unwrap_or_default().to_string_lossy())
        })
        .collect();
    match &found[..] {
        [] => bail!("{}: no file has such a name", path.display()),
        [_] => {}
        several if several.iter().all(|p| has_ending(p, "parquet")) => {}
        several => bail!(
            "{}: {} files have such a name; only parquet files are read together",
            path.display(),
            several.len()
        ),
    }
    Ok(found)
}

/// The data files of a folder: its parquet files of one split, else its one table.
fn folder(path: &Path) -> Result<Vec<PathBuf>> {
    let mut splits: BTreeMap<(PathBuf, String), Vec<PathBuf>> = BTreeMap::new();
    let (mut tables, mut arrow) = (Vec::new(), false);
    let mut folders = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for file in list(&folder)? {
            if file.is_dir() && depth < 3 {
                folders.push((file, depth + 1));
            } else if has_ending(&file, "arrow") {
                arrow = true;
            } else if has_ending(&file, "parquet") {
                let split = stem(&file)
                    .split("-0")
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let numbered = split.chars().all(|c| c.is_ascii_digit());
                let split = if numbered { String::new() } else { split };
                splits
                    .entry((folder.clone(), split))
                    .or_default()
                    .push(file);
            } else if depth == 0
                && ["jsonl", "json", "csv", "tsv"]
                    .iter()
                    .any(|e| has_ending(&file, e))
            {
                tables.push(file);
            }
        }
    }
    let patterns: Vec<String> = splits
        .iter()
        .map(|((folder, split), files)| {
            format!(
                "{} ({} files)",
                folder.join(format!("{split}*.parquet")).display(),
                files.len()
            )
        })
        .collect();
    let several = splits.len() > 1;
    if several {
        bail!(
            "{}: holds several parts, and mixing them is rarely meant; name one of: {}",
            path.display(),
            patterns.join("; ")
        );
    }
    if let Some(files) = splits.into_values().next() {
        complete(&files)?;
        return Ok(files);
    }
    if arrow {
        bail!(
            "{}: holds Arrow files, as `save_to_disk` writes them, which are not read; in Python, \
             `datasets.load_from_disk(\"{0}\").to_parquet(\"data.parquet\")` makes what is",
            path.display()
        );
    }
    let metadata = tables.iter().find(|t| stem(t) == "metadata").cloned();
    match (metadata, &tables[..]) {
        (Some(file), _) => Ok(vec![file]),
        (None, [file]) => Ok(vec![file.clone()]),
        (None, []) => bail!(
            "{}: holds no data: .parquet files are needed, or a .jsonl, .json or .csv of questions \
             beside the pictures",
            path.display()
        ),
        (None, several) => bail!(
            "{}: holds several tables; name one of: {}",
            path.display(),
            several
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
                .join("; ")
        ),
    }
}

/// Refuses a folder in which some of the shards are missing, as after a broken download.
fn complete(files: &[PathBuf]) -> Result<()> {
    let numbers: Vec<(usize, usize)> = files
        .iter()
        .filter_map(|file| {
            let stem = stem(file);
            let (rest, all) = stem.rsplit_once("-of-")?;
            // Older files have a checksum behind the number.
            let all = all.split('-').next()?;
            Some((rest.rsplit('-').next()?.parse().ok()?, all.parse().ok()?))
        })
        .collect();
    let Some(&(_, all)) = numbers.first() else {
        return Ok(());
    };
    let missing: Vec<String> = (0..all)
        .filter(|i| !numbers.iter().any(|(number, _)| number == i))
        .map(|i| i.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let folder = files[0].parent().unwrap_or(Path::new("."));
    bail!(
        "{}: parts {} of {all} are missing; get them, or name those to read, for example {}",
        folder.display(),
        missing.join(", "),
        folder.join("train-*.parquet").display()
    )
}

/// Entries of a folder by name, hidden ones left out.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{}: cannot be read", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| folder.display().to_string())?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a file's name ends so, in whatever case.
pub fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// A file's name without its ending.
pub fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
