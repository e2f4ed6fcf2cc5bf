//! What is sent: the prompt, as the person sees and may change it, and the request with its pictures, to be sent or to
//! be copied as a command.

use std::rc::Rc;

use cropvlm_web::compare::{Pictures, Variant};
use cropvlm_web::prompt::{TEMPLATE, fill, lacks_question};
use cropvlm_web::text::asking;
use js_sys::Uint8Array;
use vlm_api::{ApiError, Image, MediaType, Provider, Request};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::app::App;
use crate::ask::{Asking, Purpose};
use crate::input::on;
use crate::sharing::clipboard;
use crate::ui::say;

/// Wires the prompt; [`crate::provider`] has filled it.
pub fn wire(app: &Rc<App>) {
    let panel = &app.ask_panel;
    on(&panel.prompt, "input", app, |app, _| {
        app.keep_settings();
        app.draw_prompt();
    });
    on(&app.ui.question, "input", app, |app, _| app.draw_prompt());
    on(&panel.prompt_reset, "click", app, |app, _| {
        app.ask_panel.prompt.set_value(TEMPLATE);
        app.keep_settings();
        app.draw_prompt();
    });
    // A question that came with a sample or a link has typed nothing.
    on(&panel.request, "toggle", app, |app, _| app.draw_prompt());
    on(&panel.curl, "click", app, |app, _| app.begin(Purpose::Copy));
    app.draw_prompt();
}

impl App {
    /// Shows the prompt as "Ask" sends it.
    pub fn draw_prompt(&self) {
        let template = self.ask_panel.prompt.value();
        let pictures = Pictures::of(Variant::Crop, self.ask_panel.crop_only.checked());
        let prompt = fill(&template, &self.ui.question(), pictures);
        self.ask_panel.sent.set_text_content(Some(&prompt));
        let lacking = lacks_question(&template).then_some(asking::NO_QUESTION_IN_PROMPT);
        say(&self.ask_panel.prompt_note, lacking);
    }

    /// Copies the request of "Ask" as a command, without the key.
    pub async fn copy_request(self: &Rc<Self>, asking: &Asking) {
        let Some(provider) = asking.answerer.provider() else {
            return self.ask_ended(asking.job(), Some(asking::NOTHING_SENT));
        };
        let request = request(provider, asking, Variant::Crop).await;
        if !self.is_asking(asking.job()) {
            return;
        }
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.ask_ended(asking.job(), Some(&error.to_string())),
        };
        let command = request.to_curl(&asking.endpoint.key);
        let copied = match clipboard() {
            Some(clipboard) => JsFuture::from(clipboard.write_text(&command)).await.is_ok(),
            None => false,
        };
        self.ask_ended(asking.job(), None);
        let said = if copied {
            asking::CURL_COPIED
        } else {
            asking::CURL_NOT_COPIED
        };
        say(&self.ask_panel.prompt_note, Some(said));
    }
}

/// What a variant shows, and its pictures in their order.
pub fn parts(asking: &Asking, variant: Variant) -> (Pictures, Vec<Blob>) {
    let pictures = Pictures::of(variant, asking.crop_only);
    let second = match variant {
        Variant::Full => None,
        Variant::Crop => asking.crop.clone(),
        Variant::Blank => asking.blank.clone(),
    };
    let full = asking.picture.clone();
    let full = full.filter(|_| pictures != Pictures::Second);
    (pictures, [full, second].into_iter().flatten().collect())
}

/// The request for a variant.
pub async fn request(
    provider: Provider,
    asking: &Asking,
    variant: Variant,
) -> Result<Request, ApiError> {
    let (pictures, blobs) = parts(asking, variant);
    let mut files = Vec::new();
    for blob in &blobs {
        let media_type = if blob.type_() == "image/png" {
            MediaType::Png
        } else {
            MediaType::Jpeg
        };
        files.push((media_type, bytes(blob).await));
    }
    let images: Vec<Image<'_>> = files
        .iter()
        .map(|(media_type, bytes)| Image {
            media_type: *media_type,
            bytes,
        })
        .collect();
    let prompt = fill(&asking.prompt, &asking.question, pictures);
    provider.prompt_request(&asking.endpoint, &images, &prompt)
}

/// The bytes of a blob that lies in memory.
async fn bytes(blob: &Blob) -> Vec<u8> {
    let buffer = JsFuture::from(blob.array_buffer()).await;
    buffer.map_or_else(|_| Vec::new(), |buffer| Uint8Array::new(&buffer).to_vec())
}
