//! Modules that are built with atomics and shared memory, from both sides.
//!
//! [`pool`] (the feature of that name) is in such a module: its threads, started by `web/threads.js` or by the npm package's
//! `thread.js`; every such module exports its two functions. [`net`] (another feature) is in who calls the map policy's
//! network (`main.rs`): the page's worker and the npm package. [`maps`] travel between the two.

pub mod maps;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "pool")]
pub mod pool;
