//! Pictures come and go: chosen, fetched, put on the stage, accepted or refused by the worker.

use std::rc::Rc;

use cropvlm_web::intake::embedded;
use cropvlm_web::protocol::ToWorker;
use cropvlm_web::samples::Sample;
use cropvlm_web::text;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, File, FilePropertyBag, HtmlImageElement, ReferrerPolicy, RequestCredentials, RequestInit,
    RequestMode, Response, Url,
};

use crate::app::App;
use crate::state::{Address, Picture, Shown, State, state_is};
use crate::ui::say;
use crate::view;

/// A picture from the web may have this many bytes.
const LARGEST: f64 = 64e6;

impl App {
    /// A picture of the person's own was chosen, dropped or pasted.
    pub fn choose(self: &Rc<Self>, file: File) {
        self.ui.forget_sample_question();
        self.take(file, None, None);
    }

    /// A picture to try was chosen: its question comes along, and its box follows at once.
    pub fn try_sample(self: &Rc<Self>, sample: &'static Sample) {
        self.ui.set_question(sample.questions[0].0, false);
        let app = Rc::clone(self);
        spawn_local(async move {
            if app.bring(&sample.file(), None).await {
                app.propose();
            }
        });
    }

    /// An address was typed, pasted, dropped or came with a link.
    pub fn choose_address(self: &Rc<Self>, address: &str) {
        let (app, address) = (Rc::clone(self), address.to_owned());
        self.ui.forget_sample_question();
        spawn_local(async move {
            app.bring(&address, None).await;
        });
    }

    /// Fetches a picture and takes it, unless another one was chosen meanwhile. `shown` is its address where it is on
    /// the stage already. Says what went wrong, and whether all went well.
    pub async fn bring(self: &Rc<Self>, address: &str, shown: Option<Rc<Address>>) -> bool {
        let visit = self.number();
        self.newest_choice.set(visit);
        say(&self.ui.message, None);
        if shown.is_none() {
            self.note(text::FETCHING);
        }
        let fetched = match self.absolute(address) {
            _ if holds_itself(address) => unpack(address),
            Some(url) => fetch(&url).await,
            None => Err(text::NO_ADDRESS.to_owned()),
        };
        if self.newest_choice.get() != visit {
            return false;
        }
        match fetched {
            Ok(file) => {
                // Too long for a link, and the person's own.
                let source = (!holds_itself(address)).then(|| address.to_owned());
                self.take(file, source, shown);
                true
            }
            Err(why) => {
                self.complain(&why);
                false
            }
        }
    }

    /// The number of the picture on the stage.
    pub fn stage_number(&self) -> Option<u32> {
        self.state.borrow().on_stage()
    }

    /// An address as the browser would take it here; only those of pages.
    fn absolute(&self, address: &str) -> Option<String> {
        let url = Url::new_with_base(address.trim(), &self.base).ok()?;
        let plain = matches!(url.protocol().as_str(), "http:" | "https:");
        // Names and passwords in an address are for nobody to see.
        (plain && url.username().is_empty() && url.password().is_empty()).then(|| url.href())
    }

    /// Takes a file as the next picture.
    fn take(self: &Rc<Self>, file: File, source: Option<String>, shown: Option<Rc<Address>>) {
        let on_stage = shown.is_some();
        let Some(address) = shown.or_else(|| Address::of(&file)) else {
            return;
        };
        let number = self.number();
        self.newest_choice.set(number);
        let url = address.0.clone();
        let picture = Picture {
            number,
            file,
            address,
            source,
            size: None,
        };
        say(&self.ui.message, None);
        if !on_stage {
            self.note(text::READING);
        }
        self.post(&ToWorker::Picture { picture: number }, Some(&picture.file));
        {
            let mut state = self.state.borrow_mut();
            state.candidate = Some(picture);
            state.unasked = on_stage;
            state.draft = None;
            state.base = None;
            state.places.clear();
            state.seeking = None;
        }
        if on_stage {
            return self.put_on_stage(number);
        }
        // The old box goes at once: it is not this picture's.
        view::draw(self);
        // Decoded aside, then put on the stage at once: neither an empty stage nor a jump is seen.
        let app = Rc::clone(self);
        spawn_local(async move {
            let Ok(probe) = HtmlImageElement::new() else {
                return;
            };
            probe.set_src(&url);
            if JsFuture::from(probe.decode()).await.is_ok() {
                app.put_on_stage(number);
            } else {
                app.cannot_show(number);
            }
        });
    }

    /// The browser cannot decode a picture: one that is too large for it, say.
    fn cannot_show(self: &Rc<Self>, number: u32) {
        self.state.borrow_mut().not_shown = Some(number);
        self.show_all_the_same(number);
    }

    /// A picture that the browser cannot decode and the worker can goes on the stage with its box and a note; where the
    /// worker cannot either, it says why. Whichever of the two comes last calls this to some effect.
    fn show_all_the_same(self: &Rc<Self>, number: u32) {
        let (meant, busy) = {
            let state = self.state.borrow();
            let candidate = state.candidate.as_ref();
            let accepted = candidate.is_some_and(|it| it.number == number && it.size.is_some());
            let meant = accepted && state.not_shown == Some(number);
            (meant, state.click.is_some())
        };
        if meant {
            if !busy {
                self.note(text::NOT_SHOWN);
            }
            self.put_on_stage(number);
        }
    }

