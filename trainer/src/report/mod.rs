//! `cropvlm report`: a run as one HTML file that needs neither network nor server.
//!
//! ```text
//! run folder -> read.rs (numbers, groups, configuration)
//!   -> curves.rs (one small chart a number, in words.rs' words) + sheet.rs (pictures with rollouts)
//!   -> page.rs (one file: style and script inside)
//! ```
//!
//! Written for somebody who trains for the first time: every curve has one sentence that says what it is
//! and which way is good. Everything can be read without the script; with it, curves say their values and
//! the contact sheet shows one group at a time.

mod chart;
mod curves;
mod html;
mod page;
mod read;
mod sheet;
#[cfg(test)]
mod tests;
mod words;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Make an HTML page of a run: curves, configuration, and for GRPO a contact sheet of its rollouts.
///
/// The page is one file without links to anything: open it, keep it, send it. A run that is still going
/// can be reported too; call the command again for its newer steps.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm report runs/first
  cropvlm report runs/grpo --groups 100 --edge 800 --out grpo.html")]
pub struct Args {
    /// Folder of the run, as `sft` and `grpo` write it
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The page [default: RUN/report.html]
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Groups of rollouts on the contact sheet, spread evenly over the run
    #[arg(long, value_name = "N", default_value_t = 48)]
    groups: usize,
    /// Longest edge of their pictures, in pixels
    #[arg(long, value_name = "N", default_value_t = 640, value_parser = clap::value_parser!(u32).range(16..=4096))]
    edge: u32,
    /// Folder that the pictures' paths start from [default: this folder, or the run's]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A folder that is no run, lines that cannot be read, a page that cannot be written.
pub fn run(args: Args) -> Result<()> {
    let run = read::Run::open(&args.run, args.groups)?;
    let sheet = sheet::Sheet {
        run: &run,
        root: args.root.as_deref(),
        edge: args.edge,
    };
    let page = page::page(&run, &sheet);
    let out = args.out.unwrap_or_else(|| args.run.join("report.html"));
    std::fs::write(&out, &page).with_context(|| format!("{}: cannot be written", out.display()))?;
    println!(
        "{}: {} curves, {} of {} groups, {:.1} MB",
        out.display(),
        run.series.len(),
        run.groups.len(),
        run.groups_in_all,
        page.len() as f64 / 1e6
    );
    Ok(())
}
