//! rayon's pool, whose threads are workers of the browser, or of Node.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex};

use rayon::ThreadBuilder;
use wasm_bindgen::prelude::*;

type Waiting = (Mutex<Sender<ThreadBuilder>>, Mutex<Receiver<ThreadBuilder>>);

/// rayon's threads on their way to the workers that will be them. There from the start: a worker may come to fetch its
/// thread before the pool has made it, and then waits here.
static WAITING: LazyLock<Waiting> = LazyLock::new(|| {
    let (send, receive) = channel();
    (Mutex::new(send), Mutex::new(receive))
});

/// Makes a pool of `threads`, this one among them. The others are in [`run_thread`] or on their way there.
///
/// # Errors
/// A second call.
#[wasm_bindgen]
pub fn start_pool(threads: usize) -> Result<(), JsError> {
    let broken = |_| JsError::new("a thread broke");
    let send = WAITING.0.lock().map_err(broken)?.clone();
    let hand_over = move |thread| {
        let gone = |_| std::io::ErrorKind::BrokenPipe.into();
        send.send(thread).map_err(gone)
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.use_current_thread()
        .spawn_handler(hand_over)
        .build_global()?;
    Ok(())
}

/// Becomes one of the pool's threads; does not return.
#[wasm_bindgen]
pub fn run_thread() {
    // The lock is held only while a thread is taken, not while it runs.
    let thread = WAITING.1.lock().ok().and_then(|list| list.recv().ok());
    if let Some(thread) = thread {
        thread.run();
    }
}
