//! Folders in q8 and q4 blocks: what they weigh, that they compute nearly the same, that an adapter is merged, that shards may
//! come one by one, and what is refused.

#![cfg(feature = "burn")]

use std::path::Path;

use burn::tensor::Device;
use grounding::NormBox;
use grounding::metrics::iou;
use picture::RgbImage;
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use smolvlm::{
    BlockType, Filling, ModelFiles, Precision, Quant, Sampling, SmolVlm, pack, pack_as, packing,
    tiny,
};

type Failure = Box<dyn std::error::Error>;

const INDEX: &str = "model.safetensors.index.json";
const SHARD: &str = "model-00001-of-00001.safetensors";

/// The preset with weights that transformers made.
fn whole() -> ModelFiles {
    let mut files = tiny::files();
    let weights = include_bytes!("../goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files
}

fn packed(files: &ModelFiles, quant: Quant) -> ModelFiles {
    let mut out = ModelFiles::default();
    pack::<Failure>(files, None, quant, |name, bytes| {
        out.insert(name, bytes);
        Ok(())
    })
    .expect("packed");
    out
}

fn load(files: &ModelFiles) -> SmolVlm {
    SmolVlm::load(files, &Device::flex()).expect("model")
}

/// What loading says, with burn and without.
fn refusal(files: &ModelFiles) -> String {
    let said = match SmolVlm::load(files, &Device::flex()) {
        Ok(_) => panic!("loaded"),
        Err(error) => error.to_string(),
    };
    let plain = smolvlm::infer::Model::load(files).expect_err("loaded without burn");
    assert_eq!(plain.to_string(), said);
    said
}

fn picture(salt: u32) -> RgbImage {
    let level = |x: u32, y: u32, k: u32| ((x * (7 + salt) + y * 13 * k + x * y * salt) % 256) as u8;
    let pixels = (0..44).flat_map(|y| (0..60).flat_map(move |x| [1, 2, 3].map(|k| level(x, y, k))));
    RgbImage::from_raw(60, 44, pixels.collect()).expect("picture")
}

/// What two models make of the same pictures and questions.
#[derive(Debug, Default)]
struct Comparison {
    /// Mean KL of the allowed tokens' chances, a choice, in nats.
    kl: f64,
    /// Mean KL of all tokens' chances after each token of the prompt.
    next: f64,
    /// Share of boxes with an IoU of at least 0.95.
    same: f64,
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let each: Vec<f64> = logits.iter().map(|l| f64::from(l - top).exp()).collect();
    let sum: f64 = each.iter().sum();
    each.into_iter().map(|e| e / sum).collect()
}

fn kl(p: &[f32], q: &[f32]) -> f64 {
    let (p, q) = (softmax(p), softmax(q));
    p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum()
}

fn greedy(model: &SmolVlm, picture: &RgbImage, question: &str) -> NormBox {
    let pictures = model.pictures(&[picture], None).expect("pictures");
    let scene = model.read_pictures(&pictures, &model.encode(&pictures));
    let prompt = model.ask(&scene.expect("scene"), question).expect("prompt");
    let grammar = model.grammar().expect("grammar");
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let boxes = model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng);
    block_on(boxes).expect("box")[0].bbox
}

fn compare(exact: &SmolVlm, other: &SmolVlm, cases: &[(RgbImage, String)]) -> Comparison {
    let grammar = exact.grammar().expect("grammar");
    let alphabet = grammar.alphabet();
    let mut sum = Comparison::default();
    let (mut choices, mut tokens) = (0.0, 0.0);
    for (picture, question) in cases {
        let bbox = greedy(exact, picture, question);
        if iou(bbox, greedy(other, picture, question)) >= 0.95 {
            sum.same += 1.0 / cases.len() as f64;
        }
        let pictures = exact.pictures(&[picture], None).expect("pictures");
        let mut ids = exact.input_ids(&pictures, question).expect("ids");
        let start = ids.len();
        let (spelled, chosen) = grammar.spell(bbox);
        ids.extend(spelled);
        let rows = |model: &SmolVlm| -> Vec<f32> {
            let logits = model.logits(&pictures, &ids).expect("logits");
            let data = block_on(logits.into_data_async()).expect("data");
            data.try_into_vec().expect("f32")
        };
        let (p, q) = (rows(exact), rows(other));
        let v = p.len() / ids.len();
        let row = |all: &[f32], at: usize| all[at * v..(at + 1) * v].to_vec();
        for at in 0..start {
            sum.next += kl(&row(&p, at), &row(&q, at));
            tokens += 1.0;
        }
        for choice in chosen {
            let allowed = |all: &[f32]| -> Vec<f32> {
                let row = row(all, start + choice.at - 1);
                let open = alphabet
                    .iter()
                    .zip(choice.allowed)
                    .filter(|(_, open)| *open);
                open.map(|(id, _)| row[*id as usize]).collect()
            };
            let (p, q) = (allowed(&p), allowed(&q));
            if p.len() > 1 {
                sum.kl += kl(&p, &q);
                choices += 1.0;
            }
        }
    }
    sum.kl /= choices;
    sum.next /= tokens;
    sum
}

