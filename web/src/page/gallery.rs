//! Lists that the page makes: samples, suggestions, other places, what was there before.

use std::rc::Rc;

use cropvlm_web::geometry::sideways;
use cropvlm_web::places::Place;
use cropvlm_web::samples::{SAMPLES, SUGGESTIONS, Sample};
use cropvlm_web::state::{Crop, Event as Happens, View};
use cropvlm_web::text;
use wasm_bindgen::JsCast;
use web_sys::{Element, Event, EventTarget, HtmlElement, HtmlImageElement};

use crate::app::{App, now};
use crate::input::on;
use crate::ui::show;

/// Over so many pixels the end of a list that scrolls sideways fades.
const FADE: f64 = 28.0;

/// Steps that are shown.
const SHOWN: usize = 12;

/// Fills the gallery and makes the lists listen. One listener a list: its items come and go.
pub fn wire(app: &Rc<App>) {
    for sample in SAMPLES {
        add_sample(app, sample);
    }
    let tools = &app.ui.tools;
    for list in [&tools.gallery, &tools.chips, &tools.past] {
        follow_focus(app, list);
    }
    heard(app, &app.ui.tools.gallery, |app, name| {
        if let Some(sample) = SAMPLES.iter().find(|sample| sample.name == name) {
            app.dispatch(Happens::Sample(sample));
        }
    });
    heard(app, &app.ui.tools.chips, |app, question| {
        app.dispatch(Happens::Suggested(question.to_owned()));
    });
    heard(app, &app.ui.tools.places, |app, at| {
        if let Ok(at) = at.parse() {
            app.dispatch(Happens::TakePlace { at, now: now() });
        }
    });
    heard(app, &app.ui.tools.past, |app, at| {
        if let Ok(at) = at.parse() {
            app.dispatch(Happens::GoTo(at));
        }
    });
}

/// Has whatever gets the focus in a list that scrolls sideways come into view, whole: browsers leave one that is seen in
/// part where it is.
fn follow_focus(app: &Rc<App>, list: &HtmlElement) {
    let target: &EventTarget = list.as_ref();
    let list = list.clone();
    on(target, "focusin", app, move |_, event: Event| {
        let at = event
            .target()
            .and_then(|target| target.dyn_into::<Element>().ok());
        let Some(at) = at.map(|at| at.get_bounding_client_rect()) else {
            return;
        };
        let room = list.get_bounding_client_rect();
        // The list fades towards its end.
        let by = sideways((at.left(), at.right()), (room.left(), room.right() - FADE));
        list.set_scroll_left(list.scroll_left() + by.round() as i32);
    });
}

/// Calls `act` with the `data-pick` of the button in `list` that was clicked.
fn heard(app: &Rc<App>, list: &HtmlElement, act: impl Fn(&Rc<App>, &str) + 'static) {
    let target: &EventTarget = list.as_ref();
    on(target, "click", app, move |app, event: Event| {
        let at = event
            .target()
            .and_then(|target| target.dyn_into::<Element>().ok());
        let button = at.and_then(|at| at.closest("[data-pick]").ok().flatten());
        if let Some(pick) = button.and_then(|button| button.get_attribute("data-pick")) {
            act(app, &pick);
        }
    });
}

fn add_sample(app: &App, sample: &Sample) -> Option<()> {
    let button = button(app, "sample", sample.name)?;
    button.set_title(&text::sample_title(sample));
    button
        .append_child(picture(app, &sample.thumb(), true)?.as_ref())
        .ok()?;
    button
        .append_child(words(app, "span", sample.title)?.as_ref())
        .ok()?;
    let item = words(app, "li", "")?;
    item.append_child(&button).ok()?;
    app.ui.tools.gallery.append_child(&item).ok()?;
    Some(())
}

/// What one may ask of the picture on the stage.
pub fn draw_chips(app: &App, view: &View) {
    let chips = &app.ui.tools.chips;
    let sample = view.source.as_deref().and_then(Sample::at);
    let questions = sample.map_or_else(|| SUGGESTIONS.to_vec(), Sample::asked);
    fill(app, chips, &questions.join("\n"), || {
        let chip = |question: &&str| {
            let chip = button(app, "chip", question)?;
            chip.set_text_content(Some(question));
            Some(chip)
        };
        questions.iter().filter_map(chip).collect()
    });
}

