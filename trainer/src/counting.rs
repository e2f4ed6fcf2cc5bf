//! The line that says how many of so many are done: written over again on a terminal, some twenty lines elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use crate::train::duration;

/// Counts to a number that is known; may be shared by threads.
pub struct Counting {
    what: &'static str,
    total: usize,
    every: usize,
    start: Instant,
    terminal: bool,
}

impl Counting {
    /// Counts to `total`; `what` names the things, "pages".
    pub fn to(total: usize, what: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let lines = if terminal { 400 } else { 20 };
        Self {
            what,
            total,
            every: total.div_ceil(lines).max(1),
            start: Instant::now(),
            terminal,
        }
    }

    /// So many are done.
    pub fn done(&self, done: usize) {
        if !done.is_multiple_of(self.every) && done != self.total {
            return;
        }
        let Self { what, total, .. } = self;
        let speed = done as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        let left = duration(total.saturating_sub(done) as f64 / speed.max(1e-9));
        let line = format!("{done} of {total} {what}, {speed:.1} a second, {left} left");
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
        } else {
            eprintln!("{line}");
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // What comes next begins on a line of its own.
        if self.terminal {
            eprintln!();
        }
    }
}