fn cases(count: u32) -> Vec<(RgbImage, String)> {
    (0..count)
        .map(|i| (picture(i), format!("Where is number {i}?")))
        .collect()
}

/// Measures a folder against what its packed forms compute, and prints it.
fn measure(what: &str, files: &ModelFiles, cases: &[(RgbImage, String)]) -> [Comparison; 2] {
    let exact = load(files);
    [Quant::Q8, Quant::Q4].map(|quant| {
        let found = compare(&exact, &load(&packed(files, quant)), cases);
        println!("{what}, {quant:?}: {found:?}");
        found
    })
}

#[test]
fn smolvlm_256m_packs_into_275_and_165_megabytes_in_shards_of_64() {
    for (quant, most) in [(Quant::Q8, 275_000_000), (Quant::Q4, 165_000_000)] {
        let entries = packing(&tiny::smolvlm_256m().expect("shape"), quant).expect("entries");
        let shards = tensors::shards(&entries, tensors::SHARD);
        let bytes = |entry: &tensors::Entry| entry.kind.bytes(&entry.shape);
        let sizes: Vec<usize> = shards.iter().map(|of| of.iter().map(bytes).sum()).collect();
        let all: usize = sizes.iter().sum();
        println!("{quant:?}: {all} bytes in {} shards", sizes.len());
        assert!(all <= most, "{quant:?}: {all}");
        assert!(sizes.iter().all(|&size| size <= 64_000_000), "{sizes:?}");
    }
}

#[test]
fn random_weights_in_blocks_write_nearly_the_same_boxes() {
    let random = SmolVlm::random(&tiny::files(), 3, &Device::flex()).expect("model");
    let random = block_on(random.save(Precision::F32)).expect("files");
    let [q8, q4] = measure("random weights", &random, &cases(60));
    assert!(
        q8.kl <= 1e-3 && q8.next <= 1e-3 && q8.same >= 0.98,
        "{q8:?}"
    );
    assert!(
        q4.kl <= 2e-2 && q4.next <= 2e-2 && q4.same >= 0.90,
        "{q4:?}"
    );
}

/// The reader was taught to answer and never to write boxes, so that its boxes hang on next to nothing: chances are compared.
#[test]
fn a_trained_model_in_blocks_computes_nearly_the_same() {
    let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../trainer/smoke");
    let files = ModelFiles::from_dir(&smoke.join("reader")).expect("reader");
    let text = std::fs::read_to_string(smoke.join("held/samples.jsonl")).expect("pages");
    let cases: Vec<_> = text
        .lines()
        .take(60)
        .map(|line| {
            let sample: Value = serde_json::from_str(line).expect("json");
            let bytes = std::fs::read(
                smoke
                    .join("held")
                    .join(sample["image"].as_str().expect("image")),
            );
            let picture = picture::decode(&bytes.expect("picture")).expect("picture");
            (
                picture,
                sample["question"].as_str().expect("question").to_string(),
            )
        })
        .collect();
    let [q8, q4] = measure("trained reader", &files, &cases);
    assert!(q8.kl <= 1e-3 && q8.next <= 1e-3, "{q8:?}");
    assert!(q4.kl <= 2e-2 && q4.next <= 2e-2, "{q4:?}");
}