/// The other places, over the picture.
pub fn draw_places(app: &App, view: &View) {
    let places = &view.places;
    fill(app, &app.ui.tools.places, &format!("{places:?}"), || {
        let place = |(at, place): (usize, &Place)| {
            let button = button(app, "place", &at.to_string())?;
            let name = text::place(at, place);
            button.set_attribute("aria-label", &name).ok()?;
            button.set_title(&name);
            let number = words(app, "span", &(at + 1).to_string())?;
            button.append_child(&number).ok()?;
            crate::view::lay(&button, place.bbox);
            // The smaller over the larger: each can be picked.
            let above = 1 + ((1.0 - place.bbox.area()) * 100.0) as u32;
            button
                .style()
                .set_property("z-index", &above.to_string())
                .ok()?;
            Some(button)
        };
        places.iter().enumerate().filter_map(place).collect()
    });
}

/// What was there before, as crops with their questions.
pub fn draw_past(app: &App) {
    let state = app.state.borrow();
    let past = state.past(SHOWN);
    let now = state.history.at;
    show(&app.ui.tools.earlier, past.len() > 1);
    let signs: Vec<String> = past
        .iter()
        .map(|(at, _, crop)| format!("{at} {}", crop.key))
        .collect();
    let sign = format!("{now}\n{}", signs.join("\n"));
    fill(app, &app.ui.tools.past, &sign, || {
        let step = |(at, question, crop): &(usize, &str, &Crop)| {
            let button = button(app, "past-step", &at.to_string())?;
            button.set_title(question);
            let name = text::step_heard(at + 1, question, crop.bbox, crop.pixels);
            button.set_attribute("aria-label", &name).ok()?;
            if *at == now {
                button.set_attribute("aria-current", "true").ok()?;
            }
            let crop = picture(app, &app.address(crop.key), false)?;
            button.append_child(crop.as_ref()).ok()?;
            let question = words(app, "span", question)?;
            question.set_attribute("dir", "auto").ok()?;
            button.append_child(&question).ok()?;
            let item = words(app, "li", "")?;
            item.append_child(&button).ok()?;
            Some(item)
        };
        past.iter().filter_map(step).collect()
    });
}

/// Makes a list anew, unless it says the same already; whoever had the focus in it keeps it.
fn fill(app: &App, list: &HtmlElement, sign: &str, items: impl FnOnce() -> Vec<HtmlElement>) {
    if list.dataset().get("sign").as_deref() == Some(sign) {
        return;
    }
    list.dataset().set("sign", sign).ok();
    let focused = app.ui.document.active_element();
    let pick = focused
        .filter(|element| list.contains(Some(element)))
        .and_then(|element| element.get_attribute("data-pick"));
    list.set_text_content(None);
    for item in items() {
        list.append_child(&item).ok();
    }
    let Some(pick) = pick else { return };
    let buttons = list.query_selector_all("[data-pick]").ok();
    let buttons = buttons
        .into_iter()
        .flat_map(|all| (0..all.length()).filter_map(move |at| all.get(at)));
    for button in buttons.filter_map(|node| node.dyn_into::<HtmlElement>().ok()) {
        if button.get_attribute("data-pick").as_ref() == Some(&pick) {
            button.focus().ok();
        }
    }
}

fn button(app: &App, class: &str, pick: &str) -> Option<HtmlElement> {
    let button = words(app, "button", "")?;
    button.set_class_name(class);
    button.set_attribute("type", "button").ok()?;
    button.set_attribute("data-pick", pick).ok()?;
    Some(button)
}

fn words(app: &App, tag: &str, words: &str) -> Option<HtmlElement> {
    let element: HtmlElement = app.ui.document.create_element(tag).ok()?.dyn_into().ok()?;
    element.set_text_content(Some(words));
    Some(element)
}

/// A picture beside words that say what it is.
fn picture(app: &App, address: &str, lazy: bool) -> Option<HtmlImageElement> {
    let picture: HtmlImageElement = app
        .ui
        .document
        .create_element("img")
        .ok()?
        .dyn_into()
        .ok()?;
    if lazy {
        picture.set_attribute("loading", "lazy").ok()?;
        picture.set_attribute("width", "144").ok()?;
        picture.set_attribute("height", "144").ok()?;
    }
    picture.set_alt("");
    picture.set_draggable(false);
    picture.set_src(address);
    Some(picture)
}
