//! Milliseconds of SmolVLM-256M's layers with packed weights, on this machine.
//!
//! ```sh
//! cargo run --release -p kernels --example packed
//! ```

use std::time::{Duration, Instant};

use kernels::packed::{
    Activations, Heads, Instructions, Job, Linear, Segment, Then, attend, products,
};

/// Rows, inputs, outputs: the vision tower's, a prompt's and a token's.
const LAYERS: [[usize; 3]; 6] = [
    [1024, 768, 768],
    [1024, 768, 3072],
    [1024, 3072, 768],
    [100, 576, 1536],
    [1, 576, 1536],
    [1, 576, 49280],
];

/// The shortest of several tries.
fn best(mut work: impl FnMut()) -> Duration {
    let tries = (0..20).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    tries.min().unwrap_or_default()
}

fn main() {
    println!("{:?}", Instructions::best());
    println!("| rows, inputs, outputs | f32 | q8 | q4 |\n|---|---|---|---|");
    for [rows, inputs, outputs] in LAYERS {
        let shape = [outputs, inputs];
        let scales = vec![0.01; outputs * inputs / 32];
        let layers = [
            Linear::f32(shape, &vec![0.1; outputs * inputs], None),
            Linear::q8(shape, &vec![3; outputs * inputs], &scales, None),
            Linear::q4(shape, &vec![0x37; outputs * inputs / 2], &scales, None),
        ];
        let x = vec![0.5; rows * inputs];
        let mut out = vec![0.0; rows * outputs];
        let times = layers.map(|layer| {
            let time = best(|| {
                let x = Activations::new(&x, inputs);
                products(&x, &mut [Job::new(&layer, &mut out, Then::Set)]);
            });
            let seconds = time.as_secs_f64();
            let flop = 2.0 * (rows * inputs * outputs) as f64;
            format!(
                "{:.2} ms, {:.0} GFLOP/s",
                seconds * 1e3,
                flop / seconds / 1e9
            )
        });
        println!("| {rows}, {inputs}, {outputs} | {} |", times.join(" | "));
    }
    let heads = Heads {
        queries: 12,
        keys: 12,
        dim: 64,
    };
    let x = vec![0.5; 1024 * 768];
    let mut out = x.clone();
    let mut segment = Segment::new(heads);
    segment.extend(&x, &x);
    let time = best(|| attend(heads, &x, &[&segment], None, &mut out));
    println!(
        "attention of 1,024 patches: {:.1} ms",
        time.as_secs_f64() * 1e3
    );
}
