//! Where pictures come from: the picker, drop, paste. Each ends in [`App::choose`].

use std::rc::Rc;

use cropvlm_web::text;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{ClipboardEvent, DataTransfer, DragEvent, Event, EventTarget, File, KeyboardEvent};

use crate::app::App;

/// Wires all controls to the app. The closures live as long as the page.
pub fn wire(app: &Rc<App>) {
    let ui = &app.ui;
    on(&ui.image, "change", app, |app, _| {
        let file = app.ui.image.files().and_then(|files| files.get(0));
        if let Some(file) = file {
            app.choose(file);
        }
        // Choosing the same file again is a choice too.
        app.ui.image.set_value("");
    });
    on(&ui.form, "submit", app, |app, event| {
        event.prevent_default();
        app.propose();
    });
    // Enter proposes; Shift+Enter is a new line.
    on(&ui.question, "keydown", app, |app, event| {
        let Some(key) = event.dyn_ref::<KeyboardEvent>() else {
            return;
        };
        if key.key() == "Enter" && !key.shift_key() && !key.is_composing() {
            event.prevent_default();
            app.propose();
        }
    });
    on(&ui.evidence_toggle, "change", app, |app, _| {
        app.show_evidence()
    });
    on(&ui.ask, "click", app, |app, _| app.ask());
    on(&ui.stop, "click", app, |app, _| app.stop());
    on(&app.desk.compare, "click", app, |app, _| app.compare());
    for name in ["key", "base_url", "model"] {
        let field = match name {
            "key" => &ui.key,
            "base_url" => &ui.base_url,
            _ => &ui.model,
        };
        on(field, "keydown", app, |app, event| {
            if event
                .dyn_ref::<KeyboardEvent>()
                .is_some_and(|key| key.key() == "Enter")
            {
                app.ask();
            }
        });
    }

    // A file may be dropped anywhere: missing the target must not make the browser leave the page.
    let document: &EventTarget = ui.document.as_ref();
    on(document, "dragover", app, |app, event| {
        event.prevent_default();
        app.ui.drop.class_list().add_1("over").ok();
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
        event.prevent_default();
        app.ui.drop.class_list().remove_1("over").ok();
        let data = event
            .dyn_ref::<DragEvent>()
            .and_then(DragEvent::data_transfer);
        match data.as_ref().and_then(first_file) {
            Some(file) => app.choose(file),
            None => app.complain(text::NO_FILE),
        }
    });
    on(document, "paste", app, |app, event| {
        let data = event
            .dyn_ref::<ClipboardEvent>()
            .and_then(ClipboardEvent::clipboard_data);
        let Some(data) = data else { return };
        if let Some(file) = first_file(&data) {
            event.prevent_default();
            app.choose(file);
        }
        // Pasted text goes where the cursor is: nothing to do.
    });
    // A click on the empty stage opens the picker.
    on(&ui.empty, "click", app, |app, _| app.ui.image.click());
}

fn first_file(data: &DataTransfer) -> Option<File> {
    data.files().and_then(|files| files.get(0))
}

/// Calls `act` at every such event, as long as the page lives.
pub fn on(
    target: &EventTarget,
    name: &str,
    app: &Rc<App>,
    act: impl Fn(&Rc<App>, Event) + 'static,
) {
    let app = Rc::clone(app);
    let closure = Closure::<dyn FnMut(Event)>::new(move |event| act(&app, event));
    target
        .add_event_listener_with_callback(name, closure.as_ref().unchecked_ref())
        .ok();
    closure.forget();
}
