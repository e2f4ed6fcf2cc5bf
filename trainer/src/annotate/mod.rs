//! `cropvlm annotate`: a local page on which a person draws nested boxes on own pictures and types questions about them.
//!
//! ```text
//! page (assets/annotate) -> http.rs -> store.rs -> JSON lines, written anew and renamed at every change
//! ```
//!
//! Served on 127.0.0.1 only, to this page only. Pictures are sent as the trainer decodes them (upright, whatever their
//! EXIF data say), so that boxes are pixels of what is trained on.

mod http;
mod store;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use self::store::Store;
use crate::stop::Stop;
use crate::write;

/// Draw nested boxes and type questions on own pictures, on a local page.
///
/// Every picture of the folder and the folders in it is shown; what is none is left out and named. A question has boxes of
/// one place from the smallest (the word) to ever larger ones around it (the line, the block). What is saved is on the
/// disk at once, as JSON lines that every command reads: id, image, question, answers, boxes, nested, width, height.
/// All of it works from the keyboard; the page says the keys. Ctrl-C ends.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm annotate photos --open
  cropvlm annotate photos --out data/mine.jsonl --port 9000
  cropvlm data --data photos/annotations.jsonl --check

A file that is there already goes on: its questions can be edited and deleted, and fields that this page does not know
stay. The page is served on 127.0.0.1 and answers to its own address only.")]
pub struct Args {
    /// Folder of pictures: JPEG, PNG, GIF, WebP, BMP
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// JSON lines to write, or to go on with [default: annotations.jsonl in the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8765)]
    port: u16,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
}

/// Runs the command.
///
/// # Errors
/// A folder without pictures, a file that cannot be written or is of another kind, a port that is taken.
pub fn run(args: Args) -> Result<()> {
    if args.folder.is_file() {
        bail!(
            "{}: is a file; name the folder of the pictures",
            args.folder.display()
        );
    }
    let out = args
        .out
        .unwrap_or_else(|| args.folder.join("annotations.jsonl"));
    write::check_file(&out)?;
    let store = Store::open(&args.folder, &out)?;
    for skipped in store.skipped() {
        eprintln!("left out: {skipped}");
    }
    let server = tiny_http::Server::http(("127.0.0.1", args.port))
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| {
            let port = args.port;
            format!("--port {port}: cannot be opened; name another one, or 0 for any that is free")
        })?;
    let address = server.server_addr().to_ip().context("no address")?;
    let stop = Stop::listen()?;
    println!(
        "{} pictures, {} questions in {}: http://{address}/",
        store.pictures(),
        store.questions(),
        out.display()
    );
    println!("Ctrl-C ends; what was saved is on the disk.");
    if args.open && !open(&format!("http://{address}/")) {
        eprintln!("no browser could be opened: open the address above");
    }
    let store = http::serve(&server, address.port(), store, &stop);
    println!("{}: {} questions", out.display(), store.questions());
    Ok(())
}

/// Opens a person's browser; whether one was found.
fn open(url: &str) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/c", "start", ""]);
        command
    } else {
        Command::new("xdg-open")
    };
    command.arg(url).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
