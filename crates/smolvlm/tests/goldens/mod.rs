//! What transformers computed (`goldens/make.py`), for the tests of both networks.

use picture::RgbImage;
use safetensors::SafeTensors;
use smolvlm::{ModelFiles, tiny};

pub const CASES: [&str; 4] = ["tile", "grid", "thin", "pair"];
/// What f32 rounding in another order may move a logit of size 1 to 10 by.
pub const TOLERANCE: f32 = 1e-4;

pub struct Goldens(SafeTensors<'static>);

impl Goldens {
    pub fn open() -> Self {
        let bytes = include_bytes!("../../goldens/tiny.safetensors");
        Self(SafeTensors::deserialize(bytes).expect("goldens"))
    }

    pub fn bytes(&self, name: &str) -> (&[u8], Vec<usize>) {
        let view = self.0.tensor(name).expect(name);
        (view.data(), view.shape().to_vec())
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let (bytes, _) = self.bytes(name);
        let chunks = bytes.as_chunks().0.iter();
        chunks.map(|&b| f32::from_le_bytes(b)).collect()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let (bytes, _) = self.bytes(name);
        let chunks = bytes.as_chunks().0.iter();
        chunks.map(|&b| i64::from_le_bytes(b) as u32).collect()
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name).0.to_vec()).expect("utf-8")
    }

    pub fn pictures(&self, case: &str) -> Vec<RgbImage> {
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

pub fn files() -> ModelFiles {
    let mut files = tiny::files();
    let weights = include_bytes!("../../goldens/model.safetensors");
    files.insert("model.safetensors", weights.to_vec());
    files
}

pub fn assert_close(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let allowed = TOLERANCE * e.abs().max(1.0);
        assert!((a - e).abs() <= allowed, "{what}[{i}]: {a} instead of {e}");
    }
}
