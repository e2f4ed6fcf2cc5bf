//! `cropvlm pull`: models and data sets from the Hugging Face hub.
//!
//! hf-hub knows the hub's addresses and the place of a stored token. What a repository holds is asked in `hub.rs`, and
//! the files come through [`mod@download`]: hf-hub 0.5 does not compare what arrived with the size and checksum that the
//! hub gives, takes up a broken file at the wrong place if the first try of a run brings nothing, sends the token
//! wherever it is redirected on the same host, and drops the hub's reasons for a refusal.

mod download;
mod hub;

use std::io::IsTerminal;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::download::{Progress, download};
use self::hub::{Hub, RemoteFile};
use crate::wildcard;
use crate::write;

/// Get a model or a data set from the Hugging Face hub.
///
/// Files that are there already are kept, a broken download goes on where it ended, and a file gets its
/// name only when it is whole. The token for private and gated repositories comes from --token-file,
/// from HF_TOKEN, or from where `hf auth login` put it; it is never shown and sent to
/// the hub alone. HF_ENDPOINT names a mirror; with HF_HUB_OFFLINE=1 nothing is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm pull HuggingFaceTB/SmolVLM-256M-Instruct --include \"*.json\" --include model.safetensors
  cropvlm pull lmms-lab/textvqa --dataset --include \"data/train-*\" --out data/textvqa
  HF_TOKEN=... cropvlm pull me/private --revision v2")]
pub struct Args {
    /// Owner and name, as in the address of its page
    #[arg(value_name = "REPO")]
    repo: String,
    /// Branch, tag or commit
    #[arg(long, value_name = "REVISION", default_value = "main")]
    revision: String,
    /// Only files whose path fits: * is anything, ? one character; may be given several times
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// It is a data set, not a model
    #[arg(long)]
    dataset: bool,
    /// Folder to write [default: the repository's name without its owner]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Only show which files there are, and their sizes
    #[arg(long)]
    list: bool,
}

/// Runs the command.
///
/// # Errors
/// A hub that cannot be reached or refuses, with what to do; a folder that cannot be written.
pub fn run(args: Args) -> Result<()> {
    let hub = Hub::new(&args.repo, &args.revision, args.dataset, token(&args)?)?;
    let listing = hub.list()?;
    let files: Vec<&RemoteFile> = listing
        .files
        .iter()
        .filter(|f| {
            args.include.is_empty() || args.include.iter().any(|g| wildcard::fits(g, &f.path))
        })
        .collect();
    if files.is_empty() {
        let some: Vec<&str> = listing
            .files
            .iter()
            .take(8)
            .map(|f| f.path.as_str())
            .collect();
        bail!(
            "{}: none of its {} files fits {}; there are, for example, {}",
            args.repo,
            listing.files.len(),
            args.include.join(", "),
            some.join(", ")
        );
    }
    let total: u64 = files.iter().map(|f| f.size).sum();
    if args.list {
        for file in &files {
            println!("{:>12}  {}", file.size, file.path);
        }
        println!(
            "{:>12}  in {} files at {}",
            total,
            files.len(),
            listing.commit
        );
        return Ok(());
    }
    let name = args.repo.rsplit('/').next().unwrap_or(&args.repo);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(name));
    write::check_folder(&out)?;
    let start = Instant::now();
    let mut progress = Progress::new(total, files.len(), std::io::stderr().is_terminal());
    for file in &files {
        let target = out.join(safe(&file.path)?);
        let url = hub.file_url(&listing.commit, &file.path);
        progress.file(&file.path);
        download(&hub, &url, file, &target, &mut progress)
            .with_context(|| format!("{}: {}", args.repo, file.path))?;
    }
    progress.end();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}: {} files, {:.1} MB ({:.1} MB of them got now, in {seconds:.0} s), commit {}",
        out.display(),
        files.len(),
        total as f64 / 1e6,
        progress.received() as f64 / 1e6,
        listing.commit
    );
    match args.dataset {
        true => eprintln!(
            "What it holds: cropvlm data --data {} (and --help there)",
            out.display()
        ),
        false => eprintln!("Commands take it as --model {}", out.display()),
    }
    Ok(())
}

/// A path of the repository as one inside the folder that is written.
fn safe(path: &str) -> Result<&Path> {
    let inside = Path::new(path);
    let plain = |c: Component| matches!(c, Component::Normal(_));
    if path.is_empty() || path.contains('\\') || !inside.components().all(plain) {
        bail!(
            "the repository names a file \"{path}\", which would lie outside the folder; refused"
        );
    }
    Ok(inside)
}

/// The token, from wherever it is.
fn token(args: &Args) -> Result<Option<String>> {
    let text = if let Some(file) = &args.token_file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("token file {}: cannot be read", file.display()))?;
        if text.trim().is_empty() {
            bail!("token file {}: it is empty", file.display());
        }
        Some(text)
    } else if let Ok(text) = std::env::var("HF_TOKEN") {
        Some(text)
    } else {
        // Where `hf auth login` leaves it.
        let home = std::env::var_os("HF_HOME").map(PathBuf::from).or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME")?);
            Some(home.join(".cache/huggingface"))
        });
        home.and_then(|home| std::fs::read_to_string(home.join("token")).ok())
    };
    let Some(text) = text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    // Anything else could not stand in a header, and the error about it would quote it.
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        bail!("the token holds a space, a line break or a letter that no token has; copy it again");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_inside_the_folder() {
        for path in ["../x", "/etc/x", "a/../../x", "", "a\\..\\x", "./x/../.."] {
            assert!(safe(path).is_err(), "{path}");
        }
        assert_eq!(
            safe("data/train-0.parquet").expect("path"),
            Path::new("data/train-0.parquet")
        );
    }
}
