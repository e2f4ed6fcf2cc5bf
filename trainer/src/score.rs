//! `cropvlm score`: how likely a model finds an answer, given full image, crop and question. The
//! likelihood reward of CropVLM, for one item.

use anyhow::{Context, Result};
use grounding::NormBox;
use grounding::prompt::given_answer;

use crate::reader::{self, ReaderArgs};

/// Score an answer: its log-probability given full image, crop and question.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  cropvlm score --model SmolVLM-256M-Instruct --image receipt.jpg --box 50,60,90,70 \\
      --question \"What is the total?\" --answer \"12.50\" --json

With --json one line: logprob (sum of the natural logarithms), tokens (how many were summed), target
(the text that was scored), token_ids and token_logprobs (each token's own).

The target is the answer, capitalised as the question is (unless --keep-case), with a full stop at its
end. The closing <end_of_utterance> is counted: it says that the answer ends there. It is the last
entry of token_logprobs, for those who want the sum without it.")]
pub struct Args {
    #[command(flatten)]
    reader: ReaderArgs,
    /// The crop in percent of width and height: x1,y1,x2,y2
    #[arg(long = "box", value_name = "X1,Y1,X2,Y2")]
    bbox: NormBox,
    /// The answer to be scored
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    answer: String,
}

/// Runs the command.
///
/// # Errors
/// A model folder or picture that cannot be read, an empty question or answer, a failed device.
pub fn run(args: Args) -> Result<()> {
    let target = given_answer(&args.answer, args.reader.case())
        .context("the answer is empty: say which answer is to be scored")?;
    let (model, prompt) = reader::read(&args.reader, Some(args.bbox), "score")?;
    let ids = model.prompts().completion(&target)?;
    let each = model.log_probs(&prompt, &ids)?;
    let logprob: f64 = each.iter().map(|&log| f64::from(log)).sum();
    if args.reader.json {
        let line = serde_json::json!({
            "logprob": logprob,
            "tokens": ids.len(),
            "target": target,
            "token_ids": ids,
            "token_logprobs": each,
        });
        println!("{line}");
    } else {
        println!("target  {target}");
        println!("log p   {logprob:.4} over {} tokens", ids.len());
    }
    Ok(())
}
