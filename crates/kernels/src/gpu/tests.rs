//! Every kernel beside its twin on the processor, on random maps; the network; and what is said where there is no card.
//!
//! Where no adapter is (a machine without a Vulkan driver), tests that need one say so and pass.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::Write;

use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wgpu::{Backends, BufferUsages};

use super::beside::beside;
use super::check::apart;
use super::conv::{GpuBlock, GpuConv, Of};
use super::film::film;
use super::grow::add_grown;
use super::log_softmax::log_softmax;
use super::maps::GpuMaps;
use super::norm::{GpuNorm, affine};
use super::run::Run;
use super::stem::Stem;
use super::*;
use crate::conv::Conv;
use crate::maps::{Maps, Then};
use crate::winograd::Winograd;
use crate::{Decoder, Encoder, Features, HALVES, Tensors};

/// What card and processor may differ by, as a share of the largest value: f32 is added up in another order.
const CLOSE: f64 = 2e-5;

/// The card to test with, if there is one.
fn card() -> Option<Gpu> {
    match block_on(Gpu::open()) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoAdapter) => {
            // Not by a macro, whose output is kept from whoever runs the tests.
            writeln!(std::io::stderr(), "no adapter: skipped").ok();
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// The same without the map policy's kernels.
pub(super) fn bare_card() -> Option<Gpu> {
    card().map(|_| block_on(Gpu::open_bare()).unwrap())
}

fn noise(rng: &mut ChaCha8Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn maps(rng: &mut ChaCha8Rng, [height, width, channels]: [usize; 3]) -> Maps {
    Maps::from_values(
        height,
        width,
        channels,
        noise(rng, height * width * channels),
    )
}

fn read(run: Run, maps: &GpuMaps) -> Vec<f32> {
    let [maps] = block_on(run.finish([maps])).unwrap();
    maps.values
}

fn plain(maps: &Maps) -> Vec<f32> {
    (0..maps.height)
        .flat_map(|y| maps.row(y).to_vec())
        .collect()
}

fn close(found: &[f32], wanted: &[f32], what: &str) {
    let apart = apart(found, wanted);
    assert!(apart < CLOSE, "{what}: {apart:e}");
}

/// Shapes that are less than a tile, more than one, and no multiple of one.
const SHAPES: [[usize; 2]; 4] = [[1, 1], [3, 5], [17, 9], [24, 40]];

#[test]
fn the_stem_is_a_convolution_of_a_grey_picture() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for ([height, width], to) in SHAPES.into_iter().zip([4, 16, 8, 28]) {
        let [height, width] = [2 * height, 2 * width];
        let picture = maps(&mut rng, [height, width, 1]);
        let (shape, weights, bias) = ([to, 1, 4, 4], noise(&mut rng, to * 16), noise(&mut rng, to));
        let twin = Conv::new(shape, &weights, &bias, [2, 2]).apply_relu(&picture.with_frame());
        let stem = Stem::new(&gpu, (shape, &weights, &bias), [2, 2]);
        let mut run = Run::new(&gpu);
        let values = gpu.filled(bytemuck::cast_slice(&picture.values), BufferUsages::STORAGE);
        let out = stem.apply_relu(&mut run, &values, [height, width]);
        close(&read(run, &out), &plain(&twin), "stem");
    }
}

#[test]
fn convolutions_are_those_of_the_processor() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let channels = [[8, 8], [43, 32], [56, 126], [128, 80]];
    let kernels = [(3, [2, 2]), (1, [1, 1]), (3, [1, 2]), (3, [2, 1])];
    for ([height, width], [from, to]) in SHAPES.into_iter().zip(channels) {
        for (kernel, stride) in kernels {
            let x = maps(&mut rng, [height, width, from]);
            let shape = [to, from, kernel, kernel];
            let weights = noise(&mut rng, to * from * kernel * kernel);
            let bias = noise(&mut rng, to);
            let twin = Conv::new(shape, &weights, &bias, stride);
            let conv = GpuConv::new(&gpu, (shape, &weights, &bias), stride);
            for (of, then) in [(Of::All, Then::Set), (Of::Positive, Then::Relu)] {
                let input = match of {
                    Of::All => x.with_frame(),
                    Of::Positive => x.relu(),
                };
                let wanted = match then {
                    Then::Relu => plain(&twin.apply_relu(&input)),
                    _ => plain(&twin.apply(&input)),
                };
                let mut run = Run::new(&gpu);
                let out = conv.apply(&mut run, &GpuMaps::upload(&gpu, &x), of, then);
                close(
                    &read(run, &out),
                    &wanted,
                    &format!("{shape:?} by {stride:?}, {then:?}"),
                );
            }
            // Added to what is there.
            let mut there = twin.apply(&x.with_frame());
            let mut run = Run::new(&gpu);
            let out = GpuMaps::upload(&gpu, &there);
            conv.run(
                &mut run,
                &GpuMaps::upload(&gpu, &x),
                Of::All,
                &out,
                Then::Add,
            );
            twin.run(&x.with_frame(), &mut there, Then::Add);
            close(&read(run, &out), &there.values, "added");
        }
    }
}

