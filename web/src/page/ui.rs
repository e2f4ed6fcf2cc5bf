//! The elements of `index.html` that the page works with, found once by their `id`.

use js_sys::Error;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Document, Element, HtmlButtonElement, HtmlCanvasElement, HtmlElement, HtmlFormElement,
    HtmlImageElement, HtmlInputElement, HtmlProgressElement, HtmlTextAreaElement,
};

use cropvlm_web::text;

use crate::tools::Tools;

/// Every element by name.
pub struct Ui {
    pub document: Document,
    pub root: HtmlElement,
    pub image: HtmlInputElement,
    pub drop: HtmlElement,
    pub empty: HtmlElement,
    pub figure: HtmlElement,
    pub picture: HtmlImageElement,
    pub picture_facts: HtmlElement,
    pub evidence: HtmlCanvasElement,
    pub evidence_toggle: HtmlInputElement,
    pub boxed: HtmlElement,
    pub form: HtmlFormElement,
    pub question: HtmlTextAreaElement,
    pub message: HtmlElement,
    pub note: HtmlElement,
    pub crop_empty: HtmlElement,
    pub absent: HtmlElement,
    pub guess: HtmlButtonElement,
    pub crop: HtmlImageElement,
    pub crop_facts: HtmlElement,
    pub save: HtmlElement,
    pub base_url: HtmlInputElement,
    pub model: HtmlInputElement,
    pub key: HtmlInputElement,
    pub ask: HtmlButtonElement,
    pub stop: HtmlButtonElement,
    pub ask_message: HtmlElement,
    pub answer_note: HtmlElement,
    pub runs_note: HtmlElement,
    pub crop_of: HtmlElement,
    pub empty_note: HtmlElement,
    pub answer_row: HtmlElement,
    pub stage: HtmlElement,
    pub progress: HtmlProgressElement,
    pub device: HtmlElement,
    pub tools: Tools,
}

impl Ui {
    /// Finds the elements and puts the words into them.
    pub fn find() -> Result<Ui, JsValue> {
        let document = web_sys::window()
            .and_then(|window| window.document())
            .ok_or_else(|| Error::new("no document"))?;
        let ui = Ui {
            root: document
                .document_element()
                .ok_or_else(|| Error::new("no root"))?
                .dyn_into()?,
            image: get(&document, "image")?,
            drop: get(&document, "drop")?,
            empty: get(&document, "empty")?,
            figure: get(&document, "figure")?,
            picture: get(&document, "picture")?,
            picture_facts: get(&document, "picture-facts")?,
            evidence: get(&document, "evidence")?,
            evidence_toggle: get(&document, "evidence-toggle")?,
            boxed: get(&document, "box")?,
            form: get(&document, "form")?,
            question: get(&document, "question")?,
            message: get(&document, "message")?,
            note: get(&document, "note")?,
            crop_empty: get(&document, "crop-empty")?,
            absent: get(&document, "absent")?,
            guess: get(&document, "guess")?,
            crop: get(&document, "crop")?,
            crop_facts: get(&document, "crop-facts")?,
            save: get(&document, "save")?,
            base_url: get(&document, "base-url")?,
            model: get(&document, "model")?,
            key: get(&document, "key")?,
            ask: get(&document, "ask")?,
            stop: get(&document, "stop")?,
            ask_message: get(&document, "ask-message")?,
            answer_note: get(&document, "answer-note")?,
            runs_note: get(&document, "runs-note")?,
            crop_of: get(&document, "crop-of")?,
            empty_note: get(&document, "empty-note")?,
            answer_row: get(&document, "answer-row")?,
            stage: get(&document, "stage")?,
            progress: get(&document, "progress")?,
            device: get(&document, "device")?,
            tools: Tools::find(&document)?,
            document,
        };
        ui.put_words()?;
        Ok(ui)
    }

    fn put_words(&self) -> Result<(), JsValue> {
        let elements = self.document.query_selector_all("[data-text]")?;
        for at in 0..elements.length() {
            let Some(element) = elements
                .get(at)
                .and_then(|node| node.dyn_into::<Element>().ok())
            else {
                continue;
            };
            let name = element.get_attribute("data-text").unwrap_or_default();
            let words =
                text::label(&name).ok_or_else(|| Error::new(&format!("no words for {name}")))?;
            // index.html has them already, as long as both are of one build: then nothing is laid out anew.
            if element.text_content().as_deref() != Some(words) {
                element.set_text_content(Some(words));
            }
        }
        self.boxed.set_attribute("aria-label", text::BOX_NAME)?;
        self.picture.set_alt(text::PICTURE_ALT);
        self.crop.set_alt(text::CROP_ALT);
        Ok(())
    }

    /// What the person has typed as question, without blanks around it.
    pub fn question(&self) -> String {
        self.question.value().trim().to_owned()
    }
}

/// An element by its `id`.
pub fn get<T: JsCast>(document: &Document, id: &str) -> Result<T, JsValue> {
    document
        .get_element_by_id(id)
        .and_then(|element| element.dyn_into().ok())
        .ok_or_else(|| Error::new(&format!("index.html has no fitting element #{id}")).into())
}

/// Shows or hides an element.
pub fn show(element: &HtmlElement, shown: bool) {
    element.set_hidden(!shown);
}

/// Shows a sentence, or hides the element where there is none.
pub fn say(element: &HtmlElement, sentence: Option<&str>) {
    element.set_text_content(sentence);
    show(element, sentence.is_some());
}
