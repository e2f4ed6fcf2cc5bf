//! Debian's toolchain for wasm32, for machines where rustup cannot download.
//!
//! Debian packages a rustc with the wasm32 back end (`rustc-web`, `cargo-web`, `rust-web-src`) but not the
//! standard library of `wasm32-unknown-unknown`. It is built once from the packaged source with
//! `-Zbuild-std` (`RUSTC_BOOTSTRAP=1` permits that on a stable compiler), copied into the sysroot, and the
//! sysroot is linked into rustup under the name `web`. Needs root; about one minute, once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::step::{apt_install, command, is_root, note, output, run_quiet};
use crate::wasm::{TARGET, Toolchain, has_std};

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
/// `rust-web-llvm` is only recommended by `rustc-web`, but brings the link to the linker.
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
/// The name under which rustup knows Debian's sysroot.
const NAME: &str = "web";

/// Whether everything is there already.
pub fn is_ready() -> bool {
    sysroot().is_some_and(|sysroot| has_std(&sysroot) && stamp(&sysroot) == version())
        && lld_works()
}

/// How to call it: by name through rustup, or, where there is none, by `PATH`.
pub fn toolchain() -> Result<Toolchain> {
    if output("rustup", &["--version"]).is_none() {
        return Ok(Toolchain {
            name: None,
            path: Some("/usr/bin".into()),
        });
    }
    let linked = output("rustup", &["toolchain", "list"]).is_some_and(|list| {
        list.lines()
            .any(|line| line.split_whitespace().next() == Some(NAME))
    });
    if !linked {
        let sysroot = sysroot().context("Debian's rustc has no sysroot")?;
        run_quiet(&mut command(
            "rustup",
            &["toolchain", "link", NAME, &sysroot.to_string_lossy()],
        ))?;
    }
    note("using Debian's rustc (toolchain `web`)");
    Ok(Toolchain {
        name: Some(NAME.into()),
        path: None,
    })
}

/// Installs the packages and builds the standard library, where needed.
pub fn install() -> Result<()> {
    if is_ready() {
        return Ok(());
    }
    let missing: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|package| output("dpkg", &["-s", package]).is_none())
        .collect();
    if !missing.is_empty() {
        note(&format!("installing {} with apt", missing.join(", ")));
        apt_install(&missing)?;
    }
    if !lld_works() {
        // rust-web-llvm ships /usr/bin/rust-lld as a link to lld-NN without depending on that package.
        let link =
            std::fs::read_link("/usr/bin/rust-lld").context("there is no /usr/bin/rust-lld")?;
        let package = link
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .context("/usr/bin/rust-lld points nowhere")?;
        note(&format!("installing the linker {package} with apt"));
        apt_install(&[&package])?;
    }
    let sysroot = sysroot().context("Debian's rustc does not run")?;
    if !(has_std(&sysroot) && stamp(&sysroot) == version()) {
        ensure!(
            is_root(),
            "the standard library has to be written under {}: run this command once as root",
            sysroot.display()
        );
        note("building the standard library for wasm32 (about a minute, once)");
        build_std(&sysroot)?;
    }
    Ok(())
}

/// Builds std with an empty crate and copies its libraries into the sysroot.
fn build_std(sysroot: &Path) -> Result<()> {
    let work = std::env::temp_dir().join(format!("cropvlm-std-{}", std::process::id()));
    let source = work.join("src");
    std::fs::create_dir_all(&source)?;
    std::fs::write(source.join("lib.rs"), "")?;
    std::fs::write(
        work.join("Cargo.toml"),
        "[package]\nname = \"stdseed\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [profile.release]\npanic = \"abort\"\n[workspace]\n",
    )?;
    let target = work.join("target");
    let built = run_quiet(
        command(
            CARGO,
            &[
                "build",
                "--release",
                "-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test",
                "--target",
                TARGET,
            ],
        )
        .current_dir(&work)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .env("RUSTC", RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        // Bitcode, so that link-time optimisation reaches into std.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("CARGO_TARGET_DIR", &target),
    );
    let copied = built.and_then(|()| copy_std(&target, sysroot));
    std::fs::remove_dir_all(&work).ok();
    copied
}

fn copy_std(target: &Path, sysroot: &Path) -> Result<()> {
    let home = sysroot.join("lib/rustlib").join(TARGET);
    let lib = home.join("lib");
    std::fs::remove_dir_all(&lib).ok();
    std::fs::create_dir_all(&lib)?;
    let mut copied = 0;
    for file in std::fs::read_dir(target.join(TARGET).join("release/deps"))?.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libstdseed") {
            std::fs::copy(file.path(), lib.join(&name))?;
            copied += 1;
        }
    }
    if copied == 0 {
        bail!("the build of the standard library left no libraries");
    }
    std::fs::write(home.join(".built-for"), version().unwrap_or_default())?;
    Ok(())
}

fn sysroot() -> Option<PathBuf> {
    output(RUSTC, &["--print", "sysroot"]).map(PathBuf::from)
}

/// What std was built for: it has to be built anew when the package is upgraded.
fn version() -> Option<String> {
    output(RUSTC, &["-Vv"])
}

fn stamp(sysroot: &Path) -> Option<String> {
    std::fs::read_to_string(sysroot.join("lib/rustlib").join(TARGET).join(".built-for")).ok()
}

fn lld_works() -> bool {
    output("/usr/bin/rust-lld", &["-flavor", "wasm", "--version"]).is_some()
}
