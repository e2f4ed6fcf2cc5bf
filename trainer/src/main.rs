//! `cropvlm`: train, measure and use cropping policies from the command line.
//!
//! One file or folder a command; each has an `Args` struct and a `run`. What they share: [`data`]
//! reads data sets, [`device`] picks the device.

#![cfg_attr(test, allow(clippy::unwrap_used))] // a panic is how a test fails

// First: its macros stand in for the standard ones in every file below.
#[macro_use]
mod print;

mod annotate;
mod answer;
mod at_once;
mod bench;
mod boxes;
mod counting;
mod data;
mod debug;
mod device;
mod eval;
mod export;
mod grpo;
mod http;
mod metrics;
mod model;
mod propose;
mod proposer;
mod pull;
mod reader;
mod render;
mod report;
mod score;
mod sft;
mod stop;
mod text;
mod train;
mod vlm;
mod wildcard;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::stop::Interrupted;

/// Keeps what tensors give back, so that the next one need not be cleared by the system page by page: a training step makes
/// hundreds of them, of the same few sizes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// cropvlm proposes the box of a picture that helps to answer a question about it, and trains, measures and exports the
/// networks that do.
#[derive(Parser)]
#[command(
    name = "cropvlm",
    version,
    after_help = "Examples:
  cropvlm propose --model models/default --image web/samples/receipt.jpg --question \"What is the total?\"
  cropvlm eval --model models/default --data trainer/smoke/held
  cropvlm render --out data/pages --count 1000
  cropvlm sft --config trainer/configs/smoke-policy.toml --out runs/sft
  cropvlm grpo --config trainer/configs/smoke.toml --out runs/grpo
  cropvlm report runs/grpo
  cropvlm annotate photos --open"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pull(pull::Args),
    Data(data::Args),
    Boxes(boxes::Args),
    Render(render::RenderArgs),
    Sft(sft::Args),
    Grpo(grpo::Args),
    Eval(Box<eval::Args>),
    Propose(propose::Args),
    Score(score::Args),
    Answer(answer::Args),
    Annotate(annotate::Args),
    Export(export::Args),
    Report(report::Args),
    Debug(debug::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Pull(args) => pull::run(args),
        Command::Data(args) => data::run(args),
        Command::Boxes(args) => boxes::run(args),
        Command::Render(args) => render::run(args),
        Command::Sft(args) => sft::run(args),
        Command::Grpo(args) => grpo::run(args),
        Command::Eval(args) => eval::run(*args),
        Command::Propose(args) => propose::run(args),
        Command::Score(args) => score::run(args),
        Command::Answer(args) => answer::run(args),
        Command::Annotate(args) => annotate::run(args),
        Command::Export(args) => export::run(args),
        Command::Report(args) => report::run(args),
        Command::Debug(args) => debug::run(args),
        Command::Bench(args) => bench::run(args),
    };
    let code = match &result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Interrupted>() {
            Some(interrupted) => {
                eprintln!("{error:#}");
                ExitCode::from(interrupted.status())
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    };
    match print::end() {
        Err(error) if result.is_ok() => {
            eprintln!("error: the result could not be printed: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}
