//! The box by hand: moved, resized and drawn with pointer, touch and keys, grown and shrunk with the slider.
//!
//! While a hand moves it, the worker cuts as fast as it can, always the newest, so that the crop follows without a queue
//! (see [`cropvlm_web::state`]). The crop is always cut from the original.

use std::cell::Cell;
use std::rc::Rc;

use cropvlm_web::geometry::{Handle, between, moved, resized, scaled};
use cropvlm_web::state::{Event as Happens, How};
use grounding::NormBox;
use wasm_bindgen::JsCast;
use web_sys::{Element, Event, EventTarget, KeyboardEvent, PointerEvent};

use crate::app::{App, now};
use crate::input::on;

/// What a key moves the box by, percent; with Alt, a tenth of it.
const STEP: f32 = 1.0;
/// Steps of the slider that double the area.
const DOUBLES: f32 = 10.0;
/// A press that moves less than this is a click, pixels.
const STILL: f32 = 4.0;

/// A pointer that has the box.
#[derive(Clone, Copy)]
struct Hold {
    pointer: i32,
    /// Where it went down, percent.
    from: (f32, f32),
    start: Option<NormBox>,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Move,
    Resize(Handle),
    Draw,
}

/// Wires pointer, keys and slider.
pub fn wire(app: &Rc<App>) {
    let hold: Rc<Cell<Option<Hold>>> = Rc::default();
    let figure: &EventTarget = app.ui.figure.as_ref();
    let held = Rc::clone(&hold);
    on(figure, "pointerdown", app, move |app, event| {
        if let Some(event) = event.dyn_ref::<PointerEvent>() {
            down(app, event, &held);
        }
    });
    let held = Rc::clone(&hold);
    on(figure, "pointermove", app, move |app, event| {
        if let Some(event) = event.dyn_ref::<PointerEvent>() {
            follow(app, event, held.get(), false);
        }
    });
    for (name, finished) in [("pointerup", true), ("pointercancel", false)] {
        let held = Rc::clone(&hold);
        on(figure, name, app, move |app, event| {
            let Some(event) = event.dyn_ref::<PointerEvent>() else {
                return;
            };
            let Some(hold) = held.get().filter(|hold| hold.pointer == event.pointer_id()) else {
                return;
            };
            held.set(None);
            crate::zoom::drawn(app);
            if finished {
                follow(app, event, Some(hold), true);
            } else if let Some(start) = hold.start {
                app.edit(start, true, How::Dragged);
            } else {
                app.dispatch(Happens::EditCancelled);
            }
        });
    }
    on(&app.ui.tools.grip, "keydown", app, |app, event| {
        if let Some(key) = event.dyn_ref::<KeyboardEvent>() {
            keys(app, key, &event);
        }
    });
    on(&app.ui.tools.size, "input", app, |app, _| app.size(false));
    on(&app.ui.tools.size, "change", app, |app, _| app.size(true));
    on(&app.ui.tools.reset, "click", app, |app, _| {
        app.dispatch(Happens::Reset { now: now() });
    });
}

fn down(app: &Rc<App>, event: &PointerEvent, held: &Cell<Option<Hold>>) {
    if event.button() != 0 || held.get().is_some() || !app.may_edit() {
        return;
    }
    let target = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok());
    let within = |selector: &str| {
        target
            .as_ref()
            .and_then(|at| at.closest(selector).ok().flatten())
    };
    if within(".place").is_some() {
        return;
    }
    let start = app.current_box();
    let what = if let Some(handle) = within("[data-handle]") {
        let handle = handle.get_attribute("data-handle").unwrap_or_default();
        What::Resize(handle_of(&handle))
    } else if within("#grip").is_some() {
        What::Move
    } else if event.pointer_type() == "touch" && !crate::zoom::draws(app) {
        return; // a finger beside the box scrolls the page
    } else {
        What::Draw
    };
    let Some(from) = app.percent(event) else {
        return;
    };
    held.set(Some(Hold {
        pointer: event.pointer_id(),
        from,
        start,
        what,
    }));
    app.ui.figure.set_pointer_capture(event.pointer_id()).ok();
    // The grip keeps the focus, so that keys go on where the pointer stopped.
    if !matches!(what, What::Draw) {
        app.ui.tools.grip.focus().ok();
    }
    event.prevent_default();
}

