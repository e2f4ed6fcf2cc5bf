//! `cropvlm debug reward`: what a box is worth, without a run.

use anyhow::{Context, Result};
use clap::ValueEnum;
use grounding::NormBox;
use grounding::reward::grounding::{Nested, grounding_reward};

/// Print what a box is worth: the parts of a reward, each 0 to 1.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  cropvlm debug reward --kind grounding --box 38,40,62,55 --true \"40,42,50,50;35,38,65,60\" --json

coverage: share of the smallest true box inside the box; iou: the largest IoU with any true box where coverage is at
least 0.9, else 0; distance: 1 less the mean difference of the four edges, as shares of width and height, to the
closest true box. With --json one line with these three.")]
pub struct RewardArgs {
    /// Which reward
    #[arg(long, value_enum)]
    kind: Kind,
    /// The box, percent: x1,y1,x2,y2
    #[arg(long = "box", value_name = "BOX", allow_hyphen_values = true)]
    bbox: String,
    /// True boxes, percent, each inside the next, from the smallest to the largest: x1,y1,x2,y2;x1,y1,x2,y2
    #[arg(long = "true", value_name = "BOXES", allow_hyphen_values = true)]
    truth: String,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// Rewards that need a box alone.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Of nested true boxes: coverage, IoU where the evidence is covered, distance of the edges
    Grounding,
}

/// Runs the command.
///
/// # Errors
/// A box that is none, true boxes that are not nested.
pub fn run(args: &RewardArgs) -> Result<()> {
    let Kind::Grounding = args.kind;
    let bbox: NormBox = args.bbox.parse().context("--box")?;
    let nested: Nested = args.truth.parse().context("--true")?;
    let found = grounding_reward(bbox, &nested);
    if args.json {
        println!("{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    println!("coverage  {:.4}", found.coverage);
    println!("iou       {:.4}", found.iou);
    println!("distance  {:.4}", found.distance);
    Ok(())
}
