//! Parity with transformers on a tiny model with random weights (`goldens/make.py`): tiles, ids,
//! logits, log-probabilities, greedy text, constrained boxes. Also from this folder: the full
//! size, outside the suite, is compared by `tests/parity` of the workspace.

use burn::tensor::{Device, TensorData};
use grounding::NormBox;
use picture::RgbImage;
use pollster::block_on;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use smolvlm::{ModelFiles, Pictures, Prompt, Sampling, SmolVlm, tiny};

const CASES: [&str; 4] = ["tile", "grid", "thin", "pair"];
/// What f32 rounding in another order may move a logit of size 1 to 10 by.
const TOLERANCE: f32 = 1e-4;

struct Goldens(SafeTensors<'static>);

impl Goldens {
    fn open() -> Self {
        let bytes = include_bytes!("../goldens/tiny.safetensors");
        Self(SafeTensors::deserialize(bytes).expect("goldens"))
    }

    fn bytes(&self, name: &str) -> (&[u8], Vec<usize>) {
        let view = self.0.tensor(name).expect(name);
        (view.data(), view.shape().to_vec())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let (bytes, _) = self.bytes(name);
        let chunks = bytes.as_chunks().0.iter();
        chunks.map(|&b| f32::from_le_bytes(b)).collect()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let (bytes, _) = self.bytes(name);
        let chunks = bytes.as_chunks().0.iter();
        chunks.map(|&b| i64::from_le_bytes(b) as u32).collect()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name).0.to_vec()).expect("utf-8")
    }

    fn pictures(&self, case: &str) -> Vec<RgbImage> {
        let mut list = Vec::new();
        while self
            .0
            .tensor(&format!("{case}.picture.{}", list.len()))
            .is_ok()
        {
            let (bytes, shape) = self.bytes(&format!("{case}.picture.{}", list.len()));
            let (height, width) = (shape[0] as u32, shape[1] as u32);
            list.push(RgbImage::from_raw(width, height, bytes.to_vec()).expect("picture"));
        }
        list
    }
}

fn files() -> ModelFiles {
    let mut files = tiny::files();
    let weights = include_bytes!("../goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files
}

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

fn assert_close(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let allowed = TOLERANCE * e.abs().max(1.0);
        assert!((a - e).abs() <= allowed, "{what}[{i}]: {a} instead of {e}");
    }
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
