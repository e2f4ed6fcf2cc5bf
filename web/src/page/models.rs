//! The choice of the cropping network, and what of other networks stays on this device. Another one starts the worker anew;
//! picture and question stay.

use std::rc::Rc;

use cropvlm_web::models::{Choice, ModelFolder};
use cropvlm_web::state::Event;
use cropvlm_web::text;
use js_sys::Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Document, HtmlButtonElement, HtmlElement, HtmlInputElement, HtmlSelectElement, Url};

use crate::app::App;
use crate::input::on;
use crate::ui::{get, say, show};

#[wasm_bindgen(inline_js = "
// The worker keeps them (web/worker/src/kept.rs).
const NAME = 'cropvlm-models';
export async function keptBytes() {
  try {
    if (!(await caches.has(NAME))) return 0;
    let bytes = 0;
    for (const reply of await (await caches.open(NAME)).matchAll()) {
      bytes += Number(reply.headers.get('content-length')) || (await reply.blob()).size;
    }
    return bytes;
  } catch {
    return 0;
  }
}
export async function removeKept() {
  try { await caches.delete(NAME); } catch { /* then nothing is kept */ }
}
")]
extern "C" {
    #[wasm_bindgen(js_name = keptBytes)]
    async fn kept_bytes() -> JsValue;
    #[wasm_bindgen(js_name = removeKept)]
    async fn remove_kept();
}

/// The elements.
pub struct Models {
    card: HtmlElement,
    kept: HtmlElement,
    remove: HtmlButtonElement,
    choice: HtmlSelectElement,
    address_row: HtmlElement,
    address: HtmlInputElement,
    files_row: HtmlElement,
    files: HtmlInputElement,
    free_row: HtmlElement,
    free: HtmlInputElement,
    load: HtmlButtonElement,
    note: HtmlElement,
}

impl Models {
    /// Finds them.
    pub fn find(document: &Document) -> Result<Models, JsValue> {
        Ok(Models {
            card: get(document, "models-card")?,
            kept: get(document, "policy-kept")?,
            remove: get(document, "policy-remove")?,
            choice: get(document, "policy")?,
            address_row: get(document, "policy-address-row")?,
            address: get(document, "policy-address")?,
            files_row: get(document, "policy-files-row")?,
            files: get(document, "policy-files")?,
            free_row: get(document, "policy-free-row")?,
            free: get(document, "policy-free")?,
            load: get(document, "policy-load")?,
            note: get(document, "policy-note")?,
        })
    }
}

/// Fills and wires the choice.
pub fn wire(app: &Rc<App>) {
    let models = &app.models;
    for choice in Choice::ALL {
        app.option(&models.choice, choice.id(), choice.words());
    }
    app.draw_models();
    on(&models.choice, "change", app, |app, _| app.draw_models());
    on(&models.load, "click", app, |app, _| app.load_model());
    on(&models.card, "toggle", app, |app, _| app.draw_kept());
    on(&models.remove, "click", app, |app, _| {
        let app = Rc::clone(app);
        spawn_local(async move {
            remove_kept().await;
            app.draw_kept();
        });
    });
}

impl App {
    /// Shows the fields of the choice.
    fn draw_models(&self) {
        let models = &self.models;
        let choice = Choice::from_id(&models.choice.value());
        show(&models.address_row, choice == Some(Choice::Address));
        show(&models.files_row, choice == Some(Choice::Files));
        let own = matches!(choice, Some(Choice::Address | Choice::Files));
        show(&models.free_row, own);
        say(&models.note, None);
    }

    /// Says how much stays on this device.
    pub fn draw_kept(self: &Rc<Self>) {
        let app = Rc::clone(self);
        spawn_local(async move {
            let bytes = kept_bytes().await.as_f64().unwrap_or_default();
            let models = &app.models;
            let said = (bytes > 0.0).then(|| text::kept(bytes));
            say(&models.kept, said.as_deref());
            show(&models.remove, bytes > 0.0);
        });
    }

    /// A click on "Load this model".
    fn load_model(self: &Rc<Self>) {
        let models = &self.models;
        let Some(choice) = Choice::from_id(&models.choice.value()) else {
            return;
        };
        let folder = ModelFolder::of(choice, &models.address.value(), models.free.checked());
        let files = Array::new();
        if choice == Choice::Files {
            let chosen = models.files.files();
            for at in 0..chosen.as_ref().map_or(0, |files| files.length()) {
                if let Some(file) = chosen.as_ref().and_then(|files| files.get(at)) {
                    files.push(&file);
                }
            }
            if files.length() == 0 {
                return say(&models.note, Some(text::NEED_MODEL_FILES));
            }
        }
        if choice == Choice::Address && models.address.value().trim().is_empty() {
            return say(&models.note, Some(text::asking::NO_MODEL));
        }
        let Ok(address) = Url::new_with_base(&folder.address, &self.base) else {
            return say(&models.note, Some(text::asking::NO_MODEL));
        };
        say(&models.note, None);
        let address = address.href();
        *self.model.borrow_mut() = ModelFolder { address, ..folder };
        *self.model_files.borrow_mut() = files;
        self.dispatch(Event::OtherModel);
    }
}
