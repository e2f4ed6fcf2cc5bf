//! Modules that are built with atomics and shared memory, from both sides.
//!
//! [`pool`] (the feature of that name) is in such a module: its threads, started by `web/threads.js` or by the npm package's
//! `thread.js`; every such module exports its two functions. [`encoder`] (another feature) is in who calls the map policy's
//! encoder (`main.rs`): the page's worker and the npm package.

#[cfg(feature = "encoder")]
pub mod encoder;
#[cfg(feature = "pool")]
pub mod pool;
