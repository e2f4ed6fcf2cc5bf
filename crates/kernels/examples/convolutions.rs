//! Milliseconds of the map policy's convolutions with their gradients, on this machine.
//!
//! ```sh
//! cargo run --release -p kernels --example convolutions
//! python tests/parity/bench_convolutions.py       # the same in PyTorch
//! ```

use std::time::{Duration, Instant};

use kernels::learn::Shape;

/// Pictures of a batch.
const BATCH: usize = 3;

/// From, to, height and width of the input, kernel, stride: those of `models/default` at its canvas.
const LAYERS: [[usize; 6]; 7] = [
    [1, 16, 1024, 576, 4, 2],
    [16, 32, 512, 288, 3, 2],
    [32, 56, 256, 144, 3, 2],
    [56, 56, 128, 72, 3, 1],
    [80, 80, 64, 36, 3, 1],
    [128, 128, 32, 18, 3, 1],
    [56, 252, 128, 72, 1, 1],
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
    println!("| layer | GFLOP | forward | of the input | of the weights |\n|---|---|---|---|---|");
    for [from, to, height, width, kernel, stride] in LAYERS {
        let shape = Shape {
            input: [BATCH, from, height, width],
            to,
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad: [(kernel - 1) / 2; 2],
        };
        let x = vec![0.5; shape.input.iter().product()];
        let (weight, bias) = (vec![0.1; to * from * kernel * kernel], vec![0.0; to]);
        let of_result = vec![0.3; shape.result().iter().product()];
        let flop = 2 * of_result.len() * from * kernel * kernel;
        let times = [
            best(|| drop(shape.forward(&x, &weight, &bias))),
            best(|| drop(shape.of_input(&weight, &of_result))),
            best(|| drop(shape.of_weight(&x, &of_result))),
        ]
        .map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
        let layer = format!("{from} to {to}, {kernel} x {kernel} / {stride}, {height} x {width}");
        println!(
            "| {layer} | {:.2} | {} |",
            flop as f64 / 1e9,
            times.join(" | ")
        );
    }
}
