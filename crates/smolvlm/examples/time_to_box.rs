//! Time to a box and memory of SmolVLM-256M's shape with random weights: picture, vision tower, prompt, box, and 20 tokens
//! written freely.
//!
//! ```sh
//! cargo run --release -p smolvlm --example time_to_box -- q8          # or q4, bf16, f32
//! cargo run --release -p smolvlm --example time_to_box -- q8 burn     # the same through burn
//! cargo run --release -p smolvlm --features gpu --example time_to_box -- q8 wgpu     # on a graphics card
//! ```

use std::time::Instant;

use grounding::{Case, prompt::policy_prompt};
use picture::RgbImage;
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use smolvlm::{BlockType, Config, ModelFiles, Sampling, infer, tiny};
use tensors::{Entry, Packed, SHARD, TensorError};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Times that everything is done; the best counts.
const TRIES: usize = 3;
/// Tokens that are written freely.
const TOKENS: usize = 20;
const QUESTION: &str = "What is the total?";

/// Milliseconds of picture, vision, prefill, box, free tokens.
type Times = [f64; 5];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, by) = match arguments[..] {
        [kind] => (kind, ""),
        [kind, by @ ("burn" | "wgpu")] => (kind, by),
        _ => return Err("give q8, q4, bf16 or f32, and burn, wgpu or nothing".into()),
    };
    let folder = std::env::temp_dir().join(format!("time_to_box-{}", std::process::id()));
    random(kind)?.save(&folder)?;
    let before = memory("VmRSS:");
    // Tensors are read from the disk one by one, as the program does.
    let files = ModelFiles::from_dir(&folder)?;
    let picture = RgbImage::from_fn(1200, 900, |x, y| [x as u8, y as u8, (x * y) as u8].into());
    let start = Instant::now();
    let (each, bytes) = match by {
        "burn" => on_burn(&files, &picture)?,
        "wgpu" => on_card(&files, &picture)?,
        _ => on_kernels(&infer::Model::load(&files)?, &picture)?,
    };
    std::fs::remove_dir_all(&folder)?;
    let best: Times = std::array::from_fn(|part| {
        let times = each.iter().map(|times| times[part]);
        times.fold(f64::INFINITY, f64::min)
    });
    let [image, vision, prefill, bbox, tokens] = best;
    println!(
        "{kind}{}: picture {image:.0} ms, vision {vision:.0}, prefill {prefill:.0}, box {bbox:.0}, {TOKENS} tokens {tokens:.0}; \
         to the box {:.0} ms, to {TOKENS} tokens {:.0} ms; weights {} MB, peak memory {} MB ({before} before loading); all {:.1} s",
        if by.is_empty() {
            String::new()
        } else {
            format!(" by {by}")
        },
        image + vision + prefill + bbox,
        image + vision + prefill + tokens,
        bytes / 1_000_000,
        memory("VmHWM:"),
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// Megabytes of this process, where the system says so.
fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024 / 1_000_000
}

/// A folder with random weights: norms 1, biases 0, all others uniform with a standard deviation of 0.02.
fn random(kind: &str) -> Result<ModelFiles> {
    let kind = match kind {
        "q8" => BlockType::Q8,
        "q4" => BlockType::Q4,
        "bf16" => BlockType::BF16,
        "f32" => BlockType::F32,
        other => return Err(format!("{other}: give q8, q4, bf16 or f32").into()),
    };
    let mut files = tiny::smolvlm_256m()?;
    let entries: Vec<Entry> = Config::from_files(&files)?
        .tensors()
        .into_iter()
        .map(|(name, shape)| Entry {
            // As `export --quant q4` does.
            kind: match (kind, name.as_str()) {
                (BlockType::Q4, "lm_head.weight") => BlockType::Q8,
                _ => kind,
            },
            name,
            shape,
        })
        .map(|entry| Entry {
            kind: entry.kind.fitting(&entry.shape),
            ..entry
        })
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let edge = 0.02 * 3f32.sqrt();
    let pack = |entry: &Entry| -> std::result::Result<Packed<'static>, TensorError> {
        let count = entry.shape.iter().product();
        let values: Vec<f32> = match (entry.shape.len(), entry.name.ends_with(".bias")) {
            (1, true) => vec![0.0; count],
            (1, false) => vec![1.0; count],
            _ => (0..count).map(|_| rng.random_range(-edge..edge)).collect(),
        };
        Packed::pack(&entry.name, entry.kind, &entry.shape, &values, &[])
    };
    tensors::write_shards(&entries, SHARD, pack, |name, bytes| {
        files.insert(name, bytes);
        Ok::<(), TensorError>(())
    })?;
    Ok(files)
}

