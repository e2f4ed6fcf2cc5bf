//! The picture larger, under two fingers, the wheel or a button; "Draw a box"; and what has to be in view.
//!
//! What moves where is computed in [`cropvlm_web::zoom`]; here are the listeners and the styles. A picture at its own size
//! leaves fingers and wheel to the page.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use cropvlm_web::geometry::scroll_to_see;
use cropvlm_web::text;
use cropvlm_web::zoom::{PRESS, Room, Zoom, wheel};
use wasm_bindgen::JsCast;
use web_sys::{Element, EventTarget, PointerEvent, WheelEvent};

use crate::app::App;
use crate::input::on;

/// Room above and below the box where the page scrolls to it, pixels.
const AROUND: f64 = 72.0;

thread_local! {
    /// How the picture is shown now, and what there was room for when it was first shown larger. A page has one stage.
    static NOW: Cell<(Zoom, Option<Room>)> = Cell::default();
}

/// Fingers on the stage: who, and where.
type Fingers = Rc<RefCell<Vec<(i32, (f64, f64))>>>;

/// Wires fingers, wheel and buttons.
pub fn wire(app: &Rc<App>) {
    let tools = &app.ui.tools;
    on(&tools.nearer, "click", app, |app, _| press(app, PRESS));
    on(&tools.farther, "click", app, |app, _| {
        press(app, 1.0 / PRESS)
    });
    on(&tools.draw_box, "click", app, |app, _| {
        let draws = !draws(app);
        draw_mode(app, draws);
        app.tell(if draws { text::DRAW } else { "" });
    });
    let stage: &EventTarget = app.ui.drop.as_ref();
    // The wheel with Ctrl (so come the fingers of a touchpad, too) shows it larger; alone it moves what is larger.
    on(stage, "wheel", app, |app, event| {
        let Some(turn) = event.dyn_ref::<WheelEvent>() else {
            return;
        };
        let (zoom, room) = now(app);
        let next = if turn.ctrl_key() || turn.meta_key() {
            event.prevent_default();
            let at = from_middle(app, turn.client_x(), turn.client_y());
            zoom.by(wheel(turn.delta_y()), at, at, room)
        } else {
            zoom.moved(-turn.delta_x(), -turn.delta_y(), room)
        };
        if next != zoom {
            event.prevent_default();
            set(app, next, room);
        }
    });
    let fingers = Fingers::default();
    let down = Rc::clone(&fingers);
    on(stage, "pointerdown", app, move |app, event| {
        if let Some(event) = finger(&event) {
            let at = from_middle(app, event.client_x(), event.client_y());
            down.borrow_mut().push((event.pointer_id(), at));
        }
    });
    let moving = Rc::clone(&fingers);
    on(stage, "pointermove", app, move |app, event| {
        if let Some(event) = finger(&event) {
            follow(app, event, &moving);
        }
    });
    for name in ["pointerup", "pointercancel"] {
        let up = Rc::clone(&fingers);
        on(stage, name, app, move |_, event| {
            if let Some(event) = finger(&event) {
                up.borrow_mut()
                    .retain(|(who, _)| *who != event.pointer_id());
            }
        });
    }
    // Two fingers are the stage's: the page neither scrolls nor grows.
    on(stage, "touchmove", app, move |_, event| {
        if fingers.borrow().len() > 1 {
            event.prevent_default();
        }
    });
    if let Some(window) = web_sys::window() {
        on(&window, "resize", app, |app, _| reset(app));
    }
}

fn finger(event: &web_sys::Event) -> Option<&PointerEvent> {
    let event = event.dyn_ref::<PointerEvent>()?;
    (event.pointer_type() == "touch").then_some(event)
}

/// A finger has moved: of two, both together; of one, where the picture is larger and it holds no box.
fn follow(app: &App, event: &PointerEvent, fingers: &RefCell<Vec<(i32, (f64, f64))>>) {
    let at = from_middle(app, event.client_x(), event.client_y());
    let before = fingers.borrow().clone();
    for finger in fingers.borrow_mut().iter_mut() {
        if finger.0 == event.pointer_id() {
            finger.1 = at;
        }
    }
    let (zoom, room) = now(app);
    let pairs = (before.as_slice(), fingers.borrow());
    match (pairs.0, pairs.1.as_slice()) {
        ([a, b], [c, d]) => {
            let middle = |a: (f64, f64), b: (f64, f64)| ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
            let apart = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).hypot(a.1 - b.1).max(1.0);
            let factor = apart(c.1, d.1) / apart(a.1, b.1);
            set(
                app,
                zoom.by(factor, middle(a.1, b.1), middle(c.1, d.1), room),
                room,
            );
        }
        ([from], [to]) if zoom.is_near() && !draws(app) && !holds(event) => {
            let moved = zoom.moved(to.1.0 - from.1.0, to.1.1 - from.1.1, room);
            set(app, moved, room);
        }
        _ => {}
    }
}

