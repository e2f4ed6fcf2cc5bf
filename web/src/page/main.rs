//! The page module: finds the elements, starts the worker, and wires controls to [`app::App`].
//!
//! It holds no tensors and decodes nothing, so that no task on the main thread takes long. The order of
//! reading: [`ui`] (the elements), [`state`] (what is known), [`app`] (what happens),
//! [`recover`] (when the worker breaks), [`view`] (what is shown), [`input`] (where
//! pictures come from), [`link`] (the worker), [`desk`], [`provider`], [`ask`],
//! [`send`] and [`compare`] (asking a provider).

mod app;
mod ask;
mod compare;
mod desk;
mod input;
mod link;
mod provider;
mod recover;
mod send;
mod state;
mod ui;
mod view;

fn main() {
    if let Err(error) = app::App::start() {
        web_sys::console::error_1(&error);
    }
}
