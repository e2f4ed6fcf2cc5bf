//! The npm package: WebAssembly, JavaScript and the model that ships, into `web/js/pkg`, and its tarball.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::compress::{self, Coding};
use crate::page::{self, Setup};
use crate::step::{command, note, run_quiet, step};
use crate::{root, threads, tools};

/// What wasm-opt has to let pass: what rustc's default features and SIMD use.
const FEATURES: [&str; 7] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Builds the package.
pub fn build(options: &page::Options) -> Result<()> {
    tools::need_node()?;
    let setup = page::setup(options.toolchain)?;
    let folder = root().join("web/js/pkg");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("web/js/pkg cannot be emptied")?;
    }
    std::fs::create_dir_all(&folder)?;
    step(
        "the package's WebAssembly (two minutes when nothing is built yet)",
        || wasm(&setup, &folder),
    )?;
    step(
        "the network on several threads (a minute or two when nothing is built yet)",
        || with_threads(&setup, &folder),
    )?;
    step("the package's files", || files(&folder))?;
    step("the tarball (npm pack)", || pack(&folder))?;
    report(&folder)
}

fn wasm(setup: &Setup, folder: &Path) -> Result<()> {
    let module = setup.compile("cropvlm-js", page::SMALL, "cropvlm_js")?;
    bind(setup, &module, folder, "cropvlm", &[])
}

/// The network on several threads, as the page has it.
fn with_threads(setup: &Setup, folder: &Path) -> Result<()> {
    let module = threads::compile(&threads::ENCODER, setup, page::LATER)?
        .context("the package needs it; what to do stands above")?;
    bind(
        setup,
        &module,
        folder,
        "cropvlm_threads",
        &["--enable-threads"],
    )
}

/// A module with its loader; `features` are more than [`FEATURES`].
fn bind(setup: &Setup, module: &Path, folder: &Path, name: &str, features: &[&str]) -> Result<()> {
    setup.bind(module, folder, &["--out-name", name])?;
    let file = format!("{name}_bg.wasm");
    let module = folder.join(&file);
    run_quiet(
        command("wasm-opt", &FEATURES)
            .args(features)
            .args(["-O2", "-o"])
            .args([&module, &module])
            .env("PATH", setup.path()?),
    )?;
    // The bytes are always handed in. Left alone, bundlers would carry the module along for this line a second time.
    let glue = folder.join(name).with_extension("js");
    let text = std::fs::read_to_string(&glue)?;
    let default = format!("module_or_path = new URL('{file}', import.meta.url);");
    ensure!(
        text.contains(&default),
        "wasm-bindgen writes its loader otherwise: see xtask/src/npm.rs"
    );
    let text = text.replace(&default, "throw new Error('the module is missing');");
    std::fs::write(glue, text)?;
    Ok(())
}

/// JavaScript, types, licences, and the model with what is known of it.
fn files(folder: &Path) -> Result<()> {
    let source = root().join("web/js");
    for entry in std::fs::read_dir(source.join("lib"))?.flatten() {
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    for name in ["package.json", "README.md"] {
        std::fs::copy(source.join(name), folder.join(name)).context(name)?;
    }
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        std::fs::copy(root().join(name), folder.join(name)).context(name)?;
    }
    let model = root().join("models/default");
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(model.join("config.json"))?)?;
    let weights = std::fs::read(model.join("model.safetensors"))?;
    let hash = Sha256::digest(&weights);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let known = serde_json::json!({
        "version": version(folder)?,
        "config": config.to_string(),
        "bytes": weights.len(),
        "sha256": hash,
    });
    let text = format!(
        "// The model of this package: made by `cargo xtask npm`.\nexport const shipped = {known};\n"
    );
    std::fs::write(folder.join("model.js"), text)?;
    std::fs::create_dir_all(folder.join("model"))?;
    std::fs::write(folder.join("model/model.safetensors"), weights)?;
    Ok(())
}

/// The package's version.
fn version(folder: &Path) -> Result<String> {
    let package: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("package.json"))?)?;
    let version = package["version"]
        .as_str()
        .context("package.json has no version")?;
    Ok(version.to_owned())
}

fn pack(folder: &Path) -> Result<()> {
    run_quiet(command("npm", &["pack", "--silent"]).current_dir(folder))?;
    let name = format!("cropvlm-{}.tgz", version(folder)?);
    ensure!(folder.join(&name).exists(), "npm pack did not write {name}");
    Ok(())
}

/// Names the parts with their sizes, as they are and by brotli.
fn report(folder: &Path) -> Result<()> {
    let mut names: Vec<_> = std::fs::read_dir(folder)?
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.push("model/model.safetensors".into());
    names.sort();
    let kept = compress::Kept::default();
    for name in names {
        let path = folder.join(&name);
        let (plain, small) = (
            path.metadata()?.len(),
            kept.read(&path, Coding::Brotli)?.bytes.len(),
        );
        note(&format!("{plain:>9} bytes, {small:>8} by brotli  {name}"));
    }
    Ok(())
}
