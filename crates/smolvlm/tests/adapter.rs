//! LoRA adapters, for any weights: a fresh one changes nothing, a merged one computes the same, a
//! folder goes out and in without loss, only the factors are trained, and folders that do not fit
//! are refused by name.

#![cfg(feature = "burn")]

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use picture::RgbImage;
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use smolvlm::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, LoraConfig, ModelFiles, Precision, SmolVlm, tiny};

fn base(device: &Device) -> SmolVlm {
    SmolVlm::random(&tiny::files(), 3, device).expect("model")
}

fn config() -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 5.0,
        ..LoraConfig::default()
    }
}

/// A model whose adapter does something: both factors random.
fn adapted(device: &Device) -> SmolVlm {
    adapted_by(0.4, device)
}

/// A model whose adapter has factors up to `edge`.
fn adapted_by(edge: f32, device: &Device) -> SmolVlm {
    let mut model = base(device);
    model.add_adapter(&config(), 1).expect("adapter");
    let files = block_on(model.save_adapter()).expect("folder");
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let files = changed(&files, |_, _, values| {
        values
            .iter_mut()
            .for_each(|v| *v = rng.random_range(-edge..edge));
    });
    model.load_adapter(&files).expect("loaded");
    model
}

/// A folder with its factors changed.
fn changed(
    files: &ModelFiles,
    mut change: impl FnMut(&mut String, &mut Vec<usize>, &mut Vec<f32>),
) -> ModelFiles {
    let bytes = files.get(ADAPTER_WEIGHTS).expect("weights");
    let found = SafeTensors::deserialize(bytes).expect("safetensors");
    let mut names = found.names();
    names.sort_unstable();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = names
        .into_iter()
        .map(|name| {
            let view = found.tensor(name).expect("tensor");
            let chunks = view.data().as_chunks().0.iter();
            let mut values: Vec<f32> = chunks.map(|&b| f32::from_le_bytes(b)).collect();
            let (mut name, mut shape) = (name.to_string(), view.shape().to_vec());
            change(&mut name, &mut shape, &mut values);
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .filter(|(name, ..)| !name.is_empty())
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("view");
        (name.as_str(), view)
    });
    let bytes = safetensors::serialize(views, None::<HashMap<String, String>>).expect("bytes");
    let mut files = files.clone();
    files.insert(ADAPTER_WEIGHTS, bytes);
    files
}

fn logits(model: &SmolVlm) -> Tensor<3> {
    let pixel = |x: u32, y: u32| [x * 7, y * 13, x * y].map(|level| (level % 256) as u8);
    let bytes = (0..30).flat_map(|y| (0..40).flat_map(move |x| pixel(x, y)));
    let picture = RgbImage::from_raw(40, 30, bytes.collect()).expect("picture");
    let pictures = model.pictures(&[&picture], Some(48)).expect("pictures");
    let ids = model.input_ids(&pictures, "Where?").expect("ids");
    model.logits(&pictures, &ids).expect("logits")
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    let data = block_on(tensor.into_data_async()).expect("data");
    data.try_into_vec().expect("f32")
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    let device = Device::flex();
    let mut model = base(&device);
    let before = values(logits(&model));
    model.add_adapter(&config(), 1).expect("adapter");
    assert_eq!(model.adapter(), Some(&config()));
    assert_eq!(distance(&values(logits(&model)), &before), 0.0);
}

#[test]
fn merged_off_and_on() {
    let device = Device::flex();
    let plain = values(logits(&base(&device)));
    let model = adapted(&device);
    let on = values(logits(&model));
    assert!(distance(&on, &plain) > 0.1, "the adapter does something");
    assert_eq!(
        distance(&values(logits(&model.without_adapter())), &plain),
        0.0
    );
    assert_eq!(values(logits(&model)), on, "the adapter is still on");
    let merged = model.merge_adapter();
    assert!(merged.adapter().is_none());
    assert!(distance(&values(logits(&merged)), &on) < 1e-4);
}

