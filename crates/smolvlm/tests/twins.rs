//! The network twice: what `infer` computes on the processor's kernels is what burn computes, for random weights, plain and
//! packed.

#![cfg(feature = "burn")]

use burn::tensor::Device;
use grounding::NormBox;
use picture::RgbImage;
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use smolvlm::infer::Model;
use smolvlm::{ModelFiles, Precision, Quant, Sampling, SmolVlm, pack, tiny};

const QUESTION: &str = "Where is the total?";

fn picture() -> RgbImage {
    RgbImage::from_fn(70, 90, |x, y| {
        [(x * y) as u8, (3 * x) as u8, (5 * y) as u8].into()
    })
}

/// The tiny shape with another entry of `config.json`.
fn shape(key: &str, value: Value) -> ModelFiles {
    let mut files = tiny::files();
    let mut config: Value = files.json("config.json").expect("json");
    config[key] = value;
    files.insert("config.json", config.to_string().into_bytes());
    files
}

fn random(shape: &ModelFiles, seed: u64) -> ModelFiles {
    let model = SmolVlm::random(shape, seed, &Device::flex()).expect("model");
    block_on(model.save(Precision::F32)).expect("files")
}

fn packed(files: &ModelFiles, quant: Quant) -> ModelFiles {
    let mut out = ModelFiles::default();
    pack::<Box<dyn std::error::Error>>(files, None, quant, |name, bytes| {
        out.insert(name, bytes);
        Ok(())
    })
    .expect("packed");
    out
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(9)
}

/// The largest difference of logits, chances and attention; greedy boxes and texts, and drawn ones, have to be the same.
fn apart(files: &ModelFiles) -> f32 {
    let burn = SmolVlm::load(files, &Device::flex()).expect("burn");
    let plain = Model::load(files).expect("infer");
    let mut gap = 0f32;
    let mut compare = |a: &[f32], b: &[f32]| {
        assert_eq!(a.len(), b.len());
        gap = a
            .iter()
            .zip(b)
            .fold(gap, |gap, (a, b)| gap.max((a - b).abs()));
    };
    for edge in [None, Some(48)] {
        let tiles = burn.pictures(&[&picture()], edge).expect("tiles");
        assert_eq!(plain.pictures(&[&picture()], edge).expect("tiles"), tiles);
        let ids = burn.input_ids(&tiles, QUESTION).expect("ids");
        let logits = block_on(smolvlm::read(
            burn.logits(&tiles, &ids).expect("logits"),
            "logits",
        ));
        compare(
            &block_on(plain.logits(&tiles, &ids)).expect("logits"),
            &logits.expect("logits"),
        );

        let [scene, other] = [
            burn.read_pictures(&tiles, &burn.encode(&tiles))
                .expect("scene"),
            burn.read_pictures(&tiles, &burn.encode(&tiles))
                .expect("scene"),
        ];
        let tokens = block_on(plain.encode(&tiles)).expect("tokens");
        let own = block_on(plain.read_pictures(&tiles, &tokens)).expect("scene");
        assert_eq!((own.ids(), own.tokens()), (other.ids(), other.tokens()));
        for layer in 0..burn.net.text_model.layers.len() {
            let seen = block_on(burn.attention(&scene, QUESTION, layer)).expect("attention");
            compare(
                &block_on(plain.attention(&own, QUESTION, layer)).expect("attention"),
                &seen,
            );
        }
        let grammar = burn.grammar().expect("grammar");
        let prompt = burn.ask(&scene, QUESTION).expect("prompt");
        let mine = block_on(plain.ask(&own, QUESTION)).expect("prompt");
        let boxes: Vec<NormBox> = [Sampling::Greedy, Sampling::Temperature(1.3)]
            .into_iter()
            .flat_map(|sampling| {
                let mut dice = rng();
                let wanted = burn.generate_boxes(&grammar, &prompt, 4, sampling, &mut dice);
                let wanted = block_on(wanted).expect("boxes");
                let found =
                    block_on(plain.generate_boxes(&grammar, &mine, 4, sampling, &mut rng()));
                let found = found.expect("boxes");
                for (found, wanted) in found.iter().zip(&wanted) {
                    assert_eq!(found.bbox, wanted.bbox, "{sampling:?}");
                    compare(&[found.logprob], &[wanted.logprob]);
                }
                found.into_iter().map(|row| row.bbox)
            })
            .collect();
        let wanted = burn
            .box_log_probs(&grammar, &prompt, &boxes)
            .expect("log-probs");
        let wanted = block_on(smolvlm::read(wanted, "log-probs")).expect("values");
        compare(
            &block_on(plain.box_log_probs(&grammar, &mine, &boxes)).expect("log-probs"),
            &wanted,
        );

        let mut dice = rng();
        let wanted = burn.generate(&prompt, 2, 12, Sampling::Greedy, &mut dice);
        let wanted = block_on(wanted).expect("text").remove(0);
        let found = block_on(plain.generate(&mine, 2, 12, Sampling::Greedy, &mut rng()));
        let found = found.expect("text").remove(1);
        assert_eq!((found.ids, found.text), (wanted.ids, wanted.text));
        compare(&[found.logprob], &[wanted.logprob]);
    }
    gap
}

