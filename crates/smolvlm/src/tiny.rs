//! A tiny preset of the real model for tests: every part is there, each as small as it can be
//! (170 thousand parameters, tiles of 24 pixels, 9 image tokens a tile, a vocabulary of about
//! 400). Head width and hidden size do not fit each other and the patch grid is no power of two,
//! on purpose: those are the cases in which mistakes show.
//!
//! The files are written by `goldens/make.py`, which also makes transformers compute with them.

use tensors::ModelFiles;

/// The preset's folder without weights, for [`crate::SmolVlm::random`].
pub fn files() -> ModelFiles {
    let files: [(&str, &[u8]); 5] = [
        ("config.json", include_bytes!("../tiny/config.json")),
        (
            "preprocessor_config.json",
            include_bytes!("../tiny/preprocessor_config.json"),
        ),
        (
            "processor_config.json",
            include_bytes!("../tiny/processor_config.json"),
        ),
        (
            "chat_template.json",
            include_bytes!("../tiny/chat_template.json"),
        ),
        ("tokenizer.json", include_bytes!("../tiny/tokenizer.json")),
    ];
    ModelFiles::from_memory(files.map(|(name, bytes)| (name.to_string(), bytes.to_vec())))
}
