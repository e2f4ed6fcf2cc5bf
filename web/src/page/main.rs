//! The page module: finds the elements, starts the worker, and wires controls to [`app::App`].
//!
//! It holds no tensors and decodes nothing, so that no task on the main thread takes long. The order of
//! reading: [`cropvlm_web::state`] (what is known and decided), [`ui`] and [`tools`] (the elements), [`table`] (files and crops), [`app`]
//! (the whole), [`input`] (controls), [`intake`] (paste, drop, input methods), [`readers`] (pictures that need more than the worker),
//! [`pictures`] (where pictures come from), [`edit`] (the box by hand), [`zoom`] (the picture larger),
//! [`sharing`] (crops and links leave), [`view`], [`tiles`] and [`gallery`] (what is shown),
//! [`lesson_panel`], [`learn`] and [`lesson`] (GRPO, live), [`link`] (the worker), [`recover`] (when it breaks), [`ask_panel`], [`provider`], [`ask`], [`send`], [`answer`], [`markdown`], [`compare`] and [`request`]
//! (asking a provider).

mod answer;
mod app;
mod ask;
mod ask_panel;
mod compare;
mod edit;
mod gallery;
mod input;
mod intake;
mod learn;
mod lesson;
mod lesson_panel;
mod link;
mod local;
mod markdown;
mod models;
mod pictures;
mod provider;
mod readers;
mod recover;
mod request;
mod send;
mod sharing;
mod table;
mod tiles;
mod tools;
mod ui;
mod view;
mod zoom;

fn main() {
    if let Err(error) = app::App::start() {
        web_sys::console::error_1(&error);
    }
}
