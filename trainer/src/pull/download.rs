//! One file from the hub to the disk: taken up where it was broken off, checked, then named.
//!
//! What has come lies in `NAME.VERSION.part` beside the target, so that a file which changed on the hub
//! meanwhile is never glued to its old beginning.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::{Body, http::Response};

use super::hub::{Checksum, Hub, RemoteFile, TRIES, busy, wanted_wait};

/// How one try ended.
enum Try {
    Whole,
    /// Not now: after so many seconds perhaps.
    Later {
        why: anyhow::Error,
        wait: Option<u64>,
    },
}

/// Gets a file, unless it is there.
///
/// # Errors
/// A refusal of the hub; a connection that breaks again and again without bringing anything; a content
/// that is not what the hub announced; a disk that is full. What has come is kept, but for a content
/// that is wrong.
pub fn download(
    hub: &Hub,
    url: &str,
    file: &RemoteFile,
    target: &Path,
    progress: &mut Progress,
) -> Result<()> {
    if target
        .metadata()
        .is_ok_and(|m| m.is_file() && m.len() == file.size)
        && right(target, file)?
    {
        progress.kept(file.size);
        return Ok(());
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be made", folder.display()))?;
    let part = part_path(target, &file.version);
    let before = progress.done;
    let mut fresh = false;
    loop {
        receive(hub, url, file, &part, progress, before)?;
        if right(&part, file)? {
            break;
        }
        std::fs::remove_file(&part)
            .with_context(|| format!("{}: cannot be removed", part.display()))?;
        if std::mem::replace(&mut fresh, true) {
            let sum = match file.content {
                Checksum::Git(_) => "git SHA-1",
                _ => "SHA-256",
            };
            bail!(
                "what came is not what the hub announced (its {sum} differs), twice; a proxy may \
                 change it on the way"
            );
        }
    }
    std::fs::rename(&part, target)
        .with_context(|| format!("{}: cannot be written", target.display()))?;
    progress.at(before + file.size);
    Ok(())
}

/// Fills the part file to the announced size.
fn receive(
    hub: &Hub,
    url: &str,
    file: &RemoteFile,
    part: &Path,
    progress: &mut Progress,
    before: u64,
) -> Result<()> {
    let mut failures = 0;
    loop {
        let had = length(part)?;
        if had == file.size && part.is_file() {
            return Ok(());
        }
        if had > file.size {
            // Not ours: nothing writes more than was announced.
            truncate(part)?;
        }
        let (why, wait) = match once(hub, url, file, part, progress, before)? {
            Try::Whole => return Ok(()),
            Try::Later { why, wait } => (why, wait),
        };
        failures = if length(part)? > had { 0 } else { failures + 1 };
        if failures >= TRIES {
            return Err(why.context(format!(
                "{} of {} bytes have come and are kept; say the same again later",
                length(part)?,
                file.size
            )));
        }
        let own = if failures == 0 {
            0
        } else {
            1 << (failures - 1)
        };
        let wait = wait.unwrap_or(own).min(120);
        progress.note(&format!("{}: {why:#}; going on in {wait} s", file.path));
        sleep(Duration::from_secs(wait));
    }
}

/// Asks once for what is missing, and appends what comes.
fn once(
    hub: &Hub,
    url: &str,
    file: &RemoteFile,
    part: &Path,
    progress: &mut Progress,
    before: u64,
) -> Result<Try> {
    let from = length(part)?;
    let reply = match hub.get(url, from) {
        Ok(reply) => reply,
        Err(error) => {
            return Ok(Try::Later {
                why: hub.offline(&error),
                wait: None,
            });
        }
    };
    let status = reply.status().as_u16();
    if status == 416 {
        truncate(part)?;
        return Ok(Try::Later {
            why: anyhow!("the hub has no byte {from} (416)"),
            wait: Some(0),
        });
    }
    if busy(&reply) {
        let wait = wanted_wait(&reply);
        let why = hub
            .accept(reply)
            .err()
            .unwrap_or_else(|| anyhow!("status {status}"));
        return Ok(Try::Later { why, wait });
    }
    let reply = hub.accept(reply)?;
    let from = if status == 206 {
        let range = header(&reply, "content-range").unwrap_or_default();
        if begins_at(&range) != Some(from) {
            truncate(part)?;
            return Ok(Try::Later {
                why: anyhow!("byte {from} was asked for, but the reply has \"{range}\""),
                wait: None,
            });
        }
        from
    } else {
        // The whole file, whatever was asked for.
        truncate(part)?;
        0
    };
    append(reply, file, part, from, progress, before)
}

fn append(
    reply: Response<Body>,
    file: &RemoteFile,
    part: &Path,
    mut have: u64,
    progress: &mut Progress,
    before: u64,
) -> Result<Try> {
    let writing = || format!("{}: cannot be written", part.display());
    let mut out = OpenOptions::new()
        .append(true)
        .create(true)
        .open(part)
        .with_context(writing)?;
    let mut body = reply.into_body().into_reader();
    let mut buffer = vec![0; 256 << 10];
    while have < file.size {
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                return Ok(Try::Later {
                    why: anyhow!("the connection broke ({error})"),
                    wait: None,
                });
            }
        };
        if n == 0 {
            return Ok(Try::Later {
                why: anyhow!("the connection ended at byte {have} of {}", file.size),
                wait: None,
            });
        }
        // A server that sends more than was announced does not get it onto the disk.
        let n = n.min(usize::try_from(file.size - have).unwrap_or(usize::MAX));
        out.write_all(&buffer[..n]).with_context(writing)?;
        have += n as u64;
        progress.received += n as u64;
        progress.at(before + have);
    }
    out.sync_all().with_context(writing)?;
    Ok(Try::Whole)
}

