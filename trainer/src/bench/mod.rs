//! `cropvlm bench`: how fast training is on this machine.

mod flops;
mod sft;
mod train;

use anyhow::Result;
use clap::Subcommand;

/// Measure how fast this machine trains.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Sft(sft::SftArgs),
    Train(train::TrainArgs),
}

/// Runs the command.
///
/// # Errors
/// A model folder that cannot be read, a device that fails.
pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Sft(args) => sft::run(&args),
        What::Train(args) => train::run(&args),
    }
}
