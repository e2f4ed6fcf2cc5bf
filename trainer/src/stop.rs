//! Ctrl-C, a polite kill, a lost terminal: a flag that long work looks at between its steps, so that it saves and ends
//! by itself, with a status of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Result;

/// SIGINT's number, on Windows Ctrl-C's as well.
const INTERRUPT: i32 = 2;

/// The flag; its clones are the same one. It holds the signal that raised it, 0 before.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicI32>);

/// Work that ended early because it was asked to. What was done is kept.
#[derive(Debug)]
pub struct Interrupted {
    signal: i32,
    what: String,
}

impl Interrupted {
    /// The status to exit with, as shells count: 128 and the signal's number; 130 after Ctrl-C.
    pub fn status(&self) -> u8 {
        u8::try_from(128 + self.signal).unwrap_or(130)
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Interrupted {}

impl Stop {
    /// A flag that signals raise from here on.
    ///
    /// # Errors
    /// As [`Stop::on_ctrl_c`].
    pub fn listen() -> Result<Self> {
        let stop = Self::default();
        stop.on_ctrl_c()?;
        Ok(stop)
    }

    /// Ctrl-C, SIGTERM and a lost terminal raise this flag from here on, until here they end the program. Ctrl-C pressed
    /// a second time ends the program at once; what was written to disk is whole either way. A program that was told to
    /// outlive its terminal (`nohup`) does.
    ///
    /// # Errors
    /// A system that lets no signals be handled.
    pub fn on_ctrl_c(&self) -> Result<()> {
        signals::listen(self.clone())
    }

    /// Whether the work is to end.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// The error that an interrupted command ends with; `what` says what was done and how it goes on.
    pub fn interrupted(&self, what: impl Into<String>) -> anyhow::Error {
        let signal = match self.0.load(Ordering::SeqCst) {
            0 => INTERRUPT,
            signal => signal,
        };
        let what = what.into();
        Interrupted { signal, what }.into()
    }

    /// A signal came; `again`: not the first one, nor the echo of it.
    fn raise_by(&self, signal: i32, again: bool) {
        let first = self
            .0
            .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if first {
            eprintln!("\nstopping; Ctrl-C again ends at once");
        } else if again && signal == INTERRUPT {
            std::process::exit(128 + INTERRUPT);
        }
    }

    /// What Ctrl-C does.
    #[cfg(test)]
    pub fn raise(&self) {
        self.raise_by(INTERRUPT, false);
    }
}

#[cfg(unix)]
mod signals {
    use std::io::IsTerminal;
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use super::Stop;

    /// `timeout` sends its signal to the program and to the program's group: one of the two is an echo.
    const ECHO: Duration = Duration::from_millis(300);

    pub fn listen(stop: Stop) -> Result<()> {
        let mut watched = vec![SIGINT, SIGTERM];
        if !outlives_its_terminal() {
            watched.push(SIGHUP);
        }
        let about = "signals cannot be handled";
        let mut signals = Signals::new(watched).context(about)?;
        let wait = move || {
            let mut first: Option<Instant> = None;
            for signal in signals.forever() {
                let first = *first.get_or_insert_with(Instant::now);
                stop.raise_by(signal, first.elapsed() > ECHO);
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(wait)
            .context(about)?;
        Ok(())
    }

    /// Whether SIGHUP is ignored already, as `nohup` has it. Linux says so; elsewhere `nohup` shows by leaving no
    /// stream a terminal, and a program without one is left alone.
    fn outlives_its_terminal() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut ignored = status.lines().filter_map(|l| l.strip_prefix("SigIgn:"));
        match ignored
            .next()
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        {
            Some(mask) => mask & (1 << (SIGHUP - 1)) != 0,
            None => {
                !(std::io::stdin().is_terminal()
                    || std::io::stdout().is_terminal()
                    || std::io::stderr().is_terminal())
            }
        }
    }
}

#[cfg(not(unix))]
mod signals {
    use anyhow::Result;

    use super::{INTERRUPT, Stop};

    pub fn listen(stop: Stop) -> Result<()> {
        Ok(ctrlc::set_handler(move || stop.raise_by(INTERRUPT, true))?)
    }
}