#[test]
fn plain_weights_compute_the_same_with_burn_and_without() {
    for seed in 1..5 {
        let gap = apart(&random(&tiny::files(), seed));
        assert!(gap < 1e-4, "{seed}: {gap}");
    }
    // A table that serves as output layer, too.
    let gap = apart(&random(&shape("tie_word_embeddings", json!(true)), 5));
    assert!(gap < 1e-4, "tied: {gap}");
}

/// Burn makes f32 of the blocks; without it they stay, and activations are rounded to 16 bits.
#[test]
fn packed_weights_compute_the_same_with_burn_and_without() {
    for seed in 1..4 {
        let plain = random(&tiny::files(), seed);
        for quant in [Quant::Q8, Quant::Q4] {
            let gap = apart(&packed(&plain, quant));
            assert!(gap < 2e-4, "{seed}, {quant:?}: {gap}");
        }
    }
}

#[test]
fn both_refuse_alike() {
    let files = random(&tiny::files(), 1);
    let burn = SmolVlm::load(&files, &Device::flex()).expect("burn");
    let plain = Model::load(&files).expect("infer");
    let tiles = plain.pictures(&[&picture()], None).expect("tiles");
    let scene = burn
        .read_pictures(&tiles, &burn.encode(&tiles))
        .expect("scene");
    let tokens = block_on(plain.encode(&tiles)).expect("tokens");
    let own = block_on(plain.read_pictures(&tiles, &tokens)).expect("scene");
    let long = "word ".repeat(5000);
    let said = burn.ask(&scene, &long).expect_err("too long").to_string();
    assert_eq!(
        block_on(plain.ask(&own, &long))
            .expect_err("too long")
            .to_string(),
        said
    );
    let said = block_on(burn.attention(&scene, QUESTION, 99)).expect_err("no layer");
    let other = block_on(plain.attention(&own, QUESTION, 99)).expect_err("no layer");
    assert_eq!(other.to_string(), said.to_string());
    let prompt = burn.ask(&scene, QUESTION).expect("prompt");
    let mine = block_on(plain.ask(&own, QUESTION)).expect("prompt");
    for (n, max_tokens, sampling) in [
        (0, 4, Sampling::Greedy),
        (1, 0, Sampling::Greedy),
        (1, 1 << 30, Sampling::Greedy),
        (1, 4, Sampling::Temperature(0.0)),
    ] {
        let said = block_on(burn.generate(&prompt, n, max_tokens, sampling, &mut rng()));
        let other = block_on(plain.generate(&mine, n, max_tokens, sampling, &mut rng()));
        let other = other.expect_err("refused").to_string();
        assert_eq!(other, said.expect_err("refused").to_string());
    }
}