#[test]
fn in_f16_a_convolution_differs_by_its_eleven_bits_and_no_more() {
    let gpu = match block_on(Gpu::open_half()) {
        Ok(gpu) => gpu,
        Err(GpuError::NoAdapter | GpuError::NoHalf { .. }) => {
            writeln!(std::io::stderr(), "no adapter with f16: skipped").ok();
            return;
        }
        Err(other) => panic!("{other}"),
    };
    assert!(gpu.is_half());
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let x = maps(&mut rng, [17, 9, 43]);
    let (weights, bias) = (noise(&mut rng, 56 * 43 * 9), noise(&mut rng, 56));
    let parts = ([56, 43, 3, 3], weights.as_slice(), bias.as_slice());
    let wanted = plain(&Conv::new(parts.0, parts.1, parts.2, [1, 2]).apply(&x.with_frame()));
    let mut run = Run::new(&gpu);
    let conv = GpuConv::new(&gpu, parts, [1, 2]);
    let out = conv.apply(&mut run, &GpuMaps::upload(&gpu, &x), Of::All, Then::Set);
    let gap = apart(&read(run, &out), &wanted);
    // Each product is rounded to 2^-11 of itself, and sums of many roundings are smaller than their sum.
    assert!(gap < 1e-3, "{gap:e}");
    assert!(gap > CLOSE, "it is not computed in f32: {gap:e}");
    // The network is used where its numbers are the processor's, up to that.
    let t = network(&mut rng);
    let cpu = (Encoder::of(&t).unwrap(), Decoder::of(&t).unwrap());
    let net = (
        GpuEncoder::of(&gpu, &t).unwrap(),
        GpuDecoder::of(&gpu, &t).unwrap(),
    );
    block_on(check((&cpu.0, &cpu.1), (&net.0, &net.1))).unwrap();
}

#[test]
fn a_block_is_that_of_the_processor() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let named = ["first", "second"].into_iter().flat_map(|name| {
        let weights = (vec![56, 56, 3, 3], noise(&mut rng, 56 * 56 * 9));
        let bias = (vec![56], noise(&mut rng, 56));
        [
            (format!("b.{name}.weight"), weights),
            (format!("b.{name}.bias"), bias),
        ]
    });
    let t: Tensors = named.collect();
    let mut x = maps(&mut rng, [19, 23, 56]);
    let mut run = Run::new(&gpu);
    let out = GpuMaps::upload(&gpu, &x);
    GpuBlock::of(&gpu, &t, "b").unwrap().run(&mut run, &out);
    // The processor's convolutions of stride 1 are Winograd's, which round otherwise.
    t.block("b").unwrap().run(&mut x);
    let found = apart(&read(run, &out), &x.values);
    assert!(found < 1e-4, "{found:e}");
    // And without the block: the residual alone.
    let weights = noise(&mut rng, 56 * 56 * 9);
    let bias = noise(&mut rng, 56);
    let mut twin = Maps::framed(19, 23, 56);
    Winograd::new([56, 56], &weights, &bias).run(&x.with_frame(), &mut twin, Then::Set);
    let conv = GpuConv::new(&gpu, ([56, 56, 3, 3], &weights, &bias), [1, 1]);
    let mut run = Run::new(&gpu);
    let out = conv.apply(&mut run, &GpuMaps::upload(&gpu, &x), Of::All, Then::Set);
    let found = apart(&read(run, &out), &plain(&twin));
    assert!(found < 1e-4, "{found:e}");
}

