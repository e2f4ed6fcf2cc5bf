//! What packing costs: bytes, and the KL of the next token's chances to those of the plain weights, for several choices of what
//! stays q8 beside q4. `Quant::block_type` was chosen by it.
//!
//! ```text
//! cargo run --release -p smolvlm --example quantization -- trainer/smoke/reader trainer/smoke/held/images/page_000000.jpg
//! cargo run --release -p smolvlm --example quantization -- FOLDER PICTURE --save /tmp/random
//! ```
//!
//! A folder without weights gets random ones; `--save` keeps them, in bf16. The question is always the same. KL is in nats, the
//! mean over all positions of the prompt.

use std::error::Error;
use std::path::Path;

use burn::tensor::Device;
use smolvlm::{BlockType, ModelFiles, Precision, Quant, SmolVlm, pack_as, packing};

const QUESTION: &str = "What is the total?";

type Failure = Box<dyn Error>;

fn logits(model: &SmolVlm, picture: &picture::RgbImage) -> Result<(Vec<f32>, usize), Failure> {
    let pictures = model.pictures(&[picture], None)?;
    let ids = model.input_ids(&pictures, QUESTION)?;
    let logits = model.logits(&pictures, &ids)?;
    let data = pollster::block_on(logits.into_data_async())?;
    let values = data.try_into_vec().map_err(|error| format!("{error:?}"))?;
    Ok((values, ids.len()))
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let each: Vec<f64> = logits.iter().map(|l| f64::from(l - top).exp()).collect();
    let sum: f64 = each.iter().sum();
    each.into_iter().map(|e| e / sum).collect()
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, picture, save) = match arguments.as_slice() {
        [folder, picture] => (folder, picture, None),
        [folder, picture, flag, out] if flag == "--save" => (folder, picture, Some(out)),
        _ => return Err("usage: quantization FOLDER PICTURE [--save OUT]".into()),
    };
    let device = Device::flex();
    let mut files = ModelFiles::from_dir(Path::new(folder))?;
    if !files.names().any(|name| name.ends_with(".safetensors")) {
        let random = SmolVlm::random(&files, 11, &device)?;
        files = pollster::block_on(random.save(Precision::BF16))?;
    }
    if let Some(out) = save {
        files.save(Path::new(out))?;
    }
    let picture = picture::decode(&std::fs::read(picture)?)?;
    let (exact, positions) = logits(&SmolVlm::load(&files, &device)?, &picture)?;
    let vocabulary = exact.len() / positions;

    let head = |name: &str| name == "lm_head.weight";
    let table = |name: &str| name.ends_with("embed_tokens.weight");
    let images = |name: &str| name.starts_with("model.connector.") || name.contains(".embeddings.");
    let vision = |name: &str| name.starts_with("model.vision_model.");
    type Choice<'a> = (&'a str, BlockType, &'a dyn Fn(&str) -> bool);
    let choices: [Choice; 8] = [
        ("q8", BlockType::Q8, &|_| false),
        ("q4", BlockType::Q4, &|_| false),
        ("q4, head q8", BlockType::Q4, &head),
        ("q4, table q8", BlockType::Q4, &table),
        (
            "q4, connector and embeddings of patches q8",
            BlockType::Q4,
            &images,
        ),
        (
            "q4, head, connector, embeddings of patches q8",
            BlockType::Q4,
            &|n| head(n) || images(n),
        ),
        ("q4, head and table q8", BlockType::Q4, &|n| {
            head(n) || table(n)
        }),
        ("q4, vision tower q8", BlockType::Q4, &vision),
    ];
    println!("{:<48} {:>12} {:>10}", "weights", "bytes", "KL, nats");
    for (what, kind, delicate) in choices {
        let mut entries = packing(&files, Quant::Q8)?;
        let mut bytes = 0;
        for entry in &mut entries {
            let kind = if delicate(&entry.name) {
                BlockType::Q8
            } else {
                kind
            };
            entry.kind = kind.fitting(&entry.shape);
            bytes += entry.kind.bytes(&entry.shape);
        }
        let mut packed = ModelFiles::default();
        pack_as::<Failure>(&files, None, &entries, 4, |name, bytes| {
            packed.insert(name, bytes);
            Ok(())
        })?;
        let (found, _) = logits(&SmolVlm::load(&packed, &device)?, &picture)?;
        let rows = exact.chunks(vocabulary).zip(found.chunks(vocabulary));
        let kl = rows.map(|(p, q)| {
            let (p, q) = (softmax(p), softmax(q));
            p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
        });
        println!(
            "{what:<48} {bytes:>12} {:>10.2e}",
            kl.sum::<f64>() / positions as f64
        );
    }
    Ok(())
}
