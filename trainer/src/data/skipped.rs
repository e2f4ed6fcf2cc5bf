//! Samples that a run cannot use: named once each, counted, and too many of them end it.
//!
//! What is drawn in their place follows from the same random numbers, so that a run with a broken picture repeats itself
//! as any other does.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use anyhow::{Error, Result, bail};

/// Share of the samples that may be bad where nothing else is said.
pub const MAX_BAD: f64 = 0.01;

/// What has been skipped so far; threads share it.
pub struct Skipped {
    /// Samples there are, good and bad.
    of: usize,
    max_bad: f64,
    names: Mutex<BTreeSet<String>>,
}

impl Skipped {
    /// Nothing yet, of so many samples; more than `max_bad` of them (a share) end the run.
    pub fn new(of: usize, max_bad: f64) -> Self {
        Self {
            of,
            max_bad,
            names: Mutex::default(),
        }
    }

    /// Skips a sample, under a name that no other has; a known one is not named again.
    ///
    /// # Errors
    /// Too many, with their names.
    pub fn skip(&self, name: &str, why: &Error) -> Result<()> {
        let mut names = self.names();
        if !names.insert(name.to_owned()) {
            return Ok(());
        }
        let (n, of, max_bad) = (names.len(), self.of, self.max_bad);
        eprintln!("skipped: {why:#} (bad sample {n} of {of})");
        if n as f64 > max_bad * of as f64 || n >= of {
            let some: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
            bail!(
                "{n} of {of} samples cannot be used, which is more than max_bad = {max_bad} of them: {}{}; mend or \
                 remove them (`cropvlm data --check` names all), or raise max_bad",
                some.join(", "),
                if n > some.len() { " and others" } else { "" }
            );
        }
        Ok(())
    }

    /// What to say at a run's end, if anything was skipped.
    pub fn sentence(&self) -> Option<String> {
        let names = self.names();
        let some: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
        (!names.is_empty()).then(|| {
            format!(
                "{} of {} samples were skipped: {}{}",
                names.len(),
                self.of,
                some.join(", "),
                if names.len() > some.len() {
                    " and others"
                } else {
                    ""
                }
            )
        })
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a share that is none.
///
/// # Errors
/// A number below 0 or above 1, or none.
pub fn check_max_bad(max_bad: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&max_bad) {
        bail!("max_bad is {max_bad}, but a share of the samples is needed, 0 to 1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_more_than_the_share_ends_a_run() {
        let skipped = Skipped::new(200, 0.01);
        let skip = |name: &str| skipped.skip(name, &anyhow!("{name}: broken"));
        assert!(skip("a.png").is_ok() && skip("b.png").is_ok());
        // Met again, it counts once.
        assert!(skip("a.png").is_ok());
        let said = skipped.sentence().expect("two were skipped");
        assert!(
            said.contains("2 of 200") && said.contains("a.png, b.png"),
            "{said}"
        );
        let said = skip("c.png").expect_err("three of 200").to_string();
        assert!(
            said.contains("3 of 200") && said.contains("a.png, b.png, c.png"),
            "{said}"
        );
        // Something has to be left.
        let all = Skipped::new(1, 1.0);
        assert!(all.skip("a.png", &anyhow!("broken")).is_err());
    }
}
