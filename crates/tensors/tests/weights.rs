//! Weight files: what is written is read again, and what does not fit is refused by name.

use std::collections::HashMap;

use tensors::{ModelFiles, Precision, Values, Weights, fit, read, write, write_q8};

const FILE: &str = "model.safetensors";

/// A matrix of 32 x 64 and a vector of 4.
fn weights() -> Vec<(String, Values)> {
    let matrix = (0..2048).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0);
    vec![
        ("layer.weight".into(), (vec![32, 64], matrix.collect())),
        ("layer.bias".into(), (vec![4], vec![0.1, -0.2, 0.3, 0.0])),
    ]
}

fn largest_gap(found: &HashMap<String, Values>) -> f32 {
    let mut gap = 0f32;
    for (name, (shape, values)) in weights() {
        assert_eq!(found[&name].0, shape);
        for (a, b) in found[&name].1.iter().zip(&values) {
            gap = gap.max((a - b).abs());
        }
    }
    gap
}

#[test]
fn every_number_type_comes_back_as_closely_as_it_can() {
    for (precision, most) in [
        (Precision::F32, 0.0),
        (Precision::F16, 1e-3),
        (Precision::BF16, 8e-3),
    ] {
        let bytes = write(FILE, weights(), precision).unwrap();
        let gap = largest_gap(&read(FILE, &bytes).unwrap());
        assert!(gap <= most, "{precision:?}: {gap}");
    }
    let bytes = write_q8(FILE, weights()).unwrap();
    assert!(bytes.len() < 2048 * 2, "{}", bytes.len());
    let gap = largest_gap(&read(FILE, &bytes).unwrap());
    assert!(gap > 0.0 && gap <= 1.25 / 127.0 / 2.0 + 1e-6, "{gap}");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let found: HashMap<String, Values> = weights().into_iter().collect();
    let wanted = |name: &str, shape: &[usize]| (name.to_string(), shape.to_vec());
    let bias = wanted("layer.bias", &[4]);
    let whole = [wanted("layer.weight", &[32, 64]), bias.clone()];
    fit(FILE, &found, &whole).unwrap();
    let said = |wanted: &[(String, Vec<usize>)]| fit(FILE, &found, wanted).unwrap_err().to_string();
    let turned = said(&[wanted("layer.weight", &[64, 32]), bias.clone()]);
    assert!(
        turned.contains("layer.weight has shape [32, 64]"),
        "{turned}"
    );
    let missing = said(&[whole.as_slice(), &[wanted("head", &[2])]].concat());
    assert!(missing.contains("tensor head [2] is missing"), "{missing}");
    let extra = said(&[bias]);
    assert!(
        extra.contains("tensor layer.weight is not known"),
        "{extra}"
    );
}

#[test]
fn a_page_in_place_of_weights_is_refused_by_file() {
    let why = read(FILE, b"<!doctype html><title>Not found</title>").unwrap_err();
    assert!(
        why.to_string()
            .starts_with("model.safetensors: not a readable"),
        "{why}"
    );
    let cut = write(FILE, weights(), Precision::F32).unwrap();
    assert!(read(FILE, &cut[..cut.len() - 9]).is_err());
}

#[test]
fn shards_are_found_by_their_index() {
    let [first, second] = <[_; 2]>::try_from(weights()).unwrap();
    let index =
        r#"{"weight_map": {"layer.weight": "a.safetensors", "layer.bias": "b.safetensors"}}"#;
    let files = ModelFiles::from_memory([
        (
            "a.safetensors".into(),
            write("a", [first], Precision::F32).unwrap(),
        ),
        (
            "b.safetensors".into(),
            write("b", [second], Precision::F32).unwrap(),
        ),
        ("model.safetensors.index.json".into(), index.into()),
    ]);
    let opened = Weights::open(&files).unwrap();
    let names: Vec<&str> = opened.files().iter().map(|file| file.name()).collect();
    assert_eq!(names, ["a.safetensors", "b.safetensors"]);
    assert_eq!(opened.find("layer.bias").unwrap().name(), "b.safetensors");
    assert_eq!(opened.values("layer.bias").unwrap(), [0.1, -0.2, 0.3, 0.0]);
}
