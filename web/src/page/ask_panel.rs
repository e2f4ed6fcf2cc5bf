//! The elements around asking a provider, and what is remembered between clicks: settings and keys.

use std::cell::{Cell, RefCell};

use cropvlm_web::answerer::Answerer;
use cropvlm_web::compare::Variant;
use cropvlm_web::keys::KeyRing;
use cropvlm_web::settings::Settings;
use vlm_api::Provider;
use wasm_bindgen::JsValue;
use web_sys::{
    AbortController, Document, HtmlButtonElement, HtmlElement, HtmlInputElement, HtmlSelectElement,
    HtmlTextAreaElement,
};

use crate::answer::Place;
use crate::ui::get;

/// Elements and memory of everything around "Ask".
pub struct AskPanel {
    pub provider: HtmlSelectElement,
    pub models: HtmlElement,
    pub keep: HtmlInputElement,
    pub keep_note: HtmlElement,
    pub test: HtmlButtonElement,
    pub tested: HtmlElement,
    pub help: HtmlElement,
    pub key_page: HtmlElement,
    pub prices_page: HtmlElement,
    pub edge: HtmlSelectElement,
    pub enlarge: HtmlInputElement,
    pub price_in: HtmlInputElement,
    pub price_out: HtmlInputElement,
    pub forecast: HtmlElement,
    pub reasons: HtmlElement,
    /// How far the model in this browser is.
    pub here: HtmlElement,
    pub answer: Place,
    pub crop_only: HtmlInputElement,
    pub request: HtmlElement,
    pub prompt: HtmlTextAreaElement,
    pub prompt_reset: HtmlButtonElement,
    pub sent: HtmlElement,
    pub prompt_note: HtmlElement,
    pub curl: HtmlButtonElement,
    pub compare: HtmlButtonElement,
    /// An answer whose chance is wanted.
    pub weighed: HtmlInputElement,
    pub runs: HtmlElement,
    pub verdict: HtmlElement,
    pub columns: [Column; 3],
    /// Who is chosen to answer.
    pub chosen: Cell<Answerer>,
    /// What was typed, and what of it is remembered.
    pub settings: RefCell<Settings>,
    pub keys: RefCell<KeyRing>,
    /// The origin that the key in its field was typed for.
    pub bound: RefCell<Option<String>>,
    /// A test on its way.
    pub testing: RefCell<Option<AbortController>>,
}

/// Where a run of the comparison is shown.
pub struct Column {
    pub variant: Variant,
    pub answer: Place,
}

impl AskPanel {
    /// Finds the elements.
    pub fn find(document: &Document) -> Result<AskPanel, JsValue> {
        let column = |variant: Variant| {
            let id = variant.id();
            Ok::<Column, JsValue>(Column {
                variant,
                answer: Place::find(document, &format!("run-{id}"))?,
            })
        };
        let [full, crop, blank] = Variant::ALL;
        Ok(AskPanel {
            provider: get(document, "provider")?,
            models: get(document, "models")?,
            keep: get(document, "keep-key")?,
            keep_note: get(document, "keep-note")?,
            test: get(document, "test")?,
            tested: get(document, "tested")?,
            help: get(document, "help")?,
            key_page: get(document, "key-page")?,
            prices_page: get(document, "prices-page")?,
            edge: get(document, "edge")?,
            enlarge: get(document, "enlarge")?,
            price_in: get(document, "price-in")?,
            price_out: get(document, "price-out")?,
            forecast: get(document, "forecast")?,
            reasons: get(document, "reasons")?,
            here: get(document, "here")?,
            answer: Place::find(document, "answer")?,
            crop_only: get(document, "crop-only")?,
            request: get(document, "request")?,
            prompt: get(document, "ask-prompt")?,
            prompt_reset: get(document, "prompt-reset")?,
            sent: get(document, "sent-prompt")?,
            prompt_note: get(document, "prompt-note")?,
            curl: get(document, "copy-curl")?,
            compare: get(document, "compare")?,
            weighed: get(document, "weighed")?,
            runs: get(document, "runs")?,
            verdict: get(document, "verdict")?,
            columns: [column(full)?, column(crop)?, column(blank)?],
            chosen: Cell::new(Answerer::Provider(Provider::OpenAi)),
            settings: RefCell::default(),
            keys: RefCell::default(),
            bound: RefCell::default(),
            testing: RefCell::default(),
        })
    }
}
