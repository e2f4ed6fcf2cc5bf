//! The network for use, without burn: parity with transformers (`goldens/make.py`), and what has to hold whatever the weights.

mod goldens;

use std::path::Path;

use grounding::NormBox;
use picture::RgbImage;
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use smolvlm::infer::{Filling, Model, Prompt};
use smolvlm::{BlockType, ModelFiles, Pictures, Precision, Sampling, tiny};
use tensors::{Entry, INDEX, Packed, SINGLE, TensorError, Weights};

use goldens::{CASES, Goldens, assert_close, files};

fn model() -> Model {
    Model::load(&files()).expect("model")
}

/// The model on the processor and, where there is one, on a graphics card.
fn models() -> Vec<Model> {
    [model()].into_iter().chain(on_card(&files())).collect()
}

/// A folder's model on a graphics card, if there is one.
#[cfg(feature = "gpu")]
fn on_card(files: &ModelFiles) -> Option<Model> {
    use kernels::gpu::{Gpu, GpuError};
    match block_on(Gpu::open_bare()) {
        Ok(gpu) => Some(block_on(Model::load_on(files, Some(gpu))).expect("on a card")),
        Err(GpuError::NoAdapter) => {
            // Not by a macro, whose output is kept from whoever runs the tests.
            std::io::Write::write_all(&mut std::io::stderr(), b"no adapter: skipped\n").ok();
            None
        }
        Err(other) => panic!("{other}"),
    }
}

#[cfg(not(feature = "gpu"))]
fn on_card(_: &ModelFiles) -> Option<Model> {
    None
}

fn tiles(model: &Model, goldens: &Goldens, case: &str) -> Pictures {
    let pictures = goldens.pictures(case);
    let edge = goldens.ids(&format!("{case}.longest_edge"))[0] as usize;
    let pictures: Vec<&RgbImage> = pictures.iter().collect();
    model.pictures(&pictures, Some(edge)).expect("tiles")
}

fn prompt(model: &Model, goldens: &Goldens, case: &str) -> Prompt {
    let tiles = tiles(model, goldens, case);
    let tokens = block_on(model.encode(&tiles)).expect("tokens");
    let scene = block_on(model.read_pictures(&tiles, &tokens)).expect("scene");
    let text = goldens.text(&format!("{case}.text"));
    block_on(model.ask(&scene, &text)).expect("prompt")
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(3)
}

#[test]
fn logits_are_those_of_transformers() {
    let goldens = Goldens::open();
    for model in models() {
        for case in CASES {
            let tiles = tiles(&model, &goldens, case);
            let ids = goldens.ids(&format!("{case}.input_ids"));
            let logits = block_on(model.logits(&tiles, &ids)).expect("logits"); // [T, V]
            let expected = goldens.floats(&format!("{case}.logits"));
            assert_close(&logits[logits.len() - expected.len()..], &expected, case);
        }
    }
}

#[test]
fn log_probabilities_and_greedy_text_are_those_of_transformers() {
    let goldens = Goldens::open();
    for model in models() {
        for case in CASES {
            let prompt = prompt(&model, &goldens, case);
            let ids = goldens.ids(&format!("{case}.completion"));
            let found = block_on(model.token_log_probs(&prompt, &ids)).expect("log-probs");
            assert_close(&found, &goldens.floats(&format!("{case}.logprobs")), case);

            let written = block_on(model.generate(&prompt, 1, 20, Sampling::Greedy, &mut rng()));
            let written = &written.expect("completion")[0];
            assert_eq!(
                written.ids,
                goldens.ids(&format!("{case}.greedy")),
                "{case}"
            );
            assert_eq!(
                written.text,
                goldens.text(&format!("{case}.greedy_text")),
                "{case}"
            );
        }
    }
}

