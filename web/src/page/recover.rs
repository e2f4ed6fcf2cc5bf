//! Starting the worker, and starting it anew when it breaks: a panic, a lost device, no memory. When that is tried is the
//! state's to say.

use std::rc::Rc;

use cropvlm_web::protocol::{DeviceChoice, ToWorker};
use cropvlm_web::state::Event;
use cropvlm_web::text;
use wasm_bindgen_futures::spawn_local;

use crate::app::App;
use crate::link::Link;

impl App {
    /// Starts a worker and the model in it.
    pub fn connect(self: &Rc<Self>, device: DeviceChoice, after: Option<String>) {
        let app = Rc::clone(self);
        // A worker's messages arrive in tasks of their own, never while `self` is borrowed.
        match Link::start(move |arrived| app.arrived(arrived)) {
            Ok(mut link) => {
                link.post(
                    &ToWorker::Start {
                        model: self.model.borrow().clone(),
                        device,
                        // What broke may have been a thread: the worker after it does without.
                        threads: if after.is_some() {
                            Some(1)
                        } else {
                            self.threads
                        },
                        after,
                        tiles_per_edge: self.tiles_per_edge(),
                    },
                    &self.model_files.borrow(),
                );
                self.link.replace(Some(link));
            }
            Err(_) => self.dispatch(Event::NoWorker {
                why: text::NO_WORKER.to_owned(),
            }),
        }
    }

    /// The worker is of no more use.
    pub fn broken(self: &Rc<Self>, why: String) {
        web_sys::console::warn_1(&format!("the worker stopped: {why}").into());
        let started = self.link.borrow().as_ref().is_some_and(Link::has_started);
        self.dispatch(Event::Broken { why, started });
    }

    /// A new worker; with a reason, on the CPU.
    pub fn reconnect(self: &Rc<Self>, why: Option<String>) {
        self.unlink();
        self.lose_lesson();
        self.answer_lost();
        let device = if why.is_some() {
            DeviceChoice::Cpu
        } else {
            self.device
        };
        self.connect(device, why);
    }

    /// The files on the host are of another build: no worker of theirs runs under this page.
    pub fn other_build(self: &Rc<Self>) {
        self.dispatch(Event::NoWorker {
            why: text::OTHER_BUILD.to_owned(),
        });
        self.ui.root.dataset().delete("broken");
        if let Some(offer) = self.ui.document.get_element_by_id("update") {
            offer.remove_attribute("hidden").ok();
        }
    }

    /// Lets the worker go.
    pub fn unlink(&self) {
        // Dropped later: this may run inside a callback that the link owns.
        let link = self.link.replace(None);
        spawn_local(async move { drop(link) });
    }
}