/// Whether a finger is on the box.
fn holds(event: &PointerEvent) -> bool {
    let at = event.target().and_then(|at| at.dyn_into::<Element>().ok());
    // Whoever holds the box has captured the pointer for the figure.
    at.is_some_and(|at| {
        at.has_pointer_capture(event.pointer_id()) && at.id() == "figure"
            || at.closest("#grip").ok().flatten().is_some()
    })
}

fn press(app: &App, factor: f64) {
    let (zoom, room) = now(app);
    let mut next = zoom.by(factor, (0.0, 0.0), (0.0, 0.0), room);
    if let Some(bbox) = app.current_box().filter(|_| factor > 1.0) {
        next = next.showing(bbox, room);
    }
    set(app, next, room);
}

fn now(app: &App) -> (Zoom, Room) {
    let (zoom, room) = NOW.get();
    let drop = &app.ui.drop;
    let figure = &app.ui.figure;
    let size = (
        f64::from(figure.offset_width()),
        f64::from(figure.offset_height()),
    );
    let room = room.filter(|_| zoom.is_near()).unwrap_or(Room {
        stage: (
            f64::from(drop.client_width()),
            f64::from(drop.client_height()),
        ),
        picture: size,
    });
    (zoom, room)
}

fn set(app: &App, zoom: Zoom, room: Room) {
    NOW.set((zoom, Some(room)));
    let style = app.ui.figure.style();
    app.ui.tools.farther.set_disabled(!zoom.is_near());
    if !zoom.is_near() {
        app.ui.drop.remove_attribute("data-near").ok();
        for property in ["width", "height", "translate"] {
            style.remove_property(property).ok();
        }
        return;
    }
    app.ui.drop.set_attribute("data-near", "").ok();
    for (property, value) in [
        ("width", format!("{}px", room.picture.0 * zoom.scale)),
        ("height", format!("{}px", room.picture.1 * zoom.scale)),
        (
            "translate",
            format!("{}px {}px", zoom.shift.0, zoom.shift.1),
        ),
    ] {
        style.set_property(property, &value).ok();
    }
}

/// The whole picture again: another one is on the stage, or the window has another size.
pub fn reset(app: &App) {
    let (_, room) = now(app);
    set(app, Zoom::default(), room);
}

/// A point of the window, from the middle of the stage.
fn from_middle(app: &App, x: i32, y: i32) -> (f64, f64) {
    let rect = app.ui.drop.get_bounding_client_rect();
    (
        f64::from(x) - rect.left() - rect.width() / 2.0,
        f64::from(y) - rect.top() - rect.height() / 2.0,
    )
}

/// Whether the next finger draws a box.
pub fn draws(app: &App) -> bool {
    app.ui.figure.has_attribute("data-draw")
}

/// A box was drawn, or the one that was there was taken.
pub fn drawn(app: &Rc<App>) {
    if draws(app) {
        draw_mode(app, false);
        app.tell("");
    }
}

fn draw_mode(app: &App, draws: bool) {
    let pressed = if draws { "true" } else { "false" };
    let button = &app.ui.tools.draw_box;
    button.set_attribute("aria-pressed", pressed).ok();
    if draws {
        app.ui.figure.set_attribute("data-draw", "").ok();
    } else {
        app.ui.figure.remove_attribute("data-draw").ok();
    }
}

/// A box was found: on the stage, and in the window.
pub fn bring_in_view(app: &App) {
    let (zoom, room) = now(app);
    if let Some(bbox) = app.current_box() {
        let seen = zoom.showing(bbox, room);
        if seen != zoom {
            set(app, seen, room);
        }
    }
    let Some(window) = web_sys::window() else {
        return;
    };
    let height = window.inner_height().ok().and_then(|it| it.as_f64());
    let rect = app.ui.boxed.get_bounding_client_rect();
    let by = scroll_to_see(rect.top(), rect.bottom(), height.unwrap_or(0.0), AROUND);
    if by != 0.0 {
        window.scroll_by_with_x_and_y(0.0, by);
    }
}
