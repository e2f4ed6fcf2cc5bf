//! What the controls do: picker, camera and address (drop and paste: see `intake`) end in [`App::choose`] and [`App::choose_address`];
//! buttons and keys call what their names say.

use std::rc::Rc;

use cropvlm_web::intake::is_address;
use cropvlm_web::share::Shared;
use cropvlm_web::state::Event as Happens;
use cropvlm_web::text;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Element, Event, EventTarget, KeyboardEvent};

use crate::app::App;
use crate::ui::show;
use crate::view;

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
    // Enter proposes; Shift+Enter is a new line. One that ends a composition does not come here.
    on(&ui.question, "keydown", app, |app, event| {
        let Some(key) = event.dyn_ref::<KeyboardEvent>() else {
            return;
        };
        if key.key() == "Enter" && !key.shift_key() {
            event.prevent_default();
            app.propose();
        }
    });
    on(&ui.question, "input", app, |app, _| {
        app.dispatch(Happens::Question(app.ui.question.value()));
    });
    on(&ui.evidence_toggle, "change", app, |app, _| {
        app.show_attention();
        view::draw_views(app);
    });
    wire_tools(app);
    on(&ui.ask, "click", app, |app, _| app.ask());
    on(&ui.stop, "click", app, |app, _| app.stop());
    on(&app.ask_panel.compare, "click", app, |app, _| app.compare());
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

    // A click on the empty stage opens the picker.
    on(&ui.empty, "click", app, |app, _| app.ui.image.click());
}

impl App {
    /// "Propose crop".
    pub fn propose(self: &Rc<Self>) {
        self.hear_question();
        self.dispatch(Happens::Propose);
    }
}

/// The tools around picture and crop.
fn wire_tools(app: &Rc<App>) {
    let tools = &app.ui.tools;
    on(&tools.camera, "click", app, |app, _| {
        app.ui.tools.photo.click()
    });
    on(&tools.photo, "change", app, |app, _| {
        let file = app.ui.tools.photo.files().and_then(|files| files.get(0));
        if let Some(file) = file {
            app.choose(file);
        }
        app.ui.tools.photo.set_value("");
    });
    on(&tools.from_web, "click", app, |app, _| {
        let open = app.ui.tools.web_row.hidden();
        unfold(app, open);
        if open {
            app.ui.tools.address.focus().ok();
        }
    });
    on(&tools.web_row, "submit", app, |app, event| {
        event.prevent_default();
        let address = app.ui.tools.address.value();
        if is_address(address.trim()) {
            unfold(app, false);
            app.choose_address(&address);
        } else {
            app.complain(text::NO_ADDRESS);
        }
    });
    on(&tools.turn, "click", app, |app, _| {
        app.dispatch(Happens::Turn);
    });
    on(&tools.undo, "click", app, |app, _| {
        app.dispatch(Happens::Undo(-1))
    });
    on(&tools.redo, "click", app, |app, _| {
        app.dispatch(Happens::Undo(1))
    });
    on(&tools.copy, "click", app, |app, _| app.copy_crop());
    on(&tools.share, "click", app, |app, _| app.share());
    on(&tools.zoom, "click", app, |app, _| {
        app.dispatch(Happens::LookInside)
    });
    on(&app.ui.guess, "click", app, |app, _| {
        app.dispatch(Happens::Guess)
    });
    on(&tools.elsewhere, "click", app, |app, _| {
        app.dispatch(Happens::Seek)
    });
    let document: &EventTarget = app.ui.document.as_ref();
    on(document, "keydown", app, |app, event| {
        let Some(key) = event.dyn_ref::<KeyboardEvent>() else {
            return;
        };
        // Fields undo what was typed in them.
        if !(key.ctrl_key() || key.meta_key()) || key.alt_key() || writes(&event) {
            return;
        }
        let by = match (key.key().to_lowercase().as_str(), key.shift_key()) {
            ("z", false) => -1,
            ("z", true) | ("y", false) => 1,
            _ => return,
        };
        event.prevent_default();
        app.dispatch(Happens::Undo(by));
    });
    if let Some(window) = web_sys::window() {
        on(&window, "hashchange", app, |app, _| {
            let hash = web_sys::window().and_then(|window| window.location().hash().ok());
            let shared = Shared::from_hash(&hash.unwrap_or_default());
            if !shared.is_empty() {
                app.dispatch(Happens::Link(shared));
            }
        });
    }
}

/// Shows or hides the field for an address.
fn unfold(app: &App, open: bool) {
    show(&app.ui.tools.web_row, open);
    let open = if open { "true" } else { "false" };
    app.ui
        .tools
        .from_web
        .set_attribute("aria-expanded", open)
        .ok();
}

/// Whether an event happened in a field that takes text.
pub fn writes(event: &Event) -> bool {
    let at = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok());
    at.is_some_and(|at| {
        let text = "textarea, input:not([type=checkbox], [type=radio], [type=range], [type=file])";
        at.closest(text).is_ok_and(|field| field.is_some())
    })
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
