//! Waiting for several at once: answers that come from far away.

use anyhow::{Result, anyhow};

/// Does some work on every item, a thread each, on a single one without; what was found, in the items' order.
///
/// # Errors
/// The first error, in the items' order; a thread that ended badly.
pub fn at_once<I, O>(items: &[I], work: impl Fn(&I) -> Result<O> + Sync) -> Result<Vec<O>>
where
    I: Sync,
    O: Send,
{
    if let [one] = items {
        return Ok(vec![work(one)?]);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let threads = items.iter().map(|item| scope.spawn(move || work(item)));
        let threads: Vec<_> = threads.collect();
        let joined = threads.into_iter().map(|thread| {
            let ended = thread.join();
            ended.map_err(|_| anyhow!("a thread that waits for an answer ended badly"))?
        });
        joined.collect()
    })
}
