//! Outputs: written beside their place and renamed into it, so that a kill or a full disk leaves the old one whole.
//!
//! ```text
//! check_file, check_folder, not_an_input    before the work: can this be written, and is it ours to write?
//! file, folder                              after it
//! lock, append_lines                        line by line, while it goes on
//! ```
//!
//! What is written lies in `.NAME.new` beside `NAME` until it is whole and on the disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Writes a file in place of what was there; its folder is made. A pipe or a device (`/dev/stdout`) is written into.
///
/// # Errors
/// A disk that is full, a path that cannot be written; what was there stays.
pub fn file(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let path = behind_link(path);
        let before = fs::metadata(&path).ok();
        if let Some(special) = &before
            && !special.is_file()
            && !special.is_dir()
        {
            return File::create(&path)?.write_all(bytes);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = beside(&path, "new");
        let done = (|| {
            let mut file = File::create(&new)?;
            file.write_all(bytes)?;
            if let Some(before) = &before {
                file.set_permissions(before.permissions())?;
            }
            file.sync_all()?;
            fs::rename(&new, &path)
        })();
        if done.is_err() {
            let _ = fs::remove_file(&new);
        }
        done
    };
    write().with_context(|| cannot(path))
}

/// Opens a file of JSON lines, which need not be there, to append to it. A last line that a kill cut off goes.
///
/// # Errors
/// A file that cannot be read or written.
pub fn append_lines(path: &Path) -> Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).open(path)?;
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|&byte| byte == b'\n');
        let whole = end.map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
        }
        io::Result::Ok(file)
    };
    open().with_context(|| format!("{}: cannot be opened", path.display()))
}

/// The file that is held by the program that writes into a folder.
pub const LOCK: &str = ".lock";

/// Holds a folder that is there until this is dropped, so that two programs never append to the same files; `None` where
/// the file system knows no locks.
///
/// # Errors
/// A folder that another program holds, or that cannot be written.
pub fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let about = || format!("{}: cannot be written", path.display());
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(about)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another run is writing into this folder; wait for its end, or name another --out",
            folder.display()
        ),
        // Some network file systems have none.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Replaces a folder by what `write` puts into a new one. At any moment a whole one is there, the old or the new; where
/// the system cannot exchange two folders, for the moment between two renames at `.NAME.old`, see [`recover`].
///
/// # Errors
/// Those of `write` and of the disk; the old folder stays.
pub fn folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = behind_link(path);
    recover(&path)?;
    let new = beside(&path, "new");
    let clear = || {
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir_all(&new)
    };
    clear().with_context(|| cannot(&path))?;
    let done = write(&new).and_then(|()| {
        sync(&new)
            .and_then(|()| exchange(&new, &path))
            .with_context(|| cannot(&path))
    });
    // What was there before, or what a full disk holds of the new one.
    let _ = fs::remove_dir_all(&new);
    done
}

/// Takes back a folder that a kill between two renames left at `.NAME.old`.
///
/// # Errors
/// A folder that cannot be renamed.
pub fn recover(path: &Path) -> Result<()> {
    let old = beside(path, "old");
    if !path.exists() && old.exists() {
        fs::rename(&old, path).with_context(|| cannot(path))?;
    }
    Ok(())
}

/// Whether a file can be written at `path`, found out by trying beside it. Nothing is left behind.
///
/// # Errors
/// A folder of that name; a file that is write-protected; a place where nothing can be written.
pub fn check_file(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        bail!("the output has no name: name a file");
    }
    if path.is_dir() {
        bail!("{}: is a folder; name a file", path.display());
    }
    let path = behind_link(path);
    match fs::metadata(&path) {
        Ok(there) if !there.is_file() => Ok(()),
        Ok(there) if there.permissions().readonly() => {
            bail!("{}: is write-protected; name another file", path.display())
        }
        _ => try_beside(&path),
    }
}

