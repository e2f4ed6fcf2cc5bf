//! Computes what `tests/parity/parity.py` compares with transformers, and says how long each part
//! takes: tiles, ids, logits of the last 64 positions, greedy tokens, the greedy box.
//!
//! `cargo run --release -p smolvlm --example compute -- MODEL_DIR PICTURE QUESTION LONGEST_EDGE OUT.safetensors [SAVE_DIR]`
//!
//! With SAVE_DIR the loaded model is saved there again, in bf16.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use grounding::{Case, prompt::policy_prompt};
use pollster::block_on;
use rand::SeedableRng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use smolvlm::{ModelFiles, Precision, Sampling, SmolVlm};

/// Positions whose logits are written.
const LAST: usize = 64;
/// Greedy tokens that are written.
const GREEDY: usize = 24;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, picture, question, edge, out, save @ ..] = arguments.as_slice() else {
        return Err(
            "give MODEL_DIR PICTURE QUESTION LONGEST_EDGE OUT.safetensors [SAVE_DIR]".into(),
        );
    };
    let mut start = Instant::now();
    let mut lap = |what: &str| {
        println!("{what:>28}: {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);
        start = Instant::now();
    };
    let files = ModelFiles::from_dir(Path::new(folder))?;
    lap("reading files");
    let model = SmolVlm::load(&files, &Device::flex())?;
    drop(files);
    lap("loading weights");
    let picture = picture::decode(&std::fs::read(picture)?)?;
    lap("decoding picture");
    let pictures = model.pictures(&[&picture], Some(edge.parse()?))?;
    lap("image");
    let text = policy_prompt(question, Case::Capitalize);
    let ids = model.input_ids(&pictures, &text)?;
    println!("{} tiles, {} tokens", pictures.tiles(), ids.len());
    let features = model.encode(&pictures);
    lap("vision");
    let scene = model.read_pictures(&pictures, &features)?;
    lap("prefill of the picture");
    let prompt = model.ask(&scene, &text)?;
    lap("prefill of the question");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let grammar = model.grammar()?;
    let boxes = model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng);
    let found = block_on(boxes)?.remove(0);
    lap("a box");
    println!("{} at log p {}", found.bbox.completion(), found.logprob);
    let group = model.generate_boxes(&grammar, &prompt, 6, Sampling::Temperature(0.8), &mut rng);
    block_on(group)?;
    lap("a group of six boxes");
    let free = model.generate(&prompt, 1, GREEDY, Sampling::Greedy, &mut rng);
    let free = block_on(free)?.remove(0);
    lap(&format!("{} free tokens", free.ids.len()));
    println!("{:?}", free.text);
    let embeddings = model.net.embed_prompt(&ids, Some(&features));
    let states = model
        .net
        .states(embeddings, &mut model.net.text_model.empty_cache());
    let last = LAST.min(ids.len());
    let logits = model.net.logits(states.narrow(1, ids.len() - last, last)); // [1, last, V]
    let width = logits.dims()[2];
    let logits: Vec<f32> = logits
        .into_data()
        .try_into_vec()
        .map_err(|e| format!("{e:?}"))?;
    lap("logits without a cache");

    let floats = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let longs = |ids: &[u32]| {
        ids.iter()
            .flat_map(|&id| i64::from(id).to_le_bytes())
            .collect()
    };
    let side = pictures.side;
    let tensors: [(&str, Dtype, Vec<usize>, Vec<u8>); 5] = [
        (
            "pixel_values",
            Dtype::F32,
            vec![pictures.tiles(), 3, side, side],
            floats(&pictures.values),
        ),
        ("input_ids", Dtype::I64, vec![ids.len()], longs(&ids)),
        ("logits", Dtype::F32, vec![last, width], floats(&logits)),
        ("greedy", Dtype::I64, vec![free.ids.len()], longs(&free.ids)),
        ("box", Dtype::F32, vec![4], floats(&found.bbox.to_array())),
    ];
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), data)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    std::fs::write(
        out,
        safetensors::serialize(views, None::<HashMap<String, String>>)?,
    )?;
    if let [folder] = save {
        block_on(model.save(Precision::BF16))?.save(Path::new(folder))?;
        lap("saving");
    }
    Ok(())
}
