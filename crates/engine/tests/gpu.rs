//! The engine on a graphics card: the sample pictures get the boxes that the processor gives them.
//!
//! Where no adapter is (a machine without a Vulkan driver), tests that need one say so and pass.

#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::Write;
use std::path::Path;

use engine::{Device, EncodeOptions, Engine, ProposeOptions, Quiet, Reason};
use kernels::gpu::{Gpu, GpuError};
use kernels::{Features, HALVES, Maps};
use mapnet::MapError;
use mapnet::gpu::GpuNet;
use picture::RgbImage;
use pollster::block_on;
use tensors::ModelFiles;

/// Longest side that the network gets to see here, pixels: a software adapter takes half a minute for a whole page.
const SIDE: u32 = 160;

/// What values of card and processor may differ by.
const CLOSE: f32 = 1e-3;

/// What evidence may differ by: it follows what was read, where a difference of rounding may decide between two words.
const CLOSE_EVIDENCE: f32 = 1e-2;

/// The same where the card multiplies in f16: of probabilities, and of a box's logarithm, as a share of it.
const CLOSE_HALF: f32 = 0.05;
const CLOSE_HALF_LOG: f64 = 0.05;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn files() -> ModelFiles {
    ModelFiles::from_dir(&root().join("models/default")).expect("the shipped model")
}

fn sample(name: &str) -> RgbImage {
    let bytes = std::fs::read(root().join(format!("web/samples/{name}.jpg"))).expect("the sample");
    picture::decode(&bytes).expect("a picture")
}

fn load(device: Device) -> Engine {
    block_on(Engine::load(&files(), device, &Quiet)).expect("loads")
}

fn skipped() {
    // Not by a macro, whose output is kept from whoever runs the tests.
    writeln!(std::io::stderr(), "no adapter: skipped").ok();
}

/// The engine on a card, if there is one.
fn on_card() -> Option<Engine> {
    let engine = load(Device::Gpu);
    match &engine.backend().reason {
        Reason::AskedFor => Some(engine),
        Reason::Refused(GpuError::NoAdapter) => {
            skipped();
            None
        }
        other => panic!("{other}"),
    }
}

/// The largest difference.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let pairs = found.iter().zip(wanted);
    pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f32::max)
}

#[test]
fn the_samples_get_the_boxes_that_the_processor_gives_them() {
    let Some(card) = on_card() else { return };
    let backend = card.backend();
    assert_eq!(backend.name, "wgpu");
    assert!(
        backend
            .adapter
            .as_ref()
            .is_some_and(|name| !name.is_empty())
    );
    // In f16 a box may be the next one: an edge is a whole percent.
    let (close, close_log, edges) = match backend.is_half {
        true => (CLOSE_HALF, CLOSE_HALF_LOG, 1.0),
        false => (CLOSE_EVIDENCE, f64::from(CLOSE), 0.0),
    };
    let cpu = load(Device::Cpu);
    for (name, questions) in [
        (
            "receipt",
            ["What is the total?", "How much is the \"Draft Beer\"?"],
        ),
        ("scan", ["What is the total?", "What is the date?"]),
        ("invoice", ["How much tax was paid?", "What is the date?"]),
        ("table", ["\"Low\" of \"Cheese\"?", "What is the name?"]),
        (
            "sign",
            [
                "How far is it to Glasgow?",
                "How far is it to \"Brooklyn\"?",
            ],
        ),
        (
            "plate",
            ["What is written on the number plate?", "What is the name?"],
        ),
    ] {
        let picture = sample(name);
        let options = EncodeOptions {
            longest_edge: Some(SIDE),
            within: None,
        };
        let [found, wanted] = [&card, &cpu]
            .map(|engine| block_on(engine.encode(&picture, &options, &Quiet)).unwrap());
        for question in questions {
            let options = ProposeOptions::default();
            let ask = |engine: &Engine, encoded| {
                block_on(engine.propose(encoded, question, &options, &Quiet)).unwrap()
            };
            let (found, wanted) = (ask(&card, &found), ask(&cpu, &wanted));
            let gap = apart(&found.bbox.to_array(), &wanted.bbox.to_array());
            assert!(gap <= edges, "{name}: {question}: {gap} percent");
            assert_eq!(found.proposal.rotation, wanted.proposal.rotation, "{name}");
            let logprob = (found.proposal.logprob - wanted.proposal.logprob).abs();
            let size = 1.0 + wanted.proposal.logprob.abs();
            assert!(
                logprob < close_log * size,
                "{name}: {question}: {logprob:e}"
            );
            let evidence =
                [&found, &wanted].map(|answer| answer.proposal.evidence.as_ref().unwrap());
            let apart = apart(&evidence[0].values, &evidence[1].values);
            assert!(apart < close, "{name}: {question}: {apart:e}");
        }
    }
}

