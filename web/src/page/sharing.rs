//! The crop and the link to it leave the page: to the clipboard, and come back in with an address's `#`.

use std::rc::Rc;

use cropvlm_web::share::Shared;
use cropvlm_web::text;
use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ClipboardItem, Url};

use crate::app::App;

impl App {
    /// A click on "Copy crop".
    pub fn copy_crop(self: &Rc<Self>) {
        let crop = {
            let state = self.state.borrow();
            state.crop().and_then(|crop| self.table.blob(crop.key))
        };
        let Some(crop) = crop else { return };
        let app = Rc::clone(self);
        spawn_local(async move {
            let copied = async {
                let clipboard = clipboard()?;
                let record = Object::new();
                Reflect::set(&record, &"image/png".into(), &Promise::resolve(&crop)).ok()?;
                let item = ClipboardItem::new_with_record_from_str_to_blob_promise(&record).ok()?;
                JsFuture::from(clipboard.write(&Array::of1(&item)))
                    .await
                    .ok()
            };
            let copied = copied.await.is_some();
            app.tell(if copied {
                text::COPIED
            } else {
                text::NOT_COPIED
            });
        });
    }

    /// A click on "Copy link". The address bar gets it, too.
    pub fn share(self: &Rc<Self>) {
        let shared = self.shared();
        let link = Url::new(&self.base).map(|url| {
            url.set_hash(&shared.hash());
            url.href()
        });
        let Ok(link) = link else { return };
        if let Some(history) = web_sys::window().and_then(|window| window.history().ok()) {
            history
                .replace_state_with_url(&JsValue::NULL, "", Some(&link))
                .ok();
        }
        let app = Rc::clone(self);
        spawn_local(async move {
            let copied = match clipboard() {
                Some(clipboard) => JsFuture::from(clipboard.write_text(&link)).await.is_ok(),
                None => false,
            };
            let says = match (copied, shared.picture.is_some()) {
                (true, true) => text::LINK_COPIED,
                (true, false) => text::LINK_WITHOUT_PICTURE,
                (false, _) => text::LINK_SHOWN,
            };
            app.tell(says);
        });
    }

    /// What a link to what is shown holds: the picture's public address, the question, the box. Nothing else.
    fn shared(&self) -> Shared {
        let question = Some(self.ui.question()).filter(|question| !question.is_empty());
        let state = self.state.borrow();
        let picture = state.settled().map(|shown| &shown.picture);
        Shared {
            picture: picture.and_then(|picture| picture.source.clone()),
            question,
            bbox: state.current_box(),
        }
    }
}

/// The clipboard, where the browser has one for this page.
pub fn clipboard() -> Option<web_sys::Clipboard> {
    let window = web_sys::window()?;
    // Only pages from https and from this machine have one.
    window
        .is_secure_context()
        .then(|| window.navigator().clipboard())
}
