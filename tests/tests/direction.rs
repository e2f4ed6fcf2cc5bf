//! Who may know whom, held by machine: the direction of dependencies, where code for the browser may
//! stand, and that every file says what it is for.
//!
//! A boundary that only a document names is crossed within a month. Reads `cargo metadata` and the
//! sources; builds nothing of the workspace.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Packages of the workspace and the packages of the workspace that each may depend on, tests
/// included. A new package has to be entered here, with the reason for its place.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    const CRATES: &[&str] = &[
        "engine",
        "grounding",
        "kernels",
        "mapnet",
        "tensors",
        "picture",
        "smolvlm",
        "policy",
        "vlm-api",
        "pages",
    ];
    BTreeMap::from([
        // Pure: boxes, prompts, metrics.
        ("grounding", &[][..]),
        // The map policy's network without burn, so that the browser's threads get nothing else.
        ("kernels", &[]),
        ("picture", &["grounding"]),
        // Model folders, for every network.
        ("tensors", &[]),
        // The map policy for use, and what page, package and command line call: no burn, see below.
        ("mapnet", &["grounding", "kernels", "picture", "tensors"]),
        (
            "engine",
            &[
                "grounding",
                "kernels",
                "mapnet",
                "picture",
                "smolvlm",
                "tensors",
            ],
        ),
        // The model knows no provider, and what talks to providers knows no model.
        ("smolvlm", &["grounding", "kernels", "picture", "tensors"]),
        ("vlm-api", &["grounding"]),
        // Drawn pages, for whoever learns from them: no network.
        ("pages", &["grounding", "picture"]),
        (
            "policy",
            &[
                "grounding",
                "kernels",
                "mapnet",
                "picture",
                "smolvlm",
                "tensors",
            ],
        ),
        // The two programs, command line and page, use the crates, never each other.
        ("trainer", CRATES),
        // The page's own module holds no tensors, so that it is there at once ...
        ("cropvlm-web", &["grounding", "picture", "vlm-api"]),
        // ... and the worker that owns the model never sees a key, and needs no burn, see below.
        (
            "cropvlm-worker",
            &[
                "engine",
                "grounding",
                "kernels",
                "mapnet",
                "picture",
                "tensors",
                "cropvlm-threads",
                "cropvlm-web",
            ],
        ),
        // SmolVLM on the processor, fetched only when it is asked for.
        (
            "cropvlm-smolvlm",
            &[
                "engine",
                "grounding",
                "picture",
                "tensors",
                "cropvlm-threads",
                "cropvlm-web",
            ],
        ),
        // What needs burn on the page, fetched only when it is asked for.
        (
            "cropvlm-trainable",
            &["grounding", "picture", "policy", "cropvlm-web"],
        ),
        // Its encoder on several threads, built with shared memory.
        ("cropvlm-threads", &["kernels", "tensors"]),
        // The npm package, for other people's pages: no burn either.
        (
            "cropvlm-js",
            &[
                "engine",
                "grounding",
                "kernels",
                "mapnet",
                "picture",
                "tensors",
                "vlm-api",
                "cropvlm-threads",
            ],
        ),
        // Starts the programs; compiled before everything else, so it depends on none.
        ("xtask", &[]),
        (
            "e2e",
            &[
                "grounding",
                "picture",
                "smolvlm",
                "policy",
                "vlm-api",
                "trainer",
            ],
        ),
    ])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Package to the packages of this workspace that it depends on, in any way.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {stderr}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    packages
        .iter()
        .map(|package| {
            let known = package["dependencies"].as_array().unwrap().iter().map(name);
            let known = known.filter(|n| members.contains(n)).collect();
            (name(package), known)
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for (package, known) in dependencies() {
        let Some(may) = allowed.get(package.as_str()) else {
            wrong.push(format!("{package} is not entered in this test"));
            continue;
        };
        for other in known.iter().filter(|other| !may.contains(&other.as_str())) {
            wrong.push(format!("{package} must not depend on {other}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_themselves_hold_what_the_house_says() {
    let allowed = allowed();
    for (one, other) in [
        ("smolvlm", "vlm-api"),
        ("smolvlm", "mapnet"),
        ("mapnet", "vlm-api"),
        ("trainer", "cropvlm-web"),
        ("trainer", "cropvlm-worker"),
        ("trainer", "xtask"),
        ("cropvlm-worker", "vlm-api"),
        ("cropvlm-worker", "policy"),
        ("cropvlm-worker", "cropvlm-trainable"),
        ("cropvlm-worker", "xtask"),
        ("cropvlm-web", "xtask"),
    ] {
        assert!(!allowed[one].contains(&other), "{one} -> {other}");
        assert!(!allowed[other].contains(&one), "{other} -> {one}");
    }
    // And they are about packages that exist.
    let packages = dependencies();
    for package in allowed.keys() {
        assert!(packages.contains_key(*package), "{package} is gone");
    }
}

/// Every package that one of the workspace needs to be built, the workspace's and others, by name.
fn closure(of: &str) -> BTreeSet<String> {
    closure_with(of, &[])
}

/// The same with more arguments.
fn closure_with(of: &str, more: &[&str]) -> BTreeSet<String> {
    tree(of, &[more, &["--target", "all"]].concat())
}

/// The same for a platform that the arguments name.
fn tree(of: &str, more: &[&str]) -> BTreeSet<String> {
    let arguments = [
        "tree",
        "--offline",
        "--prefix",
        "none",
        "--edges",
        "normal,build",
    ];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(more)
        .args(["--package", of, "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn what_only_proposes_needs_no_training_framework() {
    for light in [
        "tensors",
        "kernels",
        "mapnet",
        "engine",
        "cropvlm-js",
        "cropvlm-web",
        "cropvlm-worker",
        "cropvlm-smolvlm",
        "cropvlm-threads",
    ] {
        let heavy: Vec<String> = closure(light)
            .into_iter()
            .filter(|name| name.starts_with("burn") || name.starts_with("cubecl"))
            .collect();
        assert!(heavy.is_empty(), "{light} needs {heavy:?}");
    }
    // The network for use needs none either, where its crate is built without the trainable one.
    let plain = closure_with("smolvlm", &["--no-default-features"]);
    assert!(
        !plain.contains("burn") && plain.contains("kernels"),
        "{plain:?}"
    );
    // And the question is one that can be answered with yes.
    for heavy in ["policy", "smolvlm", "cropvlm-trainable"] {
        assert!(closure(heavy).contains("burn"), "{heavy}");
    }
}

#[test]
fn a_browser_gets_no_compiler_of_shaders() {
    let on_wasm = |package: &str, more: &[&str]| {
        let target = ["--target", "wasm32-unknown-unknown"];
        tree(package, &[more, &target].concat())
    };
    // With WebGPU ...
    for package in ["kernels", "mapnet", "engine"] {
        let names = on_wasm(package, &["--features", "gpu"]);
        assert!(names.contains("wgpu"), "{package}");
        without_shaders(package, &names);
    }
    for package in ["cropvlm-js", "cropvlm-worker", "cropvlm-smolvlm"] {
        let names = on_wasm(package, &[]);
        assert!(names.contains("wgpu"), "{package}");
        without_shaders(package, &names);
    }
    // ... while natively it is needed: the question is one that can be answered with yes.
    assert!(closure_with("kernels", &["--features", "gpu"]).contains("naga"));
}

/// Refuses what reads shaders or drives cards itself.
fn without_shaders(package: &str, names: &BTreeSet<String>) {
    for heavy in ["naga", "wgpu-core", "wgpu-hal", "burn", "cubecl"] {
        assert!(!names.contains(heavy), "{package} needs {heavy}");
    }
}

/// All Rust files under a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // What tools leave behind is not ours.
                if !["target", "dist", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no sources under {folder}");
    files
}

#[test]
fn only_the_page_knows_that_it_is_in_a_browser() {
    let mut wrong = Vec::new();
    // A browser finds graphics cards otherwise: of two files with one face, this one takes one.
    let chooser = root().join("crates/kernels/src/gpu/mod.rs");
    let known = ["crates", "trainer"].into_iter().flat_map(sources);
    for file in known.filter(|file| *file != chooser) {
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code: String = line.split_whitespace().collect();
            let browser = [
                "target_arch=\"wasm",
                "target_family=\"wasm",
                "target_os=\"unknown",
            ];
            if !code.starts_with("//") && browser.iter().any(|cfg| code.contains(cfg)) {
                wrong.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "belongs into web/:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let rooms = ["crates", "trainer", "web", "xtask", "tests"];
    let silent: Vec<String> = rooms
        .into_iter()
        .flat_map(sources)
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let first = text.lines().next().unwrap_or_default();
            first
                .strip_prefix("//!")
                .is_none_or(|words| words.trim().is_empty())
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(
        silent.is_empty(),
        "files that do not open with //! and words:\n{}",
        silent.join("\n")
    );
}
