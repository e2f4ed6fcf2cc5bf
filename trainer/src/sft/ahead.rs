//! Batches made ahead of need, by several threads, handed out in order.
//!
//! A graphics card takes a step faster than one core draws its pages. What is in a batch follows from its number alone, so
//! which thread makes it changes nothing.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use anyhow::{Context, Result};

/// Batches that a thread has ready at most: while one is taken, the next one waits.
const READY: usize = 2;

/// Threads for a machine of so many cores: most of a large one's, one of a small one's, whose cores compute.
fn threads() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores * 3 / 4).max(1) as u64
}

/// Batches in order, from threads that each make every n-th.
pub struct Ahead<B> {
    threads: Vec<Receiver<Result<B>>>,
    next: u64,
}

impl<B: Send> Ahead<B> {
    /// Starts the threads: `make` makes the batch of a number. They end when this is dropped.
    pub fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        numbers: std::ops::Range<u64>,
        make: impl Fn(u64) -> Result<B> + Clone + Send + 'scope,
    ) -> Self
    where
        B: 'scope,
    {
        Self::with(scope, threads(), numbers, make)
    }

    fn with<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        threads: u64,
        numbers: std::ops::Range<u64>,
        make: impl Fn(u64) -> Result<B> + Clone + Send + 'scope,
    ) -> Self
    where
        B: 'scope,
    {
        let start = |thread: u64| {
            let (sender, receiver): (SyncSender<Result<B>>, _) = sync_channel(READY);
            let make = make.clone();
            let numbers = numbers.clone();
            scope.spawn(move || {
                let mut own = numbers.filter(|n| n % threads == thread);
                while own.next().is_some_and(|n| sender.send(make(n)).is_ok()) {}
            });
            receiver
        };
        Self {
            next: numbers.start,
            threads: (0..threads).map(start).collect(),
        }
    }

    /// The next batch.
    ///
    /// # Errors
    /// What making it met; no batch left.
    pub fn take(&mut self) -> Result<B> {
        let thread = self.next % self.threads.len() as u64;
        self.next += 1;
        let batch = self.threads[thread as usize].recv();
        batch.context("the data thread ended")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_in_order_whichever_thread_is_fast() {
        std::thread::scope(|scope| {
            let slow_third = |n: u64| {
                if n.is_multiple_of(3) {
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
                Ok(n)
            };
            let mut ahead = Ahead::with(scope, 3, 7..20, slow_third);
            let taken: Vec<u64> = (7..20).map(|_| ahead.take().unwrap()).collect();
            assert_eq!(taken, (7..20).collect::<Vec<_>>());
            assert!(ahead.take().is_err());
        });
    }

    #[test]
    fn a_failure_is_met_at_its_batch_and_threads_end_when_dropped() {
        std::thread::scope(|scope| {
            let fails = |n: u64| match n {
                3 => anyhow::bail!("page 3"),
                n => Ok(n),
            };
            let mut ahead = Ahead::with(scope, 2, 0..1_000_000, fails);
            let taken: Vec<Result<u64>> = (0..4).map(|_| ahead.take()).collect();
            assert!(taken[..3].iter().all(Result::is_ok));
            assert!(taken[3].is_err());
            drop(ahead);
        });
    }
}
