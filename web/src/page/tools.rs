//! The elements around picture and crop: samples, box, views, history, links. Found once by their `id`.

use wasm_bindgen::JsValue;
use web_sys::{
    Document, HtmlButtonElement, HtmlElement, HtmlFormElement, HtmlImageElement, HtmlInputElement,
    HtmlSelectElement,
};

use cropvlm_web::text;

use crate::ui::get;

/// Every element by name.
pub struct Tools {
    pub camera: HtmlButtonElement,
    pub photo: HtmlInputElement,
    pub from_web: HtmlButtonElement,
    pub web_row: HtmlFormElement,
    pub address: HtmlInputElement,
    pub canvas: HtmlImageElement,
    pub canvas_toggle: HtmlInputElement,
    pub mosaic: HtmlElement,
    pub inside: HtmlElement,
    pub tiled: HtmlElement,
    pub tiles_per_edge: HtmlSelectElement,
    pub tiles: HtmlElement,
    pub tiles_facts: HtmlElement,
    pub places: HtmlElement,
    pub grip: HtmlButtonElement,
    pub tag: HtmlElement,
    pub draw_box: HtmlButtonElement,
    pub nearer: HtmlButtonElement,
    pub farther: HtmlButtonElement,
    pub heard: HtmlElement,
    pub turn: HtmlButtonElement,
    pub undo: HtmlButtonElement,
    pub redo: HtmlButtonElement,
    pub gallery: HtmlElement,
    pub chips: HtmlElement,
    pub earlier: HtmlElement,
    pub past: HtmlElement,
    pub crop_tools: HtmlElement,
    pub size: HtmlInputElement,
    pub size_told: HtmlElement,
    pub copy: HtmlButtonElement,
    pub share: HtmlButtonElement,
    pub zoom: HtmlButtonElement,
    pub elsewhere: HtmlButtonElement,
    pub reset: HtmlButtonElement,
    pub crop_note: HtmlElement,
    pub figures: HtmlElement,
    pub inside_note: HtmlElement,
    pub writing: HtmlElement,
    pub prompt: HtmlElement,
    pub tokens: HtmlElement,
    pub relative: HtmlElement,
}

impl Tools {
    /// Finds the elements and names those that show a picture instead of words.
    pub fn find(document: &Document) -> Result<Tools, JsValue> {
        let tools = Tools {
            camera: get(document, "camera")?,
            photo: get(document, "photo")?,
            from_web: get(document, "from-web")?,
            web_row: get(document, "web-row")?,
            address: get(document, "address")?,
            canvas: get(document, "canvas")?,
            canvas_toggle: get(document, "canvas-toggle")?,
            mosaic: get(document, "mosaic")?,
            inside: get(document, "inside")?,
            tiled: get(document, "tiled")?,
            tiles_per_edge: get(document, "longest-edge")?,
            tiles: get(document, "tiles")?,
            tiles_facts: get(document, "tiles-facts")?,
            places: get(document, "places")?,
            grip: get(document, "grip")?,
            tag: get(document, "tag")?,
            draw_box: get(document, "draw-box")?,
            nearer: get(document, "nearer")?,
            farther: get(document, "farther")?,
            heard: get(document, "heard")?,
            turn: get(document, "turn")?,
            undo: get(document, "undo")?,
            redo: get(document, "redo")?,
            gallery: get(document, "gallery")?,
            chips: get(document, "chips")?,
            earlier: get(document, "earlier")?,
            past: get(document, "past")?,
            crop_tools: get(document, "crop-tools")?,
            size: get(document, "size")?,
            size_told: get(document, "size-told")?,
            copy: get(document, "copy")?,
            share: get(document, "share")?,
            zoom: get(document, "zoom")?,
            elsewhere: get(document, "elsewhere")?,
            reset: get(document, "reset")?,
            crop_note: get(document, "crop-note")?,
            figures: get(document, "figures")?,
            inside_note: get(document, "inside-note")?,
            writing: get(document, "writing")?,
            prompt: get(document, "prompt")?,
            tokens: get(document, "tokens")?,
            relative: get(document, "relative")?,
        };
        for (button, name) in [
            (&tools.nearer, text::NEARER),
            (&tools.farther, text::FARTHER),
            (&tools.turn, text::TURN),
            (&tools.undo, text::UNDO),
            (&tools.redo, text::REDO),
            (&tools.grip, text::GRIP),
        ] {
            button.set_attribute("aria-label", name)?;
            button.set_title(name);
        }
        tools.canvas.set_alt(text::CANVAS_ALT);
        tools.mosaic.set_attribute("aria-label", text::CANVAS_ALT)?;
        tools
            .relative
            .set_attribute("aria-label", text::RELATIVE_NAME)?;
        tools.relative.set_title(text::RELATIVE_NAME);
        tools.make_handles(document)?;
        Ok(tools)
    }

    /// Eight handles inside the grip: corners and edges. For pointers only; keys resize with Shift.
    fn make_handles(&self, document: &Document) -> Result<(), JsValue> {
        for across in -1..=1 {
            for down in -1..=1 {
                if (across, down) == (0, 0) {
                    continue;
                }
                let handle = document.create_element("span")?;
                handle.set_attribute("data-handle", &format!("{across},{down}"))?;
                handle.set_attribute("aria-hidden", "true")?;
                self.grip.append_child(&handle)?;
            }
        }
        Ok(())
    }
}