/// Whether a folder can be written at `path`.
///
/// # Errors
/// A file of that name; a place where nothing can be written.
pub fn check_folder(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        bail!("{}: is a file; name a folder", path.display());
    }
    try_beside(&behind_link(path))
}

/// Whether a folder is a model's, so that another model may take its place: new, empty, or one with a `config.json`
/// (or an adapter's) and no folders within.
///
/// # Errors
/// A folder of something else, by what is in it; as [`check_folder`].
pub fn check_model_folder(path: &Path) -> Result<()> {
    check_folder(path)?;
    if !path.exists() {
        return Ok(());
    }
    let entries =
        fs::read_dir(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut stranger: Option<(OsString, bool)> = None;
    let mut known = false;
    for entry in entries {
        let entry = entry?;
        let (name, is_dir) = (entry.file_name(), entry.path().is_dir());
        known |= !is_dir && (name == "config.json" || name == "adapter_config.json");
        if stranger
            .as_ref()
            .is_none_or(|(_, was_dir)| is_dir && !was_dir)
        {
            stranger = Some((name, is_dir));
        }
    }
    match stranger {
        Some((name, is_dir)) if is_dir || !known => bail!(
            "{}: holds {}, so it is no model folder, and would be lost; name another one",
            path.display(),
            Path::new(&name).display()
        ),
        _ => Ok(()),
    }
}

/// Refuses an output that would overwrite what it is made from.
///
/// # Errors
/// An output that is one of the inputs, or a folder around one.
pub fn not_an_input(out: &Path, inputs: &[&Path]) -> Result<()> {
    let Ok(whole) = out.canonicalize() else {
        return Ok(()); // it is not there yet
    };
    for input in inputs {
        let Ok(input) = input.canonicalize() else {
            continue;
        };
        if input == whole {
            bail!(
                "{}: is the input as well, which would be overwritten; name another output",
                out.display()
            );
        }
        if input.is_dir() && whole.is_file() && whole.starts_with(&input) {
            bail!(
                "{}: is a part of the input, which would be overwritten; name another output",
                out.display()
            );
        }
        if input.starts_with(&whole) {
            bail!(
                "{}: the input {} lies in it, and would be lost; name another output",
                out.display(),
                input.display()
            );
        }
    }
    Ok(())
}

/// `.NAME.ending` beside a file or folder.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or("output".as_ref()));
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Where a link leads: the link itself stays a link. A path that ends in `..` gets its name.
fn behind_link(path: &Path) -> PathBuf {
    let link = path.is_symlink() || path.file_name().is_none();
    match link.then(|| path.canonicalize()) {
        Some(Ok(target)) => target,
        _ => path.to_path_buf(),
    }
}

fn try_beside(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let place = parent
        .ancestors()
        .find(|p| !p.as_os_str().is_empty() && p.exists());
    let place = place.unwrap_or(Path::new("."));
    if !place.is_dir() {
        bail!(
            "{}: cannot be written: {} is no folder",
            path.display(),
            place.display()
        );
    }
    let probe = beside(&place.join(path.file_name().unwrap_or_default()), "new");
    let there = probe.exists();
    let tried = match there {
        true => Ok(()), // left by a kill; it will be replaced
        false => File::create(&probe).and_then(|_| fs::remove_file(&probe)),
    };
    tried.with_context(|| cannot(path))
}

/// Every file of a folder is on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => sync(&path)?,
            false => File::open(&path)?.sync_all()?,
        }
    }
    Ok(())
}

/// Puts `new` at `path`, and what was there, if anything, at `new`.
fn exchange(new: &Path, path: &Path) -> io::Result<()> {
    if !path.exists() {
        return fs::rename(new, path);
    }
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
    }
    // A file system that cannot do both at once.
    let old = beside(path, "old");
    if old.exists() {
        fs::remove_dir_all(&old)?;
    }
    fs::rename(path, &old)?;
    fs::rename(new, path)?;
    fs::remove_dir_all(&old)
}

