//! Broken model folders are refused with a sentence that names file, item, expected and actual.

#![cfg(feature = "burn")]

use std::collections::HashMap;

use burn::tensor::Device;
use pollster::block_on;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use smolvlm::{ModelFiles, Precision, SmolVlm, tiny};

type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

const WEIGHTS: &str = "model.safetensors";
const HEAD: &str = "lm_head.weight";
const TABLE: &str = "model.text_model.embed_tokens.weight";

fn whole() -> ModelFiles {
    let mut files = tiny::files();
    files.insert(
        WEIGHTS,
        include_bytes!("../goldens/model.safetensors").to_vec(),
    );
    files
}

fn tensors(files: &ModelFiles) -> Tensors {
    let opened = SafeTensors::deserialize(files.get(WEIGHTS).expect("weights")).expect("opened");
    let list = opened.iter().map(|(name, view)| {
        (
            name.to_string(),
            view.dtype(),
            view.shape().to_vec(),
            view.data().to_vec(),
        )
    });
    list.collect()
}

fn bytes(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (
            name,
            TensorView::new(*dtype, shape.clone(), data).expect("view"),
        )
    });
    safetensors::serialize(views, None::<HashMap<String, String>>).expect("bytes")
}

/// The folder with other weights.
fn with(change: impl FnOnce(&mut Tensors)) -> ModelFiles {
    let mut files = whole();
    let mut list = tensors(&files);
    change(&mut list);
    files.insert(WEIGHTS, bytes(&list));
    files
}

