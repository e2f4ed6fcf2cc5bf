//! Clicks become proposals, proposals become boxes and crops.
//!
//! Every click on "Propose crop" goes through `working` and ends in `done` or `error`.

use std::rc::Rc;

use cropvlm_web::geometry::tidy;
use cropvlm_web::places::Place;
use cropvlm_web::protocol::{MAX_QUESTION, Proposed, ToWorker};
use cropvlm_web::text;
use grounding::NormBox;
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

use crate::app::{App, pause};
use crate::state::{Address, Click, Proposal};
use crate::ui::say;
use crate::view;

impl App {
    /// A click on "Propose crop".
    pub fn propose(self: &Rc<Self>) {
        self.propose_inside(None);
    }

    /// A click on "Look again inside": the box becomes the picture.
    pub fn zoom(self: &Rc<Self>) {
        let bbox = self.current_box();
        if bbox.is_some() {
            self.propose_inside(bbox);
        }
    }

    fn propose_inside(self: &Rc<Self>, inside: Option<NormBox>) {
        self.set_state("working");
        say(&self.ui.message, None);
        let job = self.number();
        let question = self.ui.question();
        let picture = self.current();
        let length = question.chars().count();
        let wrong = if picture.is_none() {
            Some(text::NEED_PICTURE.to_owned())
        } else if question.is_empty() {
            Some(text::NEED_QUESTION.to_owned())
        } else if length > MAX_QUESTION {
            Some(text::question_too_long(length))
        } else {
            None
        };
        {
            let mut state = self.state.borrow_mut();
            state.unasked = false;
            state.click = Some(Click {
                job,
                picture: picture.unwrap_or_default(),
                question,
                inside,
                retried: false,
                unasked: false,
            });
        }
        if let Some(why) = wrong {
            // In a later task, so that `working` is seen before `error`.
            let app = Rc::clone(self);
            spawn_local(async move {
                pause(0).await;
                app.fail(job, &why);
            });
            return;
        }
        self.state.borrow_mut().restarts = 0;
        let ready = self.state.borrow().running.is_some();
        self.note(if ready { text::WORKING } else { text::WAITING });
        view::draw_history(self);
        if self.link.borrow().is_none() {
            self.reconnect(None);
        }
        self.post_click();
    }

    /// Shows the box of the sample that the page opened with, once picture and model are there, unless the person has
    /// begun something else. It is nobody's click: `data-state` stays as it is.
    pub fn propose_unasked(self: &Rc<Self>) {
        let question = self.ui.question();
        {
            let mut state = self.state.borrow_mut();
            let picture = state
                .shown
                .as_ref()
                .filter(|shown| shown.picture.size.is_some());
            let picture = picture.map(|shown| shown.picture.number);
            let (Some(picture), true, None) = (picture, state.unasked, &state.click) else {
                return;
            };
            if state.running.is_none() || state.candidate.is_some() || question.is_empty() {
                return;
            }
            state.unasked = false;
            state.click = Some(Click {
                job: self.number(),
                picture,
                question,
                inside: None,
                retried: false,
                unasked: true,
            });
        }
        self.post_click();
    }

    /// The picture that a click means: the newest.
    pub fn current(&self) -> Option<u32> {
        let state = self.state.borrow();
        let candidate = state.candidate.as_ref().map(|picture| picture.number);
        candidate.or(state.on_stage())
    }

    /// Sends the click to the worker.
    pub fn post_click(&self) {
        let click = self.state.borrow().click.clone();
        if let Some(Click {
            job,
            picture,
            question,
            inside,
            ..
        }) = click
        {
            let message = ToWorker::Propose {
                job,
                picture,
                question,
                inside,
            };
            self.post(&message, None);
        }
    }

    /// Ends a click in `error`.
    pub fn fail(&self, job: u32, why: &str) {
        let unasked = {
            let mut state = self.state.borrow_mut();
            match state.click.take_if(|click| click.job == job) {
                Some(click) => click.unasked,
                None => return,
            }
        };
        view::draw_history(self);
        if !unasked {
            self.set_state("error");
            self.complain(why);
        }
    }

    /// The worker has a box and its crop.
    pub fn proposed(self: &Rc<Self>, proposed: Proposed, crop: Option<Blob>) {
        let job = proposed.job;
        let Some(click) = self
            .state
            .borrow()
            .click
            .clone()
            .filter(|click| click.job == job)
        else {
            return; // a newer click is being worked on
        };
        // The browser may still be busy with a large picture that the worker has already read.
        self.put_on_stage(proposed.picture);
        let address = crop.as_ref().and_then(Address::of);
        let (Some(crop), Some(address)) = (crop, address) else {
            return self.fail(job, text::BROKEN);
        };
        {
            let mut state = self.state.borrow_mut();
            let shown = state.shown.as_mut();
            let Some(shown) = shown.filter(|shown| shown.picture.number == proposed.picture) else {
                drop(state);
                return self.fail(job, text::SUPERSEDED);
            };
            shown.proposal = Some(Proposal {
                bbox: proposed.bbox,
                pixels: proposed.pixels,
                proposed: Some(Rc::new(proposed)),
                crop,
                address,
            });
            state.click = None;
            state.draft = None;
            state.base = None;
            state.places.clear();
            state.seeking = None;
        }
        self.note("");
        self.tell("");
        self.remember(false);
        self.show_attention();
        view::draw(self);
        if !click.unasked {
            crate::zoom::bring_in_view(self);
            self.set_state("done");
        }
    }

    /// A click on "Other places": shows or hides them.
    pub fn seek(self: &Rc<Self>) {
        {
            let mut state = self.state.borrow_mut();
            let shown = !state.places.is_empty() || state.seeking.is_some();
            if shown {
                state.places.clear();
                state.seeking = None;
            }
            drop(state);
            if shown {
                return view::draw(self);
            }
        }
        let question = self.ui.question();
        if question.is_empty() {
            return self.complain(text::NEED_QUESTION);
        }
        let Some(picture) = self.current() else {
            return;
        };
        let job = self.number();
        self.state.borrow_mut().seeking = Some(job);
        self.tell(text::SEEKING);
        view::draw(self);
        self.post(
            &ToWorker::Places {
                job,
                picture,
                question,
            },
            None,
        );
    }

    /// The worker has found places.
    pub fn found(self: &Rc<Self>, job: u32, places: Result<Vec<Place>, String>) {
        if self
            .state
            .borrow_mut()
            .seeking
            .take_if(|wanted| *wanted == job)
            .is_none()
        {
            return;
        }
        match places {
            Ok(places) => {
                self.tell(&text::places(&places));
                self.state.borrow_mut().places = places;
            }
            Err(why) => self.tell(&why),
        }
        view::draw(self);
    }

    /// A click on a place: its box becomes the box.
    pub fn take_place(self: &Rc<Self>, at: usize) {
        let place = self.state.borrow().places.get(at).copied();
        if let Some(place) = place {
            self.edit(tidy(place.bbox), true);
        }
    }
}