#[test]
fn a_folder_goes_out_and_in() {
    let device = Device::flex();
    let model = adapted(&device);
    let files = block_on(model.save_adapter()).expect("folder");
    let mut again = base(&device);
    again.load_adapter(&files).expect("loaded");
    assert!(values(logits(&again)) == values(logits(&model)));
    assert_eq!(again.adapter(), model.adapter());
    let saved: Value = files.json(ADAPTER_CONFIG).expect("json");
    assert_eq!(saved["lora_alpha"], 5);
    let found = SafeTensors::deserialize(files.get(ADAPTER_WEIGHTS).expect("file")).expect("file");
    let key = "base_model.model.model.text_model.layers.0.self_attn.q_proj.lora_A.weight";
    assert_eq!(found.tensor(key).expect(key).shape(), [3, 40]);
    let key = "base_model.model.model.connector.modality_projection.proj.lora_B.weight";
    assert_eq!(found.tensor(key).expect(key).shape(), [40, 3]);
    // 7 in each decoder layer, 5 in each of the vision tower (no out_proj), the connector.
    assert_eq!(found.names().len(), 2 * (2 * 7 + 2 * 5 + 1));
    // An adapter is no part of the model's own folder.
    let folder = block_on(model.save(smolvlm::Precision::F32)).expect("folder");
    let bare = SmolVlm::load(&folder, &device).expect("model");
    assert!(values(logits(&bare)) == values(logits(&base(&device))));
}

#[test]
fn only_the_factors_are_trained() {
    let device = Device::flex().autodiff();
    let model = adapted(&device);
    let gradients = logits(&model).sum().backward();
    let table = &model.net.text_model.embed_tokens.weight;
    assert!(table.grad(&gradients).is_none());
    let mut trained = 0;
    for (name, layer) in model.projections() {
        assert!(layer.weight.grad(&gradients).is_none(), "{name}");
        let Some(lora) = &layer.lora else {
            assert!(name.ends_with("out_proj"), "{name}");
            continue;
        };
        trained += 1;
        for factor in [&lora.a, &lora.b] {
            let gradient = factor.grad(&gradients).expect("a gradient");
            assert!(gradient.abs().sum().into_scalar::<f32>() > 0.0, "{name}");
        }
    }
    assert_eq!(trained, 25);
    // Without gradients it computes the same, and nothing is tracked.
    let plain = model.without_gradients();
    assert!(!plain.device().is_autodiff());
    // Not bit for bit: attention is one operation here and several where its gradient is kept. How far apart they are
    // depends on the processor's vectors: 1.02e-5 with AVX2, below 1e-5 with AVX-512, of logits up to 0.5.
    assert!(distance(&values(logits(&plain)), &values(logits(&model).inner())) < 2e-5);
}

#[test]
fn computing_again_on_the_way_back_gives_the_same_gradient() {
    let gradients = |device: Device| -> Vec<f32> {
        let model = adapted(&device);
        let found = logits(&model).powf_scalar(2.0).mean().backward();
        let layers = model.projections().into_iter();
        layers
            .filter_map(|(_, layer)| layer.lora?.a.grad(&found))
            .flat_map(|gradient| values(gradient.unsqueeze()))
            .collect()
    };
    let kept = gradients(Device::flex().autodiff());
    let again = gradients(Device::flex().autodiff().gradient_checkpointing());
    assert!(kept.iter().any(|v| v.abs() > 1e-4));
    assert!(distance(&again, &kept) < 1e-7);
}

#[test]
fn dropout_drops_in_training_only() {
    let device = Device::flex();
    let config = LoraConfig {
        lora_dropout: 0.5,
        ..config()
    };
    let mut model = adapted(&device);
    let mut files = block_on(model.save_adapter()).expect("folder");
    let mut text: Value = files.json(ADAPTER_CONFIG).expect("json");
    text["lora_dropout"] = json!(config.lora_dropout);
    files.insert(ADAPTER_CONFIG, text.to_string().into_bytes());
    let before = values(logits(&model));
    model.load_adapter(&files).expect("loaded");
    assert_eq!(values(logits(&model)), before);
    model.set_dropout(true);
    assert!(distance(&values(logits(&model)), &before) > 1e-3);
    model.set_dropout(false);
    assert_eq!(values(logits(&model)), before);
}

#[test]
fn targets_are_names_or_their_ends() {
    let config = |target: &str| LoraConfig {
        target_modules: vec![target.to_string()],
        ..LoraConfig::default()
    };
    for (target, module, expected) in [
        ("q_proj", "model.text_model.layers.0.self_attn.q_proj", true),
        ("proj", "model.connector.modality_projection.proj", true),
        ("proj", "model.text_model.layers.0.self_attn.q_proj", false),
        (
            "proj",
            "model.vision_model.encoder.layers.0.self_attn.out_proj",
            false,
        ),
        (
            "0.self_attn.q_proj",
            "model.text_model.layers.10.self_attn.q_proj",
            false,
        ),
        ("lm_head", "lm_head", true),
    ] {
        assert_eq!(
            config(target).targets(module),
            expected,
            "{target} {module}"
        );
    }
    let error = base(&Device::flex())
        .add_adapter(&config("qproj"), 1)
        .expect_err("no such module");
    assert!(error.to_string().contains("q_proj") && error.to_string().ends_with("got qproj"));
}

