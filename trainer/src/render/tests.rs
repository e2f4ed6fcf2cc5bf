//! Folders of pages: resumed, held by one run, refused.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::{RenderArgs, run};

fn args(out: &Path, count: u64, jobs: usize) -> RenderArgs {
    RenderArgs {
        out: out.to_path_buf(),
        count,
        seed: 9,
        kinds: Some("chart,sign".into()),
        html: false,
        chromium: None,
        backgrounds: None,
        fonts: None,
        no_system_fonts: true,
        jobs: Some(jobs),
        debug_boxes: false,
    }
}

#[test]
fn a_run_that_was_cut_off_ends_like_one_that_was_not() {
    let whole = tempfile::tempdir().unwrap();
    run(args(whole.path(), 9, 1)).unwrap();
    let parts = tempfile::tempdir().unwrap();
    run(args(parts.path(), 4, 3)).unwrap();
    // As a kill leaves it: half a line, questions of a page whose line is missing, no picture.
    let samples = parts.path().join("samples.jsonl");
    let mut text = std::fs::read_to_string(&samples).unwrap();
    text.push_str(
        "{\"id\":\"chart_000004_0\",\"image\":\"images/page_000004.jpg\"}\n{\"id\":\"cha",
    );
    std::fs::write(&samples, text).unwrap();
    std::fs::remove_file(parts.path().join("images/page_000002.jpg")).unwrap();
    run(args(parts.path(), 9, 2)).unwrap();
    for name in [
        "samples.jsonl",
        "lines.jsonl",
        "images/page_000002.jpg",
        "images/page_000008.jpg",
    ] {
        let read = |root: &Path| std::fs::read(root.join(name)).unwrap();
        assert!(read(whole.path()) == read(parts.path()), "{name} differs");
    }
    let mut other = args(parts.path(), 9, 1);
    other.seed = 10;
    assert!(
        run(other)
            .unwrap_err()
            .to_string()
            .contains("other settings")
    );
}

/// A run that is told to stop still writes the pages it is at; one begun meanwhile would write them, too.
#[test]
fn two_runs_never_write_into_one_folder() {
    let place = tempfile::tempdir().unwrap();
    run(args(place.path(), 2, 1)).unwrap();
    let before = std::fs::read(place.path().join("samples.jsonl")).unwrap();
    let held = crate::write::lock(place.path()).unwrap();
    let error = run(args(place.path(), 4, 1)).unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    let after = std::fs::read(place.path().join("samples.jsonl")).unwrap();
    assert!(before == after);
    drop(held);
    run(args(place.path(), 4, 1)).unwrap();
}