    /// Moves the candidate to the stage, if it still is the candidate.
    pub fn put_on_stage(self: &Rc<Self>, number: u32) {
        let accepted = {
            let mut state = self.state.borrow_mut();
            if state
                .candidate
                .as_ref()
                .is_none_or(|picture| picture.number != number)
            {
                return;
            }
            let Some(picture) = state.candidate.take() else {
                return;
            };
            let accepted = picture.size.is_some();
            let old = state.shown.replace(Shown {
                picture,
                proposal: None,
            });
            // What is kept for the case that the worker refuses is the last picture it has accepted.
            if let Some(old) = old.filter(|old| old.picture.size.is_some()) {
                state.before = Some(old);
            }
            if accepted {
                state.before = None;
            }
            accepted
        };
        view::draw(self);
        if accepted {
            self.settled();
        }
    }

    /// The worker has decoded a picture.
    pub fn accepted(self: &Rc<Self>, number: u32, width: u32, height: u32) {
        let settled = {
            let mut state = self.state.borrow_mut();
            let State {
                shown, candidate, ..
            } = &mut *state;
            let on_stage = shown.as_mut().map(|shown| &mut shown.picture);
            for picture in [on_stage, candidate.as_mut()].into_iter().flatten() {
                if picture.number == number {
                    picture.size = Some((width, height));
                }
            }
            let settled = state_is(&state.shown, number);
            if settled {
                state.before = None;
            }
            settled
        };
        if self.state.borrow().click.is_none() {
            self.note("");
        }
        view::draw(self);
        if settled {
            self.settled();
        } else {
            self.show_all_the_same(number);
        }
    }

    /// A picture is on the stage and known to the worker.
    fn settled(self: &Rc<Self>) {
        let known = {
            let state = self.state.borrow();
            let number = state.on_stage();
            state
                .history
                .steps
                .iter()
                .any(|step| Some(step.shown.picture.number) == number)
        };
        if !known {
            self.remember(false);
        }
        let wanted = self.state.borrow_mut().wanted.take();
        if let Some(bbox) = wanted {
            self.state.borrow_mut().unasked = false;
            self.edit(bbox, true);
        }
        self.show_canvas();
        view::draw(self);
        self.propose_unasked();
    }

    /// The worker could not decode a picture: what was there before comes back.
    pub fn refused(self: &Rc<Self>, number: u32, why: &str) {
        {
            let mut state = self.state.borrow_mut();
            state.wanted = None;
            if state
                .candidate
                .as_ref()
                .is_some_and(|picture| picture.number == number)
            {
                state.candidate = None;
            } else if state_is(&state.shown, number) {
                state.shown = state.before.take();
            } else {
                return;
            }
            // A sample that comes back brings its question back.
            let source = state
                .shown
                .as_ref()
                .and_then(|shown| shown.picture.source.clone());
            let sample = source.as_deref().and_then(Sample::at);
            if let Some(sample) =
                sample.filter(|_| self.ui.question().is_empty() && !self.ui.typed.get())
            {
                self.ui.set_question(sample.questions[0].0, false);
            }
        }
        view::draw(self);
        let click = self.state.borrow().click.clone();
        match click {
            Some(click) if click.picture == number => self.fail(click.job, why),
            _ => self.complain(why),
        }
    }
}

/// Whether an address holds its picture itself: `data:`.
fn holds_itself(address: &str) -> bool {
    let scheme = address.trim().get(.."data:".len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// The picture that a `data:` address holds. The page's policy lets none be fetched.
fn unpack(address: &str) -> Result<File, String> {
    let (media_type, bytes) = embedded(address).ok_or(text::BROKEN_DATA)?;
    let options = FilePropertyBag::new();
    options.set_type(&media_type);
    let parts = Array::of1(&Uint8Array::from(bytes.as_slice()));
    File::new_with_u8_array_sequence_and_options(&parts, "picture", &options)
        .map_err(|_| text::BROKEN.to_owned())
}

/// A picture from the web, without anything of this page or its browser going along.
async fn fetch(url: &str) -> Result<File, String> {
    let options = RequestInit::new();
    options.set_mode(RequestMode::Cors);
    options.set_credentials(RequestCredentials::Omit);
    options.set_referrer_policy(ReferrerPolicy::NoReferrer);
    let window = web_sys::window().ok_or(text::BROKEN)?;
    let response: Response = JsFuture::from(window.fetch_with_str_and_init(url, &options))
        .await
        .and_then(JsCast::dyn_into)
        .map_err(|_| text::picture_not_fetched(url))?;
    if !response.ok() {
        return Err(text::picture_refused(url, response.status()));
    }
    let blob: Blob = match response.blob() {
        Ok(blob) => JsFuture::from(blob).await.and_then(JsCast::dyn_into),
        Err(error) => Err(error),
    }
    .map_err(|_| text::picture_not_fetched(url))?;
    if blob.size() > LARGEST {
        return Err(text::PICTURE_TOO_LARGE.to_owned());
    }
    let name = url
        .split(['?', '#'])
        .next()
        .and_then(|path| path.rsplit('/').next());
    let options = FilePropertyBag::new();
    options.set_type(&blob.type_());
    File::new_with_blob_sequence_and_options(
        &Array::of1(&JsValue::from(blob)),
        name.unwrap_or("picture"),
        &options,
    )
    .map_err(|_| text::BROKEN.to_owned())
}
