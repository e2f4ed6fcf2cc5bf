//! Modules with threads, built with atomics and shared memory: the map policy's network (`web/threads`) into `dist/threads`, and
//! SmolVLM (`xtask/src/smolvlm.rs`).
//!
//! Atomics are a property of everything in a module, the standard library included, so that cargo builds that too
//! (`-Zbuild-std`, which `RUSTC_BOOTSTRAP=1` permits on a stable compiler) from the source that rustup or Debian has.
//! Where there is no source the page is built without these modules and says that it runs on one thread.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::page::Setup;
use crate::step::{command, note, output, run};
use crate::wasm::{TARGET, Toolchain};
use crate::{browser, debian, root};

/// A module to build.
pub struct Module<'a> {
    /// Its package, with its one program.
    pub package: &'a str,
    /// The program.
    pub bin: &'a str,
    /// Features that it is built with, and no others.
    pub features: &'a str,
    /// Most memory that it may take, bytes. Shared memory is reserved at once, though not used.
    pub most_memory: u32,
    /// Folder of `dist` that it goes into.
    pub folder: &'a str,
}

/// The map policy's network.
pub const ENCODER: Module = Module {
    package: "cropvlm-threads",
    bin: "threads",
    features: "pool",
    most_memory: 1 << 30,
    folder: "threads",
};

/// Builds a module for the page; a note instead, and `false`, where this machine cannot.
pub fn build(module: &Module, setup: &Setup, profile: &str, dist: &Path) -> Result<bool> {
    let Some(built) = compile(module, setup, profile)? else {
        return Ok(false);
    };
    setup.bind(&built, &dist.join(module.folder), &[])?;
    Ok(true)
}

/// Compiles a module; a note instead where this machine cannot.
pub fn compile(module: &Module, setup: &Setup, profile: &str) -> Result<Option<PathBuf>> {
    let toolchain = &setup.toolchain;
    let Some(name) = with_source(toolchain) else {
        note("skipped, so that it will run on one thread: the compiler's source is missing");
        note(
            "(with rustup: `rustup component add rust-src`; on Debian: `apt-get install rust-web-src`)",
        );
        return Ok(None);
    };
    let target = browser::target().join("threads");
    let mut flags = vec![
        "-Ctarget-feature=+simd128,+atomics,+bulk-memory,+mutable-globals".to_string(),
        "-Clink-arg=--shared-memory".to_string(),
        "-Clink-arg=--import-memory".to_string(),
        format!("-Clink-arg=--max-memory={}", module.most_memory),
    ];
    // What wasm-bindgen needs to give every thread its stack and its thread-local variables.
    for symbol in [
        "__wasm_init_tls",
        "__tls_size",
        "__tls_align",
        "__tls_base",
        "__heap_base",
    ] {
        flags.push(format!("-Clink-arg=--export={symbol}"));
    }
    let mut cargo = command(
        "cargo",
        &[
            "build",
            "--locked",
            "--profile",
            profile,
            "--target",
            TARGET,
            "-Zbuild-std=std,panic_abort",
            "--package",
            module.package,
            "--bin",
            module.bin,
            "--no-default-features",
            "--features",
            module.features,
        ],
    );
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_TARGET_DIR", &target);
    if let Some(name) = &name {
        cargo.env("RUSTUP_TOOLCHAIN", name);
    }
    if let Err(error) = run(&mut cargo) {
        note(&format!(
            "skipped, so that it will run on one thread: {error}"
        ));
        return Ok(None);
    }
    let built = target.join(TARGET).join(profile);
    Ok(Some(built.join(module.bin).with_extension("wasm")))
}

/// The toolchain to build with (`None`: the one that builds the rest), if one here has the source of std.
fn with_source(toolchain: &Toolchain) -> Option<Option<String>> {
    let has = |name: Option<&str>| {
        let mut rustc = command("rustc", &["--print", "sysroot"]);
        if let Some(name) = name {
            rustc.env("RUSTUP_TOOLCHAIN", name);
        }
        let sysroot = rustc
            .current_dir(root())
            .output()
            .ok()
            .filter(|out| out.status.success());
        sysroot.is_some_and(|out| {
            let sysroot = String::from_utf8_lossy(&out.stdout).trim().to_string();
            Path::new(&sysroot)
                .join("lib/rustlib/src/rust/library/std/Cargo.toml")
                .exists()
        })
    };
    let same = toolchain.name.clone();
    if has(same.as_deref()) {
        return Some(same);
    }
    if same.is_none() && output("rustup", &["component", "add", "rust-src"]).is_some() && has(None)
    {
        return Some(None);
    }
    if debian::install().is_ok()
        && let Ok(debian) = debian::toolchain()
        && has(debian.name.as_deref())
    {
        return Some(debian.name);
    }
    None
}
