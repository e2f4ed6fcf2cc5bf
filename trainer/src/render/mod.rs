//! `cropvlm render`: synthetic pages with questions, answers and boxes, drawn by the crate `pages`.
//!
//! The lines of the two files are in the order of the pages, so a run that was stopped goes on where it ended.

mod output;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use anyhow::{Context, Result};
use pages::{Backgrounds, Browser, Fonts, Mix, Record, Workshop};

use self::output::Writer;
use crate::counting::Counting;
use crate::stop::Stop;
use crate::write;

/// Draw synthetic pages with questions, answers and boxes.
///
/// Writes DIR/images/*.jpg, DIR/samples.jsonl (one question a line, the format of `cropvlm eval`)
/// and DIR/lines.jsonl (every printed line of every page with its box). Stopped, it leaves whole
/// files, and goes on when it is called again.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = "Examples:
  cropvlm render --out data/pages --count 1000
  cropvlm render --out data/pages --count 5000 --kinds receipt=60,form=20,chart=20 --jobs 4
  cropvlm render --html --out data/screens --count 2000 --backgrounds photos
  cropvlm render --out data/pages --count 200 --backgrounds photos --fonts my-fonts --debug-boxes")]
pub struct RenderArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of pages the folder should hold in the end
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub count: u64,
    /// Same seed, same pages
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Of receipt, form, invoice, chart, table, sign, plate, card, cards, html; with weights if wished:
    /// receipt=60,form=15 [default: all but card and cards, which are toys, and html]
    #[arg(long, value_name = "KINDS")]
    pub kinds: Option<String>,
    /// Screens and sheets that Chromium lays out (menus, timetables, chats, labels and the like), with the boxes of the
    /// document itself: short for --kinds html
    #[arg(long, conflicts_with = "kinds")]
    pub html: bool,
    /// Chromium for pages of kind html [default: what the environment variable CHROMIUM names, or the installed one]
    #[arg(long, value_name = "PROGRAM")]
    pub chromium: Option<PathBuf>,
    /// Folder of photos without text that sheets lie on [default: made-up table tops]
    #[arg(long, value_name = "DIR")]
    pub backgrounds: Option<PathBuf>,
    /// Folder of additional fonts
    #[arg(long, value_name = "DIR")]
    pub fonts: Option<PathBuf>,
    /// Use the program's own fonts (and --fonts) only: the same pages on every machine
    #[arg(long)]
    pub no_system_fonts: bool,
    /// Pages drawn at the same time [default: one per core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Draw the boxes into the pictures: lines grey, answers red
    #[arg(long)]
    pub debug_boxes: bool,
}

/// Runs `cropvlm render`.
///
/// Errors: a folder or a kind that does not exist, a folder that holds pages of other settings, a
/// disk that cannot be written.
pub fn run(args: RenderArgs) -> Result<()> {
    let mix = if args.html {
        Mix::html()
    } else {
        Mix::parse(args.kinds.as_deref())?
    };
    let browser = if mix.needs_browser() {
        Some(Mutex::new(Browser::start(args.chromium.as_deref())?))
    } else {
        None
    };
    let backgrounds = match &args.backgrounds {
        Some(folder) => Backgrounds::read(folder)?,
        None => Backgrounds::none(),
    };
    let fonts = Fonts::load(args.fonts.as_deref(), args.no_system_fonts)?;
    eprintln!("fonts: {}", fonts.census());
    let settings =
        output::Settings::new(args.seed, &mix, &fonts, backgrounds.len(), args.debug_boxes);
    write::check_folder(&args.out)?;
    let (mut writer, done) = Writer::open(&args.out, &settings)?;
    let missing: Vec<u64> = (0..done.min(args.count))
        .filter(|&i| !writer.has_image(i))
        .collect();
    if done > 0 {
        eprintln!(
            "{done} pages are there; {} of their pictures are missing",
            missing.len()
        );
    }
    let todo: Vec<u64> = missing.into_iter().chain(done..args.count).collect();
    let workshop = Workshop {
        fonts,
        backgrounds,
        mix,
        browser,
        seed: args.seed,
        debug_boxes: args.debug_boxes,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores).max(1);

    let stop = Stop::default();
    let failed = AtomicBool::new(false);
    // Fails when a handler is set already, and then that one ends the program.
    let _ = stop.on_ctrl_c();
    let next = AtomicU64::new(0);
    let (send, receive) = mpsc::channel::<Result<(u64, Record)>>();
    let start = Instant::now();
    let images = writer.images();
    let finished = std::thread::scope(|scope| -> Result<u64> {
        for _ in 0..jobs {
            let send = send.clone();
            let (workshop, todo, next, images) = (&workshop, &todo, &next, &images);
            let (failed, stop) = (&failed, &stop);
            scope.spawn(move || {
                while !stop.raised() && !failed.load(Ordering::SeqCst) {
                    let Some(&index) = todo.get(next.fetch_add(1, Ordering::SeqCst) as usize)
                    else {
                        break;
                    };
                    let made = workshop
                        .make(index)
                        .and_then(|(jpeg, record)| {
                            write::file(&images.join(pages::image_name(index)), &jpeg)?;
                            Ok((index, record))
                        })
                        .with_context(|| format!("page {index}"));
                    if send.send(made).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let counting = Counting::to(todo.len(), "pages");
        let mut finished = 0;
        for made in receive {
            let (index, record) = match made {
                Ok(made) => made,
                Err(error) => {
                    failed.store(true, Ordering::SeqCst);
                    return Err(error);
                }
            };
            if index >= done {
                writer.add(index, record)?;
            }
            finished += 1;
            counting.done(finished as usize);
        }
        Ok(finished)
    })?;
    writer.flush()?;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "{finished} pages in {seconds:.1} s, {:.1} a second, in {}",
        finished as f64 / seconds.max(1e-9),
        args.out.display()
    );
    if stop.raised() {
        return Err(stop.interrupted(format!(
            "stopped after {} of {} pages; the same command goes on",
            writer.pages(),
            args.count
        )));
    }
    Ok(())
}
