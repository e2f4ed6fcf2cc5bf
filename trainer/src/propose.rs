//! `cropvlm propose`: the box that helps to answer a question about one picture, and its crop.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use picture::RgbImage;
use policy::ProposeOptions;

use crate::data;
use crate::device::DeviceKind;
use crate::model::ModelArgs;
use crate::proposer::Proposer;
use crate::write;

/// Propose the crop that helps to answer a question about a picture.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cropvlm propose --model models/default --image web/samples/receipt.jpg --question \"What is the total?\"
  cropvlm propose --model models/default --image web/samples/receipt.jpg --question \"What is the total?\" --out crop.png
  cropvlm propose --model SmolVLM-256M-Instruct --image page.png --question \"Who signed?\" --longest-edge 1024 --json
  cropvlm propose --model SmolVLM-256M-Instruct --adapter runs/grpo/adapter --image page.png --question \"Who signed?\"

With --json one line: box (percent x1,y1,x2,y2; null if the completion holds none), pixels (x2, y2
exclusive), completion, logprob, confidence (how likely the evidence lies inside the box, 0 to 1; null from a text policy), present (how likely the picture holds the answer at all, 0 to 1; null where the model
folder does not say how to tell), valid, timings_ms (image, vision, prefill, decode), crop, the file of
--out (null without one), rotation (degrees clockwise that would make the picture upright), backend, where it was
computed (cpu, wgpu, cuda), adapter, the graphics card's name (null on the processor, or where it is not known), and
is_fallback (the card is a software one: the processor, imitating a card).

--device wgpu computes a map policy's boxes with the kernels of this program, through Vulkan, Metal or DirectX 12. Before that, the card
computes a fixed picture; one that gets other numbers than the processor is refused.

logprob is the natural logarithm of the chance of the box under the distribution that proposed it.
A text policy is constrained to valid boxes: at every choice the probabilities of the tokens that can
still lead to a valid box are renormalised, forced tokens count 1, and the chances of all valid boxes
sum to 1. With --unconstrained it is the sum over all tokens that were written, the closing one
included, under the free model.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Picture: JPEG, PNG, GIF, WebP or BMP
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// What you want to know about the picture
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    question: String,
    /// Write the crop, from the picture's own pixels: a .png, or a .jpg
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Let a text policy write freely, at most 32 tokens, so that an invalid box becomes possible
    #[arg(long)]
    unconstrained: bool,
    /// Longest edge that the network gets to see, in pixels [default: the model's own; for a text
    /// policy that of one tile]
    #[arg(long, value_name = "N")]
    longest_edge: Option<u32>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A model folder or picture that cannot be read, an empty question, a failed device; a crop that cannot be
/// written, or that there is none of.
pub fn run(args: Args) -> Result<()> {
    if let Some(out) = &args.out {
        check_out(out, &args.image)?; // before the work
    }
    let start = Instant::now();
    let picture = data::picture(&args.image)?;
    let decoding = start.elapsed().as_secs_f64() * 1e3;

    let proposer = Proposer::open(&args.model, args.device)?;
    let encoded = proposer
        .encode(&picture, args.longest_edge)
        .with_context(|| args.image.display().to_string())?;
    let options = ProposeOptions {
        unconstrained: args.unconstrained,
    };
    let proposal = proposer.propose(&encoded, &args.question, &options)?;

    let (width, height) = picture.dimensions();
    let pixels = proposal.bbox.map(|bbox| bbox.to_pixels(width, height));
    // Reading the picture is part of what a person waits for.
    let image = decoding + proposal.timings.image;
    let crop = args.out.as_ref().filter(|_| pixels.is_some());
    if let (Some(out), Some(pixels)) = (crop, pixels) {
        write::file(out, &encode(out, &picture::crop(&picture, pixels))?)?;
    }
    if args.json {
        let line = serde_json::json!({
            "box": proposal.bbox,
            "pixels": pixels,
            "completion": proposal.completion,
            "logprob": proposal.logprob,
            "confidence": proposal.confidence,
            "present": proposal.present,
            "rotation": proposal.rotation,
            "valid": proposal.valid,
            "crop": crop.map(|out| out.display().to_string()),
            "backend": proposer.backend(),
            "adapter": proposer.adapter(),
            "is_fallback": proposer.is_software(),
            "timings_ms": {
                "image": image,
                "vision": proposal.timings.vision,
                "prefill": proposal.timings.prefill,
                "decode": proposal.timings.decode,
            },
        });
        println!("{line}");
        return written(args.out.as_deref(), crop.is_some());
    }
    match (proposal.bbox, pixels) {
        (Some(bbox), Some(pixels)) => {
            println!("box         {bbox} (percent of width and height)");
            let [x1, y1, x2, y2]: [u32; 4] = pixels.into();
            println!("pixels      {x1},{y1},{x2},{y2} of {width} x {height}");
        }
        _ => println!("box         none: the completion holds no valid box"),
    }
    if let Some(confidence) = proposal.confidence {
        println!(
            "confidence  {:.0} % that the evidence lies inside",
            confidence * 100.0
        );
    }
    if let Some(present) = proposal.present {
        println!(
            "present     {:.0} % that the picture holds the answer at all",
            present * 100.0
        );
    }
    if let Some(adapter) = proposer.adapter() {
        let kind = match proposer.is_software() {
            true => " (a software adapter: the processor, imitating a card)",
            false => "",
        };
        println!("device      {adapter}{kind}");
    }
    println!("completion  {}", proposal.completion);
    let chance = proposal.logprob.exp() * 100.0;
    println!("log p       {:.3} (chance {chance:.3} %)", proposal.logprob);
    println!(
        "time        image {image:.0} ms, vision {:.0} ms, prefill {:.0} ms, decode {:.0} ms",
        proposal.timings.vision, proposal.timings.prefill, proposal.timings.decode,
    );
    if let Some(out) = crop {
        println!("crop        {}", out.display());
    }
    written(args.out.as_deref(), crop.is_some())
}

/// Quality of a JPEG crop: print stays sharp.
const JPEG_QUALITY: u8 = 95;

/// How a crop is written, by its name's ending.
fn encode(out: &Path, crop: &RgbImage) -> Result<Vec<u8>> {
    let ending = out.extension().unwrap_or_default().to_ascii_lowercase();
    Ok(match ending.to_str() {
        Some("png") => picture::encode_png(crop)?,
        Some("jpg" | "jpeg") => picture::encode_jpeg(crop, JPEG_QUALITY)?,
        _ => bail!(
            "--out {}: a crop is written as PNG or JPEG; let the name end in .png or .jpg",
            out.display()
        ),
    })
}

/// Refuses what could not be written, or would overwrite the picture itself.
fn check_out(out: &Path, image: &Path) -> Result<()> {
    encode(out, &RgbImage::new(1, 1))?;
    let shown = out.display();
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("--out {shown}: there is no folder {}", folder.display());
    }
    if out.is_dir() {
        bail!("--out {shown}: is a folder; name a file, such as crop.png");
    }
    let same = |other: &Path| Some(out.canonicalize().ok()? == other.canonicalize().ok()?);
    if same(image) == Some(true) {
        bail!("--out {shown}: is the picture itself, which the crop would overwrite");
    }
    Ok(())
}

/// A crop that was wanted and is not there is an error, after what there is to say has been said.
fn written(out: Option<&Path>, written: bool) -> Result<()> {
    match out.filter(|_| !written) {
        Some(out) => bail!(
            "no box was proposed, so there is no crop, and {} was not written",
            out.display()
        ),
        None => Ok(()),
    }
}
