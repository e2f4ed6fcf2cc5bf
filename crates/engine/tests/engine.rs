//! The engine with the model that ships, on the receipt that the page opens with.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::cell::{Cell, RefCell};
use std::path::Path;

use engine::{
    Device, EncodeOptions, Engine, EngineError, Event, Host, ProposeOptions, Quiet, Stage,
};
use grounding::NormBox;
use picture::RgbImage;
use pollster::block_on;
use tensors::ModelFiles;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn files() -> ModelFiles {
    ModelFiles::from_dir(&root().join("models/default")).expect("the shipped model")
}

fn shipped() -> Engine {
    block_on(Engine::load(&files(), Device::Cpu, &Quiet)).expect("loads")
}

fn receipt() -> RgbImage {
    let bytes = std::fs::read(root().join("web/samples/receipt.jpg")).expect("the sample");
    picture::decode(&bytes).expect("a picture")
}

/// Stops before the n-th event, and remembers what it heard.
struct StopsAt {
    left: Cell<u32>,
    heard: RefCell<Vec<Event>>,
}

impl StopsAt {
    fn new(left: u32) -> Self {
        Self {
            left: Cell::new(left),
            heard: RefCell::default(),
        }
    }
}

impl Host for StopsAt {
    fn hear(&self, event: Event) {
        self.heard.borrow_mut().push(event);
        self.left.set(self.left.get().saturating_sub(1));
    }

    fn is_cancelled(&self) -> bool {
        self.left.get() == 0
    }
}

#[test]
fn a_box_is_proposed_with_its_pixels_and_further_places() {
    let (engine, picture) = (shipped(), receipt());
    let encoded = block_on(engine.encode(&picture, &EncodeOptions::default(), &Quiet)).unwrap();
    let propose =
        |options| block_on(engine.propose(&encoded, "What is the total?", &options, &Quiet));
    let plain = propose(ProposeOptions::default()).unwrap();
    assert_eq!(Some(plain.bbox), plain.proposal.bbox);
    let (width, height) = picture.dimensions();
    assert_eq!(plain.pixels, plain.bbox.to_pixels(width, height));
    assert!(
        plain.confidence > 0.2 && plain.confidence <= 1.0,
        "{}",
        plain.confidence
    );
    assert!(plain.others.iter().all(|other| other.bbox != plain.bbox));
    let sure: Vec<f64> = plain.others.iter().map(|other| other.confidence).collect();
    assert!(sure.iter().all(|c| (0.0..=1.0).contains(c)), "{sure:?}");
    let none = propose(ProposeOptions {
        top_k: 0,
        ..Default::default()
    })
    .unwrap();
    assert!(none.others.is_empty());

    let grown = propose(ProposeOptions {
        expand: 2.0,
        ..Default::default()
    })
    .unwrap();
    assert!(grown.bbox.contains(plain.bbox));
    let times = grown.bbox.area() / plain.bbox.area();
    assert!((times - 2.0).abs() < 0.01, "{times}");
    let wide = propose(ProposeOptions {
        min_size: 200,
        ..Default::default()
    })
    .unwrap();
    assert!(wide.bbox.contains(plain.bbox));
    assert!(
        wide.pixels.width() >= 200 && wide.pixels.height() >= 200,
        "{:?}",
        wide.pixels
    );
    let refused = propose(ProposeOptions {
        expand: 0.5,
        ..Default::default()
    })
    .unwrap_err();
    assert_eq!(refused.code(), "bad-option");
}

#[test]
fn a_part_is_looked_at_and_its_box_is_that_of_the_whole_picture() {
    let (engine, picture) = (shipped(), receipt());
    let within = NormBox::new(10.0, 40.0, 100.0, 95.0).unwrap();
    let part = EncodeOptions {
        within: Some(within),
        ..Default::default()
    };
    let options = ProposeOptions::default();
    let encoded = block_on(engine.encode(&picture, &part, &Quiet)).unwrap();
    let fine = block_on(engine.propose(&encoded, "What is the total?", &options, &Quiet)).unwrap();
    assert!(within.contains(fine.bbox), "{}", fine.bbox);
    let encoded = block_on(engine.encode(&picture, &EncodeOptions::default(), &Quiet)).unwrap();
    let whole = block_on(engine.propose(&encoded, "What is the total?", &options, &Quiet)).unwrap();
    assert!(
        fine.bbox.intersection(whole.bbox).is_some(),
        "{} {}",
        fine.bbox,
        whole.bbox
    );
}

