//! The one inline script of `index.html` is allowed by its hash alone, and every other one is forbidden. After a change
//! there: `UPDATE=1 cargo test -p cropvlm-web --test guard`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The page with the right hash in its policy.
fn allowed(page: &str) -> String {
    let start = page.find("<script>").unwrap() + "<script>".len();
    let end = start + page[start..].find("</script>").unwrap();
    assert_eq!(page.matches("<script>").count(), 1, "one inline script");
    let hash = STANDARD.encode(Sha256::digest(&page[start..end]));
    let at = page.find("'sha256-").unwrap();
    let close = at + 1 + page[at + 1..].find('\'').unwrap();
    assert!(at < start, "the policy stands before the script");
    format!("{}'sha256-{hash}{}", &page[..at], &page[close..])
}

#[test]
fn the_policy_names_the_script_that_runs_whatever_is_missing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../index.html");
    let page = std::fs::read_to_string(path).unwrap();
    let wanted = allowed(&page);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "the script's hash is another one: UPDATE=1 cargo test -p cropvlm-web --test guard"
        );
    }
}