#[test]
fn a_packed_folder_is_complete_and_says_what_it_is() {
    let files = packed(&whole(), Quant::Q4);
    let names: Vec<&str> = files.names().collect();
    let mut expected: Vec<String> = tiny::files().names().map(String::from).collect();
    expected.extend([SHARD.to_string(), INDEX.to_string()]);
    expected.sort();
    assert_eq!(names, expected);
    let config: Value = files.json("config.json").expect("config");
    assert_eq!(config["quantization_config"]["quant_method"], "cropvlm");
    assert_eq!(config["quantization_config"]["bits"], 4);
    // The way back to plain numbers.
    let plain = block_on(load(&files).save(Precision::F32)).expect("files");
    let config: Value = plain.json("config.json").expect("config");
    assert!(config.get("quantization_config").is_none(), "{config}");
    assert!(plain.contains("model.safetensors") && !plain.contains(INDEX));
    let weights = tensors::Weights::open(&files).expect("weights");
    for (name, (_, values)) in
        tensors::read("plain", plain.get("model.safetensors").expect("weights")).expect("tensors")
    {
        assert_eq!(weights.values(&name).expect("values"), values, "{name}");
    }
}

/// `cropvlm export --quant q4 --model TINY --out tests/browser/models/text-q4`, its settings left where they are.
#[test]
fn the_folder_of_the_browsers_tests_is_what_is_written_today() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/browser/models/text-q4");
    let kept = ModelFiles::from_dir(&folder).expect("folder");
    let names: Vec<&str> = kept.names().collect();
    assert_eq!(names, ["config.json", SHARD, INDEX]);
    let written = packed(&whole(), Quant::Q4);
    for name in [SHARD, INDEX] {
        let kept = kept.get(name).expect("kept");
        assert!(kept == written.get(name).expect("written"), "{name}");
    }
    let config = |files: &ModelFiles| files.json::<Value>("config.json").expect("config");
    assert_eq!(config(&kept), config(&written));
}

#[test]
fn norms_and_biases_stay_f32_and_the_output_layer_stays_q8() {
    let kinds = packing(&whole(), Quant::Q4).expect("entries");
    let kind = |name: &str| {
        kinds
            .iter()
            .find(|entry| entry.name == name)
            .expect(name)
            .kind
    };
    assert_eq!(kind("lm_head.weight"), BlockType::Q8);
    assert_eq!(kind("model.text_model.embed_tokens.weight"), BlockType::Q4);
    assert_eq!(kind("model.text_model.norm.weight"), BlockType::F32);
    assert_eq!(
        kind("model.vision_model.post_layernorm.bias"),
        BlockType::F32
    );
    let mut tied = whole();
    let mut config: Value = tied.json("config.json").expect("config");
    config["tie_word_embeddings"] = json!(true);
    tied.insert("config.json", config.to_string().into_bytes());
    let kinds = packing(&tied, Quant::Q4).expect("entries");
    let table = kinds
        .iter()
        .find(|entry| entry.name.ends_with("embed_tokens.weight"));
    assert_eq!(table.expect("table").kind, BlockType::Q8);
    assert!(kinds.iter().all(|entry| entry.name != "lm_head.weight"));
}

#[test]
fn an_adapter_is_merged_as_the_model_merges_it() {
    let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/goldens/adapter");
    let adapter = ModelFiles::from_dir(&adapter).expect("adapter");
    let mut entries = packing(&whole(), Quant::Q8).expect("entries");
    entries
        .iter_mut()
        .for_each(|entry| entry.kind = BlockType::F32);
    let mut files = ModelFiles::default();
    pack_as::<Failure>(&whole(), Some(&adapter), &entries, 32, |name, bytes| {
        files.insert(name, bytes);
        Ok(())
    })
    .expect("packed");
    let mut model = load(&whole());
    model.load_adapter(&adapter).expect("adapter");
    let merged = block_on(model.merge_adapter().save(Precision::F32)).expect("files");
    let merged = tensors::read("merged", merged.get("model.safetensors").expect("weights"));
    let merged = merged.expect("tensors");
    let plain = tensors::read("plain", whole().get("model.safetensors").expect("weights"));
    let plain = plain.expect("tensors");
    let weights = tensors::Weights::open(&files).expect("weights");
    let mut changed = 0;
    for (name, (_, expected)) in &merged {
        let found = weights.values(name).expect("values");
        let gaps = found.iter().zip(expected);
        let gap = gaps.fold(0f32, |gap, (a, b)| gap.max((a - b).abs()));
        assert!(gap < 1e-5, "{name}: {gap}");
        changed += usize::from(*expected != plain[name].1);
    }
    assert!(changed > 0, "the adapter changes something");
}

