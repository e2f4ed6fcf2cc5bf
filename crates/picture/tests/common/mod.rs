//! The golden files of this crate, for all its tests; made by `goldens/make.py`.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// A file of the `goldens` folder.
pub fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("goldens")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JSON list of the `goldens` folder.
pub fn list<T: DeserializeOwned>(name: &str) -> Vec<T> {
    serde_json::from_slice(&read(name)).expect("make.py wrote it")
}

/// One line of `pictures.json`.
#[derive(serde::Deserialize)]
#[allow(dead_code)] // Not every test reads every field.
pub struct Picture {
    pub file: String,
    pub width: u32,
    pub height: u32,
    pub orientation: u8,
    /// Where the pixels begin in `pictures.bin`.
    pub at: usize,
    pub tolerance: u8,
}

/// Every golden picture with the bytes of its file.
#[allow(dead_code)]
pub fn pictures() -> Vec<(Picture, Vec<u8>)> {
    list::<Picture>("pictures.json")
        .into_iter()
        .map(|picture| {
            let bytes = read(&format!("pictures/{}", picture.file));
            (picture, bytes)
        })
        .collect()
}