/// Takes times: a lap's milliseconds at each call.
fn stopwatch() -> impl FnMut() -> f64 {
    let mut start = Instant::now();
    move || {
        let lap = start.elapsed().as_secs_f64() * 1e3;
        start = Instant::now();
        lap
    }
}

#[cfg(feature = "gpu")]
fn on_card(files: &ModelFiles, picture: &RgbImage) -> Result<(Vec<Times>, usize)> {
    let start = Instant::now();
    let model = block_on(infer::Model::load_on(files, None))?;
    let spent = start.elapsed().as_secs_f64();
    if let Some(gpu) = model.card() {
        let half = if gpu.is_half() { ", f16" } else { "" };
        println!("{}{half}: ready after {spent:.1} s", gpu.name());
    }
    on_kernels(&model, picture)
}

#[cfg(not(feature = "gpu"))]
fn on_card(_: &ModelFiles, _: &RgbImage) -> Result<(Vec<Times>, usize)> {
    Err("this build has no graphics cards: add --features gpu".into())
}

fn on_kernels(model: &infer::Model, picture: &RgbImage) -> Result<(Vec<Times>, usize)> {
    let grammar = model.grammar()?;
    let text = policy_prompt(QUESTION, Case::Capitalize);
    let mut all = Vec::new();
    for _ in 0..TRIES {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut lap = stopwatch();
        let tiles = model.pictures(&[picture], None)?;
        let image = lap();
        let tokens = block_on(model.encode(&tiles))?;
        let vision = lap();
        let scene = block_on(model.read_pictures(&tiles, &tokens))?;
        let prompt = block_on(model.ask(&scene, &text))?;
        let prefill = lap();
        block_on(model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng))?;
        let bbox = lap();
        block_on(model.generate(&prompt, 1, TOKENS, Sampling::Greedy, &mut rng))?;
        all.push([image, vision, prefill, bbox, lap()]);
    }
    Ok((all, model.bytes()))
}

#[cfg(feature = "burn")]
fn on_burn(files: &ModelFiles, picture: &RgbImage) -> Result<(Vec<Times>, usize)> {
    use smolvlm::SmolVlm;

    let model = SmolVlm::load(files, &burn::tensor::Device::flex())?;
    let grammar = model.grammar()?;
    let text = policy_prompt(QUESTION, Case::Capitalize);
    let shapes = model.manifest().into_iter();
    let numbers: usize = shapes
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    let mut all = Vec::new();
    for _ in 0..TRIES {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut lap = stopwatch();
        let tiles = model.pictures(&[picture], None)?;
        let image = lap();
        let tokens = model.encode(&tiles);
        let vision = lap();
        let prompt = model.ask(&model.read_pictures(&tiles, &tokens)?, &text)?;
        let prefill = lap();
        block_on(model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng))?;
        let bbox = lap();
        block_on(model.generate(&prompt, 1, TOKENS, Sampling::Greedy, &mut rng))?;
        all.push([image, vision, prefill, bbox, lap()]);
    }
    Ok((all, 4 * numbers))
}

#[cfg(not(feature = "burn"))]
fn on_burn(_: &ModelFiles, _: &RgbImage) -> Result<(Vec<Times>, usize)> {
    Err("this build has no burn: leave --no-default-features out".into())
}