#[test]
fn every_map_of_a_receipt_is_that_of_the_processor() {
    let Ok(gpu) = block_on(Gpu::open()) else {
        return skipped();
    };
    let engine = load(Device::Cpu);
    let model = engine.model();
    let net = GpuNet::load(&files(), &gpu).unwrap();
    block_on(net.check(model)).expect("the same numbers");
    let both = async |pixels: Vec<f32>, size: [usize; 2]| -> Result<Features, MapError> {
        let found = net.encode(&pixels, size).await?;
        let mut wanted: Features = model.encoder().encode(pixels, size).into();
        wanted.characters.log_softmax(HALVES);
        // Of what cannot be, logarithms have many digits before the point.
        let certain = |maps: &Maps| maps.values.iter().map(|v| v.exp()).collect::<Vec<_>>();
        let gap = apart(&certain(&found.characters), &certain(&wanted.characters));
        assert!(gap < CLOSE, "characters: {gap:e}");
        for (found, wanted) in found.levels.iter().zip(&wanted.levels) {
            let gap = apart(&found.values, &wanted.values);
            assert!(gap < CLOSE, "stride of {} columns: {gap:e}", found.width);
        }
        Ok(found)
    };
    let seen = block_on(model.encode_by(&sample("receipt"), Some(SIDE), both)).unwrap();
    let both = async |levels: &[Maps; 3], hints: &[f32], steer: &[f32]| {
        let found = net.decode(levels, hints, steer).await?;
        let wanted = model.decoder().decode(levels, hints, steer);
        let gap = apart(&found, &wanted);
        assert!(gap < CLOSE, "maps of boxes: {gap:e}");
        Ok::<_, MapError>(found)
    };
    block_on(model.propose_by(&seen, "What is the total?", both)).unwrap();
}

#[test]
fn in_f16_the_model_that_ships_is_precise_enough() {
    let Ok(gpu) = block_on(Gpu::open_half()) else {
        return skipped();
    };
    let engine = load(Device::Cpu);
    let net = GpuNet::load(&files(), &gpu).unwrap();
    block_on(net.check(engine.model())).expect("the same numbers, up to f16");
    // A software adapter is not asked for it: nothing is gained there.
    if gpu.is_software() {
        assert!(!load(Device::Gpu).backend().is_half);
    }
}

#[test]
fn a_timed_probe_decides_whether_a_card_is_used_that_nobody_asked_for() {
    let engine = load(Device::Auto);
    let backend = engine.backend();
    match &backend.reason {
        Reason::Measured { gpu, cpu, .. } => {
            assert!(*gpu > 0.0 && *cpu > 0.0, "{}", backend.reason);
            let faster = if gpu < cpu { "wgpu" } else { "cpu" };
            assert_eq!(backend.name, faster, "{}", backend.reason);
            assert_eq!(backend.adapter.is_some(), faster == "wgpu");
        }
        Reason::Refused(GpuError::NoAdapter) => {
            skipped();
            assert_eq!((backend.name, backend.is_fallback), ("cpu", false));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_processor_is_never_a_fallback_where_it_was_asked_for() {
    let engine = load(Device::Cpu);
    let backend = engine.backend();
    assert_eq!((backend.name, backend.is_fallback), ("cpu", false));
    assert_eq!(backend.reason, Reason::AskedFor);
}

/// Set in the process that looks for adapters in vain.
#[cfg(target_os = "linux")]
const BLIND: &str = "CROPVLM_TEST_WITHOUT_ADAPTER";

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_the_processor_computes_and_the_reason_says_what_to_install() {
    if std::env::var_os(BLIND).is_none() {
        // Vulkan's loader is told of a driver that is not there, which has to be done from outside.
        let name = "without_an_adapter_the_processor_computes_and_the_reason_says_what_to_install";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            command.env(variable, "/nowhere/icd.json");
        }
        let output = command
            .args([name, "--exact"])
            .env(BLIND, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    for (device, is_fallback) in [(Device::Gpu, true), (Device::Auto, false)] {
        let engine = load(device);
        let backend = engine.backend();
        assert_eq!((backend.name, backend.is_fallback), ("cpu", is_fallback));
        assert_eq!(backend.adapter, None);
        assert_eq!(backend.reason, Reason::Refused(GpuError::NoAdapter));
        let sentence = backend.reason.to_string();
        assert!(
            sentence.contains("no graphics adapter was found"),
            "{sentence}"
        );
        assert!(sentence.contains("mesa-vulkan-drivers"), "{sentence}");
    }
}
