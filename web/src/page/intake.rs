//! Paste, drop and the keys of input methods: what they mean is [`cropvlm_web::intake`]'s to say, here it is done.

use std::cell::Cell;
use std::rc::Rc;

use cropvlm_web::intake::{self, Intake, Key, Offer, Offered};
use cropvlm_web::text;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{
    AddEventListenerOptions, ClipboardEvent, DataTransfer, DragEvent, Event, EventTarget, File,
    HtmlInputElement, KeyboardEvent,
};

use crate::app::App;
use crate::input::{on, writes};

/// Wires the document.
pub fn wire(app: &Rc<App>) {
    let document: &EventTarget = app.ui.document.as_ref();
    guard_compositions(document);
    // A file may be dropped anywhere: missing the target must not make the browser leave the page.
    on(document, "dragover", app, |app, event| {
        if takes(&event) {
            event.prevent_default();
            app.ui.drop.class_list().add_1("over").ok();
        }
    });
    on(document, "dragleave", app, |app, event| {
        // Leaving the page, not one of its elements.
        if event
            .dyn_ref::<DragEvent>()
            .is_some_and(|drag| drag.related_target().is_none())
        {
            app.ui.drop.class_list().remove_1("over").ok();
        }
    });
    on(document, "drop", app, |app, event| {
        app.ui.drop.class_list().remove_1("over").ok();
        let data = event
            .dyn_ref::<DragEvent>()
            .and_then(DragEvent::data_transfer);
        let Some(data) = data.filter(|_| takes(&event)) else {
            return;
        };
        event.prevent_default();
        app.take_in(intake::drop(&offer(&data)), &data);
    });
    on(document, "paste", app, |app, event| {
        let data = event
            .dyn_ref::<ClipboardEvent>()
            .and_then(ClipboardEvent::clipboard_data);
        let Some(data) = data else { return };
        let pasted = intake::paste(&offer(&data), writes(&event));
        if pasted != Intake::Leave {
            event.prevent_default();
            app.take_in(pasted, &data);
        }
    });
}

/// Whether what is dragged is the page's to take.
fn takes(event: &Event) -> bool {
    let data = event
        .dyn_ref::<DragEvent>()
        .and_then(DragEvent::data_transfer);
    let kinds = data.map(|data| data.types()).unwrap_or_default();
    let kinds: Vec<String> = kinds.iter().filter_map(|kind| kind.as_string()).collect();
    intake::takes_drag(kinds.iter().map(String::as_str), writes(event))
}

/// What lies in a clipboard, or was dropped.
fn offer(data: &DataTransfer) -> Offer {
    let items = data.items();
    let folders: Vec<bool> = (0..items.length())
        .filter_map(|at| items.get(at))
        .filter(|item| item.kind() == "file")
        .map(|item| {
            let entry = item.webkit_get_as_entry().ok().flatten();
            entry.is_some_and(|entry| entry.is_directory())
        })
        .collect();
    let files = files(data)
        .into_iter()
        .enumerate()
        .map(|(at, file)| Offered {
            name: file.name(),
            media_type: file.type_(),
            folder: folders.get(at).copied().unwrap_or(false),
        });
    let words = |kind: &str| data.get_data(kind).unwrap_or_default();
    Offer {
        files: files.collect(),
        text: words("text/plain"),
        html: words("text/html"),
        addresses: words("text/uri-list"),
    }
}

fn files(data: &DataTransfer) -> Vec<File> {
    let files = data.files();
    let files = files
        .iter()
        .flat_map(|files| (0..files.length()).filter_map(|at| files.get(at)));
    files.collect()
}

impl App {
    fn take_in(self: &Rc<Self>, what: Intake, data: &DataTransfer) {
        match what {
            Intake::Leave => {}
            Intake::File { at, others } => {
                if let Some(file) = files(data).into_iter().nth(at) {
                    let left_out = (!others.is_empty()).then(|| text::left_out(&others));
                    self.readers.leave_out(left_out);
                    self.choose(file);
                }
            }
            Intake::Address(address) => self.choose_address(&address),
            Intake::Folder => self.complain(text::FOLDER),
            Intake::Nothing => self.complain(text::NO_FILE),
        }
    }
}

/// A key that an input method takes reaches no control of the page: the Enter that ends a word would submit.
fn guard_compositions(document: &EventTarget) {
    let open = Rc::new(Cell::new(false));
    for (name, opens) in [("compositionstart", true), ("compositionend", false)] {
        let open = Rc::clone(&open);
        listen_first(document, name, move |_| open.set(opens));
    }
    // A composition that is broken off with its field sends no end.
    listen_first(document, "focusin", {
        let open = Rc::clone(&open);
        move |_| open.set(false)
    });
    listen_first(document, "keydown", move |event| {
        let Some(key) = event.dyn_ref::<KeyboardEvent>() else {
            return;
        };
        let name = key.key();
        let pressed = Key {
            name: &name,
            code: key.key_code(),
            composing: key.is_composing(),
        };
        if !intake::composes(pressed, open.get()) {
            return;
        }
        event.stop_propagation();
        // In a one-line field, Enter would submit its form.
        let one_line = event
            .target()
            .is_some_and(|at| at.is_instance_of::<HtmlInputElement>());
        if name == "Enter" && one_line {
            event.prevent_default();
        }
    });
}

/// Calls `act` before any other listener of the page, as long as the page lives.
fn listen_first(target: &EventTarget, name: &str, act: impl Fn(Event) + 'static) {
    let options = AddEventListenerOptions::new();
    options.set_capture(true);
    let closure = Closure::<dyn FnMut(Event)>::new(act);
    target
        .add_event_listener_with_callback_and_add_event_listener_options(
            name,
            closure.as_ref().unchecked_ref(),
            &options,
        )
        .ok();
    closure.forget();
}
