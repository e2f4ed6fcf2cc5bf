//! The kernels' network beside burn's: the same character logits, maps, boxes and log-probabilities.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Tensor;
use grounding::NormBox;
use mapnet::char_logits::class_of;
use mapnet::manifest::{LETTERS_NAME, VECTORS_NAME, manifest};
use mapnet::words::{DIMENSIONS, LETTERS};
use mapnet::{BoxDistribution, TextIndex, canvas};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tensors::Values;

use super::*;
use crate::map::{MapPolicy, ModelFiles, batch, loss, question, readback, weights};

/// What burn's and our results may differ by, as a share of a map's largest value.
const CLOSE: f64 = 1e-4;

/// The largest difference as a share of the largest value.
fn apart<A: Into<f64> + Copy, B: Into<f64> + Copy>(found: &[A], wanted: &[B]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let pairs = found.iter().zip(wanted);
    let gap = pairs.map(|(f, w)| ((*f).into() - (*w).into()).abs());
    let top = wanted.iter().map(|w| (*w).into().abs());
    gap.fold(0.0, f64::max) / top.fold(1e-9, f64::max)
}

fn shipped() -> MapPolicy {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    let files = ModelFiles::from_dir(&folder).expect("the model that ships");
    MapPolicy::load(&files, &Device::flex()).expect("the model that ships")
}

/// Canvases with print-like stripes, of noise-like lengths.
fn pictures(n: usize, width: u32, height: u32) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(width * height));
    let pixels = (width * height) as usize;
    let picture = |_| {
        let run: Vec<u8> = (0..pixels / 3 + 1).map(|_| rng.random()).collect();
        let dark = |i: usize| i / width as usize % 12 < 7 && run[i / 3] > 128;
        (0..pixels)
            .map(|i| if dark(i) { 30 } else { 220 })
            .collect()
    };
    (0..n).map(picture).collect()
}

fn of(tensor: Tensor<4>) -> Vec<f32> {
    pollster::block_on(readback::values(tensor)).expect("values")
}

fn compare(policy: &MapPolicy, n: usize, [width, height]: [u32; 2]) {
    let fast = copy(&policy.config, policy.net()).expect("weights");
    let device = Device::flex();
    let pages = pictures(n, width, height);
    let wanted = policy
        .net()
        .encode(batch::canvases(&pages, width, height, &device));
    for (i, page) in pages.iter().enumerate() {
        let size = [height as usize, width as usize];
        let values = canvas::normalised(page).collect();
        let found = features(fast.encoder().encode(values, size));
        let pairs = [
            (&found.fine, &wanted.fine),
            (&found.middle, &wanted.middle),
            (&found.coarse, &wanted.coarse),
            (&found.characters, &wanted.characters),
        ];
        for (found, wanted) in pairs {
            let one = wanted.clone().narrow(0, i, 1);
            assert_eq!(found.dims(), one.dims());
            let gap = apart(&of(found.clone()), &of(one));
            assert!(gap < CLOSE, "{width} x {height}: {gap}");
        }
    }
}

#[test]
fn the_manifest_lists_the_tensors_of_burns_network() {
    let tiny = MapPolicy::random(&MapConfig::tiny(), 1, &Device::flex()).expect("a policy");
    for policy in [tiny, shipped(), with_words().0] {
        let weights = weights::collect(policy.net()).expect("weights");
        let shapes = weights.into_iter().map(|(name, (shape, _))| (name, shape));
        assert_eq!(manifest(&policy.config), shapes.collect::<Vec<_>>());
    }
}

#[test]
fn pictures_are_encoded_as_by_burn() {
    let tiny = MapPolicy::random(&MapConfig::tiny(), 1, &Device::flex()).expect("a policy");
    for size in [[32, 32], [96, 128], [160, 32], [224, 352]] {
        compare(&tiny, 1, size);
    }
    compare(&tiny, 3, [96, 64]);
    let shipped = shipped();
    compare(&shipped, 2, [96, 160]);
    compare(&shipped, 1, [480, 672]);
}

#[test]
fn questions_are_read_as_by_burn() {
    let policy = shipped();
    let fast = policy.fast.as_ref().expect("a loaded policy is prepared");
    let long = "who ".repeat(60);
    for asked in [
        "What is the total?",
        "\"DATE\"",
        "?",
        "Où est « né »?",
        &long,
    ] {
        let texts =
            question::encode_questions(&[asked], &policy.config, policy.words(), &policy.device);
        let wanted = pollster::block_on(readback::values(policy.net().steering(&texts)));
        let gap = apart(&fast.steering(asked), &wanted.expect("values"));
        assert!(gap < CLOSE, "{asked}: {gap}");
    }
}

