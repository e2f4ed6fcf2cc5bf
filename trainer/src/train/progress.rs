//! The line that says how far a run is and how long it will still take.

use std::io::IsTerminal;
use std::time::Instant;

/// A progress line: rewritten in place on a terminal, else one line every 50 steps.
pub struct Progress {
    start: Instant,
    first: u64,
    steps: u64,
    samples: usize,
    terminal: bool,
    every: u64,
    /// Seconds after which the run ends, whatever is left of its steps.
    within: f64,
}

impl Progress {
    /// A run that goes from step `first` to `steps`.
    pub fn new(first: u64, steps: u64) -> Self {
        Self {
            start: Instant::now(),
            first,
            steps,
            samples: 0,
            terminal: std::io::stderr().is_terminal(),
            every: 50,
            within: f64::INFINITY,
        }
    }

    /// The run ends after so many minutes at most.
    pub fn within(mut self, minutes: Option<f64>) -> Self {
        self.within = minutes.map_or(f64::INFINITY, |minutes| 60.0 * minutes);
        self
    }

    /// The share of the time that is over; 0 where there is no end to it.
    pub fn passed(&self) -> f64 {
        self.start.elapsed().as_secs_f64() / self.within
    }

    /// Steps between lines where there is no terminal.
    pub fn every(mut self, steps: u64) -> Self {
        self.every = steps.max(1);
        self
    }

    /// Samples a second since the start.
    pub fn rate(&self) -> f64 {
        self.samples as f64 / self.start.elapsed().as_secs_f64()
    }

    /// A step is done; `what` is what there is to say about it.
    pub fn step(&mut self, step: u64, samples: usize, what: impl FnOnce() -> String) {
        self.samples += samples;
        if !self.terminal && !step.is_multiple_of(self.every) {
            return;
        }
        let done = (step - self.first) as f64;
        let gone = self.start.elapsed().as_secs_f64();
        let left = gone / done * (self.steps - step) as f64;
        let left = left.min((self.within - gone).max(0.0));
        let line = format!(
            "step {step}/{} {} {:.1} samples/s, {} left",
            self.steps,
            what(),
            self.rate(),
            duration(left)
        );
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
        } else {
            eprintln!("{line}");
        }
    }

    /// What is printed next begins on a line of its own.
    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }

    /// Prints something between two steps, on a line of its own.
    pub fn say(&self, text: &str) {
        self.end();
        eprintln!("{text}");
    }
}

/// Seconds as a person says them.
pub fn duration(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min", s / 60),
        _ => format!("{:.1} h", s as f64 / 3600.0),
    }
}
