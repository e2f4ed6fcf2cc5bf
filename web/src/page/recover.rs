//! Starting the worker, and starting it anew when it breaks: a panic, a lost device, no memory.

use std::rc::Rc;

use cropvlm_web::protocol::{DeviceChoice, Stage, ToWorker};
use cropvlm_web::text;
use wasm_bindgen_futures::spawn_local;

use crate::app::App;
use crate::link::Link;
use crate::state::Click;
use crate::view;

/// How often a broken worker is started anew before the page gives up until the next click.
const MAX_RESTARTS: u32 = 2;

impl App {
    /// Starts a worker and the model in it.
    pub fn connect(self: &Rc<Self>, device: DeviceChoice, after: Option<String>) {
        let app = Rc::clone(self);
        // A worker's messages arrive in tasks of their own, never while `self` is borrowed.
        match Link::start(move |arrived| app.arrived(arrived)) {
            Ok(mut link) => {
                link.post(
                    &ToWorker::Start {
                        model: self.model.clone(),
                        device,
                        // What broke may have been a thread: the worker after it does without.
                        threads: if after.is_some() {
                            Some(1)
                        } else {
                            self.threads
                        },
                        after,
                        fineness: self.fineness(),
                    },
                    None,
                );
                self.link.replace(Some(link));
            }
            Err(_) => self.no_worker(),
        }
    }

    /// The worker is of no more use: another one takes over, on the CPU, and tries once again.
    pub fn broken(self: &Rc<Self>, why: String) {
        web_sys::console::warn_1(&format!("the worker stopped: {why}").into());
        let started = self.link.borrow().as_ref().is_some_and(Link::has_started);
        let restarts = self.state.borrow().restarts;
        if !started || restarts >= MAX_RESTARTS {
            // Dropped later: this runs inside a callback that the link owns.
            let link = self.link.replace(None);
            spawn_local(async move { drop(link) });
            return if started {
                self.give_up()
            } else {
                self.no_worker()
            };
        }
        self.state.borrow_mut().restarts += 1;
        let click = self.state.borrow().click.clone();
        match click {
            Some(click) if click.retried => {
                self.reconnect(Some(why));
                self.fail(click.job, text::BROKEN);
            }
            Some(click) => {
                self.state.borrow_mut().click = Some(Click {
                    retried: true,
                    ..click
                });
                self.note(text::FELL_BACK);
                self.reconnect(Some(why));
                self.post_click();
            }
            None => self.reconnect(Some(why)),
        }
    }

    /// A new worker, which gets the pictures of the old one.
    pub fn reconnect(self: &Rc<Self>, why: Option<String>) {
        let old = self.link.replace(None);
        spawn_local(async move { drop(old) });
        self.state.borrow_mut().running = None;
        self.ask_lost();
        self.lose_lesson();
        self.state.borrow_mut().attending = None;
        let device = if why.is_some() {
            DeviceChoice::Cpu
        } else {
            self.device
        };
        self.connect(device, why);
        let state = self.state.borrow();
        let shown = state.shown.as_ref().map(|shown| &shown.picture);
        for picture in shown.into_iter().chain(&state.candidate) {
            self.post(
                &ToWorker::Picture {
                    picture: picture.number,
                },
                Some(&picture.file),
            );
        }
        drop(state);
        self.cut_again();
    }

    fn give_up(&self) {
        let click = self.state.borrow_mut().click.take();
        if click.is_some() || self.state.borrow().running.is_none() {
            self.set_state("error");
        }
        self.complain(text::BROKEN);
    }

    /// The files on the host are of another build: no worker of theirs runs under this page.
    pub fn other_build(&self) {
        // Dropped later: this runs inside a callback that the link owns.
        let link = self.link.replace(None);
        spawn_local(async move { drop(link) });
        self.state.borrow_mut().click = None;
        self.ask_lost();
        view::draw_stage(&self.ui, &Stage::Failed { why: String::new() });
        self.set_state("error");
        self.complain(text::OTHER_BUILD);
        if let Some(offer) = self.ui.document.get_element_by_id("update") {
            offer.remove_attribute("hidden").ok();
        }
    }

    fn no_worker(&self) {
        self.state.borrow_mut().click = None;
        view::draw_stage(&self.ui, &Stage::Failed { why: String::new() });
        self.set_state("error");
        self.ui.root.dataset().set("broken", "part").ok();
        self.complain(text::NO_WORKER);
    }
}