#[test]
fn constrained_boxes_are_those_of_transformers() {
    let goldens = Goldens::open();
    for model in models() {
        let grammar = model.grammar().expect("grammar");
        for case in CASES {
            let prompt = prompt(&model, &goldens, case);
            let boxes =
                block_on(model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng()));
            let found = boxes.expect("box").remove(0);
            let expected = goldens.floats(&format!("{case}.greedy_box"));
            assert_eq!(found.bbox.to_array().as_slice(), expected, "{case}");
            let expected = goldens.floats(&format!("{case}.greedy_box_logprob"));
            assert_close(&[found.logprob], &expected, case);

            let given = [[10., 20., 63., 57.], [0., 9., 100., 10.]]
                .map(|[x1, y1, x2, y2]| NormBox::new(x1, y1, x2, y2).expect("box"));
            let found =
                block_on(model.box_log_probs(&grammar, &prompt, &given)).expect("log-probs");
            assert_close(
                &found,
                &goldens.floats(&format!("{case}.box_logprob")),
                case,
            );
        }
    }
}

/// What is read piece by piece from a cache, in one pass: [T, V] of prompt and completion.
#[test]
fn a_cache_computes_what_one_pass_does() {
    let goldens = Goldens::open();
    for model in models() {
        for case in CASES {
            let tiles = tiles(&model, &goldens, case);
            let mut ids = goldens.ids(&format!("{case}.input_ids"));
            let start = ids.len();
            let completion = goldens.ids(&format!("{case}.greedy"));
            ids.extend(&completion);
            let logits = block_on(model.logits(&tiles, &ids)).expect("logits");
            let width = logits.len() / ids.len();
            let once: Vec<f32> = completion
                .iter()
                .enumerate()
                .map(|(i, &id)| {
                    let row = &logits[(start + i - 1) * width..][..width];
                    let top = row.iter().copied().fold(f32::MIN, f32::max);
                    let sum: f32 = row.iter().map(|logit| (logit - top).exp()).sum();
                    row[id as usize] - top - sum.ln()
                })
                .collect();
            let prompt = prompt(&model, &goldens, case);
            let pieces = block_on(model.token_log_probs(&prompt, &completion)).expect("log-probs");
            assert_close(&pieces, &once, case);
            // And token by token, as it is written.
            let written = block_on(model.generate(
                &prompt,
                1,
                completion.len(),
                Sampling::Greedy,
                &mut rng(),
            ));
            let written = written.expect("completion").remove(0);
            assert_close(&[written.logprob], &[once.iter().sum()], case);
        }
    }
}

#[test]
fn rows_of_a_group_are_written_as_alone() {
    let goldens = Goldens::open();
    for model in models() {
        let grammar = model.grammar().expect("grammar");
        let prompt = prompt(&model, &goldens, "grid");
        let drawn = Sampling::Temperature(1.0);
        let boxes = block_on(model.generate_boxes(&grammar, &prompt, 7, drawn, &mut rng()));
        let boxes = boxes.expect("boxes");
        let given: Vec<NormBox> = boxes.iter().map(|row| row.bbox).collect();
        assert!(given.iter().any(|bbox| *bbox != given[0]), "{given:?}");
        let alone = block_on(model.box_log_probs(&grammar, &prompt, &given)).expect("log-probs");
        let group: Vec<f32> = boxes.iter().map(|row| row.logprob).collect();
        assert_close(&group, &alone, "boxes");

        let texts = block_on(model.generate(&prompt, 5, 9, drawn, &mut rng())).expect("texts");
        for text in &texts {
            let alone = block_on(model.token_log_probs(&prompt, &text.ids)).expect("log-probs");
            assert_close(&[text.logprob], &[alone.iter().sum()], &text.text);
        }
        assert!(texts.iter().any(|text| text.ids != texts[0].ids));
    }
}