#[test]
fn everything_can_be_cancelled_and_the_next_call_works() {
    for stage in [1, 2] {
        let stopped = block_on(Engine::load(&files(), Device::Cpu, &StopsAt::new(stage)));
        assert_eq!(stopped.unwrap_err().code(), "aborted");
    }
    let (engine, picture) = (shipped(), receipt());
    let options = EncodeOptions::default();
    let host = StopsAt::new(1);
    let stopped = block_on(engine.encode(&picture, &options, &host)).unwrap_err();
    assert!(matches!(stopped, EngineError::Cancelled));
    assert_eq!(
        *host.heard.borrow(),
        [Event {
            stage: Stage::Encode,
            round: 1
        }]
    );
    let encoded = block_on(engine.encode(&picture, &options, &Quiet)).unwrap();
    let ask = |host: &StopsAt| {
        block_on(engine.propose(
            &encoded,
            "What is the total?",
            &ProposeOptions::default(),
            host,
        ))
    };
    assert_eq!(ask(&StopsAt::new(1)).unwrap_err().code(), "aborted");
    assert!(ask(&StopsAt::new(9)).is_ok());
}

#[test]
fn what_cannot_be_is_refused_with_a_code() {
    let engine = shipped();
    let picture = RgbImage::from_pixel(40, 60, image::Rgb([240; 3]));
    let encoded = block_on(engine.encode(&picture, &EncodeOptions::default(), &Quiet)).unwrap();
    let options = ProposeOptions::default();
    let ask = |question: &str| block_on(engine.propose(&encoded, question, &options, &Quiet));
    assert_eq!(ask(" \n").unwrap_err().code(), "empty-question");
    assert!(ask(&"é".repeat(10_001)).is_ok());

    let load = |files: &ModelFiles| {
        let error = block_on(Engine::load(files, Device::Cpu, &Quiet)).unwrap_err();
        (error.code(), error.to_string())
    };
    let with = |name: &str, bytes: &[u8]| {
        let mut files = files();
        files.insert(name, bytes.to_vec());
        files
    };
    let page = b"<!doctype html><title>Not found</title>";
    let other = br#"{"model_type": "idefics3"}"#;
    for (files, says) in [
        (with("config.json", page), "config.json"),
        (with("model.safetensors", page), "model.safetensors"),
        (with("config.json", other), "idefics3"),
        (ModelFiles::default(), "no config.json"),
    ] {
        let (code, why) = load(&files);
        assert_eq!(code, "bad-model", "{why}");
        assert!(why.contains(says), "{why}");
    }
    let config = String::from_utf8(files().get("config.json").unwrap().to_vec()).unwrap();
    let narrower = config.replace("\"question_dim\": 96", "\"question_dim\": 64");
    let (code, why) = load(&with("config.json", narrower.as_bytes()));
    assert_eq!(code, "bad-model");
    assert!(
        why.contains("questions.out.weight has shape [256, 96]"),
        "{why}"
    );
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_graphics_card_that_is_not_used_is_said_to_be_a_fallback() {
    let backend = |device| {
        let engine = block_on(Engine::load(&files(), device, &Quiet)).unwrap();
        let backend = engine.backend();
        (
            backend.name,
            backend.is_fallback,
            backend.reason.to_string(),
        )
    };
    let said = |name, is_fallback, reason: &str| (name, is_fallback, reason.to_owned());
    assert_eq!(backend(Device::Auto), said("cpu", false, "fastest"));
    assert_eq!(backend(Device::Cpu), said("cpu", false, "asked for"));
    let none = "no graphics card is used by this build";
    assert_eq!(backend(Device::Gpu), said("cpu", true, none));
}

/// The npm package's tests need browsers and bundlers and run by name only; what they expect of the model is checked here.
#[test]
fn the_npm_tests_expect_the_box_of_the_model_that_ships() {
    let engine = shipped();
    let encoded = block_on(engine.encode(&receipt(), &EncodeOptions::default(), &Quiet)).unwrap();
    let options = ProposeOptions::default();
    let answer = block_on(engine.propose(&encoded, "What is the total?", &options, &Quiet));
    let answer = answer.unwrap();
    let [x1, y1, x2, y2] = answer.bbox.to_array();
    let size = [answer.pixels.width(), answer.pixels.height()];
    let wanted = std::fs::read_to_string(root().join("web/js/tests/total.mjs")).unwrap();
    for line in [
        format!("export const TOTAL = [{x1}, {y1}, {x2}, {y2}];"),
        format!("export const CROP = [{}, {}];", size[0], size[1]),
    ] {
        assert!(wanted.contains(&line), "web/js/tests/total.mjs: {line}");
    }
}