#[test]
fn a_group_norm_is_that_of_the_processor_whatever_the_mean() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for ([height, width], channels) in SHAPES.into_iter().zip([8, 32, 56, 80]) {
        let mut x = maps(&mut rng, [height, width, channels]);
        // Far from zero, where sums of squares lose digits. Not the single place, which is its group's mean, so that both
        // twins are left with nothing but rounding errors.
        let mean = if height * width == 1 { 0.0 } else { 30.0 };
        x.values.iter_mut().for_each(|value| *value += mean);
        let (gamma, beta) = (noise(&mut rng, channels), noise(&mut rng, channels));
        let mut run = Run::new(&gpu);
        let out = GpuMaps::upload(&gpu, &x);
        GpuNorm::new(&gpu, &gamma, &beta).run(&mut run, &out);
        x.group_norm(8, &gamma, &beta);
        let found = apart(&read(run, &out), &x.values);
        assert!(found < 2e-4, "{height} x {width} x {channels}: {found:e}");
    }
}

#[test]
fn steering_upsampling_and_hints_are_those_of_the_processor() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for ([height, width], channels) in SHAPES.into_iter().zip([32, 8, 64, 12]) {
        let mut x = maps(&mut rng, [2 * height, 2 * width, channels]);
        let (scale, shift) = (noise(&mut rng, channels), noise(&mut rng, channels));
        let small = maps(&mut rng, [height, width, channels]);
        let wide = maps(&mut rng, [2 * height, width, channels]);
        let hints = noise(&mut rng, 11 * x.height * x.width);
        let mut run = Run::new(&gpu);
        let out = GpuMaps::upload(&gpu, &x);
        film(&mut run, &out, &gpu.upload(&affine(&scale, &shift)));
        add_grown(&mut run, &out, &GpuMaps::upload(&gpu, &small), [2, 2]);
        add_grown(&mut run, &out, &GpuMaps::upload(&gpu, &wide), [1, 2]);
        let hinted = beside(&mut run, &out, &hints);
        x.scale(&scale, &shift);
        x.add_grown(&small, [2, 2]);
        x.add_grown(&wide, [1, 2]);
        let wanted = plain(&crate::decoder::beside(&x, &hints));
        close(&read(run, &hinted), &wanted, "steered, grown, with hints");
    }
}

#[test]
fn log_probabilities_are_those_of_the_processor_and_do_not_overflow() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for ([height, width], classes) in SHAPES.into_iter().zip([63, 5, 64, 130]) {
        let mut x = maps(&mut rng, [height, width, 2 * classes]);
        x.values.iter_mut().for_each(|value| *value *= 200.0);
        let mut run = Run::new(&gpu);
        let out = GpuMaps::upload(&gpu, &x);
        log_softmax(&mut run, &out, 2);
        x.log_softmax(2);
        close(&read(run, &out), &x.values, "log-probabilities");
        let sum: f32 = x.values[..classes].iter().map(|value| value.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }
}

/// A tensor's name, shape and values.
type Named = (String, (Vec<usize>, Vec<f32>));

/// A small network with the names and shapes of the real one.
fn network(rng: &mut ChaCha8Rng) -> Tensors {
    let mut list: Vec<Named> = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let count: usize = shape.iter().product();
        // As large as keeps maps from growing.
        let width = (count / shape[0]).max(4) as f32;
        let values = noise(rng, count).iter().map(|v| v / width.sqrt()).collect();
        list.push((name, (shape.to_vec(), values)));
    };
    let mut conv = |name: &str, to: usize, from: usize, kernel: usize| {
        add(format!("{name}.weight"), &[to, from, kernel, kernel]);
        add(format!("{name}.bias"), &[to]);
    };
    conv("stem", 4, 1, 4);
    conv("stem_deep", 8, 4, 3);
    for (i, [from, to]) in [[8, 16], [16, 24], [24, 40]].into_iter().enumerate() {
        conv(&format!("stages.{i}.down"), to, from, 3);
        conv(&format!("stages.{i}.blocks.0.first"), to, to, 3);
        conv(&format!("stages.{i}.blocks.0.second"), to, to, 3);
        conv(&format!("project.{i}"), [8, 16, 24][i], to, 1);
    }
    for (name, channels) in [
        ("middle_out", 24),
        ("fine_out", 16),
        ("coarse", 24),
        ("middle", 16),
        ("fine", 8),
    ] {
        conv(&format!("{name}.first"), channels, channels, 3);
        conv(&format!("{name}.second"), channels, channels, 3);
    }
    for (name, to, from, kernel) in [
        ("coarse_to_middle", 24, 40, 1),
        ("middle_to_fine", 16, 24, 1),
        ("characters", 126, 16, 1),
        ("enter", 8, 8 + 11, 3),
        ("down_middle", 16, 8, 3),
        ("down_coarse", 24, 16, 3),
        ("up_middle", 16, 24, 1),
        ("up_fine", 8, 16, 1),
        ("head", 9, 8, 1),
    ] {
        conv(name, to, from, kernel);
    }
    for (name, channels) in [
        ("stem_norm", 8),
        ("stages.0.norm", 16),
        ("stages.1.norm", 24),
        ("stages.2.norm", 40),
    ] {
        add(format!("{name}.gamma"), &[channels]);
        add(format!("{name}.beta"), &[channels]);
    }
    list.into_iter().collect()
}

