//! The settings of "Ask": provider, address, model, key; the test of the connection; what a question will cost.
//!
//! A key belongs to the origin it was typed for ([`cropvlm_web::keys`]). It is bound when the address is left, and
//! checked again before anything is sent, so that no order of typing takes it elsewhere.

use std::rc::Rc;

use cropvlm_web::answerer::Answerer;
use cropvlm_web::compare::{Forecast, Sizes, forecast};
use cropvlm_web::keys::{KeyRing, origin};
use cropvlm_web::prompt::TEMPLATE;
use cropvlm_web::protocol::{ENLARGED_EDGE, MAX_SENT_EDGE};
use cropvlm_web::settings::{Settings, Typed};
use cropvlm_web::state::{Event, enlarged};
use cropvlm_web::text::{self, asking};
use vlm_api::help::{no_reply, on_this_computer, setup};
use vlm_api::{ApiError, Endpoint, Key, Price, Provider};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, EventTarget, HtmlElement, Storage};

use crate::app::App;
use crate::input::on;
use crate::send;
use crate::ui::{say, show};

/// Where the keys lie in session storage, if anywhere.
const STORED: &str = "cropvlm.keys";
/// Where the settings lie in local storage.
const SETTINGS: &str = "cropvlm.settings";
/// Who is chosen when the page is opened for the first time.
const FIRST: Answerer = Answerer::Provider(Provider::OpenAi);
/// Choices for the longest edge of the full image, pixels.
const EDGES: [u32; 5] = [MAX_SENT_EDGE, 1_024, 768, 512, 256];

/// Fills and wires the settings.
pub fn wire(app: &Rc<App>) {
    let panel = &app.ask_panel;
    for answerer in Answerer::all() {
        app.option(&panel.provider, answerer.id(), answerer.name());
    }
    for edge in EDGES {
        app.option(&panel.edge, &edge.to_string(), &asking::edge(edge));
    }
    if let Some(kept) = local().and_then(|storage| storage.get_item(SETTINGS).ok().flatten()) {
        *panel.settings.borrow_mut() = Settings::from_json(&kept);
    }
    {
        let settings = panel.settings.borrow();
        if EDGES.contains(&settings.edge) {
            panel.edge.set_value(&settings.edge.to_string());
        }
        panel.enlarge.set_checked(settings.enlarge);
        panel.crop_only.set_checked(settings.crop_only);
        panel.prompt.set_value(or_usual(&settings.prompt));
    }
    if let Some(kept) = storage().and_then(|storage| storage.get_item(STORED).ok().flatten()) {
        *panel.keys.borrow_mut() = KeyRing::from_json(&kept);
        panel.keep.set_checked(true);
    }
    let chosen = Answerer::from_id(&panel.settings.borrow().provider);
    app.take_provider(chosen.unwrap_or(FIRST));
    on(&panel.provider, "change", app, |app, _| {
        let chosen = Answerer::from_id(&app.ask_panel.provider.value());
        app.leave_provider();
        app.take_provider(chosen.unwrap_or(FIRST));
        app.keep_settings();
        app.dispatch(Event::OtherProvider);
    });
    on(&app.ui.base_url, "change", app, |app, _| {
        app.bind_key();
        app.draw_setup();
        app.dispatch(Event::OtherProvider);
    });
    on(&app.ui.key, "change", app, |app, _| app.keep_key());
    on(&panel.keep, "change", app, |app, _| app.keep_key());
    for field in [&app.ui.model, &panel.price_in, &panel.price_out] {
        on(field, "input", app, |app, _| {
            app.keep_settings();
            app.draw_forecast();
        });
    }
    on(&app.ui.base_url, "input", app, |app, _| app.keep_settings());
    let choices: [&EventTarget; 3] = [
        panel.edge.as_ref(),
        panel.enlarge.as_ref(),
        panel.crop_only.as_ref(),
    ];
    for field in choices {
        on(field, "change", app, |app, _| {
            app.keep_settings();
            app.draw_forecast();
        });
    }
    on(&panel.test, "click", app, |app, _| app.test());
    crate::request::wire(app);
}