#[test]
fn tiles_are_encoded_alike_alone_and_together_and_once_for_all_questions() {
    let goldens = Goldens::open();
    for model in models() {
        let tiles = tiles(&model, &goldens, "grid");
        assert!(tiles.tiles() > 2);
        let together = block_on(model.encode(&tiles)).expect("tokens");
        let area = 3 * tiles.side * tiles.side;
        let alone = tiles.values.chunks_exact(area).flat_map(|tile| {
            let tile = Pictures {
                values: tile.to_vec(),
                side: tiles.side,
                grids: vec![(0, 0)],
            };
            block_on(model.encode(&tile)).expect("tokens")
        });
        assert_eq!(alone.collect::<Vec<f32>>(), together);

        let scene = block_on(model.read_pictures(&tiles, &together)).expect("scene");
        let grammar = model.grammar().expect("grammar");
        let answer = |text: &str| {
            let prompt = block_on(model.ask(&scene, text)).expect("prompt");
            let boxes =
                block_on(model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng()));
            boxes.expect("box")[0].logprob
        };
        let first = answer("Total?");
        let second = answer("Who sold it?");
        assert_ne!(first, second);
        assert_eq!(
            answer("Total?"),
            first,
            "another question leaves nothing behind"
        );
    }
}

/// The tiny model in another form, and its values as that form keeps them in a folder of f32.
fn kept(kind: impl Fn(&str) -> BlockType) -> [ModelFiles; 2] {
    let whole = files();
    let weights = Weights::open(&whole).expect("weights");
    let entries: Vec<Entry> = weights
        .files()
        .iter()
        .flat_map(|file| file.tensors())
        .map(|(name, shape)| Entry {
            name: name.to_string(),
            kind: kind(name).fitting(&shape),
            shape,
        })
        .collect();
    let mut packed = tiny::files();
    let pack = |entry: &Entry| {
        let values = weights.values(&entry.name)?;
        Packed::pack(&entry.name, entry.kind, &entry.shape, &values, &[])
    };
    let put = |name: &str, bytes| {
        packed.insert(name, bytes);
        Ok::<(), TensorError>(())
    };
    tensors::write_shards(&entries, 100_000, pack, put).expect("shards");
    [plain(&packed), packed]
}

/// The same numbers in a folder of f32.
fn plain(packed: &ModelFiles) -> ModelFiles {
    let weights = Weights::open(packed).expect("weights");
    let tensors = weights.files().iter().flat_map(|file| {
        let tensors = file.tensors();
        tensors.map(|(name, shape)| {
            let values = file.values(name).expect("values");
            (name.to_string(), (shape, values))
        })
    });
    let bytes = tensors::write(SINGLE, tensors, Precision::F32).expect("bytes");
    let mut plain = tiny::files();
    plain.insert(SINGLE, bytes);
    plain
}

/// The root mean square of the differences of two folders' logits, as a share of that of the logits. Greedy boxes have to be
/// the same.
fn apart(one: &ModelFiles, other: &ModelFiles) -> f64 {
    let models = [one, other].map(|files| Model::load(files).expect("model"));
    apart_of(models.each_ref())
}

/// The same of two models.
fn apart_of(models: [&Model; 2]) -> f64 {
    let goldens = Goldens::open();
    let [mut gap, mut size] = [0f64; 2];
    for case in CASES {
        let found = models.map(|model| {
            let tiles = tiles(model, &goldens, case);
            let ids = goldens.ids(&format!("{case}.input_ids"));
            let logits = block_on(model.logits(&tiles, &ids)).expect("logits");
            let prompt = prompt(model, &goldens, case);
            let grammar = model.grammar().expect("grammar");
            let boxes =
                block_on(model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng()));
            (logits, boxes.expect("box").remove(0).bbox)
        });
        let [(a, one), (b, other)] = found;
        assert_eq!(one, other, "{case}");
        for (a, b) in a.iter().zip(&b) {
            gap += f64::from(a - b).powi(2);
            size += f64::from(*a).powi(2);
        }
    }
    (gap / size).sqrt()
}