#[test]
fn what_does_not_fit_is_named() {
    let device = Device::flex();
    let whole = block_on(adapted(&device).save_adapter()).expect("folder");
    let refusal = |files: &ModelFiles| {
        let error = base(&device).load_adapter(files).expect_err("refused");
        error.to_string()
    };
    const KEY: &str = "base_model.model.model.text_model.layers.1.mlp.up_proj.lora_B.weight";
    let at = |action: fn(&mut String, &mut Vec<usize>)| {
        changed(&whole, move |name, shape, _| {
            if name == KEY {
                action(name, shape);
            }
        })
    };
    let text = refusal(&at(|name, _| name.clear()));
    assert!(text.contains(KEY) && text.contains("missing"), "{text}");
    let text = refusal(&at(|_, shape| shape.reverse()));
    assert!(text.contains(KEY) && text.contains("[72, 3]"), "{text}");
    // An extra one: the configuration does not name its module.
    let set = |key: &str, value: Value| {
        let mut files = whole.clone();
        let mut config: Value = files.json(ADAPTER_CONFIG).expect("json");
        config[key] = value;
        files.insert(ADAPTER_CONFIG, config.to_string().into_bytes());
        files
    };
    let text = refusal(&set("target_modules", json!(["q_proj"])));
    assert!(
        text.contains("no place") && text.contains("adapter_config.json"),
        "{text}"
    );
    for (key, value) in [
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("bias", json!("all")),
        ("rank_pattern", json!({"q_proj": 4})),
        ("init_lora_weights", json!("pissa")),
        ("peft_type", json!("IA3")),
        ("target_modules", json!(null)),
        ("r", json!(0)),
        ("something_new", json!(7)),
    ] {
        let text = refusal(&set(key, value.clone()));
        assert!(text.contains(&format!("{key} is {value}")), "{text}");
    }
    let mut files = whole.clone();
    files.remove(ADAPTER_CONFIG);
    assert!(refusal(&files).contains("no adapter_config.json"));
    // An expression as target: the file of factors says which modules.
    let mut model = base(&device);
    model
        .load_adapter(&set("target_modules", json!(".*proj|.*fc[12]")))
        .expect("loaded");
    assert!(values(logits(&model)) == values(logits(&adapted(&device))));
    // Rank-stabilised: another scale.
    model
        .load_adapter(&set("use_rslora", json!(true)))
        .expect("loaded");
    assert!(distance(&values(logits(&model)), &values(logits(&adapted(&device)))) > 1e-3);
}

/// Gradients of the sum of squared logits, factor by factor.
fn gradients(model: &SmolVlm) -> Vec<Vec<f32>> {
    let logits = logits(model);
    let gradients = (logits.clone() * logits).sum().backward();
    let flat = |gradient: Option<Tensor<2>>| -> Vec<f32> {
        let data = gradient.expect("a gradient").into_data();
        data.try_into_vec().expect("f32 factors have f32 gradients")
    };
    let layers = model.projections();
    let factors = layers.iter().filter_map(|(_, layer)| layer.lora.as_ref());
    factors
        .flat_map(|lora| [lora.a.val(), lora.b.val()])
        .map(|factor| flat(factor.grad(&gradients)))
        .collect()
}

#[test]
fn frozen_weights_in_bf16_give_nearly_the_same() {
    let device = Device::flex().autodiff();
    // Larger factors saturate attention, and then any rounding may change what is looked at.
    let exact = adapted_by(0.1, &device);
    let rough = exact.clone().with_precision(Precision::BF16);
    let (a, b) = (values(logits(&exact)), values(logits(&rough)));
    let largest = a.iter().fold(0f32, |top, v| top.max(v.abs()));
    let apart = distance(&a, &b);
    // bf16 keeps 8 bits: not the same numbers, but within a few of the last bits.
    assert!(
        apart > 0.0 && apart < 0.03 * largest,
        "{apart} of {largest}"
    );
    let (a, b) = (gradients(&exact), gradients(&rough));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        terms.sum()
    };
    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        assert!(cosine > 0.98, "factor {i}: cosine {cosine}");
    }
    // Merged in f32, whatever the base was.
    let merged = rough.merge_adapter();
    let apart = distance(&values(logits(&merged)), &values(logits(&exact)));
    assert!(apart < 0.03 * largest, "{apart} of {largest}");
}
