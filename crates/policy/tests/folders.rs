//! Map policies' folders that cannot be: weights that are no numbers, configurations with huge numbers.

use burn::tensor::Device;
use policy::{MapConfig, MapPolicy, ModelFiles, Policy};
use serde_json::{Value, json};
use tensors::Precision;

const WEIGHTS: &str = "model.safetensors";

fn whole() -> ModelFiles {
    let policy = MapPolicy::random(&MapConfig::tiny(), 1, &Device::flex()).expect("policy");
    policy.files(false).expect("files")
}

fn refusal(files: &ModelFiles) -> String {
    match Policy::load(files, &Device::flex()) {
        Ok(_) => panic!("loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut files = whole();
        let mut tensors: Vec<_> = tensors::read(WEIGHTS, files.get(WEIGHTS).expect("weights"))
            .expect("tensors")
            .into_iter()
            .collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let (name, (_, values)) = &mut tensors[3];
        values[0] = value;
        let expected = format!("model.safetensors: tensor {name} holds {value}");
        files.insert(
            WEIGHTS,
            tensors::write(WEIGHTS, tensors, Precision::F32).expect("bytes"),
        );
        let said = refusal(&files);
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn huge_numbers_in_a_config_are_refused_before_anything_is_made() {
    for (key, value) in [
        ("channels", json!([8, 8, 16, 1u64 << 40])),
        ("decoder_channels", json!([1u64 << 40, 8, 8])),
        ("blocks", json!([1, 1, 1u64 << 40])),
        ("question_dim", json!(1u64 << 40)),
        ("max_question_bytes", json!(1u64 << 40)),
        ("canvas_pixels", json!(1u64 << 40)),
    ] {
        let mut files = whole();
        let mut config: Value = files.json("config.json").expect("config");
        config[key] = value;
        files.insert("config.json", config.to_string().into_bytes());
        let said = refusal(&files);
        assert!(said.contains(key), "{said}");
    }
    // What a network can have, but not that of these weights.
    for (key, value) in [
        ("channels", json!([8, 8, 16, 4096])),
        ("blocks", json!([256, 1, 1])),
    ] {
        let mut files = whole();
        let mut config: Value = files.json("config.json").expect("config");
        config[key] = value;
        files.insert("config.json", config.to_string().into_bytes());
        let said = refusal(&files);
        assert!(said.starts_with("model.safetensors: tensor "), "{said}");
    }
}
