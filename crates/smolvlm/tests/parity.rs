//! Parity with transformers on a tiny model with random weights (`goldens/make.py`): tiles, ids,
//! logits, log-probabilities, greedy text, constrained boxes. Also from this folder: the full
//! size, outside the suite, is compared by `tests/parity` of the workspace.

#![cfg(feature = "burn")]

mod goldens;

use burn::tensor::{Device, TensorData};
use grounding::NormBox;
use picture::RgbImage;
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use smolvlm::{Pictures, Prompt, Sampling, SmolVlm};

use goldens::{CASES, Goldens, assert_close, files};

fn model() -> SmolVlm {
    SmolVlm::load(&files(), &Device::flex()).expect("model")
}

fn tiles(model: &SmolVlm, goldens: &Goldens, case: &str) -> Pictures {
    let pictures = goldens.pictures(case);
    let edge = goldens.ids(&format!("{case}.longest_edge"))[0] as usize;
    let pictures: Vec<&RgbImage> = pictures.iter().collect();
    model.pictures(&pictures, Some(edge)).expect("tiles")
}

fn prompt(model: &SmolVlm, goldens: &Goldens, case: &str) -> Prompt {
    let tiles = tiles(model, goldens, case);
    let scene = model
        .read_pictures(&tiles, &model.encode(&tiles))
        .expect("scene");
    model
        .ask(&scene, &goldens.text(&format!("{case}.text")))
        .expect("prompt")
}

fn values<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Vec<f32> {
    let data: TensorData = block_on(tensor.into_data_async()).expect("data");
    data.try_into_vec().expect("f32")
}

#[test]
fn pixel_values_are_bit_equal() {
    let (model, goldens) = (model(), Goldens::open());
    for case in CASES {
        let tiles = tiles(&model, &goldens, case);
        let name = format!("{case}.pixel_values");
        let (_, shape) = goldens.bytes(&name);
        assert_eq!([tiles.tiles(), 3, tiles.side, tiles.side], *shape, "{case}");
        assert!(tiles.values == goldens.floats(&name), "{case}");
    }
}

#[test]
fn input_ids_are_equal() {
    let (model, goldens) = (model(), Goldens::open());
    for case in CASES {
        let tiles = tiles(&model, &goldens, case);
        let text = goldens.text(&format!("{case}.text"));
        let ids = model.input_ids(&tiles, &text).expect("ids");
        assert_eq!(ids, goldens.ids(&format!("{case}.input_ids")), "{case}");
    }
}

#[test]
fn logits_are_close() {
    let (model, goldens) = (model(), Goldens::open());
    for case in CASES {
        let tiles = tiles(&model, &goldens, case);
        let ids = goldens.ids(&format!("{case}.input_ids"));
        let logits = model.logits(&tiles, &ids).expect("logits"); // [1, T, V]
        let name = format!("{case}.logits");
        let (_, shape) = goldens.bytes(&name);
        let last = logits.narrow(1, ids.len() - shape[0], shape[0]);
        assert_close(&values(last), &goldens.floats(&name), case);
    }
}

#[test]
fn log_probabilities_of_a_completion_are_close() {
    let (model, goldens) = (model(), Goldens::open());
    for case in CASES {
        let prompt = prompt(&model, &goldens, case);
        let ids = goldens.ids(&format!("{case}.completion"));
        let found = model.token_log_probs(&prompt, &[ids]).expect("log_probs");
        let expected = goldens.floats(&format!("{case}.logprobs"));
        assert_close(&values(found), &expected, case);
    }
}

#[test]
fn completion_tokens_are_equal() {
    let (model, goldens) = (model(), Goldens::open());
    for (case, text) in [("tile", "[10, 20, 63, 57]."), ("pair", "12/03/2019.")] {
        let ids = model.prompts().completion(text).expect("ids");
        assert_eq!(ids, goldens.ids(&format!("{case}.completion")), "{case}");
    }
}

#[test]
fn greedy_text_is_equal() {
    let (model, goldens) = (model(), Goldens::open());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for case in CASES {
        let prompt = prompt(&model, &goldens, case);
        let found = block_on(model.generate(&prompt, 1, 20, Sampling::Greedy, &mut rng));
        let found = &found.expect("completion")[0];
        assert_eq!(found.ids, goldens.ids(&format!("{case}.greedy")), "{case}");
        assert_eq!(
            found.text,
            goldens.text(&format!("{case}.greedy_text")),
            "{case}"
        );
    }
}

#[test]
fn constrained_boxes_are_equal() {
    let (model, goldens) = (model(), Goldens::open());
    let grammar = model.grammar().expect("grammar");
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for case in CASES {
        let prompt = prompt(&model, &goldens, case);
        let boxes = model.generate_boxes(&grammar, &prompt, 1, Sampling::Greedy, &mut rng);
        let found = block_on(boxes).expect("box").remove(0);
        let expected = goldens.floats(&format!("{case}.greedy_box"));
        assert_eq!(found.bbox.to_array().as_slice(), expected, "{case}");
        let expected = goldens.floats(&format!("{case}.greedy_box_logprob"));
        assert_close(&[found.logprob], &expected, case);

        let given = [[10., 20., 63., 57.], [0., 9., 100., 10.]]
            .map(|[x1, y1, x2, y2]| NormBox::new(x1, y1, x2, y2).expect("box"));
        let found = model
            .box_log_probs(&grammar, &prompt, &given)
            .expect("log_probs");
        let expected = goldens.floats(&format!("{case}.box_logprob"));
        assert_close(&values(found), &expected, case);
    }
}
