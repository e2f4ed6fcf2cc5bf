//! What the page and its worker share: the messages between them and every word a person reads.
//!
//! Two wasm modules make the page. The *page module* (`src/page/`) wires controls and holds no tensors, so
//! that it is small and there at once; the *worker module* (`worker/`) owns pictures and model, so that no
//! computation ever runs on the main thread. They speak through [`protocol`] and nothing else.
//!
//! For asking a provider: [`keys`] (each with its origin), [`settings`] (what is remembered of the rest), [`prompt`] (what
//! is sent), [`markdown`] (how answers read), [`compare`] ("Did the crop matter?"), [`answerer`] (who is asked), [`models`] (which network proposes).
//! What of the page is pure lies here too, so that it is tested without a browser: [`geometry`] (a box moved by hand),
//! [`zoom`] (a picture shown larger), [`intake`] (what a paste, a drop, a key means), [`places`] (what many sampled boxes have in common), [`inside`] (a second
//! look), [`lesson`] (GRPO, live), [`share`] (links), [`folder`] (which files a model has), [`exchange`] (what modules of the worker hand each other),
//! [`samples`] (the pictures to try), [`state`] (what the page knows and decides).
//!
//! ```
//! use cropvlm_web::models::{Choice, ModelFolder};
//! use cropvlm_web::protocol::{DeviceChoice, ToWorker};
//! let start = ToWorker::Start {
//!     model: ModelFolder::of(Choice::Default, "", false),
//!     device: DeviceChoice::Auto,
//!     threads: None,
//!     after: None,
//!     tiles_per_edge: 1,
//! };
//! assert!(matches!(start, ToWorker::Start { .. }));
//! assert_eq!(DeviceChoice::from_name("cpu"), Some(DeviceChoice::Cpu));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))] // a panic is how a test fails

pub mod answerer;
pub mod compare;
pub mod exchange;
pub mod folder;
pub mod geometry;
pub mod inside;
pub mod intake;
pub mod keys;
pub mod lesson;
pub mod markdown;
pub mod models;
pub mod places;
pub mod prompt;
pub mod protocol;
pub mod samples;
pub mod settings;
pub mod share;
pub mod state;
pub mod text;
pub mod zoom;