impl App {
    /// Adds a choice.
    pub fn option(&self, select: &HtmlElement, value: &str, words: &str) {
        if let Some(option) = self.child(select, "option", words) {
            option.set_attribute("value", value).ok();
        }
    }

    /// Adds an element with words.
    pub fn child(&self, parent: &HtmlElement, tag: &str, words: &str) -> Option<web_sys::Element> {
        let child = self.ui.document.create_element(tag).ok()?;
        child.set_text_content(Some(words));
        parent.append_child(&child).ok()?;
        Some(child)
    }

    /// Remembers what is typed for the provider that is left.
    fn leave_provider(&self) {
        let panel = &self.ask_panel;
        let typed = Typed {
            base_url: self.ui.base_url.value(),
            model: self.ui.model.value(),
            price_in: panel.price_in.value(),
            price_out: panel.price_out.value(),
        };
        let id = panel.chosen.get().id().to_owned();
        panel.settings.borrow_mut().typed.insert(id, typed);
    }

    /// Remembers the settings for the next visit; where the browser refuses, for this one.
    pub fn keep_settings(&self) {
        let panel = &self.ask_panel;
        self.leave_provider();
        let mut settings = panel.settings.borrow_mut();
        panel.chosen.get().id().clone_into(&mut settings.provider);
        settings.edge = self.edge();
        settings.enlarge = panel.enlarge.checked();
        settings.crop_only = panel.crop_only.checked();
        let prompt = panel.prompt.value();
        settings.prompt = if prompt == TEMPLATE {
            String::new()
        } else {
            prompt
        };
        if let Some(storage) = local() {
            storage.set_item(SETTINGS, &settings.to_json()).ok();
        }
    }

    /// Puts a provider's settings into the fields: those typed before, or its defaults.
    fn take_provider(&self, chosen: Answerer) {
        let panel = &self.ask_panel;
        panel.chosen.set(chosen);
        panel.provider.set_value(chosen.id());
        self.show_fields(chosen == Answerer::Here);
        let typed = panel.settings.borrow().typed.get(chosen.id()).cloned();
        let mut typed = typed.unwrap_or_else(|| Typed {
            model: chosen.model().to_owned(),
            ..Typed::default()
        });
        if typed.base_url.is_empty() {
            chosen.base_url().clone_into(&mut typed.base_url);
        }
        self.ui.base_url.set_value(&typed.base_url);
        self.ui.base_url.set_placeholder(match chosen.base_url() {
            "" => asking::BASE_URL,
            base_url => base_url,
        });
        self.ui.model.set_value(&typed.model);
        self.ui.model.set_placeholder(chosen.model());
        panel.price_in.set_value(&typed.price_in);
        panel.price_out.set_value(&typed.price_out);
        panel.models.set_text_content(None);
        let profile = chosen.provider().map(Provider::profile);
        for (link, page) in [
            (&panel.key_page, profile.and_then(|it| it.key_page)),
            (&panel.prices_page, profile.and_then(|it| it.prices_page)),
        ] {
            link.set_attribute("href", page.unwrap_or_default()).ok();
            show(link, page.is_some());
        }
        self.bind_key();
        self.draw_setup();
        self.draw_forecast();
    }

    /// Help for the chosen provider, and no word of an earlier test.
    fn draw_setup(&self) {
        say(&self.ask_panel.tested, None);
        self.ask_panel.tested.class_list().remove_1("good").ok();
        let help = match self.ask_panel.chosen.get() {
            Answerer::Provider(provider) => setup(provider, &page_origin()),
            Answerer::Here => asking::HERE_HELP.map(str::to_owned).to_vec(),
        };
        self.list(&self.ask_panel.help, &help);
        self.list(&self.ask_panel.reasons, &[]);
    }

