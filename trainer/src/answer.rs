//! `cropvlm answer`: what a model answers, given the picture, the crop if there is one, and the
//! question.

use anyhow::Result;
use grounding::NormBox;

use crate::reader::{self, ReaderArgs};

/// Answer a question about a picture, with or without a crop beside it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  cropvlm answer --model SmolVLM-256M-Instruct --image receipt.jpg --box 50,60,90,70 --question \"What is the total?\"

The likeliest token is taken each time. With --json one line: answer, finished (whether the model ended
by itself before --max-tokens).")]
pub struct Args {
    #[command(flatten)]
    reader: ReaderArgs,
    /// A crop in percent of width and height: x1,y1,x2,y2 [default: the picture alone]
    #[arg(long = "box", value_name = "X1,Y1,X2,Y2")]
    bbox: Option<NormBox>,
    /// Tokens at most
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_tokens: usize,
}

/// Runs the command.
///
/// # Errors
/// A model folder or picture that cannot be read, an empty question, a failed device.
pub fn run(args: Args) -> Result<()> {
    let (model, prompt) = reader::read(&args.reader, args.bbox, "answer")?;
    let written = model.answer(&prompt, args.max_tokens)?;
    let answer = written.text.trim();
    if args.reader.json {
        let line = serde_json::json!({ "answer": answer, "finished": written.finished });
        println!("{line}");
    } else {
        println!("{answer}");
    }
    Ok(())
}
