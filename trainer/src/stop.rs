//! Ctrl-C, or a polite kill: a flag that long work looks at between its steps, so that it saves and ends
//! by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

/// The flag; its clones are the same one.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that Ctrl-C raises from here on.
    ///
    /// # Errors
    /// As [`Stop::on_ctrl_c`].
    pub fn listen() -> Result<Self> {
        let stop = Self::default();
        stop.on_ctrl_c()?;
        Ok(stop)
    }

    /// Ctrl-C raises this flag from here on, until here it ends the program. Pressed a second time it ends the
    /// program at once; what was written to disk is whole either way.
    ///
    /// # Errors
    /// A program that has such a handler already.
    pub fn on_ctrl_c(&self) -> Result<()> {
        let stop = self.clone();
        ctrlc::set_handler(move || {
            if stop.0.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping; Ctrl-C again ends at once");
        })?;
        Ok(())
    }

    /// Whether the work is to end.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// What Ctrl-C does.
    #[cfg(test)]
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