#[test]
fn shards_may_come_one_after_the_other() {
    let device = Device::flex();
    let mut folder = packed(&whole(), Quant::Q8);
    let shard = folder.remove(SHARD).expect("shard");
    let mut filling = Filling::new(&folder, &device).expect("no weights yet");
    let missing = match Filling::new(&folder, &device)
        .expect("no weights yet")
        .finish()
    {
        Ok(_) => panic!("a model without weights"),
        Err(error) => error.to_string(),
    };
    assert!(missing.contains("is missing"), "{missing}");
    let mut changed = shard.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    let wrong = filling.add(SHARD, &changed).expect_err("another file");
    assert!(
        wrong
            .to_string()
            .starts_with(&format!("{SHARD}: its SHA-256 is ")),
        "{wrong}"
    );
    let page = filling.add(SHARD, b"<!doctype html>").expect_err("a page");
    assert!(page.to_string().contains("web page"), "{page}");
    filling.add(SHARD, &shard).expect("the shard");
    let model = filling.finish().expect("the model");
    folder.insert(SHARD, shard);
    let expected = load(&folder);
    let found = compare(&expected, &model, &cases(2));
    assert_eq!((found.kl, found.same), (0.0, 1.0));
}

/// What a browser does with a folder that is not packed: q8 is rounded in the same way, wherever it is made.
#[test]
fn weights_that_are_packed_as_they_come_are_those_of_a_packed_folder() {
    use smolvlm::infer::{Filling, Model};

    let mut files = whole();
    let logits = |model: &Model| {
        let tiles = model.pictures(&[&picture(1)], None).expect("tiles");
        let ids = model.input_ids(&tiles, "Total?").expect("ids");
        block_on(model.logits(&tiles, &ids)).expect("logits")
    };
    let wanted = Model::load(&packed(&files, Quant::Q8)).expect("model");
    let plain = Model::load(&files).expect("model");
    let name = "model.safetensors";
    let weights = files.remove(name).expect("weights");
    let mut filling = Filling::new(&files).expect("no weights yet");
    filling.quantize(Quant::Q8);
    let mut parts = tensors::Parts::new(name, 2000);
    let mut count = 0;
    for chunk in weights.chunks(777) {
        for part in parts.push(chunk).expect("part") {
            filling.add(name, &part).expect("added");
            count += 1;
        }
    }
    parts.finish().expect("whole");
    assert!(count > 3, "{count} parts");
    let found = filling.finish().expect("model");
    assert_eq!(found.bytes(), wanted.bytes());
    assert_eq!(logits(&found), logits(&wanted));
    assert_ne!(logits(&found), logits(&plain));
}

#[test]
fn a_folder_that_others_quantized_is_refused_by_its_method() {
    let mut files = whole();
    let mut config: Value = files.json("config.json").expect("config");
    config["quantization_config"] = json!({"quant_method": "gptq", "bits": 4});
    files.insert("config.json", config.to_string().into_bytes());
    let said = refusal(&files);
    assert!(
        said.starts_with("config.json: quantization_config.quant_method is gptq, but only cropvlm"),
        "{said}"
    );
    config["quantization_config"] = Value::Null;
    files.insert("config.json", config.to_string().into_bytes());
    load(&files);
}

#[test]
fn a_shard_that_is_missing_cut_or_another_is_refused_by_name() {
    let whole = packed(&whole(), Quant::Q8);
    let shard = whole.get(SHARD).expect("shard").to_vec();
    let with = |bytes: Option<Vec<u8>>| {
        let mut files = whole.clone();
        match bytes {
            Some(bytes) => files.insert(SHARD, bytes),
            None => drop(files.remove(SHARD)),
        }
        refusal(&files)
    };
    let mut changed = shard.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    for (bytes, expected) in [
        (None, format!("the model folder has no {SHARD}")),
        (
            Some(shard[..shard.len() / 2].to_vec()),
            format!("{SHARD}: not a readable safetensors file"),
        ),
        (Some(changed), format!("{SHARD}: its SHA-256 is")),
        (
            Some(b"<html>".to_vec()),
            format!("{SHARD}: not a readable safetensors file: it is a web page"),
        ),
    ] {
        let said = with(bytes);
        assert!(said.starts_with(&expected), "{said}");
    }
    // And so it is before anything is written of it.
    let mut files = whole.clone();
    files.remove(SHARD);
    let said = pack::<Failure>(&files, None, Quant::Q4, |_, _| panic!("written"));
    assert!(said.expect_err("refused").to_string().contains(SHARD));
}