fn follow(app: &Rc<App>, event: &PointerEvent, hold: Option<Hold>, finished: bool) {
    let Some(hold) = hold.filter(|hold| hold.pointer == event.pointer_id()) else {
        return;
    };
    let Some(at) = app.percent(event) else { return };
    let (across, down) = (at.0 - hold.from.0, at.1 - hold.from.1);
    let rect = app.ui.figure.get_bounding_client_rect();
    let far = (across / 100.0 * rect.width() as f32).hypot(down / 100.0 * rect.height() as f32);
    let moving = app
        .state
        .borrow()
        .draft
        .as_ref()
        .is_some_and(|it| !it.finished);
    if far < STILL && !moving {
        return;
    }
    let (bbox, how) = match (hold.what, hold.start) {
        (What::Move, Some(start)) => (moved(start, across, down), How::Dragged),
        (What::Resize(handle), Some(start)) => (resized(start, handle, across, down), How::Dragged),
        (What::Draw, _) => (between(hold.from, at), How::Drawn),
        _ => return,
    };
    app.edit(bbox, finished, how);
}

/// `-1,1` is the lower left handle.
fn handle_of(name: &str) -> Handle {
    let mut parts = name.split(',').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Arrows move, with Shift they resize; + and - grow and shrink; Escape goes back to the model's box.
fn keys(app: &Rc<App>, key: &KeyboardEvent, event: &Event) {
    if key.ctrl_key() || key.meta_key() || !app.may_edit() {
        return;
    }
    let Some(bbox) = app.current_box() else {
        return;
    };
    let step = if key.alt_key() { STEP / 10.0 } else { STEP };
    let (across, down) = match key.key().as_str() {
        "ArrowLeft" => (-step, 0.0),
        "ArrowRight" => (step, 0.0),
        "ArrowUp" => (0.0, -step),
        "ArrowDown" => (0.0, step),
        "+" | "=" => {
            event.prevent_default();
            return app.edit(scaled(bbox, 1.25), true, How::Stepped);
        }
        "-" => {
            event.prevent_default();
            return app.edit(scaled(bbox, 0.8), true, How::Stepped);
        }
        "Escape" => return app.dispatch(Happens::Reset { now: now() }),
        _ => return,
    };
    event.prevent_default();
    let bbox = if key.shift_key() {
        resized(bbox, (1, 1), across, down)
    } else {
        moved(bbox, across, down)
    };
    app.edit(bbox, true, How::Stepped);
}

impl App {
    /// The box as it is shown.
    pub fn current_box(&self) -> Option<NormBox> {
        self.state.borrow().current_box()
    }

    fn may_edit(&self) -> bool {
        self.state.borrow().may_edit()
    }

    /// Where a pointer is, percent of the picture.
    fn percent(&self, event: &PointerEvent) -> Option<(f32, f32)> {
        let rect = self.ui.figure.get_bounding_client_rect();
        let percent =
            |at: i32, low: f64, length: f64| ((f64::from(at) - low) / length * 100.0) as f32;
        (rect.width() > 0.0 && rect.height() > 0.0).then(|| {
            (
                percent(event.client_x(), rect.left(), rect.width()),
                percent(event.client_y(), rect.top(), rect.height()),
            )
        })
    }

    /// Changes the box. `finished`: the hand has let go.
    fn edit(self: &Rc<Self>, bbox: NormBox, finished: bool, how: How) {
        let now = now();
        self.dispatch(Happens::Edit {
            bbox,
            finished,
            how,
            now,
        });
    }

    /// The slider has moved.
    fn size(self: &Rc<Self>, finished: bool) {
        let (factor, now) = (self.factor(), now());
        self.dispatch(Happens::Size {
            factor,
            finished,
            now,
        });
    }

    /// What the slider stands for: how many times the area.
    pub fn factor(&self) -> f32 {
        2.0_f32.powf(self.ui.tools.size.value_as_number() as f32 / DOUBLES)
    }
}
