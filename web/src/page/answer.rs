//! Where an answer is shown: its words as they stream in, then as Markdown, with what the model thought folded above.

use cropvlm_web::markdown::{Piece, parse};
use cropvlm_web::text::asking;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, HtmlElement};

use crate::markdown;
use crate::ui::{get, say, show};

/// The elements of one answer.
pub struct Place {
    document: Document,
    words: HtmlElement,
    thoughts: HtmlElement,
    facts: HtmlElement,
}

impl Place {
    /// The elements whose `id` begins with this.
    pub fn find(document: &Document, id: &str) -> Result<Place, JsValue> {
        Ok(Place {
            document: document.clone(),
            words: get(document, id)?,
            thoughts: get(document, &format!("{id}-thoughts"))?,
            facts: get(document, &format!("{id}-facts"))?,
        })
    }

    /// Shows no answer but a word of waiting.
    pub fn wait(&self, words: &str) {
        self.words.class_list().remove_1("bad").ok();
        self.words.class_list().add_1("waiting").ok();
        self.words.set_text_content(Some(words));
        self.think("");
        self.note(None);
    }

    /// Whether it waits for the first word.
    pub fn waits(&self) -> bool {
        self.words.class_list().contains("waiting")
    }

    /// Shows the answer so far as it came, and the thoughts.
    pub fn stream(&self, text: &str, thoughts: &str) {
        self.think(thoughts);
        if text.trim().is_empty() {
            self.words.class_list().add_1("waiting").ok();
            self.words.set_text_content(Some(asking::THINKING));
        } else {
            self.plain(text);
        }
    }

    /// Shows words that are no Markdown.
    pub fn plain(&self, text: &str) {
        self.words.class_list().remove_1("waiting").ok();
        self.words.set_text_content(Some(text));
    }

    /// Shows what went wrong in the answer's place.
    pub fn fail(&self, sentence: &str) {
        self.plain(sentence);
        self.words.class_list().add_1("bad").ok();
    }

    /// Shows the whole answer, and gives its pieces.
    pub fn finish(&self, text: &str, thoughts: &str) -> Vec<Piece> {
        let pieces = parse(text.trim());
        self.think(thoughts);
        self.draw(&pieces);
        pieces
    }

    /// Shows an answer's pieces.
    pub fn draw(&self, pieces: &[Piece]) {
        self.words.class_list().remove_1("waiting").ok();
        markdown::draw(&self.document, &self.words, pieces);
    }

    /// Shows thoughts, folded; none: nothing.
    pub fn think(&self, thoughts: &str) {
        let thoughts = thoughts.trim();
        let below = self.thoughts.last_element_child();
        if let Some(below) = below.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
            below.set_text_content(Some(thoughts));
        }
        show(&self.thoughts, !thoughts.is_empty());
    }

    /// Whether thoughts are shown.
    pub fn thought(&self) -> bool {
        !self.thoughts.hidden()
    }

    /// Whether words or thoughts are there.
    pub fn has_something(&self) -> bool {
        let words = self.words.text_content().unwrap_or_default();
        !words.is_empty() || self.thought()
    }

    /// Time, tokens and money, or nothing.
    pub fn note(&self, facts: Option<&str>) {
        say(&self.facts, facts);
    }
}
