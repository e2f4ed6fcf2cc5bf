//! `cargo xtask …`: every command that a person types more than once.
//!
//! What and why: a fresh machine has cargo and Node and nothing else. Each command here first looks for
//! what it needs, installs what is missing into a folder outside the checkout, says what it does and how
//! long it took, and, where a step cannot be done, says what a person can do about it.
//!
//! The commands are thin: they call cargo, trunk, node and the `cropvlm` binary, so that nothing can be
//! done only through `xtask`.

mod bench;
mod browser;
mod compress;
mod copy;
mod debian;
#[cfg(test)]
mod documents;
mod figures;
mod focus;
mod licences;
mod lint;
mod markers;
mod npm;
mod packages;
mod page;
mod pdf;
mod peers;
mod program;
mod recipe;
mod runs;
mod serve;
mod smolvlm;
mod step;
mod test;
mod threads;
mod tools;
mod trainable;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, serves, tests and measures cropvlm.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Examples:
  cargo xtask demo                    build the page and open it on http://127.0.0.1:8080
  cargo xtask demo --port 9000 --no-open
  cargo xtask test                    every test, those in a real browser included
  cargo xtask test --only browser     the browser tests alone
  cargo xtask test --only npm         the npm package: in Node, and built by each example's tool
  cargo xtask bench                   the table of speed and size, as Markdown
  cargo xtask bench --peers DIR       SmolVLM-256M's shape beside onnxruntime and PyTorch
  cargo xtask figures --data DIR      the tables of what the default model can do, into README and its card
  cargo xtask recipe                  the paper's recipe in small, with its ablations, into docs/recipe.md
  cargo xtask focus                   gap, grounding reward, whether the crop matters: the table of docs/focus.md
  cargo xtask page                    build the page into dist/, nothing else
  cargo xtask npm                     build the npm package into web/js/pkg

Tools are kept in ~/.cache/cropvlm/tools (CROPVLM_TOOLS chooses another folder)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page and serve it, installing what is missing
    #[command(
        after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --port 9000 --no-open"
    )]
    Demo {
        /// Port on 127.0.0.1
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Do not open a browser
        #[arg(long)]
        no_open: bool,
        #[command(flatten)]
        page: page::Options,
    },
    /// Run every test: formatting, licences, crates, end to end, and the page in a real browser
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --only browser --no-build"
    )]
    Test(test::Options),
    /// Measure speed and size; prints Markdown
    #[command(
        after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --no-build\n  cargo xtask bench --peers DIR --rows page,ort-web-q8,ort-web-f32"
    )]
    Bench(bench::Options),
    /// Measure the default model on data sets; writes the tables of README and of the model's card
    #[command(
        after_help = "Example:\n  cargo xtask figures --data data\n\nDIR/SET/dev.jsonl: questions as README's section on the command line has them. Where the program\n`tesseract` is there, it is measured what the crops do for it; what it read is kept in target/figures."
    )]
    Figures(figures::Options),
    /// The paper's recipe in small: searched boxes, SFT, GRPO, ablations; writes the tables of docs/recipe.md
    #[command(
        after_help = "Examples:\n  cargo xtask recipe\n  cargo xtask recipe --table\n\nEverything is made in runs/recipe. Stopped at any point, the same command goes on from there."
    )]
    Recipe(recipe::Options),
    /// Information gap and grounding reward beside plain GRPO, three seeds; writes the tables of docs/focus.md
    #[command(
        after_help = "Examples:\n  cargo xtask focus\n  cargo xtask focus --table\n\nEverything is made in runs/focus. Stopped at any point, the same command goes on from there."
    )]
    Focus(focus::Options),
    /// Build the page into dist/
    #[command(after_help = "Examples:\n  cargo xtask page\n  cargo xtask page --toolchain debian")]
    Page(page::Options),
    /// Build the npm package into web/js/pkg, its tarball included
    #[command(after_help = "Example:\n  cargo xtask npm")]
    Npm(page::Options),
    /// Serve dist/ as it is, without building
    #[command(after_help = "Examples:\n  cargo xtask serve --port 9000")]
    Serve {
        /// Port on 127.0.0.1
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Formatting, clippy and rustdoc over the whole workspace, native and wasm; a warning is a failure
    Lint,
    /// Install the tools that `demo`, `test` and `bench` need, and nothing else
    #[command(
        after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup --toolchain debian"
    )]
    Setup {
        /// Where the compiler for wasm32 comes from
        #[arg(long, value_enum, default_value_t)]
        toolchain: wasm::Source,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo {
            port,
            no_open,
            page,
        } => demo(port, !no_open, &page),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Figures(options) => figures::run(&options),
        Command::Recipe(options) => recipe::run(&options),
        Command::Focus(options) => focus::run(&options),
        Command::Page(options) => page::build(&options),
        Command::Npm(options) => npm::build(&options),
        Command::Serve { port } => serve::serve(&root().join("dist"), port, false),
        Command::Lint => lint::lint(),
        Command::Setup { toolchain } => page::setup(toolchain)
            .and_then(|_| browser::find_or_install())
            .map(|_| ()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Builds what proposes boxes, serves it, and builds the rest meanwhile.
fn demo(port: u16, open: bool, options: &page::Options) -> anyhow::Result<()> {
    let setup = page::build_core(options)?;
    let threads = serve::start(&root().join("dist"), port, open)?;
    // Who only wants boxes has them: the page says what is missing.
    if let Err(error) = page::build_rest(&setup) {
        eprintln!("\nwithout lesson, text policy and WebGPU: {error:#}");
    }
    serve::wait(threads)
}

/// The root of the checkout: the folder above this crate's own. Asked of cargo at run time first: checkouts that
/// share one target folder share the built program, too.
fn root() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built, PathBuf::from);
    here.parent().map(PathBuf::from).unwrap_or(here)
}
