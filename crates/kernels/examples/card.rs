//! Milliseconds of SmolVLM-256M's layers with packed weights on the graphics card, best of some tries.
//!
//! ```sh
//! cargo run --release -p kernels --features gpu --example card
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use kernels::gpu::packed::{Card, Kind, Pass, Past, Rows, Then, Weights};
use kernels::packed::Heads;
use pollster::block_on;

/// Rows, inputs, outputs: the vision tower's, a prompt's and a token's.
const LAYERS: [[usize; 3]; 6] = [
    [1024, 768, 768],
    [1024, 768, 3072],
    [1024, 3072, 768],
    [100, 576, 1536],
    [1, 576, 1536],
    [1, 576, 49280],
];
/// A try lasts at least so long.
const LEAST: Duration = Duration::from_millis(50);
/// Tries of each.
const TRIES: usize = 3;

/// The shortest of several tries: milliseconds of one of as many kernels as fill a try.
fn best(card: &Card, out: &Rows, mut kernel: impl FnMut(&mut Pass)) -> Result<f64, Box<dyn Error>> {
    let mut time = |count: u32| -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        let mut pass = Pass::new(card);
        (0..count).for_each(|_| kernel(&mut pass));
        block_on(pass.read(&[out]))?;
        Ok(start.elapsed())
    };
    let mut count = 1;
    while time(count)? < LEAST {
        count *= 2;
    }
    let mut shortest = f64::INFINITY;
    for _ in 0..TRIES {
        shortest = shortest.min(time(count)?.as_secs_f64() * 1e3 / f64::from(count));
    }
    Ok(shortest)
}

fn main() -> Result<(), Box<dyn Error>> {
    let heads = Heads {
        queries: 12,
        keys: 12,
        dim: 64,
    };
    let card = block_on(Card::best(&[heads.dim]))?;
    let half = if card.gpu().is_half() { ", f16" } else { "" };
    println!("{}{half}", card.gpu().name());
    println!("| rows, inputs, outputs | f32 | q8 | q4 |\n|---|---|---|---|");
    for [rows, inputs, outputs] in LAYERS {
        let shape = [outputs, inputs];
        let count = outputs * inputs;
        // 0.01 as f16.
        let scales: Vec<u8> = [0x1f, 0x21].repeat(count / 32);
        let layers = [
            (Kind::F32, 4 * count, &[][..]),
            (Kind::Q8, count, &scales),
            (Kind::Q4, count / 2, &scales),
        ];
        let mut cells = Vec::new();
        for (kind, bytes, scales) in layers {
            let layer = Weights::upload(&card, shape, kind, &vec![1; bytes], scales);
            // Kept beyond a pass: these passes are many.
            let x = Rows::new(&card, rows, inputs);
            let out = Rows::new(&card, rows, outputs);
            let ms = best(&card, &out, |pass| {
                pass.product(&layer, &x, &out, Then::Set)
            })?;
            let flop = 2.0 * (rows * count) as f64;
            cells.push(format!("{ms:.2} ms, {:.1} GFLOP/s", flop / ms / 1e6));
        }
        println!("| {rows}, {inputs}, {outputs} | {} |", cells.join(" | "));
    }
    let [q, k, v, out] = std::array::from_fn(|_| Rows::new(&card, 1024, 768));
    let ms = best(&card, &out, |pass| {
        pass.attend_tiles(heads, 1, [&q, &k, &v], &out);
    })?;
    println!("attention of 1,024 patches: {ms:.1} ms");
    let [q, k, v, out] = std::array::from_fn(|_| Rows::new(&card, 1, 768));
    let ms = best(&card, &out, |pass| {
        let mut past = Past::new(&card, heads, 1);
        let step = pass.step(&mut past, 1, 1, 1e4);
        pass.attend_past((&past, 0), &step, [&q, &k, &v], &out);
        pass.begin();
    })?;
    println!("attention of a token, its past made anew: {ms:.2} ms");
    Ok(())
}