#[test]
fn the_network_is_that_of_the_processor_and_a_card_that_computes_otherwise_is_refused() {
    let Some(gpu) = card() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let t = network(&mut rng);
    let cpu = (Encoder::of(&t).unwrap(), Decoder::of(&t).unwrap());
    let on_card = |t: &Tensors| {
        (
            GpuEncoder::of(&gpu, t).unwrap(),
            GpuDecoder::of(&gpu, t).unwrap(),
        )
    };
    let (encoder, decoder) = on_card(&t);
    let size = [64, 96];
    let picture = noise(&mut rng, size[0] * size[1]);
    let found = block_on(encoder.encode(&picture, size)).unwrap();
    let mut wanted: Features = cpu.0.encode(picture, size).into();
    wanted.characters.log_softmax(HALVES);
    let characters = apart(&found.characters.values, &wanted.characters.values);
    assert!(characters < 1e-4, "{characters:e}");
    for (found, wanted) in found.levels.iter().zip(&wanted.levels) {
        assert_eq!([found.height, found.width], [wanted.height, wanted.width]);
        let apart = apart(&found.values, &wanted.values);
        assert!(apart < 1e-4, "{apart:e}");
    }
    let hints = noise(&mut rng, cpu.1.hints() * 8 * 12);
    let steer = noise(&mut rng, cpu.1.steering());
    let maps = block_on(decoder.decode(&wanted.levels, &hints, &steer)).unwrap();
    let apart = apart(&maps, &cpu.1.decode(&wanted.levels, &hints, &steer));
    assert!(apart < 1e-4, "{apart:e}");

    let twin = (&cpu.0, &cpu.1);
    block_on(check(twin, (&encoder, &decoder))).unwrap();
    // Other weights stand for a card that computes other numbers.
    let (other_encoder, other_decoder) = on_card(&network(&mut rng));
    for (gpu, what) in [
        ((&other_encoder, &decoder), "f"),
        ((&encoder, &other_decoder), "maps of boxes"),
    ] {
        let refused = block_on(check(twin, gpu)).unwrap_err();
        assert!(
            matches!(&refused, GpuError::Wrong { what: w, .. } if w.contains(what)),
            "{refused}"
        );
        assert!(
            refused.to_string().contains(gpu.0.gpu().name()),
            "{refused}"
        );
    }
}

#[test]
fn a_lost_card_is_an_error_that_names_it() {
    let Some(gpu) = card() else { return };
    let t = network(&mut ChaCha8Rng::seed_from_u64(8));
    let encoder = GpuEncoder::of(&gpu, &t).unwrap();
    let encode = || block_on(encoder.encode(&vec![0.5; 32 * 32], [32, 32]));
    encode().unwrap();
    gpu.lose();
    for _ in 0..2 {
        let error = encode().unwrap_err();
        assert!(matches!(error, GpuError::Failed { .. }), "{error}");
        assert!(error.to_string().contains(gpu.name()), "{error}");
    }
}

#[test]
fn a_picture_that_the_card_has_no_room_for_is_refused_before_anything_is_computed() {
    let Some(gpu) = card() else { return };
    let t = network(&mut ChaCha8Rng::seed_from_u64(9));
    let encoder = GpuEncoder::of(&gpu, &t).unwrap();
    let side = 32 * ((gpu.room() as f64).sqrt() as usize / 32);
    let error = block_on(encoder.encode(&[], [side, side])).unwrap_err();
    assert!(matches!(error, GpuError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("longest edge"), "{error}");
}

#[test]
fn without_any_adapter_a_sentence_says_what_to_install() {
    // No interface to look through: as on a machine without a card and without a driver.
    let error = block_on(Gpu::open_by(Backends::empty(), false)).unwrap_err();
    assert_eq!(error, GpuError::NoAdapter);
    let sentence = error.to_string();
    assert!(
        sentence.contains("no graphics adapter was found"),
        "{sentence}"
    );
    assert!(sentence.contains("driver"), "{sentence}");
}
