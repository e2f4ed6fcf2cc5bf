//! `cropvlm report`: a run, or the failures of a policy, as one HTML file that needs neither network nor server.
//!
//! ```text
//! run folder -> read.rs (numbers, groups, configuration)
//!   -> curves.rs (one small chart a number, in words.rs' words) + sheet.rs (pictures with rollouts)
//!   -> page.rs (one file: style and script inside)
//!
//! boxes + data -> worst.rs (the questions that the boxes serve worst, with their pictures)
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
mod worst;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::write;

/// Make an HTML page of a run: curves, configuration, and for GRPO a contact sheet of its rollouts; or, of
/// proposed boxes, a contact sheet of the worst.
///
/// The page is one file without links to anything: open it, keep it, send it. A run that is still going
/// can be reported too; call the command again for its newer steps.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm report runs/first
  cropvlm report runs/grpo --groups 100 --edge 800 --out grpo.html
  cropvlm eval --model models/default --data data/dev.jsonl --out boxes.jsonl
  cropvlm report --boxes boxes.jsonl --data data/dev.jsonl --worst 50 --out worst.html")]
pub struct Args {
    /// Folder of the run, as `sft` and `grpo` write it
    #[arg(value_name = "RUN", required_unless_present = "boxes")]
    run: Option<PathBuf>,
    /// Instead of a run: boxes, one {"id","box"} a line, as `cropvlm eval --out` writes them
    #[arg(long, value_name = "FILE", conflicts_with = "run", requires = "data")]
    boxes: Option<PathBuf>,
    /// The questions that they were proposed for
    #[arg(long, value_name = "PATH", requires = "boxes")]
    data: Option<PathBuf>,
    /// So many of the questions whose boxes are worst
    #[arg(long, value_name = "N", requires = "boxes", default_value_t = 50)]
    worst: usize,
    /// The page [default: RUN/report.html, or the file of boxes with the ending .html]
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
    match (&args.run, &args.boxes, &args.data) {
        (_, Some(boxes), Some(data)) => worst(&args, boxes, data),
        (Some(run), ..) => of_run(&args, run),
        _ => bail!("name a run, or --boxes and --data"),
    }
}

fn of_run(args: &Args, folder: &Path) -> Result<()> {
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| folder.join("report.html"));
    let run = read::Run::open(folder, args.groups)?;
    let own = ["config.toml", "metrics.jsonl", "rollouts.jsonl"].map(|name| folder.join(name));
    write::not_an_input(&out, &own.each_ref().map(PathBuf::as_path))?;
    write::check_file(&out)?;
    let sheet = sheet::Sheet {
        run: &run,
        root: args.root.as_deref(),
        edge: args.edge,
    };
    let page = page::page(&run, &sheet);
    write::file(&out, page.as_bytes())?;
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

fn worst(args: &Args, boxes: &Path, data: &Path) -> Result<()> {
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| boxes.with_extension("html"));
    write::not_an_input(&out, &[boxes, data])?;
    write::check_file(&out)?;
    let worst = worst::Worst {
        boxes,
        data: data.to_path_buf(),
        root: args.root.as_deref(),
        count: args.worst,
        edge: args.edge,
    };
    let (page, shown, all) = worst.page()?;
    write::file(&out, page.as_bytes())?;
    println!(
        "{}: the {shown} worst of {all} questions, {:.1} MB",
        out.display(),
        page.len() as f64 / 1e6
    );
    Ok(())
}