fn cannot(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/v1.0");
        for text in ["one", "two"] {
            file(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(&place.path().join("deep")), ["v1.0"]);
    }

    #[test]
    fn a_folder_stays_whole_when_its_successor_fails() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model.a");
        let put = |text: &'static str| move |new: &Path| Ok(fs::write(new.join("x"), text)?);
        folder(&path, put("one")).unwrap();
        // Neighbours whose names a careless ending would hit.
        for name in ["model.old", "model.new", "model.a.old"] {
            fs::write(place.path().join(name), "mine").unwrap();
        }
        let fails = |new: &Path| {
            fs::write(new.join("x"), "half")?;
            bail!("the disk is full")
        };
        assert!(folder(&path, fails).is_err());
        assert_eq!(fs::read_to_string(path.join("x")).unwrap(), "one");
        folder(&path, put("two")).unwrap();
        assert_eq!(fs::read_to_string(path.join("x")).unwrap(), "two");
        assert_eq!(
            names(place.path()),
            ["model.a", "model.a.old", "model.new", "model.old"]
        );
    }

    #[test]
    fn a_folder_between_two_renames_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("model");
        fs::create_dir(place.path().join(".model.old")).unwrap();
        recover(&path).unwrap();
        assert_eq!(names(place.path()), ["model"]);
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_into_and_links_stay_links() {
        file(Path::new("/dev/null"), b"gone").unwrap();
        check_file(Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let place = tempfile::tempdir().unwrap();
        let (target, link) = (place.path().join("target"), place.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        file(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let place = tempfile::tempdir().unwrap();
        let plain = place.path().join("plain");
        fs::write(&plain, "text").unwrap();
        let error = |found: Result<()>| format!("{:#}", found.unwrap_err());
        assert!(error(check_file(place.path())).contains("is a folder"));
        assert!(error(check_folder(&plain)).contains("is a file"));
        assert!(error(check_file(&plain.join("x"))).contains("is no folder"));
        check_file(&plain).unwrap();
        check_file(&place.path().join("new/deep/file")).unwrap();
        let mut rights = fs::metadata(&plain).unwrap().permissions();
        rights.set_readonly(true);
        fs::set_permissions(&plain, rights).unwrap();
        assert!(error(check_file(&plain)).contains("write-protected"));
        assert_eq!(names(place.path()), ["plain"]);
    }

    #[test]
    fn a_folder_of_something_else_is_no_models() {
        let place = tempfile::tempdir().unwrap();
        check_model_folder(&place.path().join("new")).unwrap();
        check_model_folder(place.path()).unwrap();
        fs::write(place.path().join("letter.odt"), "").unwrap();
        let error = check_model_folder(place.path()).unwrap_err().to_string();
        assert!(error.contains("letter.odt"), "{error}");
        fs::write(place.path().join("config.json"), "{}").unwrap();
        check_model_folder(place.path()).unwrap();
        fs::create_dir(place.path().join("checkpoint")).unwrap();
        let error = check_model_folder(place.path()).unwrap_err().to_string();
        assert!(error.contains("checkpoint"), "{error}");
    }

    #[test]
    fn an_output_over_its_input_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let model = place.path().join("run/model");
        fs::create_dir_all(&model).unwrap();
        let same = place.path().join("run/../run/model");
        let error = not_an_input(&same, &[&model]).unwrap_err().to_string();
        assert!(error.contains("is the input"), "{error}");
        let around = place.path().join("run");
        let error = not_an_input(&around, &[&model]).unwrap_err().to_string();
        assert!(error.contains("lies in it"), "{error}");
        not_an_input(&place.path().join("other"), &[&model]).unwrap();
        not_an_input(&model.join("inside"), &[&model]).unwrap();
        fs::write(model.join("inside"), "").unwrap();
        let error = not_an_input(&model.join("inside"), &[&model])
            .unwrap_err()
            .to_string();
        assert!(error.contains("part of the input"), "{error}");
    }
}