#[test]
fn questions_are_answered_as_by_burn() {
    let policy = shipped();
    let [width, height] = [224, 352];
    let page = &pictures(1, width, height)[0];
    let fast = policy.fast.as_ref().expect("a loaded policy is prepared");
    let size = [height as usize, width as usize];
    let values = canvas::normalised(page).collect();
    let encoded = features(fast.encoder().encode(values, size));
    let encoded = pollster::block_on(encoded.read()).expect("a page");
    for asked in ["What is the total?", "What is right of \"DATE\"?"] {
        let wanted = policy.maps(&encoded, asked);
        let levels = encoded.fast.as_ref().expect("the decoder's maps");
        let found = fast.maps(levels, &encoded.text[0], asked).expect("maps");
        let gap = apart(&found, &of(wanted.clone()));
        assert!(gap < CLOSE, "{asked}: {gap}");
        let [_, _, rows, columns] = wanted.dims();
        let found = BoxDistribution::new(&found, columns, rows);
        let burns = BoxDistribution::new(&of(wanted.clone()), columns, rows);
        let config = &policy.config;
        let proposed = found.propose(config.coverage, config.area_price);
        assert_eq!(proposed, burns.propose(config.coverage, config.area_price));
        let boxes = [proposed, NormBox::FULL, boxed([10.0, 20.0, 40.0, 30.0])];
        for temperature in [0.5, 0.8, 1.0, 2.0] {
            let burns = loss::log_probs(wanted.clone(), &boxes, temperature);
            let burns = pollster::block_on(readback::values(burns)).expect("values");
            let found = boxes.map(|bbox| found.log_prob_at(bbox, temperature));
            let gap = apart(&found, &burns);
            assert!(gap < CLOSE, "{asked}: {found:?}, {burns:?}");
        }
    }
}

/// A tiny policy with a table of words, and a page on which one of them is printed.
fn with_words() -> (MapPolicy, TextIndex) {
    let config = MapConfig {
        words: 2,
        ..MapConfig::tiny()
    };
    let mut policy = MapPolicy::random(&config, 5, &Device::flex()).expect("a policy");
    let weights = weights::collect(policy.net()).expect("weights");
    let mut weights: HashMap<String, Values> = weights.into_iter().collect();
    let (_, letters) = weights.get_mut(LETTERS_NAME).expect("letters");
    for (row, word) in letters.chunks_exact_mut(LETTERS).zip(["height", "tall"]) {
        for (to, c) in row.iter_mut().zip(word.chars()) {
            *to = f32::from(class_of(c));
        }
    }
    let (_, vectors) = weights.get_mut(VECTORS_NAME).expect("vectors");
    for (i, value) in vectors.iter_mut().enumerate() {
        *value = ((i % DIMENSIONS) as f32).cos() + 0.3 * (i as f32).sin();
    }
    policy.replace(weights).expect("weights that fit");
    policy.prepare().expect("weights");
    let (rows, columns) = (8, 16);
    let mut values = vec![-8f32; rows * columns * CLASSES];
    for (i, frame) in values.chunks_exact_mut(CLASSES).enumerate() {
        let text = " height 180     ";
        let c = text.chars().nth(i % columns).filter(|_| i / columns == 3);
        frame[usize::from(class_of(c.unwrap_or(' ')))] = 0.0;
    }
    (policy, TextIndex::new(&values, rows, columns))
}

#[test]
fn what_words_mean_counts_as_in_burn() {
    let (policy, page) = with_words();
    let fast = policy.fast.as_ref().expect("prepared");
    let canvas = &pictures(1, 64, 64)[0];
    let values = canvas::normalised(canvas).collect();
    let mut encoded = features(fast.encoder().encode(values, [64, 64]));
    encoded.text = Arc::new(vec![page]);
    let asked = "How tall is he?";
    let wanted = of(policy.maps(&encoded, asked));
    let levels = encoded.fast.as_ref().expect("the decoder's maps");
    let found = fast.maps(levels, &encoded.text[0], asked).expect("maps");
    let gap = apart(&found, &wanted);
    assert!(gap < CLOSE, "{gap}");
    // The word that is printed means what the question says: without it, the maps are others.
    let other = fast.maps(levels, &encoded.text[0], "How long is he?");
    assert!(apart(&other.expect("maps"), &wanted) > 100.0 * CLOSE);
}

fn boxed([x1, y1, x2, y2]: [f32; 4]) -> NormBox {
    NormBox::new(x1, y1, x2, y2).expect("a box")
}

#[test]
fn changed_weights_are_never_served_from_the_copy() {
    let mut policy = shipped();
    assert!(policy.fast.is_some());
    assert!(policy.without_gradients().fast.is_none());
    policy.change(|net| net);
    assert!(policy.fast.is_none());
    policy.prepare().expect("weights");
    assert!(policy.fast.is_some());
    let files = policy.files(false).expect("files");
    let learning = MapPolicy::load(&files, &Device::flex().autodiff()).expect("a policy");
    assert!(learning.fast.is_none(), "gradients come from burn only");
}