    /// Sentences as a list; hidden where there are none.
    pub fn list(&self, list: &HtmlElement, sentences: &[String]) {
        list.set_text_content(None);
        for sentence in sentences {
            self.child(list, "li", sentence);
        }
        show(list, !sentences.is_empty());
    }

    /// Keeps the key in the field with the origin it was typed for, and shows the key of the origin in the address.
    pub fn bind_key(&self) {
        let to = origin(&self.ui.base_url.value());
        let from = self.ask_panel.bound.borrow().clone();
        if to == from {
            return;
        }
        let mut keys = self.ask_panel.keys.borrow_mut();
        let typed = self.ui.key.value();
        match (&from, &to) {
            // Typed before there was an address: it belongs to the first one.
            (None, Some(to)) if !typed.trim().is_empty() => keys.put(to, &typed),
            (Some(from), _) => keys.put(from, &typed),
            _ => {}
        }
        let key = to.as_deref().map_or("", |to| keys.get(to)).to_owned();
        drop(keys);
        self.ui.key.set_value(&key);
        *self.ask_panel.bound.borrow_mut() = to;
        self.keep_key();
    }

    /// Remembers the key for its origin; in session storage only where the box is ticked.
    fn keep_key(&self) {
        if let Some(origin) = self.ask_panel.bound.borrow().as_deref() {
            self.ask_panel
                .keys
                .borrow_mut()
                .put(origin, &self.ui.key.value());
        }
        let kept = match storage() {
            Some(storage) if self.ask_panel.keep.checked() => storage
                .set_item(STORED, &self.ask_panel.keys.borrow().to_json())
                .is_ok(),
            Some(storage) => storage.remove_item(STORED).is_ok(),
            None => false,
        };
        let refused = self.ask_panel.keep.checked() && !kept;
        say(
            &self.ask_panel.keep_note,
            refused.then_some(asking::NOT_KEPT),
        );
    }

    /// Where to ask, as typed, with the key of that origin and no other.
    pub fn endpoint(&self) -> Result<Endpoint, String> {
        self.bind_key();
        let endpoint = Endpoint {
            base_url: self.ui.base_url.value().trim().to_owned(),
            model: self.ui.model.value().trim().to_owned(),
            key: Key::new(&self.ui.key.value()).map_err(|error| error.to_string())?,
        };
        if endpoint.base_url.is_empty() {
            return Err(text::NEED_BASE_URL.into());
        }
        Ok(endpoint)
    }

    /// A click on "Test the connection".
    fn test(self: &Rc<Self>) {
        let panel = &self.ask_panel;
        if let Some(earlier) = panel.testing.borrow_mut().take() {
            earlier.abort();
        }
        self.list(&panel.reasons, &[]);
        panel.tested.class_list().remove_1("good").ok();
        let Some(provider) = panel.chosen.get().provider() else {
            return;
        };
        let ready = self.endpoint().and_then(|endpoint| {
            let check = provider.check(&endpoint.base_url, &endpoint.key);
            let check = check.map_err(|error| error.to_string())?;
            let abort = AbortController::new().map_err(|_| text::NO_WORKER)?;
            Ok((endpoint, check, abort))
        });
        let (endpoint, check, abort) = match ready {
            Ok(ready) => ready,
            Err(why) => return say(&panel.tested, Some(&why)),
        };
        say(&panel.tested, Some(asking::TESTING));
        *panel.testing.borrow_mut() = Some(abort.clone());
        let app = Rc::clone(self);
        spawn_local(async move {
            let result = send::check(provider, &check, &endpoint.key, &abort).await;
            if abort.signal().aborted() {
                return;
            }
            let panel = &app.ask_panel;
            match result {
                Ok(works) => {
                    panel.models.set_text_content(None);
                    for model in works.models.iter().take(500) {
                        if let Some(option) = app.child(&panel.models, "option", "") {
                            option.set_attribute("value", model).ok();
                        }
                    }
                    panel.tested.class_list().add_1("good").ok();
                    say(&panel.tested, Some(&works.said(&endpoint.model)));
                }
                Err(error) => {
                    say(&panel.tested, Some(&error.to_string()));
                    let url = &endpoint.base_url;
                    app.explain(&error, provider, url, &panel.tested).await;
                }
            }
        });
    }

