//! The line that says how many of so many are done: written over again on a terminal, else a line now and then, or
//! JSON where that is asked for.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::train::duration;

/// Counts to a number that is known; may be shared by threads.
pub struct Counting {
    what: &'static str,
    total: usize,
    /// Those that were done before the clock started.
    before: usize,
    start: Instant,
    /// When it spoke last.
    last: Mutex<Option<Instant>>,
    terminal: bool,
    json: bool,
}

impl Counting {
    /// Counts to `total`; `what` names the things, "pages".
    pub fn to(total: usize, what: &'static str) -> Self {
        Self {
            what,
            total,
            before: 0,
            start: Instant::now(),
            last: Mutex::new(None),
            terminal: std::io::stderr().is_terminal(),
            json: false,
        }
    }

    /// So many were done by an earlier run.
    pub fn from(mut self, before: usize) -> Self {
        if before > 0 {
            eprintln!("{before} of {} {} are done already", self.total, self.what);
        }
        self.before = before;
        self
    }

    /// Lines of JSON in place of words.
    pub fn json(mut self, json: bool) -> Self {
        self.json = json;
        self.terminal &= !json;
        self
    }

    /// So many are done.
    pub fn done(&self, done: usize) {
        self.done_and(done, "");
    }

    /// So many are done; `more` is what else there is to say (", 2 errors").
    pub fn done_and(&self, done: usize, more: &str) {
        let due = self.due();
        if !due && done != self.total {
            return;
        }
        let seconds = self.start.elapsed().as_secs_f64().max(1e-3);
        let rate = done.saturating_sub(self.before) as f64 / seconds;
        let left = self.total.saturating_sub(done) as f64 / rate.max(1e-9);
        let line = if self.json {
            serde_json::json!({
                "done": done, "total": self.total, "per_second": rate, "seconds_left": left,
            })
            .to_string()
        } else {
            let Self { what, total, .. } = self;
            let left = duration(left);
            format!("{done} of {total} {what}{more}, {rate:.1} a second, {left} left")
        };
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
        } else {
            eprintln!("{line}");
        }
    }

    /// Whether it is time to speak again: pauses in a log grow with the time that has passed, up to a minute.
    fn due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match (self.terminal, self.json) {
            (true, _) => Duration::from_millis(200),
            (false, true) => Duration::from_secs(5),
            (false, false) => {
                let passed = self.start.elapsed() / 20;
                passed.clamp(Duration::from_secs(2), Duration::from_secs(60))
            }
        };
        let due = last.is_none_or(|last| last.elapsed() >= pause);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let spoke = self.last.get_mut().is_ok_and(|last| last.is_some());
        // What comes next begins on a line of its own.
        if self.terminal && spoke {
            eprintln!();
        }
    }
}
