//! What every dependency may be: its licence, where it comes from (`deny.toml`), and no version with a known fault.
//!
//! Licences and sources are in the crates themselves. Faults are in the RustSec database, which has to be fetched: where it
//! cannot be reached that is said, and nothing fails for it.

use anyhow::{Context, Result, bail, ensure};

use crate::step::{command, note, run_quiet};
use crate::tools;

/// `cargo deny check`.
///
/// # Errors
/// A finding; a program that cannot be installed.
pub fn check() -> Result<()> {
    let deny = tools::deny()?;
    let deny = deny.to_string_lossy();
    // Offline below: every crate of the lock file has to be there, those of other systems too.
    run_quiet(&mut command("cargo", &["fetch", "--locked"]))
        .context("What to do: check that crates.io can be reached")?;
    let call = |arguments: &[&str]| command(&deny, arguments).output();
    let found = call(&["--offline", "check", "licenses", "bans", "sources"])?;
    let said = String::from_utf8_lossy(&found.stderr);
    let summary = said.lines().last().unwrap_or_default();
    ensure!(
        found.status.success(),
        "{said}\na licence or a source that deny.toml does not allow. What to do: take another crate, or enter it there"
    );
    note(summary);
    let found = call(&["check", "advisories"])?;
    let said = String::from_utf8_lossy(&found.stderr);
    match verdict(found.status.success(), &said) {
        Verdict::Clean => note("no known fault in any version"),
        Verdict::Unknown(why) => note(&format!(
            "known faults are NOT checked: the RustSec database cannot be had ({why})"
        )),
        Verdict::Found => bail!(
            "{said}\na version with a known fault. What to do: `cargo update -p CRATE`, or, with a reason, `ignore` in deny.toml"
        ),
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Clean,
    Found,
    /// There was no database to ask.
    Unknown(String),
}

/// cargo-deny ends with the words `advisories ok` or `advisories FAILED`; without them it has not come so far.
fn verdict(success: bool, said: &str) -> Verdict {
    let found = said
        .lines()
        .any(|line| line.starts_with("advisories FAILED"));
    match (success, found) {
        (true, _) => Verdict::Clean,
        (false, true) => Verdict::Found,
        (false, false) => {
            let line = said.lines().find(|line| line.contains("[ERROR]"));
            let why = line.and_then(|line| line.split("[ERROR] ").nth(1));
            let why = why.and_then(|why| why.split(": [").next());
            Verdict::Unknown(why.unwrap_or("cargo-deny gives no reason").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_from_a_database_that_cannot_be_reached() {
        assert_eq!(verdict(true, "advisories ok\n"), Verdict::Clean);
        let said = "error[vulnerability]: a buffer overflow\n\nadvisories FAILED\n";
        assert_eq!(verdict(false, said), Verdict::Found);
        let said = "2026-11-28 04:46:51 [ERROR] failed to fetch advisory database https://example.org/db with cli: failed to clone: [\"clone\"]\nfatal: unable to access\n";
        assert_eq!(
            verdict(false, said),
            Verdict::Unknown(
                "failed to fetch advisory database https://example.org/db with cli: failed to clone".to_owned()
            )
        );
    }
}