    /// Lists what may be wrong where no reply came, below the words that said so.
    pub async fn explain(
        &self,
        error: &ApiError,
        provider: Provider,
        base_url: &str,
        below: &HtmlElement,
    ) {
        if !matches!(error, ApiError::Unreachable { .. }) {
            return;
        }
        let permission = send::permission(on_this_computer(base_url)).await;
        let reasons = no_reply(provider, base_url, &page_origin(), permission);
        let list = &self.ask_panel.reasons;
        below.insert_adjacent_element("afterend", list).ok();
        self.list(list, &reasons);
    }

    /// The price as typed.
    pub fn price(&self) -> Option<Price> {
        Price::parse(
            &self.ask_panel.price_in.value(),
            &self.ask_panel.price_out.value(),
        )
    }

    /// Longest edge of the full image as it is to be sent.
    pub fn edge(&self) -> u32 {
        self.ask_panel.edge.value().parse().unwrap_or(MAX_SENT_EDGE)
    }

    /// What a smaller crop is enlarged to, pixels; 0 where it is sent as it is.
    pub fn enlarge(&self) -> u32 {
        if self.ask_panel.enlarge.checked() {
            ENLARGED_EDGE
        } else {
            0
        }
    }

    /// What the next question will cost.
    pub fn forecast(&self) -> (Option<Sizes>, Option<Forecast>) {
        let sizes = self.sizes();
        let model = self.ui.model.value();
        let provider = self.ask_panel.chosen.get().provider();
        let forecast = sizes
            .as_ref()
            .and_then(|sizes| forecast(provider?, &model, sizes));
        (sizes, forecast)
    }

    fn sizes(&self) -> Option<Sizes> {
        let state = self.state.borrow();
        let shown = state.settled()?;
        Some(Sizes {
            original: shown.picture.size?,
            crop: enlarged(shown.crop.as_ref()?.size(), self.enlarge()),
            edge: self.edge(),
            crop_only: self.ask_panel.crop_only.checked(),
        })
    }

    /// Shows what the next question will cost.
    pub fn draw_forecast(&self) {
        let (sizes, forecast) = self.forecast();
        let words = match self.ask_panel.chosen.get() {
            Answerer::Here => asking::FREE.to_owned(),
            Answerer::Provider(_) => {
                asking::forecast(sizes.as_ref(), forecast.as_ref(), self.price().as_ref())
            }
        };
        self.ask_panel.forecast.set_text_content(Some(&words));
        self.draw_prompt();
    }

    /// What is missing before anything can be asked.
    pub fn lacks(&self, answerer: Answerer, endpoint: &Endpoint) -> Option<String> {
        if endpoint.model.is_empty() {
            return Some(text::NEED_MODEL.into());
        }
        let provider = answerer.provider();
        let needed = provider.is_some_and(|provider| provider.needs_key(&endpoint.base_url));
        (needed && endpoint.key.is_empty()).then(|| ApiError::NoKey.to_string())
    }
}

/// A template of the prompt, or the usual one.
fn or_usual(template: &str) -> &str {
    match template {
        "" => TEMPLATE,
        template => template,
    }
}

/// Scheme, host and port of this page.
fn page_origin() -> String {
    let window = web_sys::window();
    window
        .and_then(|window| window.location().origin().ok())
        .unwrap_or_default()
}

fn local() -> Option<Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

fn storage() -> Option<Storage> {
    // Browsers may refuse it: then nothing is kept.
    web_sys::window()?.session_storage().ok().flatten()
}
