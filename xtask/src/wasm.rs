//! The compiler for `wasm32-unknown-unknown`.
//!
//! With rustup, `rustup target add` fetches the target's standard library. Where toolchains cannot be
//! downloaded, Debian's packages do ([`crate::debian`]). `--toolchain` forces one of the two.

use anyhow::{Context, Result};

use crate::debian;
use crate::step::{command, note, output, run_quiet, step};

/// The target triple of everything that runs in the browser.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where the compiler for wasm32 comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// The active toolchain if it has the target or rustup can add it, else Debian's packages
    #[default]
    Auto,
    /// The active toolchain with `rustup target add`
    Rustup,
    /// Debian's rustc-web, with the standard library built once
    Debian,
}

/// How cargo has to be called to build for wasm32.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    /// `RUSTUP_TOOLCHAIN`, where another one than the active toolchain is needed.
    pub name: Option<String>,
    /// A folder that has to come first on `PATH`, where there is no rustup.
    pub path: Option<String>,
}

/// Finds or installs a compiler for wasm32.
pub fn find_or_install(source: Source) -> Result<Toolchain> {
    step("compiler for WebAssembly (wasm32-unknown-unknown)", || {
        if source != Source::Debian {
            if has_target() {
                note("the active toolchain has it");
                return Ok(Toolchain::default());
            }
            if source == Source::Auto && debian::is_ready() {
                return debian::toolchain();
            }
            match add_with_rustup() {
                Ok(()) => return Ok(Toolchain::default()),
                Err(error) if source == Source::Rustup => return Err(error),
                Err(error) => note(&format!(
                    "rustup cannot add it ({error}): taking Debian's packages"
                )),
            }
        }
        debian::install().context(
            "no compiler for wasm32. What to do: on a machine with internet, \
             `rustup target add wasm32-unknown-unknown`; on Debian, as root, `cargo xtask setup --toolchain debian`",
        )?;
        debian::toolchain()
    })
}

/// Whether the active toolchain already has the target's standard library.
fn has_target() -> bool {
    let Some(sysroot) = output("rustc", &["--print", "sysroot"]) else {
        return false;
    };
    has_std(std::path::Path::new(&sysroot))
}

/// Whether a sysroot has the target's standard library.
pub fn has_std(sysroot: &std::path::Path) -> bool {
    let lib = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::read_dir(lib).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

fn add_with_rustup() -> Result<()> {
    run_quiet(&mut command("rustup", &["target", "add", TARGET]))?;
    anyhow::ensure!(
        has_target(),
        "rustup added it, but the active rustc does not see it"
    );
    note("added with rustup");
    Ok(())
}