/// Whether a file's content is what the hub announced, as far as it says.
fn right(path: &Path, file: &RemoteFile) -> Result<bool> {
    let reading = || format!("{}: cannot be read", path.display());
    Ok(match &file.content {
        Checksum::Unknown => true,
        Checksum::Sha256(sum) => digest(path, Sha256::new()).with_context(reading)? == *sum,
        Checksum::Git(sum) => {
            let begun = Sha1::new_with_prefix(format!("blob {}\0", file.size));
            digest(path, begun).with_context(reading)? == *sum
        }
    })
}

/// Checksum of a file, behind what has been put into it already.
fn digest(path: &Path, mut begun: impl Digest) -> std::io::Result<String> {
    let mut open = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = open.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        begun.update(&buffer[..n]);
    }
    let bytes = begun.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn part_path(target: &Path, version: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let version: String = version
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(12)
        .collect();
    target.with_file_name(format!("{name}.{version}.part"))
}

fn length(part: &Path) -> Result<u64> {
    match part.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", part.display())),
    }
}

fn truncate(part: &Path) -> Result<()> {
    File::create(part)
        .map(drop)
        .with_context(|| format!("{}: cannot be written", part.display()))
}

fn header(reply: &Response<Body>, name: &str) -> Option<String> {
    Some(reply.headers().get(name)?.to_str().ok()?.trim().to_owned())
}

/// First byte of a `Content-Range: bytes 100-199/200`.
fn begins_at(range: &str) -> Option<u64> {
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// How far all files are; one line on a terminal, else one line a file.
pub struct Progress {
    total: u64,
    done: u64,
    received: u64,
    files: usize,
    number: usize,
    name: String,
    terminal: bool,
    start: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// For so many bytes in so many files.
    pub fn new(total: u64, files: usize, terminal: bool) -> Self {
        Self {
            total,
            files,
            terminal,
            done: 0,
            received: 0,
            number: 0,
            name: String::new(),
            start: Instant::now(),
            last: None,
        }
    }

    /// The next file begins.
    pub fn file(&mut self, name: &str) {
        self.number += 1;
        name.clone_into(&mut self.name);
        if !self.terminal {
            eprintln!("{} of {}: {name}", self.number, self.files);
        }
    }

    /// Bytes that came over the network.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn kept(&mut self, bytes: u64) {
        self.at(self.done + bytes);
    }

    fn at(&mut self, done: u64) {
        self.done = done;
        let soon = Duration::from_millis(200);
        if !self.terminal || self.last.is_some_and(|last| last.elapsed() < soon) {
            return;
        }
        self.last = Some(Instant::now());
        let rate = self.received as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        let left = (self.total.saturating_sub(done)) as f64 / rate.max(1.0);
        eprint!(
            "\r\x1b[2K{} of {}: {} | {:.1} of {:.1} MB, {:.1} MB/s, {:.0} s left",
            self.number,
            self.files,
            self.name,
            done as f64 / 1e6,
            self.total as f64 / 1e6,
            rate / 1e6,
            left
        );
    }

    fn note(&self, text: &str) {
        if self.terminal {
            eprintln!();
        }
        eprintln!("{text}");
    }

    /// Ends the line.
    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
