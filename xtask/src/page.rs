//! The page: tools, then trunk, into `dist/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::step::{command, note, run, run_quiet, run_silent, step};
use crate::{browser, copy, pdf, root, smolvlm, threads, tools, trainable, wasm};

/// The cargo profile of page and worker, which are fetched before the first box: small. See `Cargo.toml` of the workspace.
pub const SMALL: &str = "small";
/// The cargo profile of what a browser fetches later, if at all.
pub const LATER: &str = "web";

/// How the page is built.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Where the compiler for wasm32 comes from
    #[arg(long, value_enum, default_value_t)]
    pub toolchain: wasm::Source,
}

/// What a build of the page needs on this machine.
#[derive(Clone)]
pub struct Setup {
    /// The compiler for wasm32.
    pub toolchain: wasm::Toolchain,
    /// Folders of tools that come first on `PATH`.
    path: Vec<PathBuf>,
}

impl Setup {
    /// `PATH` with the tools first.
    pub fn path(&self) -> Result<std::ffi::OsString> {
        let known = std::env::var_os("PATH").unwrap_or_default();
        let all = self.path.iter().cloned();
        Ok(std::env::join_paths(
            all.chain(std::env::split_paths(&known)),
        )?)
    }

    /// What compiles a package of the workspace for the browser.
    fn cargo(&self, package: &str, profile: &str) -> Result<Command> {
        let arguments = [
            "build",
            "--locked",
            "--profile",
            profile,
            "--target",
            wasm::TARGET,
            "--package",
            package,
        ];
        let mut cargo = command("cargo", &arguments);
        // RUSTFLAGS of the caller would replace those of .cargo/config.toml, SIMD among them.
        cargo.env_remove("RUSTFLAGS").env("PATH", self.path()?);
        if let Some(name) = &self.toolchain.name {
            cargo.env("RUSTUP_TOOLCHAIN", name);
        }
        Ok(cargo)
    }

    fn compile_quietly(&self, package: &str, profile: &str) -> Result<()> {
        run_silent(&mut self.cargo(package, profile)?)
    }

    /// Compiles a package of the workspace for the browser; where its module lies, if it is called `name`.
    pub fn compile(&self, package: &str, profile: &str, name: &str) -> Result<PathBuf> {
        run(&mut self.cargo(package, profile)?)
            .with_context(|| format!("{package} could not be built; the reason stands above"))?;
        let folder = browser::target().join(wasm::TARGET).join(profile);
        Ok(folder.join(name).with_extension("wasm"))
    }

    /// Makes what a browser loads of a compiled module, into `folder`; `more` are options of wasm-bindgen.
    pub fn bind(&self, module: &Path, folder: &Path, more: &[&str]) -> Result<()> {
        // Names of functions are a fifth of a small module, and nothing of the page reads them.
        let mut bindgen = command(
            "wasm-bindgen",
            &[
                "--target",
                "web",
                "--no-typescript",
                "--remove-name-section",
            ],
        );
        bindgen.args(more).arg("--out-dir").args([folder, module]);
        run_quiet(bindgen.env("PATH", self.path()?))
    }
}

/// Packages that trunk builds.
const CORE: [&str; 2] = ["cropvlm-web", "cropvlm-worker"];

/// Finds or installs compiler and tools.
pub fn setup(source: wasm::Source) -> Result<Setup> {
    with_tools(compiler(source)?)
}

/// Finds or installs the compiler, which needs no tools.
fn compiler(source: wasm::Source) -> Result<Setup> {
    let toolchain = wasm::find_or_install(source)?;
    Ok(Setup {
        path: toolchain.path.iter().map(PathBuf::from).collect(),
        toolchain,
    })
}

/// Adds the folders of the tools.
fn with_tools(setup: Setup) -> Result<Setup> {
    let path = tools::find_or_install()?;
    Ok(Setup {
        path: path.into_iter().chain(setup.path).collect(),
        ..setup
    })
}

/// Builds the page into `dist/`.
pub fn build(options: &Options) -> Result<()> {
    let setup = build_core(options)?;
    build_rest(&setup)
}

/// Builds what proposes boxes: from then on the page can be served.
pub fn build_core(options: &Options) -> Result<Setup> {
    let model = root().join("models/default/config.json");
    ensure!(
        model.exists(),
        "there is no model in models/default. What to do: `git checkout models/default`, or train and export one with `cropvlm`"
    );
    let bare = compiler(options.toolchain)?;
    step("the crates it needs (cargo fetch)", || {
        // trunk builds with `--offline`, so that it never downloads tools by itself.
        run_quiet(&mut command("cargo", &["fetch", "--locked"]))
            .context("What to do: check that crates.io can be reached")
    })?;
    // Where tools have to be built, what they are for is compiled meanwhile: each alone leaves processors idle at its end.
    // What goes wrong there, trunk says, which compiles what is left.
    let setup = std::thread::scope(|scope| {
        scope.spawn(|| {
            for package in CORE {
                bare.compile_quietly(package, SMALL).ok();
            }
        });
        with_tools(bare.clone())
    })?;
    step("the page (some minutes when nothing is built yet)", || {
        trunk(&setup)
    })?;
    let dist = root().join("dist");
    step("the list of files for use without a connection", || {
        copy::name(&dist)?;
        copy::list(&dist)
    })?;
    Ok(setup)
}

/// Builds what the page works without: threads, the second module, the reader of PDF documents.
pub fn build_rest(setup: &Setup) -> Result<()> {
    let dist = root().join("dist");
    step(
        "the network on several threads (a minute or two when nothing is built yet)",
        || threads::build(&threads::ENCODER, setup, LATER, &dist).map(|_| ()),
    )?;
    step(
        "SmolVLM, for WebGPU and on several threads (some minutes when nothing is built yet)",
        || smolvlm::build(setup, &dist),
    )?;
    step(
        "the lesson (some minutes when nothing is built yet)",
        || trainable::build(setup, &dist),
    )?;
    step("the list of files, with these", || copy::list(&dist))?;
    // Behind the list: it is loaded when a document is chosen, and kept by nobody.
    step("the reader of PDF documents (npm)", || pdf::vendor(&dist))?;
    report(&dist)
}

fn trunk(setup: &Setup) -> Result<()> {
    let mut command = command("trunk", &["build", "--release", "--cargo-profile", SMALL]);
    command.env("PATH", setup.path()?);
    // RUSTFLAGS of the caller would replace those of .cargo/config.toml, SIMD among them.
    command.env_remove("RUSTFLAGS").env_remove("NO_COLOR");
    if let Some(name) = &setup.toolchain.name {
        command.env("RUSTUP_TOOLCHAIN", name);
    }
    run(&mut command).context("trunk could not build the page; the reason stands above")
}

/// Names what was built, with sizes.
fn report(dist: &Path) -> Result<()> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    collect(dist, &mut files)?;
    files.sort();
    for (bytes, file) in files.iter().rev().take(4) {
        let name = file.strip_prefix(dist).unwrap_or(file).display();
        note(&format!("{:>7.2} MB  {name}", *bytes as f64 / 1e6));
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<(u64, PathBuf)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let meta = entry.metadata()?;
        if meta.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push((meta.len(), entry.path()));
        }
    }
    Ok(())
}
