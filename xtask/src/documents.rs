//! What README, CONTRIBUTING and the workflows tell a person or a machine to type exists.

use std::path::Path;

use clap::Parser;

use crate::{Cli, root};

fn text(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Commands of a file that begin with `start`, in words; comments and what a workflow puts before them left out.
fn commands(name: &str, start: &str) -> Vec<Vec<String>> {
    let lines = text(name);
    let lines = lines.lines().map(|line| {
        let line = line.trim().trim_start_matches("- run: ");
        line.split(" #").next().unwrap_or(line).trim()
    });
    let found = lines.filter(|line| line.starts_with(start));
    let words = |line: &str| {
        // Words in quotation marks stay together.
        let parts = line.split('"').enumerate();
        parts
            .flat_map(|(i, part)| match i % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    };
    found.map(words).collect()
}

#[test]
fn every_xtask_that_is_named_exists() {
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        ".ci/run",
        ".github/workflows/pages.yml",
    ] {
        let found = commands(name, "cargo xtask ");
        assert!(!found.is_empty(), "{name} names none");
        for words in found {
            let parsed = Cli::try_parse_from(&words[1..]);
            assert!(parsed.is_ok(), "{name}: {words:?}: {:?}", parsed.err());
        }
    }
    assert!(Cli::try_parse_from(["xtask", "publish"]).is_err());
}

#[test]
fn single_tests_can_be_run_as_contributing_says() {
    let folder = |package: &str| match package {
        "trainer" => Path::new("trainer").to_path_buf(),
        package => Path::new("crates").join(package),
    };
    let calls = commands("CONTRIBUTING.md", "cargo test ");
    assert!(!calls.is_empty());
    for words in calls {
        let after = |flag: &str| {
            let at = words.iter().position(|word| word == flag);
            at.map(|at| words[at + 1].clone())
        };
        let (package, test) = (after("-p").expect("-p"), after("--test").expect("--test"));
        let file = folder(&package).join("tests").join(format!("{test}.rs"));
        let tests = text(&file.to_string_lossy());
        let filter = words.last().filter(|word| **word != test);
        let filter = filter.map_or("", String::as_str);
        let named = tests
            .lines()
            .any(|line| line.starts_with("fn ") && line.contains(filter));
        assert!(named, "{words:?}: no such test");
    }
    let calls = commands("CONTRIBUTING.md", "node --test");
    assert!(!calls.is_empty());
    for words in calls {
        let file = words.last().expect("a file");
        let tests = text(&format!("tests/browser/{file}"));
        let pattern = words.iter().position(|word| word == "--test-name-pattern");
        if let Some(at) = pattern {
            assert!(tests.contains(&words[at + 1]), "{words:?}: no such test");
        }
    }
}

#[test]
fn the_workflow_publishes_what_the_build_makes() {
    let workflow = text(".github/workflows/pages.yml");
    let trunk = text("Trunk.toml");
    let dist = trunk.lines().find_map(|line| line.strip_prefix("dist = "));
    let dist = dist.expect("Trunk.toml names its folder").trim_matches('"');
    // In this order.
    let mut rest = workflow.as_str();
    for part in [
        "pages: write",
        "id-token: write",
        "--target wasm32-unknown-unknown --component rust-src",
        "cargo xtask page",
        "actions/upload-pages-artifact@",
        &format!("path: {dist}\n"),
        "actions/deploy-pages@",
    ] {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{part} is missing, or not where it belongs"));
        rest = &rest[at + part.len()..];
    }
}
