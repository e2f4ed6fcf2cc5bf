//! Everything that the program prints: a stream that cannot be written ends nothing.
//!
//! The standard `println!` and `eprintln!` panic when their stream fails: the terminal of an ssh session that dropped,
//! `| head -1` once it has its line, a full disk under `> log`. Here macros of the same names stand in for them in the
//! whole program. Progress and remarks (standard error) that nobody can read are dropped. Of results (standard output)
//! the first failure is kept: [`end`] reports it, unless the reader left of its own accord.

use std::fmt::Arguments;
use std::io::{ErrorKind, Result, Write};
use std::sync::OnceLock;

/// Why standard output could not be written, the first time.
static FAILED: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a result.
pub fn result(text: Arguments<'_>) {
    if let Err(error) = std::io::stdout().lock().write_fmt(text) {
        keep(error);
    }
}

/// Prints a remark or progress.
pub fn remark(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// Brings out what is still held back.
///
/// # Errors
/// A result that could not be printed, a reader that left aside.
pub fn end() -> std::result::Result<(), &'static std::io::Error> {
    if let Err(error) = flush() {
        keep(error);
    }
    match FAILED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn flush() -> Result<()> {
    std::io::stdout().lock().flush()
}

fn keep(error: std::io::Error) {
    let _ = FAILED.set(error);
}

macro_rules! println {
    () => { $crate::print::result(format_args!("\n")) };
    ($($text:tt)*) => { $crate::print::result(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::print::remark(format_args!($($text)*)) };
}

macro_rules! eprintln {
    () => { $crate::print::remark(format_args!("\n")) };
    ($($text:tt)*) => { $crate::print::remark(format_args!("{}\n", format_args!($($text)*))) };
}