/// The folder with another value at a path of a JSON file.
fn set(file: &str, pointer: &str, value: Value) -> ModelFiles {
    let mut files = whole();
    let mut json: Value = files.json(file).expect("json");
    let (parent, key) = pointer.rsplit_once('/').expect("pointer");
    json.pointer_mut(parent).expect("parent")[key] = value;
    files.insert(file, json.to_string().into_bytes());
    files
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

#[test]
fn the_whole_folder_loads_and_matches_its_manifest() {
    let files = whole();
    let model = SmolVlm::load(&files, &Device::flex()).expect("model");
    let mut manifest = model.manifest();
    manifest.sort();
    let mut found: Vec<_> = tensors(&files)
        .into_iter()
        .map(|(name, _, shape, _)| (name, shape))
        .collect();
    found.sort();
    assert_eq!(manifest, found);
}

#[test]
fn a_missing_tensor_is_named() {
    let files = with(|list| list.retain(|(name, ..)| name != HEAD));
    let vocabulary =
        whole().json::<Value>("config.json").expect("json")["text_config"]["vocab_size"].clone();
    let expected = format!(
        "model.safetensors: tensor lm_head.weight is missing (expected shape [{vocabulary}, 40])"
    );
    assert_eq!(refusal(&files), expected);
    let files =
        with(|list| list.retain(|(name, ..)| !name.contains("text_model.layers.1.self_attn")));
    let text = refusal(&files);
    assert!(
        text.contains("layers.1.self_attn.q_proj.weight is missing"),
        "{text}"
    );
    assert!(text.ends_with("and 3 more"), "{text}");
}

#[test]
fn an_extra_tensor_is_named() {
    let files = with(|list| {
        list.push(("model.surprise".into(), Dtype::F32, vec![2], vec![0; 8]));
    });
    assert_eq!(
        refusal(&files),
        "model.safetensors: tensor model.surprise (shape [2]) has no place in the model of config.json"
    );
}

#[test]
fn a_misshapen_tensor_is_named() {
    let files = with(|list| {
        let at = list
            .iter()
            .position(|(name, ..)| name.ends_with("text_model.norm.weight"));
        let tensor = &mut list[at.expect("norm")];
        tensor.2 = vec![20];
        tensor.3.truncate(40);
    });
    assert_eq!(
        refusal(&files),
        "model.safetensors: tensor model.text_model.norm.weight has shape [20], expected [40] by config.json"
    );
}

#[test]
fn an_unknown_number_type_is_named() {
    let files = with(|list| {
        let at = list
            .iter()
            .position(|(name, ..)| name.ends_with("text_model.norm.weight"));
        let tensor = &mut list[at.expect("norm")];
        tensor.1 = Dtype::I16;
    });
    let text = refusal(&files);
    assert!(
        text.contains("model.text_model.norm.weight has type I16, expected F32"),
        "{text}"
    );
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let files = with(|list| {
            let norm = list
                .iter_mut()
                .find(|(name, ..)| name.ends_with("text_model.norm.weight"))
                .expect("norm");
            (norm.1, norm.3) = (
                Dtype::F32,
                [value.to_le_bytes(), [0; 4]].concat().repeat(20),
            );
        });
        let said = refusal(&files);
        let expected =
            format!("model.safetensors: tensor model.text_model.norm.weight holds {value}: ");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn huge_numbers_in_a_config_are_refused_before_anything_is_made() {
    for (file, pointer) in [
        ("config.json", "/text_config/num_hidden_layers"),
        ("config.json", "/text_config/hidden_size"),
        ("config.json", "/text_config/intermediate_size"),
        ("config.json", "/text_config/vocab_size"),
        ("config.json", "/text_config/head_dim"),
        ("config.json", "/vision_config/num_hidden_layers"),
        ("config.json", "/vision_config/intermediate_size"),
        ("config.json", "/vision_config/image_size"),
        ("preprocessor_config.json", "/max_image_size/longest_edge"),
        ("preprocessor_config.json", "/size/longest_edge"),
    ] {
        // What no model has is refused by its name, what another has by the weights.
        for value in [1u64 << 60, 24_000_000_000, 1 << 40] {
            let said = refusal(&set(file, pointer, json!(value)));
            let item = pointer[1..].replace('/', ".");
            assert!(
                said.contains(&item) && said.contains(&value.to_string()),
                "{said}"
            );
        }
    }
    for (pointer, value) in [
        ("/text_config/num_hidden_layers", 900),
        ("/text_config/intermediate_size", 65_536),
        ("/text_config/vocab_size", 16_000_000),
        ("/vision_config/intermediate_size", 65_536),
    ] {
        let files = set("config.json", pointer, json!(value));
        let said = refusal(&files);
        assert!(
            said.starts_with("model.safetensors: tensor "),
            "{pointer}: {said}"
        );
    }
    // Without weights, their number is bounded.
    let mut files = set("config.json", "/text_config/vocab_size", json!(16_000_000));
    let mut config: Value = files.json("config.json").expect("json");
    config["text_config"]["hidden_size"] = json!(65_536);
    files.insert("config.json", config.to_string().into_bytes());
    let said = SmolVlm::random(&files, 1, &Device::flex())
        .expect_err("refused")
        .to_string();
    assert!(said.contains("the number of weights is"), "{said}");
}

#[test]
fn smolvlm2_loads_as_its_image_path_is_that_of_idefics3() {
    let mut files = set("config.json", "/model_type", json!("smolvlm"));
    let mut config: Value = files.json("config.json").expect("json");
    config["architectures"] = json!(["SmolVLMForConditionalGeneration"]);
    config["vision_config"]["model_type"] = json!("smolvlm_vision");
    files.insert("config.json", config.to_string().into_bytes());
    let mut images: Value = files.json("preprocessor_config.json").expect("json");
    images["image_processor_type"] = json!("SmolVLMImageProcessor");
    images["video_sampling"] = json!({"fps": 1, "max_frames": 64});
    files.insert("preprocessor_config.json", images.to_string().into_bytes());
    let usual = SmolVlm::load(&whole(), &Device::flex()).expect("model");
    let logits = |model: &SmolVlm| {
        let picture = picture::RgbImage::from_raw(40, 30, vec![99; 3600]).expect("picture");
        let pictures = model.pictures(&[&picture], None).expect("pictures");
        let ids = model.input_ids(&pictures, "Where?").expect("ids");
        let logits = model.logits(&pictures, &ids).expect("logits");
        let data = block_on(logits.into_data_async()).expect("data");
        data.try_into_vec::<f32>().expect("f32")
    };
    let template: Value = files.json("chat_template.json").expect("json");
    let template = template["chat_template"].as_str().expect("text").to_owned();
    let image = "{% elif line['type'] == 'image' %}{{ '<image>' }}";
    let video = format!("{image}{{% elif line['type'] == 'video' %}}{{{{ '<video>' }}}}");
    let with_videos = template.replace(image, &video);
    let plain = "{% if message['content'] is string %}{{': ' + message['content']}}{% else %}";
    let with_texts = with_videos
        .replace(
            "{% if message['content'][0]",
            &format!("{plain}{{% if message['content'][0]"),
        )
        .replace("<end_of_utterance>", "{% endif %}<end_of_utterance>");
    assert!(with_texts.len() > with_videos.len() + plain.len());
    for template in [template, with_videos, with_texts] {
        files.insert(
            "chat_template.json",
            json!({"chat_template": template}).to_string().into_bytes(),
        );
        let model = SmolVlm::load(&files, &Device::flex()).expect("model");
        assert_eq!(logits(&model), logits(&usual));
    }
}

#[test]
fn a_truncated_file_is_named() {
    let mut files = whole();
    let mut weights = files.remove(WEIGHTS).expect("weights");
    weights.truncate(weights.len() / 2);
    files.insert(WEIGHTS, weights);
    assert!(refusal(&files).starts_with("model.safetensors: not a readable safetensors file"));
    files.insert(WEIGHTS, b"<html>404</html>".to_vec());
    assert!(refusal(&files).starts_with("model.safetensors: not a readable safetensors file"));
}

#[test]
fn missing_files_are_named() {
    for file in [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        WEIGHTS,
    ] {
        let mut files = whole();
        files.remove(file);
        if file == "preprocessor_config.json" {
            files.remove("processor_config.json");
        }
        let text = refusal(&files);
        assert!(
            text.starts_with(&format!("the model folder has no {file} (it has: ")),
            "{text}"
        );
    }
}

#[test]
fn shards_load_and_a_missing_shard_is_named() {
    let mut files = whole();
    let list = tensors(&files);
    let (a, b) = list.split_at(list.len() / 2);
    let names = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let map: HashMap<&str, &str> = a
        .iter()
        .map(|tensor| (tensor.0.as_str(), names[0]))
        .chain(b.iter().map(|tensor| (tensor.0.as_str(), names[1])))
        .collect();
    files.remove(WEIGHTS);
    files.insert(
        "model.safetensors.index.json",
        json!({ "weight_map": map }).to_string().into_bytes(),
    );
    files.insert(names[0], bytes(&a.to_vec()));
    files.insert(names[1], bytes(&b.to_vec()));
    let model = SmolVlm::load(&files, &Device::flex()).expect("shards load");
    let saved = block_on(model.save(Precision::BF16)).expect("saved");
    assert!(saved.contains(WEIGHTS) && !saved.contains("model.safetensors.index.json"));
    let mut again = tensors(&saved);
    let mut original = list.clone();
    again.sort_by(|a, b| a.0.cmp(&b.0));
    original.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(again == original, "bf16 goes through f32 without loss");

    files.remove(names[1]);
    assert!(refusal(&files).starts_with(&format!("the model folder has no {}", names[1])));
}

#[test]
fn tied_embeddings_need_no_output_layer() {
    let tied = || set("config.json", "/tie_word_embeddings", json!(true));
    let mut files = tied();
    let mut list = tensors(&files);
    // Beside the table lies another one: that is no tied model.
    let text = refusal(&files);
    assert!(text.contains("lm_head.weight"), "{text}");
    // A copy of the table is let pass, as older checkpoints have it.
    let table = list
        .iter()
        .find(|(name, ..)| name == TABLE)
        .expect("table")
        .3
        .clone();
    list.iter_mut()
        .find(|(name, ..)| name == HEAD)
        .expect("head")
        .3 = table;
    files.insert(WEIGHTS, bytes(&list));
    let copy = SmolVlm::load(&files, &Device::flex()).expect("copy");
    // And none is needed.
    list.retain(|(name, ..)| name != HEAD);
    files.insert(WEIGHTS, bytes(&list));
    let none = SmolVlm::load(&files, &Device::flex()).expect("none");
    assert_eq!(copy.manifest(), none.manifest());
    assert!(none.manifest().iter().all(|(name, _)| name != HEAD));
}

#[test]
fn settings_that_are_not_implemented_are_named() {
    let cases = [
        (
            "config.json",
            "/model_type",
            json!("llava"),
            "model_type is llava",
        ),
        (
            "config.json",
            "/text_config/hidden_act",
            json!("gelu"),
            "text_config.hidden_act is gelu",
        ),
        (
            "config.json",
            "/text_config/qk_layer_norms",
            json!(true),
            "qk_layer_norms is true",
        ),
        (
            "config.json",
            "/text_config/rope_parameters",
            json!({"rope_type": "yarn"}),
            "rope_type is yarn",
        ),
        (
            "config.json",
            "/text_config/num_key_value_heads",
            json!(3),
            "num_key_value_heads is 3",
        ),
        (
            "config.json",
            "/vision_config/hidden_act",
            json!("relu"),
            "vision_config.hidden_act is relu",
        ),
        (
            "config.json",
            "/scale_factor",
            json!(4),
            "multiple of scale_factor",
        ),
        (
            "config.json",
            "/image_token_id",
            json!(1),
            "tokenizer.json has <image> at",
        ),
        (
            "config.json",
            "/text_config/vocab_size",
            json!("many"),
            "config.json: invalid type",
        ),
        (
            "preprocessor_config.json",
            "/do_resize",
            json!(false),
            "do_resize is false",
        ),
        (
            "preprocessor_config.json",
            "/resample",
            json!(0),
            "resample is 0",
        ),
        (
            "preprocessor_config.json",
            "/max_image_size/longest_edge",
            json!(25),
            "max_image_size.longest_edge is 25",
        ),
        (
            "processor_config.json",
            "/image_seq_len",
            json!(64),
            "image_seq_len is 64",
        ),
        (
            "chat_template.json",
            "/chat_template",
            json!("{{ messages }}"),
            "chat_template is another one",
        ),
    ];
    for (file, pointer, value, expected) in cases {
        let text = refusal(&set(file, pointer, value));
        assert!(text.contains(expected), "{pointer}: {text}");
    }
}

#[test]
fn settings_may_stand_where_newer_transformers_put_them() {
    let mut files = whole();
    let images: Value = files.json("preprocessor_config.json").expect("json");
    let template: Value = files.json("chat_template.json").expect("json");
    files.remove("preprocessor_config.json");
    files.remove("chat_template.json");
    let merged = json!({ "image_processor": images, "image_seq_len": 9 });
    files.insert("processor_config.json", merged.to_string().into_bytes());
    let text = template["chat_template"]
        .as_str()
        .expect("text")
        .to_string();
    files.insert("chat_template.jinja", text.into_bytes());
    let mut config: Value = files.json("config.json").expect("json");
    let theta = config["text_config"]["rope_theta"].take();
    config["text_config"]["rope_parameters"] = json!({"rope_type": "default", "rope_theta": theta});
    files.insert("config.json", config.to_string().into_bytes());
    let found = SmolVlm::load(&files, &Device::flex()).expect("model");
    let usual = SmolVlm::load(&whole(), &Device::flex()).expect("model");
    assert_eq!(found.config(), usual.config());
    assert_eq!(found.images().tile(), usual.images().tile());
}
