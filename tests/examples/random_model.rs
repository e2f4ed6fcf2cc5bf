//! Makes a model folder with random weights: `tests/browser/models/tiny`, which the browser tests use where the
//! shipped model is too slow (WebGPU on SwiftShader).
//!
//! ```text
//! cargo run --release -p e2e --example random_model -- tiny tests/browser/models/tiny
//! ```
//!
//! What it proposes means nothing; that every device proposes the same is what is tested with it.

use std::path::Path;

use burn::tensor::Device;
use policy::{MapConfig, MapPolicy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [size, folder] = arguments.as_slice() else {
        return Err("usage: random_model tiny|default FOLDER".into());
    };
    let config = match size.as_str() {
        "tiny" => MapConfig::tiny(),
        "default" => MapConfig::default(),
        other => return Err(format!("no size is called {other}: tiny or default").into()),
    };
    let policy = MapPolicy::random(&config, 7, &Device::flex())?;
    policy.files(true)?.save(Path::new(folder))?;
    Ok(())
}