#[test]
fn packed_weights_compute_what_their_numbers_do() {
    // What rounding activations to 16 bits costs; these weights are large, so that attention and activations enlarge errors.
    for kind in [BlockType::Q8, BlockType::Q4] {
        let [plain, packed] = kept(|_| kind);
        let gap = apart(&plain, &packed);
        println!("{kind:?}: {gap:.1e}");
        assert!(gap > 0.0 && gap < 5e-4, "{kind:?}: {gap}");
    }
    // Plain numbers of 16 bits are the same numbers.
    for kind in [BlockType::F16, BlockType::BF16] {
        let [plain, packed] = kept(|_| kind);
        let gap = apart(&plain, &packed);
        assert!(gap < 1e-6, "{kind:?}: {gap}");
    }
}

#[test]
fn packed_weights_compute_what_their_numbers_do_on_a_card() {
    let kinds = [
        BlockType::F32,
        BlockType::F16,
        BlockType::BF16,
        BlockType::Q8,
        BlockType::Q4,
    ];
    for kind in kinds {
        let [plain, packed] = kept(|_| kind);
        let Some(card) = on_card(&packed) else { return };
        let gap = apart_of([&Model::load(&plain).expect("model"), &card]);
        assert!(gap < 1e-5, "{kind:?}: {gap}");
    }
}

/// `cropvlm export --quant q4` wrote it: q4, and q8 where that is too coarse.
#[test]
fn a_folder_that_export_wrote_is_taken_shard_by_shard() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/browser/models/text-q4");
    let kept = ModelFiles::from_dir(&folder).expect("folder");
    let mut packed = tiny::files();
    for name in kept.names() {
        packed.insert(name, kept.get(name).expect("file").to_vec());
    }
    let gap = apart(&plain(&packed), &packed);
    assert!(gap < 5e-4, "{gap}");

    let model = Model::load(&packed).expect("model");
    let shard = "model-00001-of-00001.safetensors";
    let bytes = packed.remove(shard).expect("shard");
    assert!(packed.contains(INDEX));
    let mut filling = Filling::new(&packed).expect("no weights yet");
    filling.add(shard, &bytes).expect("the shard");
    let filled = filling.finish().expect("model");
    assert_eq!(filled.bytes(), model.bytes());
    // Matrices of 40 and 48 columns fill blocks of 32 badly; a real model's do not.
    assert!(
        model.bytes() < 2 * bytes.len(),
        "{} {}",
        model.bytes(),
        bytes.len()
    );

    let missing = Filling::new(&packed).expect("no weights yet").finish();
    let said = missing.expect_err("no weights").to_string();
    assert!(said.contains("is missing"), "{said}");
}

#[test]
fn a_completion_is_written_token_by_token() {
    let goldens = Goldens::open();
    for model in models() {
        let prompt = prompt(&model, &goldens, CASES[0]);
        let whole = block_on(model.generate(&prompt, 1, 20, Sampling::Greedy, &mut rng()));
        let whole = &whole.expect("completion")[0];
        let mut draft = model.draft(&prompt, 20).expect("draft");
        let mut lengths = Vec::new();
        while block_on(model.write_on(&mut draft)).expect("token") {
            lengths.push(model.drafted(&draft).expect("text").len());
        }
        assert_eq!(lengths.len() + 1, whole.ids.len());
        assert!(lengths.is_sorted() && lengths[0] < whole.text.len());
        assert_eq!(model.drafted(&draft).expect("text"), whole.text);
        // Nothing comes after the end.
        assert!(!block_on(model.write_on(&mut draft)).expect("no token"));
        assert_eq!(model.drafted(&draft).expect("text"), whole.text);
        assert!(model.draft(&prompt, 0).is_err());
    }
}

#[test]
fn image_tokens_of_other_pictures_are_refused() {
    let (model, goldens) = (model(), Goldens::open());
    let tiles = tiles(&model, &goldens, "grid");
    let tokens = block_on(model.encode(&tiles)).expect("tokens");
    let said = block_on(model.read_pictures(&tiles, &tokens[40..])).expect_err("refused");
    assert!(
        said.to_string().starts_with("image tokens: expected "),
        "{said}"
    );
}
